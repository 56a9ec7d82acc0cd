"""A purged person is nowhere in the run directory, in no file and no form; what was found stays found."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.decided_runs import CLIENT, OTHER
from vgaudit import decisions
from vgaudit.decisions import Verb
from vgaudit.errors import RunDirError
from vgaudit.likeness import purge
from vgaudit.likeness.purge import purge_run
from vgaudit.likeness.purge_words import Names, Told
from vgaudit.paired import PairedDifference
from vgaudit.pipeline.deciding import decide, open_desk
from vgaudit.pipeline.finish import read_report_data
from vgaudit.pipeline.purging import purge_run_and_report
from vgaudit.rundir import RunDir

LABELS = {CLIENT: "purged-1a2b3c4d"}
NOTE = "She is Jane Roe from the agency, known as JR."
OTHER_NOTE = "This one may be somebody else."


def texts(path: Path) -> Iterator[str]:
    """Everything in a folder as text: names, and contents out of archives, tables and arrays."""
    for file in sorted(path.rglob("*")):
        yield file.name
        if file.is_file():
            yield from unpacked(file.name, file.read_bytes())


def unpacked(name: str, data: bytes) -> Iterator[str]:
    yield data.decode("utf-8", "replace")
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield member
                yield from unpacked(member, archive.read(member))
    elif name.endswith(".npy"):
        array = np.load(io.BytesIO(data))
        yield array.tobytes().decode("utf-8", "replace") if array.dtype == np.uint8 else str(array.dtype)
    elif name.endswith(".parquet"):
        yield json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), ensure_ascii=False, default=str)


def assert_gone(run: Path, *words: str) -> None:
    for text in texts(run):
        for word in words:
            at = text.casefold().find(word.casefold())
            assert at < 0, text[max(0, at - 80) : at + 80]


def add_what_later_stages_write(run: Path) -> None:
    """Evidence, ledger, settled facts, a pack and further files, as other parts of the audit leave them."""
    log = run / "measurements" / "log.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        for finding in entry["measurement"]["findings"]:
            if finding["kind"] != "likeness.match":
                continue
            who = finding["detail"]["entry"]
            names = [f"evidence/{finding['fingerprint']}-{i}.jpg" for i in range(2)] + ["evidence/shared.jpg"]
            finding["evidence"] += names
            finding["detail"] |= {
                "tier": "REVIEW", "tier_reason": f"{who} is past the point", "track": 3, "rate": {"value": 0.002},
                "timeline": {"t": [0.0], "similarity": [0.76543]}, "histogram": {"edges": [0, 1], "counts": [5]},
                "shown": [{"frame": 0, "s": 0.0, "similarity": 0.76543, "kind": "best", "photo": "d1" * 32}],
            }  # fmt: skip
            (run / "evidence").mkdir(exist_ok=True)
            for name in names:
                (run / name).write_bytes(b"jpeg")
    log.write_text(
        "".join(json.dumps(e, sort_keys=True, ensure_ascii=False) + "\n" for e in entries)
        + '{"key": "client-0042'
    )
    facts = {"best_similarity": 0.76543, "sample_id": entries[0]["sample_id"], "tier": "REVIEW"}
    real = {row["entry"]: row for row in map(json.loads, (run / purge.LEDGER).read_text().splitlines())}
    rows = [{**real[who], **facts} for who in (CLIENT, OTHER)]
    (run / purge.LEDGER).write_text(
        "".join(json.dumps(r) + "\n" for r in [*rows, {"unassessable": {"start_s": 0}}])
    )
    results = json.loads((run / "results.json").read_text())
    results["settled"] = {"likeness": {"entries": 2, "by_entry": {CLIENT: {"hits": 2}, OTHER: {"hits": 1}},
                                       "notes": [f"{CLIENT} and {OTHER} look alike"]}}  # fmt: skip
    (run / "results.json").write_text(json.dumps(results))
    (run / "faces.json").write_text(json.dumps({"near": [{"entry": CLIENT, "similarity": 0.76543}]}))
    (run / "export.csv").write_text(f"entry,similarity\n{CLIENT},0.76543\n")
    with zipfile.ZipFile(run / "pack.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("page.html", f"<p>{CLIENT}</p>")
    (run / "report" / "likeness.html").write_text(f"<p>{CLIENT}</p>")


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path) -> Path:
    """A run in which somebody reviewed findings of both people."""
    path = tmp_path / "run"
    shutil.copytree(likeness_run_dir, path)
    for listed in open_desk(path).findings:
        mine = listed.finding.detail["entry"] == CLIENT
        decide(path, Verb.DISMISS, listed.finding.fingerprint, reason="not_this_person", author="Ann",
               note=NOTE if mine else OTHER_NOTE, expires=date(2999, 1, 1))  # fmt: skip
    manifest = RunDir.open(path).manifest()
    manifest["spec"]["metrics"]["likeness"]["options"]["gallery"] = f"people/{CLIENT}/1.png"
    manifest["suite"]["text"] += f"# {CLIENT}\n"
    RunDir.open(path).write_manifest(manifest)
    add_what_later_stages_write(path)
    return path


def findings(run: Path) -> list[dict[str, Any]]:
    log = (run / "measurements" / "log.jsonl").read_bytes().split(b"\n")[:-1]
    return [f for line in log for f in json.loads(line)["measurement"]["findings"]]


def skeleton(run: Path) -> list[tuple[Any, ...]]:
    names = ("sample_id", "kind", "severity", "start_s", "end_s", "threshold", "fingerprint", "box")
    return [tuple(str(f[n]) for n in names) for f in findings(run)]


@pytest.mark.parametrize("way", [purge_run, purge_run_and_report])
def test_nothing_names_the_person_afterwards(run: Path, way: Callable[..., list[Told]]) -> None:
    chain, before = (run / decisions.FILE).read_bytes(), skeleton(run)
    told = way(run, LABELS, dry_run=False)
    assert_gone(run, CLIENT, NOTE, "Jane Roe")
    assert not any(CLIENT in line.what for line in told)
    assert ((run / decisions.FILE).read_bytes(), decisions.verify(run)) == (chain, None)
    assert skeleton(run) == before
    for finding in findings(run):
        detail, mine = finding["detail"], finding["detail"]["entry"] == LABELS[CLIENT]
        assert (finding["score"] == finding["threshold"]) == mine
        assert ("similarity" in detail, "rate" in detail, "timeline" in detail, "shown" in detail) == (
            not mine,
        ) * 4
        assert detail.get("runner_up") is None
        assert sorted({*finding["evidence"]} & {"evidence/shared.jpg"}) == (
            [] if mine else ["evidence/shared.jpg"]
        )
        assert all("#t=" in e or (run / e).is_file() for e in finding["evidence"])
        own = [run / f"evidence/{finding['fingerprint']}-{i}.jpg" for i in range(2)]
        assert [p.exists() for p in own] == [not mine] * 2
    notes = [decisions.note_of(run, d) for d in decisions.read_chain(run).decisions]
    assert sorted(notes) == [OTHER_NOTE, OTHER_NOTE, "purged", "purged"]
    assert not (run / "pack.zip").exists()
    assert not (run / "export.csv").exists()


def test_the_verdict_does_not_turn_to_pass_and_reports_are_written_again(run: Path) -> None:
    opened = RunDir.open(run)
    for listed in open_desk(run).findings:
        decide(run, Verb.REOPEN, listed.finding.fingerprint, reason="mistake", author="Ann")
    told = purge_run_and_report(run, LABELS, dry_run=False)
    assert Told("written again", "verdict and reports") in told
    data = read_report_data(opened)
    assert (data.verdict.exit_code, "4 open findings" in data.gates[0].reason) == (3, True)
    page = "".join(p.read_text() for p in (run / "report" / "clips").glob("*.html"))
    assert LABELS[CLIENT] in page
    assert OTHER in page
    assert CLIENT not in (run / "report" / "likeness.html").read_text()
    best = next(r for r in data.results if r.name == "likeness.best_similarity")
    assert (best.status, "purged" in best.reason) == ("not computed", True)
    for entry in data.clips:
        assert entry.measurements["likeness"].missing["best_similarity"] == purge.REMOVED


def test_comparisons_of_groups_on_what_was_theirs_go_too(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    names = ("likeness.best_similarity", "temporal.motion")
    found = PairedDifference(0.2, 0.1, 0.3, 0.95, 8, 8, dropped={f"a: {CLIENT}": 1}, p=0.01, p_holm=0.02)
    results["comparisons"] = {
        "confidence": 0.95,
        "differences": [{"name": n, "group": "b", "reference": "a", **found.to_json()} for n in names],
    }
    (run / "results.json").write_text(json.dumps(results))
    purge_run(run, LABELS, dry_run=False)
    text = (run / "results.json").read_text()
    assert CLIENT not in text
    theirs, others = json.loads(text)["comparisons"]["differences"]
    gone = PairedDifference.from_json(theirs)
    assert (gone.status, gone.value, gone.low, gone.p, gone.p_holm) == (
        "not computed",
        None,
        None,
        None,
        None,
    )
    assert "purged" in gone.reason
    assert PairedDifference.from_json(others).value == 0.2


def test_a_ledger_row_stays_as_a_tombstone_and_the_purge_is_recorded(run: Path) -> None:
    purge_run(run, LABELS, dry_run=False)
    mine, other, unassessable = [json.loads(line) for line in (run / purge.LEDGER).read_text().splitlines()]
    assert (mine["entry"], mine["tier"], mine["best_similarity"]) == (LABELS[CLIENT], "REVIEW", None)
    kept = {"record": "entry", "role": "protected", "clips": 2, "clips_assessed": 2, "clips_not_assessed": 0}
    assert {k: mine[k] for k in kept} == kept
    same = ("embedder", "embedder_fingerprint", "calibration", "gallery")
    assert [mine[k] for k in same] == [other[k] for k in same] != [None] * 4
    assert (other["entry"], other["best_similarity"], unassessable) == (
        OTHER,
        0.76543,
        {"unassessable": {"start_s": 0}},
    )
    (row,) = [json.loads(line) for line in (run / purge.TOMBSTONES).read_text().splitlines()]
    assert (row["label"], "measurements/log.jsonl" in " ".join(row["what"])) == (LABELS[CLIENT], True)
    settled = json.loads((run / "results.json").read_text())["settled"]["likeness"]
    assert settled["by_entry"] == {OTHER: {"hits": 1}}
    assert settled["notes"] == [f"{LABELS[CLIENT]} and {OTHER} look alike"]


def test_a_dry_run_tells_the_same_and_touches_nothing(run: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}

    before = content()
    told = purge_run(run, LABELS, dry_run=True)
    assert content() == before
    assert told == purge_run(run, LABELS, dry_run=False)
    assert {
        "results.json",
        "manifest.json",
        "report/",
        "pack.zip",
        "decision_notes/: 2 notes of decisions",
    } <= {each.what for each in told if each.kind == "removed"}
    assert purge_run(run, LABELS, dry_run=False) == []
    assert len((run / purge.TOMBSTONES).read_text().splitlines()) == 1


def test_a_run_that_holds_nothing_of_the_person_stays_as_it_is(run: Path) -> None:
    RunDir.open(run).mend_log()
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    assert purge_run(run, {"client-004": "purged-0", "Othe": "purged-1"}, dry_run=False) == []
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_a_purge_that_was_killed_is_finished_by_the_next(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before each of its writes and deletions in turn."""
    chain, before = (run / decisions.FILE).read_bytes(), skeleton(run)
    moments = [0]

    def interrupted(real: Callable[..., Any], at: int) -> Callable[..., Any]:
        def stop_or_go(*arguments: Any, **options: Any) -> Any:
            moments[0] += 1
            if moments[0] == at:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return stop_or_go

    names = ("atomic_write", "write_json", "_delete")
    for at in range(1, 40):
        copy = run.with_name(f"copy-{at}")
        shutil.copytree(run, copy)
        moments[0] = 0
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(purge, name, interrupted(getattr(purge, name), at))
            try:
                purge_run(copy, LABELS, dry_run=False)
            except KeyboardInterrupt:
                purge_run(copy, LABELS, dry_run=False)
            else:
                assert at > 10
                break
        assert_gone(copy, CLIENT, "Jane Roe")
        assert skeleton(copy) == before
        assert (copy / decisions.FILE).read_bytes() == chain
        assert len((copy / purge.TOMBSTONES).read_text().splitlines()) == 1
        assert not (copy / "report").exists()
        results = json.loads((copy / "results.json").read_text())["results"]
        assert [r["status"] for r in results if r["name"] == "likeness.best_similarity"] == ["not computed"]
        shutil.rmtree(copy)
    else:
        raise AssertionError("the purge never came to its end")


