"""Faces that become another one: tracks with a known answer, and real portraits that are swapped under way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.portraits import FPS, background, faces_of, head, info_of, portrait
from vgaudit.conditions import GateSpec
from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.extractors.face_embedding import published_point
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.gates import evaluate, is_assessed
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.identity_drift import FILE, KIND, Identity, floor, identity_drift
from vgaudit.metrics.likeness import Likeness, LikenessOptions
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.plan import Sample
from vgaudit.records import GateResult, Measurement, Outcome, Severity
from vgaudit.testing import check_metric
from vgaudit.video import ClipInfo, Frames

UInt8 = NDArray[np.uint8]

EVERY = 3
"""Frames from one examined frame to the next, as of clips of 10 frames a second."""

A, B = "A", "B"


@dataclass(frozen=True)
class Face:
    """A made-up detection: in which examined frame, who, and where."""

    at: int
    who: str
    x: float = 50.0
    usable: bool = True
    confidence: float = 0.999
    off: float = 0.0
    """How far from its person's other faces, in a direction of its own."""


def vector(face: Face) -> NDArray[np.float32]:
    """People are 0.85 apart, as portraits of different people are."""
    out = np.zeros(128, np.float32)
    out["ABCD".index(face.who)] = 0.6
    out[10 + face.at] = face.off
    return out


def features(seen: list[Face], examined: int = 10, failed: tuple[int, ...] = ()) -> Features:
    seen = sorted(seen, key=lambda f: f.at)
    at = np.array([f.at for f in seen], np.int64)
    usable = np.array([f.usable for f in seen], bool)
    embedding = np.array([vector(f) for f in seen], np.float32).reshape(-1, 128)
    embedding[~usable] = 0
    frames = EVERY * np.arange(examined)
    arrays: dict[str, NDArray[Any]] = {
        "frame_index": (EVERY * at).astype(np.int32),
        "pts_s": EVERY * at / FPS,
        "box": np.array([[f.x, 20, f.x + 40, 70] for f in seen], np.float32).reshape(-1, 4),
        "confidence": np.array([f.confidence for f in seen], np.float32),
        "usable": usable,
        "reason": np.where(usable, "", "blurred"),
        "embedding": embedding,
        "frames_examined": frames.astype(np.int32),
        "examined_pts_s": frames / FPS,
        "frames_failed": (EVERY * np.array(failed, np.int64)).astype(np.int32),
        "beside": np.ones(len(seen), bool),
    }
    return Features(arrays, {"failures": ["the face detector broke: no memory"] if failed else []})


INFO = ClipInfo("clip.mp4", 192, 144, FPS, 28, 2.8, "h264", "mp4", "yuv420p")


def found(seen: list[Face], cuts: tuple[int, ...] = (), **options: Any) -> Identity:
    return identity_drift("s0", features(seen, **options), cuts, INFO)


def shown(people: str, **where: Any) -> list[Face]:
    """One face that is a letter of ``people`` in each examined frame; none where it is a dot."""
    return [Face(at, who, **where) for at, who in enumerate(people) if who != "."]


def spans(identity: Identity) -> list[tuple[float, float]]:
    return [(round(f.start_s, 6), round(f.end_s, 6)) for f in identity.findings]


def test_one_person_all_along_is_nothing() -> None:
    said = found(shown("AAAAAAAAAA"))
    assert (said.findings, said.series, said.unassessed) == ((), {}, "")
    assert said.facts == {
        "frames": 28, "frames_examined": 10, "frames_with_faces": 10, "faces": 10, "faces_compared": 10,
        "tracks_compared": 1, "largest_distance": 0.0,
    }  # fmt: skip


def test_frames_are_counted_where_a_container_does_not_say_how_many_it_has() -> None:
    unknown = replace(INFO, frames=None)
    for examined, frames in ((10, 28), (1, 1), (0, 0)):
        said = identity_drift("s0", features([], examined=examined), (), unknown)
        assert said.facts["frames"] == frames


def test_no_face_is_nothing_to_find_and_nothing_left_open() -> None:
    said = found([])
    assert (said.findings, said.unassessed, said.facts["largest_distance"]) == ((), "", None)


