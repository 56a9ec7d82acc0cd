"""Whole runs of the storyworld, without and with a planted fault, through the command: answers, files, pages."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from vgaudit.cli.commands import app
from vgaudit.compare.baseline import open_side
from vgaudit.errors import ExitCode, VgauditError
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite

SUITE = """
name: {name}
backend: {{type: storyworld, frames: 17, width: 48, height: 48{faults}}}
prompts:
  - {{id: beach, text: "a dog walking along the beach at sunset", tags: {{animal: yes}}}}
  - {{id: lake, text: "a black dog running along the lake", tags: {{animal: yes}}}}
  - {{id: forest, text: "a cat running in a forest", tags: {{animal: yes}}}}
  - {{id: desert, text: "a horse walking in a desert", tags: {{animal: yes}}}}
  - {{id: room, text: "a green ball bouncing in a living room"}}
  - {{id: wood, text: "a dog running in a forest", tags: {{animal: yes}}}}
  - {{id: home, text: "a cat walking in a living room", tags: {{animal: yes}}}}
metrics: {{temporal: {{}}}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``base``, and ``fault`` with noise in every clip; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, faults in (("base", ""), ("fault", ", faults: [{kind: noise_burst, strength: strong}]")):
        suite = folder / f"{name}.yaml"
        suite.write_text(SUITE.format(name=name, faults=faults))
        assert execute(prepare(load_suite(suite)), folder / name, workers=2) is not None
        found[name] = folder / name
    return found


def vgaudit(*arguments: object) -> tuple[int, str]:
    """Exit code and text; errors as :func:`vgaudit.cli.commands.main` tells them."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(done.exception, VgauditError):
        return int(done.exception.exit_code), str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_planted_fault_is_found_worse(runs: dict[str, Path], tmp_path: Path) -> None:
    code, text = vgaudit("compare", runs["base"], runs["fault"], "--out", tmp_path)
    assert code == ExitCode.GATE_FAILED, text
    made = read(tmp_path / "compare.json")
    worse = [row["name"] for row in made["values"] if row["side"] == "worse"]
    assert worse == ["temporal.warp_error"]
    assert made["values"][0]["name"] == "temporal.warp_error"  # worst first
    assert made["verdict"]["exit_code"] == 3
    burst = next(row for row in made["findings"] if row["kind"] == "temporal.noise_burst")
    assert (burst["side"], burst["new"], burst["base"]["clips"]) == ("more often", True, 0)
    assert burst["candidate"]["clips"] == 7
    assert [t["tag"] for t in made["tags"]].count("animal=yes") == len(made["tags"]) > 0
    assert "FAILED (exit code 3): worse after Holm's adjustment: temporal.warp_error [storyworld]" in text
    assert vgaudit("compare", runs["base"], runs["fault"], "--exit-zero")[0] == 0
    # The other way round it is better, and nothing fails.
    code, text = vgaudit("compare", runs["fault"], runs["base"])
    assert code == 0
    assert "less often" in text


def test_a_run_against_itself_shows_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    code, text = vgaudit("compare", runs["base"], runs["base"], "--out", tmp_path)
    assert code == 0, text
    made = read(tmp_path / "compare.json")
    assert not any(row["side"] for row in [*made["values"], *made["findings"], *made["tags"]])
    assert made["changed"] == []
    assert "every clip is the same on both sides, byte for byte" in text
    assert vgaudit("compare", runs["base"], runs["base"], "--margin", "temporal.warp_error=0")[0] == 0


def test_margins_decide(runs: dict[str, Path]) -> None:
    pair = runs["base"], runs["fault"]
    assert vgaudit("compare", *pair, "--margin", "temporal.warp_error=0.5")[0] == 0
    assert vgaudit("compare", *pair, "--margin", "temporal.warp_error=0.001")[0] == 3
    code, text = vgaudit("compare", *pair, "--margin", "integrity.ok_rate=0.5")
    assert code == 4
    assert "not paired: no test" in text
    neutral = ("--margin", "integrity.ok_rate=0.5", "--on-insufficient", "neutral")
    assert vgaudit("compare", *pair, *neutral)[0] == 0
    assert vgaudit("compare", *pair, "--margin", "nothing=1")[0] == 2


@pytest.mark.parametrize("side", ["base", "fault"])
def test_a_baseline_gives_what_its_run_gives(runs: dict[str, Path], side: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.json.gz"
    code, text = vgaudit("baseline", "save", runs[side], "--out", saved)
    assert code == 0, text
    again = tmp_path / "again.json.gz"
    vgaudit("baseline", "save", runs[side], "--out", again)
    assert saved.read_bytes() == again.read_bytes()
    with_file = {**runs, side: saved}
    vgaudit("compare", runs["base"], runs["fault"], "--out", tmp_path / "a")
    vgaudit("compare", with_file["base"], with_file["fault"], "--out", tmp_path / "b")
    assert (tmp_path / "a" / "compare.json").read_bytes() == (tmp_path / "b" / "compare.json").read_bytes()
    page = (tmp_path / "b" / "compare.html").read_text("utf-8")
    assert "a baseline file holds no clips" in page


def test_a_baseline_holds_no_prompt_and_no_path(runs: dict[str, Path], tmp_path: Path) -> None:
    saved = tmp_path / "saved.json.gz"
    vgaudit("baseline", "save", runs["base"], "--out", saved)
    text = gzip.decompress(saved.read_bytes()).decode()
    for words in ("dog walking", "living room", str(runs["base"].parent), "/tmp", "clips/"):
        assert words not in text
    assert vgaudit("baseline", "save", runs["base"], "--out", tmp_path / "x.txt")[0] == 2
    assert vgaudit("baseline", "save", tmp_path, "--out", saved)[0] == 2


def test_files_are_complete_and_the_page_is_strict(runs: dict[str, Path], tmp_path: Path) -> None:
    vgaudit(
        "compare", runs["base"], runs["fault"], "--out", tmp_path, "--margin", "temporal.warp_error=0.001"
    )
    page = (tmp_path / "compare.html").read_text("utf-8")
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page)
    media = re.findall(r'(?:src|poster)="(media/[^"]+)"', page)
    assert len([m for m in media if m.endswith(".mp4")]) >= 6
    assert all((tmp_path / m).is_file() for m in media)
    links = re.findall(r'href="([^"#]+)"', page)
    assert any("report/clips/" in link for link in links)
    assert all((tmp_path / link).is_file() for link in links)
    assert "a cat running in a forest" in page
    summary = (tmp_path / "compare.md").read_text("utf-8")
    assert summary.startswith("# \u274c FAILED: fault against base")
    assert len(summary.encode()) < 60_000
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert root.get("failures") == "2"  # the verdict and the margin
    assert root.get("errors") == "0"
    assert vgaudit("compare", runs["base"], runs["fault"], "--out", runs["base"])[0] == 2


def test_junit_has_no_failure_exactly_where_the_command_passes(runs: dict[str, Path], tmp_path: Path) -> None:
    cases = [("base", "base"), ("fault", "base"), ("base", "fault")]
    for i, (a, b) in enumerate(cases):
        code, _ = vgaudit("compare", runs[a], runs[b], "--out", tmp_path / str(i))
        root = ET.parse(tmp_path / str(i) / "junit.xml").getroot()
        assert (root.get("failures") == root.get("errors") == "0") == (code == 0)


def test_runs_that_cannot_be_compared_say_why(runs: dict[str, Path], tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(runs["base"], old)
    stored = RunDir(old).results()
    RunDir(old).write_results({k: v for k, v in stored.items() if k != "measured_with"})
    code, text = vgaudit("compare", old, runs["fault"])
    assert code == 2
    assert f"run `vgaudit score {old}` to record them" in text
    RunDir(old).write_results({**stored, "kind": "census"})
    code, text = vgaudit("compare", old, runs["fault"])
    assert (code, "publish check" in text) == (2, True)
    (old / "results.json").unlink()
    assert vgaudit("compare", runs["base"], old)[0] == 2


def test_another_version_of_a_metric_is_refused_by_name(runs: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs["fault"], other)
    stored = RunDir(other).results()
    stored["measured_with"]["temporal"]["version"] = 999
    stored["measured_with"]["temporal"]["fingerprints"]["motion"] = "motion-v0-0"
    RunDir(other).write_results(stored)
    code, text = vgaudit("compare", runs["base"], other, "--on", "common")
    assert code == 2
    assert "metrics.temporal.version: base" in text
    assert "metrics.temporal.fingerprints.motion: base" in text


def test_a_scored_run_says_with_what_it_was_measured(runs: dict[str, Path]) -> None:
    side = open_side(runs["base"]).snapshot
    assert set(side.metrics) == {"integrity", "temporal"}
    fingerprints = side.metrics["temporal"]["fingerprints"]
    assert fingerprints["motion"] in {p.name for p in (runs["base"] / "features").iterdir()}
    assert {c.outcome for c in side.clips} == {"ok"}
    assert {tuple(c.tags.items()) for c in side.clips} == {(("animal", "yes"),), ()}
