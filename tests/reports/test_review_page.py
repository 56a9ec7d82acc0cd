"""The review page as a file: what it lists, how it escapes, what it says without scripts, and who can read it."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.reports.synthetic_likeness import NAMES, photograph
from tests.reports.synthetic_likeness import build as build_audit
from tests.reports.synthetic_likeness import build_many as build_audits
from tests.reports.synthetic_review import HOSTILE, decidable_run
from tests.reports.test_html import Page
from vgaudit.decisions import Verb
from vgaudit.pipeline import deciding
from vgaudit.pipeline.deciding import open_desk
from vgaudit.pipeline.finish import hold_again, read_report_data
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import visible
from vgaudit.reports.html import CONTENT_SECURITY_POLICY, write_html
from vgaudit.reports.likeness_page import write_shareable
from vgaudit.reports.review_items import decidable
from vgaudit.reports.review_page import script_json
from vgaudit.rundir import RunDir

_ITEM = {
    "fingerprint", "number", "kind", "severity", "sample_id", "clip", "group", "prompt", "seed", "message", "start_s",
    "end_s", "score", "threshold", "alike", "page", "video", "poster", "evidence", "photographs", "facts", "likeness",
    "standing",
}  # fmt: skip
_MADE = {"seq", "time", "author", "verb", "reason_code", "reason", "expires", "note"}


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script is given."""
    text = page.read_text("utf-8")
    begin = text.index('<script type="application/json" id="review-data">')
    content = text[text.index(">", begin) + 1 : text.index("</script>", begin)]
    return dict(json.loads(content))


@dataclass(frozen=True)
class Reviewed:
    """A run and its review page."""

    data: ReportData
    page: Path


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    folder = tmp_path_factory.mktemp("reviewed")
    data = decidable_run(folder)
    return Reviewed(data, write_html(data, folder / "report").parent / "review.html")


def test_it_lists_what_can_be_decided_on_worst_first(reviewed: Reviewed) -> None:
    found = data_of(reviewed.page)
    assert found["run"] == reviewed.data.name
    assert found["plan"] == reviewed.data.manifest["plan_digest"]
    assert found["policy"] == {"second_person": "alert", "expires_days": 30}
    assert found["reasons"]["clear"] == {"consent_on_file": "consent on file"}
    items = found["items"]
    assert [i["number"] for i in items] == list(range(1, len(items) + 1))
    ranks = [["minor", "major", "review", "alert"].index(i["severity"]) for i in items]
    assert ranks == sorted(ranks, reverse=True)
    assert len({i["fingerprint"] for i in items}) == len(items) > 8
    for item in items:
        assert item.keys() >= _ITEM
        clip, _, moment = item["page"].partition("#t=")
        assert (reviewed.page.parent / clip).is_file()
        assert float(moment) == pytest.approx(item["start_s"], abs=1e-3)
        for url in (item["video"], item["poster"], *(e["url"] for e in item["evidence"])):
            assert (reviewed.page.parent / url).is_file()
    boxed = next(i for i in items if i["kind"] == "likeness.match")
    assert boxed["box"] == [20.0, 12.0, 52.0, 50.0]
    assert (boxed["width"], boxed["height"], boxed["fps"]) == (96.0, 64.0, 10.0)
    assert dict(boxed["facts"])["gallery entry"] == "person_a"
    jump = next(i for i in items if i["kind"] == "temporal.jump")
    assert dict(jump["facts"])["score"] == "0.13"


def test_standings_come_with_their_history(reviewed: Reviewed) -> None:
    items = data_of(reviewed.page)["items"]
    waiting = next(i["standing"] for i in items if i["standing"]["awaiting"])
    assert waiting["state"] == "open"
    assert not waiting["closed"]
    assert [set(h) for h in waiting["history"]] == [_MADE]
    assert waiting["history"][0]["author"] == "Bob"
    closed = next(i["standing"] for i in items if i["standing"]["closed"])
    assert closed["history"][0]["reason"] == "it is there and may stay"
    untouched = [i["standing"] for i in items if not i["standing"]["history"]]
    assert untouched[0] == {"state": "open", "words": "open", "closed": False, "awaiting": False, "expired": "",
                            "history": []}  # fmt: skip
    assert len(untouched) == len(items) - 2


def test_text_of_the_run_cannot_leave_its_place(reviewed: Reviewed) -> None:
    raw = reviewed.page.read_text("utf-8")
    assert "<script>alert" not in raw
    assert "\x1b" not in raw
    page = Page(reviewed.page)  # every element is closed where it should be
    assert page.open == []
    assert [s.get("src", s.get("id")) for s in page.all("script")] == ["./assets/review.js", "review-data"]
    messages = {i["message"] for i in data_of(reviewed.page)["items"]}
    assert visible(HOSTILE) in messages
    assert not page.all("style")
    assert not page.all("form")
    assert not [a for _, a in page.elements for name in a if name.startswith("on") or name == "style"]
    assert [m["content"] for m in page.all("meta") if m.get("http-equiv")] == [CONTENT_SECURITY_POLICY]


def test_json_in_a_page_ends_no_element() -> None:
    value = {"</script>": ["<!--<script>", "&amp;", float("nan"), float("inf"), None, ("a\ud800",)]}
    text = str(script_json(value))
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"</script>": ["<!--<script>", "&amp;", None, None, None, ["a\ufffd"]]}
    text.encode()


