"""Which rows a grouped jackknife leaves out in turn: whole prompts, dealt out by a digest of their names.

Rows come in the order of their ids, and ids often go by topic. Groups taken in that order would be of one topic each,
or have as many of every topic: the first takes what topics differ by for what sampling does, the second hides it.
Sorted by SHA-256 of their names, prompts are dealt as if drawn, and alike on every machine and in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

MIN_GROUPS = 8
"""Fewest jackknife groups an interval is made from."""


def dealt(names: Iterable[str]) -> list[str]:
    """Each of ``names`` once, in an order that has nothing to do with what they say, nor with theirs."""
    return sorted(set(names), key=lambda name: (sha256(name.encode("utf-8", "surrogatepass")).digest(), name))


def jackknife_groups(clusters: Sequence[str], groups: int) -> list[Rows]:
    """Rows to leave out in turn: equally many whole clusters each, as many groups as is even, at most ``groups``.

    Leaving out unequal numbers would mix the bias (about 1/n) into the spread. Clusters that do not divide
    evenly are never left out. Empty where there are fewer than :data:`MIN_GROUPS` clusters.
    """
    names = dealt(clusters)
    if len(names) < MIN_GROUPS:
        return []
    count = min(range(min(groups, len(names)), MIN_GROUPS - 1, -1), key=lambda g: len(names) % g)
    share = len(names) // count
    order = {name: i for i, name in enumerate(names)}
    slot = np.array([order[name] // share for name in clusters])
    return [np.flatnonzero(slot == g) for g in range(count)]


def joint_groups(clusters: Sequence[str], others: Sequence[str], groups: int) -> list[tuple[Rows, Rows]]:
    """Rows of both sides to leave out in turn: every prompt of either in one group, on whichever sides it is.

    Prompts of one side only, of both, and of the other only are dealt out in a row, so that groups have as many
    prompts of a side as each other, or one more. As many groups as is even, as :func:`jackknife_groups` has it.
    """
    ours, theirs = set(clusters), set(others)
    fewest = min(len(ours), len(theirs))
    if fewest < MIN_GROUPS:
        return []
    count = min(range(min(groups, fewest), MIN_GROUPS - 1, -1), key=lambda g: len(ours) % g + len(theirs) % g)
    row = [*dealt(ours - theirs), *dealt(ours & theirs), *dealt(theirs - ours)]
    slot = {c: i % count for i, c in enumerate(row)}
    a, b = (np.array([slot[c] for c in names]) for names in (clusters, others))
    return [(np.flatnonzero(a == g), np.flatnonzero(b == g)) for g in range(count)]
