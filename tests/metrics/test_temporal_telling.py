"""What is told of a moment that several detectors see, what is no cut, and what cannot be looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.test_temporal import measure, quiet
from tests.metrics.test_temporal_detectors import changed, lit, spans
from tests.metrics.test_temporal_detectors import quiet as quiet_signals
from vgaudit.extractors.base import Features
from vgaudit.metrics import temporal_detectors
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.temporal import FEWEST_FRAMES, Temporal, TemporalOptions
from vgaudit.metrics.temporal_detectors import DETECTORS, detect
from vgaudit.metrics.temporal_findings import artifacts
from vgaudit.metrics.temporal_floors import floors
from vgaudit.metrics.temporal_signals import Found, Signals, correlations, shifted_correlation
from vgaudit.metrics.temporal_windows import FEWEST_PICTURES, windows
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.video import ClipInfo


def told(monkeypatch: pytest.MonkeyPatch, **found: Found) -> dict[str, tuple[Found, ...]]:
    """What is told of a clip of 24 pictures in which the named detectors find one thing each."""

    def finder(kind: str) -> Iterator[Found]:
        return iter([found[kind]] if kind in found else [])

    fakes = {
        kind: replace(d, find=lambda s, threshold, kind=kind: finder(kind)) for kind, d in DETECTORS.items()
    }
    monkeypatch.setattr(temporal_detectors, "DETECTORS", fakes)
    return {kind: f for kind, f in detect(quiet_signals(), floors(128)).items() if f}


def at(kind: str, first: int, end: int, over: float) -> Found:
    """Found so many times over its threshold."""
    return Found(first, end, over * floors(128)[kind])


def test_a_moment_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    noise, blur = at("noise_burst", 5, 9, 1.1), at("blur_pulse", 5, 9, 9.0)
    assert told(monkeypatch, noise_burst=noise, blur_pulse=blur) == {"noise_burst": (noise,)}
    apart = at("blur_pulse", 12, 16, 9.0)
    assert set(told(monkeypatch, noise_burst=noise, blur_pulse=apart)) == {"noise_burst", "blur_pulse"}


@pytest.mark.parametrize("lasting", ["blur_pulse", "ghosting", "warping"])
@pytest.mark.parametrize("insert", ["popping", "subject_swap"])
@pytest.mark.parametrize(("over", "wins"), [(1.9, True), (1.4, True), (1.3, False)])
def test_of_a_ghost_and_a_part_that_pops_the_clearer_one_is_told(
    monkeypatch: pytest.MonkeyPatch, lasting: str, insert: str, over: float, wins: bool
) -> None:
    found = {lasting: at(lasting, 4, 16, over), insert: at(insert, 5, 15, 1.5)}
    assert set(told(monkeypatch, **found)) == {lasting if wins else insert}


@pytest.mark.parametrize(
    ("ghost", "warp", "kept"),
    [
        ((4, 20, 2.0), (5, 19, 2.5), "warping"), ((4, 20, 2.5), (5, 19, 2.0), "ghosting"),
        ((2, 22, 1.01), (8, 16, 9.0), "warping"),  # short and clear, in one that is long and faint
        ((8, 16, 9.0), (2, 22, 1.01), "ghosting"),
    ],
)  # fmt: skip
def test_of_a_ghost_and_a_warp_the_clearer_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
    ghost: tuple[int, int, float],
    warp: tuple[int, int, float],
    kept: str,
) -> None:
    found = told(monkeypatch, ghosting=at("ghosting", *ghost), warping=at("warping", *warp))
    assert set(found) == {kept}


def test_a_ghost_that_is_not_told_hides_no_warp(monkeypatch: pytest.MonkeyPatch) -> None:
    blur, ghost = at("blur_pulse", 9, 14, 2.0), at("ghosting", 11, 17, 3.0)
    found = told(monkeypatch, blur_pulse=blur, ghosting=ghost, warping=at("warping", 4, 20, 2.5))
    assert set(found) == {"blur_pulse", "warping"}


def test_a_ghost_elsewhere_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ghosting": at("ghosting", 14, 23, 9), "popping": at("popping", 2, 6, 1.5)}
    assert set(told(monkeypatch, **found)) == {"ghosting", "popping"}


def test_light_that_stays_hides_what_comes_later_and_light_that_goes_back_hides_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pop = at("jitter", 14, 18, 1.5)
    stays, back = at("exposure_shift", 8, 24, 3), at("exposure_shift", 8, 22, 3)
    assert set(told(monkeypatch, exposure_shift=stays, jitter=pop)) == {"exposure_shift", "jitter"}
    assert set(told(monkeypatch, exposure_shift=back, jitter=pop)) == {"exposure_shift"}
    at_once = at("jitter", 8, 9, 1.5)
    assert set(told(monkeypatch, exposure_shift=stays, jitter=at_once)) == {"exposure_shift"}


def test_what_happens_inside_a_stutter_or_between_two_cuts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("duplicate_frames", "jump_cut"):
        outer, inner = at(kind, 4, 20, 9), at("flicker", 9, 14, 1.1)
        assert set(told(monkeypatch, **{kind: outer, "flicker": inner})) == {kind, "flicker"}
    edge = at("flicker", 4, 5, 1.1)
    assert set(told(monkeypatch, jump_cut=at("jump_cut", 4, 20, 9), flicker=edge)) == {"jump_cut"}


def test_a_warp_that_is_not_told_itself_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the jitter it is part of; the part that pops meanwhile stays."""
    found = {
        "warping": at("warping", 4, 16, 3),
        "jitter": at("jitter", 3, 11, 1.2),
        "popping": at("popping", 12, 15, 1.5),
    }
    assert set(told(monkeypatch, **found)) == {"jitter", "popping"}


