"""Parts of a picture that change at once and change back: what hangs together, and whether it only moved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from vgaudit.metrics.temporal_floors import SMALL, floors
from vgaudit.metrics.temporal_signals import Box, Floats, Found, Signals

Bools = NDArray[np.bool_]

LONGEST_SHARE = 0.6
"""What lasts longer than this share of the clip is what the clip is like, and no burst, pulse or insert."""

MOST_AREA = 0.75
"""Share of the picture beyond which a sudden change is one of the whole picture: a cut or a flash."""

LONGEST_INSERT = 128
"""Pictures after which a part that changed is not waited for any more."""

BRIEF_PICTURES = 3
"""What shows in fewer pictures than this may be a thing that leaps, ..."""

BRIEF_TIMES = 1.5
"""... and has to be so many times over the threshold."""

LEAST_CHANGE = 12.0
"""Grey levels by which a part has to change, on average, to have appeared or vanished."""

MOST_LEFT = 1.6
"""Largest difference of before and after, by that change: a camera that moves shows something else meanwhile."""

MOST_CHANGE = 0.6
"""Largest change from picture to picture meanwhile, by that change: what passes by goes on changing."""

REACH = 12
"""Cells of 32 a side within which something is looked for that may have moved ..."""

ALIKE = 0.6
"""... and share of the change below which it is found, ..."""

ALIKE_AT_REST = 0.3
"""... or this one for what rests in its place and leaves it as it was, which nothing that passes by does: ..."""

AT_REST = 0.1
"""... it changes by no more than this share from picture to picture, ..."""

AS_BEFORE = 0.5
"""... and the place differs by no more than this share afterwards."""

REST_TIMES = 0.6
"""Share of the threshold that is enough for what rests, which next to nothing feigns."""

SAME = 0.4
"""The same share for what has gone somewhere else, ..."""

MOVED = 0.8
"""... where the place it went to has to change by this share."""


def cuts(s: Signals, threshold: float) -> Bools:
    """``(N-1,)``: pairs across which the shot changes."""
    found: Bools = s.cut & (s.change > threshold)
    return found


def barred(s: Signals) -> Bools:
    """``(N-1,)``: pairs across which nothing is compared: cuts by the floor for pictures of this size."""
    return cuts(s, floors(s.side)["jump_cut"])


def inserts(s: Signals, threshold: float) -> tuple[Found, ...]:
    """Parts of the picture that change at one pair and change back at a later one of the shot; looked for once a
    threshold.

    Where nothing is found over the threshold, what rests may be under it (:data:`REST_TIMES`), in pictures that are
    not small: there cells are too few for that.
    """
    if threshold not in s.inserts:
        clear = tuple(_inserts(s, threshold, 1.0))
        faint = (
            f
            for f in (_inserts(s, threshold, REST_TIMES) if s.side >= SMALL else ())
            if not any(f.first < other.end and other.first < f.end for other in clear)
        )
        s.inserts[threshold] = tuple(sorted((*clear, *faint), key=lambda f: f.first))
    return s.inserts[threshold]


def _inserts(s: Signals, threshold: float, times: float) -> Iterator[Found]:
    """Those over so many times the threshold; what is found under the threshold itself has to rest."""
    series = s.local
    sudden = series > times * threshold
    cut = barred(s)
    longest = min(int(LONGEST_SHARE * len(s)), LONGEST_INSERT)
    done = -1
    some = np.flatnonzero(sudden.any(axis=(1, 2))).tolist()
    for i, p in enumerate(some):
        here = largest(sudden[p])
        if p <= done or cut[p] or here.mean() > MOST_AREA:
            continue
        wider = _wider(here)
        shown, last = np.zeros((32, 32, 3)), p
        for q in some[i + 1 :]:
            if q > p + longest or cut[p : q + 1].any():
                break
            there = largest(sudden[q] & wider)
            if not there.any() or sudden[q].mean() > MOST_AREA:
                continue
            cells = here | there
            shown += s.fine[last + 1 : q + 1].sum(axis=0)
            last = q
            if _returns(s, cells, p, q, shown / (q - p), must_rest=times < 1):
                score = min(float(series[p][here].max()), float(series[q][there].max()))
                if q - p < BRIEF_PICTURES and score < BRIEF_TIMES * threshold:
                    continue
                # A faint one is over what it was held against, and no further: clear ones come before it.
                yield s.span(p + 1, q + 1, max(score, threshold), box_of(cells))
                done = q
                break


def _returns(s: Signals, cells: Bools, p: int, q: int, shown: Floats, must_rest: bool = False) -> bool:
    """Whether the cells show something else between two pairs, and before and after the same.

    What came from nearby, or went there, has moved: it did not appear nor vanish.

    Args:
        s: Of the clip.
        cells: bool ``(8, 8)``.
        p: First pair.
        q: Second pair, later.
        shown: ``(32, 32, 3)``: mean of the pictures between them.
        must_rest: Whether it has to keep still meanwhile and leave the place as it was.
    """
    changes = float((s.fine_changes[q] - s.fine_changes[p + 1])[cells].mean()) / max(q - p - 1, 1)
    steady = AT_REST if must_rest else MOST_CHANGE
    if changes > steady * 255:  # no part differs by more: no need to look closer
        return False
    fine = cells.repeat(4, axis=0).repeat(4, axis=1)
    inside = shown[fine]
    # Whole numbers would wrap around below zero.
    before, after = s.fine[p][fine].astype(np.float64), s.fine[q + 1][fine].astype(np.float64)
    away = min(_apart(inside, before), _apart(inside, after))
    left = _apart(before, after)
    if away < LEAST_CHANGE or changes > MOST_CHANGE * away or left > MOST_LEFT * away:
        return False
    rests = q - p >= BRIEF_PICTURES and changes <= AT_REST * away and left <= AS_BEFORE * away
    if must_rest and not rests:
        return False
    alike = ALIKE_AT_REST if rests else ALIKE
    was = is_near(s.fine[p + 1], s.fine[p], fine, alike) or has_moved(s.fine[p], s.fine[p + 1], fine)
    goes = is_near(s.fine[q], s.fine[q + 1], fine, alike) or has_moved(s.fine[q + 1], s.fine[q], fine)
    return not (was or goes)


def is_near(picture: NDArray[np.uint8], other: NDArray[np.uint8], cells: Bools, alike: float = ALIKE) -> bool:
    """Whether what the cells show in one picture stands nearby in the other, to that share of the change."""
    share, _ = _nearby(picture, other, cells)
    return bool((share < alike).any())


def has_moved(picture: NDArray[np.uint8], other: NDArray[np.uint8], cells: Bools) -> bool:
    """The same, and it was not there in the first picture already: plain ground is alike wherever one looks."""
    share, new = _nearby(picture, other, cells)
    return bool(((share < SAME) & (new > MOVED)).any())


def _nearby(picture: NDArray[np.uint8], other: NDArray[np.uint8], cells: Bools) -> tuple[Floats, Floats]:
    """For each place near that of the cells: how far what the other picture shows there is from what the cells show,
    and how far that place has changed, as shares of how far the cells have.
    """
    mine, there = picture.astype(np.float32), other.astype(np.float32)
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    near = np.s_[max(0, top - REACH) : bottom + REACH, max(0, left - REACH) : right + REACH]
    shape = (bottom - top, right - left)
    places = sliding_window_view(there[near], shape, axis=(0, 1))
    patch = np.moveaxis(mine[top:bottom, left:right], 2, 0)
    apart = np.abs(places - patch).mean(axis=(2, 3, 4), dtype=np.float64)
    change = np.abs(mine - there).mean(axis=2)[near]
    changes = sliding_window_view(change, shape).mean(axis=(2, 3), dtype=np.float64)
    here = (top - max(0, top - REACH), left - max(0, left - REACH))
    whole = max(float(changes[here]), 1e-9)
    apart[here] = np.inf
    return apart / whole, changes / whole


def _apart(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).mean())


def largest(flags: Bools) -> Bools:
    """The largest part of true cells that hang together, sides and corners."""
    if not flags.any():
        return flags
    parts, _ = ndimage.label(flags, structure=np.ones((3, 3)))
    found: Bools = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return found


def _wider(flags: Bools) -> Bools:
    found: Bools = ndimage.binary_dilation(flags, structure=np.ones((3, 3)))
    return found


def box_of(cells: Bools) -> Box:
    """Left, top, right and bottom of true cells, as shares of the picture."""
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    h, w = cells.shape
    return (columns[0] / w, rows[0] / h, (columns[-1] + 1) / w, (rows[-1] + 1) / h)


def area(box: Box | None) -> float:
    """Share of the picture that a box covers."""
    return 0.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])
