"""Frechet video distance of a group to a reference set, by named protocol, never without n and its target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vgaudit.extractors.base import ExtractorSpec
from vgaudit.extractors.video_embedding import I3D, WINDOW
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.frechet import Statistics, frechet_distance_from_features, frechet_interval, statistics
from vgaudit.metrics.fvd_reference import ReferenceStatistics, read_statistics
from vgaudit.plan import Sample
from vgaudit.records import NOT_APPLICABLE, Measurement, Result
from vgaudit.registry import nearest
from vgaudit.stats import seed_from_ids
from vgaudit.zoo.catalogue import WEIGHTS
from vgaudit.zoo.resolve import file_sha256, local_path

MIN_CLIPS = 16
"""Fewest clips on either side; below, even the bias is unpredictable."""

PROTOCOL_CLIPS = 2048
"""Clips on each side in the published protocol."""

FLOOR_SPLITS = 8

PROTOCOLS = ("fvd@styleganv",)
"""What is implemented."""

_ROLE = "video"


class GroupReference(BaseModel):
    """Another group of the same run as reference: its real clips."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str = Field(description="Name of the group.")


class FvdOptions(BaseModel):
    """Protocol, network and reference set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Annotated[str, Field(min_length=1)] | GroupReference = Field(
        description="Statistics (.npz or .safetensors: mean, num_clips, cov_biased or cov), or {group: NAME}."
    )
    protocol: Literal["fvd@styleganv"] = Field("fvd@styleganv", description="Named protocol.")
    weights: str = Field(I3D, description="Name of the network's weights, or path of a TorchScript file.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest of a local file.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")

    @field_validator("protocol", mode="before")
    @classmethod
    def _implemented(cls, value: Any) -> Any:
        if value not in PROTOCOLS:
            raise ValueError(f"protocol {value!r} is not implemented; implemented: {', '.join(PROTOCOLS)}")
        return value


@dataclass(frozen=True)
class _Reference:
    """What a group is held against."""

    features: NDArray[np.float64] | None
    biased: Statistics
    clusters: tuple[str, ...]
    ids: tuple[str, ...]
    detail: Mapping[str, Any]
    codecs: frozenset[str] | None


class Fvd:
    """``fvd.distance``: Frechet distance between I3D logits of generated and of real clips.

    ``|m_g - m_r|^2 + tr(S_g) + tr(S_r) - 2 tr((S_g S_r)^(1/2))``; lower is better, 0 for equal sets.
    Unterthiner et al. 2018 (arXiv:1812.01717) in the protocol of StyleGAN-V (Skorokhodov et al. 2022): 16
    consecutive frames, 400-d logits, covariance divided by N. One window a clip: from frame 0 for generated
    clips, at a random offset for reference clips of the same run. The estimate is biased upward by about 1/n, so
    the interval states its target: the expected distance *at this n*, not the distance of the populations. Only
    sets of equal n compare.
    """

    name: ClassVar[str] = "fvd"
    version: ClassVar[int] = 1
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
        """One video embedding; with a reference among the groups also of a random window of each clip."""
        o = self.options
        options = {
            "protocol": o.protocol,
            "weights": local_path(o.weights, self._base_dir),
            "sha256": o.sha256,
            "device": o.device,
            "random_window": isinstance(o.reference, GroupReference),
        }
        return {_ROLE: ExtractorSpec("video_embedding", options)}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """The reference: digest of its file, or the group's name.

        Raises:
            UsageError: The file is missing or no statistics.
        """
        if isinstance(self.options.reference, GroupReference):
            return {"reference_group": self.options.reference.group}
        self._read_statistics()
        return {"reference_sha256": file_sha256(self._reference_path)}

    def measure(self, clip: ClipView) -> Measurement:
        """Nothing per clip: only facts that the group's result needs."""
        video = clip.features[_ROLE]
        return Measurement(
            facts={**video.facts, "windows": len(video["embedding"]), "codec": clip.info.codec}
        )

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
        used, left_out = _usable(measured)
        detail: dict[str, Any] = {
            **self._protocol(used),
            "n_planned": len(context.planned),
            "window": "16 consecutive frames from frame 0",
        }
        notes = []
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
        if x.shape[1] != len(found.biased.mean):
            reason = f"features have {x.shape[1]} dimensions, the reference {len(found.biased.mean)}: other networks"
            return Result.not_computed(name, group, reason, detail=detail, **common)
        prompts = [m.sample.prompt_id for m in used]
        interval = frechet_interval(
            x,
            found.biased if found.features is None else found.features,
            confidence=context.confidence,
            ddof=0,
            clusters=prompts,
            reference_clusters=found.clusters or None,
        )
        detail |= {
            **found.detail,
            "n_reference": found.biased.n,
            "interval": "grouped jackknife, Student's t",
            "interval_target": "expected distance at this n, not the distance of the populations",
            "jackknife_groups": interval.groups,
            "floor": _floor(found, len(used)),
            "codecs": sorted(_codecs(used)),
            "reference_codecs": sorted(found.codecs) if found.codecs else "unknown",
        }
        notes += [interval.reason] if interval.reason else []
        notes += self._caveats(used, found)
        return Result(
            name, group, interval.value, interval.low, interval.high,
            None if interval.low is None else context.confidence, len(used), len(set(prompts)),
            reason="; ".join(notes), detail=detail, **common,
        )  # fmt: skip

    def _caveats(self, used: Sequence[Measured], reference: _Reference) -> list[str]:
        notes = []
        if (len(used), reference.biased.n) != (PROTOCOL_CLIPS, PROTOCOL_CLIPS):
            notes.append(
                f"n is {len(used)} against {reference.biased.n}: compares only with the same numbers "
                f"(the protocol's are {PROTOCOL_CLIPS})"
            )
        if not self._protocol(used)["published_network"]:
            notes.append("not the published I3D weights: no number of another network compares")
        codecs = _codecs(used)
        if reference.codecs and codecs != reference.codecs:
            notes.append(
                f"codecs differ ({', '.join(sorted(codecs))} against {', '.join(sorted(reference.codecs))}): "
                "part of the distance is the codec"
            )
        return notes

    def _protocol(self, used: Sequence[Measured]) -> dict[str, Any]:
        facts = used[0].measurement.facts if used else {}
        sha256 = facts.get("weights_sha256")
        return {
            "protocol": self.options.protocol,
            "weights": facts.get("weights", self.options.weights),
            "weights_sha256": sha256,
            "published_network": sha256 == WEIGHTS[I3D].sha256,
            "covariance": "divided by N",
        }

    def _reference(self, reference: str | GroupReference, context: SummaryContext) -> _Reference | str:
        """The reference set, or why there is none."""
        if isinstance(reference, str):
            stored = self._read_statistics()
            facts = {"reference": stored.name, "reference_sha256": file_sha256(self._reference_path)}
            return _Reference(None, stored.biased, (), (), facts, None)
        if reference.group not in context.all_groups:
            groups = list(context.all_groups)
            hint = nearest(reference.group, groups)
            return f"the run has no group {reference.group!r} to be the reference{hint} (groups: {', '.join(groups)})"
        used, left_out = _usable(context.all_groups[reference.group])
        if len(used) < MIN_CLIPS:
            return f"the reference {reference.group!r} has {len(used)} usable clips; expected at least {MIN_CLIPS}"
        y = _rows(used, 1)
        return _Reference(
            features=y,
            biased=statistics(y, ddof=0),
            clusters=tuple(m.sample.prompt_id for m in used),
            ids=tuple(m.sample.sample_id for m in used),
            detail={
                "reference": f"group {reference.group}",
                "reference_window": "16 consecutive frames at a random offset, seeded by the clip's first frame",
                "reference_left_out": sum(left_out.values()),
            },
            codecs=frozenset(_codecs(used)),
        )

    @property
    def _reference_path(self) -> Path:
        return self._base_dir / Path(str(self.options.reference)).expanduser()

    def _read_statistics(self) -> ReferenceStatistics:
        if self._statistics is None:
            self._statistics = read_statistics(self._reference_path)
        return self._statistics


