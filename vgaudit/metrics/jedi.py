"""JEDi of a group to a reference set, by named protocol, never without n, its floor and its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vgaudit.errors import UsageError
from vgaudit.extractors.base import ExtractorSpec
from vgaudit.extractors.vjepa_embedding import FRAMES, JEDI_PROTOCOLS, JediProtocol
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.deals import PERMUTATIONS, evened
from vgaudit.metrics.embedded_clips import (
    ROLE,
    codecs_of,
    count_reference,
    list_sha256,
    reference_left_out,
    rows,
    usable,
)
from vgaudit.metrics.evidence import clips_twice, digests, disqualified, doubted, without_variation
from vgaudit.metrics.frechet import Statistics
from vgaudit.metrics.fvd_floor import shared_note, shared_prompts
from vgaudit.metrics.fvd_options import GroupReference, in_words
from vgaudit.metrics.fvd_reference import ReferenceStatistics, differing_video, read_statistics, video_facts
from vgaudit.metrics.jedi_estimate import MAX_CLUSTERS, SCALE, jedi_floor, jedi_interval, jedi_kernel
from vgaudit.metrics.leave_out import MIN_GROUPS
from vgaudit.plan import Sample
from vgaudit.records import NOT_APPLICABLE, Measurement, Result
from vgaudit.registry import nearest
from vgaudit.stats import seed_from_ids
from vgaudit.zoo.catalogue import VJEPA, VJEPA_PROBE, WEIGHTS
from vgaudit.zoo.resolve import file_sha256, local_path, pinned_digest
from vgaudit.zoo.vjepa import ABSENT, network_digest

MIN_CLIPS = 16
"""Fewest clips on either side, as for ``fvd``."""

_LEAST = f"{FRAMES} frames"
_WITHOUT_FEATURES = "the reference is stored moments, without features"


class JediOptions(BaseModel):
    """Reference set, protocol and network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Annotated[str, Field(min_length=1)] | GroupReference = Field(
        description="{group: NAME}, or a file (.npz, .safetensors: mean, num_clips, cov_biased or cov, "
        "weights_sha256, and features for floor and test)."
    )
    protocol: Literal["jedi@videojedi", "jedi@vjepa"] = Field(
        "jedi@videojedi",
        description="As the published package computes it; or jedi@vjepa, as the probe was trained.",
    )
    weights: str = Field(VJEPA, description="Name of the encoder's weights, or path of such a file.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest of the encoder's file; needed with a name."
    )
    probe: str = Field(VJEPA_PROBE, description="Name of the probe's weights, or path of such a file.")
    probe_sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest of the probe's file; needed with a name."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    accept_small_n: str = Field(
        "",
        description="Why gates may take a distance of too few prompts, in words; printed beside every such value.",
    )

    @field_validator("accept_small_n")
    @classmethod
    def _in_words(cls, reason: str) -> str:
        return in_words(reason)

    @property
    def rules(self) -> JediProtocol:
        """The protocol itself."""
        return JEDI_PROTOCOLS[self.protocol]


@dataclass(frozen=True, eq=False)
class _Reference:
    """What a group is held against; ``clusters`` only where it is a group, which is resampled too."""

    features: NDArray[np.float64] | None
    statistics: Statistics | None
    n: int
    d: int
    ids: tuple[str, ...]
    detail: Mapping[str, Any]
    clusters: tuple[str, ...] | None = None
    codecs: frozenset[str] | None = None
    clips: frozenset[str] | None = None


