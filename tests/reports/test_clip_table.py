"""The clip table of a large run: a small page, all rows as data and as plain pages, and both the same rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser
from tests.reports.conftest import Written
from tests.reports.large import HOSTILE, many
from vgaudit.decisions import Standing, State
from vgaudit.reports.clip_table import DATA_FILE, FIRST_ROWS, PAGE_ROWS, PROBLEMS_SHOWN, ClipTable
from vgaudit.reports.data import ClipEntry
from vgaudit.reports.escaping import visible
from vgaudit.reports.html import write_html
from vgaudit.reports.page_files import write_page

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
CLIPS = 2 * PAGE_ROWS + 30
ROWS = """
(() => {
  const plain = (node) => {
    if (node.nodeType === 3) return node.textContent.replace(/\\s+/g, " ").trim();
    const named = [...node.attributes].map((a) => `${a.name}=${a.value}`).sort().join("|");
    return [node.localName, named, [...node.childNodes].map(plain).filter((part) => part !== "")];
  };
  return [...document.querySelectorAll("table.clips tbody tr")].map((row) => JSON.stringify(plain(row)));
})()
"""


@pytest.fixture(scope="module", params=["run", "census"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    written: Written = request.getfixturevalue(f"{request.param}_report")
    data = many(written.data, CLIPS)
    return Written(data, write_html(data, tmp_path_factory.mktemp("large")).parent)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def table_data(folder: Path) -> dict[str, Any]:
    """What the script of data holds."""
    text = (folder / "assets" / DATA_FILE).read_text("utf-8")
    head, _, rest = text.partition(" = ")
    assert head == "globalThis.vgauditClips"
    data: dict[str, Any] = json.loads(rest.removesuffix(";\n"))
    return data


def press(browser: Browser, label: str) -> None:
    browser.run(
        f"[...document.querySelectorAll('.pager button')].find(b => b.textContent === '{label}').click()"
    )


def search(browser: Browser, words: str) -> None:
    browser.run(
        "(() => { const f = document.querySelector('[data-filter=text]'); "
        f"f.value = {json.dumps(words)}; f.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )


def test_the_overview_stays_small_whatever_the_number_of_clips(large: Written) -> None:
    few = large.folder / "index.html"
    assert few.stat().st_size < 60_000 + FIRST_ROWS * 2_000 + PROBLEMS_SHOWN * 1_000
    assert few.read_text("utf-8").count("<tr data-state=") == FIRST_ROWS
    assert (large.folder / "assets" / DATA_FILE).stat().st_size < CLIPS * 600
    names = sorted(path.name for path in large.folder.glob("clips-*.html"))
    assert names == ["clips-1.html", "clips-2.html", "clips-3.html"]


def test_pages_load_nothing_before_it_is_looked_at(large: Written) -> None:
    for path in (large.folder / "index.html", *large.folder.glob("clips-*.html")):
        text = path.read_text("utf-8")
        assert text.count("<img ") == text.count('loading="lazy"') > 20
        assert "<video" not in text


def test_the_data_is_the_same_text_as_the_rows(large: Written) -> None:
    data = table_data(large.folder)
    assert len(data["stem"]) == CLIPS
    words = set(data["words"])
    for prompt in HOSTILE[:2]:
        assert " ".join(visible(prompt).split()) in words
    text = (large.folder / "assets" / DATA_FILE).read_text("utf-8")
    assert not {"<", "\u2028", "\u2029"} & set(text)
    lengths = {len(data[field]) for field in data if field not in ("page", "groups", "words", "cells")}
    assert lengths == {CLIPS}
    shown = "".join(path.read_text("utf-8") for path in large.folder.glob("clips-*.html"))
    for column in data["cells"]:
        for place, sort in enumerate(column["sort"]):
            written = data["words"][column["text"][place]]
            assert (f">{written}</td>" if sort is not None else f">{written}</span>") in shown


@needs_browser
def test_the_script_shows_the_rows_of_the_plain_pages(large: Written, browser: Browser) -> None:
    wanted: list[str] = []
    for number in (1, 2, 3):
        browser.open(large.folder / f"clips-{number}.html")
        wanted += browser.run(ROWS)
    assert len(wanted) == CLIPS
    browser.open(large.folder / "index.html")
    assert browser.run(ROWS) == wanted[:FIRST_ROWS]
    press(browser, "Last")
    press(browser, "First")  # so that the script has made the first page too
    found: list[str] = browser.run(ROWS)
    while browser.run("[...document.querySelectorAll('.pager button')][2].disabled") is False:
        press(browser, "Next")
        found += browser.run(ROWS)
    assert found == wanted
    assert browser.run("document.querySelector('.pager .position').textContent") == "401 to 430 of 430"
    assert browser.problems == []


@needs_browser
def test_hostile_prompts_are_data_and_text(large: Written, browser: Browser) -> None:
    browser.open(large.folder / "index.html")
    search(browser, "</script> ${x} &amp;")
    assert browser.run("document.querySelector('.shown').textContent").endswith(f" of {CLIPS} clips")
    rows = "document.querySelectorAll('#clip-table tbody tr').length"
    assert 20 < browser.run(rows) <= FIRST_ROWS
    first = browser.run("document.querySelector('#clip-table tbody .clip a').textContent")
    assert first == " ".join(visible(HOSTILE[0]).split())
    assert browser.run("document.querySelectorAll('table.clips b, table.clips script').length") == 0
    assert browser.run("[...document.scripts].every((s) => s.src.includes('/assets/'))")
    assert browser.problems == []


@needs_browser
def test_coming_back_from_a_clip_finds_the_table_as_it_was_left(large: Written, browser: Browser) -> None:
    browser.open(large.folder / "index.html")
    search(browser, "clip sunset")
    search(browser, "beach")
    browser.run("document.querySelector('th[data-sort=severity] button').click()")
    press(browser, "Next")
    before = browser.run(ROWS)
    position = browser.run("document.querySelector('.pager .position').textContent")
    browser.run("location.href = document.querySelector('#clip-table tbody .clip a').href")
    browser.until("location.pathname.includes('/clips/') && document.readyState === 'complete'")
    browser.run("history.back()")
    browser.until("document.querySelector('.pager .position') && document.readyState === 'complete'")
    assert browser.run(ROWS) == before
    assert browser.run("document.querySelector('.pager .position').textContent") == position
    assert browser.run("document.querySelector('[data-filter=text]').value") == "beach"
    assert browser.run("document.querySelector('th[aria-sort]').dataset.sort") == "severity"


@needs_browser
def test_all_clips_are_reachable_without_scripts(large: Written) -> None:
    with Browser(width=390, scripts=False) as plain:
        plain.open(large.folder / "index.html")
        assert plain.run("getComputedStyle(document.querySelector('.plain-pages')).display") == "block"
        links = plain.run("[...document.querySelectorAll('.plain-pages a')].map(a => a.href)")
        stems = set()
        for link in links:
            plain.open(link)
            stems |= set(plain.run("[...document.querySelectorAll('.clips .clip a')].map(a => a.href)"))
            assert plain.run("document.documentElement.scrollWidth") <= 390
        assert len(links) == 3
        assert len(stems) == CLIPS
        assert plain.problems == []


def test_plain_pages_lead_to_each_other_and_back(large: Written) -> None:
    pages = [(large.folder / f"clips-{n}.html").read_text("utf-8") for n in (1, 2, 3)]
    assert all('href="index.html#clips"' in page for page in pages)
    assert [page.count('rel="prev"') for page in pages] == [0, 1, 1]
    assert [page.count('rel="next"') for page in pages] == [1, 1, 0]
    assert f"Clips 201 to 400 of {CLIPS}" in pages[1]
    assert all(page.count('aria-current="page"') == 2 for page in pages)


def test_a_run_that_shrank_has_no_pages_of_clips_that_are_gone(run_report: Written, tmp_path: Path) -> None:
    write_html(many(run_report.data, 210), tmp_path)
    assert len(list(tmp_path.glob("clips-*.html"))) == 2
    other = tmp_path / "clips.html"
    other.write_text("of another reporter")
    write_html(many(run_report.data, 12), tmp_path)
    assert list(tmp_path.glob("clips-*.html")) == []
    assert len(table_data(tmp_path)["stem"]) == 12
    assert other.exists()


def test_lists_at_the_top_are_bounded(run_report: Written, tmp_path: Path) -> None:
    broken = run_report.data.clips[7]
    clips = [
        ClipEntry(dataclasses.replace(broken.sample, sample_id=f"c{i}", prompt_id=f"p{i}"), broken.clip)
        for i in range(PROBLEMS_SHOWN + 25)
    ]
    text = write_html(dataclasses.replace(run_report.data, clips=tuple(clips)), tmp_path).read_text("utf-8")
    problems = text[text.index('<details class="problems"') : text.index('<div class="filters"')]
    assert f"{len(clips)} samples without a usable clip" in problems
    assert problems.count("<li>") == PROBLEMS_SHOWN + 1
    assert "25 more are in the table below." in problems


def test_a_table_of_no_clip_is_data_too() -> None:
    assert ClipTable((), (), False).pages == []
    assert '"stem":[]' in ClipTable((), (), False).script()


def test_a_page_that_did_not_change_is_not_replaced(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    write_page(page, "one\n")
    first = page.stat()
    write_page(page, "one\n")
    assert (page.stat().st_ino, page.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    write_page(page, "two\n")
    assert page.read_text("utf-8") == "two\n"
    outside = tmp_path / "outside.html"
    outside.write_text("two\n")
    page.unlink()
    page.symlink_to(outside)
    write_page(page, "two\n")
    assert not page.is_symlink()  # a report holds files, and writes through no link
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.html", "outside.html"]


def test_one_decision_replaces_only_what_shows_it(run_report: Written, tmp_path: Path) -> None:
    entry = run_report.data.clips[0]
    named = dataclasses.replace(entry.findings[0], fingerprint="0" * 64)
    measured = {"temporal": dataclasses.replace(entry.measurements["temporal"], findings=(named,))}
    clips = (dataclasses.replace(entry, measurements=measured), *run_report.data.clips[1:])
    data = dataclasses.replace(run_report.data, clips=clips)
    write_html(data, tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    said = {named.fingerprint: Standing(State.DISMISSED, "dismissed by A: a cut")}
    write_html(dataclasses.replace(data, decisions=said), tmp_path)
    after = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    changed = {path.name for path, inode in after.items() if before[path] != inode}
    prompt = f"{entry.sample.prompt_id}.html"
    assert changed == {"index.html", "review.html", f"{entry.sample.sample_id}.html", prompt}
