"""Every built-in metric keeps the promises that authors of plugins are held to."""

from __future__ import annotations

from vgaudit import registry
from vgaudit.metrics.integrity import Integrity
from vgaudit.testing import check_metric


def test_integrity_keeps_the_promises() -> None:
    check_metric(Integrity, judges_empty_clips=True)


def test_every_built_in_metric_is_checked_somewhere() -> None:
    # The others need weights, galleries or references, and are checked in the test file of their own.
    checked = {"integrity", "temporal", "vbench", "prompt_alignment", "fvd", "likeness"}
    assert set(registry.BUILT_IN["metrics"]) == checked
