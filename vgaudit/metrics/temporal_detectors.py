"""Detectors of single faults over time: where a clip flickers, shakes, blurs, pops or cuts.

Each takes the :class:`~vgaudit.metrics.temporal_signals.Signals` of a clip and the threshold of its kind
(:mod:`vgaudit.metrics.temporal_floors`), and gives spans of frames. ``docs/metrics/temporal.md`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vgaudit.metrics.temporal_signals import (
    NEAR,
    Box,
    Floats,
    Found,
    Signals,
    blur_series,
    colour_series,
    correlation,
    cut_series,
    exposure_series,
    flicker_series,
    jitter_series,
    local_series,
    luma,
    noise_series,
)

Bools = NDArray[np.bool_]

SHORTEST_RUN = 3
"""Fewest pictures or pairs in a row that flicker or shake: two may be one sudden change."""

LONGEST_SHOT = 0.75
"""Share of the clip up to which what lies between two cuts is the insert, and not what lies around it."""

LONGEST_INSERT = 128
"""Pictures after which a part that changed is not waited for any more."""

LONGEST_SHARE = 0.6
"""What lasts longer than this share of the clip is what the clip is like, and no burst, pulse or insert."""

SAME_SHOT = 0.6
"""Correlation of two pictures' 16x16 luma from which on they are taken for the same shot in other light."""

LIT_SHARE = 0.7
"""Share of the picture whose light a change of exposure changes, at least."""

SAME_PICTURE = 0.7
"""Correlation of neighbouring pictures' 16x16 RGB from which on one is the other, blurred."""

CUT_SHARE = 0.2
"""Share of the picture that a cut changes suddenly, at least ..."""

CUT_LEVEL = 5.0
"""... by so many grey levels more than is usual there."""

CUT_CHANGE = 10.0
"""Grey levels by which a cell changes with a cut, ..."""

CUT_CHANGED = 0.5
"""... in this share of the picture: less is a part that changes."""

SWAP_AREA = 0.1
"""Share of the picture from which on what changes at once and changes back is called a swap, below it a pop."""

MOST_AREA = 0.75
"""Share of the picture beyond which a sudden change is one of the whole picture: a cut or a flash."""

MOST_HELD = 4
"""Frames for which a repeated picture may be shown; longer ones are freezes."""

LEAST_CHANGE = 12.0
"""Grey levels by which a part has to change, on average, to have appeared or vanished."""

MOST_LEFT = 1.2
"""Largest difference of before and after, by that change: a camera that moves shows something else meanwhile."""

MOST_CHANGE = 0.6
"""Largest change from picture to picture meanwhile, by that change: what passes by goes on changing."""

REACH = 10
"""Cells of 32 a side within which something is looked for that may have moved ..."""

ALIKE = 0.6
"""... and share of the change below which it is found."""


def flicker(s: Signals, threshold: float) -> Iterator[Found]:
    """Light that goes up and down from picture to picture."""
    series = flicker_series(s)
    yield from _alternating(s, np.abs(series), np.sign(series), threshold, 0)


def exposure_shift(s: Signals, threshold: float) -> Iterator[Found]:
    """Light that steps at once in a shot that goes on, until it steps back, or to the end."""
    series = exposure_series(s)
    height = np.abs(series)
    at: list[int] = [
        p for p in np.flatnonzero(height > threshold).tolist()
        if height[p] == height[max(0, p - NEAR) : p + NEAR + 1].max()
        and correlation(luma(s.thumb[p]), luma(s.thumb[p + 1])) > SAME_SHOT
        and _everywhere(s, p, series[p])
    ]  # fmt: skip
    done = 0
    for i, p in enumerate(at):
        if p < done:
            continue
        back = next((q for q in at[i + 1 :] if series[p] * series[q] < 0 and height[q] > height[p] / 2), None)
        done = len(s) if back is None else back + 1
        yield s.span(p + 1, done, height[p])


def colour_shift(s: Signals, threshold: float) -> Iterator[Found]:
    """Colours that leave the place they had, all over the picture."""
    series = colour_series(s)
    for first, end in runs(series > threshold):
        top = float(series[first:end].max())
        begin = first
        while begin > 1 and series[begin - 1] > 0.2 * top and series[begin - 1] <= series[begin] + 0.1 * top:
            begin -= 1
        if end - first >= SHORTEST_RUN and correlation(luma(s.thumb[0]), luma(s.thumb[first])) > SAME_SHOT:
            yield s.span(begin, end, top)


def noise_burst(s: Signals, threshold: float) -> Iterator[Found]:
    """Pictures noisier than the clip."""
    yield from _bursts(s, noise_series(s), threshold)


def blur_pulse(s: Signals, threshold: float) -> Iterator[Found]:
    """Pictures that lose their detail at once and get it back, while what they show stays the same."""
    for found in _bursts(s, blur_series(s), threshold):
        first = int(np.searchsorted(s.frame, found.first))
        end = int(np.searchsorted(s.frame, found.end))
        edges = [p for p in (first - 1, end - 1) if 0 <= p < len(s) - 1]
        if all(correlation(s.thumb[p], s.thumb[p + 1]) > SAME_PICTURE for p in edges):
            yield found


