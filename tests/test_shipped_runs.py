"""The concepts run as they ship: their own metrics, with the networks in the package, and their own gates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vgaudit.metrics.expectations import MISMATCH
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import NOT_APPLICABLE, NOT_COMPUTED, Outcome
from vgaudit.suite import load_suite
from vgaudit.zoo.generators import GENERATORS

WHOLE_PICTURE = (
    "jump_cut", "duplicate_frames", "flicker", "noise_burst", "blur_pulse", "exposure_shift", "colour_shift",
)  # fmt: skip


def drawn(look: str) -> list[str]:
    """What has a suite's clips drawn instead of generated, as its comment says."""
    return [f"backend={{type: storyworld, look: {look}}}", "video={width: 192, height: 128}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ads", []),
        ("film", []),
        ("anime", []),
        ("ads", drawn("ad")),
        ("film", drawn("film")),
        ("anime", drawn("anime")),
    ],
    ids=["ads", "film", "anime", "ads, drawn", "film, drawn", "anime, drawn"],
)
def test_a_concept_passes_its_gates_as_it_ships(name: str, changed: list[str], tmp_path: Path) -> None:
    """All prompts, not some: FVD compares 80 clips, and the gates' intervals are those of 40 prompts."""
    suite = load_suite(name, changed)
    done = execute(prepare(suite), tmp_path / "run")
    assert done is not None
    data = done.data

    assert [entry.clip.outcome for entry in data.clips] == ["ok"] * 80
    whole = [
        r for r in data.results if "@" not in r.name
    ]  # most slices by tag have too few clips, and say so
    assert {r.name: r.reason for r in whole if r.status == NOT_COMPUTED} == {}
    # Nobody has a face, and no gallery is given, so that there is nobody to compare.
    absent = {
        f"likeness.{v}"
        for v in (
            "best_similarity",
            "best_distance",
            "alert_rate",
            "review_rate",
            "solicited_rate",
            "expected_chance_alerts",
            "coverage",
        )
    }
    if not changed:
        absent.add("temporal.quality")  # says nothing of pictures under 96 pixels; these have 64
    assert {r.name for r in data.results if r.status == NOT_APPLICABLE} == absent
    computed = {r.name: r for r in data.results}
    assert {metric.name for metric in suite.metrics} <= {name.partition(".")[0] for name in computed}
    assert (computed["likeness.face_rate"].value, computed["likeness.face_rate"].n) == (0, 80)
    for shown in ("prompt_alignment.clip_score", "prompt_alignment.expectation_rate", "fvd.distance"):
        assert computed[shown].n == 80, shown

    # The gate lets the network be wrong about some of what it reads. Detectors of artifacts may tell two things a
    # minute that are not there, and no more.
    kinds = Counter(f.kind for e in data.clips for m in e.measurements.values() for f in m.findings)
    assert all(kind == MISMATCH or kind.startswith("temporal.") for kind in kinds)
    if changed:  # what a generator made may well have faults
        minutes = 80 * 17 / 8 / 60
        assert kinds.total() - kinds[MISMATCH] <= 2 * minutes, kinds
        assert sum(kinds[f"temporal.{kind}"] for kind in WHOLE_PICTURE) <= 1, kinds
        assert not kinds["temporal.too_still"]
        assert not kinds["temporal.too_lively"]

    assert len(data.gates) == len(suite.gates) > 0
    assert {g.outcome for g in data.gates} == {Outcome.PASSED}, [g.reason for g in data.gates]
    assert (done.verdict.exit_code, done.verdict.reason) == (0, f"all {len(suite.gates)} gates passed")


@pytest.mark.slow
def test_the_bundled_generators_are_held_against_drawings(tmp_path: Path) -> None:
    done = execute(prepare(load_suite("gan_vs_diffusion")), tmp_path / "run")
    assert done is not None
    assert [entry.clip.outcome for entry in done.data.clips] == ["ok"] * 156
    assert {
        (r.name, r.group): r.reason
        for r in done.data.results
        if r.status == NOT_COMPUTED and "@" not in r.name
    } == {}
    value = {(r.name, r.group): r.value for r in done.data.results}
    for name in ("prompt_alignment.clip_score", "prompt_alignment.expectation_rate"):
        model, oracle = value[name, "storyworld-t2v"], value[name, "oracle"]
        assert model is not None
        assert oracle is not None
        assert 0.75 * oracle < model < oracle
    assert done.verdict.exit_code == 0, done.verdict.reason
    for name in GENERATORS:
        assert any(f"{name} are made by a small model" in note for note in done.data.notes)