def test_a_best_similarity_without_a_match_goes_too_where_it_can_be_theirs(run: Path) -> None:
    """The ledger says in which clip somebody was nearest; where there is nobody else, every value is theirs."""
    log = run / "measurements" / "log.jsonl"
    entries = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
    for entry in entries:
        entry["measurement"]["findings"] = []
        entry["measurement"]["facts"].pop("gallery", None)
    log.write_text("".join(json.dumps(e) + "\n" for e in entries))
    sample = next(e["sample_id"] for e in entries if e["metric"] == "likeness")

    def best() -> list[bool]:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        latest = {r["sample_id"]: r["measurement"]["values"] for r in rows if r["metric"] == "likeness"}
        assert all(
            ("best_similarity" in r["measurement"]["values"]) == ("best_similarity" in latest[r["sample_id"]])
            for r in rows
            if r["metric"] == "likeness"
        ), "as measured and as settled"
        return ["best_similarity" in values for values in latest.values()]

    nearest = {"best_similarity": 0.3, "sample_id": sample, "tier": "CLEAR"}
    others = [{"entry": OTHER, "best_similarity": 0.2, "sample_id": "x", "tier": "CLEAR"}]
    for rows, left in ((others, [False, True]), ([], [False, False])):
        ledger = [{"entry": CLIENT, **nearest}, *rows]
        (run / purge.LEDGER).write_text("".join(json.dumps(r) + "\n" for r in ledger))
        purge_run(run, LABELS, dry_run=False)
        assert best() == left