# -- cuts and fades --------------------------------------------------------------------------------


def cut_at(pair: int, after: np.ndarray) -> Signals:
    """A clip that shows another picture from a pair on, which no flow explains."""
    s = quiet_signals()
    fine = s.fine.copy()
    fine[pair + 1 :] = after
    residual = s.residual.copy()
    residual[pair] = 60
    return replace(changed(s, fine), residual=residual)


def wide(seed: int = 0) -> np.ndarray:
    """A picture twice as wide as the thumbnail of one, coarse enough to be told when it is shifted."""
    cells = np.random.default_rng(seed).integers(20, 235, (8, 16, 3))
    return np.kron(cells, np.ones((4, 4, 1), int)).astype(np.uint8)


def test_a_camera_that_is_whipped_round_is_no_cut_and_another_picture_is() -> None:
    picture = wide()
    s = cut_at(9, picture[:, 10:42])
    fine = s.fine.copy()
    fine[:10] = picture[:, :32]
    assert spans("jump_cut", changed(s, fine)) == []
    fine[:10] = wide(1)[:, :32]
    assert spans("jump_cut", changed(s, fine)) == [(10, 11)]


def test_shifted_pictures_are_found_alike_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    before, after = (
        rng.normal(size=(3, 6, 7, 3)),
        rng.normal(size=(3, 6, 7, 3)),
    )  # as full of content everywhere
    after[1, 2:, :-1] = before[1, :-2, 1:]  # two down, one to the left
    best = np.full(3, -1.0)
    for n in range(3):
        for down in range(-5, 6):
            for right in range(-6, 7):
                rows = [(y, y + down) for y in range(6) if 0 <= y + down < 6]
                columns = [(x, x + right) for x in range(7) if 0 <= x + right < 7]
                if 2 * len(rows) * len(columns) < 42:
                    continue
                a = np.array([before[n, y, x] for y, _ in rows for x, _ in columns]).ravel()
                b = np.array([after[n, y, x] for _, y in rows for _, x in columns]).ravel()
                best[n] = max(best[n], np.corrcoef(a, b)[0, 1])
    # Multiplied, as pictures that deviate by less than a grey level count as flat.
    assert shifted_correlation(100 * before, 100 * after) == pytest.approx(best)
    assert best[1] == pytest.approx(1)
    assert best[0] < 0.9


