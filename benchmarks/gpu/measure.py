"""Clocks, counters and ceilings that the parts share; and the report they write as they go."""

from __future__ import annotations

import json
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

PACKAGES = (
    "torch", "torchvision", "triton", "diffusers", "transformers", "accelerate", "open-clip-torch", "facenet-pytorch",
    "timm", "av", "numpy", "opencv-python-headless", "pillow",
)  # fmt: skip


def sync(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def times(run: Callable[[], Any], device: str, seconds: float, fewest: int = 3) -> list[float]:
    """Seconds of each of some runs after a warm-up: as many as fit into ``seconds``, ``fewest`` at least."""
    run()
    sync(device)
    start = time.perf_counter()
    run()
    sync(device)
    once = max(time.perf_counter() - start, 1e-6)
    count = max(fewest, min(1000, int(seconds / once)))
    if device != "cuda":
        out = [once]
        for _ in range(count - 1):
            start = time.perf_counter()
            run()
            out.append(time.perf_counter() - start)
        return out
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)
    ]
    for begin, end in events:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in events]


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products may be rounded to TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=allowed):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@dataclass(frozen=True)
class Ceilings:
    """What this card does at best, as measured: TFLOP/s of a square product by precision, GB/s of a copy."""

    tflops: Mapping[str, float]
    copy_gbs: float

    def floor(self, flops: float, bytes_: float, precision: str) -> tuple[float, str]:
        """Least seconds for so many operations and bytes, and which of the two it is."""
        compute = flops / (self.tflops[precision] * 1e12)
        memory = bytes_ / (self.copy_gbs * 1e9)
        return (compute, "FLOPs") if compute >= memory else (memory, "memory")


def ceilings(device: str, toy: bool) -> Ceilings:
    """Measure them: on random numbers, of a size that fills the card; the median."""
    side, values = (256, 1 << 18) if toy else (8192, 1 << 30)
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(side, side, device=device, generator=generator) for _ in range(2))
    rates = {}
    for name, allowed, kind in (
        ("fp32", False, torch.float32),
        ("tf32", True, torch.float32),
        ("bf16", False, torch.bfloat16),
    ):
        x, y = a.to(kind), b.to(kind)
        with tf32(allowed):
            took = statistics.median(times(lambda x=x, y=y: x @ y, device, 1.0))  # type: ignore[misc]
        rates[name] = 2 * side**3 / took / 1e12
    source = torch.randn(values, device=device, generator=generator)
    target = torch.empty_like(source)
    took = statistics.median(times(lambda: target.copy_(source), device, 1.0))
    return Ceilings(rates, 2 * 4 * values / took / 1e9)


class _Bytes(TorchDispatchMode):
    """Sums what operations read and write, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not is_view and "empty" not in func._schema.name:
            seen = {id(t): t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)}
            self.total += sum(t.numel() * t.element_size() for t in seen.values())
        return out


def work_of(run: Callable[[], Any]) -> tuple[int, int]:
    """FLOPs of a call, and bytes: every operation reads its inputs and writes its outputs once.

    A compiler that joins operations moves fewer bytes; eager kernels do not.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the joint kernel would count as nothing
    try:
        with torch.no_grad():
            with FlopCounterMode(display=False) as counter:
                run()
            with _Bytes() as moved:
                run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops(), moved.total


class Utilisation:
    """Samples what the driver says of the card while something runs; where it says nothing, why."""

    def __init__(self, device: str, every: float = 0.05) -> None:
        self._device, self._every = device, every
        self._samples: list[tuple[float, float, float]] = []
        self._reason = "" if device == "cuda" else "no GPU"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Utilisation:
        if not self._reason:
            try:
                import pynvml

                pynvml.nvmlInit()
                handle = pynvml.nvmlDeviceGetHandleByIndex(0)
                self._thread = threading.Thread(target=self._watch, args=(pynvml, handle), daemon=True)
                self._thread.start()
            except Exception as error:
                self._reason = f"{type(error).__name__}: {error}"
        return self

    def _watch(self, nvml: Any, handle: Any) -> None:
        while not self._stop.wait(self._every):
            try:
                busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                used = nvml.nvmlDeviceGetMemoryInfo(handle).used / 2**30
                watts = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
            except Exception as error:
                self._reason = f"{type(error).__name__}: {error}"
                return
            self._samples.append((busy, used, watts))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def facts(self) -> dict[str, Any]:
        if not self._samples:
            return {"reason": self._reason or "too short for a sample"}
        busy, used, watts = zip(*self._samples, strict=True)
        return {
            "samples": len(busy),
            "busy_percent": round(statistics.fmean(busy), 1),
            "memory_gib": round(max(used), 2),
            "watts": round(statistics.fmean(watts), 1),
        }


def kernel_share(run: Callable[[], Any], device: str) -> dict[str, Any]:
    """Seconds of kernels in a call, and the share of its wall time; by torch's profiler, or why not."""
    if device != "cuda":
        return {"reason": "no GPU"}
    try:
        from torch.profiler import ProfilerActivity, profile

        sync(device)
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            start = time.perf_counter()
            run()
            sync(device)
            wall = time.perf_counter() - start
        busy = sum(e.self_device_time_total for e in found.key_averages()) / 1e6
    except Exception as error:
        return {"reason": f"{type(error).__name__}: {error}"}
    return {"kernel_s": busy, "wall_s": wall, "share": busy / wall}


def settings(device: str, toy: bool) -> dict[str, Any]:
    """Card, versions and switches."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    out: dict[str, Any] = {
        "device": device,
        "toy": toy,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_threads": torch.get_num_threads(),
        "packages": found,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        "cuda": torch.version.cuda,
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        out |= {
            "card": card.name,
            "memory_gib": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
        }
    return out


class Report:
    """What a part found; on disk after every addition, so that a part that is cut off leaves what it had."""

    def __init__(self, out: Path, part: str, facts: Mapping[str, Any]) -> None:
        self._path = out / f"{part}.json"
        self.data: dict[str, Any] = {"part": part, "settings": dict(facts), "complete": False}
        out.mkdir(parents=True, exist_ok=True)
        self._save()
        print(
            f"== {part}: {facts.get('card', facts['device'])}, torch {facts['packages'].get('torch')}",
            flush=True,
        )

    def add(self, name: str, value: Any) -> None:
        self.data[name] = value
        self._save()

    def done(self) -> None:
        self.add("complete", True)

    def _save(self) -> None:
        self._path.write_text(json.dumps(self.data, indent=1, default=str))


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their heads, numbers to the right."""
    text = [[_shown(value) for value in row] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in text), 0) for i, head in enumerate(heads)]
    print("  ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)))
    for row, values in zip(text, rows, strict=True):
        print(
            "  ".join(
                cell.ljust(width) if isinstance(value, str) else cell.rjust(width)
                for cell, width, value in zip(row, widths, values, strict=True)
            )
        )
    print(flush=True)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