def test_a_note_that_names_the_person_goes_whatever_it_is_about(run: Path) -> None:
    name = next(f.finding.fingerprint for f in open_desk(run).findings if f.finding.detail["entry"] == OTHER)
    decide(run, Verb.ESCALATE, name, reason="unclear", author="Ann", note=f"Or is it {CLIENT}?")
    purge_run(run, LABELS, dry_run=False)
    notes = [decisions.note_of(run, d) for d in decisions.read_chain(run).decisions]
    assert sorted(notes) == [OTHER_NOTE, OTHER_NOTE, "purged", "purged", "purged"]


def test_a_second_person_can_be_purged_later(run: Path) -> None:
    purge_run(run, LABELS, dry_run=False)
    purge_run_and_report(run, {OTHER: "purged-beef"}, dry_run=False)
    assert_gone(run, CLIENT, OTHER, OTHER_NOTE)
    assert len((run / purge.TOMBSTONES).read_text().splitlines()) == 2
    assert {f["detail"]["entry"] for f in findings(run)} == {LABELS[CLIENT], "purged-beef"}


def test_words_of_the_suite_itself_stay_and_are_told(run: Path) -> None:
    plan = run / "plan.jsonl"
    first, *rest = plan.read_text().splitlines()
    sample = {**json.loads(first), "prompt": f"{CLIENT} walks"}
    plan.write_text("\n".join([json.dumps(sample), *rest]) + "\n")
    assert CLIENT in plan.read_text()
    told = purge_run(run, LABELS, dry_run=False)
    assert [t for t in told if t.kind == "stays" and t.what.startswith("plan.jsonl")]
    assert CLIENT in plan.read_text()