def test_flat_pictures_are_alike() -> None:
    flat = np.full((1, 4, 4, 3), 7.0)
    assert correlations(flat.reshape(1, -1), flat.reshape(1, -1) + 90) == pytest.approx([1])
    assert shifted_correlation(flat, flat) == pytest.approx([1])
    assert len(shifted_correlation(flat[:0], flat[:0])) == 0


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_cut_between_pictures_with_plain_halves_is_a_cut(ground: int) -> None:
    """Half of either is plain ground, which is alike wherever one looks."""
    above, below = (np.full((32, 32, 3), ground, np.uint8) for _ in range(2))
    above[:16], below[16:] = wide(1)[:16, :32], wide(2)[16:, :32]
    s = cut_at(9, below)
    fine = s.fine.copy()
    fine[:10] = above
    assert spans("jump_cut", changed(s, fine)) == [(10, 11)]
    fine[:10] = wide(3)[:, :32]
    assert spans("jump_cut", changed(s, fine)) == [(10, 11)]


def test_of_many_different_shots_each_is_told() -> None:
    s = quiet_signals(60)
    fine, residual = s.fine.copy(), s.residual.copy()
    for shot in range(1, 10):
        fine[6 * shot :] = wide(20 + shot)[:, :32]
        residual[6 * shot - 1] = 60
    found = spans("jump_cut", replace(changed(s, fine), residual=residual))
    assert len(found) >= 7  # what is next but one may look more alike by chance
    assert all(end - first <= 6 for first, end in found)


@pytest.mark.parametrize("gain", [0.3, -0.5])
def test_a_flash_of_one_picture_flickers(gain: float) -> None:
    light = np.full(24, 5.0) + 1e-3 * np.sin(np.arange(24))
    light[11] += gain
    assert spans("flicker", lit(light)) == [(10, 13)]


def test_a_fade_through_black_does_not_flicker() -> None:
    light = np.full(24, 5.0)
    light[9:12] = [4.6, 2.8, 4.6]
    bends = np.diff(light, 2)[8:11] / -2
    assert (np.sign(bends) == [1, -1, 1]).all()
    assert (np.abs(bends) > 3 * floors(128)["flicker"]).all()
    assert spans("flicker", lit(light)) == []
    light[9:14] = [4.4, 5.0, 4.4, 5.0, 4.4]
    assert spans("flicker", lit(light)) == [(8, 15)]


@pytest.mark.parametrize(
    ("pictures", "over", "found"),
    [
        (1, 1.4, False),
        (2, 1.4, False),
        (3, 1.4, True),
        (1, 1.6, True),
        (2, 1.6, True),
        (3, 0.9, True),
        (2, 0.9, False),
        (3, 0.5, False),
    ],
)
def test_a_part_seen_in_one_or_two_pictures_may_be_a_thing_that_leaps(
    pictures: int, over: float, found: bool
) -> None:
    s = quiet_signals()
    fine, residual = s.fine.copy(), s.residual.copy()
    fine[10 : 10 + pictures, 8:16, 8:16] = 255 - fine[10 : 10 + pictures, 8:16, 8:16]
    for pair in (9, 9 + pictures):
        residual[pair, 2:4, 2:4] = over * floors(128)["popping"] + 1.5 * s.residual[pair].max()
        if pictures == 1:  # half of what the pair beside shows is taken off
            residual[pair, 2:4, 2:4] = over * floors(128)["popping"]
    seen = replace(changed(s, fine), residual=residual)
    if pictures == 1:
        seen.__dict__["local"] = seen.residual - 0.0  # as if the two changes did not hide each other
    assert spans("popping", seen) == ([(10, 10 + pictures)] if found else [])


def popped(rests: float, ground: float) -> Signals:
    """A part that is another for eight pictures, changing by ``rests`` meanwhile; it stood beside before."""
    s = quiet_signals()
    fine, residual = s.fine.astype(float), s.residual.copy()
    fine[:] = 60
    fine[:, 8:16, 8:16] = 80
    fine[:, 8:16, 17:25] = 80 + ground  # what lies beside is nearer to it than the place was
    fine[10:18, 8:16, 8:16] = 180
    fine[11:18:2, 8:16, 8:16] += rests
    for pair in (9, 17):
        residual[pair, 2:4, 2:4] = 2 * floors(128)["popping"] + 1.5 * s.residual[pair].max()
    return replace(changed(s, fine), residual=residual)


