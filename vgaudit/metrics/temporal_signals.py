"""What the temporal detectors see of a clip, and the series that they compare with their thresholds.

All is said of distinct pictures: a frame that repeats the one before is passed over, so that a clip shown at twice
the rate, or animated on twos, is judged by its pictures. ``docs/metrics/temporal.md`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vgaudit.metrics.temporal_windows import STATISTICS, medians_beside, pair_statistics, pictures_of_shots

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]

NEAR = 4
"""Pictures or pairs to either side that something is held against."""

CUT_SHARE = 0.2
"""Share of the picture that a cut changes suddenly, at least ..."""

CUT_LEVEL = 5.0
"""... by so many grey levels more than is usual there."""

CUT_CHANGE = 10.0
"""Grey levels by which a cell changes with a cut, ..."""

CUT_CHANGED = 0.5
"""... in this share of the picture: less is a part that changes."""

SAME_SHIFTED = 0.8
"""Correlation of two pictures' 16x16 RGB, one of them shifted, from which on they are taken for the same shot."""

UNRELATED = 0.55
"""The same correlation, of luma, under which neighbouring pictures have nothing to do with each other: of pictures of
different clips nearly nine in ten have less, of pairs in a shot one in 100. Where another such pair is near, ..."""

UNRELATED_NEAR = 2
"""... at most so many pairs away, both are cuts, ..."""

UNRELATED_CHANGED = 0.75
"""... if so much of the picture changes, ..."""

UNRELATED_CONTENT = 4.0
"""... and each shows something: grey levels, the standard deviation of its 16x16 luma."""

AT_ONCE = 256
"""Pairs whose shifts are compared at a time."""

ENOUGH = 8
"""Pictures of a shot from which on it has a median of its own; shorter ones are held against the clip's."""

LEAST_CONTENT = 0.5
"""Share of what a picture's part of that size would hold on average that the part has to hold."""


@dataclass(frozen=True)
class Found:
    """Something that one detector found.

    Attributes:
        first: First frame of the clip that shows it.
        end: Frame after the last one.
        score: In the unit of the detector's series, above its threshold.
        box: Left, top, right, bottom as shares of the picture, where it is in one place.
        said: Sentence in place of the detector's, with the same names to fill in.
    """

    first: int
    end: int
    score: float
    box: Box | None = None
    said: str = ""