def test_a_face_that_becomes_another_one_to_the_end() -> None:
    said = found([*shown("AAAAABB"), Face(7, B, off=0.2), *(Face(at, B) for at in (8, 9))])
    (finding,) = said.findings
    assert (finding.kind, finding.severity) == (KIND, Severity.REVIEW)
    assert spans(said) == [(1.5, 2.8)]
    assert finding.score == pytest.approx(np.hypot(np.sqrt(2) * 0.6, 0.2))
    assert finding.threshold == floor().distance == 0.6
    assert finding.box == (50, 20, 90, 70)
    assert finding.message == (
        "From 1.50 s to the end a face is less like what it was at 0.00 s than pictures of one person usually are "
        "like each other (distance 0.87, threshold 0.60)."
    )
    assert finding.detail == {
        "first_frame": 15, "last_frame": 27, "unit": "L2 distance", "worst_frame": 21, "faces": 5,
        "faces_compared": 10, "median_distance": pytest.approx(0.8485, abs=1e-4),
    }  # fmt: skip
    series = said.series["identity"]
    assert series.times_s == pytest.approx([0.3 * at for at in range(10)])
    assert series.values == pytest.approx([0] * 5 + [0.8485] * 2 + [0.8718] + [0.8485] * 2, abs=1e-4)
    assert series.unit == "L2 distance"


def test_a_drift_lasts_until_the_face_is_back() -> None:
    said = found(shown("AAAABBBAAA"))
    assert spans(said) == [(1.2, 2.1)]
    assert (said.findings[0].detail["first_frame"], said.findings[0].detail["last_frame"]) == (12, 20)
    assert " to 2.10 s a face" in said.findings[0].message


def test_a_face_that_leaves_as_another_one_drifts_as_long_as_it_is_there() -> None:
    said = found(shown("AAAABB...."))
    assert spans(said) == [(1.2, 1.6)]
    assert " to 1.60 s a face" in said.findings[0].message


def test_a_single_face_that_is_far_off_is_nothing() -> None:
    assert found(shown("AAAABAAAAA")).findings == ()
    assert found(shown("AAAAAAAAAB")).findings == ()
    assert found(shown("AAAAAAAABB")).findings != ()


def test_a_bad_first_face_is_not_what_the_others_are_held_against() -> None:
    assert found(shown("BAAAAAAAAA")).findings == ()
    assert spans(found(shown("BAAAAABBBB"))) == [(1.8, 2.8)]


def test_a_cut_ends_a_track() -> None:
    people = shown("AAAAABBBBB")
    assert found(people).findings != ()
    assert found(people, cuts=(14,)).findings == ()
    assert found(people, cuts=(15,)).findings == ()
    assert found(people, cuts=(19,)).findings != ()  # two faces before it
    assert (
        found(shown("AAAAAABBBB"), cuts=(18,)).facts["tracks_compared"] == 2
    )  # the cut's frame is the new shot's
    assert found(shown("AAAABBAAAA"), cuts=(12, 18)).findings == ()  # an insert: both ends count


def test_a_face_that_is_lost_for_a_frame_is_still_the_same() -> None:
    assert spans(found(shown("AAAA.BB.BB"))) == [(1.5, 2.8)]
    assert found(shown("AAAA..BBBB")).findings == ()  # for longer, somebody else may have come


def test_faces_at_other_places_are_other_faces() -> None:
    said = found([*shown("AAAAAAAAAA"), *shown("BBBBBBBBBB", x=120)])
    assert (said.findings, said.facts["tracks_compared"]) == ((), 2)


def test_two_people_who_cross_are_no_drift_and_one_who_becomes_the_other_is() -> None:
    crossing = [*shown("AAAAABBBBB"), *shown("BBBBBAAAAA", x=120)]
    assert found(crossing).findings == ()
    copied = found([*shown("AAAAABBBBB"), *shown("BBBBBBBBBB", x=120)])
    assert [f.box[0] for f in copied.findings if f.box] == [50]
    earlier_shot = [*shown("BBBB......", x=120), *shown("....AAABBB")]
    assert found(earlier_shot).findings == ()
    assert found(earlier_shot, cuts=(12,)).findings != ()  # who left with the cut cannot have crossed
    into_a_third = found([*shown("AAAAACCCCC"), *shown("BBBBBBBBBB", x=120)])
    assert spans(into_a_third) == [(1.5, 2.8)]


