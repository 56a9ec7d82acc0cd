"""The report in a real browser: what it loads, what its scripts do, how it fits on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser
from tests.reports.conftest import Written

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
SHOWN = "document.querySelectorAll('#clip-table tbody tr[data-state]').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def _clean(browser: Browser) -> None:
    """Nothing was blocked, logged or asked of a network since the last check."""
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "about", "data"}


def _clip_page(report: Written) -> Path:
    entry = next(e for e in report.data.clips if len(e.findings) > 1 and e.findings[0].box)
    return report.folder / "clips" / f"{entry.sample.sample_id}.html"


def test_the_overview_filters_sorts_and_previews(browser: Browser, run_report: Written) -> None:
    browser.open(run_report.folder / "index.html")
    assert browser.run("getComputedStyle(document.body).margin") == "0px"  # the style sheet was not blocked
    assert browser.run(SHOWN) == 20
    browser.run(
        "(() => { const f = document.querySelector('[data-filter=text]'); f.value = 'KITE field'; "
        "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run(SHOWN) == 4
    assert browser.run("document.querySelector('.shown').textContent") == "4 of 20 clips"
    browser.run(
        "(() => { const f = document.querySelector('[data-filter=text]'); f.value = 'no such clip'; "
        "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run("document.querySelector('.empty-row').textContent") == "No clip matches these filters."
    browser.run(
        "(() => { const f = document.querySelector('[data-filter=text]'); f.value = ''; "
        "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    browser.run("document.querySelector('th[data-sort=\"0\"] button').click()")
    values = (
        "[...document.querySelectorAll('#clip-table tbody tr')].map(r => r.querySelector('.num').textContent)"
    )
    rising = browser.run(values)
    assert all("not computed" in value for value in rising[-2:])  # what was not computed stays last
    assert [float(v) for v in rising[:-2]] == sorted(float(v) for v in rising[:-2])
    browser.run("document.querySelector('th[data-sort=\"0\"] button').click()")
    falling = browser.run(values)
    assert all("not computed" in value for value in falling[-2:])
    assert falling[:-2] == rising[:-2][::-1]
    assert browser.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    browser.run("document.querySelector('[data-video]').click()")
    assert browser.until(
        "document.querySelector('dialog').open && document.querySelector('dialog video').readyState >= 1"
    )
    _clean(browser)


def test_a_finding_seeks_the_player_and_marks_its_box(browser: Browser, run_report: Written) -> None:
    browser.open(_clip_page(run_report))
    link = "document.querySelector('.seek')"
    start = float(browser.run(f"{link}.dataset.start"))
    browser.run(f"{link}.click()")
    browser.until(
        "document.querySelector('video').readyState >= 1 && !document.querySelector('video').seeking"
    )
    assert browser.run("document.querySelector('video').currentTime") == pytest.approx(start, abs=0.01)
    browser.until("document.querySelector('.overlay .box').getAttribute('width') === '32'")
    assert browser.run("document.querySelectorAll('.span.current').length") >= 1
    browser.until("document.querySelectorAll('.series.live').length > 1")
    before = browser.run("document.querySelector('.clock').textContent")
    browser.run("document.querySelector('[data-step=\"1\"]').click()")
    browser.until(f"document.querySelector('.clock').textContent !== {before!r}")
    assert browser.run("document.querySelector('.clock').textContent").endswith(
        f"frame {round(start * 10) + 1}"
    )
    _clean(browser)


def test_a_link_to_a_moment_opens_the_clip_there(browser: Browser, run_report: Written) -> None:
    browser.open(_clip_page(run_report), "#t=1.250")
    browser.until("Math.abs(document.querySelector('video').currentTime - 1.25) < 0.01")
    _clean(browser)


@pytest.mark.parametrize("width", [390, 740, 1130, 1440])
def test_pages_fit_their_window(
    browser: Browser, run_report: Written, census_report: Written, width: int
) -> None:
    browser.resize(width, 900)
    for page in (
        run_report.folder / "index.html",
        _clip_page(run_report),
        census_report.folder / "index.html",
    ):
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= width
        narrow = (
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.sr, pre, svg, dialog, thead')"
        )
        beyond = (
            f"{narrow} && e.getClientRects().length && e.getBoundingClientRect().right > {width} + 1).length"
        )
        assert browser.run(beyond) == 0
    _clean(browser)


def test_the_report_works_without_scripts(run_report: Written) -> None:
    with Browser(scripts=False) as plain:
        plain.open(run_report.folder / "index.html")
        assert plain.run(SHOWN) == 20
        assert plain.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
        assert plain.run("document.querySelectorAll('.clips th button').length") == 0
        _clean(plain)


_CONTRAST = """
(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  for (const e of document.querySelectorAll('main *, nav a, footer p, header *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.sr, svg, .frame, dialog') || !e.getClientRects().length) continue;
    let ground = e;
    while (ground && parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const a = light(parse(getComputedStyle(e).color));
    const b = light(parse(getComputedStyle(ground || document.body).backgroundColor));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.trim().slice(0, 40)}`);
  }
  return bad;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_enough_contrast(run_report: Written, census_report: Written, dark: bool) -> None:
    with Browser(dark=dark) as opened:
        for page in (
            run_report.folder / "index.html",
            _clip_page(run_report),
            census_report.folder / "index.html",
        ):
            opened.open(page)
            assert opened.run(_CONTRAST) == []
