"""Where a small distance of two sets is no evidence: clips that are on both sides, and features that do not vary.

Both bring a distance to 0 without a model being any good. So no gate takes such a number, whatever a suite accepts of
few clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vgaudit.metrics.base import Measured
from vgaudit.metrics.frechet import Statistics

_ROUNDING = 64 * float(np.finfo(np.float32).eps)
"""Of the largest feature: what sums in another order, as other batches have them, may differ by."""

_ROUNDING_OF_MOMENTS = 1e-4
"""Of the largest mean: what a standard deviation of nothing may be, made from float32 sums of squares."""


def digests(clips: Sequence[Measured]) -> list[str]:
    """Content digest of each clip, as its facts have it."""
    return [str(m.measurement.facts["clip_sha256"]) for m in clips]


def clips_twice(
    used: Sequence[Measured], reference: Collection[str] | None
) -> tuple[dict[str, Any], list[str]]:
    """Clips of a group whose bytes are on the reference side too, or are those of another clip of the group.

    Args:
        used: Of the group.
        reference: Content digests of the reference's clips; ``None`` where it does not say them.

    Returns:
        ``same_clips``, a count or ``unknown``, and ``copied_clips``, for a result's detail; with ``insufficient``
        where a clip is on both sides, see :func:`doubted`. And what is to be said of copies within the group.
    """
    own = Counter(digests(used))
    copied = sum(count for count in own.values() if count > 1)
    notes = [f"{copied} of {len(used)} clips have the bytes of another clip of the group"] if copied else []
    facts: dict[str, Any] = {"same_clips": "unknown", "copied_clips": copied}
    if reference is None:
        return facts, notes
    facts["same_clips"] = same = sum(count for sha256, count in own.items() if sha256 in reference)
    if not same:
        return facts, notes
    why = (
        f"{same} of {len(used)} clips are on the reference side too, byte for byte: copies bring a distance to 0 "
        "whatever made them; take them out of the group, or hold it against a reference without them"
    )
    return facts | {"insufficient": why}, notes


def unvarying(features: ArrayLike) -> bool:
    """Whether all rows of ``features`` ``(n, d)`` are the same, up to float32 rounding of the largest of them."""
    x = np.asarray(features, dtype=np.float64)
    return bool(np.ptp(x, axis=0).max() <= _ROUNDING * np.abs(x).max())


def unvarying_moments(stored: Statistics) -> bool:
    """The same of a set that is known by its moments, whose variances may be differences of float32 sums."""
    spread = float(np.sqrt(max(0.0, float(np.diag(stored.cov).max()))))
    return spread <= _ROUNDING_OF_MOMENTS * float(np.abs(stored.mean).max())


def without_variation(group: ArrayLike, reference: ArrayLike | Statistics) -> dict[str, Any]:
    """``unvarying_features``, the sides whose clips all have one feature vector, with ``insufficient``; or nothing.

    Args:
        group: Features ``(n, d)``.
        reference: Features ``(m, d)``, or moments.
    """
    still = unvarying_moments(reference) if isinstance(reference, Statistics) else unvarying(reference)
    found = [side for side, same in (("group", unvarying(group)), ("reference", still)) if same]
    if not found:
        return {}
    why = (
        f"the features of the {' and of the '.join(found)} do not vary, so no number of them says anything: look at "
        "the clips (all black, all the same?) and at the network's weights"
    )
    return {"unvarying_features": found, "insufficient": why}


def doubted(*doubts: Mapping[str, Any]) -> list[str]:
    """Why each of ``doubts`` that is ``insufficient`` is: what a reason begins with."""
    return [str(part["insufficient"]) for part in doubts if part.get("insufficient")]


def disqualified(detail: Mapping[str, Any], *doubts: Mapping[str, Any]) -> dict[str, Any]:
    """``detail`` with the facts of ``doubts``; where one is ``insufficient``, all is said, and nothing accepted.

    Doubts are said first: no words of a suite lift them. After them comes what few clips there are (``small_n``),
    without the advice to accept those.
    """
    joined = {key: value for part in (detail, *doubts) for key, value in part.items()}
    if not (every := doubted(*doubts)):
        return joined
    joined.pop("accepted_small_n", None)
    if own := detail.get("small_n") or detail.get("insufficient"):
        every.append(str(own))
    return {**joined, "insufficient": "; ".join(every)}