def test_a_face_that_cannot_be_compared_is_nobody_who_crossed() -> None:
    seen = features([*shown("AAAAABBBBB"), *shown("CCCCCCCCCC", x=120, usable=False)])
    seen["embedding"][:] *= (
        0.9  # nearer to the zeros of those that are not usable than people are to each other
    )
    assert len(identity_drift("s0", seen, (), INFO).findings) == 1


def beside(people: str, off: float = 0.0) -> list[Face]:
    return shown(people, x=120, off=off)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("BBBBB.....", False),  # gone to the other's place in all four faces
        ("BBBBBB....", False),  # three of four: at the first the other is where it was
        ("BBBBBBB...", True),  # half of them is no more than half
        ("BBBBBBBBB.", True),
        (".....B....", True),  # shown with the first of them, and not before
        ("CC.......B", True),  # who comes later cannot have crossed
        ("CCCCC.....", True),
    ],
)
def test_two_have_crossed_where_most_of_a_drift_shows_who_was_elsewhere_before(
    other: str, told: bool
) -> None:
    said = found([*shown("AAAAABBBBA"), *beside(other)])
    assert spans(said) == ([(1.5, 2.7)] if told else [])


@pytest.mark.parametrize(
    ("off", "told"), [(0.0, False), (0.4, False), (0.59, False), (0.61, True), (0.8, True)]
)
def test_who_was_elsewhere_is_as_like_as_pictures_of_one_person_are(off: float, told: bool) -> None:
    said = found([*shown("AAAAABBBBA"), *beside("BBBBB.....", off)])
    assert spans(said) == ([(1.5, 2.7)] if told else [])


def test_a_face_that_could_not_be_compared_before_is_nobody_who_crossed() -> None:
    seen = features([*shown("AAAAABBBBB"), *shown("CCCCC.....", x=120, usable=False)])
    seen["embedding"][:] *= 0.9  # nearer to the zeros of those that are not usable than 0.6
    assert len(identity_drift("s0", seen, (), INFO).findings) == 1


def test_two_drifts_are_told_by_time_and_the_larger_is_drawn() -> None:
    larger = [Face(at, who, x=120, off=0.3 if who == B else 0) for at, who in enumerate("AAAAAABBBB")]
    said = found([*larger, *shown("CCCCDDDDDD")])
    assert [(f.start_s, f.box and f.box[0]) for f in said.findings] == [(1.2, 50), (pytest.approx(1.8), 120)]
    assert said.findings[1].score > said.findings[0].score
    assert max(v for v in said.series["identity"].values if v) == said.findings[1].score


def test_three_faces_are_too_few_to_compare_and_nothing_is_said_of_them() -> None:
    said = found(shown("ABB......."))
    assert (said.findings, said.facts["tracks_compared"], said.unassessed) == ((), 0, "")
    assert found(shown("AAABB.....")).findings != ()


def test_where_faces_differ_from_frame_to_frame_a_distance_says_less() -> None:
    noisy = [Face(at, A, off=0.36) for at in range(4)] + [Face(at, A, off=0.55) for at in range(4, 10)]
    said = found(noisy)  # neighbours are 0.78 apart, and the beginning is up to 0.66 from the rest
    assert said.facts["largest_distance"] > floor().distance
    assert said.findings == ()


def test_faces_that_could_not_be_compared_leave_the_clip_open() -> None:
    assert found(shown("AAAAAAAAAA", usable=False)).unassessed == (
        "faces in 10 of 10 examined frames could not be compared over time"
    )
    assert found(shown("AAAA......", usable=False)).unassessed.startswith("faces in 4 of 10")
    assert found(shown("AAA.......", usable=False)).unassessed == ""  # shorter than anything is compared over
    some = [Face(at, A, usable=at in (0, 1, 2)) for at in range(10)]
    assert found(some).unassessed.startswith("faces in 10 of 10")
    late = [Face(at, A, usable=at < 5) for at in range(10)]
    assert found(late).unassessed == ""  # within a second of one that was compared ...
    longer = [Face(at, A, usable=at < 5) for at in range(12)]
    assert found(longer, examined=12).unassessed.startswith("faces in 4 of 12")  # ... and past it


