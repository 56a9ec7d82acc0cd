"""Gates: what passes, what fails, and above all what must not pass."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vgaudit.gates import GateSpec, evaluate, is_assessed, verdict
from vgaudit.records import Finding, GateResult, Measurement, Outcome, Result, Severity

PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_COMPUTED
NAME = "temporal.warp_error"


def gate(text: str | dict[str, Any], **more: Any) -> GateSpec:
    if isinstance(text, str) and not more:
        return GateSpec.model_validate(text)
    fields = {"metric": NAME, **more} if isinstance(text, str) else {**text, **more}
    return GateSpec.model_validate(fields)


def result(low: float | None = 0.02, high: float | None = 0.04, **changes: Any) -> Result:
    fields: dict[str, Any] = {
        "name": NAME, "group": "g", "value": 0.03, "low": low, "high": high, "confidence": 0.95,
        "n": 18, "n_clusters": 18,
    }  # fmt: skip
    return Result(**{**fields, **changes})


def not_computed(status: str = "not computed", reason: str = "weights are missing") -> Result:
    return Result(NAME, "g", None, status=status, reason=reason)  # type: ignore[arg-type]


def broken(**attributes: Any) -> Result:
    """A result that only a corrupted or foreign record could be: past the checks of its own class."""
    made = result()
    for name, value in attributes.items():
        object.__setattr__(made, name, value)
    return made


def finding(kind: str = "likeness.match", severity: Severity = Severity.REVIEW, clip: str = "s1") -> Finding:
    return Finding(clip, kind, severity, 0.5, 1.0, 0.7, 0.6, "It looks alike.")


MAX = {"metric": NAME, "max": 0.05}
ON_ESTIMATE = {**MAX, "on": "estimate"}

# gate, results, expected outcome, words of the reason
RESULT_SITUATIONS: dict[str, tuple[dict[str, Any], list[Result], Outcome, str]] = {
    "interval below the limit": (MAX, [result()], PASSED, "95 % interval 0.02 to 0.04"),
    "interval ends at the limit": (MAX, [result(high=0.05)], PASSED, "0.05"),
    "interval ends at a strict limit": (
        {"metric": NAME, "below": 0.05}, [result(high=0.05)], UNKNOWN, "insufficient evidence",
    ),
    "interval above the limit": (MAX, [result(0.06, 0.09, value=0.07)], FAILED, "0.06 to 0.09"),
    "interval begins at the limit": (MAX, [result(0.05, 0.09, value=0.07)], UNKNOWN, "insufficient"),
    "interval begins at a strict limit": (
        {"metric": NAME, "below": 0.05}, [result(0.05, 0.09, value=0.07)], FAILED, "",
    ),
    "interval straddles the limit": (MAX, [result(high=0.08)], UNKNOWN, "insufficient evidence: the limit lies"),
    "straddles, estimate asked for": (ON_ESTIMATE, [result(high=0.08)], PASSED, "estimate only"),
    "estimate beyond the limit": (ON_ESTIMATE, [result(value=0.06, high=0.08)], FAILED, "0.06"),
    "minimum kept": ({"metric": NAME, "min": 0.01}, [result()], PASSED, ""),
    "minimum missed": ({"metric": NAME, "min": 0.05}, [result()], FAILED, ""),
    "minimum straddled": ({"metric": NAME, "min": 0.03}, [result()], UNKNOWN, "insufficient"),
    "strict minimum touched": ({"metric": NAME, "above": 0.02}, [result()], UNKNOWN, "insufficient"),
    "within both limits": ({"metric": NAME, "min": 0.01, "max": 0.05}, [result()], PASSED, ""),
    "beyond one of two limits": ({"metric": NAME, "min": 0.045, "max": 0.05}, [result()], FAILED, ""),
    "straddles one of two limits": ({"metric": NAME, "min": 0.03, "max": 0.05}, [result()], UNKNOWN, "insufficient"),
    "no results at all": (MAX, [], UNKNOWN, "there is no result"),
    "only another metric's result": (
        MAX, [result(name="temporal.warp_errors")], UNKNOWN, "did you mean 'temporal.warp_errors'",
    ),
    "only another group's result": (MAX, [result(group="h")], UNKNOWN, "there is no result"),
    "the result twice": (MAX, [result(), result()], UNKNOWN, "2 results"),
    "not computed": (MAX, [not_computed()], UNKNOWN, "weights are missing"),
    "not computed, estimate": (ON_ESTIMATE, [not_computed()], UNKNOWN, "weights are missing"),
    "not computed is not applicable": (
        {**MAX, "allow_not_applicable": True}, [not_computed()], UNKNOWN, "weights are missing",
    ),
    "not applicable": (MAX, [not_computed("not applicable", "no prompts")], UNKNOWN, "not applicable: no prompts"),
    "not applicable, allowed": (
        {**MAX, "allow_not_applicable": True}, [not_computed("not applicable", "no prompts")], PASSED, "allows",
    ),
    "no interval": (MAX, [result(None, None, reason="one prompt")], UNKNOWN, "without an interval (one prompt)"),
    "no interval, estimate asked for": (ON_ESTIMATE, [result(None, None)], PASSED, ""),
    "one-sided interval on the good side": (MAX, [result(None, 0.04)], PASSED, ""),
    "one-sided interval on the wrong side": (MAX, [result(0.02, None)], UNKNOWN, "insufficient"),
    "infinite end": (MAX, [result(high=math.inf)], UNKNOWN, "insufficient"),
    "infinite end, bad side": (MAX, [result(0.06, math.inf, value=0.07)], FAILED, ""),
    "interval upside down": (MAX, [result(0.04, 0.02)], UNKNOWN, "is none"),
    "interval without a confidence": (MAX, [result(confidence=None)], UNKNOWN, "confidence"),
    "value is NaN": (MAX, [broken(value=math.nan)], UNKNOWN, "the value is nan"),
    "value is NaN, estimate": (ON_ESTIMATE, [broken(value=math.nan)], UNKNOWN, "the value is nan"),
    "value is infinite": (ON_ESTIMATE, [broken(value=-math.inf)], UNKNOWN, "the value is -inf"),
    "value is absent": (ON_ESTIMATE, [broken(value=None)], UNKNOWN, "the value is None"),
    "interval holds NaN": (MAX, [broken(low=math.nan)], UNKNOWN, "is none"),
    "n is zero": (MAX, [broken(n=0)], UNKNOWN, "n = 0"),
    "unheard-of status": (MAX, [broken(status="skipped")], UNKNOWN, "skipped"),
    "uncalibrated": (MAX, [result(detail={"uncalibrated": True})], UNKNOWN, "uncalibrated likeness result"),
    "uncalibrated, estimate": (
        ON_ESTIMATE, [result(detail={"uncalibrated": True})], UNKNOWN, "uncalibrated likeness result",
    ),
    "uncalibrated, outside": (
        MAX, [result(value=9.0, low=8.0, high=10.0, detail={"uncalibrated": True})], UNKNOWN, "uncalibrated",
    ),
    "calibrated": (MAX, [result(detail={"uncalibrated": False})], PASSED, ""),
    "out of domain": (
        MAX, [result(detail={"out_of_domain": "out of domain: the backend does not declare it"})], UNKNOWN,
        "out of domain: the backend does not declare it",
    ),
    "out of domain, estimate, whatever may lack": (
        {**ON_ESTIMATE, "allow_missing": 99, "allow_not_applicable": True},
        [result(detail={"out_of_domain": "out of domain: x"})], UNKNOWN, "out of domain: x",
    ),
    "out of domain, outside": (
        MAX, [result(value=9.0, low=8.0, high=10.0, detail={"out_of_domain": True}, reason="x")], UNKNOWN,
        "out of domain: x",
    ),
    "within its domain": (MAX, [result(detail={"domain": "storyworld", "bundled": True})], PASSED, ""),
    "insufficient by its own account": (
        MAX, [result(detail={"insufficient": "needs 1,024 clips"})], UNKNOWN, "needs 1,024 clips",
    ),
    "some clips unmeasured": (
        MAX, [result(reason="3 of 40 clips have no value: 3 x broken", detail={"n_missing": 3})], UNKNOWN, "3 of 40",
    ),
    "some clips unmeasured, estimate": (ON_ESTIMATE, [result(detail={"n_missing": 3})], UNKNOWN, "not every clip"),
    "as many unmeasured as allowed": ({**MAX, "allow_missing": 3}, [result(detail={"n_missing": 3})], PASSED, ""),
    "one more than allowed": ({**MAX, "allow_missing": 2}, [result(detail={"n_missing": 3})], UNKNOWN, "not every"),
    "missing count is no count": (MAX, [result(detail={"n_missing": "few"})], UNKNOWN, "not every clip"),
    "some clips not applicable": (MAX, [result(detail={"n_missing": 0, "n_not_applicable": 9})], PASSED, ""),
    "named group absent": ({**MAX, "group": "gg"}, [result()], UNKNOWN, "no group 'gg'; did you mean 'g'"),
    "named group present": ({**MAX, "group": "g"}, [result()], PASSED, ""),
}  # fmt: skip


@pytest.mark.parametrize("situation", RESULT_SITUATIONS)
def test_gate_on_a_result(situation: str) -> None:
    spec, results, outcome, words = RESULT_SITUATIONS[situation]
    (held,) = evaluate([gate(spec)], results, ["g"])
    assert held.outcome == outcome, held.reason
    assert words in held.reason


FINDINGS = {"findings": "likeness.match"}
ALL_SEEN = {"likeness": {"g": (4, 4)}}
TEMPORAL_SEEN = {"temporal": {"g": (4, 4)}}
KINDS = {"likeness": ("likeness.match", "likeness.face")}

# gate, findings, coverage, expected outcome, words of the reason
FINDING_SITUATIONS: dict[str, tuple[dict[str, Any], list[Finding], Any, Outcome, str]] = {
    "none, all clips seen": (FINDINGS, [], ALL_SEEN, PASSED, "looked at 4 clips"),
    "one": (FINDINGS, [finding()], ALL_SEEN, FAILED, "1 open finding, 0 allowed; the worst: likeness.match at 0.5"),
    "as many as allowed": ({**FINDINGS, "max": 1}, [finding()], ALL_SEEN, PASSED, ""),
    "one too many": ({**FINDINGS, "max": 1}, [finding()] * 2, ALL_SEEN, FAILED, ""),
    "none, one clip unseen": (FINDINGS, [], {"likeness": {"g": (3, 4)}}, UNKNOWN, "only 3 of 4"),
    "one clip unseen is allowed": ({**FINDINGS, "allow_missing": 1}, [], {"likeness": {"g": (3, 4)}}, PASSED, ""),
    "no clip seen, all allowed to miss": (
        {**FINDINGS, "allow_missing": 9}, [], {"likeness": {"g": (0, 4)}}, UNKNOWN, "only 0 of 4",
    ),
    "too many, one clip unseen": (FINDINGS, [finding()], {"likeness": {"g": (3, 4)}}, FAILED, ""),
    "metric did not run": (FINDINGS, [], {}, UNKNOWN, "likeness was not run"),
    "metric ran on another group": (FINDINGS, [], {"likeness": {"h": (4, 4)}}, UNKNOWN, "was not run"),
    "no clips": (FINDINGS, [], {"likeness": {"g": (0, 0)}}, UNKNOWN, "no clips"),
    "other kind": ({"findings": "likeness.face"}, [finding()], ALL_SEEN, PASSED, ""),
    "all of a metric": ({"findings": "likeness.*"}, [finding()], ALL_SEEN, FAILED, ""),
    "misspelt kind": ({"findings": "likeness.mach"}, [], ALL_SEEN, UNKNOWN, "did you mean 'likeness.match'"),
    "kind of a metric that declares none": (
        {"findings": "temporal.freeze"}, [], TEMPORAL_SEEN, UNKNOWN, "only 'temporal.*' can",
    ),
    "all of a metric that declares none": ({"findings": "temporal.*"}, [], TEMPORAL_SEEN, PASSED, ""),
    "every kind, all clips seen": ({"findings": "*"}, [], ALL_SEEN, PASSED, ""),
    "every kind, no metric": ({"findings": "*"}, [], {}, UNKNOWN, "no metric was run"),
    "every kind, one metric blind": (
        {"findings": "*"}, [], {**ALL_SEEN, "temporal": {"g": (1, 4)}}, UNKNOWN, "temporal looked at only 1 of 4",
    ),
    "a kind that one clip was not searched for": (
        FINDINGS, [], {**ALL_SEEN, "likeness.match": {"g": (3, 4)}}, UNKNOWN,
        "likeness.match could be looked for in only 3 of 4 clips",
    ),
    "every kind, one of them not searched for": (
        {"findings": "*"}, [], {**ALL_SEEN, "likeness.match": {"g": (3, 4)}}, UNKNOWN, "only 3 of 4 clips",
    ),
    "one clip not searched is allowed": (
        {**FINDINGS, "allow_missing": 1}, [], {**ALL_SEEN, "likeness.match": {"g": (3, 4)}}, PASSED, "",
    ),
    "no clip searched, all allowed to miss": (
        {**FINDINGS, "allow_missing": 9}, [], {**ALL_SEEN, "likeness.match": {"g": (0, 4)}}, UNKNOWN, "only 0 of 4",
    ),
    "a metric with a dot in its name is no kind": (
        {"findings": "*"}, [], {**ALL_SEEN, "acme.smoke": {"g": (0, 4)}}, UNKNOWN, "acme.smoke looked at only 0 of 4",
    ),
    "another kind was not searched for": (
        {"findings": "likeness.face"}, [], {**ALL_SEEN, "likeness.match": {"g": (3, 4)}}, PASSED, "",
    ),
    "a fact, not a fault": (FINDINGS, [finding(severity=Severity.INFO)], ALL_SEEN, PASSED, ""),
    "facts counted on request": (
        {**FINDINGS, "at_least": "info"}, [finding(severity=Severity.INFO)], ALL_SEEN, FAILED, "",
    ),
    "milder than counted": ({**FINDINGS, "at_least": "alert"}, [finding()], ALL_SEEN, PASSED, ""),
    "as bad as counted": ({**FINDINGS, "at_least": "review"}, [finding()], ALL_SEEN, FAILED, ""),
    "finding of another group's clip": (FINDINGS, [finding(clip="h1")], ALL_SEEN, PASSED, ""),
    "finding of a clip nobody knows": (FINDINGS, [finding(clip="?")], ALL_SEEN, UNKNOWN, "unknown sample"),
}  # fmt: skip


@pytest.mark.parametrize("situation", FINDING_SITUATIONS)
def test_gate_on_findings(situation: str) -> None:
    spec, findings, coverage, outcome, words = FINDING_SITUATIONS[situation]
    (held,) = evaluate(
        [gate({**spec, "group": "g"})],
        [],
        ["g", "h"],
        findings=findings,
        sample_groups={"s1": "g", "h1": "h"},
        coverage=coverage,
        finding_kinds=KINDS,
    )
    assert held.outcome == outcome, held.reason
    assert words in held.reason


def decided(spec: Any, **decisions: Any) -> GateResult:
    (held,) = evaluate(
        [gate({**spec, "group": "g"})], [], ["g", "h"], sample_groups={"s1": "g", "h1": "h"}, coverage=ALL_SEEN,
        finding_kinds=KINDS, **decisions,
    )  # fmt: skip
    return held


def test_a_gate_says_what_reviewers_closed_and_does_not_pass_on_what_expired_or_cannot_be_read() -> None:
    closed = [finding(), finding(), finding(clip="h1"), finding(severity=Severity.INFO)]
    held = decided(FINDINGS, closed=closed)
    assert (held.outcome, "; 2 closed by decisions" in held.reason) == (PASSED, True)
    held = decided(FINDINGS, findings=[finding()], closed=closed)
    assert (held.outcome, "2 closed by decisions" in held.reason) == (FAILED, True)
    lax = {**FINDINGS, "max": 5}
    held = decided(lax, findings=[finding()], expired=[finding()])
    assert (held.outcome, "1 decision expired: a person has to decide again" in held.reason) == (
        UNKNOWN,
        True,
    )
    assert decided(lax, expired=[finding(clip="h1"), finding("temporal.freeze")]).outcome == PASSED
    for findings in ([], [finding()]):
        held = decided(FINDINGS, findings=findings, undecidable="line 2 was changed")
        assert (held.outcome, "line 2 was changed" in held.reason) == (UNKNOWN, True)


GHOSTS = {"likeness": {"g": (4, 4)}, "likeness.match": {"g": (1, 4)}, "likeness.face": {"g": (1, 4)}}
SHORT = {"g": {"too short": ["c", "d"], "blurred": ["b"]}}


def held_with_gaps(spec: Any, coverage: Any, gaps: Any, results: Sequence[Result] = ()) -> GateResult:
    (held,) = evaluate(
        [gate(spec)], results, ["g"], sample_groups={"s1": "g"}, coverage=coverage, finding_kinds=KINDS, gaps=gaps
    )  # fmt: skip
    return held


def test_a_gate_says_why_a_kind_was_not_looked_for_and_in_which_clips() -> None:
    held = held_with_gaps(FINDINGS, GHOSTS, {"likeness.match": SHORT, "likeness.face": {"g": {"no": ["x"]}}})
    assert held.outcome == UNKNOWN
    assert held.reason == (
        "likeness.match could be looked for in only 1 of 4 clips: too short (2 clips: c, d); blurred (1 clip: b)"
    )


def test_kinds_that_lack_for_the_same_reasons_share_a_sentence_and_others_follow() -> None:
    alike = held_with_gaps(
        "findings likeness.* <= 0", GHOSTS, {"likeness.match": SHORT, "likeness.face": SHORT}
    )
    assert alike.reason.startswith(
        "likeness.match, likeness.face could be looked for in only 1 of 4 clips: too"
    )
    other = {"likeness.match": SHORT, "likeness.face": {"g": {"no": ["x", "y", "z"]}}}
    told = held_with_gaps("findings likeness.* <= 0", GHOSTS, other).reason
    assert "; likeness.face could be looked for in only 1 of 4 clips: no (3 clips: x, y, ...)" in told


def test_a_gate_says_why_a_metric_did_not_look_at_clips() -> None:
    gaps = {
        "likeness": {"g": {f"why {'abcde'[i]}": [f"clip {i}"] for i in range(5)} | {"often": ["a", "b", "c"]}}
    }
    held = held_with_gaps(FINDINGS, {"likeness": {"g": (1, 9)}}, gaps)
    assert held.outcome == UNKNOWN
    assert held.reason == (
        "likeness looked at only 1 of 9 clips: often (3 clips: a, b, ...); why a (1 clip: clip 0); "
        "why b (1 clip: clip 1); and 3 more reasons (3 clips)"
    )


def test_reasons_that_differ_in_numbers_alone_are_told_once() -> None:
    gaps = {"likeness": {"g": {"3 of 10.5 s": ["a", "b"], "dark": ["c", "d", "e"], "14 of 9 s": ["f", "b"]}}}
    held = held_with_gaps(FINDINGS, {"likeness": {"g": (1, 9)}}, gaps)
    assert held.reason.endswith(
        "clips: 3 of 10.5 s (3 clips, other numbers in some: a, b, ...); dark (3 clips: c, d, ...)"
    )


def test_what_a_gate_allows_to_miss_is_told_where_it_passes() -> None:
    held = held_with_gaps({**FINDINGS, "allow_missing": 3}, GHOSTS, {"likeness.match": SHORT})
    assert held.outcome == PASSED
    assert (
        "; allowed by allow_missing: likeness.match could be looked for in only 1 of 4 clips: too"
        in held.reason
    )
    whole = held_with_gaps(
        {**FINDINGS, "allow_missing": 1}, {"likeness": {"g": (3, 4)}}, {"likeness": {"g": {"small": ["s"]}}}
    )
    assert whole.outcome == PASSED
    assert "allowed by allow_missing: likeness looked at only 3 of 4 clips: small (1 clip: s)" in whole.reason
    assert "allow_missing" not in held_with_gaps(FINDINGS, ALL_SEEN, {}).reason


def test_reasons_decide_nothing() -> None:
    assert held_with_gaps(FINDINGS, ALL_SEEN, {"likeness.match": SHORT}).outcome == PASSED
    assert held_with_gaps(FINDINGS, GHOSTS, {}).outcome == UNKNOWN


def test_a_network_out_of_its_domain_is_named_once_beside_other_reasons() -> None:
    outside = Result("likeness.x", "g", 1.0, n=1, n_clusters=1, detail={"out_of_domain": "drawings"})
    coverage = {"likeness": {"g": (1, 4)}}
    told = held_with_gaps(FINDINGS, coverage, {"likeness": SHORT}, [outside]).reason
    assert "of 4 clips (drawings): too short" in told
    told = held_with_gaps(FINDINGS, coverage, {"likeness": {"g": {"drawings": ["a"]}}}, [outside]).reason
    assert told.count("drawings") == 1


def test_the_tables_hold_forty_situations() -> None:
    assert len(RESULT_SITUATIONS) + len(FINDING_SITUATIONS) >= 40


# -- groups ----------------------------------------------------------------------------------------

GOOD, BAD = result(), result(0.06, 0.09, group="h", value=0.07)


def test_every_group_is_held_to_a_gate_by_default() -> None:
    held = evaluate([gate(MAX)], [GOOD, BAD], ["g", "h", "i"])
    assert [(h.group, h.outcome) for h in held] == [("g", PASSED), ("h", FAILED), ("i", UNKNOWN)]


@pytest.mark.parametrize(
    ("results", "groups", "outcome"),
    [
        ([GOOD, BAD], ["g", "h"], PASSED),
        ([BAD], ["g", "h"], UNKNOWN),
        ([BAD], ["h"], FAILED),
        ([], ["g"], UNKNOWN),
        ([], [], UNKNOWN),
    ],
)
def test_any_group_is_enough_where_asked(results: list[Result], groups: list[str], outcome: Outcome) -> None:
    (held,) = evaluate([gate({**MAX, "group": "any"})], results, groups)
    assert (held.group, held.outcome) == ("any", outcome)


def test_a_run_without_groups_passes_nothing() -> None:
    (held,) = evaluate([gate(MAX)], [GOOD], [])
    assert held.outcome == UNKNOWN
    assert "no groups" in held.reason


def test_the_reason_given_in_the_suite_is_shown_where_it_matters() -> None:
    (failed,) = evaluate([gate({**MAX, "reason": "viewers notice"})], [BAD], ["h"])
    assert failed.reason.endswith("[viewers notice]")
    (passed,) = evaluate([gate({**MAX, "reason": "viewers notice"})], [GOOD], ["g"])
    assert "viewers notice" not in passed.reason


# -- how gates are written -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("temporal.warp_error <= 0.05", {"metric": NAME, "max": 0.05}),
        ("  temporal.warp_error>=5e-2 ", {"metric": NAME, "min": 0.05}),
        ("temporal.warp_error < .05", {"metric": NAME, "below": 0.05}),
        ("temporal.warp_error > -1", {"metric": NAME, "above": -1}),
        ("temporal.warp_error <= 5 %", {"metric": NAME, "max": 0.05}),
        ("temporal.warp_error <= 0.05 on estimate", {"metric": NAME, "max": 0.05, "on": "estimate"}),
        ("temporal.warp_error <= 0.05 for group wan-2.1", {"metric": NAME, "max": 0.05, "group": "wan-2.1"}),
        ("temporal.warp_error <= 0.05 for any group", {"metric": NAME, "max": 0.05, "group": "any"}),
        (
            "temporal.warp_error <= 0.05 for all on the estimate",
            {"metric": NAME, "max": 0.05, "group": "all", "on": "estimate"},
        ),
        ("findings likeness.* <= 0", {"findings": "likeness.*", "max": 0}),
        (
            "generation.refusal_rate@genre=horror <= 0.1",
            {"metric": "generation.refusal_rate@genre=horror", "max": 0.1},
        ),
    ],
)
def test_one_line_form(text: str, fields: dict[str, Any]) -> None:
    assert GateSpec.model_validate(text) == GateSpec.model_validate(fields)


def test_result_is_another_word_for_metric() -> None:
    assert GateSpec.model_validate({"result": NAME, "max": 1}) == gate({"metric": NAME, "max": 1})


@given(
    st.sampled_from(["<=", ">=", "<", ">"]),
    st.floats(-1e6, 1e6).map(lambda x: float(f"{x:g}")),
    st.sampled_from(["interval", "estimate"]),
)
def test_a_gate_reads_its_own_text_again(op: str, limit: float, on: str) -> None:
    written = GateSpec.model_validate(f"{NAME} {op} {limit!r} on {on}")
    assert GateSpec.model_validate(written.text) == written


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "is no condition; expected 'temporal.warp_error <= 0.05'"),
        ("temporal.warp_error", "is no condition"),
        ("warp_error <= 0.05", "is no condition"),
        ("temporal.warp_error == 0.05", "the comparisons are <=, >=, < and >"),
        ("temporal.warp_error =< 0.05", "the comparisons are"),
        ("temporal.warp_error = 0.05", "the comparisons are"),
        ("temporal.warp_error <= low", "is no condition"),
        ("temporal.warp_error <= nan", "is no condition"),
        ("temporal.warp_error <= 0.05 on average", "'on average' is not understood"),
        ("temporal.warp_error <= 0.05 for wan", "'for wan' is not understood"),
        ("temporal.warp_error <= 0.05, really", "is not understood"),
        ({"metric": NAME}, "needs a limit"),
        ({"max": 1}, "exactly one of metric"),
        ({"metric": NAME, "findings": "likeness.*", "max": 1}, "exactly one of metric"),
        ({"metric": NAME, "max": math.nan}, "finite"),
        ({"metric": NAME, "max": math.inf}, "finite"),
        ({"metric": NAME, "max": 1, "below": 2}, "one upper limit"),
        ({"metric": NAME, "max": 1, "min": 2}, "no number is within"),
        ({"metric": NAME, "below": 1, "min": 1}, "no number is within"),
        ({"metric": "warp_error", "max": 1}, "names no result"),
        ({"metric": NAME, "max": 1, "group": " "}, "the group is empty"),
        ({"metric": NAME, "max": 1, "on": "mean"}, "'interval' or 'estimate'"),
        ({"metric": NAME, "max": 1, "maximum": 2}, "Extra inputs"),
        ({"metric": NAME, "max": 1, "at_least": "review"}, "severity of findings"),
        ({"metric": NAME, "max": 1, "allow_missing": -1}, "greater than or equal to 0"),
        ({"findings": "likeness"}, "names no findings"),
        ({"findings": "*.match"}, "names no findings"),
        ({"findings": "likeness.*", "max": 0.5}, "whole number"),
        ({"findings": "likeness.*", "max": -1}, "whole number"),
        ({"findings": "likeness.*", "min": 1}, "takes only max"),
        ({"findings": "likeness.*", "on": "estimate"}, "counted, not estimated"),
    ],
)
def test_gates_that_say_nothing_are_refused(spec: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GateSpec.model_validate(spec)
    assert words in str(caught.value)


VALUES = [NAME, "temporal.motion", "likeness.alert_rate"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("temporal.warp_eror <= 1", "did you mean 'temporal.warp_error'?"),
        ("findings likenes.* <= 0", "did you mean 'likeness'?"),
        ("findings likeness.mach <= 0", "did you mean 'likeness.match'?"),
        ("findings temporal.freeze <= 0", "temporal does not declare the kinds of its findings"),
        ("temporal.warp_error <= 1 for group vann", "did you mean 'wan'?"),
    ],
)
def test_a_gate_on_something_the_suite_lacks_is_found_before_the_run(spec: str, words: str) -> None:
    (problem,) = gate(spec).problems(VALUES, ["wan", "cogvideo"], KINDS)
    assert words in problem


@pytest.mark.parametrize(
    "spec", [f"{NAME} <= 1 for any", "findings * <= 0", "findings likeness.match <= 0 for group wan"]
)
def test_a_good_gate_has_no_problems(spec: str) -> None:
    assert gate(spec).problems(VALUES, ["wan"], KINDS) == []


def test_metric_names() -> None:
    assert gate(f"{NAME} <= 1").metric_names() == ("temporal",)
    assert gate("findings likeness.* <= 0").metric_names() == ("likeness",)
    assert gate("findings * <= 0").metric_names() == ()


# -- properties ------------------------------------------------------------------------------------

numbers = st.floats(-1e3, 1e3)


@given(numbers, numbers, numbers)
def test_pass_fail_and_unknown_are_where_the_interval_is(a: float, b: float, limit: float) -> None:
    low, high = min(a, b), max(a, b)
    (held,) = evaluate(
        [gate({"metric": NAME, "max": limit})], [result(low, high, value=(low + high) / 2)], ["g"]
    )
    expected = PASSED if high <= limit else FAILED if low > limit else UNKNOWN
    assert held.outcome == expected


@given(numbers, numbers, numbers, numbers)
def test_a_wider_interval_never_turns_the_answer_round(
    a: float, b: float, limit: float, wider: float
) -> None:
    low, high = min(a, b), max(a, b)
    spec = [gate({"metric": NAME, "min": limit})]
    (narrow,) = evaluate(spec, [result(low, high, value=(low + high) / 2)], ["g"])
    (wide,) = evaluate(spec, [result(low - abs(wider), high + abs(wider), value=(low + high) / 2)], ["g"])
    assert wide.outcome in (narrow.outcome, UNKNOWN)


# -- the verdict -----------------------------------------------------------------------------------


def held(outcome: Outcome, severity: Any = "fail") -> GateResult:
    return GateResult("a.b <= 1", "g", outcome, "because", severity)


@pytest.mark.parametrize(
    ("gates", "failed_samples", "max_failed", "outcome", "code", "words"),
    [
        ([], 0, 0, PASSED, 0, "no gates"),
        ([held(PASSED)], 0, 0, PASSED, 0, "the gate passed"),
        ([held(PASSED)] * 2, 0, 0, PASSED, 0, "all 2 gates passed"),
        ([held(PASSED), held(FAILED)], 0, 0, FAILED, 3, "1 gate failed: a.b <= 1 (g)"),
        ([held(UNKNOWN)], 0, 0, UNKNOWN, 4, "could not be computed"),
        ([held(UNKNOWN), held(FAILED)], 0, 0, FAILED, 3, "could not be computed"),
        ([held(FAILED)], 5, 0, FAILED, 3, "5 samples failed"),
        ([held(PASSED)], 1, 0, UNKNOWN, 4, "1 sample failed, 0 allowed"),
        ([held(PASSED)], 1, 1, PASSED, 0, "the gate passed"),
        ([], 2, 1, UNKNOWN, 4, "2 samples failed, 1 allowed"),
        ([held(FAILED, "warn"), held(UNKNOWN, "warn")], 0, 0, PASSED, 0, "2 warning gates did not pass"),
        ([held(FAILED, "warn"), held(UNKNOWN)], 0, 0, UNKNOWN, 4, "warning"),
    ],
)
def test_verdict(
    gates: list[GateResult], failed_samples: int, max_failed: int, outcome: Outcome, code: int, words: str
) -> None:
    answer = verdict(gates, failed_samples, max_failed)
    assert (answer.outcome, answer.exit_code) == (outcome, code)
    assert words in answer.reason


@given(
    st.lists(st.tuples(st.sampled_from(list(Outcome)), st.sampled_from(["fail", "warn"])), max_size=8),
    st.integers(0, 3),
)
def test_exit_code_is_zero_only_where_nothing_that_counts_is_open(
    gates: list[tuple[Outcome, Any]], failed: int
) -> None:
    answer = verdict([held(o, s) for o, s in gates], failed)
    counted = {o for o, s in gates if s == "fail"}
    assert (answer.exit_code == 3) == (FAILED in counted)
    assert (answer.exit_code == 0) == (counted <= {PASSED} and not failed)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ({}, True),
        ({"a": "not applicable: no face"}, True),
        ({"a": "one frame"}, False),
        ({"a": "not applicable: no face", "b": "one frame"}, False),
    ],
)
def test_a_clip_that_was_only_tried_is_no_clip_looked_at(missing: dict[str, str], expected: bool) -> None:
    assert is_assessed(Measurement(missing=missing)) is expected


def test_importing_is_light() -> None:
    code = "import sys, vgaudit.gates; print([m for m in ('numpy', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
