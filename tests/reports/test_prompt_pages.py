"""The heat map of prompts, the clips of one prompt side by side, filmstrips and expectations."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest

from tests.browser import CHROMIUM, Browser
from tests.reports.conftest import Written
from tests.reports.synthetic import FPS, build, write_media
from tests.reports.test_html import Page
from vgaudit.plan import Sample, make_sample_id
from vgaudit.records import ClipRecord, Finding, Measurement, Severity
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.expectations import expectations_of
from vgaudit.reports.filmstrips import strip_of
from vgaudit.reports.html import write_html
from vgaudit.reports.media import MediaFile
from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY
from vgaudit.reports.prompt_matrix import Matrices, matrices
from vgaudit.reports.prompt_matrix_pages import PAGE, row_markup
from vgaudit.reports.prompt_page import prompt_page
from vgaudit.reports.prompts import prompts_of

browsers = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
SPECS = {
    "m.up": {"higher_is_better": True},
    "m.down": {"higher_is_better": False},
    "m.flat": {"higher_is_better": None},
}
EXPECT = (
    {"about": "subject", "is": "a <b>dog</b>", "not": ["a cat", "a horse"]},
    {"about": "action", "is": "walking", "not": "running"},
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The synthetic run; of ``beach`` one clip is half as long, one has a filmstrip and a judged expectation."""
    run = tmp_path_factory.mktemp("prompts")
    data = build(run)
    clips = list(data.clips)
    places = [i for i, entry in enumerate(clips) if entry.sample.prompt_id == "beach"]
    short = clips[places[1]]
    write_media(run, short.sample.sample_id, 200, frames=8)
    info = {**short.clip.info, "frames": 8, "duration_s": 0.8}
    clips[places[1]] = dataclasses.replace(short, clip=dataclasses.replace(short.clip, info=info))
    first = clips[places[0]]
    cv2.imwrite(str(run / "strip.jpg"), np.full((32, 48 * 4, 3), 120, np.uint8))
    strip = {"file": "strip.jpg", "times_s": [0.0, 0.5, 1.0, 1.5], "width": 48, "height": 32}
    judged = {
        **EXPECT[0],
        "passed": False,
        "probabilities": {"a <b>dog</b>": 0.2, "a cat": 0.797, "a horse": 0.003},
    }
    clips[places[0]] = dataclasses.replace(
        first,
        sample=dataclasses.replace(first.sample, expect=EXPECT),
        clip=dataclasses.replace(first.clip, strip=strip),
        measurements={
            **first.measurements,
            "prompt_alignment": dataclasses.replace(
                first.measurements["prompt_alignment"], facts={"expectations": [judged]}
            ),
        },
    )
    data = dataclasses.replace(data, clips=tuple(clips))
    return Written(data, write_html(data, run / "report").parent)


def _pages(report: Written) -> list[Path]:
    return sorted([*report.folder.glob("prompts*.html"), *(report.folder / "prompts").glob("*.html")])


def _matrix(
    values: dict[str, list[tuple[str, float | str]]], specs: dict[str, object] | None = None
) -> Matrices:
    """A matrix of prompt ``p<i>`` x one value ``m.up`` (or as named); text stands for a missing value."""
    entries = []
    for i, places in enumerate(itertools.zip_longest(*values.values())):
        group = next(place[0] for place in places if place)
        sample = Sample(f"s{i}", f"p{i}", f"prompt {i}", group)
        cells = {
            name.partition(".")[2]: place[1] for name, place in zip(values, places, strict=True) if place
        }
        found = Measurement(
            values={k: x for k, x in cells.items() if isinstance(x, float)},
            missing={k: x for k, x in cells.items() if isinstance(x, str)},
        )
        entries.append(ClipEntry(sample, ClipRecord(sample.sample_id, "ok", file="x.mp4"), {"m": found}))
    return _matrices(entries, specs or SPECS)