@dataclass(frozen=True)
class Signals:
    """What detectors see of a clip: T frames, of which N show a picture of their own.

    Attributes:
        total: T.
        frame: int ``(N,)``: index in the clip of each distinct picture.
        light: ``(N,)``: natural logarithm of mean luma (grey levels, 16 added so that black is nothing special).
        thumb: ``(N, 16, 16, 3)``: RGB means of cells, grey levels.
        fine: uint8 ``(N, 32, 32, 3)``: the same of smaller cells; whole numbers, as long clips have many.
        noise: ``(N,)``, grey levels.
        sharpness: ``(N,)``: variance of the Laplacian over that of luma, so that light and contrast do not count.
        shift: ``(N-1, 2)``: median flow, short sides.
        side: Short side in pixels of the picture that the flow ran on.
        residual: ``(N-1, 8, 8)``: differences left after motion compensation, grey levels.
        drifted: bool ``(N-1,)``: the picture before became this one slowly, and was not held.
        statistics: ``(N-1, S)``: :func:`~vgaudit.metrics.temporal_windows.pair_statistics`.
    """

    total: int
    frame: NDArray[np.int64]
    light: Floats
    thumb: Floats
    fine: NDArray[np.uint8]
    noise: Floats
    sharpness: Floats
    shift: Floats
    side: int
    residual: Floats
    drifted: NDArray[np.bool_]
    statistics: Floats

    @classmethod
    def of(
        cls, pixels: Mapping[str, NDArray[np.generic]], motion: Mapping[str, NDArray[np.generic]], side: int
    ) -> Signals:
        """From the features ``pixels`` and ``motion`` of one clip, and the short side of what the flow ran on."""
        repeat = np.asarray(motion["quality_repeat"], dtype=bool)
        total = len(pixels["pts_s"])
        frame = np.flatnonzero(np.r_[np.ones(min(total, 1), bool), ~repeat])
        pair = frame[1:] - 1

        def per_frame(values: NDArray[np.generic]) -> Floats:
            return np.asarray(values, dtype=np.float64)[frame]

        def per_pair(values: NDArray[np.generic]) -> Floats:
            return np.asarray(values, dtype=np.float64)[pair]

        fine = np.asarray(pixels["thumb"], dtype=np.uint8)[frame]
        return cls(
            total,
            frame,
            np.log(per_frame(pixels["luma_mean"]) + 16),
            fine.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4)),
            fine,
            per_frame(pixels["noise"]),
            per_frame(pixels["sharpness"]) / (per_frame(pixels["luma_std"]) ** 2 + 1),
            per_pair(motion["shift"]),
            side,
            per_pair(motion["residual"]),
            np.asarray(motion["quality_drift"], dtype=bool)[pair],
            pair_statistics(motion, pair),
        )

    @cached_property
    def repeat(self) -> NDArray[np.bool_]:
        """``(T-1,)``: whether a pair repeats its picture."""
        found = np.ones(max(self.total - 1, 0), dtype=bool)
        found[self.frame[1:] - 1] = False
        return found

    @cached_property
    def unrelated(self) -> NDArray[np.bool_]:
        """:func:`unrelated_pairs` of the clip."""
        return unrelated_pairs(self)

    @cached_property
    def change(self) -> Floats:
        """:func:`cut_series` of the clip."""
        return cut_series(self)

    @cached_property
    def cut(self) -> NDArray[np.bool_]:
        """:func:`other_shots` of the clip, which several detectors ask for."""
        return other_shots(self)

    @cached_property
    def local(self) -> Floats:
        """:func:`local_series` of the clip, which several detectors ask for."""
        return local_series(self)

    @cached_property
    def fine_changes(self) -> Floats:
        """``(N, 8, 8)``, grey levels: what cells change by from picture to picture, summed up to each picture."""
        changes = np.zeros((len(self), 8, 8))
        for i in range(1, len(self)):
            apart = np.abs(self.fine[i].astype(np.int16) - self.fine[i - 1])
            changes[i] = apart.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4))
        found: Floats = np.cumsum(changes, axis=0)
        return found

    @cached_property
    def inserts(self) -> dict[float, tuple[Found, ...]]:
        """What :func:`~vgaudit.metrics.temporal_parts.inserts` found, by threshold."""
        return {}

    def __len__(self) -> int:
        return len(self.frame)

    def span(self, first: int, end: int, score: float, box: Box | None = None) -> Found:
        """Pictures ``first`` to ``end`` (exclusive), as frames of the clip."""
        last = int(self.frame[end]) if end < len(self.frame) else self.total
        return Found(int(self.frame[first]), last, float(score), box)


def held_lengths(s: Signals) -> NDArray[np.int64]:
    """``(N,)``: frames for which each picture is shown; 1 for one that slowly became the next, and was never held."""
    found: NDArray[np.int64] = np.diff(np.r_[s.frame, s.total])
    found[:-1][s.drifted] = 1
    return found


def flicker_series(s: Signals) -> Floats:
    """``(N,)``: how far a picture's light lies off the middle of its neighbours', signed; 0 at both ends."""
    return bend(s.light)


def exposure_series(s: Signals) -> Floats:
    """``(N-1,)``: step of light from the pictures before a pair to those after it, signed."""
    before, after = medians_beside(s.light[:, None], NEAR)
    step = (after - before)[1:-1, 0]
    sudden = np.diff(s.light)
    found: Floats = np.where((step * sudden > 0) & (np.abs(sudden) > 0.5 * np.abs(step)), step, 0.0)
    return found


