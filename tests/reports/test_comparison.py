"""Groups compared with each other: what is computed of a run, what the overview says of it, and how it works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser
from tests.reports.conftest import Written
from tests.reports.synthetic import GROUPS
from tests.reports.synthetic_paired import SPECS, build_paired, plan_of
from tests.reports.test_html import Page
from vgaudit.paired import PairedDifference, adjusted, not_computed
from vgaudit.pipeline import comparing
from vgaudit.pipeline.comparing import compare_groups
from vgaudit.records import NOT_COMPUTED, ClipRecord, Result
from vgaudit.reports.comparison import NOT_SHOWN, comparison, p_text, words
from vgaudit.reports.data import ReportData
from vgaudit.reports.html import write_html


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("five")
    data = build_paired(folder, seeds=2)
    return Written(data, write_html(data, folder / "report").parent)


def of(data: ReportData, name: str, group: str, reference: str) -> PairedDifference:
    assert data.comparisons is not None
    found = [
        d
        for d in data.comparisons["differences"]
        if (d["name"], d["group"], d["reference"]) == (name, group, reference)
    ]
    assert len(found) == 1
    return PairedDifference.from_json(found[0])


def small(detail: dict[str, object] | None = None, prompts: int = 20) -> ReportData:
    return build_paired(Path("nowhere"), ("a", "b"), prompts, detail=detail)


# -- what is computed of a run ---------------------------------------------------------------------


def test_every_pair_of_every_value_of_clips_is_one_family(five: Written) -> None:
    stored = five.data.comparisons
    assert stored is not None
    per_clip = [n for n, s in SPECS.items() if s["per_clip"] and s["per_group"]]
    assert len(stored["differences"]) == 10 * len(per_clip)
    assert stored["not_paired"] == {"fvd.distance": "a value of the group as a whole, not of its clips"}
    made = [PairedDifference.from_json(d) for d in stored["differences"]]
    assert adjusted([replace(d, p_holm=None) for d in made]) == made
    assert stored["family"] == sum(d.p is not None and d.n_differing > 0 for d in made) == 40


def test_a_known_difference_is_found(five: Written) -> None:
    found = of(five.data, "temporal.warp_error", GROUPS[3], GROUPS[0])
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3 * 0.004 < found.high
    assert found.shown()
    assert (found.n_prompts, found.n_pairs, found.n_seed_paired) == (40, 80, 40)


def test_prompts_without_a_value_are_left_out_with_the_reason(five: Written) -> None:
    found = of(five.data, "vbench.temporal_flickering", GROUPS[1], GROUPS[0])
    assert (found.n_prompts, found.n_dropped) == (26, 14)
    assert found.dropped == {f"{GROUPS[0]} has no value: the flow broke": 14}


def test_what_has_no_result_has_no_difference(five: Written) -> None:
    found = of(five.data, "likeness.face_rate", GROUPS[1], GROUPS[0])
    assert (found.status, found.reason) == (NOT_COMPUTED, "both groups: no detector was found")


def test_a_result_that_is_no_mean_of_clips_is_not_compared() -> None:
    data = small()
    results = [
        replace(r, value=r.value + 0.01, low=None, high=None) if r.value and r.group == "a" else r
        for r in data.results
    ]
    made = compare_groups(
        plan_of(("a", "b"), 20, 1),
        {e.sample.sample_id: e.clip for e in data.clips},
        {m: {e.sample.sample_id: e.measurements[m] for e in data.clips} for m in ("temporal",)},
        results,
        {"temporal.warp_error": SPECS["temporal.warp_error"]},
        0.95,
    )
    assert [d["reason"] for d in made["differences"]] == [
        "a: the result is not the mean of its clips' values"
    ]


def test_samples_without_a_measurement_say_why() -> None:
    data = small()
    plan = plan_of(("a", "b"), 20, 1)
    records = {e.sample.sample_id: e.clip for e in data.clips}
    own = {e.sample.sample_id: e.measurements["temporal"] for e in data.clips}
    gone = [s for s in plan if s.group == "b"][:3]
    for sample, record in zip(
        gone,
        (ClipRecord("x", "error"), ClipRecord("x", "ok", media_error="cut off"), ClipRecord("x", "ok")),
        strict=True,
    ):
        records[sample.sample_id] = record
        del own[sample.sample_id]
    left = [m.values["motion"] for s, m in own.items() if s in {t.sample_id for t in plan if t.group == "b"}]
    results = [r for r in data.results if r.name == "temporal.motion" and r.group == "a"]
    results.append(Result("temporal.motion", "b", sum(left) / len(left), n=17, n_clusters=17))
    specs = {"temporal.motion": SPECS["temporal.motion"]}
    (found,) = compare_groups(plan, records, {"temporal": own}, results, specs, 0.95)["differences"]
    assert found["dropped"] == {
        "b has no value: not measured": 1,
        "b has no value: the clip cannot be decoded": 1,
        "b has no value: there is no clip (error)": 1,
    }


def test_many_groups_are_compared_with_the_first_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MAX_ALL_PAIRS", 2)
    data = build_paired(Path("nowhere"), ("a", "b", "c"), 10)
    shown = comparison(data)
    assert shown is not None
    assert shown.some
    assert shown.references == ((0, "a"),)
    assert [(p.first, p.second) for p in shown.pairs] == [("a", "b"), ("a", "c")]
    assert all(len(b.references) == 1 and len(b.references[0].rows) == 2 for b in shown.blocks)


def test_one_group_has_no_comparison() -> None:
    data = build_paired(Path("nowhere"), ("a",), 10)
    assert data.comparisons is not None
    assert data.comparisons["differences"] == []
    assert comparison(data) is None


# -- words -----------------------------------------------------------------------------------------

SHOWN = PairedDifference(0.012, 0.004, 0.02, 0.95, n_prompts=40, n_differing=40, p=0.001, p_holm=0.03)


def test_a_difference_in_words() -> None:
    assert words(SHOWN) == "higher by 0.0120 [0.0040,\u00a00.0200]"
    assert words(SHOWN.swapped()) == "lower by 0.0120 [0.0040,\u00a00.0200]"
    covers = replace(SHOWN, low=-0.004, p_holm=0.4)
    assert words(covers) == f"{NOT_SHOWN}: +0.0120 [-0.0040,\u00a00.0200]"
    assert words(replace(covers, p_holm=0.01)).startswith(f"{NOT_SHOWN}: ")
    assert (
        words(replace(SHOWN, p_holm=0.051)) == f"{NOT_SHOWN} after adjustment: +0.0120 [0.0040,\u00a00.0200]"
    )
    assert words(replace(SHOWN, low=None, high=None)) == f"{NOT_SHOWN}: +0.012, without an interval"
    assert words(replace(SHOWN, value=0.0, n_differing=0)) == f"{NOT_SHOWN}: no prompt differs"
    assert words(not_computed("why")) == "not computed"


def test_a_p_is_never_zero() -> None:
    assert [p_text(p).replace("\u00a0", " ") for p in (1e-30, 0.0001, 0.0312, 0.5, 0.999, 1.0)] == [
        "p < 0.0001", "p = 0.0001", "p = 0.031", "p = 0.5", "p = 1", "p = 1",
    ]  # fmt: skip


def test_the_short_answer_names_the_better_side(five: Written) -> None:
    shown = comparison(five.data)
    assert shown is not None
    assert len(shown.pairs) == 10
    last = next(p for p in shown.pairs if (p.first, p.second) == (GROUPS[0], GROUPS[4]))
    assert {title for _, title in last.first_better} == {"Warp error", "CLIP score"}
    assert last.second_better == ()
    first = next(p for p in shown.pairs if (p.first, p.second) == (GROUPS[0], GROUPS[1]))
    assert [title for _, title in first.second_better] == ["CLIP score"]
    assert [(title, side) for _, title, side in first.differs] == [("Motion", "lower")]
    assert (first.undecided, first.not_computed) == (2, 1)
    keys = {b.key for b in shown.blocks}
    assert all(
        key in keys for p in shown.pairs for key, *_ in (*p.first_better, *p.second_better, *p.differs)
    )


def test_each_reference_shows_the_same_differences_turned_round(five: Written) -> None:
    shown = comparison(five.data)
    assert shown is not None
    block = next(b for b in shown.blocks if b.name == "temporal.warp_error")
    assert [t.reference for t in block.references] == list(GROUPS)
    rows = {(r.group, r.reference): r for t in block.references for r in t.rows}
    assert len(rows) == 20
    for (group, reference), found in rows.items():
        other = rows[reference, group]
        assert {found.side, other.side} in ({"better", "worse"}, {""})
        assert found.words.replace("higher", "lower") == other.words.replace("higher", "lower")
    assert (block.left, block.right) == ("better", "worse")
    assert [b.name for b in shown.blocks][-1] == "temporal.motion"  # what has no better side comes last
    assert shown.blocks[-1].left == "lower"


def test_a_doubtful_value_names_no_better_side() -> None:
    clean, doubted = small(), small({"out_of_domain": "judged by a network that knows only its own world"})
    for data, expected in ((clean, ""), (doubted, "judged by a network that knows only its own world")):
        shown = comparison(data)
        assert shown is not None
        block = next(b for b in shown.blocks if b.name.startswith("vbench"))
        assert block.doubt == expected
        assert block.left == ("lower" if expected else "worse")


@pytest.mark.parametrize("key", ["uncalibrated", "insufficient", "out_of_domain"])
def test_whatever_gates_refuse_is_doubted(key: str) -> None:
    data = small({key: True})
    assert data.comparisons is not None
    for d in data.comparisons["differences"]:
        assert bool(d["doubt"]) == d["name"].startswith("vbench")


def test_what_is_not_drawn_says_why(five: Written) -> None:
    shown = comparison(five.data)
    assert shown is not None
    assert [name for _, name in shown.same] == ["temporal.freeze_fraction"]
    assert [(name, why) for _, name, why in shown.missing] == [
        ("likeness.face_rate", "both groups: no detector was found")
    ]
    assert [name for _, name, _ in shown.not_paired] == ["fvd.distance"]


# -- the page --------------------------------------------------------------------------------------


def test_the_page_is_complete_without_scripts(five: Written) -> None:
    page = Page(five.folder / "index.html")
    assert page.open == []
    text = re.sub(r"\s+", " ", page.text)
    assert text.count("All pairs (10)") == 4
    assert "Not paired: a value of the group as a whole" in text
    assert "equal to" not in text
    sections = [a for tag, a in page.elements if tag == "section" and a.get("id") == "comparison"]
    assert len(sections) == 1
    against = [a for _, a in page.elements if "against" in a.get("class", "").split()]
    assert len(against) == 20
    assert [("hidden" in a) for a in against] == [a["data-reference"] != "0" for a in against]
    assert len(page.all("caption")) == len(page.all("table"))
    assert "<img src=x" not in (five.folder / "index.html").read_text("utf-8")


def test_a_run_of_an_earlier_version_says_so(run_report: Written) -> None:
    assert run_report.data.comparisons is None
    text = (run_report.folder / "index.html").read_text("utf-8")
    assert "scored by a version of vgaudit that did not compare groups" in text


def test_a_census_and_one_group_have_no_section(census_report: Written, tmp_path: Path) -> None:
    alone = write_html(build_paired(tmp_path, ("a",), 8), tmp_path / "report")
    for page in (census_report.folder / "index.html", alone):
        assert "comparison" not in page.read_text("utf-8")


def test_the_section_stays_small(tmp_path: Path) -> None:
    """Five groups, two dozen values: the budget of the page is 3 MB before media."""
    data = build_paired(tmp_path, prompts=10)
    assert data.comparisons is not None
    specs, differences = dict(data.value_specs), []
    for i in range(24):
        name = f"metric.value{i}"
        specs[name] = SPECS["temporal.warp_error"]
        differences += [
            {**d, "name": name} for d in data.comparisons["differences"] if d["name"] == "temporal.warp_error"
        ]
    wide = replace(data, value_specs=specs, comparisons={**data.comparisons, "differences": differences})
    page = write_html(wide, tmp_path / "report").read_text("utf-8")
    section = page[page.index('id="comparison"') : page.index('id="findings"')]
    assert section.count('class="block compared"') == 24
    assert len(section) < 1_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with Browser() as opened:
        yield opened


def test_a_reference_can_be_chosen(browser: Browser, five: Written) -> None:
    browser.resize(1280, 900)
    browser.open(five.folder / "index.html")
    visible = (
        "[...document.querySelectorAll('.against')].filter(e => e.offsetParent).map(e => e.dataset.reference)"
    )
    assert browser.run(visible) == ["0"] * 4
    assert browser.run("getComputedStyle(document.querySelector('.reference-choice')).display") == "flex"
    browser.run(
        "(() => { const s = document.getElementById('reference-group'); s.value = '4'; "
        "s.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    assert browser.run(visible) == ["4"] * 4
    assert browser.run("document.getElementById('reference-status').textContent").endswith(f"{GROUPS[4]}.")
    assert browser.run("document.querySelector('.against:not([hidden]) .from bdi').textContent") == GROUPS[4]
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "about", "data"}


@pytest.mark.parametrize("width", [390, 740, 1440])
def test_the_section_fits_its_window(browser: Browser, five: Written, width: int) -> None:
    browser.resize(width, 900)
    browser.open(five.folder / "index.html")
    browser.run("document.querySelectorAll('#comparison details').forEach(e => { e.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    beyond = (
        "[...document.querySelectorAll('#comparison .short-answer, #comparison .block')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth - 14).length"
    )
    assert browser.run(beyond) == 0


def test_measurements_are_what_they_were(five: Written) -> None:
    """The builder's own numbers: the difference is that of the clips' values."""
    rows = {
        g: {
            (e.sample.prompt_id, e.sample.seed): e.measurements["temporal"].values["motion"]
            for e in five.data.clips
            if e.sample.group == g
        }
        for g in GROUPS[:2]
    }
    by_hand = sum(rows[GROUPS[1]][k] - rows[GROUPS[0]][k] for k in rows[GROUPS[0]]) / 80
    found = of(five.data, "temporal.motion", GROUPS[1], GROUPS[0])
    assert found.value == pytest.approx(by_hand)