def _matrices(entries: list[ClipEntry], specs: object) -> Matrices:
    from tests.reports.synthetic import manifest
    from vgaudit.records import Outcome, Verdict
    from vgaudit.reports.clip_index import ClipMedia, clip_row

    nothing = MediaFile(problem="none was stored")
    rows = [clip_row(e, f"clip{i}", ClipMedia(nothing, nothing), []) for i, e in enumerate(entries)]
    data = ReportData(
        Path(),
        "run",
        "x",
        manifest(),
        tuple(entries),
        (),
        (),
        Verdict(Outcome.PASSED, 0, "ok"),
        value_specs=specs,
    )  # type: ignore[arg-type]
    return matrices(data, prompts_of(entries, rows))


def test_a_shade_is_the_place_among_all_cells_from_better_to_worse() -> None:
    ten = [float(x) for x in range(10)]
    for name, worst_first in (("m.down", True), ("m.up", False)):
        shown = _matrix({name: [("g", x) for x in ten]})
        shades = {row.cells[0].text: row.cells[0].shade for row in shown.groups["g"]}
        in_order = [shades[text] for text in sorted(shades, key=float)]
        assert in_order == ([0, 1, 2, 2, 3, 3, 4, 4, 5, 6] if worst_first else [6, 5, 4, 4, 3, 3, 2, 2, 1, 0])
        shares = {float(row.cells[0].text): row.cells[0].share for row in shown.groups["g"]}
        assert shares[9.0] == (90 if worst_first else 0)
    neutral = _matrix({"m.flat": [("g", x) for x in ten]})
    assert [row.cells[0].shade for row in neutral.groups["g"]] == [0, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    assert [row.prompt for row in neutral.groups["g"]] == list(range(10))  # nothing is worse: plan order


def test_groups_share_one_scale_and_equal_numbers_one_shade() -> None:
    shown = _matrix({"m.down": [*[("a", 0.0)] * 9, ("b", 1.0)]})
    assert {row.cells[0].shade for row in shown.groups["a"]} == {3}
    assert shown.groups["b"][0].cells[0].shade == 6


def test_cells_without_a_number_say_why_and_never_have_a_shade() -> None:
    why = "not applicable: no face"
    shown = _matrix({"m.down": [("g", 1.0), ("g", 2.0), ("g", why), ("g", "weights missing"), ("g", why)]})
    cells = {row.prompt: row.cells[0] for row in shown.groups["g"]}
    assert [(cells[i].text, cells[i].shade, cells[i].share) for i in (2, 3)] == [
        ("n/a", -1, -1),
        ("n/c", -1, -1),
    ]
    assert shown.reasons == (("not applicable: no face", 2), ("not computed: weights missing", 1))
    assert cells[3].reason == 1
    assert [row.prompt for row in shown.groups["g"]][:2] == [1, 0]  # worst first, no numbers last


def test_values_that_are_the_same_or_absent_everywhere_have_no_column() -> None:
    shown = _matrix({"m.up": [("g", 2.0), ("g", 2.0), ("g", "no face")], "m.down": [("g", "no flow")] * 3})
    assert shown.columns == ()
    assert shown.steady[0].text == "the same in the 2 of 3 cells that have it: 2; else not computed: no face"
    assert (shown.absent[0].name, shown.absent[0].text) == ("m.down", "not computed: no flow")


def test_several_clips_of_a_prompt_give_their_mean_and_failed_ones_are_counted() -> None:
    def entry(prompt: str, seed: int, x: float | None, rank: Severity | None = None) -> ClipEntry:
        sample = Sample(f"{prompt}{seed}", prompt, prompt, "g", seed=seed)
        if x is None:
            return ClipEntry(sample, ClipRecord(sample.sample_id, "error", message="out of memory"))
        found = (Finding(sample.sample_id, "m.jump", rank, 0.0, 1.0, 2.0, 1.0, "jumps"),) if rank else ()
        record = ClipRecord(sample.sample_id, "ok", file="x.mp4")
        return ClipEntry(sample, record, {"m": Measurement(values={"down": x}, findings=found)})

    clips = [
        entry("calm", 0, 1.0), entry("calm", 1, 4.0), entry("calm", 2, None), entry("gone", 0, None),
        entry("minor", 0, 0.5, Severity.MINOR), entry("alert", 0, 0.1, Severity.ALERT), entry("bad", 0, 9.0),
    ]  # fmt: skip
    shown = _matrices(clips, SPECS)
    names = [shown.prompts[row.prompt].prompt_id for row in shown.groups["g"]]
    assert names == ["alert", "minor", "bad", "calm", "gone"]
    calm, gone = shown.groups["g"][3], shown.groups["g"][4]
    assert (calm.cells[0].text, calm.cells[0].clips, calm.clips, calm.unusable) == ("2.50", 2, 3, 1)
    assert shown.reasons[gone.cells[0].reason][0] == "not computed: no usable clip"


def test_a_mean_of_some_clips_says_of_how_many() -> None:
    places: dict[str, list[tuple[str, float | str]]] = {"m.up": [("a", 1.0), ("a", 2.0), ("b", 3.0)]}
    shown = _matrix(places)
    row, other = shown.groups["a"][0], shown.groups["a"][1]
    assert "part" not in row_markup(row, shown.columns, ())
    half = dataclasses.replace(other, clips=3, unusable=1)
    assert '<span class="part">1 of 2 clips</span>' in row_markup(half, shown.columns, ())


def test_pages_are_well_formed_safe_and_lead_somewhere(report: Written) -> None:
    pages = _pages(report)
    assert {p.name for p in pages} >= {"prompts.html", "prompts-5-1.html", "beach.html", "hostile.html"}
    assert not (report.folder / "prompts" / "long.html").exists()  # one clip: its own page says it all
    for path in pages:
        page = Page(path)
        assert page.open == [], path
        assert [m["content"] for m in page.all("meta") if m.get("http-equiv")] == [CONTENT_SECURITY_POLICY]
        assert len(page.all("h1")) == len(page.all("main")) == 1
        assert len(page.all("caption")) == len(page.all("table"))
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), (path, levels)
        assert not {"iframe", "object", "style", "b"} & {tag for tag, _ in page.elements}
        for _, attributes in page.elements:
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("href", "src", "poster"):
                if name in attributes:
                    parts = urlsplit(attributes[name])
                    assert (parts.scheme, parts.netloc) == ("", "")
                    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                    assert target.is_file(), attributes[name]
        assert "alert('x')" not in "".join(re.findall("<script[^>]*>(.*?)</script>", path.read_text("utf-8")))


