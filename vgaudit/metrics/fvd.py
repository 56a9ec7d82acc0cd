"""Frechet video distance of a group to a reference set, by named protocol, never without n and its target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from vgaudit.metrics.embedded_clips import (
    ROLE,
    codecs_of,
    count_reference,
    has_tag,
    list_sha256,
    reference_left_out,
    rows,
    usable,
)
from vgaudit.metrics.evidence import clips_twice, digests, disqualified, doubted, without_variation
from vgaudit.metrics.frechet import Statistics, statistics
from vgaudit.metrics.fvd_options import FvdOptions, GroupReference
from vgaudit.metrics.fvd_reference import (
    ReferenceStatistics,
    differing_video,
    rank_note,
    read_statistics,
    reference_path,
    video_facts,
)
from vgaudit.metrics.fvd_results import SLICED, VALUES, Estimates, Found, Sides
from vgaudit.metrics.leave_out import MIN_GROUPS
from vgaudit.plan import Sample
from vgaudit.records import NOT_APPLICABLE, NOT_COMPUTED, Measurement, Result, Status
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN, WEIGHTS
from vgaudit.zoo.resolve import file_sha256, local_path, pinned_digest

MIN_CLIPS = 16
"""Fewest clips on either side; below, even the bias is unpredictable."""


@dataclass(frozen=True)
class _Reference:
    """What a group is held against."""

    features: NDArray[np.float64] | None
    statistics: Statistics
    ids: tuple[str, ...]
    detail: Mapping[str, Any]
    clusters: tuple[str, ...] | None = None
    codecs: frozenset[str] | None = None
    clips: frozenset[str] | None = None
    notes: tuple[str, ...] = ()


class Fvd:
    """Distances between a video network's features of generated and of real clips, ``fvd.distance`` above all.

    ``|m_g - m_r|^2 + tr(S_g) + tr(S_r) - 2 tr((S_g S_r)^(1/2))``; lower is better, 0 for equal sets. Unterthiner et
    al. 2018 (arXiv:1812.01717), by a named protocol (:mod:`vgaudit.extractors.video_protocols`): those of StyleGAN-V
    (Skorokhodov et al. 2022) and of VideoGPT (Yan et al. 2021) with I3D, or that of the network that ships along and
    knows the storyworld only. One window a clip, from frame 0. The estimate is biased upward by about 1/n, so the
    interval states its target: the expected distance *at this n*, not the distance of the populations. Only sets of
    equal n compare. Of too few clips gates take no distance, unless ``accept_small_n`` says why they should.

    From the same features: the kernel distance, the Frechet distance extrapolated to infinite n, precision, recall,
    density, coverage, and a permutation test (:mod:`vgaudit.metrics.fvd_results`). Both distances have slices by tag.
    """

    name: ClassVar[str] = "fvd"
    version: ClassVar[int] = 7
    Options: ClassVar[type[BaseModel]] = FvdOptions
    values: ClassVar[tuple[ValueSpec, ...]] = VALUES
    sliced: ClassVar[tuple[str, ...]] = SLICED
    summary_features: ClassVar[tuple[str, ...]] = (ROLE,)

    def __init__(self, options: FvdOptions, context: MetricContext) -> None:
        self.options = options.resolved(context.base_dir)
        self._base_dir = context.base_dir
        self._statistics: ReferenceStatistics | None = None

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """One video embedding, with a reference among the groups also of a random window of each clip.

        With a bundled network also the guard.
        """
        o = self.options
        weights = local_path(o.weights, self._base_dir)
        options = {
            "protocol": o.extracted,
            "weights": weights,
            "sha256": o.sha256,
            "device": o.device,
            "random_window": isinstance(o.reference, GroupReference) and o.rules.random_reference,
        }
        named = o.rules.weights if o.rules.bundled else weights  # what stands in is held to the same world
        guard = guard_needs(named, pinned_digest(weights, o.sha256), o.device)
        return {ROLE: ExtractorSpec("video_embedding", options), **guard}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """The reference: digest of its file, or the group's name; and of a bundled network its guard's rule.

        Raises:
            UsageError: The file is missing, no statistics, another network's, or another protocol's.
        """
        rules = self.options.rules
        guard = dict(guard_identity(self.needs()))
        if rules.base:
            guard["protocol"] = {
                **rules.identity,
                "ddof": rules.ddof,
                "random_reference": rules.random_reference,
            }
        if isinstance(self.options.reference, GroupReference):
            return {"reference_group": self.options.reference.group, **guard}
        if rules.base and not self._read_statistics().protocol:
            raise UsageError(
                f"fvd.reference: {self._reference_path.name} does not say by which protocol it was made, so of which "
                f"windows and frames; expected a file that says {rules.label}, as `vgaudit reference build VIDEOS "
                "--protocol FILE.yaml -o OUT.safetensors` writes it, or {group: NAME}"
            )
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
        video = clip.features[ROLE]
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
        """All values of one group; of a slice by tag those of :data:`~vgaudit.metrics.fvd_results.SLICED`."""
        specs = [spec for spec in self.values if context.tag is None or spec.name in self.sliced]
        used, left_out = usable(measured, self.options.rules.least)
        facts: dict[str, Any] = {**self._network(used), "n_planned": len(context.planned)}
        own: dict[str, Any] = {
            **self.options.rules.pinned,
            "window": self.options.rules.first_window,
        }
        if (
            isinstance(self.options.reference, GroupReference)
            and self.options.reference.group == context.group
        ):
            reason = "this group is the reference"
            return [_bare(spec, context.group, reason, facts, NOT_APPLICABLE) for spec in specs]
        if refused := self._out_of_domain(measured, context, facts):
            return [
                replace(refused, name=f"fvd.{s.name}", unit=s.unit, higher_is_better=s.higher_is_better)
                for s in specs
            ]
        notes: list[str] = []
        if left_out:
            facts |= {"n_missing": sum(left_out.values()), "missing": dict(left_out)}
            notes.append(
                f"{sum(left_out.values())} of {len(measured)} clips left out: {'; '.join(sorted(left_out))}"
            )
        found = self._reference(self.options.reference, context)
        if why := self._too_little(used, found, context):
            reason = "; ".join([why, *notes])
            return [
                _bare(s, context.group, reason, facts | (own if s.name == "distance" else {})) for s in specs
            ]
        assert isinstance(found, _Reference)
        against = self._all_of_reference(context)
        if forced := forced_facts([*used, *against], facts):
            facts |= forced
            notes.insert(0, str(forced["out_of_domain"]))
        facts |= {**found.detail, "n_reference": found.statistics.n}
        facts, lacking = count_reference(facts, found.detail)
        notes += lacking
        made = facts.pop("reference_made", None)
        own |= {
            **({"reference_made": made} if made else {}),
            "codecs": sorted(codecs_of(used)),
            "reference_codecs": sorted(found.codecs) if found.codecs else "unknown",
            "list_sha256": list_sha256(used, 0),
        }
        prompts = [m.sample.prompt_id for m in used]
        sides = Sides(
            rows(used, 0), prompts, [m.sample.sample_id for m in used],
            found.statistics, found.features, found.clusters, found.ids, self.options.rules.ddof,
        )  # fmt: skip
        twice, copied = clips_twice(used, found.clips)
        still = without_variation(sides.x, found.statistics if found.features is None else found.features)
        # No words of a suite lift such a doubt.
        accepted = "" if doubted(twice, still) else self.options.accept_small_n
        estimates = Estimates(sides, context.confidence, accepted)
        caveats = self._caveats(used, found, made)
        results = []
        for spec in specs:
            value = estimates.of(spec.name)
            doubts = (twice,) if value.value is None else (twice, still)
            value = replace(value, detail=disqualified(value.detail, *doubts))
            before = [*doubted(*doubts), *copied, *notes, *value.notes]
            if spec.name == "distance":
                value, before = (
                    replace(value, detail={**own, **value.detail}),
                    [*before, *self._numbers(used, found)],
                )
            results.append(_result(spec, context, value, [*before, *caveats], facts, used))
        return results

    def _too_little(self, used: Sequence[Measured], found: _Reference | str, context: SummaryContext) -> str:
        """Why nothing can be said of these clips, or an empty text."""
        if isinstance(found, str):
            return found
        if len(used) < MIN_CLIPS:
            return f"{len(used)} usable clips; expected at least {MIN_CLIPS}"
        if context.tag is not None and (count := len({m.sample.prompt_id for m in used})) < MIN_GROUPS:
            return f"{count} prompts; a slice by tag takes at least {MIN_GROUPS}"
        d, wide = len(found.statistics.mean), rows(used, 0).shape[1]
        return "" if wide == d else f"features have {wide} dimensions, the reference {d}: other networks"

    def _all_of_reference(self, context: SummaryContext) -> Sequence[Measured]:
        """Clips of the reference group, restricted to the slice's tag where the group has any sample of that."""
        if not isinstance(self.options.reference, GroupReference):
            return ()
        clips = context.all_groups.get(self.options.reference.group, ())
        tag = _tag_of(context, self.options.reference.group)
        return clips if tag is None else [m for m in clips if has_tag(m.sample, tag)]

    def _out_of_domain(
        self, measured: Sequence[Measured], context: SummaryContext, detail: Mapping[str, Any]
    ) -> Result | None:
        """The refusal where the network does not know a clip of the group, or of the group it is held against."""
        sets = [measured]
        if isinstance(self.options.reference, GroupReference):
            sets.append(self._all_of_reference(context))
        for clips in sets:
            reasons = {m.sample.sample_id: str(m.measurement.facts.get("out_of_domain", "")) for m in clips}
            name = f"{self.name}.{self.values[0].name}"
            refused = refused_result(name, context.group, self.values[0], reasons, len(clips), detail)
            if refused is not None:
                return refused
        return None

    def _numbers(self, used: Sequence[Measured], reference: _Reference) -> list[str]:
        """That a biased distance compares at equal numbers of clips only."""
        clips = self.options.rules.clips
        if (len(used), reference.statistics.n) == (clips, clips):
            return []
        published = f" (the protocol's are {clips})" if clips else ""
        return [
            f"n is {len(used)} against {reference.statistics.n}: compares only with the same numbers{published}"
        ]

    def _caveats(self, used: Sequence[Measured], reference: _Reference, made: Any) -> list[str]:
        rules, notes = self.options.rules, [*reference.notes]
        if rules.base:
            notes.append(
                f"{rules.name} is the suite's own protocol, made from {rules.base}: no published number compares"
            )
        notes += differing_video({"reference_made": made}, used)
        published = self._network(used)["published_network"]
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
        codecs = codecs_of(used)
        if reference.codecs and codecs != reference.codecs:
            notes.append(
                f"codecs differ ({', '.join(sorted(codecs))} against {', '.join(sorted(reference.codecs))}): "
                "part of the distance is the codec"
            )
        return notes

    def _network(self, used: Sequence[Measured]) -> dict[str, Any]:
        rules, facts = self.options.rules, used[0].measurement.facts if used else {}
        sha256 = facts.get("weights_sha256")
        return {
            "protocol": rules.label,
            "weights": facts.get("weights", self.options.weights),
            "weights_sha256": sha256,
            **{key: facts[key] for key in ("bundled", "domain") if key in facts},
            "published_network": _published(rules, sha256),
        }

    def _reference(self, reference: str | GroupReference, context: SummaryContext) -> _Reference | str:
        """The reference set, or why there is none."""
        if isinstance(reference, str):
            stored = self._read_statistics()
            sha256 = file_sha256(self._reference_path)
            facts: dict[str, Any] = {"reference": stored.name, "reference_sha256": sha256}
            if stored.made:
                facts["reference_made"] = dict(stored.made)
            notes = [] if stored.weights_sha256 else ["the reference does not say which network made it"]
            notes += [note] if (note := rank_note(stored.statistics)) else []
            if context.tag is not None:
                facts["reference_tag"] = "none: all of the reference"
                notes.append(_whole_reference(context.tag))
            return _Reference(
                stored.features, stored.statistics, (sha256,), facts, clips=stored.clips, notes=tuple(notes)
            )
        if reference.group not in context.all_groups:
            groups = list(context.all_groups)
            hint = nearest(reference.group, groups)
            return f"the run has no group {reference.group!r} to be the reference{hint} (groups: {', '.join(groups)})"
        clips, tag = self._all_of_reference(context), context.tag
        tagged = _tag_of(context, reference.group)
        of = f" of {'='.join(tagged)}" if tagged else ""
        if tagged and not clips:
            facts = reference_left_out(context, reference.group, Counter(), tagged)
            why = sorted(facts.get("reference_missing", ()))
            why += ["no clip, or none that decodes"] if "reference_failed_samples" in facts else []
            return f"all reference clips{of} broke: {'; '.join(why)}"
        used, left_out = usable(clips, self.options.rules.least)
        which = f"the reference {reference.group!r}"
        if len(used) < MIN_CLIPS:
            return f"{which} has {len(used)} usable clips{of}; expected at least {MIN_CLIPS}"
        if tagged and (count := len({m.sample.prompt_id for m in used})) < MIN_GROUPS:
            return f"{which} has {count} prompts{of}; a slice takes at least {MIN_GROUPS}"
        rules = self.options.rules
        y = rows(used, 1 if rules.random_reference else 0)
        return _Reference(
            features=y,
            statistics=statistics(y, ddof=rules.ddof),
            clusters=tuple(m.sample.prompt_id for m in used),
            ids=tuple(m.sample.sample_id for m in used),
            detail={
                "reference": f"group {reference.group}",
                "reference_window": rules.reference_window,
                **({} if tag is None else {"reference_tag": of[4:] or "none: all of the reference"}),
                **reference_left_out(context, reference.group, left_out, tagged),
                "reference_list_sha256": list_sha256(used, 1 if rules.random_reference else 0),
            },
            codecs=frozenset(codecs_of(used)),
            clips=frozenset(digests(used)),
            notes=() if tag is None or tagged else (_whole_reference(tag),),
        )

    @property
    def _reference_path(self) -> Path:
        return reference_path(str(self.options.reference), self._base_dir)

    def _read_statistics(self) -> ReferenceStatistics:
        if self._statistics is None:
            self._statistics = read_statistics(
                self._reference_path, self.options.rules.ddof, self.options.rules.label
            )
        return self._statistics


