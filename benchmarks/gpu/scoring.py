"""How many clips a second the networks that score take, and how near the card's ceilings they are.

Each network is timed twice. Through its extractor, on decoded frames, on one thread and on as many as a run has:
clips a second, what the driver says of the card, and the share of the wall time in which a kernel ran. And alone, on
batches as the extractor forms them and larger ones, in the precisions there are: seconds, FLOP/s and bytes a second
against a measured matrix product and copy. Its floor is the larger of FLOPs over the product's rate and bytes over
the copy's, where every operation reads its inputs and writes its outputs once. What another precision changes is the
largest distance of two output rows, as a share of the fp32 row's length. bf16 is autocast over float32 weights.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu import clips
from benchmarks.gpu.measure import (
    Ceilings,
    Report,
    Utilisation,
    ceilings,
    kernel_share,
    sync,
    table,
    tf32,
    times,
    work_of,
)
from vgaudit.execution.local import default_workers

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Alone:
    """A network by itself: ``batch(n)`` gives its input, ``forward`` rows of output."""

    forward: Callable[[Any], Any]
    batch: Callable[[int], Any]
    sizes: tuple[int, ...]
    module: Any = None
    channels_last: Any = None


@dataclass(frozen=True)
class Stage:
    """What is timed: a clip through the extractor, and the network alone."""

    name: str
    whole: Callable[[UInt8], Any]
    what: str
    alone: Alone | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def measure(
    report: Report, work: Path, device: str, *, toy: bool, faces: Path | None, dlib_net: Path | None
) -> None:
    """Fill the report."""
    n, height, width = (clips.TOY_FRAMES, 160, 240) if toy else (32, 480, 832)
    pictures = clips.portraits(faces)
    some = [clips.drawn(seed, n, height, width, pictures) for seed in range(1 if toy else 4)]
    best = ceilings(device, toy)
    report.add("ceilings", {"tflops": dict(best.tflops), "copy_gbs": best.copy_gbs})
    report.add("clips", {"frames": n, "height": height, "width": width, "with_portraits": bool(pictures)})
    rates = ", ".join(f"{name} {rate:.4g}" for name, rate in best.tflops.items())
    print(
        f"ceilings: {rates} TFLOP/s; copy {best.copy_gbs:.4g} GB/s\nclips: {n} frames of {width}x{height}, decoded; "
        f"{'a portrait in each' if pictures else 'no face in any'}", flush=True,
    )  # fmt: skip
    seconds = 0.0 if toy else 2.0
    through, alone, failed = [], [], []
    for build in (_mtcnn, _facenet, _dlib, _i3d, _clip, _faces):
        try:
            begin = time.perf_counter()
            stage = build(work, device, toy, dlib_net)
            sync(device)
            loaded = time.perf_counter() - begin
            row = {"load_s": loaded, **stage.facts, **_through(stage, some, device, seconds)}
            through.append({"stage": stage.name, **row})
            report.add("through_extractors", through)
            _print_through(through[-1:], first=len(through) == 1)
            if stage.alone is not None:
                found = _by_itself(stage, stage.alone, device, seconds, best, toy=toy)
                alone.extend(found)
                report.add("networks_alone", alone)
                _print_alone(found)
            del stage
        except Exception as error:  # one network that breaks says nothing of the others
            failed.append({"stage": build.__name__.strip("_"), "error": f"{type(error).__name__}: {error}"})
            report.add("failed", failed)
            print(f"{build.__name__.strip('_')} failed: {type(error).__name__}: {error}", flush=True)
        if device == "cuda":
            torch.cuda.empty_cache()
    print("All of them again:")
    _print_through(through, first=True)
    _print_alone(alone)
    if failed:
        raise SystemExit(f"{len(failed)} of the stages failed")


# -- the stages --------------------------------------------------------------------------------------


def _clip(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from vgaudit.extractors.clip import ClipExtractor, ClipOptions
    from vgaudit.zoo.clip_models import load_clip

    options, _ = clips.clip_weights(work, device, toy)
    extractor = ClipExtractor(ClipOptions(**options, device=device))
    extractor.load()
    model = load_clip(extractor.options.choice)
    side = model.facts["preprocessing"]["size"][0]
    network = model.network
    return Stage(
        "clip ViT-L/14" if not toy else "clip (toy)",
        lambda clip: clips.extract(extractor, clip),
        "all frames",
        Alone(
            lambda x: network.encode_image(x, normalize=True),
            lambda n: torch.randn(n, 3, side, side, device=device),
            (2,) if toy else (32, 128),
            network.visual,
        ),
    )


def _i3d(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
    from vgaudit.zoo.inception_i3d import load_inception_i3d

    options = clips.i3d_weights(work, device, toy)
    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(**options, device=device))
    extractor.load()
    network = load_inception_i3d(options["weights"], options["sha256"], device).network
    frames = extractor.options.rules.window
    return Stage(
        "I3D",
        lambda clip: clips.extract(extractor, clip),
        f"its first {frames} frames",
        Alone(
            network,
            lambda n: torch.randn(n, 3, frames, 224, 224, device=device).clamp(-1, 1),
            (1,) if toy else (1, 8),
            network,
            torch.channels_last_3d,
        ),
    )


def _facenet(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from facenet_pytorch import InceptionResnetV1

    from vgaudit.extractors.face_embedders import FacenetEmbedder

    options = clips.facenet_weights(work, device)
    embedder = FacenetEmbedder(FacenetEmbedder.Options(**options, device=device))
    embedder.load()
    network = InceptionResnetV1(pretrained=None)
    network.load_state_dict(torch.load(options["weights"], map_location="cpu", weights_only=True))
    network = network.eval().requires_grad_(False).to(device)
    count = 2 if toy else 16
    return Stage(
        "InceptionResnetV1",
        lambda clip: embedder.embed(_chips(clip, embedder.chip_size, count)),
        f"{count} chips, aligned already",
        Alone(
            network,
            lambda n: torch.randn(n, 3, 160, 160, device=device),
            (2,) if toy else (16, 128),
            network,
            torch.channels_last,
        ),
    )


def _dlib(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from vgaudit.zoo.dlib_face import SIDE, DlibFaceNet

    layers, which = clips.dlib_layers(dlib_net)
    network = DlibFaceNet(layers, device)
    rng = np.random.default_rng(0)
    count = 2 if toy else 16
    return Stage(
        "dlib's network",
        lambda clip: network(_chips(clip, SIDE, count)),
        f"{count} chips, aligned already",
        Alone(
            network,
            lambda n: rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8),
            (2,) if toy else (16, 128),
        ),
        {"weights": which},
    )


def _mtcnn(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from vgaudit.extractors.face_detection import FaceDetector

    detector = FaceDetector(device=device)
    detector.load()

    def whole(clip: UInt8) -> Any:
        size = detector.batch
        return [d for i in range(0, len(clip), size) for d in detector.detect_many(list(clip[i : i + size]))]

    return Stage("MTCNN", whole, "all frames", facts={"batch": detector.batch})


def _faces(work: Path, device: str, toy: bool, dlib_net: Path | None) -> Stage:
    from vgaudit.extractors.faces import FacesExtractor, FacesOptions

    options = {**clips.facenet_weights(work, device), "device": device}
    extractor = FacesExtractor(FacesOptions(embedder="facenet", embedder_options=options, device=device))
    extractor.load()
    return Stage(
        "faces (MTCNN, InceptionResnetV1)", lambda clip: clips.extract(extractor, clip), "frames it chooses"
    )


def _chips(clip: UInt8, side: int, count: int) -> UInt8:
    """Squares of a clip's frames, as chips of faces would be."""
    import cv2

    short = min(clip.shape[1:3])
    frames = [clip[i % len(clip)][:short, :short] for i in range(count)]
    return np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames]).astype(
        np.uint8
    )