def colour_series(s: Signals) -> Floats:
    """``(N,)``, grey levels: median over cells of how far chroma moved away from the clip's first quarter."""
    if not len(s):
        return np.zeros(0)
    colours = chroma(s.thumb)
    origin = np.median(colours[: max(1, len(s) // 4)], axis=0)
    moved = np.median((colours - origin).reshape(len(s), -1, 2), axis=1)
    return np.hypot(moved[:, 0], moved[:, 1])


def noise_series(s: Signals) -> Floats:
    """``(N,)``: logarithm of a picture's noise over its shot's median (1 grey level added to both)."""
    return np.log((s.noise + 1) / (_medians_of_shots(s, s.noise) + 1))


def blur_series(s: Signals) -> Floats:
    """``(N,)``: logarithm of a shot's median sharpness over a picture's (0.004 added to both)."""
    return np.log((_medians_of_shots(s, s.sharpness) + 0.004) / (s.sharpness + 0.004))


def _medians_of_shots(s: Signals, values: Floats) -> Floats:
    """``(N,)``: median over the shot that a picture is of, or over the clip where it has few (:data:`ENOUGH`)."""
    out = np.full(len(values), np.median(values) if len(values) else 0.0)
    end = 0
    for count in pictures_of_shots(s.cut) if len(values) else ():
        first, end = end, end + count
        if count >= ENOUGH:
            out[first:end] = np.median(values[first:end])
    return out


def jitter_series(s: Signals) -> Floats:
    """``(N-1,)``, short sides: how far a pair's median flow lies off the middle of its neighbours'.

    0 beside a cut.
    """
    bends = np.stack([bend(s.shift[:, i]) for i in (0, 1)], axis=1)
    found: Floats = np.hypot(bends[:, 0], bends[:, 1])
    beside = np.r_[False, s.cut, False]
    found[beside[:-2] | beside[1:-1] | beside[2:]] = 0.0
    return found


def cut_series(s: Signals) -> Floats:
    """``(N-1,)``: one minus the correlation of neighbouring pictures (16x16, RGB), less three times what is usual.

    That is the median of the :data:`NEAR` pairs to either side, and nothing for cuts in a row, which are usual there.
    """
    if len(s) < 2:
        return np.zeros(0)
    rows = s.thumb.reshape(len(s), -1)
    change = 1 - correlations(rows[1:], rows[:-1])
    none = np.full(NEAR, np.nan)
    padded = np.concatenate([none, np.where(s.unrelated, np.nan, change), none])
    offsets = [offset for offset in range(2 * NEAR + 1) if offset != NEAR]
    near = np.stack([padded[offset : offset + len(change)] for offset in offsets], axis=1)
    near[np.isnan(near).all(axis=1)] = 0.0
    found: Floats = change - 3 * np.nanmedian(near, axis=1)
    light = luma(s.thumb).reshape(len(s), -1)  # which decided: colours of a tinted picture are all alike
    found[s.unrelated] = (1 - correlations(light[1:], light[:-1]))[s.unrelated]
    return found


def other_shots(s: Signals) -> NDArray[np.bool_]:
    """``(N-1,)``: pairs across which half of the picture changes at once, to what it does not show a bit shifted, or
    one after the other to what has nothing to do with it.

    A camera that is whipped round goes on showing what it showed.
    """
    if len(s) < 2:
        return np.zeros(0, dtype=bool)
    sudden = (s.local > CUT_LEVEL).mean(axis=(1, 2)) > CUT_SHARE
    found: NDArray[np.bool_] = (s.change > 0) & sudden & (_changed(s) >= CUT_CHANGED)
    at = np.flatnonzero(found)
    found[at] = shifted_correlation(s.thumb[at], s.thumb[at + 1]) < SAME_SHIFTED
    return found | s.unrelated


def unrelated_pairs(s: Signals) -> NDArray[np.bool_]:
    """``(N-1,)``: pairs near each other of pictures that have nothing to do with each other (:data:`UNRELATED`).

    Where one cut follows another at once, neither is sudden beside the other. Light that blinks, in colours too,
    changes what is shown no more than noise on a plain ground does.
    """
    found = np.zeros(max(len(s) - 1, 0), dtype=bool)
    if len(s) < 3:
        return found
    plain = luma(s.thumb)[..., None]
    content = plain.std(axis=(1, 2, 3)) > UNRELATED_CONTENT
    other = (_changed(s) >= UNRELATED_CHANGED) & content[1:] & content[:-1]
    rows = plain.reshape(len(s), -1)
    # Not shifting is one of the shifts.
    other[other] = correlations(rows[:-1][other], rows[1:][other]) < UNRELATED
    other &= _near(other)
    at = np.flatnonzero(other)
    for first in range(0, len(at), AT_ONCE):
        part = at[first : first + AT_ONCE]
        found[part] = shifted_correlation(plain[part], plain[part + 1]) < UNRELATED
    out: NDArray[np.bool_] = found & _near(found)
    return out


def _near(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether another flag is set, at most :data:`UNRELATED_NEAR` before or after."""
    out = np.zeros(len(flags), dtype=bool)
    for offset in range(1, UNRELATED_NEAR + 1):
        out[offset:] |= flags[:-offset]
        out[:-offset] |= flags[offset:]
    return out


def _changed(s: Signals) -> Floats:
    """``(N-1,)``: share of the picture that changes (:data:`CUT_CHANGE`)."""
    cells = np.abs(np.diff(s.thumb, axis=0)).mean(axis=3) > CUT_CHANGE
    found: Floats = cells.mean(axis=(1, 2))
    return found


def local_series(s: Signals) -> Floats:
    """``(N-1, 8, 8)``, grey levels: residual of a cell, less half more than in the pairs beside it and usually."""
    if not len(s.residual):
        return np.zeros((0, 8, 8))
    usual = np.median(s.residual, axis=0)
    before = np.concatenate([usual[None], s.residual[:-1]])
    after = np.concatenate([s.residual[1:], usual[None]])
    found: Floats = s.residual - 1.5 * np.maximum(np.maximum(before, after), usual)
    return found


def colour_steps(s: Signals) -> Floats:
    """``(N-1, 16, 16)``, grey levels: how far a cell's chroma jumps, less twice as much as in the pairs beside it."""
    if len(s) < 2:
        return np.zeros((0, 16, 16))
    jumps = np.hypot(*np.moveaxis(np.diff(chroma(s.thumb), axis=0), -1, 0))
    still = np.zeros((1, 16, 16))
    beside = np.maximum(np.concatenate([still, jumps[:-1]]), np.concatenate([jumps[1:], still]))
    found: Floats = jumps - 2 * beside
    return found


def dropped_series(s: Signals) -> Floats:
    """``(N-1,)``: logarithm of a pair's difference over the largest of the pairs near it, or half that of its motion,
    whichever is more; 0 at both ends.
    """
    difference = s.statistics[:, STATISTICS.index("difference")]
    motion = s.statistics[:, STATISTICS.index("motion")]
    out = np.zeros(len(difference))
    for p in range(2, len(out) - 2):
        near = np.r_[max(0, p - NEAR) : p, p + 1 : min(len(out), p + 1 + NEAR)]
        out[p] = max(difference[p] - difference[near].max(), (motion[p] - motion[near].max()) / 2)
    return out


def chroma(thumb: Floats) -> Floats:
    """``(..., 2)``: R - G and B - G of ``(..., 3)`` RGB."""
    found: Floats = thumb[..., [0, 2]] - thumb[..., 1:2]
    return found


def bend(values: Floats) -> Floats:
    """How far each value lies off the middle of its neighbours; 0 at both ends."""
    out = np.zeros(len(values))
    if len(values) > 2:
        out[1:-1] = values[1:-1] - (values[:-2] + values[2:]) / 2
    return out


def luma(thumb: Floats) -> Floats:
    """BT.601 luma of ``(..., 3)`` RGB."""
    found: Floats = thumb @ np.array([0.299, 0.587, 0.114])
    return found


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's, of all numbers; two flat pictures are alike."""
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    lengths = float(np.sqrt((x @ x) * (y @ y)))
    flat = 1.0 * x.size  # a deviation of one grey level
    return 1.0 if lengths < flat else float(x @ y) / lengths


def shifted_correlation(before: Floats, after: Floats) -> Floats:
    """``(n,)``: Pearson's correlation of each picture with its next one, shifted by what suits both best.

    What they share after the shift has to hold its part of what each shows (:data:`LEAST_CONTENT`): plain ground is
    alike wherever one looks. Where no shift does, as of plain pictures, they are compared in place.

    Args:
        before: ``(n, h, w, k)``: of colours, or of luma alone.
        after: The same; half of both pictures at least is compared.
    """
    n, height, width = before.shape[:3]
    best = np.full(n, -np.inf)
    if not n:
        return best
    whole = [_spread(pictures.reshape(n, -1)) for pictures in (before, after)]
    for down in range(-(height // 2), height // 2 + 1):
        for right in range(-(width // 2), width // 2 + 1):
            share = (height - abs(down)) * (width - abs(right)) / (height * width)
            if share < 0.5:
                continue
            here = np.s_[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
            there = np.s_[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
            parts = [before[here].reshape(n, -1), after[there].reshape(n, -1)]
            full = [
                (_spread(part) >= LEAST_CONTENT * share * of_all) & (_spread(part) >= part.shape[1])
                for part, of_all in zip(parts, whole, strict=True)
            ]
            best = np.where(full[0] & full[1], np.maximum(best, correlations(*parts)), best)
    in_place = correlations(before.reshape(n, -1), after.reshape(n, -1))
    return np.where(np.isfinite(best), best, in_place)


def _spread(rows: Floats) -> Floats:
    """Sum of squared deviations of each row."""
    found: Floats = ((rows - rows.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return found


def correlations(a: Floats, b: Floats) -> Floats:
    """Of each row, Pearson's; 1 where the product of both deviations is under a grey level squared."""
    x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (a, b))
    lengths = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    found: Floats = np.where(lengths < a.shape[1], 1.0, (x * y).sum(axis=1) / np.maximum(lengths, 1e-9))
    return found