def _usable(measured: Sequence[Measured]) -> tuple[list[Measured], Counter[str]]:
    """Clips with a window, by sample id (so that no order of work shows), and why others have none."""
    used, left_out = [], Counter[str]()
    for clip in sorted(measured, key=lambda m: m.sample.sample_id):
        embedding = clip.features[_ROLE]["embedding"]
        if not len(embedding):
            left_out[f"shorter than {WINDOW} frames"] += 1
        elif not np.isfinite(embedding).all():
            left_out["features are not finite"] += 1
        else:
            used.append(clip)
    return used, left_out


def _rows(used: Sequence[Measured], row: int) -> NDArray[np.float64]:
    rows = [m.features[_ROLE]["embedding"] for m in used]
    return np.stack([r[min(row, len(r) - 1)] for r in rows]).astype(np.float64)


def _codecs(used: Sequence[Measured]) -> set[str]:
    return {str(m.measurement.facts.get("codec") or "unknown") for m in used}


def _floor(reference: _Reference, n: int) -> dict[str, Any]:
    """Distance of the reference to itself: halves that share no clip, at the group's n if there are enough."""
    if reference.features is None:
        return {"status": "not computed", "reason": "the reference is stored statistics, without features"}
    size = min(n, len(reference.features) // 2)
    if size < MIN_CLIPS:
        reason = f"the reference has {len(reference.features)} clips; two halves take {2 * MIN_CLIPS}"
        return {"status": "not computed", "reason": reason}
    rng = np.random.default_rng(seed_from_ids(reference.ids))
    values = []
    for _ in range(FLOOR_SPLITS):
        order = rng.permutation(len(reference.features))
        a, b = reference.features[order[:size]], reference.features[order[size : 2 * size]]
        values.append(frechet_distance_from_features(a, b, ddof=0))
    return {"status": "computed", "value": float(np.mean(values)), "n": size, "splits": FLOOR_SPLITS}
