"""What the temporal metric's constants decide: clips on either side of each, with the numbers written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_temporal_detectors import UInt8, changed, measured, spans
from tests.metrics.test_temporal_detectors import quiet as quiet_signals
from tests.metrics.test_temporal_telling import cut_at, wide
from vgaudit.metrics.temporal_detectors import detect
from vgaudit.metrics.temporal_floors import floors
from vgaudit.metrics.temporal_signals import Signals, shifted_correlation

# -- parts that come and go ------------------------------------------------------------------------


def popped(pictures: int = 8, after: float = 80, times: float = 2.0) -> Signals:
    """A part that is another for so many pictures and does not change meanwhile; what lies beside looks like it.

    The place beside differs from it by half of what the place has changed: near enough for what passes by, and not
    for what rests. Afterwards the place is ``after``, before it was 80, meanwhile 180.
    """
    s = quiet_signals()
    fine, residual = s.fine.astype(float), s.residual.copy()
    fine[:] = 60
    fine[:, 8:16, 8:16] = 80
    fine[:, 8:16, 17:25] = 130
    fine[10 : 10 + pictures, 8:16, 8:16] = 180
    fine[10 + pictures :, 8:16, 8:16] = after
    for pair in (9, 9 + pictures):
        residual[pair, 2:4, 2:4] = times * floors(128)["popping"] + 1.5 * s.residual.max()
    return replace(changed(s, fine), residual=residual)


@pytest.mark.parametrize(("after", "found"), [(80, True), (33, True), (28, False), (10, False)])
def test_what_rests_leaves_its_place_as_it_was_to_half_of_the_change(after: float, found: bool) -> None:
    """The part changes by 100; the place is darker afterwards by 0, 47, 52 and 70."""
    told = detect(popped(after=after), floors(128))
    assert [(f.first, f.end) for f in told["popping"]] == ([(10, 18)] if found else [])


@pytest.mark.parametrize(("pictures", "found"), [(1, False), (2, False), (3, True), (4, True)])
def test_what_shows_in_fewer_than_three_pictures_is_not_seen_to_rest(pictures: int, found: bool) -> None:
    """However far over the threshold: at four times it may be as brief as one likes, where nothing is alike."""
    seen = popped(pictures, times=4.0)
    if pictures == 1:  # half of what the pair beside shows is taken off
        seen.__dict__["local"] = np.where(seen.residual > 20, 4.0 * floors(128)["popping"], 0.0)
    told = detect(seen, floors(128))
    assert [(f.first, f.end) for f in told["popping"]] == ([(10, 10 + pictures)] if found else [])


# -- cuts ------------------------------------------------------------------------------------------


def partly_other(cells: int) -> Signals:
    """A clip that at one pair becomes another in so many of 16x16 cells, by 128 grey levels each."""
    before = wide()[:, :32]
    other = np.arange(256).reshape(16, 16) < cells
    after = np.where(np.kron(other, np.ones((2, 2), bool))[..., None], before ^ 128, before)
    s = cut_at(9, after)
    fine = s.fine.copy()
    fine[:10] = before
    return changed(s, fine)


@pytest.mark.parametrize(("cells", "found"), [(140, True), (128, True), (127, False), (110, False)])
def test_a_cut_changes_half_of_the_picture(cells: int, found: bool) -> None:
    told = detect(partly_other(cells), floors(128))
    assert [(f.first, f.end) for f in told["jump_cut"]] == ([(10, 11)] if found else [])


@pytest.mark.parametrize(("cells", "found"), [(20, True), (13, True), (12, False), (6, False)])
def test_a_cut_is_sudden_in_a_fifth_of_the_picture(cells: int, found: bool) -> None:
    """Of 64 cells: what flow explains of all the others is no sudden change."""
    s = partly_other(256)
    residual = np.full_like(s.residual, 2.0)
    residual[9] = np.where(np.arange(64).reshape(8, 8) < cells, 60.0, 2.0)
    told = detect(replace(s, residual=residual), floors(128))
    assert [(f.first, f.end) for f in told["jump_cut"]] == ([(10, 11)] if found else [])


def mixed(picture: UInt8, other: UInt8, alike: float, shifted: UInt8) -> UInt8:
    """``picture`` with as much of ``other`` in it as makes it so much alike to ``shifted``, by correlation."""
    low, high = 0.0, 1.0
    for _ in range(20):
        share = (low + high) / 2
        out = np.rint(picture * (1 - share) + other * share).astype(np.uint8)
        pair = (p.reshape(1, 16, 2, 16, 2, 3).mean(axis=(2, 4)) for p in (shifted, out))
        low, high = (share, high) if shifted_correlation(*pair)[0] > alike else (low, share)
    return out


@pytest.mark.parametrize(("alike", "found"), [(0.72, True), (0.79, True), (0.81, False), (0.9, False)])
def test_what_is_four_fifths_alike_after_a_shift_is_the_same_shot(alike: float, found: bool) -> None:
    picture = wide()
    before, after = picture[:, :32], mixed(picture[:, 10:42], wide(1)[:, :32], alike, picture[:, :32])
    s = cut_at(9, after)
    fine = s.fine.copy()
    fine[:10] = before
    told = detect(changed(s, fine), floors(128))
    assert [(f.first, f.end) for f in told["jump_cut"]] == ([(10, 11)] if found else [])


@pytest.mark.parametrize(("alike", "found"), [(0.72, False), (0.79, False), (0.81, True), (0.9, True)])
def test_what_is_four_fifths_alike_past_another_cut_has_come_back(alike: float, found: bool) -> None:
    first = wide()[:, :32]
    s = quiet_signals()
    fine, residual = s.fine.copy(), s.residual.copy()
    rows = first.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).ravel()

    def in_place(picture: UInt8) -> float:
        return float(np.corrcoef(rows, picture.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).ravel())[0, 1])

    other = wide(3)[:, :32]
    shares = [np.rint(first * (1 - a) + other * a).astype(np.uint8) for a in np.linspace(0, 1, 400)]
    again = min(shares, key=lambda p: abs(in_place(p) - alike))
    for begin, picture in ((0, first), (6, wide(1)[:, :32]), (12, wide(2)[:, :32]), (18, again)):
        fine[begin:] = picture
    residual[[5, 11, 17]] = 60
    told = spans("jump_cut", replace(changed(s, fine), residual=residual))
    assert told == ([(6, 18)] if found else [(6, 7), (12, 13), (18, 19)])


# -- what could not be looked for ------------------------------------------------------------------


@pytest.mark.parametrize(("every", "sought"), [(6, False), (12, True), (99, True)])
def test_shots_between_cuts_that_are_all_short_leave_ghosts_unassessed(every: int, sought: bool) -> None:
    """24 different pictures in any case: what counts are those of a shot."""
    scenes = [np.kron(wide(10 + i), np.ones((3, 3, 1), np.uint8))[:, :168] for i in range(24)]
    frames = np.stack([scenes[t // every][:, 2 * t : 2 * t + 96] for t in range(24)])
    m = measured(frames)
    cuts = sum(f.kind == "temporal.jump_cut" for f in m.findings)
    assert cuts == (23 // every)
    assert m.unassessed == ""
    open_ = {"temporal.ghosting", "temporal.warping"} | ({"temporal.jitter"} if every < 7 else set())
    assert set(m.unassessed_kinds) == (set() if sought else open_)
