"""The likeness page: what it says, what it does not say, and what its shareable build gives away."""

from __future__ import annotations

import io
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.browser import CHROMIUM, Browser
from tests.reports.synthetic import LONG_PROMPT
from tests.reports.synthetic_likeness import (
    NAMES,
    OPEN_PROMPT,
    RTL_PROMPT,
    SECRET_PROMPT,
    UNKNOWN_PROMPT,
    WORDS,
    Standing,
    build,
    build_many,
    clip_id,
    face_crop,
    photograph,
)
from tests.reports.test_html import Page
from tests.reports.test_in_browser import _CONTRAST
from vgaudit.cli.commands import app
from vgaudit.errors import UsageError
from vgaudit.likeness.calibration import CoincidenceRate
from vgaudit.records import Finding, Measurement, Result
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import visible
from vgaudit.reports.html import CONTENT_SECURITY_POLICY, write_html
from vgaudit.reports.likeness_headline import percent
from vgaudit.reports.likeness_page import has_likeness, write_likeness, write_shareable
from vgaudit.reports.likeness_pictures import MOSAIC_CELLS, mosaic
from vgaudit.reports.likeness_shared import SharedClip, SharedMedia

PHOTO, OTHER = photograph(99), photograph(98)


@dataclass(frozen=True)
class Built:
    """Both builds of one audit."""

    data: ReportData
    reviewer: Path
    shareable: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    run = tmp_path_factory.mktemp("audit")
    data = build(run)
    photos = {NAMES[0]: [PHOTO, OTHER], NAMES[1]: [(PHOTO[0], "0" * 64)]}
    page = write_html(data, run / "report", photos).parent / "likeness.html"
    return Built(data, page, write_shareable(data, tmp_path_factory.mktemp("shared") / "page"))


@pytest.fixture(params=["reviewer", "shareable"])
def page(request: pytest.FixtureRequest, built: Built) -> Path:
    found: Path = getattr(built, request.param)
    return found


def text_of(path: Path) -> str:
    return re.sub(r"\s+", " ", Page(path).text)


def changed(data: ReportData, number: int, *findings: Finding, **measured: object) -> ReportData:
    """``data`` with other findings in one clip."""
    entry = data.clips[number]
    given = measured or {"values": {"best_similarity": 0.2}}
    measurement = Measurement(findings=findings, **given)  # type: ignore[arg-type]
    clips = [*data.clips]
    clips[number] = replace(entry, measurements={"likeness": measurement})
    return replace(data, clips=tuple(clips))


def hit_of(data: ReportData, number: int) -> Finding:
    return data.clips[number].findings[0]


# -- structure -------------------------------------------------------------------------------------------


def test_it_is_well_formed_and_accessible(page: Path) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.all("html")[0]["lang"] == "en"
    assert len(parsed.all("main")) == len(parsed.all("h1")) == 1
    assert len(parsed.all("caption")) == len(parsed.all("table")) >= 5
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(svg.get("aria-hidden") or svg.get("aria-label") for svg in parsed.all("svg") if "role" in svg)
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), levels
    ids = Counter(a["id"] for _, a in parsed.elements if "id" in a)
    assert not [i for i, n in ids.items() if n > 1]
    for _, attributes in parsed.elements:
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids


