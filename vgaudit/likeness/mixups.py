"""Where the pictures of a gallery contradict the folders they are filed in, and where one picture is there twice.

Every template is compared with every other in blocks, so that memory stays small whatever the number of people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_embedding import Measure, OperatingPoint

Kind = Literal["copy", "unlike", "misfiled", "same person"]
Similarity = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]

COPY = 0.95
"""Correlation of two aligned faces' pixels from which on they are one picture. Of five portraits and the astronaut:
re-encoded, scaled, cropped and brightened copies 0.97 or more, other pictures at most 0.40."""

THUMBNAIL = 32
BLOCK = 1024
MAX_SHOWN = 500
"""At most so many of each kind are kept, the strongest; that there are more is said."""

MIN_PAIRS = 3
"""Pairs of pictures of one person that a reference without a published point needs."""


@dataclass(frozen=True)
class MixUp:
    """Two pictures that contradict how they are filed.

    Attributes:
        kind: ``copy``: one picture twice. ``unlike``: pictures of one entry that do not look like one person.
            ``misfiled``: a picture nearer to another entry's pictures than to its own entry's. ``same person``: two
            entries that look like one person.
        entry: Whose picture.
        image: SHA-256 of its file.
        other: The other picture's entry; the same one for ``unlike`` and for copies inside an entry.
        other_image: SHA-256 of the other file.
        score: Similarity of the two templates; for ``copy`` the correlation of the pixels.
        own: For ``misfiled``: similarity to the nearest other picture of its own entry.
        against: The published point it was held against; empty where there is none and the evidence is relative.
    """

    kind: Kind
    entry: str
    image: str
    other: str
    other_image: str
    score: float
    own: float | None = None
    against: str = ""

    def words(self, measure: Measure, names: Mapping[str, str]) -> str:
        """One sentence.

        Args:
            measure: How the embedder compares.
            names: Names of files by ``entry/sha256``; a picture that is not in it goes by its digest.
        """

        def name(entry: str, image: str) -> str:
            return names.get(f"{entry}/{image}", f"{entry}/{image[:8]}")

        one, two = name(self.entry, self.image), name(self.other, self.other_image)
        apart = _stated(self.score, measure)
        held = self.against or "no published point: judged by the other pictures of the gallery"
        match self.kind:
            case "copy":
                what = "the same picture twice, counted as two" if self.entry == self.other else "one picture"
                under = "" if self.entry == self.other else " under two people"
                return f"{one} and {two} are {what}{under} (their pixels correlate by {self.score:.3f})"
            case "unlike":
                contradiction = "its pictures do not all look like the same person"
                return f"{self.entry}: {contradiction} ({held}): {one} and {two}, {apart}"
            case "misfiled":
                own = _stated(self.own if self.own is not None else float("nan"), measure)
                return (
                    f"{one} resembles {self.other} ({two}, {apart}) more than the other pictures of {self.entry} "
                    f"({own}); is it filed under the wrong name?"
                )
            case "same person":
                return f"{self.entry} and {self.other} look alike ({held}): {one} and {two}, {apart}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MixUp:
        """Inverse of ``vars``.

        Raises:
            ValueError: No such kind.
        """
        if data["kind"] not in get_args(Kind):
            raise ValueError(f"kind {data['kind']!r}")
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Filed:
    """Templates and whose they are.

    Attributes:
        ids: Entries.
        images: SHA-256 of each template's picture.
        templates: float32 ``(n, d)``.
        owners: int32 ``(n,)``, ascending.
        thumbnails: float32 ``(n, p)`` of :func:`thumbnail`, or ``None`` where the pictures are not at hand.
    """

    ids: Sequence[str]
    images: Sequence[str]
    templates: NDArray[np.float32]
    owners: NDArray[np.int32]
    thumbnails: NDArray[np.float32] | None = None


def thumbnail(chip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What an aligned face, uint8 ``(h, w, 3)``, looks like from afar: float32 ``(1024,)`` of mean 0 and norm 1."""
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    flat: NDArray[np.float32] = (small / norm if norm > 0 else small).astype(np.float32)
    return flat