def test_the_script_has_what_the_pages_have(report: Written) -> None:
    text = (report.folder / "prompts-data.js").read_text("utf-8")
    data = json.loads(text.removeprefix("globalThis.vgauditPrompts = ").removesuffix(";\n"))
    page = Page(report.folder / "prompts.html")
    first = data["groups"][0]
    assert "Warp error" in page.text
    for column in first["cells"]:
        for cell in column.split("|"):
            assert cell.split("~")[0] in page.text
    shown = re.findall(r"\n *(.+?)(?:hostile|beach|rtl|kite) · 1 clip", page.text)
    assert [data["prompts"]["name"][i] for i in first["prompt"]] == shown
    assert sum(len(g["prompt"]) for g in data["groups"]) == 20


def test_many_prompts_come_in_pages_and_old_ones_go(report: Written, tmp_path: Path) -> None:
    entry = report.data.clips[0]
    clips = []
    for i in range(PAGE + 20):
        sample = dataclasses.replace(
            entry.sample, sample_id=f"s{i}", prompt_id=f"p{i}", prompt=f"prompt number {i}"
        )
        values = {"temporal": Measurement(values={"warp_error": float(i)})}
        clips.append(ClipEntry(sample, dataclasses.replace(entry.clip, strip={}), values))
    data = dataclasses.replace(report.data, clips=tuple(clips))
    folder = write_html(data, tmp_path / "report").parent
    assert sorted(p.name for p in folder.glob("prompts*")) == [
        "prompts-1-2.html",
        "prompts-data.js",
        "prompts.html",
    ]
    first, second = Page(folder / "prompts.html"), Page(folder / "prompts-1-2.html")
    assert first.text.count("prompt number") == PAGE
    assert second.text.count("prompt number") == 20
    assert first.text.index(f"prompt number {PAGE + 19}") < first.text.index(f"prompt number {PAGE + 18}")
    write_html(dataclasses.replace(data, clips=tuple(clips[:1])), folder)
    assert list(folder.glob("prompts*")) == []
    assert "prompts.html" not in (folder / "index.html").read_text("utf-8")