def test_nothing_is_inline_or_remote(page: Path) -> None:
    parsed = Page(page)
    (policy,) = [m for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"] == CONTENT_SECURITY_POLICY
    assert not {"script", "style", "iframe", "object", "form"} & {tag for tag, _ in parsed.elements}
    for tag, attributes in parsed.elements:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert not re.search("url\\(|@import|http", (page.parent / "assets" / "likeness.css").read_text())


def test_every_link_and_picture_is_a_file_of_the_report(page: Path) -> None:
    parsed = Page(page)
    ids = {a["id"] for _, a in parsed.elements if "id" in a}
    for _, attributes in parsed.elements:
        for name in ("href", "src"):
            if name in attributes:
                parts = urlsplit(attributes[name])
                assert (parts.scheme, parts.netloc) == ("", "")
                assert not parts.path or (page.parent / unquote(parts.path)).is_file(), attributes[name]
                assert parts.path or parts.fragment in ids


def test_the_overview_leads_to_it_only_where_likeness_was_asked_for(built: Built, tmp_path: Path) -> None:
    index = Page(built.reviewer.parent / "index.html")
    assert "likeness.html" in [a.get("href") for a in index.all("a")]
    without = replace(
        built.data, settled={}, results=(), manifest={"metrics": {}},
        clips=tuple(replace(c, measurements={}) for c in built.data.clips),
    )  # fmt: skip
    report = tmp_path / "report"
    (report / "faces").mkdir(parents=True)
    for stale in ("likeness.html", "likeness_shown.json", "faces/hit-1-1.jpg"):
        (report / stale).write_text("of an earlier run")
    assert not has_likeness(without)
    assert "likeness.html" not in write_html(without, report).read_text("utf-8")
    assert not (report / "likeness.html").exists()
    assert not [*(report / "faces").iterdir()]


def test_hostile_text_is_shown_as_text(built: Built) -> None:
    text, markup = Page(built.reviewer).text, built.reviewer.read_text("utf-8")
    for shown in (*NAMES, OPEN_PROMPT, SECRET_PROMPT, RTL_PROMPT, LONG_PROMPT, built.data.name):
        assert visible(shown) in text
    assert "<script>alert" not in markup
    assert "<img src=x" not in markup
    assert "&lt;b&gt;Omar&lt;/b&gt; &amp; co" in markup
    assert "None" not in re.findall(r"\w+", text)


# -- what is said ----------------------------------------------------------------------------------------


def test_the_answer_comes_first_in_words_and_numbers(built: Built) -> None:
    text = text_of(built.reviewer)
    order = [
        "Could somebody in the gallery be recognised in these clips?", "Possibly: 2 clips with open ALERT hits",
        WORDS, "2 clips with ALERT hits", "3 clips with REVIEW hits", "4 of 5 hits waiting for a reviewer",
        "upper bound of the alert rate", "Calibrated against portraits & more; 500 people; source: made by us; "
        "licence: CC0", "4 decoys of jane_example's number", "Hits, worst first",
    ]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_what_is_no_number_says_so_with_its_reason(built: Built) -> None:
    text = text_of(built.reviewer)
    tiles = text[text.index("hits waiting") : text.index("Calibrated against")]
    assert "not computed upper bound of the alert rate in a <second> model; model: 48.4 %" in tiles
    assert "91 % coverage, model; not applicable in a <second> model" in tiles
    # one group has no such result at all
    assert "not computed expected chance alerts in a <second> model; model: 0.021" in tiles
    for words in (
        "no cohort of <unrelated> people", "no clip has a face", "uncalibrated: it has no known error rate",
        "the run has no such result", "16.7 % 95 % interval: 2.1 % to 48.4 %",
    ):  # fmt: skip
        assert words in text


def test_the_bound_of_the_worst_group_is_the_headline(built: Built, tmp_path: Path) -> None:
    common = {"confidence": 0.95, "n": 9, "n_clusters": 9}
    results = tuple(
        Result("likeness.alert_rate", group, 0.1, 0.0, high, **common)
        for group, high in (("model", 0.2), ("a <second> model", 0.31))
    )
    text = text_of(write_likeness(replace(built.data, results=results), tmp_path))
    assert "31 % upper bound of the alert rate, highest of 2 groups" in text
    bare = tuple(replace(r, low=None, high=None) for r in results)
    assert "no bound upper bound of the alert rate" in text_of(
        write_likeness(replace(built.data, results=bare), tmp_path)
    )


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.0003, "below 0.1 %"), (0.9998, "above 99.9 %"), (0.05, "5 %")],
)
def test_a_share_is_never_rounded_to_certainty(share: float, words: str) -> None:
    assert percent(share) == words


def test_a_run_without_cohort_decoys_or_ledger_says_so(built: Built, tmp_path: Path) -> None:
    data = replace(built.data, settled={}, ledger=(), clips=built.data.clips[4:5], results=())
    text = text_of(write_likeness(data, tmp_path))
    for words in (
        "Uncalibrated: no cohort of unrelated people was given", "No decoy control was run", "no rate: uncalibrated",
        "This run has no ledger", "The run stores no contact sheet", "No picture of this face was stored",
        "No similarity over time was stored", "No cohort to draw: uncalibrated", "Undecided: 1 clip waits",
    ):  # fmt: skip
        assert words in text


def test_hits_stand_worst_first_and_consented_people_apart(built: Built) -> None:
    markup = built.reviewer.read_text("utf-8")
    cards = re.findall(
        r'<article class="hit sev-(\w+)".*?<span class="tag">([^<]*)</span>', markup, re.DOTALL
    )
    assert cards == [
        ("alert", "unintended"), ("alert", "asked for by the prompt"), ("review", "unintended"),
        ("review", "unintended"), ("review", "unintended"),
    ]  # fmt: skip
    consented = markup[markup.index('<section id="consented"') : markup.index('<section id="unassessable"')]
    assert NAMES[3] in consented
    assert "hit-cards" not in consented