class Jedi:
    """``jedi.distance``: maximum mean discrepancy between V-JEPA features of generated and of real clips.

    ``100 (mean k(g, g') + mean k(r, r') - 2 mean k(g, r))`` with ``k(a, b) = (a.b / d)^2`` and all pairs; lower is
    better, 0 for equal sets. Luo et al. 2024 (arXiv:2410.05203), by a named protocol
    (:mod:`vgaudit.extractors.vjepa_embedding`). All pairs means a bias upward by about 1/n, so the interval states
    its target: the expected number *at these numbers of clips*. The unbiased number, with its own interval, stands in
    ``detail.unbiased``. Of fewer than eight prompts on a side gates take no distance, unless ``accept_small_n`` says
    why they should.
    """

    name: ClassVar[str] = "jedi"
    version: ClassVar[int] = 3
    Options: ClassVar[type[BaseModel]] = JediOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            name="distance",
            title="JEDi video distance",
            unit="100 x squared discrepancy",
            higher_is_better=False,
            description="Kernel distance between V-JEPA features of the group and of the reference set, times 100.",
            low=0.0,
            per_clip=False,
        ),
    )
    summary_features: ClassVar[tuple[str, ...]] = (ROLE,)

    def __init__(self, options: JediOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir
        self._stored: ReferenceStatistics | None = None

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """One V-JEPA embedding."""
        o = self.options
        options = {
            "protocol": o.protocol,
            "weights": local_path(o.weights, self._base_dir),
            "sha256": o.sha256,
            "probe": local_path(o.probe, self._base_dir),
            "probe_sha256": o.probe_sha256,
            "device": o.device,
        }
        return {ROLE: ExtractorSpec("vjepa_embedding", options)}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """The reference: digest of its file, or the group's name.

        Raises:
            UsageError: The file is missing, no statistics, says no network, or another one.
        """
        if isinstance(self.options.reference, GroupReference):
            return {"reference_group": self.options.reference.group}
        o, path = self.options, self._path
        network = network_digest(
            pinned_digest(local_path(o.weights, self._base_dir), o.sha256),
            pinned_digest(local_path(o.probe, self._base_dir), o.probe_sha256),
            o.rules.projected,
        )
        made_by = self._read().weights_sha256
        if not made_by:
            raise UsageError(
                f"jedi.reference: {path.name} does not say which network made it; add `weights_sha256`, as "
                "`detail.weights_sha256` of a jedi.distance of that network has it"
            )
        if network not in (made_by, ABSENT):  # an absent network says so itself
            raise UsageError(
                f"jedi.reference: {path.name} was made by the network {made_by[:12]}..., but {o.weights} with "
                f"{o.probe} by {o.protocol} is {network[:12]}...: their features do not compare; name the files and "
                "the protocol that made it, or a reference made by these"
            )
        return {"reference_sha256": file_sha256(path)}

    def measure(self, clip: ClipView) -> Measurement:
        """No value of its own: facts that the group's result needs."""
        video = clip.features[ROLE]
        return Measurement(
            facts={
                **video.facts,
                "windows": len(video["embedding"]),
                "codec": clip.info.codec,
                "clip_sha256": clip.sha256,
                "video": video_facts(clip.info),
            }
        )

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """``jedi.distance`` of one group."""
        return [self._distance(measured, context)]

    def _distance(self, measured: Sequence[Measured], context: SummaryContext) -> Result:
        spec, reference = self.values[0], self.options.reference
        name, group = f"{self.name}.{spec.name}", context.group
        common: dict[str, Any] = {"unit": spec.unit, "higher_is_better": spec.higher_is_better}
        if isinstance(reference, GroupReference) and reference.group == group:
            reason = "this group is the reference"
            return Result(name, group, None, status=NOT_APPLICABLE, reason=reason, **common)
        used, left_out = usable(measured, _LEAST)
        detail: dict[str, Any] = {**self._network(used), "n_planned": len(context.planned)}
        notes: list[str] = []
        if left_out:
            detail |= {"n_missing": sum(left_out.values()), "missing": dict(left_out)}
            notes.append(
                f"{sum(left_out.values())} of {len(measured)} clips left out: {'; '.join(sorted(left_out))}"
            )
        found = self._reference(context)
        if isinstance(found, str) or len(used) < MIN_CLIPS:
            too_few = f"{len(used)} usable clips; expected at least {MIN_CLIPS}"
            reason = "; ".join([found if isinstance(found, str) else too_few, *notes])
            return Result.not_computed(name, group, reason, detail=detail, **common)
        x = rows(used)
        if x.shape[1] != found.d:
            reason = f"features have {x.shape[1]} dimensions, the reference {found.d}: other networks"
            return Result.not_computed(name, group, reason, detail=detail, **common)
        detail, lacking = count_reference(detail, found.detail)
        notes += lacking
        prompts = [m.sample.prompt_id for m in used]
        against = found.features if found.features is not None else found.statistics
        assert against is not None
        interval = jedi_interval(
            x, against, confidence=context.confidence, clusters=prompts, reference_clusters=found.clusters
        )
        fixed = "" if found.clusters else ", the reference set taken as it is"
        ids = [*(m.sample.sample_id for m in used), *found.ids]
        detail |= {
            **found.detail,
            "n_reference": found.n,
            "interval": "jackknife over prompts, Student's t",
            "interval_target": f"expected value at these numbers of clips, not the populations' distance{fixed}",
            "jackknife_groups": 0 if interval.low is None else interval.clusters,
            **_floors(found, prompts),
            **shared_prompts(prompts, found.clusters),
            **_compared(x, prompts, found, context.confidence, seed_from_ids(ids)),
            "codecs": sorted(codecs_of(used)),
            "reference_codecs": sorted(found.codecs) if found.codecs else "unknown",
            "list_sha256": list_sha256(used),
        }
        twice, copied = clips_twice(used, found.clips)
        still = without_variation(x, against)
        doubts = doubted(twice, still)
        few, said = self._few(found, prompts, "" if doubts else self.options.accept_small_n)
        detail = disqualified(detail | few, twice, still)
        notes = [*doubts, *said, *copied, *notes]
        notes += [interval.reason] if interval.reason else []
        if shared := shared_prompts(prompts, found.clusters):
            notes.append(f"{shared_note(shared, detail)}; the interval takes the two sides for independent")
        notes += self._caveats(used, found, detail)
        return Result(
            name, group, interval.value, interval.low, interval.high,
            None if interval.low is None else context.confidence, len(used), len(set(prompts)),
            reason="; ".join(notes), detail=detail, **common,
        )  # fmt: skip

    def _few(
        self, reference: _Reference, prompts: Sequence[str], accepted: str
    ) -> tuple[dict[str, str], list[str]]:
        """What makes gates refuse the distance, or the suite's reason why they should not; and what is said of it."""
        few = min(
            len(set(prompts)), reference.n if reference.clusters is None else len(set(reference.clusters))
        )
        if few >= MIN_GROUPS:
            return {}, []
        text = f"{few} independent prompts on a side; expected {MIN_GROUPS} or more"
        if accepted:
            facts = {"small_n": text, "accepted_small_n": accepted}
            return facts, [f"few prompts, accepted by the suite: {accepted}", text]
        why = f"{text} (where that must do, `accept_small_n` of jedi says why, in words)"
        return {"small_n": text, "insufficient": why}, [text]

    def _caveats(
        self, used: Sequence[Measured], reference: _Reference, detail: Mapping[str, Any]
    ) -> list[str]:
        notes = [*differing_video(reference.detail, used)]
        notes.append(
            f"n is {len(used)} against {reference.n}: the number falls as n grows, so it compares only with the "
            "same numbers of clips; `detail.unbiased` does not fall"
        )
        if detail["published_network"] is None:
            notes.append(
                "no digest of the published weights is established here, so whether this is the published network "
                "is not known: no number of another one compares"
            )
        elif not detail["published_network"]:
            notes.append("not the published weights: no number of another network compares")
        codecs = codecs_of(used)
        if reference.codecs and codecs != reference.codecs:
            notes.append(
                f"codecs differ ({', '.join(sorted(codecs))} against {', '.join(sorted(reference.codecs))}): "
                "part of the distance is the codec"
            )
        return notes

    def _network(self, used: Sequence[Measured]) -> dict[str, Any]:
        facts = used[0].measurement.facts if used else {}
        keys = ("weights", "weights_sha256", "encoder_sha256", "probe_sha256", "licence")
        return {
            "protocol": self.options.protocol,
            **{key: facts[key] for key in keys if key in facts},
            "published_network": _published(facts),
            **self.options.rules.pinned,
            "kernel": "(a.b / d)^2, all pairs, times 100",
        }

    def _reference(self, context: SummaryContext) -> _Reference | str:
        """The reference set, or why there is none."""
        reference = self.options.reference
        if isinstance(reference, str):
            stored = self._read()
            sha256 = file_sha256(self._path)
            facts: dict[str, Any] = {"reference": stored.name, "reference_sha256": sha256}
            if stored.made:
                facts["reference_made"] = dict(stored.made)
            s = stored.statistics
            if s.n < MIN_CLIPS:
                return f"the reference {stored.name} is of {s.n} clips; expected at least {MIN_CLIPS}"
            return _Reference(stored.features, s, s.n, len(s.mean), (sha256,), facts, clips=stored.clips)
        if reference.group not in context.all_groups:
            groups = list(context.all_groups)
            hint = nearest(reference.group, groups)
            return f"the run has no group {reference.group!r} to be the reference{hint} (groups: {', '.join(groups)})"
        used, left_out = usable(context.all_groups[reference.group], _LEAST)
        if len(used) < MIN_CLIPS:
            return f"the reference {reference.group!r} has {len(used)} usable clips; expected at least {MIN_CLIPS}"
        y = rows(used)
        detail = {
            "reference": f"group {reference.group}",
            "reference_window": self.options.rules.pinned["window"],
            **reference_left_out(context, reference.group, left_out),
            "reference_list_sha256": list_sha256(used),
        }
        return _Reference(
            y, None, len(y), y.shape[1], tuple(m.sample.sample_id for m in used), detail,
            tuple(m.sample.prompt_id for m in used), frozenset(codecs_of(used)), frozenset(digests(used)),
        )  # fmt: skip

    @property
    def _path(self) -> Path:
        return self._base_dir / Path(str(self.options.reference)).expanduser()

    def _read(self) -> ReferenceStatistics:
        if self._stored is None:
            self._stored = read_statistics(self._path, 0, self.options.protocol, f"{self.name}.reference")
        return self._stored


def _floors(reference: _Reference, prompts: Sequence[str]) -> dict[str, Any]:
    """Distance of the reference to itself at the group's number of clips, and of prompts where those are fewer."""
    if reference.features is None:
        return {"floor": {"status": "not computed", "reason": _WITHOUT_FEATURES}}
    seed = seed_from_ids(reference.ids)
    made: dict[int, dict[str, Any]] = {}
    for n in (len(prompts), len(set(prompts))):
        if n in made:
            continue
        floor = jedi_floor(reference.features, n, seed, clusters=reference.clusters)
        sizes = {"n": floor.n, "n_reference": floor.n_rest}
        if floor.reason:
            made[n] = {"status": "not computed", "reason": floor.reason, **sizes}
            continue
        values = {
            "value": float(np.mean(floor.values)),
            "least": min(floor.values),
            "most": max(floor.values),
        }
        made[n] = {"status": "computed", **values, **sizes, "splits": len(floor.values)}
    if len(made) == 1:
        return {"floor": made[len(prompts)]}
    clips, distinct = made
    reading = (
        f"{clips} clips of {distinct} prompts: their floor lies between `floor` (if those of one prompt were "
        "independent) and `floor_of_prompts` (if those of one prompt were all alike)"
    )
    return {"floor": made[clips], "floor_of_prompts": made[distinct], "floor_reading": reading}


def _compared(
    x: NDArray[np.float64], prompts: Sequence[str], reference: _Reference, confidence: float, seed: int
) -> dict[str, Any]:
    """What takes the features of both sides: the unbiased number with its interval, and a test."""
    missing = ""
    if reference.features is None:
        missing = _WITHOUT_FEATURES
    else:
        sides = len(set(prompts)), len(set(reference.clusters or range(reference.n)))
        if sum(sides) > MAX_CLUSTERS:
            missing = f"{sum(sides)} prompts on both sides; made for {MAX_CLUSTERS} or fewer"
        elif min(sides) < 2:
            missing = "a side has one prompt; expected two or more"
    if missing or reference.features is None:
        absent = {"status": "not computed", "reason": missing}
        return {"unbiased": absent, "permutation_test": absent}
    y, theirs = reference.features, reference.clusters
    kernel = jedi_kernel(x, y, prompts, theirs)
    plain = kernel.interval(confidence)
    facts = shared_prompts(prompts, theirs)
    even = evened(x, y, prompts, theirs, seed)
    tested = kernel if even.whole else jedi_kernel(even.x, even.y, even.prompts, even.others)
    made = tested.test(PERMUTATIONS, seed)
    clips, note = even.said(made)
    test = {
        "status": "computed",
        "p": made.p,
        "permutations": made.permutations,
        "least": made.least,
        **clips,
        **({"reason": note} if note else {}),
        **facts,
    }
    ends = [None if end is None else SCALE * end for end in (plain.low, plain.high)]
    return {
        "unbiased": {
            "status": "computed",
            "value": SCALE * plain.value,
            "low": ends[0],
            "high": ends[1],
            "target": "the populations' distance, both sets resampled by prompt",
            **({"reason": plain.reason} if plain.reason else {}),
            **facts,
        },
        "permutation_test": test,
    }


def _published(facts: Mapping[str, Any]) -> bool | None:
    """Whether both files are the published ones; ``None`` where a digest of those is not known."""
    own = WEIGHTS[VJEPA].sha256, WEIGHTS[VJEPA_PROBE].sha256
    if None in own:
        return None
    return (facts.get("encoder_sha256"), facts.get("probe_sha256")) == own