def test_unsafe_prompt_ids_become_digests(report: Written) -> None:
    entries = [
        dataclasses.replace(e, sample=dataclasses.replace(e.sample, prompt_id="../x"))
        for e in report.data.clips[:2]
    ]
    made = prompts_of(entries, [None, None])  # type: ignore[list-item]
    assert re.fullmatch("prompt-[0-9a-f]{24}", made[0].stem)


def test_a_prompt_page_marks_the_best_and_the_worst_in_words(report: Written) -> None:
    text = (report.folder / "prompts" / "beach.html").read_text("utf-8")
    page = Page(report.folder / "prompts" / "beach.html")
    assert len(page.all("video")) == 5
    assert all("controls" in v and "muted" in v and v["preload"] == "none" for v in page.all("video"))
    warp = text[text.index('<th scope="row">Warp error') :]
    warp = warp[: warp.index("</tr>")]
    shown = [
        (float(x), place) for x, place in re.findall(r'<td>([\d.]+)(?:<span class="place (\w+)">)?', warp)
    ]
    assert min(shown)[1] == "best"
    assert max(shown)[1] == "worst"
    assert [place for _, place in shown].count("") == 3
    motion = text[text.index('<th scope="row">Motion') :]
    assert "place" not in motion[: motion.index("</tr>")]  # no better direction
    assert "They last 0.8 to 1.6 s: a shorter clip holds its last frame until all have ended." in page.text
    assert 'href="../clips/' in text


def test_clips_stand_by_seed_where_groups_share_seeds(report: Written) -> None:
    def entry(group: str, seed: int) -> ClipEntry:
        sample = Sample(make_sample_id("p", seed, {"g": group}), "p", "a prompt", group, seed=seed)
        return ClipEntry(sample, ClipRecord(sample.sample_id, "ok", file="x.mp4"))

    def titles(pairs: list[tuple[str, int]]) -> list[tuple[str, list[str]]]:
        from vgaudit.reports.clip_index import ClipMedia, clip_row

        entries = [entry(*pair) for pair in pairs]
        nothing = MediaFile(problem="none was stored")
        rows = [clip_row(e, e.sample.sample_id, ClipMedia(nothing, nothing), []) for e in entries]
        page = prompt_page(report.data, prompts_of(entries, rows)[0])
        return [(row.title, [t.row.seed if t else "-" for t in row.takes]) for row in page.rows]

    shared = [("a", 10), ("a", 2), ("b", 2), ("b", 10), ("c", 10)]
    assert titles(shared) == [("Seed 2", ["2", "2", "-"]), ("Seed 10", ["10", "10", "10"])]
    own = [("a", 1), ("a", 2), ("b", 7), ("b", 8)]
    assert titles(own) == [("Clip 1 of each group", ["1", "7"]), ("Clip 2 of each group", ["2", "8"])]
    assert titles([("a", 1), ("a", 2), ("a", 3)]) == [("", ["1", "2", "3"])]


