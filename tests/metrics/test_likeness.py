"""The likeness metric on real faces: the planted person is found, nobody else, and nothing passes unseen."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.portraits import astronaut, background, faces_of, head, info_of, planted
from vgaudit.errors import GalleryError, Unavailable, UsageError
from vgaudit.extractors.base import Features
from vgaudit.extractors.faces import make_embedder
from vgaudit.gates import GateSpec, evaluate, is_assessed
from vgaudit.likeness import gallery as gallery_module
from vgaudit.likeness.gallery import load_gallery
from vgaudit.likeness.wording import FIXED_WORDS
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.likeness import Likeness, LikenessOptions
from vgaudit.pipeline.publish import decide
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, Measurement, Result, Severity
from vgaudit.stats import clopper_pearson
from vgaudit.testing import check_metric


def metric(folder: Path, **options: Any) -> Likeness:
    return Likeness(LikenessOptions(**{"gallery": "faces", **options}), MetricContext(folder))


def measure(of: Likeness, clip: np.ndarray, faces: Features | None = None, name: str = "s0") -> Measurement:
    sample = Sample(name, name, "a person", "model")
    found = faces or faces_of(clip, **of.needs()["faces"].options)
    return of.measure(ClipView(sample, info_of(clip), "0" * 64, {"faces": found}))


def summarize(of: Likeness, measurements: list[Measurement]) -> dict[str, Result]:
    samples = [Sample(f"s{i}", f"p{i}", "", "model") for i in range(len(measurements))]
    measured = [Measured(s, m) for s, m in zip(samples, measurements, strict=True)]
    return {r.name: r for r in of.summarize(measured, SummaryContext("model", samples, {}))}


PLANTS: dict[str, dict[str, Any]] = {
    "in the middle": {"during": range(3, 6), "at": (50, 20)},
    "small": {"width": 62, "at": (100, 60)},
    "at the left edge": {"at": (-14, 20)},
    "at the bottom": {"at": (40, 62)},
}


@pytest.mark.parametrize("case", PLANTS)
def test_a_planted_person_is_found_and_nobody_else(shared_data: Path, case: str) -> None:
    clip = planted(head(shared_data, "person_a/1.jpg"), **PLANTS[case])
    found = measure(metric(shared_data, stride=1), clip)
    assert {f.detail["entry"] for f in found.findings} == {"person_a"}
    assert {f.kind for f in found.findings} == {"likeness.match"}
    finding = found.findings[0]
    during = PLANTS[case].get("during", range(9))
    assert finding.start_s == pytest.approx(during.start / 10)
    assert finding.end_s == pytest.approx(during.stop / 10)
    assert finding.severity is Severity.REVIEW
    assert finding.score == pytest.approx(found.values["best_similarity"], abs=1e-12)
    assert finding.detail["best_similarity"] == finding.score >= finding.detail["similarity"]
    assert found.values["best_similarity"] == 1 - found.values["best_distance"]
    assert finding.threshold == 0.4
    assert found.values["best_distance"] < 0.5
    assert finding.detail["runner_up"]["entry"] == "person_b"
    assert finding.detail["runner_up"]["similarity"] < 0.35
    assert finding.detail["point"]["origin"] == "published"
    assert "99.38%" in finding.detail["source"]
    assert FIXED_WORDS in finding.message
    series = found.series["best_similarity"]
    told = [t for t, v in enumerate(series.values) if v is not None]
    assert len(told) >= 3, "the frames whose faces were embedded"
    assert set(told) <= set(during)
    assert found.facts["assessed"] is True
    assert found.facts["tier"] == "REVIEW"
    shown = finding.detail["shown"]
    assert [s["kind"] for s in shown] == ["best"] * min(3, len(during)) + ["typical"] * (len(during) > 3)


def test_somebody_who_is_not_in_the_gallery_raises_nothing(shared_data: Path) -> None:
    found = measure(metric(shared_data), planted(head(None, "astronaut"), frames=2))
    assert found.findings == ()
    assert found.values["best_similarity"] < 0.3
    assert found.facts["tier"] == "CLEAR"


def test_two_people_in_one_clip_are_two_findings(shared_data: Path) -> None:
    clip = planted(head(shared_data, "person_a/1.jpg"), width=85, at=(2, 20), frames=2)
    clip[:, :, 96:] = planted(head(shared_data, "person_b/1.jpg"), width=85, at=(102, 20), frames=2)[
        :, :, 96:
    ]
    found = measure(metric(shared_data), clip)
    assert sorted(f.detail["entry"] for f in found.findings) == ["person_a", "person_b"]
    left, right = sorted(found.findings, key=lambda f: f.box or ())
    assert left.detail["entry"] == "person_a"
    assert right.box is not None
    assert right.box[0] > 96


def test_a_clip_without_a_face_is_assessed(shared_data: Path) -> None:
    found = measure(metric(shared_data), background(3, 80, 100))
    assert found.findings == ()
    assert found.missing == dict.fromkeys(
        ("best_similarity", "best_distance"), "not applicable: no face found"
    )
    assert found.facts["assessed"] is True
    assert found.facts["faces"] == 0
    assert found.series["best_similarity"].values == (None, None, None)


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (lambda: planted(head(None, "astronaut"), width=40, frames=2), "none of 2 faces seen can be compared (2 x"),
        (lambda: background(2, 12, 40), "2 of 2 frames could not be searched for faces (frames of 40x12 px"),
        (lambda: background(0, 80, 80), "no frame was examined"),
    ],
    ids=["faces too small", "frames too small", "no frames"],
)  # fmt: skip
def test_what_cannot_be_assessed_is_never_a_pass(shared_data: Path, clip: Any, reason: str) -> None:
    found = measure(metric(shared_data), clip())
    assert not found.values
    assert set(found.missing) == {"best_similarity", "best_distance"}
    assert all(text.startswith("unassessable: ") for text in found.missing.values())
    assert found.facts["assessed"] is False
    assert found.facts["unassessable"].startswith(reason)
    assert [f.kind for f in found.findings] == ["likeness.unassessable"]
    assert found.findings[0].severity is Severity.REVIEW
    assert found.findings[0].end_s > 0


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.concatenate([left, right], axis=2)


def test_a_stranger_who_can_be_compared_hides_nobody(shared_data: Path) -> None:
    stranger = planted(head(None, "astronaut"), width=110, size=(144, 160), at=(20, 5), frames=3)
    person = planted(head(shared_data, "person_a/1.jpg"), width=110, size=(144, 160), at=(20, 5), frames=3)
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 3.5) for frame in person])
    found = measure(metric(shared_data), side_by_side(stranger, blurred))
    assert found.values["best_similarity"] < 0.3
    assert [(f.kind, f.severity) for f in found.findings] == [
        ("likeness.partly_unassessable", Severity.REVIEW)
    ]
    finding = found.findings[0]
    assert finding.box is not None
    assert finding.box[0] > 160
    assert (finding.start_s, finding.end_s) == pytest.approx((0, 0.3))
    assert found.facts["assessed"] is False
    assert not is_assessed(found)
    assert not is_assessed(Measurement.from_json(json.loads(json.dumps(found.to_json()))))
    assert decide(ClipRecord("s0", "ok"), {"likeness": found}, {}).decision == "review"
    results = summarize(metric(shared_data), [found])
    assert results["likeness.review_rate"].status == "not computed"
    assert results["likeness.coverage"].value == 0


def test_frames_that_broke_the_detector_are_never_a_pass(shared_data: Path) -> None:
    clip = planted(head(None, "astronaut"), frames=1)
    faces = faces_of(clip)
    arrays = dict(faces.arrays)
    arrays["frames_examined"] = np.arange(-19, 1, dtype=np.int32) + 19
    arrays["examined_pts_s"] = np.arange(20) / 10
    arrays["frames_failed"] = np.arange(1, 20, dtype=np.int32)
    failing = Features(
        arrays, {**faces.facts, "frames_failed": 19, "failures": ["the face detector broke: x"]}
    )
    found = measure(metric(shared_data), background(20, 144, 192), failing)
    assert set(found.values) == {"best_similarity", "best_distance"}
    assert [(f.kind, f.severity) for f in found.findings] == [("likeness.unassessable", Severity.REVIEW)]
    assert (found.findings[0].start_s, found.findings[0].end_s) == pytest.approx((0.1, 2.0))
    assert found.unassessed.startswith("19 of 20 frames could not be searched")
    assert not is_assessed(found)


def test_a_match_counts_whatever_else_could_not_be_compared(shared_data: Path) -> None:
    person = planted(head(shared_data, "person_a/1.jpg"), width=110, size=(144, 160), at=(20, 5), frames=1)
    small = planted(head(None, "astronaut"), width=40, size=(144, 160), at=(50, 50), frames=1)
    found = measure(metric(shared_data), side_by_side(person, small))
    assert [f.kind for f in found.findings] == ["likeness.match", "likeness.partly_unassessable"]
    rate = summarize(metric(shared_data), [found])["likeness.review_rate"]
    assert (rate.value, rate.n, rate.detail["clips_assessed"]) == (1, 1, 0)


# -- roles -----------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path: Path, shared_data: Path) -> Path:
    """A folder with a gallery ``faces`` that tests may change, one picture each."""
    for person in ("person_a", "person_b"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        shutil.copy(shared_data / "faces" / person / "1.jpg", tmp_path / "faces" / person / "1.jpg")
    return tmp_path


def state(people: Path, person: str, text: str) -> None:
    (people / "faces" / person / "entry.yaml").write_text(text)


def test_consent_is_reported_and_lapses_into_protection(people: Path, shared_data: Path) -> None:
    clip = planted(head(shared_data, "person_a/1.jpg"), frames=1)
    state(people, "person_a", f"role: consented\nconsent_until: {dt.date.today() + dt.timedelta(2)}")
    valid = metric(people)
    found = measure(valid, clip)
    assert [(f.kind, f.severity) for f in found.findings] == [("likeness.consented", Severity.INFO)]
    assert "who has consented" in found.findings[0].message
    assert found.values["best_similarity"] < 0.3, "somebody who consented is not held against the clip"
    assert found.facts["tier"] == "CLEAR"
    assert "consent_gap" not in found.findings[0].detail
    state(people, "person_a", f"role: consented\nconsent_until: {dt.date.today() - dt.timedelta(1)}")
    lapsed = metric(people)
    (match,) = measure(lapsed, clip).findings
    assert (match.kind, match.severity) == ("likeness.match", Severity.REVIEW)
    assert match.detail["consent_gap"].startswith("consent lapsed after")
    assert f"does not count here: {match.detail['consent_gap']}." in match.message
    same_folder = metric(people)
    same_folder.sources.today = dt.date.today() - dt.timedelta(3)
    assert same_folder.identity()["gallery"] == lapsed.identity()["gallery"]
    assert same_folder.identity()["roles"] != lapsed.identity()["roles"], (
        "a cached answer would outlive the consent"
    )


def test_a_cohort_never_matches_and_a_gallery_may_protect_nobody(people: Path, shared_data: Path) -> None:
    clip = planted(head(shared_data, "person_a/1.jpg"), frames=1)
    state(people, "person_a", "role: cohort")
    with pytest.raises(GalleryError, match="at least 3 people are needed to calibrate with"):
        measure(metric(people), clip)
    (people / "faces" / "astronaut").mkdir()
    Image.fromarray(astronaut()).save(people / "faces" / "astronaut" / "1.png")
    for person in ("person_b", "astronaut"):
        state(people, person, "role: cohort")
    (people / "faces" / "kept").mkdir()
    shutil.copy(people / "faces" / "person_b" / "1.jpg", people / "faces" / "kept" / "2.jpg")
    with (people / "faces" / "kept" / "2.jpg").open("ab") as file:
        file.write(b"another file of it")
    state(people, "kept", f"role: consented\nconsent_until: {dt.date.today() + dt.timedelta(2)}")
    found = measure(metric(people), clip)
    assert found.findings == ()
    assert set(found.unassessed_kinds) == {"likeness.match", "likeness.solicited"}
    assert found.missing["best_similarity"] == "not applicable: the gallery holds nobody protected"


# -- options and identity --------------------------------------------------------------------------


def test_the_gallery_must_exist_and_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"likeness.gallery: 'faces' not found \(looked at .*/faces\)"):
        metric(tmp_path)
    for wrong in (
        {},
        {"gallery": ""},
        {"gallery": "x", "treshold": 0.5},
        {"gallery": "x", "threshold": 2},
        {"gallery": "x", "stride": 0},
    ):
        with pytest.raises(ValidationError):
            LikenessOptions(**wrong)  # type: ignore[arg-type]


def test_an_embedder_without_a_published_point_needs_a_threshold(people: Path) -> None:
    with pytest.raises(
        UsageError, match=r"likeness.threshold: the embedder 'facenet' has no published operating point"
    ):
        metric(people, embedder="facenet").needs()
    spec = metric(people, embedder="facenet", threshold=0.7, embedder_options={"weights": "w.pt"}).needs()[
        "faces"
    ]
    assert spec.options["embedder_options"] == {"weights": str(people / "w.pt")}, (
        "paths are relative to the suite"
    )
    with pytest.raises(Unavailable, match="manifest"):
        metric(people, embedder="onnx", embedder_options={"manifest": "gone.yaml"}).needs()


def test_a_threshold_of_the_suite_is_recorded(shared_data: Path) -> None:
    clip = planted(head(None, "astronaut"), frames=1)
    found = measure(metric(shared_data, threshold=0.05), clip)
    assert {f.detail["entry"] for f in found.findings} >= {"person_a"}
    for finding in found.findings:
        assert finding.threshold == 0.05
        assert finding.detail["point"]["origin"] == "suite"
        assert finding.detail["point"]["published_similarity"] == 0.4
        assert finding.detail["source"] == "set in the suite; published: L2 distance 0.6"
        assert finding.severity is Severity.REVIEW


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        (
            0.99,
            r"0.99 \(L2 distance 0.01\) is stricter than the published point of 'dlib', 0.4 \(L2 distance 0.6",
        ),
        (0.6, r"if L2 distance 0.6 was meant, state `threshold: 0.4`"),
        (0.41, r"1 - L2 distance\): faces between the two would be dropped in silence. State 0.4 or less"),
    ],
)
def test_a_threshold_may_only_widen(shared_data: Path, threshold: float, told: str) -> None:
    strict = metric(shared_data, threshold=threshold)
    with pytest.raises(UsageError, match=told):
        strict.needs()
    with pytest.raises(UsageError, match=r"likeness\.threshold"):
        measure(
            strict, planted(head(shared_data, "person_a/1.jpg"), frames=1), faces_of(background(1, 60, 60))
        )
    metric(shared_data, threshold=0.4).needs()


def test_the_kinds_of_findings_are_declared() -> None:
    assert set(Likeness.finding_kinds) == {
        "likeness.match", "likeness.solicited", "likeness.consented", "likeness.unassessable",
        "likeness.partly_unassessable", "likeness.not_compared",
    }  # fmt: skip
    gate = GateSpec.model_validate({"findings": "likeness.mach", "max": 0})
    coverage = {"likeness": {"model": (1, 1)}}
    (held,) = evaluate(
        [gate], [], ["model"], coverage=coverage, finding_kinds={"likeness": Likeness.finding_kinds}
    )
    assert held.outcome == "not computed"


def test_identity_follows_the_gallery_and_needs_no_model(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_module, "load_gallery", None)
    before = metric(people).identity()
    assert before == metric(people).identity()
    assert json.dumps(before)
    state(people, "person_b", "role: cohort")
    assert metric(people).identity() != before


def test_a_gallery_that_cannot_be_used_is_an_error_even_where_no_face_is_seen(people: Path) -> None:
    (people / "faces" / "person_b" / "1.jpg").write_bytes(b"not a picture")
    broken = metric(people)
    for _ in range(2):
        with pytest.raises(GalleryError, match="no usable picture of person_b"):
            measure(broken, background(2, 60, 60))


def test_a_built_gallery_file_gives_the_same_numbers(people: Path, shared_data: Path) -> None:
    load_gallery(people / "faces", make_embedder("dlib", {})).save(people / "people.gallery")
    clip = planted(head(shared_data, "person_a/1.jpg"), frames=1)
    one, two = measure(metric(people), clip), measure(metric(people, gallery="people.gallery"), clip)
    assert one.to_json() == two.to_json()
    other = metric(people, gallery="people.gallery", embedder="facenet", threshold=0.5)
    with pytest.raises(GalleryError, match="built with dlib"):
        measure(other, clip, faces_of(clip))


def test_features_that_are_not_finite_are_refused(shared_data: Path) -> None:
    clip = planted(head(None, "astronaut"), frames=1)
    faces = faces_of(clip)
    for name in ("embedding", "box", "examined_pts_s"):
        spoilt = faces[name].copy()
        spoilt[0] = np.nan
        with pytest.raises(ValueError, match=f"not finite: {name}"):
            measure(metric(shared_data), clip, Features({**faces.arrays, name: spoilt}, faces.facts))


# -- results ---------------------------------------------------------------------------------------


def clips(shared_data: Path, of: Likeness) -> dict[str, Measurement]:
    return {
        "match": measure(of, planted(head(shared_data, "person_a/1.jpg"), frames=1)),
        "other": measure(of, planted(head(None, "astronaut"), frames=1)),
        "none": measure(of, background(1, 60, 60)),
        "small": measure(of, planted(head(None, "astronaut"), width=40, frames=1)),
        "tiny": measure(of, background(1, 12, 12)),
    }


def test_rates_have_their_own_denominators(shared_data: Path) -> None:
    of = metric(shared_data)
    seen = clips(shared_data, of)
    results = summarize(of, [seen[k] for k in ("match", "other", "other", "none", "none", "small")])
    rate = results["likeness.review_rate"]
    assert (rate.value, rate.n) == (pytest.approx(1 / 5), 5)
    assert (rate.low, rate.high) == pytest.approx(clopper_pearson(1, 5))
    assert rate.detail["uncalibrated"] is True
    assert (rate.detail["clips_assessed"], rate.detail["clips_with_match"]) == (5, 1)
    assert rate.detail["missing"] == {"unassessable: no face that was seen could be compared": 1}
    covered = results["likeness.coverage"]
    assert (covered.value, covered.n) == (pytest.approx(3 / 4), 4)
    assert (covered.low, covered.high) == pytest.approx(clopper_pearson(3, 4))
    assert covered.detail["n_not_applicable"] == 2
    best = results["likeness.best_similarity"]
    assert best.n == 3
    assert best.value == pytest.approx(
        np.mean([seen[k].values["best_similarity"] for k in ("match", "other", "other")])
    )
    distance = results["likeness.best_distance"]
    for result in (rate, best, distance):
        gate = GateSpec.model_validate({"metric": result.name, "max": 10.0})
        (held,) = evaluate([gate], list(results.values()), ["model"])
        assert held.outcome == "not computed", result.name
        assert "uncalibrated" in held.reason
    assert "uncalibrated" not in covered.detail
    assert results["likeness.best_distance"].value == pytest.approx(1 - best.value)


def test_rates_are_rates_of_clips(shared_data: Path) -> None:
    of = metric(shared_data)
    seen = clips(shared_data, of)
    rows = [("p0", "other"), ("p0", "small"), ("p1", "match"), ("p1", "other")]
    measured = [Measured(Sample(f"s{i}", p, "", "m"), seen[k]) for i, (p, k) in enumerate(rows)]
    results = {
        r.name: r for r in of.summarize(measured, SummaryContext("m", [m.sample for m in measured], {}))
    }
    covered, rate = results["likeness.coverage"], results["likeness.review_rate"]
    assert (covered.value, covered.n, covered.n_clusters) == (0.75, 4, 2)
    assert (covered.detail["clips_with_faces"], covered.detail["clips_unassessable"]) == (4, 1)
    assert covered.low is not None
    assert covered.high is not None
    assert covered.low <= 0.75 <= covered.high
    assert (rate.value, rate.n) == (0.25, 3), "seeds averaged within prompts: mean of 0 and 1/2"


def test_nothing_measured_is_not_computed_and_no_face_is_not_applicable(shared_data: Path) -> None:
    of = metric(shared_data)
    seen = clips(shared_data, of)
    assert {r.status for r in summarize(of, []).values()} == {"not computed"}
    faceless = summarize(of, [seen["none"]] * 3)
    assert faceless["likeness.coverage"].status == "not applicable"
    assert faceless["likeness.best_similarity"].status == "not applicable"
    assert faceless["likeness.review_rate"].value == 0
    blind = summarize(of, [seen["tiny"], seen["small"]])
    assert blind["likeness.review_rate"].status == "not computed"
    assert blind["likeness.best_similarity"].status == "not computed"
    assert blind["likeness.coverage"].value == 0
    assert summarize(of, [seen["tiny"]])["likeness.coverage"].status == "not computed"


def test_a_fresh_metric_summarizes_stored_measurements_alike(shared_data: Path) -> None:
    """A resumed run reads measurements from disk and may never load the gallery."""
    of = metric(shared_data)
    seen = list(clips(shared_data, of).values())
    stored = [Measurement.from_json(json.loads(json.dumps(m.to_json()))) for m in seen]
    first, again = summarize(of, seen), summarize(metric(shared_data), stored)
    assert json.dumps([r.to_json() for r in first.values()]) == json.dumps(
        [r.to_json() for r in again.values()]
    )


def test_pictures_that_could_not_be_used_are_named_in_the_results(people: Path) -> None:
    (people / "faces" / "person_a" / "2.jpg").touch()
    of = metric(people)
    rate = summarize(of, [measure(of, background(1, 60, 60))])["likeness.review_rate"]
    assert rate.detail["gallery"] == {"protected": 2, "pictures": 2, "warnings": ["person_a/2.jpg: 0 bytes"]}


def test_it_keeps_the_promises_of_every_metric(shared_data: Path) -> None:
    picture = head(None, "astronaut")
    moving = [planted(picture, size=(80, 80), width=66, at=(2 + 4 * k, 2), frames=6) for k in range(2)]
    check_metric(Likeness, {"gallery": "faces"}, base_dir=shared_data, clips=moving)
    assert dataclasses.is_dataclass(Likeness.values[0])
    assert astronaut().shape == (512, 512, 3)
