"""The chain of decisions loses nothing and hides nothing; what it says never closes a finding by mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit import decisions
from vgaudit.decisions import (
    CLOSING,
    REASONS,
    Chain,
    Decision,
    NewDecision,
    ReviewPolicy,
    Standing,
    State,
    Verb,
    append,
    author_name,
    note_of,
    person,
    read_chain,
    standings,
    verify,
)
from vgaudit.errors import RunDirError, UsageError
from vgaudit.records import Finding, Severity, canonical_json, digest

ROOT = Path(__file__).resolve().parent.parent
PLAN = "ab" * 32
TODAY = date(2026, 6, 1)
FOUND = "f" * 32


@pytest.fixture
def run(tmp_path: Path) -> Path:
    manifest = {"schema_version": 1, "spec": {"kind": "run"}, "suite": {"name": "s"}, "plan_digest": PLAN}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def new(verb: str = "dismiss", finding: str = FOUND, author: str = "Ann", **other: object) -> NewDecision:
    codes = {"confirm": "same_person", "dismiss": "not_this_person", "clear": "consent_on_file",
             "escalate": "legal", "reopen": "mistake"}  # fmt: skip
    given: dict[str, object] = {"reason_code": codes[verb], **other}
    return NewDecision(verb, finding, "c" * 64, "likeness.match", author=author, **given)  # type: ignore[arg-type]


def lines(run: Path) -> list[bytes]:
    return (run / decisions.FILE).read_bytes().splitlines(keepends=True)


# -- the chain -------------------------------------------------------------------------------------


def test_a_line_is_canonical_chained_to_the_plan_and_holds_no_note(run: Path) -> None:
    append(run, [new(note="She is not Jane Roe.")])
    append(run, [new("reopen", author="Bob")])
    first, second = (json.loads(line) for line in lines(run))
    assert [canonical_json(v).encode() + b"\n" for v in (first, second)] == lines(run)
    assert (first["seq"], first["prev"]) == (1, PLAN)
    assert (second["seq"], second["prev"]) == (2, first["hash"])
    assert first["hash"] == digest({k: v for k, v in first.items() if k != "hash"})
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert b"Roe" not in b"".join(lines(run))
    note = run / "decision_notes" / f"{first['note_sha256']}.txt"
    assert digest(note.read_bytes()) == first["note_sha256"] != digest(b"She is not Jane Roe.")
    assert verify(run) is None


def test_a_note_that_was_purged_reads_so_and_the_chain_still_verifies(run: Path) -> None:
    append(
        run, [new(note="She is not Jane Roe."), new(finding="e" * 32, note="Ask again."), new(author="Bob")]
    )
    mine, other, none = read_chain(run).decisions
    assert [note_of(run, d) for d in (mine, other, none)] == ["She is not Jane Roe.", "Ask again.", ""]
    (run / "decision_notes" / "0123.txt").write_text("of a writer that was killed before its line")
    (run / "decision_notes" / ".x.tmp").write_text("of one that was killed in the note")
    assert len(decisions.notes_about(run, {FOUND})) == 3
    assert len(decisions.remove_notes(run, {FOUND})) == 3
    assert [note_of(run, d) for d in (mine, other)] == ["purged", "Ask again."]
    assert [p.name for p in (run / "decision_notes").iterdir()] == [f"{other.note_sha256}.txt"]
    assert verify(run) is None
    (run / "decision_notes" / f"{other.note_sha256}.txt").write_text("salt\nAnother text.")
    assert "changed" in note_of(run, other)


@pytest.mark.parametrize(
    ("damage", "line", "what"),
    [
        (lambda text: [text[0], text[1].replace(b"Bob", b"Eve"), text[2]], 2, "hash"),
        (lambda text: [text[0], text[2]], 2, "seq"),
        (lambda text: [text[0], text[2], text[1]], 2, "seq"),
        (lambda text: [text[1], text[2]], 1, "seq"),
        (lambda text: [text[0], b"\n", text[1], text[2]], 2, "not a decision"),
        (lambda text: [text[0], text[1].replace(b'"seq"', b' "seq"'), text[2]], 2, "canonical"),
        (lambda text: [*text[:2], text[2][:40]], 3, "torn"),
        (lambda text: [*text[:2], text[2][:-1]], 3, "torn"),
        (lambda text: [text[0], resealed(text[1], verb="forgive"), text[2]], 2, "unknown verb 'forgive'"),
        (lambda text: [text[0], resealed(text[1], author="Eve"), text[2]], 3, "prev"),
        (lambda text: [text[0], resealed(text[1], expires="soon"), text[2]], 2, "not a decision"),
        (lambda text: [text[0], resealed(text[1], time="2026-01-01T00:00:00"), text[2]], 2, "no zone"),
        (lambda text: [resealed(text[0], prev="cd" * 32), *text[1:]], 1, "prev"),
        (lambda text: [text[0], resealed(text[1], seq=True), text[2]], 2, "seq"),
        (lambda text: [text[0], b"[1]\n", text[2]], 2, "not a decision"),
    ],
)  # fmt: skip
def test_the_first_bad_line_is_named_and_nothing_is_added_to_it(
    run: Path, damage: object, line: int, what: str
) -> None:
    for author in ("Ann", "Bob", "Cid"):
        append(run, [new(author=author)])
    (run / decisions.FILE).write_bytes(b"".join(damage(lines(run))))  # type: ignore[operator]
    problem = verify(run)
    assert problem is not None
    assert (problem.line, what in problem.what) == (line, True), problem
    finding = Finding("s", "likeness.match", Severity.REVIEW, 0, 1, 1, 0.5, "It is so.", fingerprint=FOUND)
    assert standings(read_chain(run), [finding], ReviewPolicy()) == {}
    if what == "torn":
        return
    before = (run / decisions.FILE).read_bytes()
    with pytest.raises(RunDirError, match=f"line {line}"):
        append(run, [new()])
    assert (run / decisions.FILE).read_bytes() == before


def resealed(line: bytes, **changes: object) -> bytes:
    value = {**json.loads(line), **changes}
    value["hash"] = digest({k: v for k, v in value.items() if k != "hash"})
    return canonical_json(value).encode() + b"\n"


def test_a_line_keeps_the_policy_and_older_lines_without_one_stay_readable(run: Path) -> None:
    append(run, [new(policy="all"), new(author="Bob")])
    (first, second), text = read_chain(run).decisions, lines(run)
    assert (first.policy, json.loads(text[0])["policy"], second.policy) == ("all", "all", "")
    assert b"policy" not in text[1]
    assert verify(run) is None
    for odd, what in (("some", "unknown policy 'some'"), ("", "canonical")):
        value = {**json.loads(text[1]), "policy": odd}
        hashed = {k: v for k, v in value.items() if k != "hash" and (k != "policy" or v)}
        value["hash"] = digest(hashed)
        (run / decisions.FILE).write_bytes(text[0] + canonical_json(value).encode() + b"\n")
        problem = verify(run)
        assert problem is not None
        assert (problem.line, what in problem.what) == (2, True), problem


def test_chain_and_notes_are_for_their_owner_alone(run: Path) -> None:
    before = os.umask(0)
    try:
        append(run, [new(note="She is not Jane Roe.")])
    finally:
        os.umask(before)
    for file in (run / decisions.FILE, *(run / decisions.NOTES).iterdir()):
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_cut_off_by_the_next_decision_which_says_so(run: Path) -> None:
    append(run, [new()])
    whole = (run / decisions.FILE).read_bytes()
    (run / decisions.FILE).write_bytes(whole + b'{"author":"Bo')
    done = append(run, [new("reopen")])
    assert "13 bytes" in done.mended
    assert (run / decisions.FILE).read_bytes().startswith(whole)
    assert (verify(run), len(read_chain(run).decisions)) == (None, 2)
    (run / decisions.FILE).write_bytes((run / decisions.FILE).read_bytes() + b"{")
    assert "1 bytes" in decisions.cut_torn_line(run)
    assert (verify(run), decisions.cut_torn_line(run)) == (None, "")


def test_lines_cut_off_the_end_are_missed_by_the_count_that_was_kept(run: Path) -> None:
    append(run, [new(), new("reopen"), new(author="Bob")])
    anchor = read_chain(run).anchor
    (run / "results.json").write_text(json.dumps({"decisions": anchor}))
    assert verify(run) is None
    append(run, [new("reopen")])
    assert verify(run) is None  # more than was applied
    text = lines(run)
    for left in (2, 0):
        (run / decisions.FILE).write_bytes(b"".join(text[:left]))
        problem = verify(run)
        assert problem is not None
        assert "3 decisions had been applied" in problem.what
    (run / decisions.FILE).unlink()
    assert verify(run) is not None
    for odd in ({"count": "many"}, [3], {"count": 1}):
        (run / "results.json").write_text(json.dumps({"decisions": odd}))
        problem = verify(run)
        assert problem is not None
        assert "cannot be read" in problem.what
    with pytest.raises(RunDirError):
        verify(run / "nowhere")


def test_two_writers_at_once_lose_nothing(run: Path) -> None:
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from vgaudit.decisions import NewDecision, append
        for i in range(40):
            append(Path({str(run)!r}), [NewDecision("escalate", f"{{i:032x}}", "c" * 64, "likeness.match", "legal",
                                                   sys.argv[1], note=f"{{sys.argv[1]}} {{i}}")])
    """)
    started = [
        subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT) for name in ("Ann", "Bob", "Cid")
    ]
    while any(p.poll() is None for p in started):
        read_chain(run)
        assert verify(run) is None  # a reader never sees half a line
        time.sleep(0.02)
    assert [p.returncode for p in started] == [0, 0, 0]
    written = read_chain(run).decisions
    assert verify(run) is None
    said = [f"{n} {i}" for n in ("Ann", "Bob", "Cid") for i in range(40)]
    assert sorted(note_of(run, d) for d in written) == sorted(said)