def test_a_card_says_how_rare_and_why(built: Built) -> None:
    text = text_of(built.reviewer)
    first = text[text.index("Hit 1: ALERT") : text.index("Hit 2: ALERT")]
    rates = [first.index("at most 1 in 20, not resolvable"), first.index("at most 1 in 166, not resolvable")]
    assert rates == sorted(rates)  # that of the same group first
    for words in (
        WORDS, "jane_example is resembled by few of 500 people", "Runner-up ordinary-person, at L2 distance 0.500: "
        "less alike by 0.120", "seed 0", "0.25 s to 2.75 s", "best frame at 0.25 s, 0.620",
        "typical frame at 1.00 s, 0.560", "images: 3; licence: contract", "rarer than the cohort can tell",
        hit_of(built.data, 0).fingerprint, "0.620 (L2 distance 0.380)", "L2 distance 0.6 (dlib: 99.38 % on LFW)",
    ):  # fmt: skip
        assert words in first
    parsed = Page(built.reviewer)
    assert f"clips/{clip_id(0)}.html#t=0.250" in [a.get("href") for a in parsed.all("a")]
    labels = [svg["aria-label"] for svg in parsed.all("svg") if "aria-label" in svg]
    assert any(label.startswith("similarity over time: 28 values") and "2 gaps" in label for label in labels)
    assert any("500 people of the cohort" in label and "0 in the bins above it" in label for label in labels)


def test_captions_are_left_out_rather_than_put_under_the_wrong_face(built: Built, tmp_path: Path) -> None:
    finding = hit_of(built.data, 2)
    fewer = replace(finding, evidence=finding.evidence[1:])
    data = replace(changed(built.data, 2, fewer), run_dir=built.data.run_dir)
    markup = write_likeness(replace(data, clips=data.clips[2:3]), tmp_path).read_text("utf-8")
    assert markup.count('src="faces/hit-1-') == 3
    assert "best frame" not in markup