def test_what_cannot_be_told_apart_is_an_error_and_not_a_half_purge(run: Path) -> None:
    chain = run / decisions.FILE
    text = chain.read_bytes()
    chain.write_bytes(text.replace(b"Ann", b"Eve", 1))
    with pytest.raises(RunDirError, match="which notes are about whom"):
        purge_run(run, LABELS, dry_run=False)
    chain.write_bytes(text)
    log = run / "measurements" / "log.jsonl"
    log.write_bytes(b"{\n" + log.read_bytes())
    with pytest.raises(RunDirError, match=r"log.jsonl:1: damaged line"):
        purge_run(run, LABELS, dry_run=False)
    with pytest.raises(RunDirError, match="expected a run directory"):
        purge_run(run / "clips", LABELS, dry_run=True)


@pytest.mark.parametrize(
    ("entry", "text", "expected"),
    [
        ("ann", "Ann and hannah, ann_2 and ann.png", "X and hannah, ann_2 and X.png"),
        ("a", "a face of 'a', as in people/a/1.png", "a face of 'X', as in people/X/1.png"),
        ("42", "42 frames of '42'", "42 frames of 'X'"),
        ("o'brien", 'gallery entry "o\'brien"', 'gallery entry "X"'),
        ("Zoë", "Zoe\u0308 and zoë", "X and X"),
    ],
)
def test_ids_are_found_as_words(entry: str, text: str, expected: str) -> None:
    assert Names({entry: "X"}).text(text) == expected