def test_a_clip_page_has_its_filmstrip_and_says_what_was_expected(report: Written) -> None:
    beach = [e for e in report.data.clips if e.sample.prompt_id == "beach"]
    page = Page(report.folder / "clips" / f"{beach[0].sample.sample_id}.html")
    cells = [a for tag, a in page.elements if tag == "a" and "data-at" in a]
    assert [float(a["data-at"]) for a in cells] == [0.0, 0.5, 1.0, 1.5]
    assert all(re.search(r"\.mp4#t=", a["href"]) for a in cells)
    slices = [a["viewbox"] for tag, a in page.elements if tag == "svg" and a.get("width") == "48"]
    assert slices == ["0 0 48 32", "48 0 48 32", "96 0 48 32", "144 0 48 32"]
    assert "rather than a cat, a horse" in page.text
    assert "not shown" in page.text
    assert "probability 20 %; likeliest other: a cat, 80 %" in page.text
    assert "not judged" in page.text  # the second expectation: no metric held the clip against it
    assert "Watch all 5 clips of this prompt side by side" in page.text
    plain = Page(report.folder / "clips" / f"{beach[2].sample.sample_id}.html")
    assert not [a for _, a in plain.elements if "data-at" in a]
    assert "What the prompt asks for" not in plain.text


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"file": "s.jpg", "times_s": [], "width": 4, "height": 4},
        {"file": "s.jpg", "times_s": [0.0, float("nan")], "width": 4, "height": 4},
        {"file": "s.jpg", "times_s": ["<script>"], "width": 4, "height": 4},
        {"file": "s.jpg", "times_s": [0.0], "width": "4", "height": 4},
        {"file": "s.jpg", "times_s": [0.0], "width": 0, "height": 4},
        {"file": 5, "times_s": [0.0] * 1000, "width": 4, "height": 4},
    ],
)
def test_facts_that_fit_no_picture_make_no_filmstrip(facts: dict[str, object]) -> None:
    assert strip_of(facts, MediaFile("media/s.jpg", "image")) is None
    assert (
        strip_of({"times_s": [0.0], "width": 4, "height": 4}, MediaFile(problem="the file is missing"))
        is None
    )


def test_expectations_without_a_verdict_are_not_judged(report: Written) -> None:
    beach = next(e for e in report.data.clips if e.sample.prompt_id == "beach")
    views = expectations_of(
        dataclasses.replace(beach, measurements={"m": Measurement(facts={"expectations": "odd"})})
    )
    assert [(v.wanted, v.state, v.rivals) for v in views] == [
        ("a <b>dog</b>", "not judged", ("a cat", "a horse")),
        ("walking", "not judged", ("running",)),
    ]


# -- in a browser ----------------------------------------------------------------------------------

PLAYERS = "[...document.querySelectorAll('.take video')]"
TIMES = f"{PLAYERS}.map(v => v.currentTime)"
SETTLED = f"{PLAYERS}.every(v => v.readyState >= 2 && !v.seeking)"
ROWS = "[...document.querySelectorAll('.heat tbody tr:not(.empty-row)')]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def _clean(browser: Browser) -> None:
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "about", "data"}


def _together(times: list[float]) -> bool:
    """Whether all players are within a frame; the second is half as long and holds its last frame."""
    long = [t for i, t in enumerate(times) if i != 1]
    held = min(long[0], 0.8)
    return max(long) - min(long) < 1 / FPS and abs(times[1] - held) < 1 / FPS


@browsers
def test_all_players_seek_and_step_together(browser: Browser, report: Written) -> None:
    browser.open(report.folder / "prompts" / "beach.html")
    assert browser.run(f"{PLAYERS}.every(v => v.muted && !v.controls)")
    start = float(browser.run("document.querySelector('.prompt-findings .seek').dataset.start"))
    browser.run("document.querySelector('.prompt-findings .seek').click()")
    browser.until(f"{SETTLED} && Math.abs({PLAYERS}[0].currentTime - {start + 0.001}) < 1e-3")
    assert _together(browser.run(TIMES))
    assert browser.run("document.querySelectorAll('.take.current').length") == 1
    browser.run("document.querySelector('[data-step=\"1\"]').click()")
    browser.until(f"{SETTLED} && Math.abs({PLAYERS}[0].currentTime - {start + 1.5 / FPS}) < 1e-3")
    assert _together(browser.run(TIMES))
    seek = "(() => {{ const s = document.querySelector('[data-seek]'); s.value = {}; "
    browser.run(f"{seek.format(1.2)} s.dispatchEvent(new Event('input', {{bubbles: true}})); }})()")
    browser.until(f"{SETTLED} && Math.abs({PLAYERS}[0].currentTime - 1.2) < 1e-3")
    times = browser.run(TIMES)
    assert times[1] == pytest.approx(0.75, abs=1e-3)  # the middle of the shorter clip's last frame
    assert [times[i] for i in (0, 2, 3, 4)] == pytest.approx([1.2] * 4, abs=1e-3)
    told = browser.run("document.querySelectorAll('.held')[1].textContent")
    assert told == "ended at 0.80 s, holds its last frame"
    assert browser.run("document.querySelector('.clock').textContent") == "1.20 of 1.60 s"
    browser.run(f"{seek.format(0.125)} s.dispatchEvent(new Event('input', {{bubbles: true}})); }})()")
    clock = browser.run("document.querySelector('.clock').textContent")
    assert (
        clock == f"{numbers.seconds(0.125).removesuffix(' s')} of 1.60 s"
    )  # a tie, as the page itself writes it
    _clean(browser)


