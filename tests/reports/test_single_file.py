"""The report in one file: whole, alone, without a dangling link, small, and honest about what it leaves out."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.browser import CHROMIUM, Browser
from tests.reports import synthetic_likeness
from tests.reports.conftest import Written
from vgaudit.errors import UsageError
from vgaudit.reports import clip_table, single_file
from vgaudit.reports.html import write_html
from vgaudit.reports.single_file import write_single_file


class _Attributes(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def files(
    run_report: Written, census_report: Written, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("single")
    likeness = synthetic_likeness.build(tmp_path_factory.mktemp("likeness"))
    report = write_html(likeness, likeness.run_dir / "report").parent
    return {
        "run": write_single_file(run_report.data, run_report.folder, folder / "run.html"),
        "census": write_single_file(census_report.data, census_report.folder, folder / "census.html"),
        "bare": write_single_file(run_report.data, run_report.folder, folder / "bare.html", pictures=False),
        "likeness": write_single_file(likeness, report, folder / "likeness.html"),
    }


@pytest.mark.parametrize("name", ["run", "census", "bare", "likeness"])
def test_nothing_leads_out_of_the_file(files: dict[str, Path], name: str) -> None:
    text = files[name].read_text("utf-8")
    page = _Attributes(text)
    ids = {value for _, attribute, value in page.found if attribute == "id"}
    for tag, attribute, value in page.found:
        if attribute in ("src", "href", "poster", "srcset", "data-video", "action"):
            assert value.startswith(("#", "data:")), (tag, attribute, value)
            assert not value.startswith("#") or value[1:] in ids, value  # not dangling either
    assert "data-folder-only" not in text
    assert not {tag for tag, *_ in page.found} & {"video", "iframe", "object"}
    assert len(text.encode()) < 1_500_000


@pytest.mark.parametrize("name", ["run", "census", "likeness"])
def test_styles_and_scripts_are_allowed_by_digest_alone(files: dict[str, Path], name: str) -> None:
    text = files[name].read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert "unsafe" not in policy
    assert "'self'" not in policy
    assert "default-src &#x27;none&#x27;" in policy
    inline = re.findall(r"<(style|script)>(.*?)</\1>", text, re.DOTALL)
    assert [tag for tag, _ in inline] == ["style", "script"]
    for tag, body in inline:
        digest = base64.b64encode(sha256(body.encode()).digest()).decode()
        assert f"{tag}-src &#x27;sha256-{digest}&#x27;" in policy
    assert not re.search(
        r"\sstyle=|\son\w+=\"", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    )


def test_it_holds_the_whole_overview_and_says_what_it_leaves_out(
    files: dict[str, Path], run_report: Written
) -> None:
    words = " ".join(" ".join(_Attributes(files["run"].read_text("utf-8")).words).split())
    for said in (
        "Failed", "2 of 9 gates failed", "What would change it", "Notes", "Results by group", "Worst findings",
        "Provenance", "What these numbers cannot show", "About this file", "Left out", "not blurred",
        "Likeness audit in numbers",
    ):  # fmt: skip
        assert said in words, said
    assert "This folder is complete" not in words
    assert "A finding opens its clip" not in words
    index = _Attributes((run_report.folder / "index.html").read_text("utf-8"))
    rows = [value for tag, name, value in index.found if (tag, name) == ("tr", "data-values")]
    page = _Attributes(files["run"].read_text("utf-8"))
    assert [value for tag, name, value in page.found if (tag, name) == ("tr", "data-values")] == rows
    assert "Pictures were left out on purpose" in files["bare"].read_text("utf-8")
    assert "data:image/jpeg" not in files["bare"].read_text("utf-8")


def test_the_likeness_audit_is_numbers_without_faces(files: dict[str, Path]) -> None:
    text = files["likeness"].read_text("utf-8")
    section = text.partition('<section id="likeness-numbers"')[2].partition("</section>")[0]
    assert "Clips by state" in section
    assert "<img" not in section


def test_people_of_the_gallery_are_numbered(files: dict[str, Path]) -> None:
    page = _Attributes(files["likeness"].read_text("utf-8"))
    text = " ".join([*page.words, *(value for _, name, value in page.found if name != "src")]).lower()
    assert "person 1" in text
    for name in ("jane_example", "jane example", "ordinary-person", "<b>omar</b> & co"):
        assert name not in text


def test_stills_are_small_and_carry_nothing_else(files: dict[str, Path]) -> None:
    stills = re.findall(r"data:image/jpeg;base64,([^\"]+)", files["run"].read_text("utf-8"))
    assert len(set(stills)) == 19  # one sample has no clip
    for still in set(stills):
        with Image.open(BytesIO(base64.b64decode(still))) as picture:
            assert max(picture.size) <= 288
            assert not picture.getexif()


def test_the_worst_clips_keep_their_stills(
    run_report: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_file, "MOST_PICTURE_BYTES", 8_000)
    text = write_single_file(run_report.data, run_report.folder, tmp_path / "x.html").read_text("utf-8")
    shown = len(set(re.findall(r"data:image/jpeg;base64,([^\"]+)", text)))
    assert 1 < shown < 19
    assert f"{shown} stills are here, those of the worst clips; {19 - shown} more would" in text
    cards = text.partition('<ol class="cards">')[2].partition("</ol>")[0]
    assert "data:image/jpeg" in cards.partition("</li>")[0]  # the worst finding has its picture


def test_files_of_others_and_the_run_are_refused(run_report: Written, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="found something else"):
        write_single_file(run_report.data, run_report.folder, tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "<html>mine</html>"
    with pytest.raises(UsageError, match="found a folder"):
        write_single_file(run_report.data, run_report.folder, tmp_path)
    with pytest.raises(UsageError, match="outside the run directory"):
        write_single_file(run_report.data, run_report.folder, run_report.data.run_dir / "x.html")
    out = write_single_file(run_report.data, run_report.folder, tmp_path / "x.html")
    assert write_single_file(run_report.data, run_report.folder, out).stat().st_size > 10_000


def test_pictures_outside_the_report_are_not_taken(run_report: Written, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    assert single_file._jpeg(tmp_path / "report", "../secret.png") == b""
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "x.png").symlink_to(tmp_path / "secret.png")
    assert single_file._jpeg(tmp_path / "report", "x.png") == b""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("name", ["run", "census", "bare", "likeness"])
def test_it_works_alone_in_a_browser(
    browser: Browser, files: dict[str, Path], tmp_path: Path, name: str
) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes(files[name].read_bytes())
    browser.requests.clear()
    for width in (1440, 390):
        browser.resize(width, 900)
        browser.open(alone)
        assert browser.run("getComputedStyle(document.body).margin") == "0px"  # the style was not blocked
        assert browser.run("document.documentElement.classList.contains('js')")  # nor the script
        assert browser.run("document.documentElement.scrollWidth") <= width
    shown = "[...document.querySelectorAll('#clip-table tbody tr')].filter(r => !r.hidden).length"
    everything = browser.run(shown)
    browser.run(
        "(() => { const f = document.querySelector('[data-find] input'); f.value = 'no such clip at all'; "
        "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run(shown) == 0 < everything
    assert (
        browser.run("document.querySelector('[data-find] .shown').textContent") == f"0 of {everything} clips"
    )
    browser.run("document.querySelector('.clips .still .frame').click()")
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert browser.run(broken) == 0
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "about", "data"}
    assert {url for url in browser.requests if url.startswith("file:")} == {alone.as_uri()}


def test_a_large_table_is_cut_and_says_so(
    run_report: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_table, "FIRST_ROWS", 3)
    monkeypatch.setattr(single_file, "MOST_ROWS", 15)
    report = tmp_path / "report"
    write_html(run_report.data, report)
    assert (report / "clips-1.html").is_file()
    text = single_file.write_single_file(run_report.data, report, tmp_path / "one.html").read_text("utf-8")
    body = text.partition('id="clip-table"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    assert body.count("<tr") == 15
    assert f"{len(run_report.data.clips) - 15} more clips are in the report" in text