@pytest.mark.parametrize(
    ("people", "cuts", "open_frames"),
    [
        ("AAA", (), 3),  # a short clip: faces in all that was examined, and none compared
        ("ABB", (), 3),
        ("AA.", (), 2),
        ("A..", (), 0),  # in fewer than half
        ("AA..", (), 0),  # half is not most
        ("AAB...AAAA", (9,), 3),  # the first three of ten
        ("AAAAAAAAAA", (), 0),
        ("AAAAAAABBB", (21,), 3),  # a short second shot of three examined frames
        ("AAAAAAABB.", (21,), 2),
        ("AAAAAAAB..", (21,), 0),
        ("AAAAAAAAAB", (26,), 1),  # one examined frame of a shot of two
        ("AAAAAAAAAB", (27,), 0),  # a shot of one frame holds no change
        ("AABBBAAAAA", (6, 9, 15), 5),  # two, one and two examined frames; the last shot is compared
        ("..........", (9,), 0),
    ],
)
def test_a_shot_with_faces_in_most_examined_frames_is_open_if_too_few_could_be_compared(
    people: str, cuts: tuple[int, ...], open_frames: int
) -> None:
    said = found(shown(people), cuts, examined=len(people))
    assert said.findings == ()
    why = f"faces in {open_frames} of {len(people)} examined frames could not be compared over time"
    assert said.unassessed == (why if open_frames else "")


def test_no_gate_on_faces_passes_on_a_clip_of_three_examined_frames_with_faces() -> None:
    on = metric(faces=True)
    said = measured(background(10, 96, 128), features(shown("ABB"), examined=3))
    assert said.facts["identity"]["frames_examined"] == said.facts["identity"]["frames_with_faces"] == 3
    assert said.facts["identity"]["frames"] == 10
    assert "faces in 3 of 3 examined frames" in said.unassessed_kinds[KIND]
    assert held(on, said, GATE).outcome is Outcome.NOT_COMPUTED
    few = measured(background(28, 96, 128), features(shown("ABB.......")))
    assert held(on, few, GATE).outcome is Outcome.PASSED


def test_a_face_that_jumps_about_cannot_be_compared() -> None:
    jumping = [Face(at, A, x=10 + 60 * (at % 3)) for at in range(10)]
    said = found(jumping)
    assert said.facts["tracks_compared"] == 0
    assert said.unassessed.startswith("faces in 10 of 10")


def test_what_is_hardly_a_face_leaves_nothing_open() -> None:
    unsure = [Face(at, A, x=10 + 60 * (at % 3), usable=False, confidence=0.6) for at in range(10)]
    assert found(unsure).unassessed == ""


def test_frames_that_could_not_be_searched_leave_the_clip_open() -> None:
    said = found(shown("AAAA......"), failed=(7, 8))
    assert said.unassessed == (
        "2 of 10 frames could not be searched for faces (the face detector broke: no memory)"
    )
    assert found([], failed=tuple(range(10))).unassessed.startswith("10 of 10 frames")
    assert found([], examined=0).unassessed == "no frame was examined for faces"


def test_a_number_that_is_none_leaves_the_clip_open() -> None:
    broken = features(shown("AAAABBBBBB"))
    broken["embedding"][3, 3] = np.nan
    said = identity_drift("s0", broken, (), INFO)
    assert said.findings == ()
    assert said.unassessed.startswith("embedding of a face is not a finite number")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_order_of_faces_within_a_frame_changes_nothing(data: st.DataObject) -> None:
    rows = [
        Face(
            at,
            data.draw(st.sampled_from("ABC")),
            x=x + data.draw(st.floats(-9, 9)),
            usable=data.draw(st.booleans()),
        )
        for at in range(10)
        for x in (20.0, 60.0, 100.0)
    ]
    one = features(rows)
    order = np.concatenate([3 * at + np.array(data.draw(st.permutations(range(3)))) for at in range(10)])
    per_face = ("frame_index", "pts_s", "box", "confidence", "usable", "reason", "embedding", "beside")
    other = Features({n: a[order] if n in per_face else a for n, a in one.arrays.items()}, one.facts)
    assert identity_drift("s0", one, (), INFO) == identity_drift("s0", other, (), INFO)


