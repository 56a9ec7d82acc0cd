"""A control for hits: unrelated people held against the same clips as the gallery.

Some likeness is chance. If a model leaks nobody, the people of the gallery and as many unrelated ones are
exchangeable: which of them are called the gallery has no bearing on how many tracks resemble them. An excess of the
gallery over its decoys is what separates "this model leaks these people" from "faces look alike".

Decoys must be like the gallery's entries in all but that: a person's score is the highest over the person's pictures,
so decoys with fewer pictures an entry are hit less often, and the excess is overstated. Give both as many.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 9999
"""Drawn where the exact distribution would take too long."""

MOST_STEPS = 500_000
"""Steps up to which the exact distribution is worked out."""

SIGNIFICANT = 0.05
"""A smaller p is called more than chance explains."""


def decoys(people: int, wanted: int, key: str) -> NDArray[np.int64]:
    """Which people of a cohort serve as decoys: the same for the same key.

    People are ordered by a hash of key and position; more decoys hold the fewer.

    Args:
        people: People in the cohort, in an order that does not change (by template, say).
        wanted: Decoys wanted, usually as many as the gallery has entries.
        key: Anything that names the run's question, such as the digests of gallery and cohort.

    Returns:
        Positions ``(wanted,)``, ascending.

    Raises:
        ValueError: Fewer people than wanted, or a negative number.
    """
    if not 0 <= wanted <= people:
        raise ValueError(f"{wanted} decoys of {people} people; a cohort gives at most as many as it holds")
    hashes = [hashlib.sha256(f"{key}\n{position}".encode()).digest() for position in range(people)]
    order = sorted(range(people), key=lambda position: hashes[position])
    return np.array(sorted(order[:wanted]), np.int64)


@dataclass(frozen=True)
class Excess:
    """Whether the gallery's people are hit more than decoys are.

    Attributes:
        people: Entries of the gallery.
        decoys: Decoys.
        hits: Hits of the gallery: tracks past the point, summed over its people.
        decoy_hits: Hits of the decoys.
        most: Most hits of one person of the gallery.
        decoy_most: Most hits of one decoy.
        p: Probability of at least as many hits of the gallery if gallery and decoys are exchangeable.
        least_p: The smallest ``p`` that these hits could have given, were all of them the gallery's.
        exact: Worked out over all ways to choose the gallery, not over drawn ones.
        words: The finding in words.
    """

    people: int
    decoys: int
    hits: int
    decoy_hits: int
    most: int
    decoy_most: int
    p: float
    least_p: float
    exact: bool
    words: str

    @property
    def telling(self) -> bool:
        """Whether the test could have shown an excess at all."""
        return self.least_p < SIGNIFICANT

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "telling": self.telling}


def excess(gallery_hits: Sequence[int], decoy_hits: Sequence[int], key: str) -> Excess:
    """Test whether a gallery is hit more than its decoys: a one-sided permutation test over people.

    Statistic: the gallery's hits, summed over people. Under exchangeability every choice of as many people as the
    gallery has, among all people, is as likely to be it. Exact where that can be counted; else ``p = (1 + ge) /
    (1 + B)`` over :data:`PERMUTATIONS` seeded draws.

    The person is the unit, for tracks of one person are not independent. So **one** person who is hit by fifty tracks
    gives ``p`` of about 0.5, as would one decoy: the test looks for a gallery that is hit as a whole. Where so few
    people are hit that ``p`` could not have been small, the words say that it cannot tell, and name the person most
    hit; that person's own hits are judged by :mod:`vgaudit.likeness.tiers`, never by this test.

    Args:
        gallery_hits: Tracks at or past the point of each person of the gallery; 0 counts.
        decoy_hits: Of each decoy. The more pictures an entry has the more it is hit: see the module.
        key: Of the random draws.

    Raises:
        ValueError: Nobody in the gallery or no decoys, or a negative number.
    """
    hits, others = [int(h) for h in gallery_hits], [int(h) for h in decoy_hits]
    if not hits or not others:
        raise ValueError(
            f"{len(hits)} people and {len(others)} decoys; the test compares at least one with one"
        )
    if min(hits) < 0 or min(others) < 0:
        raise ValueError("a person is hit by a negative number of tracks")
    observed = sum(hits)
    n, everybody = len(hits), len(hits) + len(others)
    counts = Counter(h for h in (*hits, *others) if h)
    struck = sum(counts.values())
    exact = struck * struck * max(1, observed + sum(others)) <= MOST_STEPS
    if exact:
        p = _exact_p(counts, everybody, n, observed)
        least_p = _exact_p(counts, everybody, n, _most_of(counts, n))
    else:
        p = _drawn_p(counts, everybody, n, observed, key)
        least_p = 1 / (1 + PERMUTATIONS)
    facts = (n, len(others), observed, sum(others), max(hits), max(others))
    return Excess(*facts, p, least_p, exact, _words(*facts, p, least_p))


def _most_of(counts: Counter[int], n: int) -> int:
    """The most hits that ``n`` people can have together."""
    total = 0
    for value in sorted(counts, reverse=True):
        taken = min(n, counts[value])
        total, n = total + taken * value, n - taken
    return total


def _exact_p(counts: Counter[int], everybody: int, n: int, observed: int) -> float:
    """Share of the choices of ``n`` people whose hits sum to at least ``observed``; in whole numbers."""
    ways: dict[tuple[int, int], int] = {(0, 0): 1}  # people chosen among those hit, their hits -> choices
    for value, people in sorted(counts.items()):
        grown: dict[tuple[int, int], int] = {}
        for (chosen, total), number in ways.items():
            for more in range(min(people, n - chosen) + 1):
                state = (chosen + more, total + more * value)
                grown[state] = grown.get(state, 0) + number * math.comb(people, more)
        ways = grown
    unhit = everybody - sum(counts.values())
    reached = sum(
        number * math.comb(unhit, n - chosen)
        for (chosen, total), number in ways.items()
        if total >= observed and n - chosen <= unhit
    )
    return reached / math.comb(everybody, n)


def _drawn_p(counts: Counter[int], everybody: int, n: int, observed: int, key: str) -> float:
    """As :func:`_exact_p`, over drawn choices. How many of each number of hits are chosen is all that matters."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    values = np.array([0, *sorted(counts)])
    colours = [everybody - sum(counts.values()), *(counts[value] for value in values[1:].tolist())]
    drawn = rng.multivariate_hypergeometric(colours, n, size=PERMUTATIONS, method="marginals")
    return (1 + int(np.count_nonzero(drawn @ values >= observed))) / (1 + PERMUTATIONS)


def _words(
    people: int, others: int, hits: int, decoy_hits: int, most: int, decoy_most: int, p: float, least_p: float
) -> str:
    persons = f"{people:,} {'person was' if people == 1 else 'people were'}"
    tracks = f"{hits:,} track{'s' * (hits != 1)}"
    start = (
        f"the gallery's {persons} hit by {tracks}, {others:,} decoy{'s' * (others != 1)} by {decoy_hits:,}: "
    )
    shown = f"(p = {p:.2g})" if p >= 0.0001 else "(p < 0.0001)"
    top = f"; one person of the gallery was hit {most:,} times, no decoy more than {decoy_most:,} times"
    top *= most > 1
    if not hits:
        return f"{start}nothing to explain"
    if p < SIGNIFICANT:
        return f"{start}more than chance explains {shown}{top}"
    if least_p >= SIGNIFICANT:
        return f"{start}too few people were hit for this to tell anything {shown}{top}"
    return f"{start}no more than chance explains {shown}" + (top if most > 2 * max(1, decoy_most) else "")
