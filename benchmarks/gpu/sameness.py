"""How far features on a GPU lie from those on the CPU, for the same frames; and whether a GPU repeats itself.

Fingerprints of features hold the class of device, so that the two never mix in a cache. This says what they would
mix: the largest distance between two rows, beside the rows' own length; for the detector, whether it finds the same
faces and how far boxes and scores lie apart. Once more on the GPU says whether one card gives the same bytes twice,
and rows embedded one by one whether a batch's size changes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import clips
from benchmarks.gpu.measure import Report, table

UInt8 = NDArray[np.uint8]
Rows = NDArray[np.float32]


def measure(
    report: Report, work: Path, device: str, *, toy: bool, faces: Path | None, dlib_net: Path | None
) -> None:
    """Fill the report."""
    n, height, width = (clips.TOY_FRAMES, 160, 240) if toy else (16, 480, 832)
    pictures = clips.portraits(faces)
    clip = clips.drawn(1, n, height, width, pictures)
    report.add("clip", {"frames": n, "height": height, "width": width, "with_portraits": bool(pictures)})
    found, failed = [], []
    for build in (_mtcnn, _dlib, _facenet, _i3d, _clip, _faces):
        name = build.__name__.strip("_")
        begin = time.perf_counter()
        try:
            row = {"stage": name, **build(work, device, toy, clip, pictures, dlib_net)}
            row["seconds"] = time.perf_counter() - begin
            found.append(row)
            report.add("differences", found)
            print(
                f"{name}: { ({k: v for k, v in row.items() if k not in ('stage', 'seconds')}) }", flush=True
            )
        except Exception as error:  # one network that breaks says nothing of the others
            failed.append({"stage": name, "error": f"{type(error).__name__}: {error}"})
            report.add("failed", failed)
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
    table(
        ["rows of", "n", "length", f"cpu to {device}", "of length", "twice", "one by one"],
        [
            [r["stage"], r["rows"], r["length"], r["farthest"], r["relative"], r["twice"], r["one_by_one"]]
            for r in found
            if "farthest" in r
        ],
    )
    table(
        ["faces of", "cpu", device, "boxes px", "landmarks px", "scores", "twice px", "one by one px"],
        [
            [r["stage"], r["faces_cpu"], r["faces"], r["boxes"], r["landmarks"], r["scores"], r["twice_boxes"],
             r["one_by_one_boxes"]]
            for r in found
            if "boxes" in r
        ],
    )  # fmt: skip
    if failed:
        raise SystemExit(f"{len(failed)} of the comparisons failed")


def _apart(cpu: Rows, gpu: Rows, again: Rows, single: Rows) -> dict[str, Any]:
    """Rows of the CPU, of the GPU, of the GPU once more, and of the GPU one by one."""
    if not cpu.shape == gpu.shape == again.shape == single.shape or not len(cpu):
        raise ValueError(f"rows {cpu.shape}, {gpu.shape}, {again.shape}, {single.shape}: nothing to compare")

    def farthest(a: Rows, b: Rows) -> float:
        return float(np.linalg.norm(a.astype(np.float64) - b, axis=1).max())

    length = float(np.linalg.norm(cpu.astype(np.float64), axis=1).mean())
    return {
        "rows": len(cpu),
        "length": length,
        "spread": farthest(cpu[:1], cpu[-1:]),
        "farthest": farthest(cpu, gpu),
        "relative": farthest(cpu, gpu) / length,
        "largest_value": float(np.abs(cpu.astype(np.float64) - gpu).max()),
        "twice": farthest(gpu, again),
        "one_by_one": farthest(gpu, single),
    }


def _of_embedders(
    make: Callable[[str], Callable[[UInt8], Rows]], chips: UInt8, device: str
) -> dict[str, Any]:
    """For an embedder of chips."""
    cpu, gpu = make("cpu"), make(device)
    single = np.concatenate([gpu(chips[i : i + 1]) for i in range(len(chips))])
    return _apart(cpu(chips), gpu(chips), gpu(chips), single)


def _dlib(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    from vgaudit.zoo.dlib_face import SIDE, DlibFaceNet

    layers, which = clips.dlib_layers(dlib_net)
    chips = _chips(clip, pictures, SIDE)
    return {"weights": which, **_of_embedders(lambda where: DlibFaceNet(layers, where), chips, device)}


def _facenet(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    from vgaudit.extractors.face_embedders import FacenetEmbedder

    options = clips.facenet_weights(work, device)

    def make(where: str) -> Callable[[UInt8], Rows]:
        embedder = FacenetEmbedder(FacenetEmbedder.Options(**options, device=where))
        embedder.load()
        return embedder.embed

    return _of_embedders(make, _chips(clip, pictures, 160), device)


def _i3d(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    from vgaudit.extractors.video_embedding import VideoEmbeddingOptions
    from vgaudit.extractors.video_networks import LOADERS

    options = clips.i3d_weights(work, device, toy)
    rules = VideoEmbeddingOptions(**options).rules
    window = clip[: rules.window]
    windows = [window] if toy else [window, window[::-1].copy()]

    def make(where: str) -> Callable[[], Rows]:
        import torch

        network = LOADERS[rules.loader](rules, options["weights"], options["sha256"], where)

        def rows() -> Rows:
            with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
                out = [network.forward(network.batch(w)).float().cpu().numpy() for w in windows]
            return np.concatenate(out)

        return rows

    cpu, gpu = make("cpu"), make(device)
    first = gpu()
    return _apart(cpu(), first, gpu(), first)  # a clip is alone in its batch always


def _clip(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    from vgaudit.extractors.clip import ClipExtractor, ClipOptions

    options, _ = clips.clip_weights(work, device, toy)

    def rows(where: str, batch: int = 32) -> Rows:
        extractor = ClipExtractor(ClipOptions(**options, device=where, batch_size=batch))
        extractor.load()
        found: Rows = clips.extract(extractor, clip)["embedding"]
        return found

    return _apart(rows("cpu"), rows(device), rows(device), rows(device, batch=1))


def _mtcnn(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    from vgaudit.extractors.face_detection import FaceDetector

    def detector(where: str) -> Any:
        made = FaceDetector(device=where)
        made.load()
        return made

    frames = list(clip)
    gpu = detector(device)
    cpu, found, again = detector("cpu").detect_many(frames), gpu.detect_many(frames), gpu.detect_many(frames)
    single = [gpu.detect(rgb) for rgb in frames]
    return {
        "faces_cpu": sum(map(len, cpu)),
        "faces": sum(map(len, found)),
        "boxes": _detections_apart(cpu, found, "boxes"),
        "landmarks": _detections_apart(cpu, found, "landmarks"),
        "scores": _detections_apart(cpu, found, "confidence"),
        "twice_boxes": _detections_apart(found, again, "boxes"),
        "one_by_one_boxes": _detections_apart(found, single, "boxes"),
    }


def _detections_apart(a: list[Any], b: list[Any], name: str) -> float | None:
    """Largest difference, over frames in which both found as many faces; ``None`` where there are none."""
    apart = [
        float(np.abs(getattr(x, name).astype(np.float64) - getattr(y, name)).max())
        for x, y in zip(a, b, strict=True)
        if len(x) == len(y) and len(x)
    ]
    return max(apart, default=None)


def _faces(
    work: Path, device: str, toy: bool, clip: UInt8, pictures: list[UInt8], dlib_net: Path | None
) -> dict[str, Any]:
    """The extractor as a whole: which faces, and how far their vectors lie apart."""
    from vgaudit.extractors.faces import FacesExtractor, FacesOptions

    options = clips.facenet_weights(work, device)

    def features(where: str) -> Any:
        given = {**options, "device": where}
        extractor = FacesExtractor(FacesOptions(embedder="facenet", embedder_options=given, device=where))
        extractor.load()
        return clips.extract(extractor, clip)

    cpu, gpu = features("cpu"), features(device)
    out: dict[str, Any] = {
        "faces_found": [len(cpu["frame_index"]), len(gpu["frame_index"])],
        "usable": [int(cpu["usable"].sum()), int(gpu["usable"].sum())],
        "same_frames_examined": bool(np.array_equal(cpu["frames_examined"], gpu["frames_examined"])),
    }
    if np.array_equal(cpu["frame_index"], gpu["frame_index"]) and len(cpu["frame_index"]):
        for name in ("box", "quality", "embedding") if gpu["usable"].any() else ("box",):
            out[f"largest_{name}"] = float(np.abs(cpu[name].astype(np.float64) - gpu[name]).max())
    return out


def _chips(clip: UInt8, pictures: list[UInt8], side: int) -> UInt8:
    """Squares of portraits where there are some, else of frames."""
    import cv2

    sources = [*pictures, *clip[: 4 if len(clip) <= clips.TOY_FRAMES else 16]]
    squares = [picture[: min(picture.shape[:2]), : min(picture.shape[:2])] for picture in sources]
    return np.stack([cv2.resize(s, (side, side), interpolation=cv2.INTER_AREA) for s in squares]).astype(
        np.uint8
    )
