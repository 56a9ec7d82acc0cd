"""Any ArcFace-like network as an ONNX file with a manifest: how InsightFace, AdaFace, SFace and others come in.

The manifest (YAML or JSON) stands beside the network and says what nobody can read off the file:

    name: buffalo_l                    # for reports
    file: w600k_r50.onnx               # relative to the manifest, in its folder or below
    sha256: <64 hex digits of the file>
    licence: non-commercial research   # shown in reports; observing it is the user's matter
    dimension: 512
    size: 112                          # side of the input in pixels
    channels: rgb                      # or bgr
    mean: 127.5                        # one number or three, in the order of `channels`
    std: 127.5
    template: arcface                  # or five [x, y] points in pixels of the input
    threshold: 0.408                   # cosine at which a match is called; needs threshold_source
    threshold_source: InsightFace buffalo_l, FAR 1e-6
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vgaudit.errors import Unavailable, UsageError
from vgaudit.extractors.base import make_fingerprint
from vgaudit.extractors.face_embedding import (
    EmbedderOptions,
    Float,
    Measure,
    OperatingPoint,
    cosine_similarity,
    unit_norm,
)
from vgaudit.extractors.face_weights import installed_release

MAX_MANIFEST_BYTES = 64 * 1024

ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where ArcFace training put eyes, nose and corners of the mouth in a 112 px input (InsightFace)."""

Triple = tuple[float, float, float]
Point = tuple[float, float]


class OnnxManifest(BaseModel):
    """The manifest; see the module's text for each field."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=80)
    file: str
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    licence: str = Field(min_length=1)
    dimension: int = Field(ge=8, le=4096)
    size: int = Field(default=112, ge=32, le=512)
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: float | Triple = 127.5
    std: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...] = 127.5
    template: Literal["arcface"] | tuple[Point, Point, Point, Point, Point] = "arcface"
    threshold: float | None = Field(default=None, gt=-1, le=1)
    threshold_source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> OnnxManifest:
        if isinstance(self.std, tuple) and len(self.std) != 3:
            raise ValueError("std needs one number or three")
        if self.threshold is not None and not self.threshold_source.strip():
            raise ValueError("threshold needs threshold_source: who published it, at what error rate")
        path = Path(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("file must lie beside the manifest or below it")
        if np.linalg.matrix_rank(self.points() - self.points().mean(0)) < 2:
            raise ValueError("the five points of template lie on one line")
        return self

    def points(self) -> NDArray[np.float64]:
        """Template points in pixels of the input, ``(5, 2)``."""
        if self.template == "arcface":
            return np.array(ARCFACE_TEMPLATE) * (self.size / 112)
        return np.array(self.template, dtype=np.float64)


def read_manifest(path: Path) -> OnnxManifest:
    """Read a manifest.

    Raises:
        Unavailable: There is no such file.
        UsageError: It is wrong; the message names the field.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        reason = f"the manifest of the ONNX face embedder cannot be read: {path}: {error.strerror}"
        raise Unavailable(reason, "name it: `embedder_options: {manifest: PATH}`") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise UsageError(f"{path}: a manifest is at most {MAX_MANIFEST_BYTES} bytes")
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(data.decode())
        return OnnxManifest.model_validate(content)
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not a YAML or JSON file: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'][:1]) or 'manifest'}: {e['msg']}" for e in error.errors()
        )
        raise UsageError(f"{path}: {problems}") from error