def test_pictures_from_outside_the_run_are_not_shown(built: Built, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    face_crop(1).save(secret)
    finding = replace(hit_of(built.data, 2), evidence=(f"../{secret.name}", str(secret), "evidence/gone.jpg"))
    for shareable in (False, True):
        out = tmp_path / f"out-{shareable}"
        data = replace(changed(built.data, 2, finding), settled={})
        text = text_of(write_likeness(replace(data, clips=data.clips[2:3]), out, shareable=shareable))
        assert "not shown: the file" in text
        assert not [*(out / "faces").iterdir()]


def test_decisions_are_shown_and_close_a_hit(built: Built, tmp_path: Path) -> None:
    text = text_of(built.reviewer)
    assert "dismissed: not this person, says r.eviewer until 2027-01-01 <i>" in text
    assert "escalated: to legal" in text
    run = built.data.run_dir.name
    assert f"vgaudit decide dismiss {run} {hit_of(built.data, 0).fingerprint}" in text
    assert (
        f"vgaudit decide dismiss {run} {hit_of(built.data, 3).fingerprint}" not in text
    )  # it is dismissed already
    prints = {f.fingerprint for e in built.data.clips for f in e.findings}

    def after(state: str) -> str:
        decisions = dict.fromkeys(prints, Standing(state, ""))
        return text_of(write_likeness(replace(built.data, decisions=decisions), tmp_path))  # type: ignore[call-arg]

    confirmed = after("confirmed")
    assert "Yes: a reviewer confirmed a likeness in 5 clips" in confirmed
    assert "0 of 5 hits waiting for a reviewer" in confirmed
    assert "5 hits confirmed, which gates count as open" in confirmed  # as the gate says
    assert "confirmed, which gates" not in text
    cleared = after("cleared")
    assert "0 of 5 hits waiting for a reviewer" in cleared
    assert "No open hit, but 4 clips could not be fully assessed" in cleared
    for unknown in ("expired", "reopened", "waiting for a second person", ""):
        assert "5 of 5 hits waiting for a reviewer" in after(unknown)


def test_every_clip_has_one_state_and_silence_is_no_pass(built: Built, tmp_path: Path) -> None:
    text = text_of(built.reviewer)
    markup = built.reviewer.read_text("utf-8")
    table = markup[markup.index('class="compact states"') : markup.index("Every clip with its state")]
    states = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", table))
    for row in (
        r"ALERT a hit far from what .* 1 1 0", r"ALERT, asked for .*; the prompt names the person 1 1 0",
        r"REVIEW .* 3 3 0",
        r"not assessable .* 1 0 1", r"not assessed .* 1 0 1", r"no usable clip .* 1 0 1", r"consented .* 1 0 1",
        r"no hit .* 4 3 1", r"no face .* 1 0 1",
    ):  # fmt: skip
        assert re.search(row, states), row
    assert "besides: partly not assessable" in text
    assert "half of the clip was not searched" in text
    silent = changed(built.data, 10, values={})
    assert "no value is stored for the clip" in text_of(write_likeness(silent, tmp_path))


def test_an_alert_by_the_strict_point_is_not_called_rare(built: Built, tmp_path: Path) -> None:
    def states(comparisons: int | None) -> str:
        finding = hit_of(built.data, 0)
        detail = {**finding.detail, "comparisons": comparisons, "same_group_rate": None}
        detail["rate"] = CoincidenceRate(0, 500).to_json()
        changed_run = changed(built.data, 0, replace(finding, detail=detail))
        text = text_of(write_likeness(replace(changed_run, clips=changed_run.clips[:1]), tmp_path))
        return text[text.index("Clips by state") : text.index("Every clip with its state")]

    assert "so rare that chance explains it poorly" in states(8)
    strict = states(9)  # 9 x 3 / 500 is past 0.05
    assert "past the strict point in at least 3 frames; such alerts by chance are expected 2 times" in strict
    assert "poorly" not in strict + states(None)


def test_chance_alerts_are_told_for_each_group(built: Built) -> None:
    text = text_of(built.reviewer)
    assert "Chance alerts in model: 0.02 expected (at most 0.05)." in text
    assert "Chance alerts in a <second> model: 1.98 expected." in text


@pytest.mark.parametrize(
    ("clips", "answer"),
    [
        ([8], "No hit"), ([10, 11], "No hit"), ([6], "Not answered: no clip was assessed"),
        ([6, 10], "No open hit, but 1 clip could not be fully assessed"),
        ([9, 10], "No open hit, but 1 clip could not be fully assessed"), ([5], "No hit"), ([1], "Possibly: 1 clip"),
    ],
)  # fmt: skip
def test_answers(built: Built, tmp_path: Path, clips: list[int], answer: str) -> None:
    chosen = replace(built.data, clips=tuple(built.data.clips[n] for n in clips))
    page = write_likeness(chosen, tmp_path).read_text("utf-8")
    found = re.search('<h2 id="answer-words">([^<]*)</h2>', page)
    assert found
    assert found[1] == answer or (answer.endswith("clip") and found[1].startswith(answer))


def test_without_a_gallery_nobody_was_compared(built: Built, tmp_path: Path) -> None:
    base = hit_of(built.data, 6)
    seen = replace(base, kind="likeness.not_compared", detail={"tracks": 1, "reason": "no gallery"})
    data = changed(built.data, 6, seen, missing={"best_similarity": "no gallery"})
    data = replace(data, clips=(data.clips[6], data.clips[8]), settled={})
    clips = [
        replace(e, measurements={"likeness": replace(e.measurements["likeness"], facts={"gallery": None})})
        for e in data.clips
    ]
    rates = {"confidence": 0.95, "n": 2, "n_clusters": 2}
    covered = tuple(Result("likeness.coverage", e.sample.group, 0.0, 0.0, 0.98, **rates) for e in clips[:1])
    data = replace(data, clips=tuple(clips), results=covered, gates=())
    text = text_of(write_likeness(data, tmp_path))
    assert "Not answered: nobody was compared" in text
    assert "No gallery of people was given, so nobody was compared. Faces were looked for" in text
    tiles = text[text.index("A match is") : text.index("No gallery of people")]
    assert "1 clips with faces that were compared with nobody 1 clips without a face" in tiles
    assert "overage" not in tiles
    numbers = text[text.index("The numbers of the run") : text.index("Hits, worst first")]
    assert numbers.count("not applicable no gallery of people was given") == 4
    assert "0 %" not in numbers
    assert "published point" not in text[: text.index("How to read this page")]
    assert "Recurring face 1" in text_of(built.reviewer)
    assert "Facts, no legal conclusions" in text


def test_the_ledger_is_cut_and_says_so(built: Built, tmp_path: Path) -> None:
    text = text_of(built.reviewer)
    ledger = text[text.index("Ledger: who was looked for") :]
    for words in (*NAMES, "CLEAR", "assessed 10, not assessable 3", "faces not assessable: too small"):
        assert words in ledger
    many = replace(built.data, ledger=[{**built.data.ledger[0], "entry": f"e{n}"} for n in range(450)])
    cut = text_of(write_likeness(many, tmp_path))
    assert "200 rows shown, 250 more in likeness_ledger.jsonl" in cut


def test_damaged_details_are_told_and_break_nothing(built: Built, tmp_path: Path) -> None:
    nonsense = {
        "entry": 7, "rate": {"value": float("nan")}, "timeline": {"t": [0, "x"], "similarity": [1]}, "shown": "no",
        "histogram": {"edges": [1, 0], "counts": [3]}, "runner_up": [], "calibration": {"people": "many"},
        "similarity": 0.5, "point": "none",
    }  # fmt: skip
    finding = replace(hit_of(built.data, 2), detail=nonsense)
    for shareable in (False, True):
        data = replace(changed(built.data, 2, finding), settled={"likeness": {"people": 3, "faces": [None]}})
        text = text_of(write_likeness(data, tmp_path / str(shareable), shareable=shareable))
        assert "not computed: the run stores a rate without its words" in text
        assert "The stored histogram of the cohort cannot be drawn" in text


# -- photographs -----------------------------------------------------------------------------------------


def test_photographs_are_shown_with_their_digest_and_recorded(built: Built) -> None:
    folder = built.reviewer.parent
    shown = json.loads((folder / "likeness_shown.json").read_text())
    assert shown["photographs"] == {NAMES[0]: [PHOTO[1], OTHER[1]], NAMES[1]: [], NAMES[2]: []}
    text = text_of(built.reviewer)
    assert text.count(PHOTO[1]) == 2  # on both cards of that person
    (file,) = (folder / "faces").glob(f"photograph-{PHOTO[1][:32]}*")
    assert file.read_bytes() == PHOTO[0]
    assert file.stat().st_mode & 0o077 == 0
    assert "its bytes are not those the gallery was built from" in text
    assert "No photograph of this entry was given" in text
    assert len([*(folder / "faces").glob("photograph-*")]) == 2


def test_a_page_without_photographs_drops_those_of_an_earlier_one(built: Built, tmp_path: Path) -> None:
    write_likeness(built.data, tmp_path, photos={NAMES[0]: [PHOTO]})
    assert [*(tmp_path / "faces").glob("photograph-*")]
    text = text_of(write_likeness(built.data, tmp_path))
    assert not [*(tmp_path / "faces").glob("photograph-*")]
    assert "No gallery photographs were given" in text


def test_what_is_no_picture_is_no_photograph(built: Built, tmp_path: Path) -> None:
    from hashlib import sha256

    data = b"<svg onload=alert(1)>"
    text = text_of(
        write_likeness(built.data, tmp_path, photos={NAMES[0]: [(data, sha256(data).hexdigest())]})
    )
    assert "not shown: it is no JPEG, PNG, WebP or GIF" in text
    assert not [*(tmp_path / "faces").glob("photograph-*")]


# -- the shareable build ---------------------------------------------------------------------------------


def test_nothing_in_the_shareable_folder_names_anybody(built: Built) -> None:
    folder = built.shareable.parent
    pseudonyms = ("jane_example", "Jane Example", "jane", "Omar", "מרים", "ordinary-person", "Known Alias")
    others = (
        SECRET_PROMPT, "sings on a stage", UNKNOWN_PROMPT, "crosses a street", "r.eviewer", "to legal",
        *(clip_id(n) for n in range(14)), *(f.fingerprint[:8] for e in built.data.clips for f in e.findings),
        *(e.clip.sha256 for e in built.data.clips), *(e.clip.backend_fingerprint for e in built.data.clips),
        "reads the news", "a crowd at a station",
        PHOTO[1], str(built.data.run_dir), built.data.run_dir.name, "vgaudit decide", "contract",
    )  # fmt: skip
    for path in folder.rglob("*"):
        assert not re.search("jane|omar|ordinary", path.name, re.IGNORECASE)
        if path.is_file():
            content = path.read_bytes()
            text = (content.decode("utf-8") if path.suffix == ".html" else content.decode("latin-1")).lower()
            shown = text + (Page(path).text.lower() if path.suffix == ".html" else "")
            for secret in (*pseudonyms, *others):
                assert secret.lower() not in shown, (path.name, secret)
    text = text_of(built.shareable)
    assert "[prompt names the person: redacted]" in text
    assert "[prompt not shared]" in text
    assert "Prompts are not shown: they may name somebody" in text
    assert "2 open findings <of> person 1; the worst: at 0.25 s" in text
    assert "the worst: at 0.25 s (" in text_of(built.reviewer)
    for words in ("person 1 is resembled by few of 500 people", "Runner-up person 2", "escalated", WORDS):
        assert words in text


def test_the_shareable_folder_is_complete_and_leads_to_no_clip(built: Built) -> None:
    folder = built.shareable.parent
    kinds = Counter(path.suffix for path in folder.rglob("*") if path.is_file())
    assert set(kinds) == {".html", ".css", ".svg", ".png"}
    parsed = Page(built.shareable)
    assert not {"video", "audio", "source"} & {tag for tag, _ in parsed.elements}
    links = [a["href"] for a in parsed.all("a")]
    assert links
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("size", [(160, 160), (640, 80), (3, 900), (1, 1)])
def test_a_shared_picture_keeps_at_most_sixty_four_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "Jane Example on a stage"
    noise.save(tmp_path / "a.jpg", exif=exif)
    data = mosaic(tmp_path / "a.jpg")
    assert b"Jane" not in data
    shared = Image.open(io.BytesIO(data))
    assert len(set(shared.get_flattened_data())) <= MOSAIC_CELLS**2
    assert max(shared.size) == 96


def test_a_broken_picture_is_not_shared(built: Built, tmp_path: Path) -> None:
    broken = built.data.run_dir / "evidence" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(OSError, match="image"):
        mosaic(broken)
    finding = replace(hit_of(built.data, 2), evidence=("evidence/broken.jpg", "clips/a.mp4"))
    data = replace(changed(built.data, 2, finding), settled={})
    page = write_likeness(replace(data, clips=data.clips[2:3]), tmp_path, shareable=True)
    assert "not shown: the picture cannot be read" in text_of(page)
    assert not [*(tmp_path / "faces").iterdir()]


def test_our_own_detector_and_embedder_find_nobody_in_the_shared_pictures(built: Built) -> None:
    from vgaudit.extractors.face_detection import FaceDetector
    from vgaudit.extractors.face_embedders import DlibEmbedder

    detector, embedder = FaceDetector(min_face=60, device="cpu"), DlibEmbedder()
    detector.load()
    embedder.load()

    def embedded(picture: Image.Image, box: np.ndarray) -> np.ndarray:
        rgb = np.asarray(picture.convert("RGB"))
        return embedder.embed(embedder.align(rgb, box[None], np.zeros((1, 5, 2), np.float32)))[0]

    face = np.array([40, 32, 120, 140], np.float32)  # where the face lies in a crop of 160 px
    sources = [face_crop(n) for n in (10, 20, 99)]
    found = detector.detect(np.asarray(sources[0].resize((320, 320))))
    assert len(found) == 1  # the test would see a face if there were one
    known = [embedded(source, face) for source in sources]
    assert float(np.linalg.norm(known[0] - known[1])) < 0.4  # and would know it
    shared = sorted((built.shareable.parent / "faces").iterdir())
    assert len(shared) >= 20
    closest = 9.0
    for path in shared[:4]:
        picture = Image.open(path)
        for way in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC):
            # Back to the cells first: what is smoothest from there is the best anybody could do.
            cells = picture.resize((MOSAIC_CELLS, MOSAIC_CELLS), Image.Resampling.BOX)
            large = cells.resize((320, 320), way).convert("RGB")
            seen = [embedded(large, box) for box in detector.detect(np.asarray(large)).boxes]
            # What it does not see may be there all the same: where we know that the face is.
            seen.append(embedded(cells.resize((160, 160), way).convert("RGB"), face))
            closest = min(closest, *(float(np.linalg.norm(v - k)) for v in seen for k in known))
    assert closest > 0.6, closest


