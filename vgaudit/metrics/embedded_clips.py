"""Clips of a group as rows of a video network's features, for metrics that compare sets of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.metrics.base import Measured, SummaryContext
from vgaudit.metrics.fvd_reference import clip_list_sha256
from vgaudit.plan import Sample

ROLE = "video"
"""Role of the features: ``embedding`` ``(k, d)`` and ``window_start`` ``(k,)``, a row a window."""


def usable(measured: Sequence[Measured], least: str) -> tuple[list[Measured], Counter[str]]:
    """Clips with a window, by sample id (so that no order of work shows), and why others have none.

    Args:
        measured: Of one group.
        least: What a clip has to have for a window, in words.
    """
    used, left_out = [], Counter[str]()
    for clip in sorted(measured, key=lambda m: m.sample.sample_id):
        embedding = clip.features[ROLE]["embedding"]
        if not len(embedding):
            left_out[f"shorter than {least}"] += 1
        elif not np.isfinite(embedding).all():
            left_out["features are not finite"] += 1
        else:
            used.append(clip)
    return used, left_out


def reference_left_out(
    context: SummaryContext, group: str, left_out: Counter[str], tag: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Facts of clips that a reference group should have: ``left_out``, those never embedded, and failed samples.

    Args:
        context: Of the group that is held against it.
        group: The reference.
        left_out: Why clips were left out that were embedded, see :func:`usable`.
        tag: Which of its clips are the reference; all where ``None``.
    """
    broken = Counter(
        why for sample, why in context.unmeasured.get(group, ()) if tag is None or has_tag(sample, tag)
    )
    failed = sum(tag is None or has_tag(sample, tag) for sample in context.failed.get(group, ()))
    every = left_out + broken
    return {
        "reference_left_out": every.total(),
        **({"reference_missing": dict(every)} if every else {}),
        **({"reference_failed_samples": failed} if failed else {}),
    }


def has_tag(sample: Sample, tag: tuple[str, str]) -> bool:
    """Whether a sample has that key and value."""
    return sample.tags.get(tag[0]) == tag[1]


def count_reference(
    facts: Mapping[str, Any], reference: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """``facts`` of a result with what its reference lacks, and what to say: no gate passes on a rest of a reference.

    Samples of the reference that failed are said too. They do not count as missing, as the group's own do not: the
    suite's ``max_failed`` is for the samples of all groups.

    Args:
        facts: Of the result.
        reference: Of the reference, with those of :func:`reference_left_out`; a file has none.
    """
    failed = int(reference.get("reference_failed_samples", 0))
    notes = [f"{failed} samples of the reference failed: no clip, or none that decodes"] if failed else []
    if not (gone := int(reference.get("reference_left_out", 0))):
        return dict(facts), notes
    why = "; ".join(sorted(reference["reference_missing"]))
    n_missing = int(facts.get("n_missing", 0)) + gone
    return {**facts, "n_missing": n_missing}, [f"{gone} clips of the reference left out: {why}", *notes]


def rows(used: Sequence[Measured], row: int = 0) -> NDArray[np.float64]:
    """``(n, d)``: that row of each clip, or its last where it has fewer."""
    each = [m.features[ROLE]["embedding"] for m in used]
    return np.stack([r[min(row, len(r) - 1)] for r in each]).astype(np.float64)


def list_sha256(used: Sequence[Measured], row: int = 0) -> str:
    """Digest of which clips were compared and from which frame on, whatever they are called and in any order."""
    starts = [m.features[ROLE]["window_start"] for m in used]
    return clip_list_sha256(
        (str(m.measurement.facts["clip_sha256"]), int(start[min(row, len(start) - 1)]))
        for m, start in zip(used, starts, strict=True)
    )


def codecs_of(used: Sequence[Measured]) -> set[str]:
    """Codecs of the clips; ``unknown`` where a file does not say."""
    return {str(m.measurement.facts.get("codec") or "unknown") for m in used}
