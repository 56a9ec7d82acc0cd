"""The loop that every training shares: its arguments, rate of learning, curve and checkpoints.

A training that was stopped goes on from its last checkpoint when the same command is given again, with the same
numbers drawn, because each step draws from a generator of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

KEPT_EVERY_S = 240.0


class Part(Protocol):
    """What a checkpoint holds: networks, averages, optimizers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


def arguments(
    doc: str | None, *, steps: int, lr: float, batch: int, measured: bool = False
) -> argparse.ArgumentParser:
    """The arguments that all trainings have; one that cannot do without held-out clips is ``measured``."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of storyworld_clips.py")
    parser.add_argument(
        "--held-out", type=Path, required=measured, help="folder of held-out clips to measure on"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="translate the step with torch.compile: a minute at the start, and several times as fast (generators)",
    )
    return parser


def compiled(step: Callable[..., Any], args: argparse.Namespace) -> Callable[..., Any]:
    """``step``, translated if the arguments ask for it."""
    return torch.compile(step) if args.compile else step


def averaged(network: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """A running average of a network's weights."""
    return torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True
    )


def descend(loss: torch.Tensor, *optimizers: torch.optim.Optimizer) -> None:
    """One step down; AdamW's part of the gradient has length 1 at most. Muon's steps have a length of their own."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for o in optimizers for g in o.param_groups for p in g["params"]], 1.0)
    for optimizer in optimizers:
        optimizer.step()


def train(
    args: argparse.Namespace,
    parts: Mapping[str, Part],
    optimizers: Sequence[torch.optim.Optimizer],
    update: Callable[[np.random.Generator], Mapping[str, float | torch.Tensor]],
    *,
    warm: int = 200,
    measure: Callable[[], Mapping[str, float]] | None = None,
    measured_every: int = 400,
    write: Callable[[], None],
) -> None:
    """Call ``update`` once for each step that is left; it learns from one batch and returns what is to be plotted.

    Rates of learning rise over ``warm`` steps and fall along a cosine to a fiftieth. ``measure`` is asked every
    ``measured_every`` steps and at the end. ``write`` is called after each checkpoint. Numbers to plot are read from
    the device every 50 steps only, so that a GPU need not wait for them.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    curve, checkpoint = args.out / "curve.jsonl", args.out / "checkpoint.pt"
    stored = {**parts, **{f"optimizer{i or ''}": o for i, o in enumerate(optimizers)}}
    rates = [[g["lr"] for g in o.param_groups] for o in optimizers]
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for name, part in stored.items():
            part.load_state_dict(saved[name])
        first = int(saved["step"])
        keep_curve(curve, first)
    start = kept_at = time.perf_counter()
    seen: list[Mapping[str, float | torch.Tensor]] = []
    for step in range(first, args.steps):
        share = min(1.0, (step + 1) / warm) * (0.51 + 0.49 * math.cos(math.pi * step / args.steps))
        for optimizer, lrs in zip(optimizers, rates, strict=True):
            for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                group["lr"] = lr * share
        torch.manual_seed(args.seed * 1_000_003 + step)
        seen.append(update(np.random.default_rng([args.seed, step])))
        last = step + 1 == args.steps
        line: dict[str, Any] = {"step": step + 1}
        if len(seen) == 50 or last:
            line |= {k: round(float(np.mean([float(s[k]) for s in seen if k in s])), 4) for k in seen[-1]}
            seen.clear()
        if measure is not None and ((step + 1) % measured_every == 0 or last):
            line["held_out"] = dict(measure())
        if len(line) > 1:
            with curve.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            rate = (step + 1 - first) * args.batch / (time.perf_counter() - start)
            print(json.dumps(line), f"{rate:.1f}/s", flush=True)
        if last or time.perf_counter() - kept_at > KEPT_EVERY_S:
            state = {**{k: v.state_dict() for k, v in stored.items()}, "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            write()
            kept_at = time.perf_counter()


def keep_curve(curve: Path, steps: int) -> None:
    """Cut a curve back to the step a training goes on from, so that no step stands in it twice."""
    if curve.exists():
        lines = [line for line in curve.read_text("utf-8").splitlines() if json.loads(line)["step"] <= steps]
        curve.write_text("".join(f"{line}\n" for line in lines), "utf-8")
