"""Whether a bundled network may judge a clip: from what its backend declares, and from what its pictures show.

The networks that ship with the package know one small world, and give plausible numbers for anything else. Here is
the one place that decides; metrics turn its reasons into ``not computed``, for a clip and for the group it is in.
Where a suite names a network for clips that nobody declared to be of its world, the value stands but is marked
(:func:`forced_facts`), and no gate takes it.
What pictures show is said by a network of its own (:mod:`vgaudit.extractors.domain`), which every metric that uses a
bundled network needs besides: :func:`guard_needs`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.extractors.video_protocols import STORYWORLD
from vgaudit.metrics.base import Measured
from vgaudit.records import Result
from vgaudit.stats import ValueFacts
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_DOMAIN, BUNDLED_VIDEO, WEIGHTS, by_digest
from vgaudit.zoo.devices import Device

OUT_OF_DOMAIN = "out of domain"
"""How the reason of a value begins that a bundled network may not give."""

NOT_DECLARED = (
    f"{OUT_OF_DOMAIN}: the backend does not declare `domain: {BUNDLED_DOMAIN}`, so no gate takes this value; declare "
    "it there if the clips show that world, or name a public network"
)
"""Stands on a value that a suite forced out of a bundled network, for clips that only look like its world."""

DOMAIN_ROLE = "domain"
"""Role of the guard's features among those that a metric needs."""

_WORDS_SHOWN = 5
NETWORK_FACTS = (
    "model",
    "weights",
    "weights_sha256",
    "weights_pinned",
    "licence",
    "bundled",
    "domain",
    "activation",
    "preprocessing",
)
"""Facts that say which network was asked."""

_OF_THE_NETWORK = frozenset(
    {
        *NETWORK_FACTS, "every", "protocol", "published_network",
        "resize", "crop", "value_range", "features", "covariance", "window",
    }
)  # fmt: skip
"""Facts that say what was asked, and nothing of what it answered."""
_INSTEAD = {
    BUNDLED_CLIP: ("ViT-B-32/openai", "set `metrics.prompt_alignment.model: openai/ViT-B-32` in the suite"),
    BUNDLED_VIDEO: (
        "i3d-kinetics400-styleganv",
        "set `metrics.fvd.protocol: fvd@styleganv` in the suite, with real clips as `metrics.fvd.reference`",
    ),
}


@dataclass(frozen=True)
class DomainJudgement:
    """What is said of one clip.

    Attributes:
        reason: Why the network may not judge it, beginning with :data:`OUT_OF_DOMAIN`; empty if it may.
        facts: JSON-able facts for the measurement: ``domain_logit``, the guard's score over the examined frames, and
            ``domain_note``, :data:`NOT_DECLARED`, where numbers rest on features alone.
    """

    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def guard_needs(weights: str, weights_sha256: str, device: Device) -> dict[str, ExtractorSpec]:
    """The guard's role if a network is bundled, by its name or as a copy with its digest; else nothing.

    Args:
        weights: Catalogue name of the network's weights, or path of a local file.
        weights_sha256: Digest of the weights, as :func:`vgaudit.zoo.resolve.pinned_digest` gives it.
        device: Where the network runs, and then the guard too.
    """
    entry = WEIGHTS.get(weights) or by_digest(weights_sha256)
    if entry is None or not entry.bundled:
        return {}
    return {DOMAIN_ROLE: ExtractorSpec("domain", {"device": device})}


FOREIGN_QUARTILE = -2.5
"""Lower quartile of logits from which on a clip holds foreign frames.

Set by hand, for the guard that ships along, just below what strong faults tint or darken a quarter of a held-out
drawn clip's frames to, and above nearly all frames of real footage, of which no clip may have a quarter whatever
the rest of it shows. ``benchmarks/judging_networks.py`` tells whether it parts them; ask it after another training.
"""

_QUARTILE = 0.25
_ABOVE = 0.0
"""Scores above it are in the domain; the guard's logits are trained for 0."""


def guard_identity(needs: Mapping[str, ExtractorSpec]) -> dict[str, Any]:
    """The rule's constants, for the identity of a metric with these needs; nothing where it asks no guard.

    Decisions are stored with measurements: those made by other constants must not be taken for these.
    """
    if DOMAIN_ROLE not in needs:
        return {}
    return {"domain_rule": {"quartile": _QUARTILE, "foreign_quartile": FOREIGN_QUARTILE, "above": _ABOVE}}


def guard_score(logits: ArrayLike) -> float | None:
    """The guard's say on a stretch of a clip: the mean, or lower quartile less :data:`FOREIGN_QUARTILE` if less.

    The mean is what the network's threshold is set for. Alone it would let half a clip of real footage through, where
    the drawn half is sure enough; the quartile, ``numpy.quantile(logits, 0.25, method="lower")``, forgives one odd
    frame of five and no quarter of foreign frames.

    Args:
        logits: One a frame that the guard examined, ``(k,)``; above 0 for pictures of the networks' world.

    Returns:
        ``None`` without a frame; NaN if any logit is not finite.
    """
    values = np.asarray(logits, dtype=np.float64)
    if not values.size:
        return None
    if not np.isfinite(values).all():
        return math.nan
    quartile = float(np.quantile(values, _QUARTILE, method="lower"))
    return min(float(values.mean()), quartile - FOREIGN_QUARTILE)


