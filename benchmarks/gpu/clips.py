"""Clips to score, and files of random weights to score them with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vgaudit.video import ClipInfo, Frames

UInt8 = NDArray[np.uint8]
FPS = 16.0
TOY_FRAMES = 9
"""The fewest that I3D takes."""

FACE_PICTURE = 0.45
"""Side of a planted portrait as a share of the frame's short side."""


def portraits(folder: Path | None) -> list[UInt8]:
    """Pictures below ``folder``, RGB; none without one."""
    if folder is None:
        return []
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    read = [cv2.imread(str(path)) for path in paths]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in read if picture is not None]


def drawn(seed: int, frames: int, height: int, width: int, faces: list[UInt8]) -> UInt8:
    """A soft drifting ground with grain and, if there are any, a portrait that moves over it: ``(T, H, W, 3)``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(0, 8, (height, width, 3), dtype=np.uint8)
    clip = np.stack([cv2.add(np.roll(ground, 2 * t, axis=1), grain) for t in range(frames)])
    if faces:
        picture = faces[seed % len(faces)]
        side = int(FACE_PICTURE * min(height, width))
        scale = side / max(picture.shape[:2])
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        for t, frame in enumerate(clip):
            left = min(int(0.1 * width + 3 * t), width - size[0])
            top = min(int(0.2 * height + t), height - size[1])
            frame[top : top + size[1], left : left + size[0]] = small
    return np.ascontiguousarray(clip, dtype=np.uint8)


def extract(extractor: Any, clip: UInt8) -> Any:
    """Features of a clip, pushed in blocks of 16 frames as a run does."""
    n, height, width = clip.shape[:3]
    info = ClipInfo("clip.mp4", width, height, FPS, n, n / FPS, "h264", "mp4", "yuv420p")
    extraction = extractor.start(info)
    for first in range(0, n, 16):
        part = clip[first : first + 16]
        extraction.push(Frames(part, first, (first + np.arange(len(part))) / FPS))
    return extraction.finish()


def kept(path: Path, make: Callable[[Path], None]) -> tuple[Path, str]:
    """A file that an earlier part may have made already, and its digest."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"part-{path.name}")
        make(part)
        part.replace(path)
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def randomised(network: Any, seed: int = 0) -> Any:
    """Weights that carry differences through all layers: He's spread, and normalisation that is nowhere 0 or 1."""
    where = next(network.parameters()).device
    generator = torch.Generator(where).manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            drawn_ = torch.randn(tensor.shape, generator=generator, device=where)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + 0.1 * drawn_.square())
            elif name.endswith("weight") and tensor.ndim >= 2:
                tensor.copy_(drawn_ * (2.0 / tensor[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(0.7 + 0.05 * drawn_)
            else:
                tensor.copy_(0.05 * drawn_)
    return network.eval().requires_grad_(False)


def clip_weights(work: Path, device: str, toy: bool) -> tuple[dict[str, Any], Path]:
    """Options of extractor ``clip`` for ViT-L/14 (toy: a tiny ViT) with random weights, and the file."""
    import json

    import open_clip
    from safetensors.torch import save_file

    if toy:
        config: dict[str, Any] = {
            "model_cfg": {
                "embed_dim": 32,
                "vision_cfg": {
                    "image_size": 64,
                    "layers": 2,
                    "width": 64,
                    "head_width": 32,
                    "patch_size": 16,
                },
                "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
            }
        }
    else:
        config = {"model_cfg": {**open_clip.get_model_config("ViT-L-14"), "quick_gelu": True}}
    config["preprocess_cfg"] = {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
    }
    folder = work / ("clip-toy" if toy else "clip")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))

    def make(path: Path) -> None:
        torch.manual_seed(0)
        with torch.device(device):
            network = open_clip.CLIP(**config["model_cfg"])
        save_file({k: v.cpu().contiguous() for k, v in network.state_dict().items()}, path)

    path, sha256 = kept(folder / "clip.safetensors", make)
    options = {
        "config": str(folder / "open_clip_config.json"),
        "pretrained": str(path),
        "sha256": sha256,
    }
    return options, path


def i3d_weights(work: Path, device: str, toy: bool) -> dict[str, Any]:
    """Options of extractor ``video_embedding`` for the I3D that is built in this package, with random weights.

    The network is the full one for toys too; they see fewer frames.
    """
    from vgaudit.zoo.inception_i3d import KINETICS_400, build

    def make(path: Path) -> None:
        torch.save(
            {k: v.cpu() for k, v in randomised(build(KINETICS_400).to(device)).state_dict().items()}, path
        )

    path, sha256 = kept(work / "i3d.pt", make)
    protocol: Any = "fvd@videogpt"
    if toy:
        protocol = {"name": "toy@i3d", "base": protocol, "window": TOY_FRAMES}
    return {"protocol": protocol, "weights": str(path), "sha256": sha256}


def facenet_weights(work: Path, device: str) -> dict[str, Any]:
    """Options of embedder ``facenet`` with random weights."""
    from facenet_pytorch import InceptionResnetV1

    def make(path: Path) -> None:
        network = InceptionResnetV1(pretrained=None).to(device)
        torch.save({k: v.cpu() for k, v in randomised(network).state_dict().items()}, path)

    path, sha256 = kept(work / "facenet.pt", make)
    return {"weights": str(path), "sha256": sha256}


def dlib_layers(path: Path | None) -> tuple[Any, str]:
    """Layers of dlib's network: of ``path``, of its package, or random; and which of them."""
    from vgaudit.errors import Unavailable
    from vgaudit.extractors.face_weights import DLIB_NET
    from vgaudit.zoo.dlib_face import BLOCKS, DIMENSION, Layer, read_layers

    if path is not None:
        return read_layers(path), f"of {path.name}"
    try:
        return read_layers(DLIB_NET.verified()), "of face-recognition-models"
    except Unavailable:
        pass
    rng = np.random.default_rng(0)
    layers, of = [], 3
    for width, side in [(32, 7), *[(width, 3) for width, _ in BLOCKS for _ in range(2)]]:
        fan = of * side * side
        filters = rng.normal(0, (2 / fan) ** 0.5, width * fan)
        layers.append(Layer("con_4", np.concatenate([filters, np.zeros(width)]).astype(np.float32)))
        layers.append(Layer("affine_", np.repeat([0.7, 0.02], width).astype(np.float32)))
        of = width
    matrix = rng.normal(0, (1 / of) ** 0.5, of * DIMENSION)
    return [*layers, Layer("fc_2", matrix.astype(np.float32))], "random"
