"""Detectors of single faults over time: where a clip flickers, shakes, blurs, pops or cuts.

Each takes the :class:`~vgaudit.metrics.temporal_signals.Signals` of a clip and the threshold of its kind
(:mod:`vgaudit.metrics.temporal_floors`), and gives spans of frames. ``docs/metrics/temporal.md`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vgaudit.arrays import runs
from vgaudit.metrics.temporal_parts import (
    LONGEST_SHARE,
    MOST_AREA,
    area,
    barred,
    box_of,
    cuts,
    has_moved,
    inserts,
    is_near,
    largest,
)
from vgaudit.metrics.temporal_signals import (
    NEAR,
    SAME_SHIFTED,
    Floats,
    Found,
    Signals,
    blur_series,
    chroma,
    colour_series,
    colour_steps,
    correlation,
    dropped_series,
    exposure_series,
    flicker_series,
    held_lengths,
    jitter_series,
    luma,
    noise_series,
)
from vgaudit.metrics.temporal_windows import best_windows, models, score_series

Bools = NDArray[np.bool_]

SHORTEST_RUN = 3
"""Fewest pictures or pairs in a row that flicker or shake: two may be one sudden change."""

RAMP = 0.2
"""Share of the step before it that a step of a fade has at least; a flash comes and goes in one."""

LONGEST_SHOT = 0.75
"""Share of the clip up to which what lies between two cuts is the insert, and not what lies around it."""

SAME_SHOT = 0.6
"""Correlation of two pictures' 16x16 luma from which on they are taken for the same shot in other light."""

LIT_SHARE = 0.7
"""Share of the picture whose light a change of exposure changes, at least."""

SAME_PICTURE = 0.7
"""Correlation of neighbouring pictures' 16x16 RGB from which on one is the other, blurred."""

SWAP_LEAST = 0.02
"""Share of the picture that has to change its colour, at least."""

SWAP_AREA = 0.1
"""Share of the picture from which on what changes at once and changes back is called a swap, below it a pop."""

MOST_HELD = 4
"""Frames for which a repeated picture may be shown; longer ones are freezes."""

MOST_OF_CLIP = 0.85
"""Share of the clip beyond which repeated pictures are its rhythm, and no stutter."""


def flicker(s: Signals, threshold: float) -> Iterator[Found]:
    """Light that goes up and down from picture to picture."""
    series = flicker_series(s)
    steps = np.diff(s.light)
    turns = np.flatnonzero(steps[1:] * steps[:-1] < 0) + 1
    for found in _alternating(s, np.abs(series), np.sign(series), threshold):
        first, end = np.searchsorted(s.frame, [found.first, found.end])
        # A fade through black bends three times too, but turns once and takes several pictures each way.
        if np.count_nonzero((turns >= first) & (turns < end)) >= SHORTEST_RUN or not _fades(
            steps, first, end
        ):
            yield found


