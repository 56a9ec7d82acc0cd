"""The answer at the top of the likeness page: what was asked, what was found, what stands open, and how sure it is.

A number that is not computed, not applicable or uncalibrated says so, with its reason, wherever it would stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vgaudit.likeness.wording import NO_GALLERY_GIVEN, UNCALIBRATED
from vgaudit.records import COMPUTED, NOT_APPLICABLE, NOT_COMPUTED, Result
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.likeness_hits import RawHit, alerted_by, calibration_words, mapping, number_of
from vgaudit.reports.likeness_names import CONSENTED, Names
from vgaudit.reports.overview import TONES, Tile, facts_of, problem, sorted_gates

METRIC = "likeness"
QUESTION = "Could somebody in the gallery be recognised in these clips?"
RESULTS = (
    ("likeness.alert_rate", "Clips with an ALERT", "share of the clips that were assessed"),
    ("likeness.review_rate", "Clips with a hit to review", "share of the clips that were assessed"),
    ("likeness.coverage", "Coverage", "share of the clips with faces that could be assessed"),
    (
        "likeness.expected_chance_alerts",
        "Expected chance alerts",
        "ALERTs to expect from unrelated people alone",
    ),
)
_STATES = (
    ("ALERT", "fail", "a hit far from what the cohort shows of unrelated people"),
    ("ALERT, asked for", "fail", "a hit far from what the cohort shows of unrelated people"),
    ("REVIEW", "nc", "a hit that a person has to look at"),
    ("REVIEW, asked for", "nc", "a hit that a person has to look at; the prompt names the person"),
    ("not assessable", "nc", "faces, none of which could be compared; not a pass"),
    ("partly not assessable", "nc", "some faces could not be compared; not a pass"),
    ("nobody compared", "nc", "faces, and no gallery to compare them with"),
    ("not assessed", "nc", "the audit has no answer for the clip"),
    ("no usable clip", "nc", "nothing to look at"),
    ("consented", "plain", "only people who agreed to appear"),
    (
        "no hit",
        "pass",
        "faces compared; nobody past the point, or no more alike than chance explains (CLEAR)",
    ),
    ("no face", "pass", "every examined frame was searched"),
)
_BY_KIND = {
    "likeness.unassessable": "not assessable",
    "likeness.partly_unassessable": "partly not assessable",
    "likeness.not_compared": "nobody compared",
}
_BESIDES = "besides: "
STATE_TONES = {name: tone for name, tone, _ in _STATES}
_RANK = {name: i for i, (name, _, _) in enumerate(_STATES)}


@dataclass(frozen=True)
class ClipState:
    """One clip in the table of states."""

    entry: ClipEntry
    state: str
    reason: str

    @property
    def is_unknown(self) -> bool:
        """Whether all or part of the clip has no answer."""
        hit = self.state.startswith(("ALERT", "REVIEW"))
        return self.reason.startswith(_BESIDES) if hit else STATE_TONES[self.state] == "nc"

    @property
    def rank(self) -> int:
        """Position in the table; worst first."""
        return _RANK[self.state]


@dataclass(frozen=True)
class StateCount:
    """How many clips are in one state, in all and by group."""

    state: str
    tone: str
    words: str
    clips: int
    by_group: tuple[int, ...]


@dataclass(frozen=True)
class NumberRow:
    """One of the four results for one group."""

    title: str
    what: str
    name: str
    group: str
    text: str
    computed: bool
    bound: str
    rests_on: str
    reason: str


@dataclass(frozen=True)
class Headline:
    """The top of the page."""

    question: str
    answer: str
    tone: str
    reason: str
    tiles: tuple[Tile, ...]
    rows: tuple[NumberRow, ...]
    gates: tuple[tuple[str, str, str, str, str], ...]
    basis: tuple[str, ...]
    totals: tuple[tuple[str, str], ...]


def clip_states(data: ReportData, hits: Sequence[RawHit]) -> list[ClipState]:
    """The state of every clip, worst first, then in plan order."""
    tiers: dict[str, str] = {}
    for hit in hits:
        if not hit.consented:
            name = f"{hit.tier}, asked for" if hit.solicited else hit.tier
            have = tiers.get(hit.finding.sample_id)
            if have is None or _RANK[name] < _RANK[have]:
                tiers[hit.finding.sample_id] = name
    states = [ClipState(e, *_state(e, tiers.get(e.sample.sample_id, ""))) for e in data.clips]
    return sorted(states, key=lambda s: s.rank)


def _state(entry: ClipEntry, tier: str) -> tuple[str, str]:
    if unusable := problem(entry):
        return "no usable clip", unusable
    measurement = entry.measurements.get(METRIC)
    if measurement is None:
        return "not assessed", "likeness was not measured on this clip"
    kinds = {f.kind for f in measurement.findings}
    besides = next((f"{_BESIDES}{words}" for kind, words in _BY_KIND.items() if kind in kinds), "")
    if tier:
        return tier, besides
    for kind, state in _BY_KIND.items():
        if kind in kinds:
            first = next(f for f in measurement.findings if f.kind == kind)
            return state, str(first.detail.get("reason") or first.message)
    if measurement.unassessed:
        return "not assessed", measurement.unassessed
    if CONSENTED in kinds:
        return "consented", ""
    if measurement.values:
        return "no hit", ""
    status, reason = numbers.missing(
        next(iter(measurement.missing.values()), "no value is stored for the clip")
    )
    if reason.startswith("no face"):
        return "no face", reason
    return "not assessed", f"{status}: {reason}"


def state_counts(
    states: Sequence[ClipState],
    groups: Sequence[str],
    hits: Sequence[RawHit] = (),
    settled: Mapping[str, Any] | None = None,
) -> list[StateCount]:
    """Clips by state, for the states that occur; what ALERT means follows from what the hits were raised by."""
    out = []
    for name, tone, usual in _STATES:
        words = usual
        if name.startswith("ALERT"):
            asked = name != "ALERT"
            own = [h for h in hits if h.tier == "ALERT" and not h.consented and h.solicited == asked]
            words = (_alert_words(own, settled or {}) or usual) + (
                "; the prompt names the person" if asked else ""
            )
        inside = [s.entry.sample.group for s in states if s.state == name]
        if inside:
            out.append(StateCount(name, tone, words, len(inside), tuple(inside.count(g) for g in groups)))
    return out


def _alert_words(alerts: Sequence[RawHit], settled: Mapping[str, Any]) -> str:
    """What the ALERTs of a run say: of a rate that chance explains poorly, or past the strict point."""
    by = {alerted_by(h.finding.detail) for h in alerts}
    parts = []
    if "rate" in by:
        parts.append("so rare that chance explains it poorly, in all comparisons of the run")
    if "strict" in by:
        expected = [number_of(facts.get("value")) for facts in chance_alerts(settled).values()]
        known = [value for value in expected if value is not None]
        often = (
            f"such alerts by chance are expected {numbers.number(sum(known), 2)} times in this run"
            if known and len(known) == len(expected)
            else "how often chance gives such alerts is not stored"
        )
        parts.append(
            "more alike than the cohort can resolve, and past the strict point in at least 3 frames; " + often
        )
    return "; or ".join(parts)


def headline(data: ReportData, hits: Sequence[RawHit], states: Sequence[ClipState], names: Names) -> Headline:
    """The top of the page."""
    settled = mapping(data.settled.get(METRIC))
    answer, tone = _answer(hits, states)
    if nobody_compared(data):  # a clip without a face is no answer to a question about somebody
        answer, tone = "Not answered: nobody was compared", "nc"
    return Headline(
        question=QUESTION,
        answer=answer,
        tone=tone,
        reason=_reason(hits, states),
        tiles=_tiles(data, hits, states, names),
        rows=tuple(_rows(data, names)),
        gates=tuple(
            (TONES[g.outcome], g.outcome.value, names.text(g.gate), names.text(g.group), names.text(g.reason))
            for g in sorted_gates(data.gates)
            if METRIC in g.gate
        ),
        basis=tuple(names.text(words) for words in _basis(data, settled, hits)),
        totals=_totals(settled, names),
    )


def _answer(hits: Sequence[RawHit], states: Sequence[ClipState]) -> tuple[str, str]:
    guarded = [h for h in hits if not h.consented]
    confirmed = {h.finding.sample_id for h in guarded if h.decision.is_confirmed}
    alerts = {h.finding.sample_id for h in guarded if h.decision.is_waiting and h.tier == "ALERT"}
    reviews = {h.finding.sample_id for h in guarded if h.decision.is_waiting}
    unknown = [s for s in states if s.is_unknown]
    if confirmed:
        return f"Yes: a reviewer confirmed a likeness in {numbers.count(len(confirmed), 'clip')}", "fail"
    if alerts:
        return f"Possibly: {numbers.count(len(alerts), 'clip')} with open ALERT hits", "fail"
    if reviews:
        verb = "waits" if len(reviews) == 1 else "wait"
        return f"Undecided: {numbers.count(len(reviews), 'clip')} {verb} for a reviewer", "nc"
    if states and all(s.state in ("nobody compared", "no face") for s in states) and unknown:
        return "Not answered: nobody was compared", "nc"
    if len(unknown) == len(states):
        return "Not answered: no clip was assessed", "nc"
    if unknown:
        return f"No open hit, but {numbers.count(len(unknown), 'clip')} could not be fully assessed", "nc"
    return ("No open hit", "pass") if guarded else ("No hit", "pass")


def _reason(hits: Sequence[RawHit], states: Sequence[ClipState]) -> str:
    compared = sum(s.state in ("ALERT", "ALERT, asked for", "REVIEW", "REVIEW, asked for", "no hit", "consented")
                   for s in states)  # fmt: skip
    without = sum(s.state == "no face" for s in states)
    rest = sum(s.is_unknown for s in states)
    consented = len({h.finding.sample_id for h in hits if h.consented})
    parts = [
        f"Of {numbers.count(len(states), 'clip')}, {compared:,} had faces that were compared and {without:,} had no ",
        "face",
        f"; {rest:,} could not be assessed, wholly or in part" if rest else "",
        f"; people who agreed to appear are in {consented:,}" if consented else "",
    ]
    return "".join(parts) + "."


def _tiles(
    data: ReportData, hits: Sequence[RawHit], states: Sequence[ClipState], names: Names
) -> tuple[Tile, ...]:
    guarded = [h for h in hits if not h.consented]
    alert = {h.finding.sample_id for h in guarded if h.tier == "ALERT"}
    review = {h.finding.sample_id for h in guarded if h.tier == "REVIEW"}
    waiting = sum(h.decision.is_waiting for h in guarded)
    confirmed = sum(h.decision.is_confirmed for h in guarded)
    if nobody_compared(data):
        faces = sum(s.state == "nobody compared" for s in states)
        return (
            Tile(f"{faces:,}", "clips with faces that were compared with nobody", "nc" if faces else "plain"),
            Tile(f"{sum(s.state == 'no face' for s in states):,}", "clips without a face", "plain"),
        )
    return (
        Tile(f"{len(alert):,}", "clips with ALERT hits", "fail" if alert else "plain"),
        Tile(f"{len(review):,}", "clips with REVIEW hits", "nc" if review else "plain"),
        Tile(f"{waiting:,} of {len(guarded):,}", "hits waiting for a reviewer", "nc" if waiting else "plain"),
        *([Tile(f"{confirmed:,}", "hits confirmed, which gates count as open", "fail")] if confirmed else []),
        _worst(data, "likeness.alert_rate", "bound", "upper bound of the alert rate", names),
        _worst(data, "likeness.coverage", "least", "coverage", names),
        _worst(data, "likeness.expected_chance_alerts", "most", "expected chance alerts", names),
    )


def nobody_compared(data: ReportData) -> bool:
    """Whether the audit was given no gallery, so that faces were looked for and that was all."""
    measured = [e.measurements[METRIC] for e in data.clips if METRIC in e.measurements]
    return bool(measured) and all(m.facts.get("gallery", {}) is None for m in measured)


def _worst(data: ReportData, name: str, which: str, label: str, names: Names) -> Tile:
    """The group in which a result is worst. A group that lacks the number is named, and comes first where it has none
    for another reason than that there is nothing to count.
    """
    found = results_of(data, name)
    missing = [r for r in found if r.status != COMPUTED or (which == "bound" and r.high is None)]
    there = [r for r in found if r not in missing]
    values = [r.high if which == "bound" else r.value for r in there]
    ends = [v for v in values if v is not None]
    share = name != "likeness.expected_chance_alerts"
    worst = min(ends, default=0.0) if which == "least" else max(ends, default=0.0)
    text = percent(worst) if share else numbers.number(worst, 3)
    mark = f" ({UNCALIBRATED})" if any(r.detail.get("uncalibrated") for r in there) else ""
    extreme = "lowest" if which == "least" else "highest"
    if not missing:
        where = f", {extreme} of {len(found)} groups" if len(found) > 1 else ""
        return Tile(text, f"{label}{where}{mark}", "nc" if mark else "plain")
    first = min(missing, key=lambda r: r.status != NOT_COMPUTED)
    status = "no bound" if first.status == COMPUTED else first.status
    if not there:
        return Tile(status, label, "nc")
    some = (
        f"in {names.text(missing[0].group)}"
        if len(missing) == 1
        else f"in {len(missing)} of {len(found)} groups"
    )
    others = names.text(there[0].group) if len(there) == 1 else f"{extreme} of {len(there)} groups"
    if all(r.status == NOT_APPLICABLE for r in missing):
        return Tile(text, f"{label}, {others}{mark}; not applicable {some}", "nc" if mark else "plain")
    return Tile(status, f"{label} {some}; {others}: {text}{mark}", "nc")


def percent(share: float) -> str:
    """A share in [0, 1] as per cent: ``3.4 %``; what is not 0 is never written as 0, nor what is not 1 as 100."""
    text = f"{100 * share:.1f}"
    if share > 0 and text == "0.0":
        return "below 0.1 %"
    if share < 1 and text == "100.0":
        return "above 99.9 %"
    return f"{text.removesuffix('.0')} %"


def _rows(data: ReportData, names: Names) -> list[NumberRow]:
    out = []
    for name, title, what in RESULTS:
        for found in results_of(data, name):
            result = found
            if nobody_compared(data):  # a coverage of 0 % would say that the audit tried and failed
                result = replace(
                    found,
                    value=None,
                    low=None,
                    high=None,
                    status=NOT_APPLICABLE,
                    reason=NO_GALLERY_GIVEN,
                    detail={},
                )
            out.append(_row(result, title, what, names))
    return out


def results_of(data: ReportData, name: str) -> list[Result]:
    """A result for every group of the run: one that the run does not have is not computed."""
    found = [r for r in data.results if r.name == name]
    groups = list(dict.fromkeys(e.sample.group for e in data.clips)) or ["all"]
    if any(r.group not in groups for r in found):
        return found  # about the run as a whole
    have = {r.group for r in found}
    why = (
        "finished clips are no sample: they get an answer each, and no rates"
        if data.kind == "census"
        else "the run has no such result; score it again with this version"
    )
    return found + [Result.not_computed(name, group, why) for group in groups if group not in have]


def _row(result: Result, title: str, what: str, names: Names) -> NumberRow:
    computed = result.status == COMPUTED and result.value is not None
    share = result.name != "likeness.expected_chance_alerts"
    text, bound = str(result.status), ""
    if computed and result.value is not None:
        text = percent(result.value) if share else numbers.number(result.value, 3)
        if result.low is not None and result.high is not None:
            ends = [percent(end) if share else numbers.number(end, 3) for end in (result.low, result.high)]
            bound = f"{numbers.confidence(result.confidence)}: {ends[0]} to {ends[1]}"
        else:
            bound = "no interval"
    uncalibrated = computed and result.detail.get("uncalibrated")
    marks = [f"{UNCALIBRATED}: it has no known error rate" if uncalibrated else ""]
    marks.append(numbers.reason(result))
    rests = [numbers.count(result.n, "clip"), numbers.count(result.n_clusters, "prompt")] if computed else []
    return NumberRow(
        title, what, result.name, names.text(result.group), text, computed, bound, ", ".join(rests),
        names.text("; ".join(m for m in marks if m)),
    )  # fmt: skip


def _basis(data: ReportData, settled: Mapping[str, Any], hits: Sequence[RawHit]) -> list[str]:
    """What the answer rests on: cohort, decoys, and the alerts that chance gives in each group."""
    if nobody_compared(data):
        return [
            f"{NO_GALLERY_GIVEN[0].upper()}{NO_GALLERY_GIVEN[1:]}. Faces were looked for and counted; whether any of "
            "them is the likeness of somebody is not known."
        ]
    chance = chance_alerts(settled)
    told = [
        f"Chance alerts{f' in {group}' if len(chance) > 1 else ''}: {facts.get('words') or 'not stored in words'}."
        for group, facts in chance.items()
    ]
    return [*_calibration(settled, hits), _sentence(_decoys(settled)), *told]


def _sentence(words: str) -> str:
    """``words`` with a capital letter and a full stop."""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


def chance_alerts(settled: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Alerts expected by chance, by group; empty where that is not known."""
    stored = mapping(settled.get("expected_chance_alerts"))
    return {str(group): facts for group, facts in stored.items() if isinstance(facts, Mapping)}


