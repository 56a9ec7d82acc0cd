"""Frechet video distance of a group to a reference set, by named protocol, never without n and its target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vgaudit.errors import UsageError
from vgaudit.extractors.base import ExtractorSpec
from vgaudit.extractors.video_protocols import STYLEGANV, VideoProtocol
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.domain_guard import (
    clip_logit,
    forced_facts,
    guard_identity,
    guard_needs,
    judge_domain,
    refused_result,
)
from vgaudit.metrics.frechet import Statistics, frechet_interval, statistics
from vgaudit.metrics.fvd_floor import floors
from vgaudit.metrics.fvd_options import FvdOptions, GroupReference
from vgaudit.metrics.fvd_reference import (
    ReferenceStatistics,
    clip_list_sha256,
    differing_video,
    read_statistics,
    reference_path,
    video_facts,
)
from vgaudit.plan import Sample
from vgaudit.records import NOT_APPLICABLE, Measurement, Result
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN, WEIGHTS
from vgaudit.zoo.resolve import file_sha256, local_path, pinned_digest

MIN_CLIPS = 16
"""Fewest clips on either side; below, even the bias is unpredictable."""

_ROLE = "video"


@dataclass(frozen=True)
class _Reference:
    """What a group is held against."""

    features: NDArray[np.float64] | None
    statistics: Statistics
    ids: tuple[str, ...]
    detail: Mapping[str, Any]
    clusters: tuple[str, ...] | None = None
    codecs: frozenset[str] | None = None
    notes: tuple[str, ...] = ()


class Fvd:
    """``fvd.distance``: Frechet distance between a video network's features of generated and of real clips.

    ``|m_g - m_r|^2 + tr(S_g) + tr(S_r) - 2 tr((S_g S_r)^(1/2))``; lower is better, 0 for equal sets. Unterthiner et
    al. 2018 (arXiv:1812.01717), by a named protocol (:mod:`vgaudit.extractors.video_protocols`): those of StyleGAN-V
    (Skorokhodov et al. 2022) and of VideoGPT (Yan et al. 2021) with I3D, or that of the network that ships along and
    knows the storyworld only. One window a clip, from frame 0. The estimate is biased upward by about 1/n, so the
    interval states its target: the expected distance *at this n*, not the distance of the populations. Only sets of
    equal n compare.
    """

    name: ClassVar[str] = "fvd"
    version: ClassVar[int] = 3
    Options: ClassVar[type[BaseModel]] = FvdOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            name="distance",
            unit="squared feature distance",
            higher_is_better=False,
            description="Frechet distance between video features of the group and of the reference set.",
            low=0.0,
            per_clip=False,
        ),
    )
    summary_features: ClassVar[tuple[str, ...]] = (_ROLE,)

    def __init__(self, options: FvdOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir
        self._statistics: ReferenceStatistics | None = None

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """One video embedding, with a reference among the groups also of a random window of each clip.

        With a bundled network also the guard.
        """
        o = self.options
        weights = local_path(o.weights, self._base_dir)
        options = {
            "protocol": o.rules.name,
            "weights": weights,
            "sha256": o.sha256,
            "device": o.device,
            "random_window": isinstance(o.reference, GroupReference) and o.rules.random_reference,
        }
        named = o.rules.weights if o.rules.bundled else weights  # what stands in is held to the same world
        guard = guard_needs(named, pinned_digest(weights, o.sha256), o.device)
        return {_ROLE: ExtractorSpec("video_embedding", options), **guard}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """The reference: digest of its file, or the group's name; and of a bundled network its guard's rule.

        Raises:
            UsageError: The file is missing, no statistics, or another network's.
        """
        guard = guard_identity(self.needs())
        if isinstance(self.options.reference, GroupReference):
            return {"reference_group": self.options.reference.group, **guard}
        network = pinned_digest(local_path(self.options.weights, self._base_dir), self.options.sha256)
        made_by = self._read_statistics().weights_sha256
        if not made_by and not self.options.rules.unsigned_reference:
            raise UsageError(
                f"fvd.reference: {self._reference_path.name} does not say which network made it, which "
                f"{self.options.rules.name} needs; add `weights_sha256` to the file, or take a set that ships along"
            )
        if made_by and network not in (made_by, "absent"):  # an absent network says so itself
            raise UsageError(
                f"fvd.reference: {self._reference_path.name} was made by the network with sha256 {made_by[:12]}..., "
                f"but {self.options.weights} ({self.options.rules.name}) has {network[:12]}...: their features do "
                "not compare; name the network that made it, or a reference made by this one"
            )
        return {"reference_sha256": file_sha256(self._reference_path), **guard}

    def measure(self, clip: ClipView) -> Measurement:
        """No value of its own: facts that the group's result needs, and whether the network knows such clips."""
        video = clip.features[_ROLE]
        world = {"bundled": True, "domain": BUNDLED_DOMAIN} if self.options.rules.bundled else {}
        network = {**video.facts, **world}
        facts = {
            **network,
            "windows": len(video["embedding"]),
            "codec": clip.info.codec,
            "clip_sha256": clip.sha256,
            "video": video_facts(clip.info),
        }
        if len(video["embedding"]):  # a clip too short has no part in the result
            seen = [range(at, at + self.options.rules.window) for at in map(int, video["window_start"])]
            judged = judge_domain(
                network,
                declared=clip.sample.domain,
                forced=self.options.forced,
                logit=clip_logit(clip.features, seen),
            )
            facts |= judged.facts
            if judged.reason:
                facts["out_of_domain"] = judged.reason
        return Measurement(facts=facts)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """``fvd.distance`` of one group."""
        return [self._distance(measured, context)]

    def _distance(self, measured: Sequence[Measured], context: SummaryContext) -> Result:
        spec, reference = self.values[0], self.options.reference
        name, group = f"{self.name}.{spec.name}", context.group
        common: dict[str, Any] = {"unit": spec.unit, "higher_is_better": spec.higher_is_better}
        if isinstance(reference, GroupReference) and reference.group == group:
            reason = "this group is the reference"
            return Result(name, group, None, status=NOT_APPLICABLE, reason=reason, **common)
        used, left_out = _usable(measured, self.options.rules.window)
        rules = self.options.rules
        detail: dict[str, Any] = {
            **self._protocol(used),
            "n_planned": len(context.planned),
            "window": f"{rules.window} consecutive frames from frame 0",
        }
        if refused := self._out_of_domain(measured, context, detail):
            return refused
        notes: list[str] = []
        if left_out:
            detail |= {"n_missing": sum(left_out.values()), "missing": dict(left_out)}
            notes.append(
                f"{sum(left_out.values())} of {len(measured)} clips left out: {'; '.join(sorted(left_out))}"
            )
        found = self._reference(reference, context)
        if isinstance(found, str) or len(used) < MIN_CLIPS:
            too_few = f"{len(used)} usable clips; expected at least {MIN_CLIPS}"
            reason = "; ".join([found if isinstance(found, str) else too_few, *notes])
            return Result.not_computed(name, group, reason, detail=detail, **common)
        x = _rows(used, 0)
        if x.shape[1] != len(found.statistics.mean):
            d = len(found.statistics.mean)
            reason = f"features have {x.shape[1]} dimensions, the reference {d}: other networks"
            return Result.not_computed(name, group, reason, detail=detail, **common)
        against = context.all_groups.get(reference.group, ()) if isinstance(reference, GroupReference) else ()
        if forced := forced_facts([*used, *against], detail):
            detail |= forced
            notes.insert(0, str(forced["out_of_domain"]))
        prompts = [m.sample.prompt_id for m in used]
        interval = frechet_interval(
            x,
            found.statistics if found.clusters is None or found.features is None else found.features,
            confidence=context.confidence,
            ddof=rules.ddof,
            clusters=prompts,
            reference_clusters=found.clusters,
        )
        floor = floors(found.features, found.ids, prompts, rules.ddof, found.clusters)
        detail |= {
            **found.detail,
            "n_reference": found.statistics.n,
            "interval": "grouped jackknife, Student's t",
            "interval_target": "expected distance at this n, not the distance of the populations",
            "jackknife_groups": interval.groups,
            **floor.detail,
            "codecs": sorted(_codecs(used)),
            "reference_codecs": sorted(found.codecs) if found.codecs else "unknown",
            "list_sha256": _list_sha256(used, 0),
        }
        notes += [note for note in (interval.reason, floor.note) if note]
        notes += self._caveats(used, found)
        return Result(
            name, group, interval.value, interval.low, interval.high,
            None if interval.low is None else context.confidence, len(used), len(set(prompts)),
            reason="; ".join(notes), detail=detail, **common,
        )  # fmt: skip

    def _out_of_domain(
        self, measured: Sequence[Measured], context: SummaryContext, detail: Mapping[str, Any]
    ) -> Result | None:
        """The refusal where the network does not know a clip of the group, or of the group it is held against."""
        sets = [measured]
        if isinstance(self.options.reference, GroupReference):
            sets.append(context.all_groups.get(self.options.reference.group, ()))
        for clips in sets:
            reasons = {m.sample.sample_id: str(m.measurement.facts.get("out_of_domain", "")) for m in clips}
            name = f"{self.name}.{self.values[0].name}"
            refused = refused_result(name, context.group, self.values[0], reasons, len(clips), detail)
            if refused is not None:
                return refused
        return None

    def _caveats(self, used: Sequence[Measured], reference: _Reference) -> list[str]:
        rules, notes = self.options.rules, [*reference.notes, *differing_video(reference.detail, used)]
        if (len(used), reference.statistics.n) != (rules.clips, rules.clips):
            published = f" (the protocol's are {rules.clips})" if rules.clips else ""
            notes.append(
                f"n is {len(used)} against {reference.statistics.n}: compares only with the same numbers{published}"
            )
        published = self._protocol(used)["published_network"]
        if published is None:
            notes.append(
                f"no digest of {rules.weights} is established here, so whether this is the published network is "
                "not known: no number of another one compares"
            )
        elif not published:
            which = "the published I3D weights" if rules == STYLEGANV else f"the network of {rules.name}"
            notes.append(f"not {which}: no number of another network compares")
        elif rules.bundled:
            notes.append(f"{rules.weights} knows the {BUNDLED_DOMAIN} only: compares with no published FVD")
        codecs = _codecs(used)
        if reference.codecs and codecs != reference.codecs:
            notes.append(
                f"codecs differ ({', '.join(sorted(codecs))} against {', '.join(sorted(reference.codecs))}): "
                "part of the distance is the codec"
            )
        return notes

    def _protocol(self, used: Sequence[Measured]) -> dict[str, Any]:
        rules, facts = self.options.rules, used[0].measurement.facts if used else {}
        sha256 = facts.get("weights_sha256")
        return {
            "protocol": rules.name,
            "weights": facts.get("weights", self.options.weights),
            "weights_sha256": sha256,
            **{key: facts[key] for key in ("bundled", "domain") if key in facts},
            "published_network": _published(rules, sha256),
            **rules.pinned,
        }

    def _reference(self, reference: str | GroupReference, context: SummaryContext) -> _Reference | str:
        """The reference set, or why there is none."""
        if isinstance(reference, str):
            stored = self._read_statistics()
            sha256 = file_sha256(self._reference_path)
            facts: dict[str, Any] = {"reference": stored.name, "reference_sha256": sha256}
            if stored.made:
                facts["reference_made"] = dict(stored.made)
            unsaid = () if stored.weights_sha256 else ("the reference does not say which network made it",)
            return _Reference(stored.features, stored.statistics, (sha256,), facts, notes=unsaid)
        if reference.group not in context.all_groups:
            groups = list(context.all_groups)
            hint = nearest(reference.group, groups)
            return f"the run has no group {reference.group!r} to be the reference{hint} (groups: {', '.join(groups)})"
        used, left_out = _usable(context.all_groups[reference.group], self.options.rules.window)
        if len(used) < MIN_CLIPS:
            return f"the reference {reference.group!r} has {len(used)} usable clips; expected at least {MIN_CLIPS}"
        rules = self.options.rules
        y = _rows(used, 1 if rules.random_reference else 0)
        at = (
            "at a random offset, seeded by the clip's first frame"
            if rules.random_reference
            else "from frame 0"
        )
        return _Reference(
            features=y,
            statistics=statistics(y, ddof=rules.ddof),
            clusters=tuple(m.sample.prompt_id for m in used),
            ids=tuple(m.sample.sample_id for m in used),
            detail={
                "reference": f"group {reference.group}",
                "reference_window": f"{rules.window} consecutive frames {at}",
                "reference_left_out": sum(left_out.values()),
                "reference_list_sha256": _list_sha256(used, 1 if rules.random_reference else 0),
            },
            codecs=frozenset(_codecs(used)),
        )

    @property
    def _reference_path(self) -> Path:
        return reference_path(str(self.options.reference), self._base_dir)

    def _read_statistics(self) -> ReferenceStatistics:
        if self._statistics is None:
            self._statistics = read_statistics(
                self._reference_path, self.options.rules.ddof, self.options.rules.name
            )
        return self._statistics