def exposure_shift(s: Signals, threshold: float) -> Iterator[Found]:
    """Light that steps at once in a shot that goes on, until it steps back, or to the end."""
    series = exposure_series(s)
    height = np.abs(series)
    at: list[int] = [
        p for p in np.flatnonzero(height > threshold).tolist()
        if series[p] * np.sign(series[p]) == _most(series * np.sign(series[p]), p)
        and correlation(luma(s.thumb[p]), luma(s.thumb[p + 1])) > SAME_SHOT
        and _everywhere(s, p, series[p])
        and not s.cut[p]
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


CUT_SAID = "The clip cuts to another shot{at}."
CUTS_SAID = "The clip cuts to another shot with every picture{when}."


def jump_cut(s: Signals, threshold: float) -> Iterator[Found]:
    """Another shot from one picture to the next; one that comes back is a single finding, for as long as it shows.

    So are cuts in a row.
    """
    series = s.change
    at = np.flatnonzero(cuts(s, threshold)).tolist()
    all_of = set(at)
    done = 0
    for i, p in enumerate(at):
        if p < done:
            continue
        later = [q for q in at[i + 1 :] if q - p <= LONGEST_SHOT * len(s)]
        back = next((q for j, q in enumerate(later) if _comes_back(s, p, q, between=j)), None)
        last = p
        while last + 1 in all_of and s.unrelated[p : last + 2].all():
            last += 1
        if back is not None:
            done = back + 1
            yield s.span(p + 1, back + 1, float(series[p]))
        elif last > p:
            done = last + 1
            found = s.span(p + 1, last + 1, float(series[p : last + 1].max()))
            yield replace(found, end=int(s.frame[last + 1]) + 1, said=CUTS_SAID)
        else:
            done = p + 1
            found = s.span(p + 1, p + 2, float(series[p]))
            yield replace(found, end=found.first + 1, said=CUT_SAID)


def popping(s: Signals, threshold: float) -> Iterator[Found]:
    """A small part of the picture changes at once and changes back: a thing that appears and vanishes."""
    yield from (f for f in inserts(s, threshold) if area(f.box) < SWAP_AREA)


def subject_swap(s: Signals, threshold: float) -> Iterator[Found]:
    """A large part of the picture changes at once and changes back: a thing that is another for a while."""
    yield from (f for f in inserts(s, threshold) if area(f.box) >= SWAP_AREA)


def ghosting(s: Signals, threshold: float) -> Iterator[Found]:
    """An earlier picture shines through."""
    yield from _lasting(s, "ghosting", threshold)


def warping(s: Signals, threshold: float) -> Iterator[Found]:
    """Shapes bend, swell and melt all over the picture."""
    yield from _lasting(s, "warping", threshold)


def colour_swap(s: Signals, threshold: float) -> Iterator[Found]:
    """A part of the picture has another colour at once while its shape stays, until it changes back or to the end."""
    colours = chroma(s.thumb)
    sudden = colour_steps(s)
    done = 0
    for p in np.flatnonzero((sudden > threshold).any(axis=(1, 2))).tolist():
        cells = largest(sudden[p] > threshold)
        if p < max(done, SHORTEST_RUN - 1) or not SWAP_LEAST <= cells.mean() <= MOST_AREA:
            continue
        before = np.median(colours[max(0, p - NEAR + 1) : p + 1][:, cells], axis=0)
        now = np.median(colours[p + 1 : p + 1 + NEAR][:, cells], axis=0)
        turn = float(np.hypot(*(now - before).T).mean())
        light = luma(s.thumb[p : p + 2])[:, cells]
        fine = np.kron(cells, np.ones((2, 2), bool))
        if (
            turn < threshold
            or float(np.abs(light[1] - light[0]).mean()) > turn
            or correlation(luma(s.thumb[p]), luma(s.thumb[p + 1])) < SAME_SHOT
            or is_near(s.fine[p + 1], s.fine[p], fine)
            or has_moved(s.fine[p], s.fine[p + 1], fine)
        ):
            continue
        apart = np.hypot(*np.moveaxis(colours[p + 1 :][:, cells] - before, -1, 0)).mean(axis=1)
        back = np.flatnonzero(apart < turn / 2)
        lasts = int(back[0]) if len(back) else len(apart)
        if lasts < SHORTEST_RUN:
            continue
        done = p + 1 + lasts
        yield s.span(p + 1, done, turn, box_of(cells))


def dropped_frames(s: Signals, threshold: float) -> Iterator[Found]:
    """The clip jumps ahead: one pair in which far more happens than in those around it, in a shot that goes on."""
    series = dropped_series(s)
    for p in np.flatnonzero(series > threshold).tolist():
        if correlation(luma(s.thumb[p]), luma(s.thumb[p + 1])) > SAME_SHOT:
            yield s.span(p + 1, p + 2, float(series[p]))


def duplicate_frames(s: Signals, threshold: float) -> Iterator[Found]:
    """Stretches of a moving clip in which every picture is shown two to four times, three pictures or more.

    A clip that is like that from end to end has a rhythm (animation on twos) and no fault. The score is the mean
    number of frames a picture.
    """
    starts = np.flatnonzero(np.r_[True, ~s.repeat])
    lengths = held_lengths(s)
    for first, end in runs((lengths >= threshold) & (lengths <= MOST_HELD)):
        begin, stop = int(starts[first]), int(starts[end]) if end < len(starts) else s.total
        if end - first >= SHORTEST_RUN and stop - begin <= MOST_OF_CLIP * s.total:
            yield Found(begin, stop, float(lengths[first:end].mean()))


@dataclass(frozen=True)
class Detector:
    """One kind of fault.

    Attributes:
        find: Signals and threshold -> what is found.
        series: Signals -> what is drawn over time: ``(N,)`` or ``(N-1,)``, a pair's value at its second picture.
        unit: Of series, score and threshold.
        said: The finding's sentence; ``{when}``, ``{where}`` and ``{score}`` are filled in.
    """

    find: Callable[[Signals, float], Iterator[Found]]
    series: Callable[[Signals], Floats]
    unit: str
    said: str


def _worst_cell(s: Signals) -> Floats:
    found: Floats = s.local.max(axis=(1, 2), initial=0.0)
    return found


WINDOW_UNIT = "standard deviations of sound windows"

DETECTORS: Mapping[str, Detector] = {
    "jump_cut": Detector(jump_cut, lambda s: s.change, "1 - correlation", "Another shot is shown{when}."),
    "duplicate_frames": Detector(
        duplicate_frames,
        lambda s: held_lengths(s).astype(np.float64),
        "frames a picture",
        "Frames are shown {score} times each{when}: the clip stutters.",
    ),
    "flicker": Detector(
        flicker, flicker_series, "log of light",
        "The light flickers{when}: it goes up and down from frame to frame.",
    ),
    "noise_burst": Detector(
        noise_burst, noise_series, "log of noise",
        "The picture is noisy{when}, more than in the rest of the clip.",
    ),
    "subject_swap": Detector(
        subject_swap, _worst_cell, "grey levels",
        "A large part of the picture{where} is something else{when}, and changes back.",
    ),
    "popping": Detector(
        popping, _worst_cell, "grey levels", "Something appears{where} at once{when}, and is gone at once."
    ),
    "blur_pulse": Detector(
        blur_pulse, blur_series, "log of sharpness", "The picture goes out of focus{when} and comes back."
    ),
    "exposure_shift": Detector(
        exposure_shift, exposure_series, "log of light", "The light changes at once{when} while the shot goes on."
    ),
    "jitter": Detector(jitter, jitter_series, "short sides", "The whole picture jumps about{when}."),
    "colour_swap": Detector(
        colour_swap, lambda s: colour_steps(s).max(axis=(1, 2), initial=0.0), "grey levels",
        "A part of the picture{where} has another colour{when}.",
    ),
    "colour_shift": Detector(
        colour_shift, colour_series, "grey levels", "The colours of the whole picture drift away{when}."
    ),
    "ghosting": Detector(
        ghosting, lambda s: _window_series(s, "ghosting"), WINDOW_UNIT,
        "Earlier pictures shine through{when}, as ghosts beside what moves.",
    ),
    "warping": Detector(
        warping, lambda s: _window_series(s, "warping"), WINDOW_UNIT,
        "Shapes warp{when}: they bend and swell all over the picture.",
    ),
    "dropped_frames": Detector(
        dropped_frames, dropped_series, "log of change", "The clip jumps ahead{when}: frames seem to be missing."
    ),
}  # fmt: skip
"""Kind -> detector, those first that account for what later ones see of the same moment."""


INSERTS = ("subject_swap", "popping")
"""Kinds that see something in what some of the whole picture do: the one further over its threshold is told."""

LASTING = ("ghosting", "warping")
"""Kinds that see much of the same statistics: of a moment, the one further over its threshold is told."""

BESIDE_CUTS = ("flicker", "noise_burst")
"""Kinds that are told of cuts in a row as well: what blinks or is all noise may look like them."""

WHOLE = ("blur_pulse", *LASTING)
DOUBT = 1.1
"""Times less far over its threshold that what the whole picture does may be: it explains more."""


def detect(s: Signals, thresholds: Mapping[str, float]) -> dict[str, tuple[Found, ...]]:
    """What each detector finds; a moment that an earlier one accounts for is not told again by a later one.

    Parts that come and go are not told where a blur, a ghost or a warp that lasts as long is further over its
    threshold.
    """
    found = {kind: tuple(d.find(s, thresholds[kind])) for kind, d in DETECTORS.items()}
    rivals = [
        (f, f.score / thresholds[kind])
        for kind, each in _told_once(
            s, {k: f for k, f in found.items() if k not in INSERTS}, thresholds
        ).items()
        for f in each
        if kind in WHOLE
    ]
    clear = {
        kind: tuple(
            f for f in each
            if not any(_covers(t, f) and DOUBT * over > f.score / thresholds[kind] for t, over in rivals)
        )
        if kind in INSERTS else each
        for kind, each in found.items()
    }  # fmt: skip
    return _told_once(s, clear, thresholds)


def _told_once(
    s: Signals, found: Mapping[str, tuple[Found, ...]], thresholds: Mapping[str, float]
) -> dict[str, tuple[Found, ...]]:
    """What no earlier kind accounts for. Of a ghost and a warp at one moment, the one further over its threshold."""
    out: dict[str, tuple[Found, ...]] = {}
    told: list[Found] = []
    for kind in found:
        if kind in out:
            continue
        together = LASTING if kind in LASTING else (kind,)
        known = [t for t in told if t.said != CUTS_SAID or kind not in BESIDE_CUTS]
        left = {k: [f for f in found[k] if not any(_covers(t, f) for t in known)] for k in together}
        out |= _clearest(left, thresholds)
        told += [moment for k in together for f in out[k] for moment in _accounted(s, k, f)]
    return out


def _clearest(
    found: Mapping[str, Sequence[Found]], thresholds: Mapping[str, float]
) -> dict[str, tuple[Found, ...]]:
    """Of findings of several kinds, those that none further over its own threshold says the same moment of."""
    ranked = sorted(
        ((f.score / thresholds[kind], kind, f) for kind, each in found.items() for f in each),
        key=lambda one: -one[0],
    )
    kept: list[tuple[str, Found]] = []
    for _, kind, f in ranked:
        if not any(k != kind and (_covers(t, f) or _covers(f, t)) for k, t in kept):
            kept.append((kind, f))
    return {kind: tuple(f for f in each if (kind, f) in kept) for kind, each in found.items()}


def _accounted(s: Signals, kind: str, found: Found) -> Iterator[Found]:
    """The frames of which a finding says all: not those of a state that the clip is in meanwhile."""
    if kind == "jump_cut" and found.said != CUTS_SAID:
        yield replace(found, end=found.first + 1)
        yield replace(found, first=found.end, end=found.end + 1)
    elif kind == "exposure_shift" and found.end >= s.total:
        yield replace(found, end=found.first + 1)
    elif kind not in ("colour_shift", "duplicate_frames"):
        yield found


def _lasting(s: Signals, kind: str, threshold: float) -> Iterator[Found]:
    for window in best_windows(s.statistics, models()[kind], barred(s), threshold):
        yield s.span(window.first + 1, window.end + 1, window.score)


def _window_series(s: Signals, kind: str) -> Floats:
    return score_series(s.statistics, models()[kind], barred(s))


def _bridged(flags: Bools) -> Bools:
    """A single false value between two true ones is filled."""
    out = flags.copy()
    if len(out) > 2:
        out[1:-1] |= flags[:-2] & flags[2:]
    return out


def _fades(steps: Floats, first: int, end: int) -> bool:
    """Whether light comes to its lowest or highest in pictures ``first`` to ``end`` by several steps, and goes so."""
    inside = range(max(first, 2), min(end, len(steps) - 1))
    at = max(inside, key=lambda i: abs(steps[i - 1] - steps[i]), default=None)
    if at is None:
        return False
    comes, goes = steps[at - 2] * steps[at - 1], steps[at + 1] * steps[at]
    return bool(comes > RAMP * steps[at - 1] ** 2 and goes > RAMP * steps[at] ** 2)


def _most(values: Floats, at: int) -> float:
    """The largest of the values near one of them."""
    return float(values[max(0, at - NEAR) : at + NEAR + 1].max())


def _everywhere(s: Signals, p: int, step: float) -> bool:
    """Whether the light of most cells goes along with the picture's."""
    cells = np.diff(np.log(luma(s.thumb[p : p + 2]) + 16), axis=0)[0]
    return float((cells * np.sign(step) > abs(step) / 3).mean()) > LIT_SHARE


def _comes_back(s: Signals, p: int, q: int, between: int) -> bool:
    """Whether the picture after cut ``q`` is more like the one before cut ``p`` than any two are across a cut.

    With other cuts ``between``, of which many clips have many, or cuts in a row, it has to be the same for sure.
    """
    across = max(correlation(s.thumb[p], s.thumb[p + 1]), correlation(s.thumb[q], s.thumb[q + 1]))
    back = correlation(s.thumb[p], s.thumb[q + 1])
    in_a_row = bool(between) or bool(s.unrelated[p : q + 1].any())
    return back > across + 0.1 and (not in_a_row or back > SAME_SHIFTED)


def _alternating(s: Signals, size: Floats, sign: Floats, threshold: float) -> Iterator[Found]:
    """Runs in which ``sign`` changes from each to the next and ``size`` is large: over a third of the threshold all
    along, and over it in :data:`SHORTEST_RUN` places and half of them.
    """
    for first, end in runs(size > threshold / 3):
        begin = first
        for at in range(first + 1, end + 1):
            if at == end or sign[at] * sign[at - 1] >= 0:
                large = size[begin:at] > threshold
                if large.sum() >= SHORTEST_RUN and large.mean() >= 0.5:
                    yield s.span(begin, at, float(np.median(size[begin:at][large])))
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


def _covers(told: Found, other: Found) -> bool:
    """Whether most of a finding lies in, or right beside, one that was told."""
    shared = min(told.end + 1, other.end) - max(told.first - 1, other.first)
    return shared >= 0.5 * (other.end - other.first)
