"""Every kind of page of a report, held against axe-core: light and dark, on a phone and on a wide screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.axe import violations
from tests.browser import CHROMIUM, Browser
from tests.reports import synthetic_likeness
from tests.reports.conftest import Written
from tests.reports.large import many
from tests.reports.synthetic_review import decidable_run
from vgaudit.reports.html import write_html
from vgaudit.reports.likeness_page import write_shareable
from vgaudit.reports.single_file import write_single_file

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WIDTHS = (390, 1440)


@pytest.fixture(scope="module")
def pages(
    run_report: Written, census_report: Written, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One page of each kind."""
    folder = tmp_path_factory.mktemp("axe")
    found = {"overview": run_report.folder / "index.html", "census": census_report.folder / "index.html"}
    clips = run_report.folder / "clips"
    entries = run_report.data.clips
    kinds = {
        "clip with findings": next(e for e in entries if any(f.box for f in e.findings)),
        "clip with a long prompt": next(e for e in entries if len(e.sample.prompt) > 1000),
        "sample without a clip": next(e for e in entries if e.clip.outcome == "error"),
        "clip that cannot be decoded": next(e for e in entries if e.clip.media_error),
    }
    found |= {kind: clips / f"{entry.sample.sample_id}.html" for kind, entry in kinds.items()}
    found["clip of a census"] = next((census_report.folder / "clips").glob("*.html"))
    for name, report in (("large run", run_report), ("large census", census_report)):
        index = write_html(many(report.data, 60), folder / name)
        found |= {f"overview of a {name}": index, f"plain page of a {name}": index.with_name("clips-1.html")}
    audited = synthetic_likeness.build(folder / "likeness")
    photos = {synthetic_likeness.NAMES[0]: [synthetic_likeness.photograph()]}
    found["likeness"] = write_html(audited, folder / "likeness" / "report", photos).with_name("likeness.html")
    found["likeness, shareable"] = write_shareable(audited, folder / "shareable", with_prompts=True)
    desk = folder / "desk"
    review = write_html(decidable_run(desk), desk / "report").with_name("review.html")
    report = run_report.folder
    found |= {
        "review": review,
        "heat map": report / "prompts.html",
        "prompt": report / "prompts" / "beach.html",
        "prompt with markup": report / "prompts" / "hostile.html",
        "one file": write_single_file(run_report.data, report, folder / "one.html"),
        "one file with likeness": write_single_file(
            audited, found["likeness"].parent, folder / "one-likeness.html"
        ),
    }
    return found


@pytest.fixture(scope="module", params=["light", "dark"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with Browser(dark=request.param == "dark") as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_on_any_page(browser: Browser, pages: dict[str, Path], width: int) -> None:
    browser.resize(width, 900)
    found: dict[str, list[str]] = {}
    for name, page in pages.items():
        browser.open(page)
        if wrong := violations(browser, "minor"):
            found[name] = wrong
    assert found == {}, "\n".join(f"{name}: {text}" for name, wrong in found.items() for text in wrong)
    assert browser.problems == []


@pytest.mark.slow
def test_axe_finds_nothing_once_the_page_is_used(browser: Browser, pages: dict[str, Path]) -> None:
    """The second page of the table, the preview of a clip, an empty table."""
    browser.resize(1440, 900)
    browser.open(pages["overview of a large run"])
    browser.run("document.querySelector('th[data-sort=severity] button').click()")
    browser.run("[...document.querySelectorAll('.pager button')].find(b => b.textContent === 'Next').click()")
    assert violations(browser, "minor") == []
    browser.run("document.querySelector('[data-video]').click()")
    browser.until("document.querySelector('dialog').open")
    assert violations(browser, "minor") == []
    browser.run("document.querySelector('dialog').close()")
    browser.run("document.querySelector('[data-filter=text]').value = 'no such clip'")
    browser.run("document.querySelector('.filters').dispatchEvent(new Event('input'))")
    assert browser.run("document.querySelector('.empty-row').isConnected")
    assert violations(browser, "minor") == []


def test_axe_finds_nothing_on_the_overview(run_report: Written) -> None:
    with Browser() as opened:
        opened.open(run_report.folder / "index.html")
        assert violations(opened, "minor") == []
        assert opened.problems == []  # and was let in without the page's policy being broken


def test_axe_finds_what_is_wrong(run_report: Written) -> None:
    """Or a helper that looks at nothing would find nothing."""
    with Browser() as opened:
        opened.open(run_report.folder / "index.html")
        opened.run("document.querySelector('.lead').style.color = '#bbb'")
        opened.run("document.querySelector('.cards img').removeAttribute('alt')")
        opened.run("document.querySelector('main').append(document.createElement('button'))")
        found = violations(opened, "serious")
        assert sorted(text.split()[1] for text in found) == ["button-name", "color-contrast", "image-alt"]
        assert violations(opened, "critical") != found
