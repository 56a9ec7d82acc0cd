"""Gates on tags, findings per 100 clips, coverage and runtime; and gates that are neutral without evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.clips import clip_folder, write_suite
from vgaudit.errors import SuiteError
from vgaudit.estimates import clopper_pearson
from vgaudit.gates import GatedClip, GateSpec, evaluate, verdict
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import Finding, GateResult, Outcome, Result, Severity
from vgaudit.suite import load_suite

PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_COMPUTED
KINDS = {"temporal": ("temporal.freeze", "temporal.flash")}


def clips(n: int = 40, seeds: int = 1, **changes: Any) -> dict[str, GatedClip]:
    """``n`` prompts of group g; every fourth is tagged with people."""
    return {
        f"s{i}-{j}": GatedClip(
            "g",
            f"p{i}",
            f"clip {i}",
            {"people": "yes" if i % 4 == 0 else "no"},
            seconds=10.0 + i % 3,
            **changes,
        )
        for i in range(n)
        for j in range(seeds)
    }


def found(*samples: str) -> list[Finding]:
    return [Finding(s, "temporal.freeze", Severity.MAJOR, 0, 1, 1, 1, "It stops.") for s in samples]


def hold(
    spec: Any, have: dict[str, GatedClip], findings: list[Finding] | None = None, **more: Any
) -> GateResult:
    due = [c for c in have.values() if c.due]
    coverage = {"temporal": {"g": (sum("temporal" not in c.unseen for c in due), len(due))}}
    (held,) = evaluate(
        [GateSpec.model_validate(spec)], more.pop("results", []), ["g"], findings=findings or [],
        sample_groups={s: c.group for s, c in have.items()}, coverage=coverage, finding_kinds=KINDS, clips=have,
        **more,
    )  # fmt: skip
    return held


# -- findings per 100 clips ------------------------------------------------------------------------

RATE = "findings temporal.freeze <= 10 per 100 clips"


def test_a_rate_of_findings_passes_only_with_its_whole_interval() -> None:
    assert clopper_pearson(0, 40)[1] < 0.1 < clopper_pearson(1, 40)[1]
    held = hold(RATE, clips(40))
    assert (held.outcome, held.gate) == (PASSED, RATE)
    assert (
        "0 of 40 clips with an open finding, 0 per 100; 95 % interval 0 to 8.81 over 40 prompts"
        in held.reason
    )
    held = hold(RATE, clips(40), found("s1-0", "s1-0"))  # two findings of one clip are one clip
    assert (held.outcome, held.neutral) == (UNKNOWN, False)
    assert "1 of 40 clips" in held.reason
    assert "more prompts at this rate, if the estimate holds" in held.reason
    assert hold(RATE, clips(40), found(*[f"s{i}-0" for i in range(12)])).outcome == FAILED


def test_seeds_of_a_prompt_are_no_evidence_of_their_own() -> None:
    assert hold(RATE, clips(20, seeds=10)).outcome == UNKNOWN
    assert hold(RATE, clips(200)).outcome == PASSED


def test_a_rate_needs_every_clip_searched_and_counts_a_finding_in_one_that_was_not() -> None:
    have = clips(40)
    have["s3-0"] = GatedClip("g", "p3", unseen={"temporal": ["broken"]})
    assert hold(RATE, have).outcome == UNKNOWN
    lax = {"findings": "temporal.freeze", "per_100": 10, "allow_missing": 1}
    held = hold(lax, have)
    assert (held.outcome, "0 of 39 clips" in held.reason) == (PASSED, True)
    held = hold(lax, have, found("s3-0"))
    assert (held.outcome, "1 of 40 clips" in held.reason) == (UNKNOWN, True)
    held = hold(RATE, clips(40), [], expired=found("s1-0"))
    assert (held.outcome, "has to decide again" in held.reason) == (UNKNOWN, True)
    assert evaluate([GateSpec.model_validate(RATE)], [], ["g"], coverage={"temporal": {"g": (4, 4)}},
                    finding_kinds=KINDS)[0].outcome == UNKNOWN  # fmt: skip


# -- tags ------------------------------------------------------------------------------------------


def test_findings_of_a_tag_are_those_of_its_clips() -> None:
    spec = "findings temporal.* <= 0 for tag people=yes"
    assert hold(spec, clips(), found("s1-0")).outcome == PASSED
    held = hold(spec, clips(), found("s4-0"))
    assert (held.outcome, held.gate) == (FAILED, spec)
    have = clips()
    have["s1-0"] = GatedClip("g", "p1", tags={"people": "no"}, unseen={"temporal": ["broken"]})
    assert hold(spec, have).outcome == PASSED
    have["s4-0"] = GatedClip("g", "p4", "four", {"people": "yes"}, unseen={"temporal": ["broken"]})
    held = hold(spec, have)
    assert held.outcome == UNKNOWN
    assert held.reason == "temporal looked at only 9 of 10 clips: broken (1 clip: four)"


def test_a_tag_that_no_clip_has_passes_nothing() -> None:
    for spec in ("findings temporal.* <= 0", "coverage temporal >= 0.1", "runtime generate <= 99 s"):
        held = hold(f"{spec} for tag people=maybe", clips())
        assert (held.outcome, "no clip of this group has the tag people=maybe" in held.reason) == (
            UNKNOWN,
            True,
        )


def test_a_result_of_a_tag_is_its_slice() -> None:
    gate = {"metric": "m.v", "max": 1, "tags": {"people": True}}
    whole = Result("m.v", "g", 0.5, 0.4, 0.6, 0.95, 9, 9)
    assert hold(gate, clips(), results=[whole]).outcome == UNKNOWN
    part = Result("m.v@people=yes", "g", 1.5, 1.4, 1.6, 0.95, 9, 9)
    held = hold(gate, clips(), results=[whole, part])
    assert (held.outcome, held.gate) == (FAILED, "m.v@people=yes <= 1")
    assert hold("m.v <= 1 for tag people=yes", clips(), results=[whole, part]) == held
    assert hold("m.v@people=yes <= 1", clips(), results=[whole, part]) == held


# -- coverage and runtime --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "unseen", "outcome"),
    [
        ("coverage temporal >= 95%", 2, PASSED),
        ("coverage temporal >= 95%", 3, FAILED),
        ("coverage temporal > 95%", 2, FAILED),
        ({"coverage": "temporal", "min": 1}, 0, PASSED),
        ("coverage temporal.freeze >= 95%", 3, FAILED),
        ("coverage temporal.freez >= 95%", 0, UNKNOWN),
        ("coverage likeness >= 95%", 0, UNKNOWN),
        ("coverage temporal >= 0", 40, PASSED),
        ("coverage temporal > 0", 40, FAILED),
    ],
)
def test_coverage(spec: Any, unseen: int, outcome: Outcome) -> None:
    have = clips(40)
    for i in range(unseen):
        have[f"s{i}-0"] = GatedClip("g", f"p{i}", f"clip {i}", unseen={"temporal": ["too dark"]})
    held = hold(spec, have)
    assert held.outcome == outcome, held.reason
    if outcome == FAILED:
        assert (
            f"{40 - unseen} of 40 clips looked at, {100 * (40 - unseen) / 40:.4g} %: too dark" in held.reason
        )


def test_coverage_of_no_clips_is_none() -> None:
    have = {"s": GatedClip("g", "p", due=False)}
    assert hold("coverage temporal >= 0", have).outcome == UNKNOWN
    assert hold("runtime generate <= 9 s", have).outcome == UNKNOWN


def test_runtime() -> None:
    held = hold("runtime generate <= 11 s per clip", clips(39))
    assert (held.outcome, held.gate) == (PASSED, "runtime generate <= 11 s per clip")
    assert "11 s per clip over 39 clips, the slowest 12 s; times are those of the machine" in held.reason
    assert hold("runtime generate < 11 s", clips(39)).outcome == FAILED
    assert hold("runtime generate <= 0.2 min per clip", clips(39)).outcome == PASSED
    have = clips(39)
    have["s0-0"] = GatedClip("g", "p0")
    held = hold({"runtime": "generate", "max": 99}, have)
    assert (held.outcome, "1 of 39 clips have no recorded generation time" in held.reason) == (UNKNOWN, True)


# -- neutral ---------------------------------------------------------------------------------------

WIDE = Result("m.v", "g", 0.5, 0.4, 1.2, 0.95, 9, 9)
NEUTRAL = {"metric": "m.v", "max": 1, "on_insufficient": "neutral"}


@pytest.mark.parametrize(
    ("result", "neutral"),
    [
        (WIDE, True),
        (Result("m.v", "g", 0.5, n=3, n_clusters=1), True),
        (Result("m.v", "g", 0.5, 0.4, 0.6, 0.95, 9, 9, detail={"insufficient": "too few clips"}), True),
        (
            Result(
                "m.v",
                "g",
                0.5,
                0.4,
                0.6,
                0.95,
                9,
                9,
                detail={"insufficient": "too few clips", "n_missing": 3},
            ),
            False,  # clips that broke are no lack of evidence
        ),
        (Result("m.v", "g", None, status="not computed", reason="weights are missing"), False),
        (Result("m.v", "g", 0.5, 0.4, 1.2, 0.95, 9, 9, detail={"n_missing": 1}), False),
        (Result("m.v", "g", 0.5, 0.4, 1.2, 0.95, 9, 9, detail={"uncalibrated": True}), False),
        (Result("m.v", "g", 0.5, 0.4, 1.2, 0.95, 9, 9, detail={"out_of_domain": "out of domain: x"}), False),
        (Result("m.v", "g", 0.5, 0.4, 0.6, None, 9, 9), False),
    ],
)
def test_only_a_lack_of_evidence_is_neutral(result: Result, neutral: bool) -> None:
    held = hold(NEUTRAL, clips(), results=[result])
    assert (held.outcome, held.neutral) == (UNKNOWN, neutral)
    assert verdict([held]).exit_code == (0 if neutral else 4)
    assert not hold({**NEUTRAL, "on_insufficient": "fail"}, clips(), results=[result]).neutral
    assert GateResult.from_json(held.to_json()) == held
    assert ("neutral" in held.to_json()) is neutral


def test_neutral_gates_are_counted_in_the_reason_and_hide_no_failure() -> None:
    neutral = hold(NEUTRAL, clips(), results=[WIDE])
    answer = verdict([neutral, neutral])
    assert (answer.outcome, answer.exit_code) == (PASSED, 0)
    assert answer.reason.startswith("no gate passed, and none failed; 2 neutral gates could not be computed")
    passed = GateResult("a.b <= 1", "g", PASSED, "")
    assert verdict([passed, neutral]).reason.startswith("1 gate passed; 1 neutral gate could not be computed")
    for other, code in ((FAILED, 3), (UNKNOWN, 4)):
        answer = verdict([neutral, GateResult("a.b <= 1", "g", other, "")])
        assert (answer.exit_code, "1 neutral gate" in answer.reason) == (code, True)
    assert verdict([neutral], failed_samples=1).exit_code == 4


def test_any_group_is_neutral_where_all_that_lack_an_answer_are() -> None:
    gate = GateSpec.model_validate({**NEUTRAL, "group": "any"})
    other = Result("m.v", "h", 1.5, 0.9, 2.0, 0.95, 9, 9)
    assert evaluate([gate], [WIDE, other], ["g", "h"])[0].neutral
    assert not evaluate([gate], [WIDE], ["g", "h"])[0].neutral


# -- how they are written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("findings temporal.* <= 2 per 100 clips", {"findings": "temporal.*", "per_100": 2}),
        ("findings temporal.* <= 2.5 per 100 for any", {"findings": "temporal.*", "per_100": 2.5, "group": "any"}),
        ("coverage temporal >= 95%", {"coverage": "temporal", "min": 0.95}),
        ("runtime generate <= 30 s per clip", {"runtime": "generate", "max": 30}),
        ("runtime generate < 1.5 min", {"runtime": "generate", "below": 90}),
        ("runtime generate <= 30", {"runtime": "generate", "max": 30}),
        ("a.b <= 1 for tag x=y for group g on estimate",
         {"metric": "a.b", "max": 1, "tags": {"x": "y"}, "group": "g", "on": "estimate"}),
        ("a.b <= 1 neutral if insufficient", {"metric": "a.b", "max": 1, "on_insufficient": "neutral"}),
    ],
)  # fmt: skip
def test_one_line_form(text: str, fields: dict[str, Any]) -> None:
    gate = GateSpec.model_validate(text)
    assert gate == GateSpec.model_validate(fields)
    again = GateSpec.model_validate(gate.text)
    assert again.text == gate.text
    assert GateSpec.model_validate(gate.model_dump(mode="json", exclude_none=True)) == gate


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"findings": "temporal.*", "per_100": 101}, "less than or equal to 100"),
        ({"findings": "temporal.*", "per_100": -1}, "greater than or equal to 0"),
        ({"findings": "temporal.*", "per_100": 2, "max": 1}, "the only one"),
        ({"metric": "a.b", "per_100": 2}, "limit of a findings gate"),
        ("findings temporal.* >= 2 per 100 clips", "not understood"),
        ("coverage temporal <= 95%", "one lower limit"),
        ("coverage temporal >= 95", "a share from 0 to 1"),
        ({"coverage": "temporal"}, "one lower limit"),
        ({"coverage": "temporal", "above": 1}, "one lower limit"),
        ({"coverage": "temp oral", "min": 1}, "names nothing that looks"),
        ({"coverage": "temporal", "min": 1, "allow_missing": 3}, "takes neither"),
        ({"coverage": "temporal", "min": 1, "at_least": "major"}, "severity of findings"),
        ({"coverage": "temporal", "min": 1, "on": "estimate"}, "counted, not estimated"),
        ({"coverage": "temporal", "metric": "a.b", "min": 1}, "exactly one of metric"),
        ("runtime generate >= 3 s", "one upper limit"),
        ("runtime generate <= 0 s", "one upper limit"),
        ("runtime generate <= 3 h", "not understood"),
        ("runtime score <= 3 s", "'generate'"),
        ({"metric": "a.b", "max": 1, "tags": {}}, "expected one tag"),
        ({"metric": "a.b", "max": 1, "tags": {"x": "y", "z": "w"}}, "expected one tag"),
        ({"metric": "a.b@x=y", "max": 1, "tags": {"x": "y"}}, "names a tag already"),
        ({"metric": "a.b", "max": 1, "on_insufficient": "pass"}, "'fail' or 'neutral'"),
    ],
)
def test_what_says_nothing_is_refused(spec: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GateSpec.model_validate(spec)
    assert words in str(caught.value)


SUITE = """\
name: forms
backend: {type: storyworld}
prompts:
  - {text: a red ball, tags: {people: no}}
  - {text: a woman in a room, tags: {people: yes}}