def test_the_floor_says_where_it_comes_from() -> None:
    stored = json.loads(FILE.read_text("utf-8"))
    point = published_point(DlibEmbedder.points)
    assert point is not None
    assert stored["published"]["threshold"] == pytest.approx(1 - point.similarity)
    assert stored["threshold"] >= stored["published"]["threshold"]
    kinds = stored["tracks"].values()
    assert stored["threshold"] >= max(kind["largest_lasting_distance"] for kind in kinds)
    assert stored["noise"] >= stored["tracks"]["as examined"]["largest_ratio_to_neighbours"]
    assert stored["clips"]["real"]
    assert (floor().distance, floor().noise) == (stored["threshold"], stored["noise"])


# -- in the metric ---------------------------------------------------------------------------------


def metric(faces: bool) -> Temporal:
    return Temporal(TemporalOptions(faces=faces), MetricContext())


def blocks(clip: UInt8) -> Iterator[Frames]:
    for first in range(0, len(clip), 8):
        part = clip[first : first + 8]
        yield Frames(part, first, (first + np.arange(len(part))) / FPS)


def measured(clip: UInt8, faces: Features | None = None, of: Temporal | None = None) -> Measurement:
    of = of or metric(faces=True)
    info = info_of(clip)
    started = {
        "pixels": PixelsExtractor().start(info),
        "motion": MotionExtractor(MotionOptions()).start(info),
    }
    for block in blocks(clip):
        for each in started.values():
            each.push(block)
    seen = {name: each.finish() for name, each in started.items()}
    if "faces" in of.needs():
        seen["faces"] = faces or faces_of(clip, **of.needs()["faces"].options)
    return of.measure(ClipView(Sample("s0", "s0", "", "model"), info, "0" * 64, seen))


def held(of: Temporal, said: Measurement, gate: str) -> GateResult:
    (result,) = evaluate(
        [GateSpec.model_validate(gate)], [], ["model"],
        findings=said.findings, sample_groups={"s0": "model"},
        coverage={
            "temporal": {"model": (int(is_assessed(said)), 1)},
            **{kind: {"model": (0, 1)} for kind in said.unassessed_kinds},
        },
        finding_kinds={"temporal": of.finding_kinds},
    )  # fmt: skip
    return result


GATE = f"findings {KIND} <= 0"


def test_faces_are_asked_for_as_likeness_does_and_only_if_they_are_to_be_looked_at() -> None:
    likeness = Likeness(LikenessOptions(gallery="none"), MetricContext())
    needed = metric(faces=True).needs()
    assert needed["faces"] == likeness.needs()["faces"]
    assert needed["faces"].key == likeness.needs()["faces"].key
    assert set(metric(faces=False).needs()) == {"pixels", "motion"}
    assert TemporalOptions().faces is False


def test_a_gate_gets_no_answer_where_no_face_was_looked_at() -> None:
    clip = background(12, 96, 128)
    off = metric(faces=False)
    without = held(off, measured(clip, of=off), GATE)
    assert without.outcome is Outcome.NOT_COMPUTED
    assert "finds no 'temporal.identity_drift'" in without.reason
    assert held(off, measured(clip, of=off), "findings temporal.freeze <= 0").outcome is Outcome.PASSED
    on = metric(faces=True)
    assert held(on, measured(clip), GATE).outcome is Outcome.PASSED
    assert KIND in Temporal.finding_kinds  # suites are checked against the class


def test_a_gate_gets_no_answer_where_the_detector_broke() -> None:
    clip = background(28, 96, 128)
    on = metric(faces=True)
    said = measured(clip, features([], failed=(2,)))
    assert said.unassessed == ""  # of faces only: gates on other kinds have their answer
    assert "1 of 10 frames could not be searched" in said.unassessed_kinds["temporal.identity_drift"]
    result = held(on, said, GATE)
    assert (result.outcome, result.reason) == (
        Outcome.NOT_COMPUTED, f"{KIND} could be looked for in only 0 of 1 clips",
    )  # fmt: skip
    assert held(on, measured(clip, features([])), GATE).outcome is Outcome.PASSED


