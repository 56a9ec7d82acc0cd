"""Faces that come back in clip after clip: the people a model likes to draw, whoever they may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_embedding import FaceEmbedder

MOST_SHOWN = 50
"""People told at most, those of most prompts first."""


@dataclass(frozen=True)
class Recurring:
    """Tracks that all resemble the first of them.

    Attributes:
        tracks: Positions, ascending.
        prompts: Different prompts among their clips.
        similarity: Lowest similarity of one of them to the first.
    """

    tracks: tuple[int, ...]
    prompts: int
    similarity: float


def recurring_faces(
    templates: NDArray[np.float32], prompts: Sequence[str], embedder: FaceEmbedder, alike: float
) -> list[Recurring]:
    """Groups of tracks over at least two prompts, those of most prompts first, :data:`MOST_SHOWN` at most.

    Each track joins the first earlier one that it resembles, and begins a group if there is none: members resemble
    the first, not necessarily each other, so a chain of look-alikes does not grow into one person. Nobody is named.

    Args:
        templates: ``(t, d)`` of all tracks of a run.
        prompts: Prompt id of each.
        embedder: Whose templates these are.
        alike: Similarity from which on two tracks count as one face; take the stricter published point.
    """
    leaders: list[int] = []
    members: dict[int, list[int]] = {}
    lowest: dict[int, float] = {}
    for number in range(len(templates)):
        if leaders:
            similar = embedder.similarity(templates[number : number + 1], templates[leaders])[0]
            first = np.flatnonzero(similar >= alike)
            if len(first):
                leader = leaders[int(first[0])]
                members[leader].append(number)
                lowest[leader] = min(lowest[leader], float(similar[first[0]]))
                continue
        leaders.append(number)
        members[number], lowest[number] = [number], 1.0
    found = [
        Recurring(tuple(own), len({prompts[i] for i in own}), lowest[leader])
        for leader, own in members.items()
        if len({prompts[i] for i in own}) > 1
    ]
    return sorted(found, key=lambda r: (-r.prompts, -len(r.tracks), r.tracks))[:MOST_SHOWN]