def clip_logit(features: Mapping[str, Features], windows: Sequence[range] | None = None) -> float | None:
    """The guard's :func:`guard_score` over the frames it examined.

    Args:
        features: Of a clip, by role.
        windows: Stretches of frames that the network saw. Only frames within them count, each stretch is asked
            about alone, and the least answer is given. Default: the network saw all of the clip.

    Returns:
        ``None`` where the guard was not asked, or saw no frame of the clip or of one of its windows.
    """
    if DOMAIN_ROLE not in features:
        return None
    guard = features[DOMAIN_ROLE]
    if windows is None:
        return guard_score(guard["logit"])
    at = guard["frame_index"]
    each = [guard_score(guard["logit"][(at >= w.start) & (at < w.stop)]) for w in windows]
    known = [logit for logit in each if logit is not None]
    if not known or len(known) < len(each):
        return None
    return float(np.min(known))  # NaN where one is


def judge_domain(
    network: Mapping[str, Any],
    *,
    declared: str,
    forced: bool,
    logit: float | None,
    unknown_words: Sequence[str] = (),
) -> DomainJudgement:
    """Whether ``network`` may judge a clip.

    Args:
        network: Facts of the network as its extractor gives them: ``weights``, and ``bundled`` if it ships with the
            package. Other networks judge everything.
        declared: What the clip shows, as its backend declares it.
        forced: The suite names the network, so that undeclared clips are judged by their features alone, and the
            facts say so; ``auto`` judges declared clips only.
        logit: The guard's, as :func:`clip_logit` gives it; above 0 for clips of the networks' world. Without a
            finite one no clip is judged.
        unknown_words: Words of the clip's texts that the network does not know.
    """
    if not network.get("bundled"):
        return DomainJudgement()
    name = str(network["weights"])
    undeclared = declared != BUNDLED_DOMAIN
    if undeclared and not forced:
        says = f"declares {declared!r}" if declared else "declares no domain"
        return DomainJudgement(
            f"{OUT_OF_DOMAIN}: the backend {says}, and {name} knows the {BUNDLED_DOMAIN} only"
        )
    head = f"{OUT_OF_DOMAIN} (forced)" if undeclared else OUT_OF_DOMAIN
    if unknown_words:
        words = list(dict.fromkeys(unknown_words))
        more = f" and {len(words) - _WORDS_SHOWN} more" if len(words) > _WORDS_SHOWN else ""
        shown = ", ".join(map(repr, words[:_WORDS_SHOWN]))
        return DomainJudgement(f"{head}: {name} does not know the words {shown}{more}")
    if logit is None:
        return DomainJudgement(f"{head}: the guard saw no frame of it")
    if not math.isfinite(logit):
        return DomainJudgement(f"{head}: the guard's answer is not finite")
    facts = {"domain_logit": logit}
    if logit <= _ABOVE:
        how = f"guard's score {logit:.3g}, needed above {_ABOVE:g}"
        return DomainJudgement(f"{head}: its pictures are not the {BUNDLED_DOMAIN}'s ({how})", facts)
    return DomainJudgement("", {**facts, "domain_note": NOT_DECLARED} if undeclared else facts)


def refused_result(
    name: str,
    group: str,
    spec: ValueFacts,
    reasons: Mapping[str, str],
    n: int,
    detail: Mapping[str, Any],
) -> Result | None:
    """The result of a group in which a clip is out of domain: ``not computed``, never the rest's plausible mean.

    Args:
        name: ``<metric>.<value>``.
        group: The group.
        spec: Unit and direction.
        reasons: Sample id -> why the value is missing; those not about the domain are passed over.
        n: Clips measured.
        detail: Further facts, of which only those about the network and counts (``n_...``) are kept: numbers of the
            other clips would look like an answer. ``weights`` or ``protocol`` says what the remedy replaces.

    Returns:
        The result, or ``None`` where no clip is out of domain.
    """
    outside = {i: why for i, why in sorted(reasons.items()) if why.startswith(OUT_OF_DOMAIN)}
    if not outside:
        return None
    each = list(dict.fromkeys(outside.values()))
    if len(outside) == n and len(each) == 1:
        reason = each[0]
    else:
        head = each[0].partition(":")[0]
        first, why = next(iter(outside.items()))
        reason = f"{head}: {len(outside)} of {n} clips, such as {first}: {why.partition(': ')[2]}"
    kept = {k: v for k, v in detail.items() if k in _OF_THE_NETWORK or k.startswith("n_")}
    facts = {**kept, **_outside(reason, len(outside), detail), "n_measured": n}
    return Result.not_computed(
        name, group, reason, unit=spec.unit, higher_is_better=spec.higher_is_better, detail=facts
    )


def forced_facts(measured: Sequence[Measured], detail: Mapping[str, Any]) -> dict[str, Any]:
    """What marks a number of which clips were judged by their features alone, nobody having declared their domain.

    Args:
        measured: All clips that the number rests on, those of a reference group too.
        detail: Of the result; ``weights`` or ``protocol`` says what the remedy replaces.

    Returns:
        Facts for the result's detail: ``out_of_domain``, a sentence that belongs at the head of the result's reason,
        and that keeps gates from taking the number; ``n_out_of_domain``, how many clips; ``remedy``. Empty where all
        clips were declared, or the network judges everything.
    """
    notes = [str(note) for m in measured if (note := m.measurement.facts.get("domain_note"))]
    return _outside(notes[0], len(notes), detail) if notes else {}


def _outside(reason: str, n: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"out_of_domain": reason, "n_out_of_domain": n}
    video = BUNDLED_VIDEO if detail.get("protocol") == STORYWORLD.name else ""
    if instead := remedy(str(detail.get("weights", ""))) or remedy(video):
        facts["remedy"] = instead
    return facts


def remedy(network: str) -> str:
    """The command that fetches a public network in place of a bundled one, and the suite's line that names it."""
    if network not in _INSTEAD:
        return ""
    public, setting = _INSTEAD[network]
    return f"Run `{WEIGHTS[public].download_command}` where there is a network, and {setting}."