def test_the_option_changes_no_number() -> None:
    clip = background(12, 96, 128)
    off, on = measured(clip, of=metric(faces=False)), measured(clip)
    assert (on.values, on.missing, on.findings) == (off.values, off.missing, off.findings)
    assert {name for name in on.facts if name not in off.facts} == {"identity"}


def test_a_cut_that_is_found_ends_a_track() -> None:
    clip = background(28, 96, 128)
    people = features(shown("AAAAABBBBB"))
    uncut = measured(clip, people)
    assert any(f.kind == KIND for f in uncut.findings)
    assert max(v for v in uncut.series["identity"].values if v) == pytest.approx(0.8485, abs=1e-4)
    clip[15:] = 255 - np.roll(clip[15:], 40, axis=1)
    said = measured(clip, people)
    assert [f.kind for f in said.findings if f.kind in (KIND, "temporal.jump_cut")] == ["temporal.jump_cut"]


# -- real faces ------------------------------------------------------------------------------------


def walking(first: UInt8, other: UInt8, share: NDArray[np.float64]) -> UInt8:
    """A person in front of a drifting ground who moves, comes closer and is to ``share`` another one, ``(T,)``."""
    clip = background(len(share), 192, 288)
    for t, much in enumerate(share.tolist()):
        width = 82 + t
        size = (width, round(1.15 * width))
        one, two = (
            cv2.resize(p, size, interpolation=cv2.INTER_AREA).astype(np.float32) for p in (first, other)
        )
        left, top = 60 + t, 40 - t // 4
        clip[t, top : top + size[1], left : left + width] = np.rint(one * (1 - much) + two * much)
    return clip


FRAMES = 28
AT_ONCE = np.where(np.arange(FRAMES) >= 12, 1.0, 0.0)
GRADUALLY = np.clip((np.arange(FRAMES) - 11) / 6, 0, 1)
BACK = np.where((np.arange(FRAMES) >= 12) & (np.arange(FRAMES) < 20), 1.0, 0.0)


def drifts(clip: UInt8) -> list[tuple[float, float]]:
    said = measured(clip)
    assert said.unassessed == ""
    assert said.facts["identity"]["tracks_compared"] == 1
    return [(f.start_s, f.end_s) for f in said.findings if f.kind == KIND]


@pytest.mark.parametrize("share", [AT_ONCE, GRADUALLY, BACK], ids=["at once", "gradually", "and back"])
@pytest.mark.parametrize("names", [("person_a/1.jpg", "person_b/1.jpg"), ("person_b/1.jpg", "astronaut")])
def test_a_person_who_becomes_another_one_is_found(
    shared_data: Path, names: tuple[str, str], share: NDArray[np.float64]
) -> None:
    first, other = (head(shared_data, name) for name in names)
    ((start, end),) = drifts(walking(first, other, share))
    changed = np.flatnonzero(share > 0.5) / FPS
    # The frame of half a blend may be looked at too, as it lies where the face changes.
    assert changed[0] - 1 / FPS - 1e-9 <= start <= changed[0] + 0.3
    assert abs(end - (changed[-1] + 1 / FPS)) <= 0.3


@pytest.mark.slow
def test_it_keeps_the_promises_of_every_metric(shared_data: Path) -> None:
    one, other = head(shared_data, "person_b/1.jpg"), head(None, "astronaut")
    clip = walking(one, other, np.where(np.arange(10) >= 5, 1.0, 0.0))
    assert drifts(clip) != []
    check_metric(Temporal, {"faces": True}, clips=[clip, walking(one, one, np.zeros(6))])


def test_one_person_who_moves_is_not_found(shared_data: Path) -> None:
    for name in ("person_a/1.jpg", "person_b/1.jpg", "astronaut"):
        same = head(shared_data, name)
        assert drifts(walking(same, same, AT_ONCE)) == []


def test_another_picture_of_the_same_person_is_not_found(shared_data: Path) -> None:
    first = head(shared_data, "person_a/1.jpg")
    other = portrait(shared_data / "faces" / "person_a/3.jpg")[40:350, 160:440]
    for share in (AT_ONCE, BACK):
        assert drifts(walking(first, other, share)) == []