metrics: {temporal: {}}
on_insufficient: neutral
gates:
"""


def written(tmp_path: Path, gates: str, head: str = SUITE) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(head + gates, encoding="utf-8")
    return path


def test_a_suite_may_hold_all_forms(tmp_path: Path) -> None:
    gates = load_suite(
        written(
            tmp_path,
            "  - {metric: temporal.warp_error, max: 0.5, tags: {people: yes}}\n"
            "  - {findings: temporal.freeze, per_100: 2, tags: {people: no}, on_insufficient: fail}\n"
            "  - coverage: temporal >= 95%\n"
            "  - runtime: generate <= 30 s per clip\n"
            "  - findings: temporal.* <= 2 per 100 clips\n",
        )
    ).gates
    assert [g.text for g in gates] == [
        "temporal.warp_error@people=yes <= 0.5",
        "findings temporal.freeze <= 2 per 100 clips for tag people=no",
        "coverage temporal >= 0.95",
        "runtime generate <= 30 s per clip",
        "findings temporal.* <= 2 per 100 clips",
    ]
    assert [g.on_insufficient for g in gates] == ["neutral", "fail", "neutral", "neutral", "neutral"]


@pytest.mark.parametrize(
    ("gate", "place", "words"),
    [
        ("{metric: temporal.warp_error, max: 1, tags: {peple: yes}}", ":9:5: ", "did you mean 'people=yes'"),
        ("{findings: temporal.*, per_100: 200}", ":9:37: ", "<= 100"),
        ("coverage temporel >= 95%", ":9:5: ", "did you mean 'temporal'"),
        ("coverage temporal.freez >= 95%", ":9:5: ", "did you mean 'temporal.freeze'"),
        ("{coverage: temporal, min: 95}", ":9:5: ", "a share from 0 to 1"),
        ("runtime: score <= 3 s", ":9:5: ", "'generate'"),
        ("{metric: temporal.warp_error, max: 1, on_insufficient: neutrl}", ":9:60: ", "'neutral'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, gate: str, place: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(written(tmp_path, f"  - {gate}\n"))
    (problem,) = caught.value.problems
    assert place in problem
    assert words in problem


def test_finished_clips_have_no_runtime(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    head = "name: x\nbackend: {type: files, root: clips}\nmetrics: {temporal: {}}\ngates:\n"
    with pytest.raises(SuiteError, match="nothing is generated, so no clip has a generation time"):
        load_suite(written(tmp_path, "  - runtime generate <= 3 s\n", head))
    with pytest.raises(SuiteError, match="'fail' or 'neutral'"):
        load_suite(written(tmp_path, "  - integrity.ok_rate >= 0\n", "on_insufficient: maybe\n" + head))


# -- whole runs ------------------------------------------------------------------------------------


def test_a_run_computes_slices_for_the_tags_that_gates_name(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "clips")
    suite = write_suite(
        tmp_path / "s.yaml", root,
        "on_insufficient: neutral\ngates:\n"
        "  - {metric: temporal.warp_error, max: 0.9, tags: {kind: ball}}\n"
        "  - {metric: integrity.ok_rate, min: 0.9, tags: {kind: ball}}\n"
        "  - temporal.warp_error@kind=cube <= 0.9\n"
        "  - {findings: integrity.*, per_100: 99, tags: {kind: ball}}\n"
        "  - coverage: temporal >= 95%\n",
    )  # fmt: skip
    done: Finished | None = execute(prepare(load_suite(suite)), tmp_path / "run", workers=1)
    assert done is not None
    slices = {r.name: r for r in done.data.results if "@" in r.name}
    assert set(slices) == {"temporal.warp_error@kind=ball", "integrity.ok_rate@kind=ball"}
    whole = next(r for r in done.data.results if r.name == "temporal.warp_error" and r.group == "beta")
    assert slices["temporal.warp_error@kind=ball"].value == pytest.approx(whole.value)
    held = {(g.gate, g.group): g for g in done.data.gates}
    assert held["temporal.warp_error@kind=ball <= 0.9", "alpha"].outcome == PASSED
    thin = held["integrity.ok_rate@kind=ball >= 0.9", "alpha"]
    assert (thin.outcome, thin.neutral) == (UNKNOWN, True)
    assert "more prompts at this rate" in thin.reason
    assert held["temporal.warp_error@kind=cube <= 0.9", "alpha"].outcome == UNKNOWN
    assert held["findings integrity.* <= 99 per 100 clips for tag kind=ball", "alpha"].outcome == PASSED
    assert held["coverage temporal >= 0.95", "beta"].outcome == PASSED
    assert done.verdict.exit_code == 4
    page = done.report.read_text()
    assert '<span class="tag">neutral</span>' in page
    assert "2 more not computed and neutral" in page
    assert 'message="neutral, not computed: insufficient' in (tmp_path / "run" / "junit.xml").read_text()
    assert "(neutral)" in (tmp_path / "run" / "summary.md").read_text()