class OnnxEmbedder:
    """A network in an ONNX file: vectors of unit norm, compared by cosine."""

    name: ClassVar[str] = "onnx"
    path_options: ClassVar[tuple[str, ...]] = ("manifest",)

    class Options(EmbedderOptions):
        """Options of the ONNX embedder.

        Attributes:
            manifest: Path of the manifest.
        """

        manifest: str

    measure: Measure = "cosine"

    def __init__(self, options: Options) -> None:
        self._manifest_path = Path(options.manifest).expanduser()
        self.manifest = read_manifest(self._manifest_path)
        described = self.manifest.model_dump(
            mode="json", exclude={"name", "file", "licence", "sha256", "threshold", "threshold_source"}
        )
        described |= {
            "onnxruntime": installed_release("onnxruntime", "onnxruntime-gpu"),
            "opencv": cv2.__version__,
        }
        self.fingerprint = make_fingerprint(self.name, 1, described, net=self.manifest.sha256.lower())
        self.dimension = self.manifest.dimension
        self.points: tuple[OperatingPoint, ...] = ()
        if (threshold := self.manifest.threshold) is not None:
            stated = f"cosine {threshold:g}"
            self.points = (OperatingPoint("published", threshold, stated, self.manifest.threshold_source),)
        self._session: Any = None

    def load(self) -> None:
        """Read the network once, check its digest and its shapes, and start the runtime.

        Raises:
            Unavailable: onnxruntime or the file is missing, or the file is another than the manifest's.
            UsageError: The network does not have the input or output the manifest states.
        """
        if self._session is not None:
            return
        try:
            import onnxruntime
        except ImportError as error:
            raise Unavailable("onnxruntime is not installed", "pip install 'vgaudit[onnx]'") from error
        path = self._manifest_path.parent / self.manifest.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}", "put the network there") from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.manifest.sha256.lower():
            raise Unavailable(
                f"{path} has sha256 {found}, its manifest says {self.manifest.sha256}",
                "fetch the file again, or correct the manifest if this is the network you mean",
            )
        try:
            session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises classes of its own that are not public
            raise UsageError(
                f"{path} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}"
            ) from error
        self._check(session, path)
        self._session = session

    def _check(self, session: Any, path: Path) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or not outputs:
            raise UsageError(
                f"{path}: expected one input and an output, found {len(inputs)} and {len(outputs)}"
            )
        shape, size = inputs[0].shape, self.manifest.size
        wanted = (None, 3, size, size)
        fixed = [
            (have, want) for have, want in zip(shape, wanted, strict=False) if isinstance(have, int) and want
        ]
        if len(shape) != 4 or any(have != want for have, want in fixed):
            raise UsageError(f"{path}: input {shape}, but the manifest says (n, 3, {size}, {size})")
        if inputs[0].type != "tensor(float)":
            raise UsageError(f"{path}: input is {inputs[0].type}, expected tensor(float)")
        last = outputs[0].shape[-1] if outputs[0].shape else None
        if isinstance(last, int) and last != self.dimension:
            raise UsageError(f"{path}: output has {last} numbers, but the manifest says {self.dimension}")
        self._input, self._output = inputs[0].name, outputs[0].name
        self._one_by_one = shape[0] == 1

    def align(
        self, rgb: NDArray[np.uint8], boxes: NDArray[np.float32], landmarks: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Chips ``(n, size, size, 3)``: the landmarks moved onto the template by a similarity transform."""
        size = self.manifest.size
        chips = np.zeros((len(boxes), size, size, 3), np.uint8)
        for chip, points in zip(chips, landmarks, strict=True):
            matrix = similarity_transform(points.astype(np.float64), self.manifest.points())
            cv2.warpAffine(rgb, matrix, (size, size), dst=chip, flags=cv2.INTER_LINEAR)
        return chips

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``(n, dimension)`` of unit norm."""
        if not len(chips):
            return np.zeros((0, self.dimension), np.float32)
        pixels = chips.astype(np.float32)
        if self.manifest.channels == "bgr":
            pixels = pixels[..., ::-1]
        mean, std = (np.array(v, np.float32) for v in (self.manifest.mean, self.manifest.std))
        planes = np.ascontiguousarray(((pixels - mean) / std).transpose(0, 3, 1, 2))
        batches = [planes[i : i + 1] for i in range(len(planes))] if self._one_by_one else [planes]
        parts = [self._session.run([self._output], {self._input: batch})[0] for batch in batches]
        vectors = np.concatenate(parts).reshape(len(chips), -1)
        if vectors.shape[1] != self.dimension:
            raise UsageError(
                f"{self.manifest.file} gave {vectors.shape[1]} numbers a face, but the manifest says {self.dimension}"
            )
        return unit_norm(vectors)

    def similarity(self, a: Float, b: Float) -> NDArray[np.float64]:
        """Cosine."""
        return cosine_similarity(a, b)


def similarity_transform(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation, scale and shift (no mirroring) that moves ``source`` closest to ``target``.

    Least squares over points ``(n, 2)``, as ``(2, 3)`` matrix for ``cv2.warpAffine``. With points as complex
    numbers it is ``t = a s + b``: ordinary regression. Points that all coincide give a pure shift.
    """
    s, t = source @ [1, 1j], target @ [1, 1j]
    centred = s - s.mean()
    spread = float((np.abs(centred) ** 2).sum())
    a = (
        complex((np.conj(centred) * (t - t.mean())).sum() / spread)
        if spread > 0 and math.isfinite(spread)
        else 1
    )
    b = complex(t.mean() - a * s.mean())
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