def jitter(s: Signals, threshold: float) -> Iterator[Found]:
    """The whole picture jumps from pair to pair, another way each time."""
    series = jitter_series(s)
    large = series > threshold
    for first, end in runs(_bridged(series > threshold / 3)):
        if large[first:end].sum() >= SHORTEST_RUN + 1 and large[first:end].mean() >= 0.5:
            yield s.span(first + 1, end, float(np.median(series[first:end])))


def jump_cut(s: Signals, threshold: float) -> Iterator[Found]:
    """Another shot from one picture to the next; one that comes back is a single finding, for as long as it shows."""
    series = cut_series(s)
    sudden = (local_series(s) > CUT_LEVEL).mean(axis=(1, 2)) > CUT_SHARE
    other = (np.abs(np.diff(s.thumb, axis=0)).mean(axis=3) > CUT_CHANGE).mean(axis=(1, 2)) >= CUT_CHANGED
    at = np.flatnonzero((series > threshold) & sudden & other).tolist()
    done = 0
    for i, p in enumerate(at):
        if p < done:
            continue
        back = next((q for q in at[i + 1 :] if q - p <= LONGEST_SHOT * len(s) and _comes_back(s, p, q)), None)
        done = p + 1 if back is None else back + 1
        yield s.span(p + 1, p + 2 if back is None else back + 1, float(series[p]))


def popping(s: Signals, threshold: float) -> Iterator[Found]:
    """A small part of the picture changes at once and changes back: a thing that appears and vanishes."""
    yield from (f for f in _inserts(s, threshold) if _area(f.box) < SWAP_AREA)


def subject_swap(s: Signals, threshold: float) -> Iterator[Found]:
    """A large part of the picture changes at once and changes back: a thing that is another for a while."""
    yield from (f for f in _inserts(s, threshold) if _area(f.box) >= SWAP_AREA)


DETECTORS: Mapping[str, Callable[[Signals, float], Iterator[Found]]] = {
    "jump_cut": jump_cut,
    "flicker": flicker,
    "noise_burst": noise_burst,
    "blur_pulse": blur_pulse,
    "exposure_shift": exposure_shift,
    "subject_swap": subject_swap,
    "popping": popping,
    "colour_shift": colour_shift,
    "jitter": jitter,
}
"""Kind -> detector, those first that account for what later ones see of the same moment."""


UNITS: Mapping[str, str] = {
    "jump_cut": "1 - correlation",
    "flicker": "log of light",
    "exposure_shift": "log of light",
    "colour_shift": "grey levels",
    "noise_burst": "log of noise",
    "blur_pulse": "log of sharpness",
    "jitter": "short sides",
    "subject_swap": "grey levels",
    "popping": "grey levels",
}
"""Kind -> unit of score and threshold."""


def detect(s: Signals, thresholds: Mapping[str, float]) -> dict[str, tuple[Found, ...]]:
    """What each detector finds; a moment that an earlier one accounts for is not told again by a later one."""
    out: dict[str, tuple[Found, ...]] = {}
    told: list[Found] = []
    for kind, detector in DETECTORS.items():
        kept = [f for f in detector(s, thresholds[kind]) if not any(_covers(t, f) for t in told)]
        out[kind] = tuple(kept)
        told += kept if kind != "colour_shift" else []
    return out


def held_stretches(repeat: Bools) -> Iterator[Found]:
    """Stretches of a moving clip in which every picture is shown two to four times, three pictures or more.

    A clip that is like that from end to end has a rhythm (animation on twos) and no fault. The score is the mean
    number of frames a picture.

    Args:
        repeat: ``(T-1,)``: whether a pair repeats its picture.
    """
    total = len(repeat) + 1
    starts = np.flatnonzero(np.r_[True, ~repeat])
    lengths = np.diff(np.r_[starts, total])
    for first, end in runs((lengths >= 2) & (lengths <= MOST_HELD)):
        begin, stop = int(starts[first]), int(starts[end]) if end < len(starts) else total
        if end - first >= SHORTEST_RUN and stop - begin <= 0.85 * total:
            yield Found(begin, stop, float(lengths[first:end].mean()))


def runs(flags: Bools) -> Iterator[tuple[int, int]]:
    """First and end (exclusive) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _bridged(flags: Bools) -> Bools:
    """A single false value between two true ones is filled."""
    out = flags.copy()
    if len(out) > 2:
        out[1:-1] |= flags[:-2] & flags[2:]
    return out


def _everywhere(s: Signals, p: int, step: float) -> bool:
    """Whether the light of most cells goes along with the picture's."""
    cells = np.diff(np.log(luma(s.thumb[p : p + 2]) + 16), axis=0)[0]
    return float((cells * np.sign(step) > abs(step) / 3).mean()) > LIT_SHARE