@browsers
def test_all_players_run_together_loop_and_stop_on_one_frame(browser: Browser, report: Written) -> None:
    browser.open(report.folder / "prompts" / "beach.html")
    select = "document.querySelector('[data-speed]')"
    browser.run(f"{select}.value = '0.5'; {select}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    play = "document.querySelector('[data-action=play]')"
    browser.run(f"{play}.click()")
    # one of them is thrown out of step, and comes back to the others
    browser.until(f"{PLAYERS}.every(v => v.currentTime > 0.2)")
    browser.run(f"{PLAYERS}[2].currentTime = 1.5")
    browser.until(f"Math.abs({PLAYERS}[2].currentTime - {PLAYERS}[0].currentTime) < {0.5 / FPS}")
    assert browser.run(f"{play}.textContent") == "Pause all"
    browser.until(f"{PLAYERS}[0].currentTime > 1.3")
    assert browser.run(f"{PLAYERS}[1].currentTime") == pytest.approx(0.8, abs=1 / FPS)  # ended, holds
    browser.until(f"{PLAYERS}[0].currentTime < 0.6 && {PLAYERS}[1].currentTime < 0.6")  # all begin anew
    browser.until(f"{PLAYERS}.every(v => v.currentTime > 0.1)")
    browser.run(f"{play}.click()")
    browser.until(f"{SETTLED} && {PLAYERS}.every(v => v.paused) && {play}.textContent === 'Play all'")
    times = browser.run(TIMES)
    assert _together(times)
    assert max(times) - min(times) < 1e-3
    _clean(browser)


@browsers
def test_a_clip_that_cannot_be_played_holds_up_no_other(report: Written, tmp_path: Path) -> None:
    entry = next(e for e in report.data.clips if e.sample.prompt_id == "beach")
    (report.data.run_dir / "clips" / "broken.mp4").write_bytes(b"no video")
    pair = []
    for seed, file in enumerate(("clips/broken.mp4", entry.clip.playable)):
        sample = dataclasses.replace(entry.sample, sample_id=f"s{seed}", seed=seed)
        pair.append(
            ClipEntry(sample, dataclasses.replace(entry.clip, playable=file, strip={}), entry.measurements)
        )
    data = dataclasses.replace(report.data, clips=tuple(pair))
    write_html(data, tmp_path / "report")
    with Browser() as opened:
        opened.open(tmp_path / "report" / "prompts" / "beach.html")
        opened.run("document.querySelector('[data-action=play]').click()")
        opened.until(f"{PLAYERS}[1].currentTime > 0.1")
        assert "left out" in opened.run("document.querySelector('.held').textContent")


@browsers
def test_the_heat_map_switches_filters_sorts_and_opens(browser: Browser, report: Written) -> None:
    browser.resize(1440, 900)
    browser.open(report.folder / "prompts.html")
    cell = "c.textContent.trim().replace(/ +/g, ' ') + c.className + c.title"
    first = f"{ROWS}.map(r => [...r.cells].map(c => {cell}).join('|'))"
    with Browser(scripts=False) as plain:  # what the script draws is what the static page has
        plain.open(report.folder / "prompts.html")
        assert plain.run(first) == browser.run(first)
        assert plain.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
        assert plain.run("document.querySelectorAll('.heat th button').length") == 0
        plain.open(report.folder / "prompts" / "beach.html")
        assert plain.run("getComputedStyle(document.querySelector('.transport')).display") == "none"
        assert plain.run(f"{PLAYERS}.every(v => v.controls)")
        _clean(plain)
    assert browser.run(f"{ROWS}.length") == 4
    browser.run("document.querySelector('.heat th[data-sort=\"0\"] button').click()")
    column = f"{ROWS}.map(r => parseFloat(r.cells[2].textContent))"
    falling = browser.run(column)
    assert falling == sorted(falling, reverse=True)  # an error: the higher is the worse, and first
    assert browser.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    browser.run("document.querySelector('.heat th[data-sort=\"0\"] button').click()")
    assert browser.run(column) == falling[::-1]
    browser.run("document.querySelector('[data-action=worst]').click()")
    browser.run("document.querySelectorAll('.group-switch a')[1].click()")
    gone = f"{ROWS}.find(r => r.querySelector('.hx'))"
    assert browser.run(f"{gone}.querySelector('.found').textContent") == "not looked at"
    assert "no usable clip" in browser.run(f"{gone}.querySelector('.hx span').title")
    browser.run(
        "(() => { const f = document.querySelector('[data-filter=text]'); f.value = 'DOG beach'; "
        "f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run(f"{ROWS}.length") == 1
    assert browser.run("document.querySelector('.shown').textContent") == "1 of 4 prompts"
    browser.run(
        "document.addEventListener('click', (e) => { const a = e.target.closest('a'); "
        "if (a) { globalThis.opened = a.href; e.preventDefault(); } }, true)"
    )
    browser.run(f"{ROWS}[0].cells[3].click()")
    assert browser.run("globalThis.opened").endswith("/report/prompts/beach.html")
    _clean(browser)


@browsers
def test_a_click_in_the_filmstrip_seeks(browser: Browser, report: Written) -> None:
    beach = next(e for e in report.data.clips if e.sample.prompt_id == "beach")
    browser.open(report.folder / "clips" / f"{beach.sample.sample_id}.html")
    browser.run("document.querySelectorAll('.filmstrip a')[2].click()")
    browser.until("Math.abs(document.querySelector('video').currentTime - 1.001) < 1e-3")
    browser.until("document.querySelectorAll('.filmstrip a')[2].classList.contains('current')")
    _clean(browser)


@browsers
@pytest.mark.parametrize("width", [390, 740, 1130, 1440])
def test_pages_fit_their_window(browser: Browser, report: Written, width: int) -> None:
    browser.resize(width, 900)
    beach = next(e for e in report.data.clips if e.sample.prompt_id == "beach")
    for page in (
        report.folder / "prompts.html",
        report.folder / "prompts" / "beach.html",
        report.folder / "prompts" / "hostile.html",
        report.folder / "clips" / f"{beach.sample.sample_id}.html",
    ):
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= width, page
    _clean(browser)


@browsers
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_enough_contrast(report: Written, dark: bool) -> None:
    from tests.reports.test_in_browser import _CONTRAST

    beach = next(e for e in report.data.clips if e.sample.prompt_id == "beach")
    with Browser(dark=dark) as opened:
        for page in (
            report.folder / "prompts.html",
            report.folder / "prompts-2-1.html",
            report.folder / "prompts" / "beach.html",
            report.folder / "clips" / f"{beach.sample.sample_id}.html",
        ):
            opened.open(page)
            assert opened.run(_CONTRAST) == []
        # every shade, also those that this run does not have
        opened.open(report.folder / "prompts.html")
        opened.run(
            "(() => { const row = document.querySelector('.heat tbody tr'); "
            "for (const kind of 'hn') for (let i = 0; i < 7; i++) { "
            "const cell = row.insertCell(); cell.className = kind + i; cell.textContent = '0.5'; } })()"
        )
        assert opened.run(_CONTRAST) == []


def test_rows_of_the_clip_table_lead_to_the_prompt(report: Written) -> None:
    index = (report.folder / "index.html").read_text("utf-8")
    assert 'href="prompts/beach.html"' in index.partition('id="clip-table"')[2]
    data = (report.folder / "assets" / "clips-data.js").read_text("utf-8")
    assert "prompts/beach.html" in data