def test_photographs_are_refused_for_the_shareable_page(built: Built, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected none"):
        write_likeness(built.data, tmp_path / "out", photos={NAMES[0]: [PHOTO]}, shareable=True)
    assert not (tmp_path / "out").exists()


def test_the_shareable_page_goes_only_where_nothing_else_lies(built: Built, tmp_path: Path) -> None:
    for inside in (built.data.run_dir, built.reviewer.parent, built.data.run_dir / "shared"):
        with pytest.raises(UsageError, match="expected a folder outside the run directory"):
            write_shareable(built.data, inside)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "clip.mp4").write_text("")
    with pytest.raises(UsageError, match="expected an empty or new folder"):
        write_shareable(built.data, tmp_path / "other")
    again = write_shareable(built.data, built.shareable.parent)
    assert again == built.shareable
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it is a file"):
        write_shareable(built.data, tmp_path / "file")
    without = replace(built.data, clips=(), results=(), settled={}, manifest={"metrics": {"temporal": {}}})
    with pytest.raises(UsageError, match="a run with a likeness audit"):
        write_shareable(without, tmp_path / "new")


def test_files_of_clips_are_not_named_in_reasons(built: Built, tmp_path: Path) -> None:
    entry = built.data.clips[13]
    clip = replace(entry.clip, media_error="clips/A Star.mp4 made from in/A Star.mp4 is truncated")
    sample = replace(entry.sample, source="in/A Star.mp4")
    data = replace(built.data, kind="census", results=(), settled={})
    data = replace(data, clips=(replace(entry, clip=clip, sample=sample),))
    assert "in/A Star.mp4" in text_of(write_likeness(data, tmp_path / "reviewer"))
    text = text_of(write_likeness(replace(data, ledger=()), tmp_path / "shared", shareable=True))
    assert "from clip 1 is truncated" in text
    assert "in/A Star" not in text
    assert "finished clips are no sample" in text


