"""The answer for one finished clip never says publish where something asked for could not be checked."""

from __future__ import annotations

import pytest

from vgaudit.pipeline.publish import decide
from vgaudit.records import ClipRecord, Finding, Measurement, Severity

FINE = ClipRecord("s", "ok", file="clips/s.mp4", sha256="0" * 64)


def found(kind: str, severity: Severity) -> Measurement:
    return Measurement(findings=(Finding("s", kind, severity, 0.0, 1.0, 1.0, 0.5, "It is so."),))


@pytest.mark.parametrize(
    ("record", "measurement", "unchecked", "answer", "reason"),
    [
        (FINE, Measurement(values={"x": 1.0}), {}, "publish", ""),
        (FINE, Measurement(missing={"x": "not applicable: no face found"}), {}, "publish", ""),
        (FINE, found("m.fact", Severity.INFO), {}, "publish", ""),
        (FINE, Measurement(missing={"x": "the picture is too small"}), {}, "review", "m.x could not be measured"),
        (FINE, Measurement(values={"x": 1.0}, unassessed="a face was blurred"), {}, "review", "a face was blurred"),
        (FINE, Measurement(), {"fvd": "no weights"}, "review", "fvd was asked for but not computed: no weights"),
        (FINE, found("m.thing", Severity.MINOR), {}, "review", "m.thing at 0.00-1.00 s"),
        (FINE, found("likeness.match", Severity.ALERT), {}, "hold", "likeness.match"),
        (FINE, found("integrity.black", Severity.MAJOR), {}, "hold", "integrity.black"),
        (ClipRecord("s", "error", "it is gone"), Measurement(), {}, "hold", "there is no clip: it is gone"),
        (ClipRecord("s", "ok", media_error="no frame"), Measurement(), {}, "hold", "cannot be decoded: no frame"),
    ],
)  # fmt: skip
def test_decisions(
    record: ClipRecord, measurement: Measurement, unchecked: dict[str, str], answer: str, reason: str
) -> None:
    decision = decide(record, {"m": measurement}, unchecked)
    assert decision.decision == answer
    assert reason in " ".join(decision.reasons)
    assert bool(decision.reasons) == (answer != "publish")


def test_each_kind_that_could_not_be_looked_for_keeps_a_clip_from_being_published_with_its_reason() -> None:
    """Two kinds that lack for one reason share a sentence; a third has its own."""
    said = Measurement(unassessed_kinds={"m.ghost": "too short", "m.warp": "too short", "m.face": "too dark"})
    decision = decide(FINE, {"m": said, "n": Measurement()}, {})
    assert decision.decision == "review"
    assert decision.reasons == (
        "m.ghost, m.warp could not be looked for: too short",
        "m.face could not be looked for: too dark",
    )
