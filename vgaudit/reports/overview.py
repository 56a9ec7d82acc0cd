"""Arrange a run for the top of a report: its counts, its gates, and what would change the verdict."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgaudit.records import COMPUTED, GateResult, Outcome, Result
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line
from vgaudit.shortfall import missing_evidence

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIMIT = re.compile(rf"(<=|>=|<|>)\s*({_NUMBER})\s*(%?)")
_CONDITION = re.compile(r"\s*([\w-]+(?:\.[\w-]+)+(?:@\S+)?)\s*(?=[<>])")
_TOO_MANY_FAILED = re.compile(r"(\d+) samples? failed, (\d+) allowed by max_failed")
_GATE_ORDER = {Outcome.FAILED: 0, Outcome.NOT_COMPUTED: 1, Outcome.PASSED: 2}
TONES = {Outcome.PASSED: "pass", Outcome.FAILED: "fail", Outcome.NOT_COMPUTED: "nc"}
_SPELLINGS = {
    "fps": "FPS", "clip_score": "CLIP score", "clipsim": "CLIPSIM", "ok": "As asked for",
    "ok_rate": "Clips as asked for",
    "r_precision_top1": "R-precision, top 1", "r_precision_top5": "R-precision, top 5",
}  # fmt: skip
_CENSUS_WORDS = {Outcome.PASSED: "Publish", Outcome.NOT_COMPUTED: "Review", Outcome.FAILED: "Hold"}
OUTCOME_WORDS = {
    "ok": "clip stored",
    "refused_input": "prompt refused by the backend",
    "refused_output": "output withheld by the backend",
    "error": "generation failed",
    "retry_after": "waiting for the provider",
    "pending": "not generated yet",
}


@dataclass(frozen=True)
class Condition:
    """A gate's condition as far as it compares one result with numbers.

    Attributes:
        name: The result.
        limits: ``(operator, number)`` pairs, e.g. ``("<=", 0.05)``.
    """

    name: str
    limits: tuple[tuple[str, float], ...]

    @property
    def text(self) -> str:
        """The limits in words, e.g. ``>= 0.1 and <= 0.5``."""
        return " and ".join(f"{operator} {limit:g}" for operator, limit in self.limits)


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    value: str
    label: str
    tone: str = "plain"


def condition(gate: str) -> Condition | None:
    """Parse ``name <= 0.05 and >= 0.01 ...``; ``None`` for other forms of gates."""
    name = _CONDITION.match(gate)
    if name is None:
        return None
    limits = [
        (operator, float(number) / (100 if percent else 1))
        for operator, number, percent in _LIMIT.findall(gate[name.end() :])
    ]
    return Condition(name[1], tuple(limits)) if limits else None


def gate_summary(gates: Sequence[GateResult]) -> str:
    """``2 failed, 1 not computed, 5 passed; 1 more only warns``."""
    outcomes = Counter(g.outcome for g in gates if g.counts)
    text = ", ".join(f"{outcomes[o]:,} {o.value}" for o in _GATE_ORDER)
    neutral = sum(g.neutral and g.severity == "fail" for g in gates)
    text += f"; {neutral:,} more not computed and neutral" if neutral else ""
    warnings = sum(g.severity == "warn" for g in gates)
    return f"{text}; {warnings:,} more only warn{'s' if warnings == 1 else ''}" if warnings else text


def sorted_gates(gates: Sequence[GateResult]) -> list[GateResult]:
    """Failed first, then not computed, then passed; gates that count before those that only warn."""
    return sorted(gates, key=lambda g: (_GATE_ORDER[g.outcome], not g.counts))


def problem(entry: ClipEntry) -> str:
    """Why a sample has no usable clip, in words; empty when it has one."""
    clip = entry.clip
    if clip.outcome != "ok":
        words = OUTCOME_WORDS.get(clip.outcome, clip.outcome)
        if entry.sample.source is not None:  # nothing is generated for a clip made elsewhere
            words = {"error": "no clip", "pending": "not read yet"}.get(clip.outcome, words)
        return f"{words}: {clip.message}" if clip.message else words
    return f"the clip cannot be decoded: {clip.media_error}" if clip.media_error else ""


def verdict_word(data: ReportData) -> str:
    """The answer in one or two words: of gates, or for a census what to do."""
    outcome = data.verdict.outcome
    return _CENSUS_WORDS[outcome] if data.kind == "census" else outcome.value.capitalize()


def tiles(data: ReportData) -> list[Tile]:
    """The counts a reader wants before anything else."""
    entries = data.clips
    bad = sum(bool(problem(e)) for e in entries)
    findings = sum(len(e.findings) for e in entries)
    out = []
    if data.kind == "census":
        answers = Counter(e.publish.decision for e in entries if e.publish)
        out = [
            Tile(f"{answers['hold']:,}", "hold", "fail" if answers["hold"] else "plain"),
            Tile(f"{answers['review']:,}", "review", "nc" if answers["review"] else "plain"),
            Tile(f"{answers['publish']:,}", "publish", "pass" if answers["publish"] else "plain"),
        ]
        without = sum(e.publish is None for e in entries)
        if without:
            out.append(Tile(f"{without:,}", "without an answer", "nc"))
    elif data.gates:
        counting = [g for g in data.gates if g.counts]
        passed = sum(g.outcome is Outcome.PASSED for g in counting)
        tone = "pass" if passed == len(counting) else "plain"
        out = [Tile(f"{passed:,} of {len(counting):,}", "gates passed", tone)]
    scored = f"{len(entries) - bad:,} of {len(entries):,}" if bad else f"{len(entries):,}"
    label = "clips usable" if bad else "clip" if len(entries) == 1 else "clips"
    out.append(Tile(scored, label, "nc" if bad else "plain"))
    if data.kind == "run":
        prompts, groups = len({e.sample.prompt_id for e in entries}), len({e.sample.group for e in entries})
        out.append(Tile(f"{prompts:,}", "prompt" if prompts == 1 else "prompts"))
        out.append(Tile(f"{groups:,}", "group" if groups == 1 else "groups"))
    return [*out, Tile(f"{findings:,}", "finding" if findings == 1 else "findings")]


def remedies(data: ReportData) -> list[str]:
    """What would change the verdict, a sentence for what stands in the way; gates that lack the same share one."""
    if data.kind == "census":
        return _census_remedies(data)
    results = {(r.name, r.group): r for r in data.results}
    out = _failed_samples(data)
    waiting: dict[str, list[str]] = {}
    for gate in sorted_gates(data.gates):
        if gate.outcome is Outcome.PASSED or not gate.counts:
            continue
        asked = condition(gate.gate)
        result = results.get((asked.name, gate.group)) if asked else None
        head = f"{one_line(gate.gate)} for {one_line(gate.group)}"
        if result is None or asked is None:
            out.append(f"{head}: {one_line(gate.reason)}")
        elif result.status != COMPUTED:
            why = f"{result.status} ({one_line(numbers.reason(result))})"
            waiting.setdefault(why, []).append(head)
        elif gate.outcome is Outcome.FAILED:
            out.append(f"{head}: now {numbers.estimate(result)}, asked for {asked.text}.")
        elif limit := _straddled(result, asked):
            out.append(
                f"{head}: {numbers.estimate(result)} reaches to both sides of {limit}; more prompts "
                f"narrow the interval (now {numbers.count(result.n_clusters, 'prompt')}{_lacking(result, asked)})."
            )
        else:
            out.append(f"{head}: {one_line(gate.reason)}")
    for why, heads in waiting.items():
        more = f" and {len(heads) - 3:,} more" if len(heads) > 3 else ""
        needs = "needs a result, but it is" if len(heads) == 1 else "need results, but they are"
        out.append(f"{'; '.join(heads[:3])}{more}: {needs} {why}.")
    return out


def _failed_samples(data: ReportData) -> list[str]:
    """What to do about failed samples where the verdict says that there are more than allowed."""
    found = _TOO_MANY_FAILED.search(data.verdict.reason)
    if found is None:
        return []
    broken = [e for e in data.clips if problem(e) and not e.clip.outcome.startswith("refused")]
    names = ", ".join(one_line(clip_name(e), 120) for e in broken[:3])
    first = f" (first: {names})" if names else ""
    return [
        f"{numbers.count(int(found[1]), 'sample')} without a usable clip, {found[2]} allowed{first}: make or repair "
        "them, or raise max_failed."
    ]


def clip_name(entry: ClipEntry) -> str:
    """What its owner calls a clip: the path of one made elsewhere, else the sample's id."""
    return entry.sample.source or entry.sample.sample_id