def _comes_back(s: Signals, p: int, q: int) -> bool:
    """Whether the picture after cut ``q`` is more like the one before cut ``p`` than any two are across a cut."""
    across = max(correlation(s.thumb[p], s.thumb[p + 1]), correlation(s.thumb[q], s.thumb[q + 1]))
    return correlation(s.thumb[p], s.thumb[q + 1]) > across + 0.1


def _alternating(s: Signals, size: Floats, sign: Floats, threshold: float, offset: int) -> Iterator[Found]:
    """Runs in which ``sign`` changes from each to the next and ``size`` is large: over a third of the threshold all
    along, and over it in :data:`SHORTEST_RUN` places and half of them.
    """
    for first, end in runs(size > threshold / 3):
        begin = first
        for at in range(first + 1, end + 1):
            if at == end or sign[at] * sign[at - 1] >= 0:
                large = size[begin:at] > threshold
                if large.sum() >= SHORTEST_RUN and large.mean() >= 0.5:
                    yield s.span(begin + offset, at, float(np.median(size[begin:at][large])))
                begin = at


def _bursts(s: Signals, series: Floats, threshold: float) -> Iterator[Found]:
    """Runs over the threshold that begin and end at once: by half of it from one picture to the next."""
    for first, end in runs(series > threshold):
        if end - first > LONGEST_SHARE * len(series) or (first == 0 and end == len(series)):
            continue
        up = first == 0 or series[first] - series[first - 1] > threshold / 2
        down = end == len(series) or series[end - 1] - series[end] > threshold / 2
        if up and down:
            yield s.span(first, end, float(np.median(series[first:end])))


def _inserts(s: Signals, threshold: float) -> Iterator[Found]:
    """Parts of the picture that change at one pair and change back at a later one."""
    series = local_series(s)
    sudden = series > threshold
    longest = min(int(LONGEST_SHARE * len(s)), LONGEST_INSERT)
    done = -1
    for p in range(len(series)):
        here = _largest(sudden[p])
        if p <= done or not here.any() or here.mean() > MOST_AREA:
            continue
        for q in range(p + 1, min(len(series), p + 1 + longest)):
            there = _largest(sudden[q] & _wider(here))
            if not there.any() or sudden[q].mean() > MOST_AREA:
                continue
            cells = here | there
            if _returns(s, cells, p, q):
                score = min(float(series[p][here].max()), float(series[q][there].max()))
                yield s.span(p + 1, q + 1, score, _box(cells))
                done = q
                break


def _returns(s: Signals, cells: Bools, p: int, q: int) -> bool:
    """Whether the cells show something else between two pairs, and before and after the same.

    What came from nearby, or went there, has moved: it did not appear nor vanish.
    """
    fine = np.kron(cells, np.ones((4, 4), bool))
    shown = s.fine[p : q + 2][:, fine].astype(np.float64)  # whole numbers would wrap around below zero
    before, meanwhile, after = shown[0], shown[1:-1], shown[-1]
    inside = meanwhile.mean(axis=0)
    away = min(_apart(inside, before), _apart(inside, after))
    if len(meanwhile) > 1 and float(np.abs(np.diff(meanwhile, axis=0)).mean()) > MOST_CHANGE * away:
        return False
    if away < LEAST_CHANGE or _apart(before, after) > MOST_LEFT * away:
        return False
    return not (_is_near(s.fine[p + 1], s.fine[p], fine) or _is_near(s.fine[q], s.fine[q + 1], fine))


def _is_near(picture: NDArray[np.uint8], other: NDArray[np.uint8], cells: Bools) -> bool:
    """Whether what the cells show in one picture stands nearby in the other."""
    there = other.astype(np.float64)
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    patch = picture[top:bottom, left:right].astype(np.float64)
    here = _apart(patch, there[top:bottom, left:right])
    for y in range(max(0, top - REACH), min(len(other) - (bottom - top), top + REACH) + 1):
        for x in range(max(0, left - REACH), min(len(other) - (right - left), left + REACH) + 1):
            if (y, x) != (top, left) and _apart(
                patch, there[y : y + bottom - top, x : x + right - left]
            ) < ALIKE * here:
                return True
    return False


def _apart(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).mean())


def _largest(flags: Bools) -> Bools:
    """The largest part of true cells that hang together, sides and corners."""
    if not flags.any():
        return flags
    parts, _ = ndimage.label(flags, structure=np.ones((3, 3)))
    found: Bools = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return found


def _wider(flags: Bools) -> Bools:
    found: Bools = ndimage.binary_dilation(flags, structure=np.ones((3, 3)))
    return found


def _box(cells: Bools) -> Box:
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    h, w = cells.shape
    return (columns[0] / w, rows[0] / h, (columns[-1] + 1) / w, (rows[-1] + 1) / h)


def _area(box: Box | None) -> float:
    return 0.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])


def _covers(told: Found, other: Found) -> bool:
    """Whether most of a finding lies in, or right beside, one that was told."""
    shared = min(told.end + 1, other.end) - max(told.first - 1, other.first)
    return shared >= 0.5 * (other.end - other.first)
