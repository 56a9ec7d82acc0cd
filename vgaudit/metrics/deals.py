"""Permutation test of a kernel distance: whole prompts dealt out to the two sides anew.

Under the null hypothesis prompts of either side are draws of one population, and where a prompt is on both, its clips
on one side and those on the other could as well stand the other way round. So prompts of one side only are dealt
out, as many to each as before, and those on both are turned round or not. That keeps the joint distribution, so p
holds its level at any n - if every prompt has as many clips: the mean of four clips is another draw than one clip, so
prompts of four and prompts of one cannot change places. :func:`evened` brings all down to the fewest that any has.
Clips of one prompt are never dealt out one by one: those of one side can be more alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Codes = NDArray[np.int64]

PERMUTATIONS = 999
"""Random deals of a test."""

_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sums of a kernel over pairs of prompts.

    Attributes:
        within_a: ``(prompts of x, prompts of x)``, symmetric, 0 for a prompt with itself.
        across: ``(prompts of x, prompts of y)``, likewise 0.
        within_b: As ``within_a``, of ``y``.
        sizes_a: Rows of each prompt of ``x``.
        sizes_b: The same of ``y``.
        prompts_a: Number of each prompt of ``x``, from 0.
        prompts_b: Of each of ``y``; one that is on both sides has one number.
    """

    within_a: Float
    across: Float
    within_b: Float
    sizes_a: Float
    sizes_b: Float
    prompts_a: Codes
    prompts_b: Codes

    @property
    def prompts(self) -> int:
        """Different prompts of both sides."""
        return int(max(self.prompts_a.max(), self.prompts_b.max())) + 1


@dataclass(frozen=True)
class PermutationTest:
    """Whether two sets could be draws of one population.

    Attributes:
        statistic: The distance of the two sets.
        p: Share of permutations, the one seen among them, with a distance as large; above 0, up to 1. Uniform where
            both sets come from one population: small values speak against it.
        permutations: Permutations beside the one seen.
        exact: Whether those are all there are.
        least: Smallest p that there can be: of all deals the one seen has a mirror image with the same distance where
            both sides have as many prompts of their own.
        clips_a_prompt: Of every prompt, on each side that it is on.
        clips: Tested of both sets.
    """

    statistic: float
    p: float
    permutations: int
    exact: bool
    least: float
    clips_a_prompt: int
    clips: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Even:
    """Clips that a test takes: as many of each prompt on each side.

    Attributes:
        x: Features of the first side.
        y: Of the second.
        prompts: Prompt of each row of ``x``; every row its own where ``None``.
        others: The same of ``y``.
        all: How many clips there were on each side.
    """

    x: Float
    y: Float
    prompts: Sequence[str] | None
    others: Sequence[str] | None
    all: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether those are all there were."""
        return (len(self.x), len(self.y)) == self.all

    def said(self, test: PermutationTest) -> tuple[dict[str, Any], str]:
        """Facts of which clips were tested, and what a reader is to be told of it, or nothing."""
        facts: dict[str, Any] = {"clips_a_prompt": test.clips_a_prompt}
        if self.whole:
            return facts, ""
        (a, b), (n, m) = test.clips, self.all
        facts |= {"clips_tested": {"group": a, "reference": b}, "clips_there": {"group": n, "reference": m}}
        each = f"{test.clips_a_prompt} clip{'' if test.clips_a_prompt == 1 else 's'}"
        return facts, (
            f"p is of {each} a prompt, chosen at random: {a} of {n} clips of the group and {b} of {m} of the "
            "reference; prompts with more clips and prompts with fewer cannot change places"
        )


def evened(
    x: Float, y: Float, prompts: Sequence[str] | None, others: Sequence[str] | None, seed: int
) -> Even:
    """Both sides with as many clips of each prompt: the fewest that any has on a side, chosen at random.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        prompts: Prompt of each row of ``x``; every row its own where ``None``.
        others: The same of ``y``.
        seed: Of the choice, which looks at no features.
    """
    places: list[dict[object, list[int]]] = []
    for rows, labels in ((x, prompts), (y, others)):
        of: dict[object, list[int]] = {}
        for i, prompt in enumerate(range(len(rows)) if labels is None else labels):
            of.setdefault(prompt, []).append(i)
        places.append(of)
    counts = [len(rows) for of in places for rows in of.values()]
    if len(set(counts)) <= 1:
        return Even(x, y, prompts, others, (len(x), len(y)))
    fewest = min(counts)
    rng = np.random.default_rng([seed, 1])  # not the stream that deals
    ours, theirs = (
        sorted(i for rows in of.values() for i in rng.permutation(rows)[:fewest].tolist()) for of in places
    )
    return Even(
        x[ours],
        y[theirs],
        None if prompts is None else [prompts[i] for i in ours],
        None if others is None else [others[i] for i in theirs],
        (len(x), len(y)),
    )


def permuted(blocks: Blocks, permutations: int, seed: int) -> PermutationTest:
    """The test from sums over pairs of prompts.

    Raises:
        ValueError: ``permutations`` is below 1, or a prompt has more rows than another, see :func:`evened`.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected 1 or more")
    sizes = np.concatenate([blocks.sizes_a, blocks.sizes_b])
    if (fewest := int(sizes.min())) != (most := int(sizes.max())):
        raise ValueError(
            f"prompts have {fewest} to {most} clips, so they cannot change places: expected as many of each on both "
            "sides, as `evened` takes them"
        )
    deals = _Deals(blocks)
    seen = np.zeros((deals.total, 1), order="F")
    seen[: deals.first] = 1
    distances = _Distances(blocks, deals.paired)
    observed = float(distances.of(seen)[0])
    # Deals that are the same but for the order of sums must count as ties.
    tie = 1e-10 * distances.scale
    exact = deals.count <= permutations + 1
    made, as_large = 0, 0
    for sides in deals.all() if exact else deals.drawn(permutations, seed):
        made += sides.shape[1]
        as_large += int((distances.of(sides) >= observed - tie).sum())
    clips = int(blocks.sizes_a.sum()), int(blocks.sizes_b.sum())
    least = (2 if exact and deals.mirrored else 1) / (1 + made)
    return PermutationTest(observed, (1 + as_large) / (1 + made), made, exact, least, fewest, clips)


