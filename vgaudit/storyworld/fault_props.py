"""What faults are made with: another shot, the same shot with another subject in it, where the subject is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vgaudit.storyworld.fault_strengths import FaultKind
from vgaudit.storyworld.render import Box, Rendered, render
from vgaudit.storyworld.scene import Scene, random_scene
from vgaudit.storyworld.vocabulary import could_be


def any_scene(scene: Scene) -> bool:
    """Any scene may be shown."""
    return True


def fault_props(
    clip: Rendered,
    kind: FaultKind,
    seed: int,
    draw: int,
    *,
    fps: float = 8.0,
    allowed: Callable[[Scene], bool] = any_scene,
) -> dict[str, Any]:
    """Keyword arguments of ``plant`` for a drawn clip.

    Args:
        clip: The clip as it was rendered.
        kind: The fault.
        seed: The clip's seed.
        draw: Decides which other subject or shot is shown.
        fps: Frames a second of the clip.
        allowed: Which other scenes may be shown; a training keeps to its side of the split.

    Returns:
        ``other``, ``aligned``, ``box`` and ``mask`` as far as the fault needs them; else nothing.
    """
    scene, box = clip.truth.scene, _union(clip.truth.boxes)
    frames, height, width, _ = clip.frames.shape

    def drawn(other: Scene, seed: int, **further: Any) -> Rendered:
        return render(other, seed, frames=frames, height=height, width=width, fps=fps, **further)

    if kind == "colour_swap" and box is not None:
        empty = drawn(scene, seed, with_subject=False)
        return {"box": box, "mask": (clip.frames != empty.frames).any(axis=3)}
    if kind == "subject_swap":
        others = [
            replace(scene, subject=s) for s in could_be(scene.action, scene.setting) if s != scene.subject
        ]
        others = [other for other in others if allowed(other)]
        if others:
            other = drawn(others[draw % len(others)], seed, shot=scene)
            both = _union((*clip.truth.boxes, *other.truth.boxes))
            return {"other": other.frames, "aligned": True, "box": both}
    if kind in (
        "jump_cut",
        "subject_swap",
    ):  # nothing else does that there, so another shot is put in its place
        while not allowed(other_scene := replace(random_scene(draw), look=scene.look)):
            draw += 1
        return {"other": drawn(other_scene, draw).frames, "box": box}
    return {}


def _union(boxes: Sequence[Box | None]) -> Box | None:
    """The smallest box around all boxes."""
    there = [b for b in boxes if b is not None]
    if not there:
        return None
    x0, y0, x1, y1 = zip(*there, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
