"""The answer for one finished clip: publish, review or hold, and why.

For someone about to publish finished clips there is nothing to estimate: each clip gets an answer of its own.

* ``hold``: the clip cannot be decoded, is damaged, or carries an ``alert``;
* ``review``: something needs a person's eyes, or something that was asked for could not be checked;
* ``publish``: everything asked for was checked and nothing was found. What was not asked for was not checked.

A reviewer's decision counts: a finding that is dismissed or cleared asks for nothing any more, one that is confirmed
holds the clip. A damaged clip stays on hold whoever dismisses that.
"""

from __future__ import annotations

from collections.abc import Mapping

from vgaudit.decisions import OPEN, Standing, State
from vgaudit.records import NOT_APPLICABLE, ClipRecord, Finding, Measurement, Severity
from vgaudit.reports.data import PublishDecision

# Findings that make a clip unfit whatever else is said of it.
HOLD_KINDS = frozenset({"integrity.damaged", "integrity.black", "integrity.constant"})


def decide(
    record: ClipRecord,
    measurements: Mapping[str, Measurement],
    unchecked: Mapping[str, str],
    standings: Mapping[str, Standing] | None = None,
) -> PublishDecision:
    """Answer for one clip.

    Args:
        record: What is stored of the clip.
        measurements: Metric to measurement.
        unchecked: Metric to the reason it could not be computed for this clip.
        standings: Fingerprint of a finding to what reviewers decided on it; without an entry it is open.
    """
    if record.outcome != "ok":
        return PublishDecision("hold", (f"there is no clip: {record.message or record.outcome}",))
    if record.media_error:
        return PublishDecision("hold", (f"the clip cannot be decoded: {record.media_error}",))
    hold: list[str] = []
    review: list[str] = []
    for measurement in measurements.values():
        for finding in measurement.findings:
            standing = (standings or {}).get(finding.fingerprint, OPEN)
            said = "" if standing is OPEN else f" ({standing.words})"
            if _holds(finding) or standing.state is State.CONFIRMED:
                hold.append(_sentence(finding) + said)
            elif standing.closed:
                continue
            elif finding.severity is Severity.ALERT:
                hold.append(_sentence(finding) + said)
            elif finding.severity.rank >= Severity.MINOR.rank or standing.state is State.ESCALATED:
                review.append(_sentence(finding) + said)
    for metric, measurement in measurements.items():
        gaps = {n: why for n, why in measurement.missing.items() if not why.startswith(f"{NOT_APPLICABLE}:")}
        review += [f"{metric}.{name} could not be measured: {why}" for name, why in gaps.items()]
        if measurement.unassessed:
            review.append(f"{metric} did not see all of the clip: {measurement.unassessed}")
        for why in dict.fromkeys(measurement.unassessed_kinds.values()):
            kinds = [k for k, reason in measurement.unassessed_kinds.items() if reason == why]
            review.append(f"{', '.join(kinds)} could not be looked for: {why}")
    review += [f"{metric} was asked for but not computed: {why}" for metric, why in unchecked.items()]
    if hold:
        return PublishDecision("hold", (*hold, *review))
    if review:
        return PublishDecision("review", tuple(review))
    return PublishDecision("publish", ())


def _holds(finding: Finding) -> bool:
    return finding.kind in HOLD_KINDS and finding.severity.rank >= Severity.MAJOR.rank


def _sentence(finding: Finding) -> str:
    return f"{finding.kind} at {finding.start_s:.2f}-{finding.end_s:.2f} s: {finding.message}"
