"""Say in plain words what the numbers of a report cannot show; only what concerns the metrics of the run."""

from __future__ import annotations

from vgaudit.reports.data import ReportData

_RUN = (
    "An interval says how much an estimate would move with other prompts of the same kind (seeds of one prompt "
    "count as one observation). It does not cover errors of the measure itself, nor prompts of another kind.",
    "A gate that could not be computed has not passed. Neither has a result that says "
    "\u201cnot computed\u201d: read its reason.",
    "Results of two groups may be compared when both were asked the same prompts and went through the same "
    "encoder; overlapping intervals are no proof that two groups are equal.",
)
_CENSUS = (
    "These clips were looked at one by one. They are no sample of what a generator would make, so this report "
    "gives an answer per clip and no rates, bounds or predictions.",
    "\u201cPublish\u201d means that none of the checks named here found a reason against it. It is no clearance of "
    "rights, and no check of what was not asked.",
)
_ALWAYS = (
    "A finding is what a detector noticed. Some findings are harmless to the eye, and some faults have no detector "
    "here: a clip without findings is not thereby a good clip.",
    "Every number was computed from the stored clip. Encoding changes pixels, so compare only runs with the same "
    "encoder settings.",
)
_BY_METRIC = {
    "fvd": "A Fr\u00e9chet video distance depends on its protocol and falls as the number of clips grows. "
    "Its interval is for the expected distance at this number of clips, not for the true distance. That of I3D is "
    "known to barely see damage over time while single frames look good. That of the bundled network, trained on the "
    "very faults and measured with 112 drawn clips a side, saw 16 of 17 of them once they were moderate, but 5 of 17 "
    "mild ones, and ghosting never; frames in full disorder counted no more than a moderate blur. So read temporal "
    "measures beside it.",
    "prompt_alignment": "CLIP scores see objects and styles better than counts, order, negation or actions, and "
    "only compare within one model and one convention.",
    "temporal": "Temporal measures reward stillness: read flicker and warping error beside the amount of motion. "
    "Flow is unreliable on flat areas, at very fast motion and across cuts.",
    "vbench": "Values named vbench follow that benchmark\u2019s definitions, including its quirks, so that numbers "
    "can be compared with published ones.",
    "likeness": "A likeness score is not the probability that this is the person; face only, not voice, body or "
    "name. A match without calibration has no rate; a person has to look at it. Clips in which no face was usable "
    "are not cleared.",
    "jedi": "JEDi falls as the number of clips grows, and its interval is for the expected number at these numbers "
    "of clips. How frames are resized and chosen is not fixed by its publication: compare only within one protocol.",
}


def metric_names(data: ReportData) -> list[str]:
    """Names of the metrics that the run has values or results of; for a census those that measured a clip."""
    named = [] if data.kind == "census" else [*data.value_specs, *(r.name for r in data.results)]
    named += [metric for entry in data.clips for metric in entry.measurements]
    return list(dict.fromkeys(name.partition(".")[0] for name in named))


def limits(data: ReportData) -> list[str]:
    """The sentences for this run."""
    out = list(_CENSUS if data.kind == "census" else _RUN)
    out += [_BY_METRIC[name] for name in metric_names(data) if name in _BY_METRIC]
    return out + list(_ALWAYS)