# -- how they are timed ------------------------------------------------------------------------------


def _through(stage: Stage, some: list[UInt8], device: str, seconds: float) -> dict[str, Any]:
    """Clips a second by one thread and by a run's; use of the card."""
    for clip in some[:2]:
        stage.whole(clip)  # warm
    sync(device)
    flops, _ = work_of(lambda: stage.whole(some[0]))
    rates, use = {}, {}
    for threads in sorted({1, default_workers()}):
        with ThreadPoolExecutor(threads) as pool, Utilisation(device) as watched:
            begin, done = time.perf_counter(), 0
            while not done or time.perf_counter() - begin < seconds:
                done += len(list(pool.map(stage.whole, some)))
            sync(device)
            rates[threads] = done / (time.perf_counter() - begin)
        use[threads] = watched.facts()
    return {
        "what": stage.what,
        "clips_per_s": rates[1],
        "threads": max(rates),
        "clips_per_s_threads": rates[max(rates)],
        "tflop_per_clip": flops / 1e12,
        "tflops_threads": flops / 1e12 * rates[max(rates)],
        "driver": use,
        "kernels": kernel_share(lambda: stage.whole(some[0]), device),
    }


@contextmanager
def _in_precision(name: str, device: str) -> Iterator[None]:
    kind = torch.bfloat16 if name == "bf16" else None
    with tf32(name == "tf32"), torch.autocast(device, dtype=kind, enabled=kind is not None):
        yield