def find_mixups(
    filed: Filed, similarity: Similarity, point: OperatingPoint | None, *, block: int = BLOCK
) -> tuple[list[MixUp], list[str]]:
    """What is wrong with how pictures are filed, and sentences on what could not be looked for.

    Where no point is published for the embedder, evidence is relative: entries look alike whose pictures are at least
    as close as pictures of one person of this gallery are in the median.

    Args:
        filed: Templates and whose they are.
        similarity: Of the embedder.
        point: Its published point.
        block: Rows and columns compared at a time; memory grows with its square.
    """
    own = _Own.of(filed, similarity, block)
    limit, notes = (point.similarity if point else None), []
    against = point.stated if point else ""
    if point is None:
        if len(own.pairs) >= MIN_PAIRS:
            limit = float(np.median(own.pairs))
        notes.append(
            "no point is published for this embedder: people who look alike were told by comparison with pictures of "
            f"one person in this gallery ({len(own.pairs)} pairs)"
            if limit is not None
            else "people who look alike were not looked for: no point is published for this embedder, and the "
            f"gallery has {len(own.pairs)} pairs of pictures of one person (at least {MIN_PAIRS} needed)"
        )
    across = _Across(filed, similarity, limit, block)
    found = [*own.copies, *across.copies]
    if point:
        found += [
            MixUp("unlike", filed.ids[filed.owners[i]], filed.images[i], filed.ids[filed.owners[j]], filed.images[j],
                  round(score, 4), None, against)
            for i, j, score in own.unlike if score < point.similarity
        ]  # fmt: skip
    nearer = np.isfinite(own.best) & (across.best > own.best)
    if point:  # below it both are strangers, which `unlike` says, and which of them is nearer is chance
        nearer &= across.best >= point.similarity
    nearer = np.flatnonzero(nearer)
    for i in nearer[np.argsort(own.best[nearer] - across.best[nearer], kind="stable")]:
        j = int(across.partner[i])
        found.append(_mixup(filed, "misfiled", int(i), j, float(across.best[i]), float(own.best[i]), against))
    found += [_mixup(filed, "same person", i, j, score, None, against) for i, j, score in across.alike]
    return _capped(found, notes, across.dropped)


def _mixup(
    filed: Filed, kind: Kind, i: int, j: int, score: float, own: float | None, against: str = ""
) -> MixUp:
    return MixUp(
        kind, filed.ids[filed.owners[i]], filed.images[i], filed.ids[filed.owners[j]], filed.images[j],
        round(score, 4), None if own is None else round(own, 4), against,
    )  # fmt: skip


def _capped(found: list[MixUp], notes: list[str], more: bool) -> tuple[list[MixUp], list[str]]:
    kept: list[MixUp] = []
    for kind in get_args(Kind):
        of_kind = [mixup for mixup in found if mixup.kind == kind]
        kept += of_kind[:MAX_SHOWN]
        if len(of_kind) > MAX_SHOWN or (more and kind == "same person"):
            notes.append(f"there are more of kind {kind!r}: the strongest {MAX_SHOWN} are listed")
    return kept, notes


