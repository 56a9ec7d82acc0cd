"""The pack for reviewers without vgaudit: what is in it, what is not, and the way back into the run."""

from __future__ import annotations

import json
import shutil
import stat
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser
from tests.cli.test_decide import photographs_of
from vgaudit.cli.commands import app
from vgaudit.decisions import Verb
from vgaudit.errors import GalleryError, RunDirError, UsageError
from vgaudit.pipeline import deciding
from vgaudit.pipeline.deciding import open_desk
from vgaudit.pipeline.photographs import SHOWN
from vgaudit.pipeline.review_pack import write_pack


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(likeness_run_dir, tmp_path / "run of <today>")
    return tmp_path / "run of <today>"


def _state(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def test_it_holds_the_report_and_nothing_else_of_the_run(run: Path, tmp_path: Path) -> None:
    deciding.decide(run, Verb.DISMISS, "1", reason="other", author="Ann", note="as the page shows it")
    before = _state(run)
    out = tmp_path / "new" / "pack.zip"
    assert write_pack(run, out) == out
    assert _state(run) == before  # and verdict and page of the run are still those from before the decision
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [p.name for p in out.parent.iterdir()] == ["pack.zip"]
    with zipfile.ZipFile(out) as pack:
        names = pack.namelist()
        assert names[0] == "run-of-today-review/README.txt"
        assert names[1:] == sorted(names[1:])
        assert {n.split("/")[1] for n in names} == {"README.txt", "report"}
        assert {n.split("/")[2] for n in names[1:]} == {
            "assets", "clips", "faces", "index.html", "likeness.html", "likeness_shown.json", "media", "prompts",
            "review.html",
        }  # fmt: skip
        assert {i.external_attr >> 16 for i in pack.infolist()} == {0o600}
        videos = [n for n in names if n.endswith(".mp4")]
        assert len(videos) == 2
        assert pack.read(videos[0]) in [v for k, v in before.items() if k.endswith(".mp4")]
        readme = pack.read(names[0]).decode()
        page = pack.read("run-of-today-review/report/review.html").decode()
        index = pack.read("run-of-today-review/report/index.html").decode()
        everything = b"".join(pack.read(n) for n in names)
    assert "4 findings to decide on." in readme
    assert "vgaudit decide import 'run of <today>' FILE.jsonl" in readme
    assert max(map(len, readme.splitlines())) < 90
    assert "as the page shows it" in page
    assert "dismissed by Ann" in index  # decided since the run's own page was written
    assert b"templates" not in everything
    for private in list((run / "features").rglob("*.npz")) + list(run.glob("decision*")):
        if private.is_file():
            assert private.read_bytes() not in everything


def test_equal_runs_make_equal_packs_and_a_failure_leaves_the_old_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_pack(run, tmp_path / "one.zip").read_bytes()
    time.sleep(2.1)  # longer than the steps of a zip file's clock
    assert write_pack(run, tmp_path / "two.zip").read_bytes() == one

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("vgaudit.pipeline.review_pack._zip", full)
    with pytest.raises(OSError, match="no space"):
        write_pack(run, tmp_path / "one.zip")
    assert (tmp_path / "one.zip").read_bytes() == one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.zip", "run of <today>", "two.zip"]


def test_what_cannot_be_packed_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a file name that ends in \.zip"):
        write_pack(run, tmp_path / "pack")
    with pytest.raises(RunDirError):
        write_pack(tmp_path / "nothing", tmp_path / "pack.zip")
    (run / "results.json").unlink()
    with pytest.raises(RunDirError, match="has no results yet; run `vgaudit score"):
        write_pack(run, tmp_path / "pack.zip")
    assert not (tmp_path / "pack.zip").exists()


def test_photographs_are_packed_on_record_only(run: Path, tmp_path: Path) -> None:
    detail = open_desk(run).findings[0].finding.detail
    photographs_of(tmp_path / "photos", str(detail["entry"]), str(detail["images_digest"]))
    with zipfile.ZipFile(write_pack(run, tmp_path / "pack.zip", photos=tmp_path / "photos")) as pack:
        (picture,) = (pack.read(n) for n in pack.namelist() if "/photograph-" in n)
        page = pack.read("run-of-today-review/report/review.html").decode()
    shown = [json.loads(line) for line in (run / SHOWN).read_text().splitlines()]
    assert [(row["entry"], row["sha256"]) for row in shown] == [
        (detail["entry"], sha256(picture).hexdigest())
    ]
    assert f"faces/photograph-{shown[0]['sha256'][:32]}" in page
    with pytest.raises(GalleryError, match="no such file of photographs"):
        write_pack(run, tmp_path / "pack.zip", photos=tmp_path / "none")
    assert len((run / SHOWN).read_text().splitlines()) == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_decisions_made_in_an_unpacked_page_come_back_into_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.reports.test_review_in_browser import (
        PROGRESS,
        SAVED_FILE,
        clean,
        name_author,
        press,
        type_in,
    )  # fmt: skip

    with zipfile.ZipFile(write_pack(run, tmp_path / "pack.zip")) as pack:
        pack.extractall(tmp_path / "elsewhere")
    page = tmp_path / "elsewhere" / "run-of-today-review" / "report" / "review.html"
    listed = open_desk(run).findings
    with Browser(width=1440) as browser:
        browser.open(page)
        press(browser, "d", "1", "m")
        type_in(browser, "\u00bbother ears\u00ab\nand \u05d0")
        press(browser, "Escape", "Enter")
        name_author(browser, "Renée Reviewer")
        browser.until(f"{PROGRESS}.startsWith('1 of 4')")
        press(browser, "c", "Enter")
        press(browser, "e", "2", "Enter")
        browser.until(f"{PROGRESS}.startsWith('3 of 4')")
        browser.open(page)  # a reload keeps them
        browser.until(f"{PROGRESS}.startsWith('3 of 4')")
        browser.run(SAVED_FILE)
        browser.run("document.getElementById('download').click()")
        text = browser.until("window.files.length && window.files[0].text()")
        clean(browser)
    file = tmp_path / "decisions.jsonl"
    file.write_text(text, encoding="utf-8")
    app(["decide", "import", str(run), str(file)], standalone_mode=False)
    assert "3 decisions taken in, 0 were there already" in capsys.readouterr().out
    now = {f.finding.fingerprint: f.standing for f in open_desk(run).findings}
    first, second, third, fourth = (now[f.finding.fingerprint] for f in listed)
    assert first.history[0].verb == "dismiss"
    assert first.state == ("open" if first.awaiting else "dismissed")
    assert (second.state, third.state, fourth.state) == ("confirmed", "escalated", "open")
    assert {s.history[0].author for s in (first, second, third)} == {"Renée Reviewer"}
    assert "»other ears«" in (run / "report" / "review.html").read_text("utf-8")
    app(["decide", "import", str(run), str(file)], standalone_mode=False)
    assert "0 decisions taken in, 3 were there already" in capsys.readouterr().out
