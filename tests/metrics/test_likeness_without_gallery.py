"""Likeness without a gallery: faces are looked for, and that nobody was compared is never taken for a pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.portraits import background, faces_of, head, info_of, planted
from vgaudit.errors import GalleryError
from vgaudit.gates import GateSpec, evaluate, is_assessed
from vgaudit.likeness.wording import NO_GALLERY_GIVEN
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.likeness import Likeness, LikenessOptions
from vgaudit.plan import Sample
from vgaudit.records import GateResult, Measurement, Result, Severity
from vgaudit.stats import clopper_pearson
from vgaudit.testing import check_metric


def metric(folder: Path, **options: Any) -> Likeness:
    return Likeness(LikenessOptions(**{"gallery": "none", **options}), MetricContext(folder))


def measure(of: Likeness, clip: np.ndarray) -> Measurement:
    faces = faces_of(clip, **of.needs()["faces"].options)
    return of.measure(
        ClipView(Sample("s0", "s0", "a person", "model"), info_of(clip), "0" * 64, {"faces": faces})
    )


def summarize(of: Likeness, measurements: list[Measurement]) -> dict[str, Result]:
    samples = [Sample(f"s{i}", f"p{i}", "", "model") for i in range(len(measurements))]
    measured = [Measured(s, m) for s, m in zip(samples, measurements, strict=True)]
    return {r.name: r for r in of.summarize(measured, SummaryContext("model", samples, {}))}


def held(of: Likeness, measurements: list[Measurement], gate: str) -> GateResult:
    """A findings gate on clips of one group."""
    (result,) = evaluate(
        [GateSpec.model_validate(gate)],
        [],
        ["model"],
        findings=[f for m in measurements for f in m.findings],
        sample_groups={"s0": "model"},
        coverage={"likeness": {"model": (sum(map(is_assessed, measurements)), len(measurements))}},
        finding_kinds={"likeness": of.finding_kinds},
    )
    return result


def test_where_no_face_is_seen_nobody_can_be_recognised(tmp_path: Path) -> None:
    of = metric(tmp_path)
    found = measure(of, background(3, 80, 100))
    assert found.findings == ()
    assert set(found.missing.values()) == {"not applicable: no face found"}
    assert (found.facts["assessed"], found.facts["faces"], found.facts["gallery"]) == (True, 0, None)
    assert is_assessed(found)
    assert held(of, [found], "findings likeness.* <= 0").outcome == "passed"
    for kind in ("match", "consented"):
        told = held(of, [found], f"findings likeness.{kind} <= 0")
        assert told.outcome == "not computed", "nobody was compared"
        assert f"likeness finds no 'likeness.{kind}'" in told.reason
        assert "likeness.not_compared" in told.reason
    results = summarize(of, [found] * 4)
    rate = results["likeness.face_rate"]
    assert (rate.value, rate.n) == (0, 4)
    assert (rate.low, rate.high) == pytest.approx(clopper_pearson(0, 4))
    assert rate.reason == f"faces were looked for in 4 clips (12 frames) and seen in none; {NO_GALLERY_GIVEN}"
    matches = results["likeness.review_rate"]
    assert (matches.status, matches.value) == ("not applicable", None), "nobody was compared: not even 0"
    assert NO_GALLERY_GIVEN in matches.reason
    assert "clips_with_match" not in matches.detail
    assert {results[f"likeness.{k}"].status for k in ("best_similarity", "coverage")} == {"not applicable"}


def test_a_face_is_shown_and_its_clip_is_no_pass(tmp_path: Path) -> None:
    of = metric(tmp_path, stride=1)
    found = measure(of, planted(head(None, "astronaut"), during=range(3, 6), at=(50, 20)))
    (finding,) = found.findings
    assert (finding.kind, finding.severity) == ("likeness.not_compared", Severity.INFO)
    assert (finding.start_s, finding.end_s) == pytest.approx((0.3, 0.6))
    assert finding.message == f"A face seen in 3 examined frames; {NO_GALLERY_GIVEN}."
    assert finding.box is not None
    assert 50 <= finding.box[0] < finding.box[2] <= 140
    assert found.values == {}
    assert found.unassessed == f"3 faces were seen, and {NO_GALLERY_GIVEN}"
    assert not is_assessed(Measurement.from_json(json.loads(json.dumps(found.to_json()))))
    for gate in ("findings likeness.* <= 0", "findings likeness.match <= 0"):
        assert held(of, [found], gate).outcome == "not computed"
    results = summarize(of, [found, measure(of, background(3, 80, 100))])
    assert results["likeness.face_rate"].value == 0.5
    assert "seen in 1 of them" in results["likeness.face_rate"].reason
    assert results["likeness.best_similarity"].status == "not computed"
    assert results["likeness.review_rate"].status == "not applicable"
    assert results["likeness.coverage"].value == 0


def test_frames_that_cannot_be_searched_are_told(tmp_path: Path) -> None:
    of = metric(tmp_path)
    found = measure(of, background(2, 12, 40))
    assert [(f.kind, f.severity) for f in found.findings] == [("likeness.unassessable", Severity.REVIEW)]
    assert found.unassessed.startswith("2 of 2 frames could not be searched")
    assert summarize(of, [found])["likeness.face_rate"].status == "not computed"


def test_no_point_is_needed_where_nobody_is_compared(tmp_path: Path) -> None:
    of = metric(tmp_path, embedder="facenet")
    assert of.needs()["faces"].name == "faces"
    assert of.prepare() is None
    assert of.identity()["gallery"] is None
    assert {r.status for r in summarize(of, []).values()} == {"not computed"}


def test_a_folder_of_that_name_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(
        GalleryError, match=r"says that there is no gallery, but .*none exists; expected './none'"
    ):
        metric(tmp_path)
    assert metric(tmp_path, gallery="./none").prepare is not None


def test_it_keeps_the_promises_of_every_metric(tmp_path: Path) -> None:
    picture = head(None, "astronaut")
    moving = [planted(picture, size=(80, 80), width=66, at=(2 + 4 * k, 2), frames=6) for k in range(2)]
    check_metric(Likeness, {"gallery": "none"}, base_dir=tmp_path, clips=moving)