def _published(rules: VideoProtocol, sha256: str | None) -> bool | None:
    """Whether the network with this digest is the protocol's own; ``None`` where the digest of that is not known."""
    own = WEIGHTS[rules.weights].sha256
    return None if sha256 and own is None else sha256 is not None and sha256 == own


def _usable(measured: Sequence[Measured], window: int) -> tuple[list[Measured], Counter[str]]:
    """Clips with a window, by sample id (so that no order of work shows), and why others have none."""
    used, left_out = [], Counter[str]()
    for clip in sorted(measured, key=lambda m: m.sample.sample_id):
        embedding = clip.features[_ROLE]["embedding"]
        if not len(embedding):
            left_out[f"shorter than {window} frames"] += 1
        elif not np.isfinite(embedding).all():
            left_out["features are not finite"] += 1
        else:
            used.append(clip)
    return used, left_out


def _rows(used: Sequence[Measured], row: int) -> NDArray[np.float64]:
    rows = [m.features[_ROLE]["embedding"] for m in used]
    return np.stack([r[min(row, len(r) - 1)] for r in rows]).astype(np.float64)


def _list_sha256(used: Sequence[Measured], row: int) -> str:
    """Digest of which clips were compared and from which frame on, whatever they are called and in any order."""
    starts = [m.features[_ROLE]["window_start"] for m in used]
    return clip_list_sha256(
        (str(m.measurement.facts["clip_sha256"]), int(start[min(row, len(start) - 1)]))
        for m, start in zip(used, starts, strict=True)
    )


def _codecs(used: Sequence[Measured]) -> set[str]:
    return {str(m.measurement.facts.get("codec") or "unknown") for m in used}
