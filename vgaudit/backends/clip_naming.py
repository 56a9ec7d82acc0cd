"""What clips' file names say of their prompts: VBench's ``<prompt>-<i>.mp4``, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

Naming = Literal["auto", "vbench", "plain"]

_VBENCH = re.compile(r"(?P<prompt>.*\S)-(?P<index>[0-9]{1,9})", re.DOTALL)


def split_vbench(path: str) -> tuple[str, int] | None:
    """``("a dog runs", 3)`` of ``x/a dog runs-3.mp4``; ``None`` where the name has another shape.

    >>> split_vbench("a dog runs-3.mp4")
    ('a dog runs', 3)
    """
    name = PurePosixPath(path).name
    stem = name[: -len(PurePosixPath(path).suffix)] if PurePosixPath(path).suffix else name
    match = _VBENCH.fullmatch(stem)
    return (match["prompt"].strip(), int(match["index"])) if match else None


def looks_like_vbench(paths: Sequence[str]) -> bool:
    """Whether all names are ``<prompt>-<i>`` and what stands before the number reads like prompts.

    Every name must have the shape, most prompts must have more than one word, and either a prompt repeats or
    every number is 0. Anything less is left alone: a wrong prompt is worse than none.
    """
    parts = [split_vbench(p) for p in paths]
    named = [p for p in parts if p is not None]
    if not named or len(named) < len(parts):
        return False
    prompts = Counter(prompt for prompt, _ in named)
    words = sum(len(prompt.split()) > 1 for prompt in prompts)
    return 2 * words > len(prompts) and (max(prompts.values()) > 1 or all(i == 0 for _, i in named))


def read_names(paths: Sequence[str], naming: Naming) -> dict[str, tuple[str, int]]:
    """Prompt and seed of every path whose name says them; empty for plain names.

    Raises:
        ValueError: ``naming`` is ``vbench`` but a name has another shape.
    """
    if naming == "plain" or (naming == "auto" and not looks_like_vbench(paths)):
        return {}
    named = {p: split_vbench(p) for p in paths}
    if odd := [p for p, parts in named.items() if parts is None]:
        shown = ", ".join(odd[:5])
        raise ValueError(
            f"naming: vbench expects '<prompt>-<i>.mp4'; {len(odd)} names differ, such as {shown}"
        )
    return {p: parts for p, parts in named.items() if parts is not None}