def test_without_scripts_it_is_a_table_with_the_commands(reviewed: Reviewed) -> None:
    page = Page(reviewed.page)
    items = data_of(reviewed.page)["items"]
    rows = [a["id"] for a in page.all("tr") if "id" in a]
    assert rows == [f"f-{i['fingerprint']}" for i in items]
    for item in items:
        command = f"vgaudit decide dismiss {reviewed.data.run_dir.name} {item['fingerprint']} --reason CODE"
        assert command in page.text
    assert "awaiting a second person" in page.text
    assert "dismissed by Ann on 2026-01-02: it is there and may stay" in page.text
    assert f"{len(items)} findings to decide on, {len(items) - 1} open" in page.text


def test_pages_lead_to_it_where_there_is_something_to_decide(
    reviewed: Reviewed, run_report: Any, tmp_path: Path
) -> None:
    index = Page(reviewed.page.with_name("index.html"))
    assert "review.html" in [a.get("href") for a in index.all("a")]
    # Findings of the plain synthetic run have no fingerprints: nothing can be decided on.
    index = Page(run_report.folder / "index.html")
    assert "review.html" not in [a.get("href") for a in index.all("a")]
    empty = Page(run_report.folder / "review.html")
    assert "No finding of this run asks for a decision." in empty.text
    assert data_of(run_report.folder / "review.html")["items"] == []
    audit = build_audit(tmp_path / "audit")
    report = write_html(audit, tmp_path / "audit" / "report").parent
    links = [
        a["href"] for a in Page(report / "likeness.html").all("a") if a.get("href", "").startswith("review")
    ]
    items = {i["fingerprint"]: i for i in data_of(report / "review.html")["items"]}
    assert len(links) == 5
    for number, link in enumerate(links, 1):
        assert items[link.removeprefix("review.html#f-")]["likeness"] == f"likeness.html#hit-{number}"


def test_a_build_that_is_passed_on_has_no_part_of_it(tmp_path: Path) -> None:
    audit = build_audit(tmp_path / "run")
    page = write_shareable(audit, tmp_path / "out")
    assert not (tmp_path / "out" / "review.html").exists()
    assert "review" not in {p.stem for p in (tmp_path / "out").rglob("*")}
    assert "review.html" not in page.read_text("utf-8")


def test_photographs_are_shown_and_put_on_record_beyond_the_cards(tmp_path: Path) -> None:
    audit = build_audits(tmp_path / "run", 103)
    last = audit.clips[0].measurements["likeness"]
    hit = last.findings[0]
    # The least alike of all: its card is not made, but its photograph stands on the review page.
    other = replace(hit, detail={**hit.detail, "entry": NAMES[2]}, score=0.01)
    entry = replace(audit.clips[0], measurements={"likeness": replace(last, findings=(other,))})
    data = replace(audit, clips=(entry, *audit.clips[1:]))
    photo = photograph()
    report = write_html(data, tmp_path / "run" / "report", {NAMES[2]: [photo]}).parent
    item = next(i for i in data_of(report / "review.html")["items"] if i["fingerprint"] == hit.fingerprint)
    assert item["likeness"] == "likeness.html#more-hits"
    assert (report / item["photographs"][0]["url"]).read_bytes() == photo[0]
    shown = json.loads((report / "likeness_shown.json").read_text())
    assert shown["photographs"] == {NAMES[0]: [], NAMES[2]: [photo[1]]}
    assert next(e["caption"] for e in item["evidence"]) == "best frame at 0.25 s, 0.450"


def test_a_damaged_chain_is_told(reviewed: Reviewed, tmp_path: Path) -> None:
    damaged = replace(reviewed.data, decisions={}, undecidable="line 3 was changed")
    page = write_html(damaged, tmp_path / "report").parent / "review.html"
    assert "No decision counts, and none can be added: line 3 was changed." in Page(page).text
    assert data_of(page)["problem"] == "line 3 was changed"


def test_numbers_order_and_notes_are_those_of_the_run(likeness_run_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(likeness_run_dir, run)
    deciding.decide(run, Verb.DISMISS, "2", reason="other", author="Ann", note="The ears </script> differ.")
    deciding.decide(run, Verb.ESCALATE, "3", reason="legal", author="Bob")
    hold_again(RunDir.open(run))
    desk = open_desk(run)
    data = read_report_data(RunDir.open(run))
    assert [(d.number, d.finding, d.alike) for d in decidable(data)] == [
        (f.number, f.finding, f.alike) for f in desk.findings
    ]
    page = run / "report" / "review.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600  # it has the notes, which are their owner's alone
    found = data_of(page)
    assert [i["fingerprint"] for i in found["items"]] == [f.finding.fingerprint for f in desk.findings]
    assert [i["clip"] for i in found["items"]] == [f.clip for f in desk.findings]
    second = found["items"][1]["standing"]
    assert second["words"] == desk.findings[1].standing.words
    assert second["history"][0]["note"] == "The ears </script> differ."
    assert found["items"][2]["standing"]["state"] == "escalated"
    assert found["plan"] == RunDir.open(run).manifest()["plan_digest"]
    for file in (run / "decision_notes").iterdir():
        file.unlink()
    hold_again(RunDir.open(run))
    assert data_of(page)["items"][1]["standing"]["history"][0]["note"] == "purged"
