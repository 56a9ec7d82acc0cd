from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.reports.conftest import Written
from tests.reports.synthetic import GROUPS, LONG_PROMPT, PROMPTS
from vgaudit.metrics.fvd_results import VALUES
from vgaudit.records import ClipRecord, GateResult, Measurement, Outcome, Result, Verdict
from vgaudit.reports.clip_index import columns
from vgaudit.reports.clip_table import DATA_FILE
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import visible
from vgaudit.reports.estimates import result_blocks
from vgaudit.reports.html import CONTENT_SECURITY_POLICY, write_html

VOID = {"meta", "link", "img", "input", "br", "hr", "source"}


class Page(HTMLParser):
    """A parsed page: elements, text, and tags left open."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.path = path
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{self.path}: </{tag}> closes nothing"
        assert self.open.pop() == tag, f"{self.path}: </{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(params=["run", "census"])
def report(request: pytest.FixtureRequest) -> Written:
    written: Written = request.getfixturevalue(f"{request.param}_report")
    return written


def test_every_page_is_well_formed_and_accessible(report: Written) -> None:
    assert len(report.pages) == 21
    for path in report.pages:
        page = Page(path)
        assert page.open == [], path
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("main")) == 1
        assert len(page.all("h1")) == 1
        assert len(page.all("caption")) == len(page.all("table"))
        assert all("alt" in image for image in page.all("img"))
        assert all(
            svg.get("aria-hidden") or svg.get("aria-label") for svg in page.all("svg") if "role" in svg
        )
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), (path, levels)
        ids = Counter(a["id"] for _, a in page.elements if "id" in a)
        assert not [i for i, n in ids.items() if n > 1]
        for _, attributes in page.elements:
            for reference in attributes.get("aria-labelledby", "").split():
                assert reference in ids


def test_nothing_is_inline_or_remote(report: Written) -> None:
    for path in report.pages:
        page = Page(path)
        policy = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert [m["content"] for m in policy] == [CONTENT_SECURITY_POLICY]
        assert page.all("style") == []
        assert all(script.get("src") for script in page.all("script"))
        assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
        for tag, attributes in page.elements:
            assert "style" not in attributes, tag
            assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
            for name in ("href", "src", "poster", "data-video", "srcset", "action"):
                if name in attributes:
                    parts = urlsplit(attributes[name])
                    assert (parts.scheme, parts.netloc) == ("", ""), attributes[name]
    for asset in (report.folder / "assets").iterdir():
        if asset.name == DATA_FILE:
            continue  # prompts, as data
        text = asset.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
        assert "@import" not in text
        assert "url(" not in text


def test_every_link_leads_to_a_file_or_place_of_the_report(report: Written) -> None:
    ids = {p: {a["id"] for _, a in Page(p).elements if "id" in a} for p in map(Path.resolve, report.pages)}
    for path in report.pages:
        for _, attributes in Page(path).elements:
            for name in ("href", "src", "poster", "data-video"):
                if name not in attributes:
                    continue
                parts = urlsplit(attributes[name])
                base = report.folder if name == "data-video" else path.parent
                target = (base / unquote(parts.path)).resolve() if parts.path else path.resolve()
                assert target.is_file(), attributes[name]
                assert target.is_relative_to(report.folder.resolve())
                if parts.fragment and not parts.fragment.startswith("t="):
                    assert parts.fragment in ids[target], attributes[name]


def test_hostile_text_is_shown_as_text(run_report: Written) -> None:
    index = Page(run_report.folder / "index.html")
    for group in GROUPS:
        assert group in index.text
    assert run_report.data.name in index.text
    shown = index.text + "".join(Page(p).text for p in run_report.pages[1:])
    for prompt in (*PROMPTS.values(), LONG_PROMPT):
        assert visible(prompt) in shown
    assert "␀␇␛[31m" in shown
    for path in run_report.pages:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", path.read_text("utf-8"))
    assert "</pre><script>alert(3)</script>" in index.text
    prompts = [*run_report.folder.glob("prompts*.html"), *(run_report.folder / "prompts").glob("*.html")]
    for path in prompts:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", path.read_text("utf-8"))
    shown = "".join(Page(path).text for path in prompts)
    for prompt in PROMPTS.values():
        assert visible(prompt) in shown


def test_the_verdict_comes_first_and_everything_is_said_in_words(run_report: Written) -> None:
    text = re.sub(r"\s+", " ", Page(run_report.folder / "index.html").text)
    order = [
        "2 of 9 gates failed",
        "What would change it",
        "Likeness was assessed",
        "the whole interval lies above",
    ]
    order += ["Results by group", "Worst findings", "Suite digest", "What these numbers cannot show"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    for words in (
        "0.0312 [0.0270, 0.0363]",
        "18 clips, 18 prompts",
        "lower is better",
        "higher is better",
        "no better direction",
        "weights i3d-kinetics400-styleganv are not here",
        "too few prompts for an interval",
        "now 0.0667 [0.0595, 0.0748], asked for <= 0.05",
        "more prompts narrow the interval (now 18 prompts)",
        "generation failed: CUDA out of memory",
        "the clip cannot be decoded: truncated: 3 of 16 frames",
        "no usable face in the clip",
        "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e with uncommitted changes",
        "not the probability that this is the person",
    ):
        assert words in text
    assert "None" not in text.replace("None of", "")
    assert "nan" not in text.split()


def test_findings_are_ordered_by_severity(run_report: Written) -> None:
    markup = (run_report.folder / "index.html").read_text("utf-8")
    cards = markup[markup.index('<ol class="cards">') : markup.index('<section id="clips"')]
    shown = re.findall(r'class="severity sev-(\w+)"', cards)
    assert shown == sorted(shown, key=["alert", "review", "major", "minor", "info"].index)
    assert len(shown) == sum(len(e.findings) for e in run_report.data.clips)


def test_a_clip_page_ties_findings_to_the_player(run_report: Written) -> None:
    entry = next(e for e in run_report.data.clips if any(f.box for f in e.findings))
    page = Page(run_report.folder / "clips" / f"{entry.sample.sample_id}.html")
    (video,) = page.all("video")
    assert video["preload"] == "none"
    assert video["poster"].endswith(".poster.jpg")
    assert "controls" in video
    links = [a for a in page.all("a") if a.get("class") == "seek"]
    assert len(links) == len(entry.findings)
    first = entry.findings[0]
    assert float(links[0]["data-start"]) == first.start_s
    assert links[0]["href"] == f"{video['src']}#t={first.start_s:.3f},{first.end_s:.3f}"
    assert first.box is not None
    assert [float(x) for x in links[0]["data-box"].split()] == list(first.box)
    spans = {rect["data-finding"] for rect in page.all("rect") if "data-finding" in rect}
    assert spans == {str(i) for i in range(len(entry.findings))}
    assert "Nothing to draw" in page.text
    assert first.message in page.text


def test_the_census_says_what_to_do_with_each_clip_and_gives_no_rates(census_report: Written) -> None:
    page = Page(census_report.folder / "index.html")
    text = re.sub(r"\s+", " ", page.text)
    counts = Counter(e.publish.decision for e in census_report.data.clips if e.publish)
    for word, n in counts.items():
        assert f"{n} {word}" in text
    assert "Hold 8 to publish, 5 to review, 7 on hold" in text
    assert "7 clips on hold: repair, replace or leave out." in text
    assert text.index("Answer per clip") < text.index("Worst findings")
    assert "Results by group" not in text
    assert "interval" not in text.replace("intervals", "")
    states = [row["data-state"] for row in page.all("tr") if "data-state" in row]
    assert states == sorted(states, key=["hold", "review", "publish"].index)


def test_media_are_the_run_s_own_files_and_stay_inside_the_report(run_report: Written) -> None:
    entry = run_report.data.clips[0]
    assert entry.clip.playable is not None
    copy = run_report.folder / "media" / f"{entry.sample.sample_id}.mp4"
    assert copy.samefile(run_report.data.run_dir / entry.clip.playable)
    assert not any(path.is_symlink() for path in run_report.folder.rglob("*"))


def test_writing_again_gives_the_same_bytes_and_drops_stale_pages(run_report: Written) -> None:
    before = {p: p.read_bytes() for p in run_report.folder.rglob("*") if p.is_file()}
    stale = [run_report.folder / "clips" / "gone.html", run_report.folder / "media" / "gone.mp4"]
    for path in stale:
        path.write_text("old")
    other = run_report.folder / "elsewhere.html"
    other.write_text("of another reporter")
    write_html(run_report.data, run_report.folder)
    assert other.read_text() == "of another reporter"
    other.unlink()
    assert {p: p.read_bytes() for p in run_report.folder.rglob("*") if p.is_file()} == before


def _with_clip(data: ReportData, **changes: object) -> ReportData:
    first = data.clips[0]
    clip: ClipRecord = dataclasses.replace(first.clip, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(data, clips=(dataclasses.replace(first, clip=clip),), gates=(), results=())


@pytest.mark.parametrize(
    ("playable", "reason"),
    [
        ("../secret.mp4", "outside of the run directory"),
        ("/etc/hostname.mp4", "the file is missing"),
        ("clips/link.mp4", "outside of the run directory"),
        ("clips/gone.mp4", "the file is missing"),
        ("clips/folder.mp4", "no regular file"),
        ("clips/clip.mkv", "browsers do not play .mkv"),
        ("clips/clip.html", "browsers do not play .html"),
        ("clips/a\x00b.mp4", "the file is missing"),
        (None, "none was stored"),
    ],
)
def test_media_paths_are_not_trusted(
    run_report: Written, tmp_path: Path, playable: str | None, reason: str
) -> None:
    run_dir = tmp_path / "run"
    (run_dir / "clips" / "folder.mp4").mkdir(parents=True)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (run_dir / "clips" / "link.mp4").symlink_to(secret)
    (run_dir / "clips" / "clip.mkv").write_bytes(b"x")
    (run_dir / "clips" / "clip.html").write_bytes(b"<script>")
    data = dataclasses.replace(
        _with_clip(run_report.data, playable=playable, poster=playable), run_dir=run_dir
    )
    index = write_html(data, run_dir / "report")
    page = Page(run_dir / "report" / "clips" / f"{data.clips[0].sample.sample_id}.html")
    assert reason in page.text
    assert page.all("video") == []
    assert list((index.parent / "media").iterdir()) == []


def test_unsafe_sample_ids_become_digests(run_report: Written, tmp_path: Path) -> None:
    ids = ["../../up", "a/b", "Case", "case", "", "x" * 300, "\ud800", "CON"]
    clips = tuple(
        ClipEntry(dataclasses.replace(run_report.data.clips[0].sample, sample_id=i), ClipRecord(i, "pending"))
        for i in ids
    )
    data = dataclasses.replace(run_report.data, clips=clips, run_dir=tmp_path)
    index = write_html(data, tmp_path / "report")
    names = sorted(p.name for p in (index.parent / "clips").iterdir())
    assert len(names) == len(ids)
    assert len({name.casefold() for name in names}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+\.html", name) for name in names)
    assert "not generated yet" in Page(index).text
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_copies_stand_in_where_hard_links_are_impossible(
    run_report: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    index = write_html(run_report.data, tmp_path / "report")
    entry = run_report.data.clips[0]
    copied = index.parent / "media" / f"{entry.sample.sample_id}.mp4"
    assert entry.clip.playable is not None
    original = run_report.data.run_dir / entry.clip.playable
    assert not copied.samefile(original)
    assert copied.read_bytes() == original.read_bytes()


def test_an_empty_run_without_manifest_has_a_report(tmp_path: Path) -> None:
    verdict = Verdict(Outcome.NOT_COMPUTED, 4, "there is no sample")
    index = write_html(ReportData(tmp_path, "run", "empty", {}, (), (), (), verdict), tmp_path / "report")
    text = Page(index).text
    assert "there is no sample" in text
    assert "not recorded" in text
    assert "The suite asks for no gates" in text


def test_slices_by_tag_stand_within_their_measure(run_report: Written, tmp_path: Path) -> None:
    results = tuple(
        Result(f"generation.refusal_rate{tag}", "m", rate, low=0.0, high=1.0, n=4, n_clusters=2)
        for tag, rate in (("", 0.25), ("@genre=<horror>", 0.5), ("@genre=drama", 0.0))
    )
    data = dataclasses.replace(run_report.data, results=results, gates=())
    text = Page(write_html(data, tmp_path / "report")).text
    assert text.count("Refusal rate") == 1
    assert "By tag (2 slices)" in text
    assert "genre=<horror>" in text


def test_results_that_are_equal_in_all_groups_are_listed_briefly(run_report: Written, tmp_path: Path) -> None:
    results = tuple(Result("integrity.ok_rate", g, 1.0, 0.8, 1.0, 0.95, n=18, n_clusters=18) for g in "ab")
    data = dataclasses.replace(run_report.data, results=results, gates=())
    text = re.sub(r"\s+", " ", Page(write_html(data, tmp_path / "report")).text)
    assert "The same in every group" in text
    assert "1.000 [0.800, 1.000]" in text
    assert "18 clips, 18 prompts in each group" in text


def test_what_nothing_was_computed_of_is_said_once(run_report: Written, tmp_path: Path) -> None:
    results = [Result.not_computed(f"fvd.{v}", g, "no <weights>") for v in "abc" for g in ("x", "y")]
    results += [
        Result.not_computed("temporal.warp_error", "x", "one"),
        Result.not_computed("temporal.warp_error", "y", "two"),
    ]
    gates = [GateResult(f"fvd.{v} <= 5", "x", Outcome.NOT_COMPUTED, "no <weights>") for v in "abc"]
    data = dataclasses.replace(run_report.data, results=tuple(results), gates=tuple(gates))
    page = Page(write_html(data, tmp_path / "report"))
    section = page.text[page.text.index("Results by group") : page.text.index("Worst findings")]
    assert section.count("no <weights>") == 1
    assert "fvd.a" in section
    assert "lower is better" in section
    assert "no better direction" not in section
    remedies = page.text[page.text.index("What would change it") : page.text.index("Exit code")]
    assert remedies.count("no <weights>") == 1
    assert "fvd.c <= 5 for x: need results, but they are not computed" in remedies


def test_failed_samples_beyond_those_allowed_would_change_the_verdict(
    run_report: Written, tmp_path: Path
) -> None:
    verdict = Verdict(Outcome.NOT_COMPUTED, 4, "2 samples failed, 1 allowed by max_failed")
    data = dataclasses.replace(run_report.data, gates=(), verdict=verdict)
    text = re.sub(r"\s+", " ", Page(write_html(data, tmp_path / "report")).text)
    first = run_report.data.clips[7].sample.sample_id
    assert f"2 samples without a usable clip, 1 allowed (first: {first}, " in text
    assert "make or repair them, or raise max_failed." in text
    assert "nothing here could fail" not in text


def test_clips_made_elsewhere_are_named_by_their_path(census_report: Written) -> None:
    index = Page(census_report.folder / "index.html").text
    for entry in census_report.data.clips:
        assert entry.sample.source
        assert entry.sample.source in index
        clip = Page(census_report.folder / "clips" / f"{entry.sample.sample_id}.html").text
        assert f"File: {entry.sample.source}" in clip
    assert "no clip: CUDA out of memory" in index
    assert "generation failed" not in index


def test_columns_prefer_what_metrics_measured_over_facts_of_integrity(run_report: Written) -> None:
    def shown(*black: float, temporal: bool = True) -> list[str]:
        clips = []
        for i, fraction in enumerate(black):
            facts = Measurement({"black_fraction": fraction, "frames": 16.0})
            measured = {"integrity": facts} | (
                {"temporal": Measurement({"motion": float(i)})} if temporal else {}
            )
            clips.append(dataclasses.replace(run_report.data.clips[0], measurements=measured))
        return [c.name for c in columns(dataclasses.replace(run_report.data, clips=tuple(clips), gates=()))]

    assert shown(0.0, 0.0) == ["temporal.motion"]
    assert shown(0.0, 0.5) == ["temporal.motion", "integrity.black_fraction"]
    assert shown(0.0, 0.0, temporal=False) == ["integrity.frames"]


def test_scripts_are_small() -> None:
    assets = Path(write_html.__globals__["__file__"]).parent / "assets"
    assert sum(p.stat().st_size for p in assets.glob("*.js")) < 100_000


def test_each_card_has_a_title_that_is_understood_alone(run_report: Written, tmp_path: Path) -> None:
    """Values' own titles head cards; the same value by two protocols is told apart by these."""
    first = next(r for r in run_report.data.results if r.name == "fvd.distance")
    own = {f"fvd.{spec.name}": dataclasses.asdict(spec) for spec in VALUES}
    results = [
        dataclasses.replace(first, name="fvd.coverage", detail={"protocol": "fvd@one"}),
        dataclasses.replace(first, detail={"protocol": "fvd@one"}),
        dataclasses.replace(first, group=GROUPS[1], detail={"protocol": "fvd@two"}),
        dataclasses.replace(first, name="likeness.coverage", detail={}),
        dataclasses.replace(first, name="other.coverage", detail={}),
    ]
    data = dataclasses.replace(run_report.data, results=tuple(results), gates=(), value_specs=own)
    blocks = {block.label: block.title for block in result_blocks(data)}
    assert blocks == {
        "fvd.coverage (fvd@one)": "Coverage (of the reference by generated clips)",
        "fvd.distance (fvd@one)": "Fr\u00e9chet video distance, fvd@one",
        "fvd.distance (fvd@two)": "Fr\u00e9chet video distance, fvd@two",
        "likeness.coverage": "Coverage, likeness.coverage",
        "other.coverage": "Coverage, other.coverage",
    }
    page = write_html(data, tmp_path / "report").read_text(encoding="utf-8")
    for title in blocks.values():
        assert re.search(rf'<h3 id="result-\d+">{re.escape(title)}</h3>', page), title
