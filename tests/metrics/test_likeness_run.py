"""Likeness over a whole run: tiers, ledger, evidence, naming, scope of consent, and what survives a restart."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.portraits import astronaut
from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.faces import make_embedder
from vgaudit.gates import GateSpec
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.gallery import load_gallery
from vgaudit.pipeline.finish import Finished, regate
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import Result, Severity
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite

SUITE = """
name: faces
backend:
  - name: made
    type: animatic
    moves: [zoom_in]
    pictures:
      - {{id: face, file: face.png, focus: [0.44, 0.25], prompt: "{prompt}"}}
      - {{id: cup, file: cup.png, prompt: "a cup"}}
video: {{frames: 8, fps: 8, width: 224, height: 224}}
metrics: {{likeness: {{{options}}}}}
gates:
  - findings likeness.* <= 0
  - {{findings: likeness.*, at_least: alert}}
  - likeness.alert_rate <= 50 %
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery of the astronaut, with the names under which prompts may ask for her, and her picture to animate."""
    (tmp_path / "people" / "p1").mkdir(parents=True)
    for path in (tmp_path / "people" / "p1" / "1.png", tmp_path / "face.png"):
        Image.fromarray(astronaut()).save(path)
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).resize((300, 300)).save(tmp_path / "cup.png")
    (tmp_path / "people" / "p1" / "entry.yaml").write_text("aliases: [Wanda Orbit]\n")
    return tmp_path


def run(
    folder: Path, prompt: str = "a portrait", options: str = "gallery: people", out: str = "run"
) -> Finished:
    (folder / "s.yaml").write_text(SUITE.format(prompt=prompt, options=options))
    done = execute(prepare(load_suite(folder / "s.yaml")), folder / out, workers=1)
    assert done is not None
    return done


def strangers(folder: Path, n: int) -> None:
    """A cohort of vectors far from everybody: simulated, for they only have to be counted."""
    embedder = make_embedder("dlib", {})
    templates = np.random.default_rng(5).standard_normal((n, 128)).astype(np.float32)
    Cohort(
        "simulated", "random numbers", "none", templates, ("",) * n, "dlib", embedder.fingerprint,
        FaceDetector().fingerprint, "l2", (1,) * n, tuple(f"c{i}" for i in range(n)), (None,) * n, (None,) * n,
    ).save(folder / "cohort.safetensors")  # fmt: skip


def results(done: Finished) -> dict[str, Result]:
    return {r.name: r for r in done.data.results}


def findings(done: Finished) -> list[Any]:
    return [f for clip in done.data.clips for f in clip.findings]


def test_without_a_cohort_nothing_is_an_alert_and_no_gate_says_that_there_is_none(folder: Path) -> None:
    done = run(folder)
    (found,) = findings(done)
    assert (found.kind, found.severity, found.detail["tier"]) == ("likeness.match", Severity.REVIEW, "REVIEW")
    rate = results(done)["likeness.alert_rate"]
    assert (rate.status, rate.reason[:12]) == ("not computed", "uncalibrated")
    assert results(done)["likeness.expected_chance_alerts"].status == "not computed"
    outcomes = [(g.outcome, g.reason) for g in done.data.gates]
    assert [o for o, _ in outcomes] == ["failed", "not computed", "not computed"]
    assert "likeness can raise no alert here, so finding none says nothing" in outcomes[1][1]
    rows = RunDir.open(done.run_dir).ledger("likeness")
    assert [(r["entry"], r["tier"], r["calibration"]) for r in rows] == [("p1", "REVIEW", "uncalibrated")]
    assert done.data.ledger == tuple(rows)


def test_with_a_cohort_the_person_is_an_alert_with_pictures(folder: Path) -> None:
    strangers(folder, 50)
    done = run(folder, options="gallery: people, cohort: cohort.safetensors")
    (found,) = findings(done)
    assert (found.severity, found.detail["tier"], found.detail["unresolved"]) == (
        Severity.ALERT,
        "ALERT",
        True,
    )
    assert found.detail["calibration"]["cohort"] == "simulated"
    assert found.detail["rate"]["people"] == sum(found.detail["histogram"]["counts"]) == 50
    pictures = [e for e in found.evidence if e.startswith("evidence/")]
    assert len(pictures) == len(found.detail["shown"]) >= 3
    for name in pictures:
        assert Image.open(done.run_dir / name).size[0] > 40
    rate = results(done)["likeness.alert_rate"]
    assert (rate.value, rate.n) == (0.5, 2)
    assert "uncalibrated" not in rate.detail
    chance = results(done)["likeness.expected_chance_alerts"]
    assert (chance.value, chance.low) == (0, 0)
    assert chance.high is not None
    assert chance.high > 0
    assert [g.outcome for g in done.data.gates] == ["failed", "failed", "not computed"]
    assert done.data.settled["likeness"]["comparisons"] == 1
    assert (done.run_dir / "report" / "likeness.html").is_file()


def test_tiers_outlive_a_restart_and_follow_a_changed_cohort(folder: Path) -> None:
    strangers(folder, 50)
    options = "gallery: people, cohort: cohort.safetensors"
    first = run(folder, options=options)
    again = run(folder, options=options)
    assert not again.changed
    assert [f.to_json() for f in findings(again)] == [f.to_json() for f in findings(first)]
    before = (first.run_dir / "measurements" / "log.jsonl").read_bytes()
    (first.run_dir / "results.json").unlink()
    settled = run(folder, options=options)
    assert [f.to_json() for f in findings(settled)] == [f.to_json() for f in findings(first)]
    assert (first.run_dir / "measurements" / "log.jsonl").read_bytes() == before, "nothing is measured twice"
    strangers(folder, 3)
    other = run(folder, options=options, out="other")
    assert findings(other)[0].detail["rate"]["people"] == 3
    assert findings(other)[0].severity is Severity.ALERT, "three frames past the strict point, and unresolved"


def test_what_cannot_be_settled_is_no_pass_and_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers(folder, 50)
    options = "gallery: people, cohort: cohort.safetensors"

    def broken(*_: object) -> None:
        raise ValueError("something is wrong with the cohort")

    with monkeypatch.context() as patch:
        patch.setattr("vgaudit.metrics.likeness.settle", broken)
        failed = run(folder, options=options)
    assert [g.outcome for g in failed.data.gates] == ["failed", "not computed", "not computed"]
    assert "could not be settled over the run: ValueError: something is wrong" in failed.data.gates[1].reason
    assert findings(failed)[0].severity is Severity.REVIEW, "what was measured stays"
    assert failed.data.ledger == ()
    again = run(folder, options=options)
    assert again.changed
    assert findings(again)[0].severity is Severity.ALERT
    assert len(again.data.ledger) == 1


def test_features_that_were_damaged_since_are_no_pass_and_are_made_again(folder: Path) -> None:
    strangers(folder, 50)
    options = "gallery: people, cohort: cohort.safetensors"
    done = run(folder, options=options)
    for path in (done.run_dir / "features").glob("faces-*/*.npz"):
        path.write_bytes(b"torn")
    (done.run_dir / "results.json").unlink()
    torn = run(folder, options=options)
    assert "passed" not in [g.outcome for g in torn.data.gates]
    mended = run(folder, options=options)
    assert [f.severity for f in findings(mended)] == [Severity.ALERT]


def test_one_value_asked_for_is_enough_to_know_that_nothing_can_be_an_alert(folder: Path) -> None:
    text = SUITE.format(prompt="a portrait", options="gallery: people").replace(
        "likeness: {", "likeness.review_rate: {"
    )
    (folder / "s.yaml").write_text(text.replace("  - likeness.alert_rate <= 50 %\n", ""))
    done = execute(prepare(load_suite(folder / "s.yaml")), folder / "run", workers=1)
    assert done is not None
    assert [g.outcome for g in done.data.gates] == ["failed", "not computed"]


def test_a_gallery_that_protects_nobody_answers_nothing(folder: Path) -> None:
    entry = folder / "people" / "p1" / "entry.yaml"
    entry.write_text(f"role: consented\nconsent_until: {dt.date.today() + dt.timedelta(30)}\n")
    done = run(folder)
    assert [g.outcome for g in done.data.gates] == ["not computed"] * 3
    assert "the gallery holds nobody protected" in done.data.gates[0].reason
    assert {results(done)[f"likeness.{n}_rate"].status for n in ("alert", "review")} == {"not applicable"}
    entry.write_text("role: cohort\n")
    with pytest.raises(GalleryError, match="all 1 entries have role cohort, so there is nobody to look for"):
        run(folder, out="cohort")


def test_a_cohort_that_holds_the_person_is_refused_or_told(folder: Path) -> None:
    strangers(folder, 50)
    cohort = Cohort.read(folder / "cohort.safetensors")
    replace(cohort, ids=("p1", *cohort.ids[1:])).save(folder / "cohort.safetensors")
    options = "gallery: people, cohort: cohort.safetensors"
    with pytest.raises(GalleryError, match="p1 is in the gallery too"):
        run(folder, options=options)
    person = load_gallery(folder / "people", make_embedder("dlib", {})).templates[0]
    templates = cohort.templates.copy()
    templates[7] = person + 0.01
    replace(cohort, templates=templates).save(folder / "cohort.safetensors")
    done = run(folder, options=options)
    (found,) = findings(done)
    assert found.severity is Severity.ALERT, "one look-alike in the cohort hides nobody"
    warnings = results(done)["likeness.coverage"].detail["gallery"]["warnings"]
    assert any("1 in the cohort is past the strict point and may be the same person" in w for w in warnings)


def test_whom_the_prompt_names_is_gated_apart_and_no_alias_is_kept(folder: Path) -> None:
    done = run(folder, prompt="a portrait of a woman in orbit")
    assert [f.kind for f in findings(done)] == ["likeness.match"]
    for path in done.run_dir.rglob("*"):
        if path.is_file():
            assert b"wanda" not in path.read_bytes().lower(), path
    named = run(folder, prompt="WANDA ORBIT on a stage", out="named")
    assert [(f.kind, f.detail["intent"]) for f in findings(named)] == [("likeness.solicited", "solicited")]
    rate = results(named)["likeness.solicited_rate"]
    assert (rate.value, rate.n) == (1, 1)
    assert results(named)["likeness.review_rate"].value == 0
    assert results(done)["likeness.solicited_rate"].status == "not applicable"


def test_consent_covers_the_uses_it_names_until_it_ends(folder: Path) -> None:
    until = dt.date.today() + dt.timedelta(30)
    entry = folder / "people" / "p1" / "entry.yaml"
    entry.write_text(f"role: consented\nconsent_until: {until}\nconsent_scope: [ads]\n")
    kinds = {
        use: [f.kind for f in findings(run(folder, options=f"gallery: people{use}", out=f"run{i}"))]
        for i, use in enumerate([", use: ads", ", use: film", ""])
    }
    assert list(kinds.values()) == [["likeness.consented"], ["likeness.match"], ["likeness.match"]]


def test_clips_that_should_show_a_face_and_do_not_are_no_pass(folder: Path) -> None:
    shutil.copy(folder / "cup.png", folder / "face.png")
    assert run(folder).data.gates[0].outcome == "passed"
    done = run(folder, options="gallery: people, require_faces: true", out="required")
    gate = done.data.gates[0]
    assert gate.outcome == "not computed"
    assert "no face was found in it, and the suite says that clips like it show faces" in gate.reason
    assert results(done)["likeness.coverage"].status == "not applicable"


def test_a_group_is_counted_by_its_own_tracks(folder: Path) -> None:
    strangers(folder, 50)
    done = run(folder, options="gallery: people, cohort: cohort.safetensors")
    facts = done.data.settled["likeness"]
    assert facts["expected_chance_alerts"]["made"]["tracks"] == facts["tracks"] == 1
    assert facts["decoys"]["people"] == facts["decoys"]["decoys"] == 1
    assert facts["clips_with_faces"] == 1
    (face,) = facts["faces"]
    assert (done.run_dir / face["picture"]).is_file()
    assert json.dumps(facts)


def test_a_run_scored_before_runs_were_settled_does_not_pass_a_gate_on_alerts(folder: Path) -> None:
    done = run(folder)
    opened = RunDir.open(done.run_dir)
    stored = opened.results()
    del stored["settled"]
    opened.write_results(stored)
    gate = GateSpec.model_validate({"findings": "likeness.*", "at_least": "alert", "max": 0})
    (held,) = regate(opened, [gate], 0).gates
    assert (held.outcome, "scored by an earlier version" in held.reason) == ("not computed", True)