def test_ids_that_are_numbers_do_not_change_numbers(built: Built, tmp_path: Path) -> None:
    finding = hit_of(built.data, 2)
    detail = {**finding.detail, "entry": "500", "tier_reason": "4 of 500 people", "runner_up": None}
    data = replace(changed(built.data, 2, replace(finding, detail=detail)), settled={}, ledger=())
    text = text_of(write_likeness(replace(data, clips=data.clips[2:3]), tmp_path, shareable=True))
    assert "4 of 500 people" in text
    assert "REVIEW, person 1" in text


def test_the_command_line_writes_it(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vgaudit.rundir.RunDir.open", lambda path: SimpleNamespace(path=path))
    monkeypatch.setattr("vgaudit.pipeline.finish.read_report_data", lambda run: built.data)
    app(["report", "run", "--shareable", str(tmp_path / "new")], standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "likeness.html")
    assert (tmp_path / "new" / "likeness.html").read_text("utf-8") == built.shareable.read_text("utf-8")


NAMING = "Aliasia Secretname shakes hands with a man"


@pytest.mark.parametrize("with_prompts", [False, True])
def test_a_prompt_that_names_somebody_else_than_the_hit_is_not_shared(
    built: Built, tmp_path: Path, with_prompts: bool
) -> None:
    entry = built.data.clips[2]
    other = replace(entry, sample=replace(entry.sample, prompt=NAMING))
    known: list[tuple[dict[str, bool], str]] = [
        ({"named": True}, "1 prompt that names somebody in the gallery;"),
        ({"named": False, "names_entry": True}, "1 prompt that names somebody in the gallery;"),  # consenting
        (
            {"named": False},
            "0 prompts that name somebody in the gallery, 1 prompt of which the run does not say",
        ),
        ({}, "0 prompts that name somebody in the gallery, 1 prompt of which the run does not say"),
    ]
    for number, (facts, told) in enumerate(known):  # also where the run does not say whom a prompt names
        measured = replace(entry.measurements["likeness"], facts=facts)
        clips = (built.data.clips[0], replace(other, measurements={"likeness": measured}))
        data = replace(built.data, clips=clips, settled={}, ledger=())
        page = write_shareable(data, tmp_path / f"page{number}", with_prompts=with_prompts)
        text = Page(page).text
        assert (told in text) == with_prompts
        assert "Aliasia" not in text
        assert "[prompt not shared]" in text
        assert (visible(OPEN_PROMPT) in text) == with_prompts
        assert ("a name that is not listed would be shown" in text) == with_prompts


def test_a_prompt_of_which_another_clip_has_a_solicited_hit_is_not_shared(
    built: Built, tmp_path: Path
) -> None:
    clips = [replace(e, sample=replace(e.sample, prompt=NAMING)) for e in built.data.clips[:3]]
    clips = [
        replace(
            e,
            measurements={
                "likeness": replace(e.measurements["likeness"], facts={"named": False, "names_entry": False})
            },
        )
        for e in clips
    ]
    data = replace(built.data, clips=tuple(clips), settled={}, ledger=())
    page = write_shareable(data, tmp_path / "page", with_prompts=True)
    assert "Aliasia" not in Page(page).text


def test_prompts_are_shared_only_with_the_page_that_is_passed_on(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vgaudit.rundir.RunDir.open", lambda path: SimpleNamespace(path=path))
    monkeypatch.setattr("vgaudit.pipeline.finish.read_report_data", lambda run: built.data)
    with pytest.raises(UsageError, match="expected --shareable DIR with it"):
        app(["report", "run", "--with-prompts"], standalone_mode=False)
    app(["report", "run", "--shareable", str(tmp_path / "new"), "--with-prompts"], standalone_mode=False)
    assert visible(OPEN_PROMPT) in Page(tmp_path / "new" / "likeness.html").text


# -- clips with covered faces ------------------------------------------------------------------------------


def media_of(folder: Path, built: Built, check: object = None) -> SharedMedia:
    """Two clips, one of them left out, as the pipeline hands them over."""
    folder.mkdir()
    (folder / "clip-1.mp4").write_bytes(b"covered")
    (folder / "clip-1.jpg").write_bytes(b"poster")
    ids = [entry.sample.sample_id for entry in built.data.clips]
    made = SharedClip("clip-1.mp4", "clip-1.jpg", "Checked: no face found in 312 frames.", {"frames": 312})
    clips = {ids[0]: made, ids[2]: SharedClip(words="Left out: <b>gone</b>.")}
    return SharedMedia(folder, clips, check, "no models", {"detector": "mtcnn"})  # type: ignore[arg-type]


def test_clips_stand_in_their_cards_or_say_why_not(built: Built, tmp_path: Path) -> None:
    out = tmp_path / "page"
    page = write_shareable(built.data, out, shared=media_of(tmp_path / "made", built))
    parsed, text = Page(page), text_of(page)
    (video,) = parsed.all("video")
    assert (video["src"], video["poster"]) == ("blurred/clip-1.mp4", "blurred/clip-1.jpg")
    assert video["aria-label"] == "clip 1, faces covered"
    for words in (
        "Left out: <b>gone</b>.", "1 of 2 clips with a hit on a card is part of it", "in 312 frames of the finished",
        "Detectors miss faces", "were not checked by our detector: no models", "no gallery photograph is part of it",
    ):  # fmt: skip
        assert words in text
    told = json.loads((out / "checked.json").read_text("utf-8"))
    assert told["clips"] == [
        {"clip": 1, "file": "clip-1.mp4", "frames": 312}, {"clip": 3, "left_out": "Left out: <b>gone</b>."},
    ]  # fmt: skip
    assert told["pictures"] == {"unchecked": "no models"}
    for entry in built.data.clips:
        assert entry.sample.sample_id not in page.read_text("utf-8") + json.dumps(told)
    write_shareable(built.data, out)  # an earlier page's clips do not stay with one that has none
    assert not (out / "blurred").exists()
    assert not (out / "checked.json").exists()
    assert page.read_text("utf-8") == built.shareable.read_text("utf-8")


def test_clips_of_others_are_never_removed(built: Built, tmp_path: Path) -> None:
    (tmp_path / "blurred").mkdir()
    (tmp_path / "blurred" / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"it holds blurred/holiday\.mp4"):
        write_shareable(built.data, tmp_path)
    assert (tmp_path / "blurred" / "holiday.mp4").is_file()


def test_a_picture_that_still_tells_somebody_gets_coarser_or_is_left_out(
    built: Built, tmp_path: Path
) -> None:
    def colours(data: bytes) -> int:
        with Image.open(io.BytesIO(data)) as picture:
            return len(picture.convert("RGB").getcolors(10_000) or ())

    def check(source: Path, data: bytes) -> bool:
        assert source.is_file()
        return colours(data) <= 25

    page = write_shareable(built.data, tmp_path / "a", shared=media_of(tmp_path / "made", built, check))
    shown = [*(tmp_path / "a" / "faces").iterdir()]
    assert shown
    assert all(colours(path.read_bytes()) <= 25 for path in shown)
    told = json.loads((tmp_path / "a" / "checked.json").read_text("utf-8"))["pictures"]
    assert told["coarser"] > 0
    assert f"{told['coarser']} were made coarser and {told['left_out']} left out" in text_of(page)
    media = replace(media_of(tmp_path / "again", built), check=lambda source, data: False)
    page = write_shareable(built.data, tmp_path / "b", shared=media)
    assert not [*(tmp_path / "b" / "faces").iterdir()]
    assert "not shown: our embedder could still tell the face by it" in text_of(page)


def test_covered_clips_are_no_part_of_the_reviewers_page(built: Built, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shareable"):
        write_likeness(built.data, tmp_path / "page", shared=media_of(tmp_path / "made", built))


# -- large runs ------------------------------------------------------------------------------------------


def test_a_thousand_hits_stay_light(tmp_path: Path) -> None:
    data = build_many(tmp_path, 1000)
    start = time.perf_counter()
    page = write_likeness(data, tmp_path / "report")
    assert time.perf_counter() - start < 20
    assert page.stat().st_size < 2_000_000
    markup = page.read_text("utf-8")
    assert markup.count('<article class="hit ') == 100
    assert "The worst 100 of 1,000 hits as cards" in markup
    start = time.perf_counter()
    write_likeness(data, tmp_path / "shared", shareable=True)
    assert time.perf_counter() - start < 60
    table = markup[markup.index('id="more-hits"') : markup.index('<section id="unassessable"')]
    assert table.count("<tr>") == 901


# -- in a browser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with Browser() as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 740, 1130, 1440])
def test_it_fits_its_window_and_asks_for_nothing(browser: Browser, page: Path, width: int) -> None:
    browser.resize(width, 900)
    browser.open(page)
    assert browser.run("getComputedStyle(document.querySelector('.hit')).borderTopLeftRadius") == "14px"
    browser.run("[...document.querySelectorAll('details')].forEach((d) => d.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    beyond = (
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.sr, svg, thead') && "
        f"e.getClientRects().length && e.getBoundingClientRect().right > {width} + 1).length"
    )
    assert browser.run(beyond) == 0
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "about"}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_enough_contrast(page: Path, dark: bool) -> None:
    with Browser(dark=dark, scripts=False) as opened:
        opened.open(page)
        assert opened.run(_CONTRAST) == []


def test_clips_without_faces_answer_nothing_where_nobody_was_compared(built: Built, tmp_path: Path) -> None:
    """A green answer to a question about a gallery that there was not would be read as a pass."""
    entry = built.data.clips[10]
    measured = entry.measurements["likeness"]
    alone = replace(measured, facts={**measured.facts, "gallery": None})
    clips = (replace(entry, measurements={"likeness": alone}),)
    page = write_likeness(replace(built.data, clips=clips), tmp_path).read_text("utf-8")
    found = re.search('<h2 id="answer-words">([^<]*)</h2>', page)
    assert found
    assert found[1] == "Not answered: nobody was compared"