def _bare(
    spec: ValueSpec, group: str, reason: str, facts: Mapping[str, Any], status: Status = NOT_COMPUTED
) -> Result:
    """A result without a number."""
    return Result(
        f"fvd.{spec.name}", group, None, unit=spec.unit, higher_is_better=spec.higher_is_better,
        status=status, reason=reason, detail=facts,
    )  # fmt: skip


def _result(
    spec: ValueSpec, context: SummaryContext, found: Found, notes: Sequence[str], facts: Mapping[str, Any],
    used: Sequence[Measured],
) -> Result:  # fmt: skip
    detail = {**facts, **found.detail}
    if found.value is None:
        return _bare(
            spec,
            context.group,
            "; ".join([*found.notes, *(n for n in notes if n not in found.notes)]),
            detail,
        )
    return Result(
        f"fvd.{spec.name}", context.group, found.value, found.low, found.high,
        None if found.low is None else context.confidence, len(used), len({m.sample.prompt_id for m in used}),
        unit=spec.unit, higher_is_better=spec.higher_is_better, reason="; ".join(notes), detail=detail,
    )  # fmt: skip


def _tag_of(context: SummaryContext, group: str) -> tuple[str, str] | None:
    """The slice's tag where a sample of the reference has it, whatever became of its clip; else ``None``."""
    if context.tag is None:
        return None
    samples = [m.sample for m in context.all_groups.get(group, ())]
    samples += [sample for sample, _ in context.unmeasured.get(group, ())]
    samples += context.failed.get(group, ())
    return context.tag if any(has_tag(sample, context.tag) for sample in samples) else None


def _whole_reference(tag: tuple[str, str]) -> str:
    return f"held against the whole reference, which has no {'='.join(tag)}: part of the distance is the tag"


def _published(rules: VideoProtocol, sha256: str | None) -> bool | None:
    """Whether the network with this digest is the protocol's own; ``None`` where the digest of that is not known."""
    entry = WEIGHTS[rules.weights]
    if sha256 and entry.sha256 is None:
        return None if sha256.startswith(entry.sha256_prefix) else False
    return sha256 is not None and sha256 == entry.sha256