def _census_remedies(data: ReportData) -> list[str]:
    answers = Counter(e.publish.decision for e in data.clips if e.publish)
    out = []
    if answers["hold"]:
        out.append(f"{numbers.count(answers['hold'], 'clip')} on hold: repair, replace or leave out.")
    if answers["review"]:
        out.append(
            f"{numbers.count(answers['review'], 'clip')} to review: a person decides, or the missing check is made."
        )
    return out


def _straddled(result: Result, asked: Condition) -> str:
    """The limit that lies within the result's interval, as text; empty if none does."""
    if result.low is None or result.high is None:
        return ""
    return next((f"{limit:g}" for _, limit in asked.limits if result.low <= limit <= result.high), "")


def _lacking(result: Result, asked: Condition) -> str:
    """How many more prompts would do, as an insertion; empty where that is not known."""
    by_sign = {sign[0]: limit for sign, limit in asked.limits}
    words = missing_evidence(result, upper=by_sign.get("<"), lower=by_sign.get(">"))
    return f"; {words}" if words and "not known" not in words else ""


def title_of(name: str, spec: Mapping[str, Any] | None = None) -> str:
    """``temporal.warp_error`` -> ``Warp error``; where the value's ``spec`` has a title of its own, that."""
    if spec and (own := spec.get("title")):
        return str(own)
    short = name.rpartition(".")[2]
    words = _SPELLINGS.get(short) or short.replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]


def fact_text(value: Any) -> str:
    """A JSON-able fact as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return numbers.number(value) if math.isfinite(value) else "not finite"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_inner(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_inner(item) for item in value[:20])
        return f"{shown}, \u2026 ({len(value)} in all)" if len(value) > 20 else shown or "none"
    return str(value)


def _inner(value: Any) -> str:
    """A fact inside another; parentheses keep a mapping's pairs apart from those around it."""
    return f"({fact_text(value)})" if isinstance(value, Mapping) and value else fact_text(value)


def facts_of(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Facts as label and text."""
    return tuple((str(key).replace("_", " "), fact_text(value)) for key, value in facts.items())