def test_what_rests_where_it_is_and_leaves_no_trace_has_popped_though_it_looks_like_what_is_beside() -> None:
    """The place beside differs by half as much as the place itself has changed: enough for what passes by."""
    assert spans("popping", popped(rests=5, ground=50)) == [(10, 18)]
    assert spans("popping", popped(rests=20, ground=50)) == []
    assert spans("popping", popped(rests=20, ground=20)) == [(10, 18)]
    assert spans("popping", popped(rests=5, ground=80)) == []


def test_what_rests_may_change_less_and_what_does_not_may_not() -> None:
    """At 0.7 of the threshold."""
    for rests, found in ((5, True), (20, False)):
        s = popped(rests=rests, ground=0)
        residual = s.residual.copy()
        for pair in (9, 17):
            residual[pair, 2:4, 2:4] = 0.7 * floors(128)["popping"] + 1.5 * s.residual[0].max()
        (*told,) = DETECTORS["popping"].find(replace(s, residual=residual), floors(128)["popping"])
        assert [(f.first, f.end) for f in told] == ([(10, 18)] if found else [])
        assert all(f.score == floors(128)["popping"] for f in told)  # told, and no clearer than a clear one


@pytest.mark.parametrize("after", [80, 100, 190, 240, 255])
def test_a_place_that_is_another_afterwards_has_not_come_back(after: int) -> None:
    s = popped(rests=12, ground=0)  # does not rest
    fine = s.fine.astype(float)
    fine[10:18, 8:16, 8:16] = 130
    fine[11:18:2, 8:16, 8:16] += 12
    fine[18:, 8:16, 8:16] = after
    away = min(130 + 6 - 80, abs(after - 136))
    assert (spans("popping", changed(s, fine)) == [(10, 18)]) is (abs(after - 80) <= 1.6 * away)


def test_what_changes_with_a_cut_has_not_popped() -> None:
    s = popped(rests=0, ground=0)
    assert spans("popping", s) == [(10, 18)]
    for pair, hidden in ((9, True), (13, True), (17, True), (5, False)):
        cut = np.zeros(len(s) - 1, bool)
        cut[pair] = True
        cutting = replace(s)
        cutting.__dict__.update(cut=cut, change=np.where(cut, 1.0, 0.0))
        assert (spans("popping", cutting) == []) is hidden


@pytest.mark.parametrize("back", [0.5, 0.6, 0.7])
def test_light_that_steps_back_after_three_pictures_is_told_from_where_it_stepped(back: float) -> None:
    light = np.full(24, 5.0)
    light[8:11], light[11:] = 5.6, 5.6 - back
    assert spans("exposure_shift", lit(light)) == [(8, 11)]


def test_light_is_not_said_to_change_across_a_cut() -> None:
    light = np.full(24, 5.0)
    light[12:] = 5.6
    s = lit(light)
    assert spans("exposure_shift", s) == [(12, 24)]
    cut = np.zeros(23, bool)
    cut[11] = True
    s.__dict__.update(cut=cut)
    assert spans("exposure_shift", s) == []


# -- too few pictures ------------------------------------------------------------------------------


FEW_SHOWN = (
    "all of the pictures are in shots of fewer than 10 different pictures, too few to look for what lasts"
)


def shown(pictures: int, frames: int = 30, asked: str = "", speed: float = 0.0) -> Measurement:
    """A clip of so many frames whose pictures are shown again and again, in order, the last one longest."""
    motion, pixels = quiet("motion", frames - 1), quiet("pixels", frames - 1)
    motion["quality_repeat"] = np.arange(frames - 1) >= pictures - 1
    motion["quality_motion"] = np.full(frames - 1, speed)
    pixels["thumb"] = pixels["thumb"][np.minimum(np.arange(frames), pictures - 1)]
    if asked:
        motion["motion_top5"] = np.zeros(frames - 1)
    sample = Sample("clip-0-0", "prompt", "a dog", "group", tags={"motion": asked} if asked else {})
    info = ClipInfo("clip", 96, 64, 10.0, frames, 3.0, "raw", "array", "rgb24")
    features = {"motion": Features(motion, {"height": 64, "width": 96}), "pixels": Features(pixels)}
    return Temporal(TemporalOptions(), MetricContext()).measure(ClipView(sample, info, "0" * 64, features))