class _Own:
    """Inside each entry: the nearest other picture of each, the least alike pair, copies."""

    def __init__(self, n: int) -> None:
        self.best = np.full(n, -np.inf)
        self.unlike: list[tuple[int, int, float]] = []
        self.copies: list[MixUp] = []
        self.pairs: list[float] = []

    @classmethod
    def of(cls, filed: Filed, similarity: Similarity, block: int) -> _Own:
        out = cls(len(filed.owners))
        edges = np.searchsorted(filed.owners, np.arange(len(filed.ids) + 1))
        for start, end in itertools.pairwise(edges.tolist()):
            lowest: tuple[int, int, float] | None = None
            for row in range(start, end, block):
                for column in range(row, end, block):
                    pair = out._block(
                        filed, similarity, (row, min(row + block, end)), (column, min(column + block, end))
                    )
                    if pair and (lowest is None or pair[2] < lowest[2]):
                        lowest = pair
            if lowest:
                out.unlike.append(lowest)
        return out

    def _block(
        self, filed: Filed, similarity: Similarity, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[int, int, float] | None:
        (a, b), (c, d) = rows, columns
        if b - a == 1 and rows == columns:
            return None
        scores = similarity(filed.templates[a:b], filed.templates[c:d])
        once = np.ones_like(scores, bool) if a != c else np.triu(np.ones_like(scores, bool), 1)
        others = np.ones_like(scores, bool) if a != c else ~np.eye(b - a, dtype=bool)
        if filed.thumbnails is not None:
            correlation = filed.thumbnails[a:b] @ filed.thumbnails[c:d].T
            for i, j in np.argwhere(once & (correlation >= COPY)):
                self.copies.append(
                    _mixup(filed, "copy", a + int(i), c + int(j), float(correlation[i, j]), None)
                )
            once &= correlation < COPY
            others &= correlation < COPY
        held = np.where(others, scores, -np.inf)
        self.best[a:b] = np.maximum(self.best[a:b], held.max(1))
        self.best[c:d] = np.maximum(self.best[c:d], held.max(0))
        if not once.any():
            return None
        self.pairs += scores[once][: MAX_SHOWN * 2].tolist()
        i, j = np.unravel_index(int(np.where(once, scores, np.inf).argmin()), scores.shape)
        return a + int(i), c + int(j), float(scores[i, j])


class _Across:
    """Between entries: the nearest picture of anybody else, pairs of entries past ``limit``, copies."""

    def __init__(self, filed: Filed, similarity: Similarity, limit: float | None, block: int) -> None:
        n = len(filed.owners)
        self.best, self.partner = np.full(n, -np.inf), np.zeros(n, np.int64)
        self.copies: list[MixUp] = []
        self.dropped = False
        self._filed, self._pairs = filed, np.zeros((0, 3))
        for a in range(0, n, block):
            for c in range(a, n, block):
                self._block(similarity, limit, slice(a, min(a + block, n)), slice(c, min(c + block, n)))
        if limit is None:
            self._note_copies(
                np.arange(n)[np.isfinite(self.best)], self.partner[np.isfinite(self.best)], once=True
            )
        self.alike = [(int(i), int(j), float(score)) for i, j, score in self._pairs]

    def _block(self, similarity: Similarity, limit: float | None, rows: slice, columns: slice) -> None:
        filed = self._filed
        scores = similarity(filed.templates[rows], filed.templates[columns])
        strangers = filed.owners[rows, None] != filed.owners[None, columns]
        if not strangers.any():
            return
        scores = np.where(strangers, scores, -np.inf)
        self._nearest(rows, scores.max(1), scores.argmax(1) + columns.start)
        if rows != columns:
            self._nearest(columns, scores.max(0), scores.argmax(0) + rows.start)
        if limit is None:
            return
        past = scores >= limit
        if rows == columns:
            past &= np.triu(np.ones_like(past), 1)
        i, j = np.nonzero(past)
        if not len(i):
            return
        score = scores[i, j]
        i, j = i + rows.start, j + columns.start
        self._note_copies(i, j)
        found = np.concatenate([self._pairs, np.stack([i, j, score], 1)])
        found = found[np.argsort(-found[:, 2], kind="stable")]
        people = filed.owners[found[:, 0].astype(int)].astype(np.int64) * len(filed.ids)
        people += filed.owners[found[:, 1].astype(int)]
        found = found[np.sort(np.unique(people, return_index=True)[1])]
        self.dropped |= len(found) > MAX_SHOWN
        self._pairs = found[:MAX_SHOWN]

    def _nearest(self, where: slice, score: NDArray[np.float64], partner: NDArray[np.int64]) -> None:
        better = score > self.best[where]
        self.best[where] = np.where(better, score, self.best[where])
        self.partner[where] = np.where(better, partner, self.partner[where])

    def _note_copies(self, i: NDArray[np.int64], j: NDArray[np.int64], once: bool = False) -> None:
        thumbnails = self._filed.thumbnails
        if thumbnails is None:
            return
        if once:
            pairs = np.unique(np.sort(np.stack([i, j], 1), axis=1), axis=0)
            i, j = pairs[:, 0], pairs[:, 1]
        for start in range(0, len(i), 4096):
            part = slice(start, start + 4096)
            correlation = np.einsum("ij,ij->i", thumbnails[i[part]], thumbnails[j[part]])
            for k in np.flatnonzero(correlation >= COPY)[: max(0, 4 * MAX_SHOWN - len(self.copies))]:
                a, b = int(i[start + k]), int(j[start + k])
                self.copies.append(_mixup(self._filed, "copy", a, b, float(correlation[k]), None))


def _stated(score: float, measure: Measure) -> str:
    return f"L2 distance {1 - score:.2f}" if measure == "l2" else f"cosine {score:.2f}"
