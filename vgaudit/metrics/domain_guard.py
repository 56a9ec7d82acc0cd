"""Whether a bundled network may judge a clip: from what its backend declares, and from what the network sees.

The networks that ship with the package know one small world, and give plausible numbers for anything else. Here is
the one place that decides; metrics turn its reasons into ``not computed``, for a clip and for the group it is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from vgaudit.metrics.base import Measured
from vgaudit.records import Result
from vgaudit.stats import ValueFacts
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO, WEIGHTS, by_digest
from vgaudit.zoo.domain import FILENAME, domain_distance, guard_for

OUT_OF_DOMAIN = "out of domain"
"""How the reason of a value begins that a bundled network may not give."""

NOT_DECLARED = "domain not declared; judged from features"

_WORDS_SHOWN = 5
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
        facts: JSON-able facts for the measurement: distance and threshold, and ``domain_note`` where numbers rest on
            features alone.
    """

    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def judge_domain(
    network: Mapping[str, Any],
    *,
    declared: str,
    forced: bool,
    feature: ArrayLike,
    unknown_words: Sequence[str] = (),
) -> DomainJudgement:
    """Whether ``network`` may judge a clip.

    Args:
        network: Facts of the network as its extractor gives them: ``weights``, and ``bundled`` if it ships with the
            package. Other networks judge everything.
        declared: What the clip shows, as its backend declares it.
        forced: The suite names the network, so that undeclared clips are judged by their features alone; ``auto``
            judges declared clips only.
        feature: Clip-level feature ``(d,)``, finite: for CLIP the mean over frames of their unit embeddings.
        unknown_words: Words of the clip's texts that the network does not know.

    Raises:
        Unavailable: The file that says what the network knows is not there or cannot be used.
        ValueError: The feature has another shape than the network's, or is not finite.
    """
    if not network.get("bundled"):
        return DomainJudgement()
    name = str(network["weights"])
    guard = guard_for(name)
    if guard is None:
        return DomainJudgement(f"{OUT_OF_DOMAIN}: nothing says what {name} knows")
    undeclared = declared != guard.domain
    if undeclared and not forced:
        says = f"declares {declared!r}" if declared else "declares no domain"
        return DomainJudgement(
            f"{OUT_OF_DOMAIN}: the backend {says}, and {name} knows the {guard.domain} only"
        )
    head = f"{OUT_OF_DOMAIN} (forced)" if undeclared else OUT_OF_DOMAIN
    if unknown_words:
        words = list(dict.fromkeys(unknown_words))
        more = f" and {len(words) - _WORDS_SHOWN} more" if len(words) > _WORDS_SHOWN else ""
        shown = ", ".join(map(repr, words[:_WORDS_SHOWN]))
        return DomainJudgement(f"{head}: {name} does not know the words {shown}{more}")
    distance = domain_distance(feature, guard)
    facts = {"domain_distance": distance, "domain_threshold": guard.threshold}
    if distance > guard.threshold:
        how = f"features are {distance:.4g} from the {guard.domain}'s, more than {guard.threshold:.4g}"
        return DomainJudgement(f"{head}: {how}", facts)
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
        detail: Further facts; ``weights`` says which network's replacement the remedy names.

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
    facts = {**detail, "out_of_domain": len(outside), "n_measured": n}
    if instead := remedy(str(detail.get("weights", ""))):
        facts["remedy"] = instead
    return Result.not_computed(
        name, group, reason, unit=spec.unit, higher_is_better=spec.higher_is_better, detail=facts
    )


def domain_notes(measured: Sequence[Measured]) -> list[str]:
    """What must stand beside the number of a group whose clips were judged by their features alone."""
    notes = (m.measurement.facts.get("domain_note") for m in measured)
    return sorted({str(note) for note in notes if note})


def remedy(network: str) -> str:
    """The command that fetches a public network in place of a bundled one, and the suite's line that names it."""
    if network not in _INSTEAD:
        return ""
    public, setting = _INSTEAD[network]
    return f"Run `{WEIGHTS[public].download_command}` where there is a network, and {setting}."


def domain_identity(weights_sha256: str) -> dict[str, str | None]:
    """What a metric's identity holds of the guard: the digest of the file of a bundled network, else nothing."""
    entry = by_digest(weights_sha256)
    return {"domain_sha256": entry.beside[FILENAME]} if entry is not None and entry.bundled else {}