@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        (1, ""), (2, "shows 2 different pictures; artifacts could not"),
        (FEWEST_FRAMES - 1, "shows 3 different pictures; artifacts could not"),
        (FEWEST_FRAMES, ""), (30, ""),
    ],
)  # fmt: skip
def test_few_different_pictures_pass_no_gate_on_findings(pictures: int, why: str) -> None:
    """In a long clip too; one that shows a single picture all along has no artifact that could be missed."""
    m = shown(pictures)
    assert why in m.unassessed
    assert bool(m.unassessed) is bool(why)
    assert m.facts["different_pictures"] == pictures


def test_what_can_be_found_in_few_frames_is_told_although_not_all_could_be() -> None:
    still = measure([5.0, 5, 0, 0, 0, 0, 5])
    assert [f.kind for f in still.findings] == ["temporal.freeze"]
    assert still.unassessed == ""
    assert set(still.unassessed_kinds) == {"temporal.ghosting", "temporal.warping"}


@pytest.mark.parametrize(
    ("pictures", "speed", "sought"), [(1, 0.0, True), (9, 0.02, False), (9, 0.0, False), (10, 0.02, True)]
)
def test_a_clip_of_few_pictures_passes_no_gate_on_ghosts(pictures: int, speed: float, sought: bool) -> None:
    m = shown(pictures, speed=speed)
    assert m.unassessed == ""
    assert m.unassessed_kinds == (
        {} if sought else dict.fromkeys(("temporal.ghosting", "temporal.warping"), FEW_SHOWN)
    )


@pytest.mark.parametrize(("asked", "kinds"), [("fast", 2), ("High", 2), ("high", 0), ("", 0)])
def test_a_word_for_motion_that_nobody_knows_passes_no_gate(asked: str, kinds: int) -> None:
    """From a tag, or a list of clips: those are checked by no suite."""
    m = shown(30, asked=asked)
    about = {"temporal.too_still", "temporal.too_lively"} & set(m.unassessed_kinds)
    assert len(about) == kinds
    assert all(asked in m.unassessed_kinds[kind] for kind in about)


@pytest.mark.parametrize(("short", "sought"), [(3, True), (4, False), (9, False)])
def test_a_clip_much_of_which_lies_in_short_shots_passes_no_gate_on_ghosts(short: int, sought: bool) -> None:
    """Of 30 pictures, the last ones after a cut: a tenth of what moves may go unseen, and no more."""
    rng = np.random.default_rng(0)
    motion, pixels = quiet("motion", 29), quiet("pixels", 29)
    motion["residual"] = np.zeros((29, 8, 8), np.float32)
    motion["residual"][29 - short] = 90.0
    thumb = np.repeat(rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8), [30 - short, short], axis=0)
    pixels["thumb"] = thumb
    info = ClipInfo("clip", 96, 64, 10.0, 30, 3.0, "raw", "array", "rgb24")
    found = artifacts("clip", Features(pixels), Features(motion, {"height": 64, "width": 96}), info)
    assert found.cuts == (30 - short,)
    rushed = {"temporal.jitter"} if 3 < short < 7 else set()
    assert set(found.unassessed) == (set() if sought else {"temporal.ghosting", "temporal.warping"} | rushed)
    share = round(100 * short / 30)
    assert all(why.startswith(f"{share} % of the pictures are in shots") for why in found.unassessed.values())


def test_that_a_clip_is_too_still_is_told_although_its_pictures_are_too_few_for_more() -> None:
    m = shown(2, asked="high")
    assert [f.kind for f in m.findings] == ["temporal.too_still"]
    assert "2 different pictures" in m.unassessed


def test_the_fewest_pictures_are_those_that_have_a_window() -> None:
    assert len(windows(FEWEST_PICTURES - 1)[0]) > 0
    assert len(windows(FEWEST_PICTURES - 2)[0]) == 0