def test_a_writer_killed_at_any_moment_costs_at_most_what_it_had_not_told(run: Path) -> None:
    code = textwrap.dedent(f"""
        from pathlib import Path
        from vgaudit.decisions import NewDecision, append
        for i in range(10**6):
            new = NewDecision("escalate", f"{{i:032x}}", "c" * 64, "k", "legal", "Ann", note="n")
            append(Path({str(run)!r}), [new])
            print(i, flush=True)
    """)
    for wait in (0.02, 0.05, 0.11):
        told_before = len(read_chain(run).decisions)
        writer = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        told = 1 + len(writer.stdout.read().splitlines())
        writer.wait()
        writer.stdout.close()
        decisions.cut_torn_line(run)
        assert verify(run) is None
        assert told <= len(read_chain(run).decisions) - told_before <= told + 1


# -- what may be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (new(reason_code="because"), "reason code of dismiss"),
        (new(reason_code="other"), "a note"),
        (new(reason_code="other", note="  "), "a note"),
        (new(note="n" * 10_001), "10000 characters"),
        (new(note="half \ud800"), "half a character"),
        (new(time=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))), "the time of a decision"),
        (new("clear"), "consent ends"),
        (new("clear", expires=date(2020, 1, 1)), "it is over"),
        (new("clear", expires=datetime.now(UTC).date() + timedelta(days=3660)), "looked at again after 10 years"),
        (new("clear", expires=date.max), "looked at again after 10 years"),
        (new("reopen", expires=date(2999, 1, 1)), "no --expires"),
        (replace(new(), verb="forgive"), "the verb 'forgive'"),
        (new(author=" \t "), "expected the name"),
        (new(author="A\u200bnn"), "U\\+200B"),
        (new(author="A" * 121), "121 characters"),
        (new(time=datetime(2026, 1, 1)), "with its zone"),
        (new(time=datetime.now(UTC) + timedelta(hours=1)), "lies ahead"),
        (replace(new("clear", expires=date(2999, 1, 1)), kind="temporal.flicker"), "no `clear` of temporal.flicker"),
    ],
)  # fmt: skip
def test_what_is_not_complete_is_not_written(run: Path, wrong: NewDecision, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        append(run, [new(), wrong])
    assert not (run / decisions.FILE).exists()


def test_every_verb_has_reasons_and_words(run: Path) -> None:
    for verb in Verb:
        for code in REASONS[verb]:
            made = append(
                run,
                [
                    new(
                        verb,
                        reason_code=code,
                        note="so",
                        expires=datetime.now(UTC).date() if verb == "clear" else None,
                    )
                ],
            )
            assert made.written[0].reason == REASONS[verb][code]
    assert verify(run) is None


def test_the_author_is_given_or_set_and_never_guessed() -> None:
    assert author_name("  Ann \n Lee ") == "Ann Lee"
    assert author_name(None, {"VGAUDIT_AUTHOR": "Bob"}) == "Bob"
    for given_, environment in ((None, {}), ("", {"VGAUDIT_AUTHOR": "Bob"}), (None, {"VGAUDIT_AUTHOR": " "})):
        with pytest.raises(UsageError, match="VGAUDIT_AUTHOR"):
            author_name(given_, environment)
    assert (
        person("Ann Lee")
        == person("ann  LEE")
        == person("annlee")
        == person("\uff21nn Lee")
        != person("Ann Li")
    )


def test_a_decision_with_its_time_is_written_once(run: Path) -> None:
    made = [
        new(time=datetime(2026, 1, 1, tzinfo=UTC), note="n"),
        new(author="Bob", time=datetime(2026, 1, 1, tzinfo=UTC)),
    ]
    assert len(append(run, [*made, made[0]]).written) == 2
    again = append(run, [*made, new(author="Cid", time=datetime(2026, 1, 2, tzinfo=UTC))])
    assert ([d.author for d in again.written], [d.author for d in again.known]) == (["Cid"], ["Ann", "Bob"])
    assert len(list((run / "decision_notes").iterdir())) == 1


# -- where findings stand --------------------------------------------------------------------------


def stands(
    *made: NewDecision, severity: Severity = Severity.ALERT, policy: ReviewPolicy | None = None
) -> Standing:
    """Standing after decisions, a day apart from 2026-01-01 on where they have no time."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    chain = tuple(
        Decision(
            i + 1, (d.time or begin + timedelta(days=i)).isoformat(timespec="seconds"), d.author, d.verb, d.finding,
            d.clip, d.kind, d.reason_code, None, d.expires.isoformat() if d.expires else None, "", policy=d.policy,
        ).sealed()
        for i, d in enumerate(made)
    )  # fmt: skip
    finding = Finding("s", "likeness.match", severity, 0, 1, 1, 0.5, "It is so.", fingerprint=FOUND)
    found = standings(Chain(chain), [finding], policy or ReviewPolicy(), TODAY)
    return found.get(FOUND, decisions.OPEN)


PAST, LAST, LATER = date(2026, 5, 31), TODAY, date(2026, 12, 31)
ALL, NONE = ReviewPolicy("all"), ReviewPolicy("none")
REVIEW = {"severity": Severity.REVIEW}


@pytest.mark.parametrize(
    ("made", "options", "state", "words"),
    [
        ([], {}, "open", "open"),
        ([new(finding="e" * 32)], {}, "open", "open"),
        ([new()], {"severity": Severity.REVIEW}, "dismissed", "dismissed by Ann on 2026-01-01: not this person"),
        ([new()], {}, "open", "open, awaiting a second person (dismissed by Ann on 2026-01-01: not this person)"),
        ([new(), new(author=" ANN")], {}, "open", "awaiting"),
        ([new(), new(author="Bob")], {}, "dismissed", "dismissed by Bob on 2026-01-02: not this person, as by Ann"),
        ([new(), new("confirm", author="Bob"), new(author="Cid")], {}, "open", "awaiting"),
        ([new(), new("escalate", author="Bob"), new(author="Cid")], {}, "open", "awaiting"),
        ([new(expires=PAST), new(author="Bob")], {}, "open", "awaiting"),
        ([new(), new(author="Bob", expires=PAST)], {}, "open", "expired on 2026-05-31"),
        ([new()], {"policy": NONE}, "dismissed", "dismissed by Ann"),
        ([new()], {"policy": ALL, "severity": Severity.MINOR}, "open", "awaiting"),
        ([new("clear", expires=LATER)], REVIEW, "cleared", "consent on file, until 2026-12-31"),
        ([new("clear", expires=LAST)], REVIEW, "cleared", "until 2026-06-01"),
        # nobody closes an alert alone, whatever the verb
        ([new("clear", expires=LATER)], {}, "open", "awaiting a second person (cleared by Ann"),
        ([new("clear", expires=LATER), new("clear", author="Bob", expires=LATER)], {}, "cleared", "as by Ann"),
        ([new("clear", expires=LATER), new(author="Bob")], {}, "open", "awaiting"),
        # nor what somebody else confirmed or escalated, whatever the severity, nor by reopening it first
        ([new("confirm", author="Bob"), new()], REVIEW, "open", "awaiting"),
        ([new("escalate", author="Bob"), new("clear", expires=LATER)], REVIEW, "open", "awaiting"),
        ([new("confirm", author="Bob"), new("reopen"), new()], REVIEW, "open", "awaiting"),
        ([new("confirm", author="Bob"), new(), new(author="Cid")], REVIEW, "dismissed", "as by Ann"),
        ([new("confirm", author="Bob"), new(author="BOB")], REVIEW, "dismissed", "dismissed by BOB"),
        ([new("confirm", author="Bob"), new("reopen", author="Bob"), new()], REVIEW, "dismissed", "dismissed by Ann"),
        ([new("confirm", author="Bob", expires=PAST), new()], REVIEW, "dismissed", "dismissed by Ann"),
        ([new("confirm", author="Bob"), new()], {**REVIEW, "policy": NONE}, "dismissed", decisions.ALONE),
        # a policy that was made weaker since does not open what was asked for
        ([new(policy="alert")], {"policy": NONE}, "open", "awaiting"),
        ([new(policy="all")], REVIEW, "open", "awaiting"),
        ([new(policy="alert"), new("reopen"), new(policy="none")], {"policy": NONE}, "open", "awaiting"),
        ([new(policy="none")], {"policy": NONE}, "dismissed", decisions.ALONE),
        ([new(policy="none"), new(author="Bob", policy="none")], {"policy": NONE}, "dismissed", "dismissed by Bob"),
        ([new(policy="none")], {}, "open", "awaiting"),
        ([new("clear", expires=PAST)], {}, "open", "open: the decision expired on 2026-05-31 (cleared by Ann"),
        ([new("clear", expires=LATER)], {"policy": ALL}, "open", "awaiting"),
        ([new("clear", expires=LATER), new(author="Bob")], {"policy": ALL}, "open", "awaiting"),
        ([new("confirm")], {}, "confirmed", "confirmed by Ann on 2026-01-01: the person is recognisable"),
        ([new("escalate")], {}, "escalated", "escalated by Ann"),
        ([new("confirm", expires=PAST)], {}, "open", "expired"),
        ([new(), new(author="Bob"), new("reopen")], {}, "open", "reopened by Ann on 2026-01-03: decided by mistake"),
        ([new(), new("reopen"), new(author="Bob")], {}, "open", "awaiting"),
        ([new(), new(author="Bob"), new("confirm", author="Cid")], {}, "confirmed", "confirmed by Cid"),
        # taken in late: an older dismissal does not win over what was said since
        ([new("confirm", time=datetime(2026, 3, 1, tzinfo=UTC)), new(time=datetime(2026, 2, 1, tzinfo=UTC))],
         {"policy": NONE}, "confirmed", "confirmed by Ann on 2026-03-01"),
    ],
)  # fmt: skip
def test_where_a_finding_stands(
    made: list[NewDecision], options: dict[str, object], state: str, words: str
) -> None:
    standing = stands(*made, **options)  # type: ignore[arg-type]
    assert (standing.state, words in standing.words) == (state, True), standing
    assert standing.closed == (state in ("dismissed", "cleared"))
    assert standing.awaiting == ("awaiting" in words)
    assert bool(standing.expired) == ("expired" in words)


def made_up(verb: Verb, author: str, expires: date | None) -> NewDecision:
    last = None if verb is Verb.REOPEN else expires or (LATER if verb is Verb.CLEAR else None)
    return new(verb, author=author, expires=last)


some_decision = st.builds(
    made_up,
    st.sampled_from(Verb),
    st.sampled_from(["Ann", "ann", "Bob"]),
    st.sampled_from([None, PAST, LATER]),
)


@given(st.lists(some_decision, max_size=6), st.sampled_from(["none", "alert", "all"]))
def test_a_finding_is_never_closed_without_a_valid_last_word(made: list[NewDecision], second: str) -> None:
    standing = stands(*made, policy=ReviewPolicy(second))  # type: ignore[arg-type]
    if standing.closed:
        last = made[-1]
        assert last.verb in CLOSING
        assert last.expires is None or last.expires >= TODAY
        if second != "none":
            assert {person(d.author) for d in made if d.verb == last.verb and d.expires != PAST} == {
                "ann",
                "bob",
            }
    stricter = stands(*made, policy=ALL)
    assert not (stricter.closed and not standing.closed)


def test_findings_that_share_a_fingerprint_are_as_hard_to_close_as_the_worst() -> None:
    decision = Decision(
        1, "2026-01-01T00:00:00+00:00", "Ann", "dismiss", FOUND, "c", "k", "other", None, None, ""
    )
    both = [
        Finding("s", "k", severity, 0, 1, 1, 0.5, "It is so.", fingerprint=FOUND)
        for severity in (Severity.ALERT, Severity.REVIEW)
    ]
    for found in (both, both[::-1]):
        assert standings(Chain((decision.sealed(),)), found, ReviewPolicy(), TODAY)[FOUND].state is State.OPEN


def test_importing_decisions_loads_nothing_heavy() -> None:
    code = "import vgaudit.decisions, sys; print([m for m in ('numpy', 'torch', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# -- for whoever goes on reading and writing -------------------------------------------------------


def test_a_file_that_cannot_grow_keeps_whole_lines_only(run: Path) -> None:
    append(run, [new()])
    before = (run / decisions.FILE).read_bytes()
    code = textwrap.dedent(f"""
        import resource, sys
        from pathlib import Path
        from tests.test_decisions import append, new
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, resource.RLIM_INFINITY))
        try:
            append(Path(sys.argv[1]), [new("confirm")])
        except OSError as error:
            print("told:", error.strerror)
        """)
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.returncode) == ("told: File too large\n", 0), done.stderr
    assert (run / decisions.FILE).read_bytes() == before
    assert verify(run) is None


def test_a_check_sees_the_chain_as_it_is_and_stops_the_append(run: Path) -> None:
    append(run, [new()])
    seen: list[Chain] = []

    def refuse(chain: Chain) -> None:
        seen.append(chain)
        raise UsageError("not now")

    with pytest.raises(UsageError, match="not now"):
        append(run, [new("confirm", note="A note.")], check=refuse)
    assert [len(chain.decisions) for chain in seen] == [1]
    assert len(lines(run)) == 1
    assert not (run / decisions.NOTES).exists()
    append(run, [new("confirm")], check=seen.append)
    assert [len(chain.decisions) for chain in seen] == [1, 1]
    assert len(lines(run)) == 2


def test_nothing_is_added_to_a_chain_whose_end_is_missing(run: Path) -> None:
    append(run, [new()])
    append(run, [new("confirm")])
    anchor = read_chain(run).anchor
    (run / decisions.FILE).write_bytes(lines(run)[0])
    with pytest.raises(RunDirError, match="2 decisions had been applied"):
        append(run, [new("escalate")], anchor=anchor)
    assert len(lines(run)) == 1


def test_reading_on_says_what_reading_anew_says(run: Path) -> None:
    reader = decisions.ChainReader()
    for number in range(4):
        assert (reader := reader.again(run)).chain == read_chain(run)
        append(run, [new(author=f"A{number}")])
    assert (reader := reader.again(run)).chain == read_chain(run)
    text = (run / decisions.FILE).read_bytes()
    for harm in (text.replace(b"A1", b"B1", 1), text[:-1], b"", text[: text.index(b"\n") + 1], b"\n" + text):
        (run / decisions.FILE).write_bytes(harm)
        anchor = {"count": 4, "head": json.loads(text.splitlines()[-1])["hash"]}
        assert (broken := reader.again(run, anchor)).chain == read_chain(run, anchor)
        assert broken.chain.problem
        (run / decisions.FILE).write_bytes(text)
        assert broken.again(run, anchor).chain == read_chain(run, anchor)
        assert reader.again(run, anchor).chain.problem is None
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "plan_digest": "0" * 64}))
    assert "another run" in str(reader.again(run).chain.problem)
