"""The review desk in a real browser: keys, drafts, what is kept, and what happens when the server says no."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser
from tests.reports.synthetic_review import FakeDesk, decidable_run, many
from tests.reports.test_in_browser import _CONTRAST
from tests.reports.test_review_page import data_of
from vgaudit.reports.html import write_html

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.usefixtures("chromium"),
]

TITLE = "document.getElementById('finding-title').textContent"
SAID = "document.getElementById('said').textContent"
PROGRESS = "document.getElementById('progress-text').textContent"
STATE = "document.getElementById('f-state').textContent"
NOTICES = "document.getElementById('notices').textContent"
ALERTS = "document.getElementById('alerts').textContent"
POSITION = "document.getElementById('position').textContent"
COUNT = "document.getElementById('queue-count').textContent"
OPEN_DIALOG = "(document.querySelector('dialog[open]') || {}).id || ''"
SAVED_FILE = """
(() => { window.files = []; const make = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (blob) => { window.files.push(blob); return make(blob); }; })()
"""
NO_STORE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
_CODES = {"Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "End": 35}


@dataclass(frozen=True)
class Site:
    """A report with its items, in the order of the queue."""

    page: Path
    items: list[dict[str, Any]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("desk")
    page = write_html(decidable_run(folder), folder / "report").parent / "review.html"
    items = data_of(page)["items"]
    place = {True: 2, False: 0}
    items.sort(
        key=lambda i: (1 if i["standing"]["awaiting"] else place[i["standing"]["closed"]], i["number"])
    )
    return Site(page, items)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser(width=1440) as opened:
        yield opened


def press(browser: Browser, *keys: str, modifiers: int = 0) -> None:
    """Press keys as a keyboard does."""
    for key in keys:
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        code = _CODES.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        kind = "keyDown" if text and not modifiers else "rawKeyDown"
        browser.call("Input.dispatchKeyEvent", type=kind, text=text, **common)
        browser.call("Input.dispatchKeyEvent", type="keyUp", **common)


def type_in(browser: Browser, text: str) -> None:
    browser.call("Input.insertText", text=text)


def name_author(browser: Browser, name: str) -> None:
    browser.until(f"{OPEN_DIALOG} === 'who'")
    type_in(browser, name)
    press(browser, "Enter")
    browser.until(f"{OPEN_DIALOG} === ''")


def clean(browser: Browser, *, refusals: bool = False) -> None:
    """Nothing was blocked or logged, and nothing asked of elsewhere; a refused request is logged by the browser."""
    problems = [p for p in browser.problems if not (refusals and "Failed to load resource" in p)]
    assert problems == []
    for url in browser.requests:
        assert url.startswith(("file:", "about:", "data:", "blob:", "http://127.0.0.1:")), url


def at(browser: Browser, item: dict[str, Any]) -> bool:
    hit = browser.run("document.querySelector('#f-where a').getAttribute('href')") == item["page"]
    return bool(hit and browser.run(TITLE) == item["message"])


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"(() => {{ const f = document.getElementById('filter-{name}'); f.value = {json.dumps(value)}; "
        "f.dispatchEvent(new Event(f.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true})); })()"
    )


def test_three_hits_by_keyboard_are_kept_and_downloaded(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    first, second, third, fourth = site.items[:4]
    assert at(browser, first)
    total = len(site.items)
    assert browser.run(PROGRESS) == f"1 of {total} decided, 1 awaits a second person"
    # A reason is needed, and then a name; it is asked once.
    press(browser, "d", "Enter")
    assert "Choose a reason" in browser.run("document.getElementById('decide-error').textContent")
    press(browser, "2", "Enter")
    name_author(browser, "Ann  Reviewer")
    browser.until(f"{PROGRESS}.startsWith('2 of')")
    assert at(browser, second)
    assert browser.run(SAID).startswith("Draft: dismissed. 2 of")
    press(browser, "c", "Enter")
    assert at(browser, third)
    # Another reason needs a note: the keys go there, and Ctrl+Enter saves.
    press(browser, "e", "4")
    assert browser.run("document.activeElement.id") == "note"
    press(browser, "Enter", modifiers=2)
    assert "write a note" in browser.run("document.getElementById('decide-error').textContent")
    type_in(browser, 'ask "legal" <b>\n\U0001f415 מרים')
    press(browser, "Enter", modifiers=2)
    assert at(browser, fourth)
    expected = f"4 of {total} decided, 3 of them in your draft, 1 awaits a second person"
    assert browser.run(PROGRESS) == expected
    assert browser.run("document.getElementById('author').textContent") == "Reviewer: Ann Reviewer"

    # A reload keeps the finding one is at, the draft and the name.
    hash_ = browser.run("location.hash")
    assert hash_ == f"#f-{fourth['fingerprint']}"
    browser.open(site.page, hash_)
    assert at(browser, fourth)
    assert browser.run(PROGRESS) == expected
    browser.run(SAVED_FILE)
    browser.run("document.getElementById('download').click()")
    text = browser.until("window.files.length && window.files[0].text()")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [set(line) for line in lines] == [
        {"finding", "verb", "reason_code", "author", "time", "note", "expires"}
    ] * 3
    told = {line["finding"]: line for line in lines}
    one, two, three = (told[i["fingerprint"]] for i in (first, second, third))
    assert (one["verb"], one["reason_code"], one["author"], one["note"]) == (
        "dismiss", "generic_face", "Ann Reviewer", "",
    )  # fmt: skip
    assert one["expires"] > one["time"][:10]  # the suite's 30 days
    assert (two["verb"], two["expires"]) == ("confirm", None)
    assert two["reason_code"] == ("same_person" if second["kind"].startswith("likeness.") else "defect")
    assert (three["verb"], three["reason_code"]) == ("escalate", "other")
    assert three["note"] == 'ask "legal" <b>\n\U0001f415 מרים'
    name = browser.run("document.querySelector('#mode').textContent")
    assert f"vgaudit decide import {site.page.parent.parent.name} decisions-" in name
    clean(browser)


def test_undo_takes_back_the_last_and_gives_its_words_back(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    first, second = site.items[:2]
    press(browser, "d", "1", "m")
    type_in(browser, "other ears")
    press(browser, "Escape", "Enter")
    name_author(browser, "Ann")
    browser.until(f"{STATE}.includes('open')")
    assert at(browser, second)
    press(browser, "u")
    assert at(browser, first)
    assert browser.run(STATE) == "○open"
    assert browser.run("document.getElementById('note').value") == "other ears"
    assert browser.run("document.querySelector('input[name=reason]:checked').value") == "not_this_person"
    assert browser.run("document.getElementById('download').hidden")
    press(browser, "u")
    assert browser.run(SAID) == "There is nothing to undo."
    # Decide again, then remove the draft by its button.
    press(browser, "Enter", "k")
    assert at(browser, first)
    assert "not saved to the run" in browser.run(NOTICES)
    browser.run("document.querySelector('#notices button').click()")
    assert browser.run(STATE) == "○open"
    clean(browser)


def test_what_is_typed_is_kept_when_one_moves_on_or_reloads(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    press(browser, "e", "2", "m")
    type_in(browser, "half a thought")
    press(browser, "Escape", "j", "j")
    assert browser.run("document.getElementById('more').hidden")
    press(browser, "k", "k")
    assert browser.run("document.getElementById('note').value") == "half a thought"
    browser.open(site.page)
    assert browser.run("document.getElementById('note').value") == "half a thought"
    assert browser.run("document.querySelector('input[name=verb]:checked').value") == "escalate"
    clean(browser)


def test_filters_search_and_the_address(browser: Browser, site: Site) -> None:
    browser.open(site.page, f"#f-{site.items[5]['fingerprint']}")
    assert at(browser, site.items[5])
    press(browser, "/")
    assert browser.run("document.activeElement.id") == "filter-text"
    type_in(browser, "PERSON_A resembles")
    likely = [i for i in site.items if i["kind"] == "likeness.match"]
    assert browser.run(COUNT) == f"{len(likely)} of {len(site.items)} findings"
    press(browser, "Enter")
    assert at(browser, likely[0])
    choose(browser, "text", "no such words")
    assert "No finding matches" in browser.run("document.querySelector('.queue-none').textContent")
    choose(browser, "text", "")
    choose(browser, "state", "awaiting")
    assert browser.run(COUNT).startswith("1 of")
    choose(browser, "state", "decided")
    assert browser.run(COUNT).startswith("1 of")
    choose(browser, "state", "open")
    assert browser.run(COUNT).startswith(f"{len(site.items) - 2} of")
    choose(browser, "severity", "major")
    choose(browser, "group", site.items[-1]["group"])
    group = site.items[-1]["group"]
    fits = [
        i
        for i in site.items
        if (i["severity"], i["group"]) == ("major", group) and not i["standing"]["closed"]
    ]
    assert browser.run(COUNT).startswith(f"{len(fits)} of")
    clean(browser)


def test_the_player_loops_over_the_finding_and_draws_its_box(browser: Browser, site: Site) -> None:
    item = next(i for i in site.items if i["box"] and i["kind"] == "likeness.match")
    browser.open(site.page, f"#f-{item['fingerprint']}")
    video = "document.getElementById('video')"
    browser.until(f"{video}.readyState >= 2 && !{video}.paused")
    browser.until("document.getElementById('box').getAttribute('width') === '32'")
    assert browser.run("document.getElementById('overlay').getAttribute('viewBox')") == "0 0 96 64"
    end = time.monotonic() + 2.5  # the span lasts 0.8 s: three turns
    times = []
    while time.monotonic() < end:
        times.append(browser.run(f"{video}.currentTime"))
        time.sleep(0.05)
    assert min(times) > item["start_s"] - 0.1
    assert max(times) < item["end_s"] + 0.1
    assert sum(b < a for a, b in itertools.pairwise(times)) >= 2
    press(browser, " ")
    assert browser.run(f"{video}.paused")
    press(browser, ".")
    browser.until(f"!{video}.seeking")
    assert "frame" in browser.run("document.getElementById('clock').textContent")
    clean(browser)


def test_motion_that_is_not_wanted_does_not_begin(browser: Browser, site: Site) -> None:
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
    )
    browser.open(site.page)
    browser.until("document.getElementById('video').readyState >= 2")
    time.sleep(0.3)
    assert browser.run("document.getElementById('video').paused")
    press(browser, " ")
    browser.until("!document.getElementById('video').paused")


def test_clear_needs_the_last_day_of_a_persons_consent(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    item = site.items[0]
    assert item["kind"].startswith("likeness.")
    press(browser, "l")
    assert browser.run("document.activeElement.id") == "expires"
    press(browser, "Enter")
    assert "give the last day" in browser.run("document.getElementById('decide-error').textContent")
    set_day = (
        "(() => {{ const e = document.getElementById('expires'); e.value = '{}'; "
        "e.dispatchEvent(new Event('input')); }})()"
    )
    for day, problem in (
        ("2001-01-01", "That day is over"),
        ("2099-01-01", "looked at again after 10 years"),
    ):
        browser.run(set_day.format(day))
        press(browser, "Enter")
        assert problem in browser.run("document.getElementById('decide-error').textContent")
    jump = next(i for i in site.items if i["kind"] == "temporal.jump")
    browser.run(f"location.hash = '#f-{jump['fingerprint']}'")
    browser.until(f"{TITLE} === {json.dumps(jump['message'])}")
    assert browser.run("document.getElementById('verb-clear').disabled")
    browser.run("document.activeElement.blur()")
    press(browser, "l")
    assert "Only a likeness can be cleared" in browser.run(
        "document.getElementById('decide-error').textContent"
    )
    clean(browser)


def test_keys_are_explained_and_can_be_switched_off(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    press(browser, "?")
    browser.until(f"{OPEN_DIALOG} === 'help'")
    press(browser, "j")  # not under a dialog
    browser.run("document.getElementById('keys-on').click()")
    press(browser, "Escape")
    browser.until(f"{OPEN_DIALOG} === ''")
    press(browser, "j", "d")
    assert at(browser, site.items[0])
    assert browser.run("document.getElementById('reasons').hidden")
    browser.run("document.getElementById('queue').focus()")
    press(browser, "ArrowDown")
    assert at(browser, site.items[1])
    assert browser.run("document.activeElement.id") == "queue"
    row = browser.run(
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).textContent"
    )
    assert site.items[1]["severity"] in row
    press(browser, "End")
    assert at(browser, site.items[-1])
    clean(browser)


def test_a_browser_that_keeps_nothing_is_told(browser: Browser, site: Site) -> None:
    browser.page.add_init_script(NO_STORE)
    browser.open(site.page)
    assert "This browser keeps nothing for this page. Download your decisions before" in browser.run(ALERTS)
    press(browser, "d", "1", "Enter")
    name_author(browser, "Ann")
    browser.until(f"{PROGRESS}.startsWith('2 of')")
    browser.run(SAVED_FILE)
    browser.run("document.getElementById('download').click()")
    text = browser.until("window.files.length && window.files[0].text()")
    assert json.loads(text)["verb"] == "dismiss"
    clean(browser)


def test_a_draft_that_was_taken_in_is_gone(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    closed = next(i for i in site.items if i["standing"]["closed"])
    made = closed["standing"]["history"][0]
    plan = data_of(site.page)["plan"]
    keys = {}
    for finding, time_ in ((closed["fingerprint"], made["time"]), ("0" * 32, made["time"])):
        keys[f"vgaudit-review:{plan}:draft:{finding}:ann"] = {
            "finding": finding, "verb": made["verb"], "reason_code": made["reason_code"], "author": "ann",
            "time": time_.replace("+00:00", "Z"), "note": "", "expires": None,
        }  # fmt: skip
    for key, value in keys.items():
        browser.run(f"localStorage.setItem({json.dumps(key)}, {json.dumps(json.dumps(value))})")
    browser.open(site.page)
    assert browser.run("document.getElementById('download').hidden")
    assert "1 decision on findings that this report does not have" in browser.run(ALERTS)
    kept = browser.run("Object.keys(localStorage).filter(k => k.includes(':draft:')).length")
    assert kept == 1  # the one that nobody has taken in


def test_without_scripts_there_is_a_table(site: Site) -> None:
    with Browser(scripts=False) as plain:
        plain.open(site.page)
        assert plain.run("document.querySelectorAll('.review-table tbody tr').length") == len(site.items)
        assert plain.run("document.querySelector('.review-table').getClientRects().length") == 1
        assert plain.run("document.getElementById('desk').getClientRects().length") == 0
        assert plain.run("getComputedStyle(document.querySelector('.review-tools')).display") == "none"
        plain.resize(390, 844)
        assert plain.run("document.documentElement.scrollWidth") <= 390
        clean(plain)


@pytest.mark.parametrize(
    "width", [390, *(pytest.param(n, marks=pytest.mark.slow) for n in (740, 1130)), 1440]
)
def test_it_fits_its_window(browser: Browser, site: Site, width: int, tmp_path: Path) -> None:
    browser.resize(width, 900)
    item = next(i for i in site.items if i["box"])
    browser.open(site.page, f"#f-{item['fingerprint']}")
    press(browser, "d")
    browser.run("document.getElementById('queue-toggle').click()")
    assert browser.run("document.documentElement.scrollWidth") <= width
    beyond = (
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.sr, svg, dialog') && "
        f"e.getClientRects().length && e.getBoundingClientRect().right > {width} + 1).length"
    )
    assert browser.run(beyond) == 0
    rows = browser.run("document.querySelectorAll('.queue-row').length")
    assert rows >= min(len(site.items), 5)
    browser.screenshot(tmp_path / "review.png")
    assert (tmp_path / "review.png").stat().st_size > 10_000
    clean(browser)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_its_text_has_enough_contrast(site: Site, dark: bool) -> None:
    with Browser(width=1440, dark=dark) as opened:
        waiting = next(i for i in site.items if i["standing"]["awaiting"])
        opened.open(site.page, f"#f-{waiting['fingerprint']}")
        press(opened, "d", "1", "Enter")
        name_author(opened, "Ann")
        opened.run(f"location.hash = '#f-{waiting['fingerprint']}'")
        opened.until(f"{NOTICES}.includes('Draft')")
        press(opened, "d")
        assert opened.run(_CONTRAST) == []


def test_five_thousand_findings_stay_smooth(browser: Browser, tmp_path: Path) -> None:
    page = many(tmp_path, 5_000)
    begin = time.monotonic()
    browser.open(page)
    browser.until("document.querySelectorAll('.queue-row').length > 5")
    assert time.monotonic() - begin < 10  # 1 s on a machine that has nothing else to do
    assert browser.run(COUNT) == "5000 findings"
    assert browser.run("document.querySelectorAll('.queue-row').length") < 60
    assert browser.run("document.querySelectorAll('*').length") < 1_500
    steps = browser.run(
        "(() => { const t = performance.now(); const next = document.getElementById('next'); "
        "for (let i = 0; i < 100; i++) next.click(); return performance.now() - t; })()"
    )
    assert steps < 100 * 50  # milliseconds; about 5 each
    assert browser.run(POSITION) == "101 of 5000"
    browser.run("document.getElementById('queue').focus()")
    press(browser, "End")
    assert browser.run(TITLE) == "Jump 4999."
    browser.until(
        "[...document.querySelectorAll('.queue-row')].some(r => r.textContent.includes('Jump 4999.'))"
    )
    assert browser.run("document.querySelectorAll('.queue-row').length") < 60
    clean(browser)


# -- served ----------------------------------------------------------------------------------------------


@pytest.fixture
def desk(site: Site) -> Iterator[FakeDesk]:
    standings = {
        i["fingerprint"]: i["standing"] for i in data_of(site.page)["items"] if i["standing"]["history"]
    }
    with FakeDesk(site.page.parent, len(site.items), standings) as served:
        yield served


def visit(browser: Browser, desk: FakeDesk, fragment: str = "") -> None:
    """Open the served page, as Ann."""
    url = desk.url + fragment
    browser.call("Page.navigate", url="about:blank")
    browser.until("location.href === 'about:blank'")
    browser.call("Page.navigate", url=url)
    browser.until(f"location.href.startsWith({json.dumps(desk.url)}) && document.readyState === 'complete'")
    browser.until("document.getElementById('verdict').textContent.startsWith('Verdict: ')")
    if browser.run("document.getElementById('author').textContent") != "Reviewer: Ann":
        browser.run("document.getElementById('author').click()")
        name_author(browser, "Ann")


def test_served_each_decision_is_saved_at_once(browser: Browser, site: Site, desk: FakeDesk) -> None:
    first, second, third = site.items[:3]
    visit(browser, desk)
    assert (
        browser.run("document.getElementById('mode').textContent")
        == "Each decision is saved to the run at once."
    )
    press(browser, "d", "2", "m")
    type_in(browser, "like many")
    press(browser, "Enter", modifiers=2)
    browser.until(f"{PROGRESS}.startsWith('2 of')")
    assert at(browser, second)
    assert desk.received == [
        {"finding": first["fingerprint"], "verb": "dismiss", "reason_code": "generic_face", "author": "Ann",
         "note": "like many", "expires": None, "seen": 0}
    ]  # fmt: skip
    assert browser.run(SAID).startswith("Saved: dismissed by Ann")
    # Undo reopens it.
    press(browser, "u")
    browser.until(f"{SAID}.startsWith('Undone')")
    assert at(browser, first)
    assert desk.received[-1]["verb"] == "reopen"
    assert desk.received[-1]["reason_code"] == "mistake"
    assert desk.received[-1]["seen"] == 3
    assert browser.run("document.getElementById('note').value") == "like many"
    assert "reopened by Ann" in browser.run("document.getElementById('history').textContent")
    # What another reviewer decides appears, and the words of the page stay.
    press(browser, "j", "j")
    assert at(browser, third)
    desk.decide({"finding": third["fingerprint"], "verb": "confirm", "reason_code": "defect", "note": "seen twice",
                 "expires": None, "seen": 0}, author="Bob")  # fmt: skip
    browser.until(f"{NOTICES}.includes('Decided meanwhile: confirmed by Bob')", 10)
    assert "seen twice" in browser.run("document.getElementById('history').textContent")
    assert browser.run("Object.keys(localStorage).filter(k => k.includes(':unsaved:')).length") == 0
    clean(browser)


def test_served_a_decision_of_somebody_else_is_shown_first(
    browser: Browser, site: Site, desk: FakeDesk
) -> None:
    first, second = site.items[:2]
    visit(browser, desk)
    press(browser, "d", "1")
    other = {
        "finding": first["fingerprint"],
        "verb": "escalate",
        "reason_code": "legal",
        "note": "",
        "expires": None,
    }
    desk.decide({**other, "seen": 0}, author="Bob")
    press(browser, "Enter")
    browser.until(f"{NOTICES}.includes('somebody else has decided since')")
    assert at(browser, first)
    assert "escalated by Bob" in browser.run(NOTICES)
    assert browser.run(STATE) == "!not saved"
    assert first["fingerprint"] not in browser.run(ALERTS)
    assert len(desk.standings[first["fingerprint"]]["history"]) == 1
    # Asked again, with one's own choice still there: Enter says the same, now with their decision seen.
    assert browser.run("document.querySelector('input[name=reason]:checked').value") == "not_this_person"
    press(browser, "Enter")
    browser.until(f"{PROGRESS}.startsWith('2 of')")
    assert desk.received[-1]["seen"] == 3
    assert at(browser, second)
    assert "not saved" not in browser.run(ALERTS).lower()
    clean(browser, refusals=True)


def test_served_a_refused_decision_stays_until_it_is_mended(
    browser: Browser, site: Site, desk: FakeDesk
) -> None:
    first = site.items[0]
    visit(browser, desk)
    desk.answers = [422]
    press(browser, "d", "1", "Enter")
    browser.until(f"{NOTICES}.includes('a reason for 422')")
    assert at(browser, first)
    assert "Not saved: 1 decision." in browser.run(ALERTS)
    press(browser, "j")  # one may go on, and it stays visible
    assert "Not saved: 1 decision." in browser.run(ALERTS)
    browser.run("document.querySelector('#alerts button').click()")
    assert at(browser, first)
    press(browser, "2", "Enter")
    browser.until(f"!{ALERTS}.includes('Not saved')")
    assert [r["reason_code"] for r in desk.received] == ["not_this_person", "generic_face"]
    clean(browser, refusals=True)


def test_served_nothing_is_lost_with_the_connection(browser: Browser, site: Site, desk: FakeDesk) -> None:
    first, second, third = site.items[:3]
    visit(browser, desk)
    desk.down = True
    press(browser, "d", "1", "Enter")
    browser.until(f"{NOTICES}.includes('Not saved yet.')")
    assert browser.run(STATE) == "!not saved"
    assert "dismissed" in browser.run(NOTICES)
    browser.until(f"{ALERTS}.includes('No connection to the review server')", 10)
    press(browser, "j", "c", "Enter")
    browser.until(f"{ALERTS}.includes('Not saved: 2 decisions.')")
    browser.run(SAVED_FILE)
    browser.run("document.getElementById('download').click()")  # whatever happens, there is a way out
    text = browser.until("window.files.length && window.files[0].text()")
    assert [json.loads(line)["verb"] for line in text.splitlines()] == ["dismiss", "confirm"]
    desk.down = False
    browser.until(f"!{ALERTS}.includes('Not saved')", 20)
    browser.until(f"{PROGRESS}.startsWith('3 of')")
    assert [r["verb"] for r in desk.received] == ["dismiss", "confirm"]
    assert set(desk.standings) >= {first["fingerprint"], second["fingerprint"]}
    assert not at(browser, third) or browser.run(ALERTS) == ""
    clean(browser, refusals=True)


def test_served_a_reload_keeps_what_is_not_saved(browser: Browser, site: Site, desk: FakeDesk) -> None:
    first = site.items[0]
    visit(browser, desk)
    desk.answers = [503] * 100
    press(browser, "d", "1", "Enter")
    browser.until(f"{NOTICES}.includes('a reason for 503')")
    visit(browser, desk, f"#f-{first['fingerprint']}")
    browser.until(f"{ALERTS}.includes('Not saved: 1 decision.')", 20)
    desk.answers = []
    browser.until(f"!{ALERTS}.includes('Not saved')", 20)
    history = desk.standings[first["fingerprint"]]["history"]
    assert [(h["author"], h["verb"]) for h in history] == [("Ann", "dismiss")]
    clean(browser, refusals=True)


@pytest.mark.parametrize("answer", ["drop", pytest.param("mute", marks=pytest.mark.slow)])
def test_served_a_lost_answer_makes_no_second_decision(
    browser: Browser, site: Site, desk: FakeDesk, answer: str
) -> None:
    first = site.items[0]
    visit(browser, desk)
    desk.answers = [answer]
    press(browser, "d", "1", "Enter")
    browser.until(f"{PROGRESS}.startsWith('2 of') && !{ALERTS}.includes('Not saved')", 20)
    history = desk.standings[first["fingerprint"]]["history"]
    assert [(h["author"], h["verb"]) for h in history] == [("Ann", "dismiss")]
    assert "somebody else" not in browser.run(NOTICES)
    clean(browser, refusals=True)


def test_served_undo_leaves_a_newer_decision_that_is_not_saved(
    browser: Browser, site: Site, desk: FakeDesk
) -> None:
    first = site.items[0]
    visit(browser, desk)
    press(browser, "d", "1", "Enter")
    browser.until(f"{PROGRESS}.startsWith('2 of')")
    press(browser, "k")
    assert at(browser, first)
    desk.answers = [503] * 100
    press(browser, "c", "Enter")
    browser.until(f"{NOTICES}.includes('a reason for 503')")
    press(browser, "u")
    browser.until(f"{SAID}.includes('discard it first')")
    desk.answers = []
    browser.until(f"!{ALERTS}.includes('Not saved')", 20)
    history = desk.standings[first["fingerprint"]]["history"]
    assert [h["verb"] for h in history] == ["dismiss", "confirm"]
    clean(browser, refusals=True)