def _by_itself(
    stage: Stage, net: Alone, device: str, seconds: float, best: Ceilings, *, toy: bool
) -> list[dict[str, Any]]:
    """Rows for every size and precision; a module can be laid out channels last too."""
    rows = []
    for size in net.sizes:
        x = net.batch(size)

        def run(x: Any = x) -> Any:
            with torch.inference_mode():
                return net.forward(x)

        with _in_precision("fp32", device):
            exact = _rows(run())
        flops, moved = work_of(run)
        ways = [("fp32", False), *([("tf32", False), ("bf16", False)] if net.module is not None else [])]
        if net.channels_last is not None:
            ways += [("fp32", True), ("bf16", True)]
        if toy:
            ways = [ways[0], *ways[1:][-1:]]
        for precision, last in ways:
            given = x
            if last:
                net.module.to(memory_format=net.channels_last)
                given = x.contiguous(memory_format=net.channels_last)
            try:
                with _in_precision(precision, device):
                    out = _rows(run(given))
                    took = statistics.median(
                        times(lambda g=given: run(g), device, seconds / 4, fewest=1 if toy else 3)
                    )  # type: ignore[misc]
            finally:
                if last:
                    net.module.to(memory_format=torch.contiguous_format)
            bytes_ = moved / 2 if precision == "bf16" else moved
            floor, bound = best.floor(flops, bytes_, precision)
            rows.append(
                {
                    "stage": stage.name, "batch": size, "precision": precision, "channels_last": last,
                    "seconds": took, "per_s": size / took, "tflop": flops / 1e12, "tflops": flops / took / 1e12,
                    "gb": bytes_ / 1e9, "gb_per_s": bytes_ / took / 1e9, "floor_s": floor, "bound": bound,
                    "share_of_floor": floor / took,
                    "distance": float((np.linalg.norm(out - exact, axis=1) / np.linalg.norm(exact, axis=1)).max()),
                }
            )  # fmt: skip
    return rows


def _rows(out: Any) -> NDArray[np.float64]:
    values = out.float().cpu().numpy() if isinstance(out, torch.Tensor) else np.asarray(out)
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _print_through(rows: list[dict[str, Any]], *, first: bool) -> None:
    heads = [
        "through the extractor", "of a clip", "clips/s", "clips/s threads", "threads", "GFLOP/clip", "TFLOP/s",
        "kernels run %", "driver busy %",
    ]  # fmt: skip
    if first:
        print("kernels run: of one clip on one thread; driver busy and TFLOP/s: with the threads")
    table(
        heads,
        [
            [
                r["stage"], r["what"], r["clips_per_s"], r["clips_per_s_threads"], r["threads"],
                1000 * r["tflop_per_clip"], r["tflops_threads"],
                100 * r["kernels"]["share"] if "share" in r["kernels"] else None,
                r["driver"][r["threads"]].get("busy_percent"),
            ]
            for r in rows
        ],
    )  # fmt: skip


def _print_alone(rows: list[dict[str, Any]]) -> None:
    heads = [
        "network alone",
        "batch",
        "as",
        "ms",
        "per s",
        "TFLOP/s",
        "GB/s",
        "floor ms",
        "bound",
        "of floor",
        "differs",
    ]
    table(
        heads,
        [
            [
                r["stage"], r["batch"], r["precision"] + (" last" if r["channels_last"] else ""), 1000 * r["seconds"],
                r["per_s"], r["tflops"], r["gb_per_s"], 1000 * r["floor_s"], r["bound"], r["share_of_floor"],
                r["distance"],
            ]
            for r in rows
        ],
    )  # fmt: skip
