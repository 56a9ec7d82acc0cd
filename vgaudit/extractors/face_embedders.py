"""The built-in face embedders: dlib (runs everywhere, offline) and FaceNet; ONNX files have a module of their own."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import Unavailable
from vgaudit.extractors.base import make_fingerprint
from vgaudit.extractors.face_embedding import (
    EmbedderOptions,
    Float,
    Measure,
    OperatingPoint,
    cosine_similarity,
    l2_similarity,
    unit_norm,
)
from vgaudit.extractors.face_weights import DLIB_LANDMARKS, DLIB_NET, installed_release
from vgaudit.extractors.onnx_embedder import OnnxEmbedder
from vgaudit.zoo.devices import Device, resolved_device, torch_device, torch_release
from vgaudit.zoo.dlib_face import DlibFaceNet, read_layers
from vgaudit.zoo.resolve import pinned_digest, resolve

__all__ = ["DlibEmbedder", "FacenetEmbedder", "OnnxEmbedder"]

DLIB_LOCK = threading.Lock()
"""dlib's predictor: one caller at a time."""

_LOADING = threading.Lock()


class DlibEmbedder:
    """dlib's ResNet: 128 numbers, compared raw by Euclidean distance.

    The vectors are not scaled to unit norm: theirs is 1.38-1.45, and scaling would move different people from
    0.83-0.90 apart to 0.58-0.63, below the threshold. Alignment is dlib's own (5-point predictor on a square as
    large as the detected box, 150 px chip, padding 0.25). The network runs in torch with dlib's weights
    (:mod:`vgaudit.zoo.dlib_face`): the same vectors to 1e-5, many times faster, in batches, also on a GPU.
    """

    name: ClassVar[str] = "dlib"
    path_options: ClassVar[tuple[str, ...]] = ()

    class Options(EmbedderOptions):
        """Options of the dlib embedder.

        Attributes:
            device: Where the network runs.
        """

        device: Device = "auto"

    dimension = 128
    measure: Measure = "l2"
    points = (
        OperatingPoint(
            "published",
            0.4,
            "L2 distance 0.6",
            "dlib, dlib_face_recognition_resnet_model_v1: 99.38% on Labeled Faces in the Wild at L2 0.6",
        ),
        OperatingPoint(
            "strict",
            0.5,
            "L2 distance 0.5",
            "stricter setting in common use; no error rate was published for it",
        ),
    )
    chip_size = 150
    padding = 0.25

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self.fingerprint = make_fingerprint(
            self.name,
            2,
            {
                "chip": self.chip_size,
                "padding": self.padding,
                "rectangle": "square of mean side",
                "dlib": installed_release("dlib-bin", "dlib"),
                "device": resolved_device(self.options.device),
                "torch": torch_release(),
            },
            net=DLIB_NET.sha256,
            landmarks=DLIB_LANDMARKS.sha256,
        )

    def load(self) -> None:
        """Load the network and the 5-point predictor, after checking their digests."""
        with _LOADING:
            self._net, self._predictor = _load_dlib(self.options.device)

    def align(
        self, rgb: NDArray[np.uint8], boxes: NDArray[np.float32], landmarks: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Chips ``(n, 150, 150, 3)``; ``landmarks`` are not used, dlib has its own five points."""
        import dlib

        if not len(boxes):
            return np.zeros((0, self.chip_size, self.chip_size, 3), np.uint8)
        image = np.ascontiguousarray(rgb)
        shapes = dlib.full_object_detections()
        with DLIB_LOCK:
            for box in boxes:
                shapes.append(self._predictor(image, dlib.rectangle(*_square(box))))
            chips = dlib.get_face_chips(image, shapes, size=self.chip_size, padding=self.padding)
        return np.stack(chips)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``(n, 128)``, not normalised."""
        if not len(chips):
            return np.zeros((0, self.dimension), np.float32)
        vectors: NDArray[np.float32] = self._net(chips)
        return vectors

    def similarity(self, a: Float, b: Float) -> NDArray[np.float64]:
        """``1 - L2``."""
        return l2_similarity(a, b)


def _square(box: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """The square around the box's centre with its mean side: the predictor was trained on squares."""
    left, top, right, bottom = (float(v) for v in box)
    half = (right - left + bottom - top) / 4
    x, y = (left + right) / 2, (top + bottom) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


@cache
def _load_dlib(device: Device) -> tuple[DlibFaceNet, Any]:
    net, predictor = DLIB_NET.verified(), DLIB_LANDMARKS.verified()
    try:
        import dlib
    except ImportError as error:
        raise Unavailable(f"dlib cannot be imported: {error}", "pip install dlib-bin") from error
    return DlibFaceNet(read_layers(net), torch_device(device)), dlib.shape_predictor(str(predictor))


class FacenetEmbedder:
    """InceptionResnetV1 trained on VGGFace2: 512 numbers of unit norm, compared by cosine.

    The weights are a release download, not part of any package. The authors state an accuracy (99.65 % on
    Labeled Faces in the Wild) but no threshold for it, so there is no operating point: matches are only called if
    the suite states a ``threshold``.
    """

    name: ClassVar[str] = "facenet"
    path_options: ClassVar[tuple[str, ...]] = ("weights",)

    class Options(EmbedderOptions):
        """Options of the FaceNet embedder.

        Attributes:
            weights: The file ``20180402-114759-vggface2.pt``, or another state of the same network.
            sha256: Digest the file must have; without it the file's own is recorded.
            device: Where the network runs.
        """

        weights: str | None = None
        sha256: str | None = None
        device: Device = "auto"

    dimension = 512
    measure: Measure = "cosine"
    points: tuple[OperatingPoint, ...] = ()
    chip_size = 160

    def __init__(self, options: Options) -> None:
        self.options = options
        self.fingerprint = make_fingerprint(
            self.name,
            1,
            {
                "chip": self.chip_size,
                "margin": 0,
                "device": resolved_device(options.device),
                "torch": torch_release(),
                "facenet-pytorch": installed_release("facenet-pytorch"),
                "opencv": cv2.__version__,
            },
            net=pinned_digest(options.weights, options.sha256) if options.weights else "absent",
        )

    def load(self) -> None:
        """Load the network (``weights_only``: a file that is more than tensors is refused)."""
        if self.options.weights is None:
            raise Unavailable(
                "the FaceNet weights are not part of any package",
                "download 20180402-114759-vggface2.pt from the release v2.2.9 of github.com/timesler/facenet-pytorch "
                "and name it: `embedder_options: {weights: PATH}`; or use `embedder: dlib`",
            )
        found = resolve(self.options.weights, self.options.sha256)
        with _LOADING:
            self._net, self._device = _load_facenet(found.path, found.sha256, self.options.device)

    def align(
        self, rgb: NDArray[np.uint8], boxes: NDArray[np.float32], landmarks: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Chips ``(n, 160, 160, 3)``: the box, cut to the frame and stretched to a square (area)."""
        height, width = rgb.shape[:2]
        chips = np.zeros((len(boxes), self.chip_size, self.chip_size, 3), np.uint8)
        for chip, box in zip(chips, boxes, strict=True):
            left, right = (int(v) for v in np.clip(box[[0, 2]], 0, width))
            top, bottom = (int(v) for v in np.clip(box[[1, 3]], 0, height))
            if right > left and bottom > top:
                size = (self.chip_size, self.chip_size)
                cv2.resize(rgb[top:bottom, left:right], size, dst=chip, interpolation=cv2.INTER_AREA)
        return chips

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``(n, 512)`` of unit norm; pixels enter as ``(x - 127.5) / 128``."""
        import torch

        if not len(chips):
            return np.zeros((0, self.dimension), np.float32)
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(chips)).to(self._device)
            pixels = (batch.permute(0, 3, 1, 2).float() - 127.5) / 128.0
            vectors = self._net(pixels).float().cpu().numpy()
        return unit_norm(vectors)

    def similarity(self, a: Float, b: Float) -> NDArray[np.float64]:
        """Cosine."""
        return cosine_similarity(a, b)


@cache
def _load_facenet(path: Path, sha256: str, device: Device) -> tuple[Any, str]:
    import torch
    from facenet_pytorch import InceptionResnetV1

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        net = InceptionResnetV1(pretrained=None)
        # The released file also holds the classifier over the 8,631 training identities.
        net.load_state_dict({k: v for k, v in state.items() if not k.startswith("logits.")})
    except Exception as error:  # torch raises a different class for each way a file can be wrong
        what = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise Unavailable(
            f"{path} (sha256 {sha256[:16]}...) is no state of InceptionResnetV1: {what}",
            "name the file 20180402-114759-vggface2.pt of facenet-pytorch's release v2.2.9",
        ) from error
    where = torch_device(device)
    return net.eval().to(where), where