class _Deals:
    """Ways to deal prompts out: ``(prompts of x, then of y; deals)``, 1 where one is on the first side, else 0."""

    def __init__(self, blocks: Blocks) -> None:
        self.first, self.total = len(blocks.sizes_a), len(blocks.sizes_a) + len(blocks.sizes_b)
        _, in_a, in_b = np.intersect1d(
            blocks.prompts_a, blocks.prompts_b, assume_unique=True, return_indices=True
        )
        self.paired = np.stack([in_a, in_b], axis=1)
        """Index in ``x`` and in ``y`` of each prompt that is on both sides."""
        self._free = np.setdiff1d(np.arange(self.total), [*in_a, *(in_b + self.first)])
        self._free_first = int((self._free < self.first).sum())

    @property
    def count(self) -> int:
        """All deals, the one seen among them."""
        return int(math.comb(len(self._free), self._free_first) * 2 ** len(self.paired))

    @property
    def mirrored(self) -> bool:
        """Whether the two sides can change places as a whole."""
        return 2 * self._free_first == len(self._free)

    def all(self) -> Iterator[Float]:
        """Every deal but the one seen."""
        turns = [[(a,), (self.first + b,)] for a, b in self.paired.tolist()]
        deals = product(combinations(self._free.tolist(), self._free_first), *turns)
        chosen = islice(deals, 1, None)  # the first is the one seen
        while part := list(islice(chosen, _BLOCK)):
            sides = np.zeros((self.total, len(part)), order="F")
            for deal, parts in enumerate(part):
                sides[list(chain.from_iterable(parts)), deal] = 1
            yield sides

    def drawn(self, permutations: int, seed: int) -> Iterator[Float]:
        """Random deals."""
        rng = np.random.default_rng(seed)
        for start in range(0, permutations, _BLOCK):
            sides = np.zeros((self.total, min(_BLOCK, permutations - start)), order="F")
            for deal in sides.T:
                deal[self._free[rng.permutation(len(self._free))[: self._free_first]]] = 1
                if len(self.paired):
                    turned = rng.random(len(self.paired)) < 0.5
                    deal[self.paired[:, 0]] = ~turned
                    deal[self.first + self.paired[:, 1]] = turned
            yield sides


class _Distances:
    """Distance for each deal, from the three blocks; sums over half of the symmetric ones."""

    def __init__(self, blocks: Blocks, paired: Codes) -> None:
        b = blocks
        self._blocks, self._first = b, len(b.sizes_a)
        self._sizes = np.concatenate([b.sizes_a, b.sizes_b])
        self._rows = np.concatenate(
            [b.within_a.sum(1) + b.across.sum(1), b.across.sum(0) + b.within_b.sum(1)]
        )
        parts = (1, b.within_a), (2, b.across), (1, b.within_b)
        sums = sum(weight * float(np.abs(part).sum()) for weight, part in parts)
        self.scale = sums / float(self._sizes.sum() ** 2)
        # However often they are turned, prompts on both sides leave out as many pairs across.
        self._between = float(b.sizes_a[paired[:, 0]] @ b.sizes_b[paired[:, 1]])
        self._squares = self._sizes**2

    def of(self, sides: Float) -> Float:
        """``(deals,)`` for ``(prompts of x and of y, deals)``, in Fortran's order."""
        a, b = sides[: self._first], sides[self._first :]
        aa = 2 * np.einsum("ij,ij->j", b, self._blocks.across.T @ a)
        for half, part in ((a, self._blocks.within_a), (b, self._blocks.within_b)):
            aa += 2 * np.einsum("ij,ij->j", half, _upper_times(part, half))
        ab = self._rows @ sides - aa
        bb = self._rows.sum() - aa - 2 * ab
        n, own_a = self._sizes @ sides, self._squares @ sides
        m, own_b = self._sizes.sum() - n, self._squares.sum() - own_a
        return np.asarray(
            aa / (n**2 - own_a) + bb / (m**2 - own_b) - 2 * ab / (n * m - self._between), dtype=np.float64
        )


def _upper_times(symmetric: Float, columns: Float) -> Float:
    """Product with the upper triangle, whose diagonal is 0: half of the work of the whole."""
    from scipy.linalg.blas import dtrmm

    return np.asarray(dtrmm(1.0, symmetric.T, columns, lower=0), dtype=np.float64)
