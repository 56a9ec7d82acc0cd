"""What clips' file names say of their prompts: VBench's ``<prompt>-<i>.mp4``, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
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
    return None not in parts and _reads_like_prompts([p for p in parts if p is not None])


def _reads_like_prompts(named: Sequence[tuple[str, int]]) -> bool:
    if not named:
        return False
    prompts = Counter(prompt for prompt, _ in named)
    words = sum(len(prompt.split()) > 1 for prompt in prompts)
    return 2 * words > len(prompts) and (max(prompts.values()) > 1 or all(i == 0 for _, i in named))


def read_names(paths: Sequence[str], naming: Naming) -> dict[str, tuple[str, int]]:
    """Prompt and seed of every path whose name says them; empty for plain names.

    ``auto`` takes all names or none; ``vbench`` takes every name that has the shape.

    Raises:
        ValueError: ``naming`` is ``vbench`` but no name has that shape.
    """
    if naming == "plain" or (naming == "auto" and not looks_like_vbench(paths)):
        return {}
    named = {p: parts for p in paths if (parts := split_vbench(p))}
    if not named:
        raise ValueError(
            f"naming: vbench expects '<prompt>-<i>.mp4'; no name has that shape, such as {', '.join(paths[:5])}"
        )
    return named


def naming_notes(paths: Sequence[str], named: Mapping[str, tuple[str, int]]) -> tuple[str, ...]:
    """What a reader must know of names that are no VBench names among many that are.

    Args:
        paths: All clips.
        named: What :func:`read_names` took from them.
    """
    shaped = {p: parts for p in paths if (parts := split_vbench(p))}
    odd = [p for p in paths if p not in shaped]
    if not odd or not (named or _reads_like_prompts(list(shaped.values()))):
        return ()
    shown = ", ".join(odd[:3]) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
    follow = f"{len(shaped)} of {len(paths)} names follow VBench's <prompt>-<i>"
    if named:
        return (f"{follow}; no prompt is known of {shown}",)
    does = "does" if len(odd) == 1 else "do"
    remedy = f"say naming: vbench or move {'it' if len(odd) == 1 else 'them'}"
    return (f"{follow}; prompts and seeds were not taken from names because {shown} {does} not; {remedy}",)