def _calibration(settled: Mapping[str, Any], hits: Sequence[RawHit]) -> list[str]:
    """What coincidence rates rest on; each cohort once."""
    cohort = mapping(settled.get("cohort") or settled.get("calibration"))
    if cohort:
        return [f"Calibrated against {calibration_words(cohort)}."]
    named = dict.fromkeys(
        calibration_words(h.finding.detail.get("calibration"))
        for h in hits
        if mapping(h.finding.detail.get("calibration"))
    )
    if named:
        return [f"Calibrated against {words}." for words in named]
    return [
        f"{UNCALIBRATED.capitalize()}: no cohort of unrelated people was given, so nobody knows how many strangers "
        "would be as alike. Hits are held against the published point of the embedder, which carries no rate and no "
        "ALERT."
    ]


def _decoys(settled: Mapping[str, Any]) -> str:
    decoys = mapping(settled.get("decoys"))
    if words := decoys.get("words"):
        return str(words)
    if decoys:
        return "A decoy control ran, but the run stores no sentence about it; see results.json."
    why = settled.get("decoys_reason")
    return (
        f"No decoy control: {why}."
        if why
        else ("No decoy control was run, so an excess over chance resemblance is not shown.")
    )


def _totals(settled: Mapping[str, Any], names: Names) -> tuple[tuple[str, str], ...]:
    whole = {k: settled[k] for k in ("tracks", "comparisons") if isinstance(settled.get(k), (int, float))}
    entries = settled.get("entries")
    if isinstance(entries, (int, float)) and not isinstance(entries, bool):
        whole["entries"] = entries
    elif isinstance(entries, (list, tuple, Mapping)):
        whole["entries"] = len(entries)
    out = [(label, f"{int(value):,}") for label, value in whole.items()]
    gallery = mapping(settled.get("gallery"))
    if not names.shareable:
        return (*out, *facts_of({f"gallery {k}": v for k, v in gallery.items() if k != "entries"}))
    return (*out, *((("gallery digest", str(gallery["digest"])),) if gallery.get("digest") else ()))