ALIAS = "Aliasia Secretname"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Zelda Quux and ZELDA-QUUX, zeldaquux's", "X and X, X's"),
        ("aliasia_secretname, Aliasia  Secretname", "X, X"),
        ("zelda_quux_2, zelda, quux zelda, azelda quux", "zelda_quux_2, zelda, quux zelda, azelda quux"),
        ("a star, 'JR' of JR", "a star, 'X' of JR"),
    ],
)
def test_aliases_and_spellings_are_found(text: str, expected: str) -> None:
    names = Names({"zelda_quux": "X"}, {"zelda_quux": [ALIAS, "JR"], "other": ["star"]})
    assert names.text(text) == expected
    assert names.in_text(text) == (text != expected)
    assert Names({"zelda_quux": "X"}, {"zelda_quux": ["JR"]}, as_words=True).in_text("a letter of JR")


def test_an_alias_never_makes_somebody_else_of_an_entry() -> None:
    names = Names({"ann": "X"}, {"ann": ["Other Person"]})
    row = {
        "entry": "Other Person",
        "similarity": 1,
        "near": [{"entry": "ann smith"}, {"entry": "Ann", "x": 1}],
    }
    assert names.value(row) == {
        "entry": "Other Person", "similarity": 1,
        "near": [{"entry": "ann smith"}, {"entry": "X", "x": None, "purged": True}],
    }  # fmt: skip


