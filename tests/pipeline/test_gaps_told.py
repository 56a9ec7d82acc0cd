"""Why a kind of finding was not looked for stands wherever a person decides: terminal, JUnit, Markdown, HTML."""

from __future__ import annotations

import html
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.clips import moving_square, write_clip
from vgaudit.cli.conclusion import print_conclusion
from vgaudit.pipeline.finish import Finished, regate
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import Outcome
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite

KINDS = "temporal.ghosting, temporal.warping could be looked for in only 1 of 5 clips"
LONG = "all of the pictures are in shots of fewer than 10 different pictures"
FEW = "the clip has 3 frames; artifacts could not be looked for in fewer than 4"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of one whole clip, three too short for ghosts, and one too short for anything."""
    folder = tmp_path_factory.mktemp("told")
    root = folder / "clips"
    root.mkdir()
    for i, frames in enumerate((16, 8, 8, 8, 3)):
        write_clip(root / f"clip{i}.mp4", moving_square(i, frames=frames))
    (folder / "s.yaml").write_text(
        f"name: told\nbackend: {{type: files, root: {root}}}\nmetrics:\n  temporal: {{}}\n"
        "gates:\n  - {findings: temporal.*, allow_missing: 1}\n"
        "  - {findings: temporal.jump_cut, allow_missing: 1}\n",
        encoding="utf-8",
    )
    finished = execute(prepare(load_suite(folder / "s.yaml")), folder / "run")
    assert finished is not None
    return finished


def told_in(text: str) -> None:
    """The whole account: kinds, reasons with the most clips first, how many, the first two by name."""
    flat = re.sub(r"\s+", " ", text)
    assert KINDS in flat
    assert re.search(LONG + r"[^;]*\(3 clips: clip1\.mp4, clip2\.mp4, \.\.\.\); " + FEW, flat)
    assert FEW + " (1 clip: clip4.mp4)" in flat


def test_the_gate_says_it_and_does_not_pass(done: Finished) -> None:
    ghosts, cuts = done.data.gates
    assert ghosts.outcome is Outcome.NOT_COMPUTED
    assert done.verdict.exit_code == 4
    told_in(ghosts.reason)
    assert cuts.outcome is Outcome.PASSED  # of this kind one clip is missing, which it allows, and says
    assert (
        f"allowed by allow_missing: temporal looked at only 4 of 5 clips: {FEW} (1 clip: clip4" in cuts.reason
    )


def test_the_terminal_says_it(done: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    print_conclusion(done.data, done.report, changed=True)
    told_in(capsys.readouterr().out)


def test_gates_held_again_say_it(done: Finished) -> None:
    suite = load_suite(done.run_dir.parent / "s.yaml")
    told_in(regate(RunDir.open(done.run_dir), suite.gates, 0).gates[0].reason)


def test_junit_says_it(done: Finished) -> None:
    (file,) = done.run_dir.rglob("*.xml")
    (error,) = ET.parse(file).getroot().findall("testsuite[@name='gates']/testcase/error")
    told_in(error.get("message", ""))


def test_markdown_says_it_in_full(done: Finished) -> None:
    (file,) = done.run_dir.rglob("*.md")
    (row,) = (line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("| \u2754"))
    told_in(row.replace("\\", "").replace("\u200b", ""))


def test_html_says_it_and_so_do_the_pages_of_the_clips(done: Finished) -> None:
    def text_of(file: Path) -> str:
        return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", "", file.read_text(encoding="utf-8"))))

    told_in(text_of(done.report))
    pages = {
        e.sample.source: text_of(done.report.parent / "clips" / f"{e.sample.sample_id}.html")
        for e in done.data.clips
    }
    assert "Not looked for" not in pages["clip0.mp4"]
    assert f"Not looked for: ghosting, warping \u2014 {LONG}" in pages["clip1.mp4"]
    assert "No detector found anything in this clip, and not all was looked for." in pages["clip1.mp4"]
    assert f"Not looked for: part of what temporal looks for \u2014 {FEW}" in pages["clip4.mp4"]
    assert "not looked for: ghosting, warping" in text_of(done.report)  # in the clip's row of the table