def test_notes_with_an_alias_go_and_prompts_with_one_are_told(run: Path) -> None:
    others = [f.finding.fingerprint for f in open_desk(run).findings if f.finding.detail["entry"] == OTHER]
    for note in (f"Or {ALIAS.upper()}?", "Is it client 0042?"):
        decide(run, Verb.ESCALATE, others[0], reason="unclear", author="Ann", note=note)
    plan = run / "plan.jsonl"
    first, *rest = plan.read_text().splitlines()
    plan.write_text("\n".join([json.dumps({**json.loads(first), "prompt": f"{ALIAS} walks"}), *rest]) + "\n")
    record = next((run / "clips").glob("*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "message": "for aliasia-secretname"}))
    manifest = RunDir.open(run).manifest()
    manifest["suite"]["text"] += f"# {ALIAS}\n"
    RunDir.open(run).write_manifest(manifest)
    told = purge_run(run, LABELS, dry_run=False, names={CLIENT: [ALIAS]})
    notes = [decisions.note_of(run, d) for d in decisions.read_chain(run).decisions]
    assert sorted(notes) == [OTHER_NOTE, OTHER_NOTE, *["purged"] * 4]
    stays = [each.what.split()[0] for each in told if each.kind == "stays"]
    assert stays == [f"clips/{record.name}", "plan.jsonl", "manifest.json"]
    assert not any(ALIAS.casefold() in each.what.casefold() for each in told)


def test_pictures_of_tracks_go_from_the_contact_sheet_and_their_mention_too(
    likeness_run_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(likeness_run_dir, run)
    settled = json.loads((run / "results.json").read_text())["settled"]["likeness"]
    shown = [face["picture"] for face in settled["faces"]]
    assert shown
    assert all((run / name).is_file() for name in shown)
    kept = shutil.copy(run / shown[0], run / "evidence" / "other-track9.jpg")
    purge_run_and_report(run, LABELS, dry_run=False)
    assert not any((run / name).exists() for name in shown)
    assert kept.is_file()
    after = json.loads((run / "results.json").read_text())["settled"]["likeness"]
    assert [face["picture"] for face in after["faces"]] == [""] * len(shown)
    assert [face["sample_id"] for face in after["faces"]] == [face["sample_id"] for face in settled["faces"]]
    assert not [n for one in after["people"] for n in one["pictures"] if n in shown]
    assert len(after["people"]) == len(settled["people"])


def test_what_was_shown_of_the_person_goes_and_modes_stay(run: Path) -> None:
    rows = [
        {"entry": who, "sha256": "ab" * 32, "time": "2026-01-01T00:00:00+00:00"} for who in (CLIENT, OTHER)
    ]
    (run / purge.SHOWN).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / purge.SHOWN).chmod(0o600)
    told = purge_run(run, LABELS, dry_run=False)
    assert [json.loads(line) for line in (run / purge.SHOWN).read_text().splitlines()] == rows[1:]
    assert Told("removed", "likeness_shown.jsonl: 1 lines") in told
    assert [(run / name).stat().st_mode & 0o777 for name in (purge.SHOWN, purge.LEDGER)] == [0o600] * 2


def test_features_of_faces_go_where_that_is_asked_for_also_later(run: Path) -> None:
    faces = sorted((run / "features").glob("faces-*/*.npz"))
    purge_run(run, LABELS, dry_run=False)
    assert faces
    assert all(f.is_file() for f in faces)
    told = purge_run(run, LABELS, dry_run=False, features=True)
    assert [each.what for each in told] == [f.relative_to(run).as_posix() for f in faces]
    assert not any(f.is_file() for f in faces)


def test_each_thing_is_told_when_it_has_happened(run: Path) -> None:
    heard: list[Told] = []

    def listen(told: Told) -> None:
        heard.append(told)
        if told.what == "pack.zip":
            assert not (run / "pack.zip").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge_run(run, LABELS, dry_run=False, say=listen)
    assert heard[0] == Told("removed", "report/")
    assert [t.line("r", dry_run=d) for t in heard[:1] for d in (True, False)] == [
        "would remove r: report/",
        "removed r: report/",
    ]


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        ("Ilker Demir", "\u0130lker Demir walks", "X walks"),
        ("Irina", "it is \u0131rina", "it is X"),
        ("王菲", "王菲在唱歌", "X在唱歌"),
        ("José Ruiz", "Jose Ruiz sings", None),
        ("Jose Ruiz", "JOSÉ RUIZ sings", None),
    ],
)
def test_what_the_audit_takes_for_the_person_a_purge_finds(name: str, text: str, after: str | None) -> None:
    names = Names({"e1": "X"}, {"e1": [name]})
    assert names.in_text(text)
    assert not names.in_text("somebody else walks")
    if after is not None:
        assert names.text(text) == after
