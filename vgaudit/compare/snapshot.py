"""What a comparison needs of a run, as plain data that can be committed: no prompt text, no faces, no paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vgaudit.records import Result, digest

VERSION = 1
"""Of the content; raised whenever a reader must know more to read it."""


@dataclass(frozen=True)
class Clip:
    """One planned sample.

    Attributes:
        sample_id: Unique id.
        prompt_id: Cluster.
        group: Backend or model.
        seed: Generation seed; ``None`` when unknown.
        outcome: As in :class:`~vgaudit.records.ClipRecord`.
        sha256: The first 16 hex digits of the clip's digest; empty where there is none.
        tags: Those that enough prompts of the run have.
    """

    sample_id: str
    prompt_id: str
    group: str
    seed: int | None
    outcome: str
    sha256: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of finding that was looked for.

    Attributes:
        counts: Position of a clip to how many findings it has; clips without one are left out.
        unseen: Positions of clips in which it was not looked for.
    """

    counts: Mapping[int, int] = field(default_factory=dict)
    unseen: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    """A scored run, as far as comparisons need it.

    Attributes:
        name: Of the suite.
        created: When the run began, ISO 8601.
        vgaudit: Version that scored it.
        suite_digest: Of the suite file with its overrides.
        confidence: Coverage of intervals that the suite asks for.
        video: What was asked of every clip.
        encoder: How clips are stored, with the versions of the libraries under ``versions``.
        backends: Of each its ``name``, ``type`` and ``fingerprint``.
        metrics: Metric to ``version``, ``options``, ``identity``, ``fingerprints`` (of its extractors, by role) and
            ``unavailable`` (why it could not be computed).
        value_specs: ``<metric>.<value>`` to its facts.
        groups: In the order of the plan.
        prompts: Prompt id to the digests of its ``text`` and of what is ``asked`` of it (expectations).
        clips: In the order of the plan.
        values: ``<metric>.<value>`` to a number or ``None`` for each clip.
        missing: ``<metric>.<value>`` to why, for each clip; empty where there is a value.
        results: Estimates by group, with what of their detail says how they were made or why to doubt them.
        kinds: Kind of finding to where it was looked for and found. ``<metric>.*`` stands for all others of a metric
            that does not declare its kinds.
    """

    name: str
    created: str
    vgaudit: str
    suite_digest: str
    confidence: float
    video: Mapping[str, Any]
    encoder: Mapping[str, Any]
    backends: tuple[Mapping[str, str], ...]
    metrics: Mapping[str, Mapping[str, Any]]
    value_specs: Mapping[str, Mapping[str, Any]]
    groups: tuple[str, ...]
    prompts: Mapping[str, Mapping[str, str]]
    clips: tuple[Clip, ...]
    values: Mapping[str, tuple[float | None, ...]]
    missing: Mapping[str, tuple[str, ...]]
    results: tuple[Result, ...]
    kinds: Mapping[str, Kind]

    def __post_init__(self) -> None:
        n = len(self.clips)
        for name, column in (*self.values.items(), *self.missing.items()):
            if len(column) != n:
                raise ValueError(f"{name} has {len(column)} entries for {n} clips")
        for name, numbers in self.values.items():
            for value, why in zip(numbers, self.missing[name], strict=True):
                if (value is None) != bool(why) or (value is not None and not math.isfinite(value)):
                    raise ValueError(f"{name}: a clip must have either a finite value or a reason")
        if unknown := {c.prompt_id for c in self.clips} - self.prompts.keys():
            raise ValueError(f"prompts without digests: {sorted(unknown)[:3]}")
        if unknown := {c.group for c in self.clips} - set(self.groups):
            raise ValueError(f"clips of unknown groups: {sorted(unknown)[:3]}")
        for name, kind in self.kinds.items():
            if any(not 0 <= i < n for i in (*kind.counts, *kind.unseen)):
                raise ValueError(f"{name}: findings of clips that are not there")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: equal for a run and the baseline saved from it."""
        return digest(self.to_json())

    def of_group(self, group: str) -> list[int]:
        """Positions of the clips of a group."""
        return [i for i, clip in enumerate(self.clips) if clip.group == group]

    def result(self, name: str, group: str) -> Result | None:
        """The estimate of a value for a group, if there is one."""
        return next((r for r in self.results if (r.name, r.group) == (name, group)), None)

    def kind(self, name: str) -> Kind | None:
        """Where a kind was looked for and found; ``None`` where nobody looked for it."""
        found = self.kinds.get(name)
        return found if found is not None else self.kinds.get(f"{name.partition('.')[0]}.*")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object. Columns hold clips in order; texts that repeat stand once."""
        prompts, outcomes = list(self.prompts), sorted({c.outcome for c in self.clips})
        reasons = sorted({why for column in self.missing.values() for why in column})
        tag_sets = sorted({tuple(sorted(c.tags.items())) for c in self.clips})
        at = {
            "prompt": {p: i for i, p in enumerate(prompts)},
            "outcome": {o: i for i, o in enumerate(outcomes)},
            "group": {g: i for i, g in enumerate(self.groups)},
        }
        reason_at = {why: i for i, why in enumerate(reasons)}
        tags_at = {tags: i for i, tags in enumerate(tag_sets)}
        return {
            "name": self.name, "created": self.created, "vgaudit": self.vgaudit,
            "suite_digest": self.suite_digest, "confidence": self.confidence, "video": dict(self.video),
            "encoder": dict(self.encoder), "backends": [dict(b) for b in self.backends],
            "metrics": {m: dict(facts) for m, facts in self.metrics.items()},
            "value_specs": {n: dict(spec) for n, spec in self.value_specs.items()},
            "groups": list(self.groups),
            "prompts": [{"id": p, **self.prompts[p]} for p in prompts],
            "outcomes": outcomes, "reasons": reasons, "tag_sets": [dict(tags) for tags in tag_sets],
            "clips": {
                "sample_id": [c.sample_id for c in self.clips],
                "prompt": [at["prompt"][c.prompt_id] for c in self.clips],
                "group": [at["group"][c.group] for c in self.clips],
                "seed": [c.seed for c in self.clips],
                "outcome": [at["outcome"][c.outcome] for c in self.clips],
                "sha256": [c.sha256 for c in self.clips],
                "tags": [tags_at[tuple(sorted(c.tags.items()))] for c in self.clips],
            },
            "values": {name: list(column) for name, column in self.values.items()},
            "missing": {name: [reason_at[why] for why in column] for name, column in self.missing.items()},
            "results": [r.to_json() for r in self.results],
            "kinds": {
                name: {"counts": {str(i): n for i, n in sorted(kind.counts.items())}, "unseen": sorted(kind.unseen)}
                for name, kind in self.kinds.items()
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        """Inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError, ValueError, IndexError, AttributeError: It is not what :meth:`to_json` gives.
        """
        prompts = {p["id"]: {k: v for k, v in p.items() if k != "id"} for p in data["prompts"]}
        columns, ids, tag_sets = data["clips"], list(prompts), data["tag_sets"]
        clips = tuple(
            Clip(sample_id, ids[prompt], data["groups"][group], seed, data["outcomes"][outcome], sha, tag_sets[tags])
            for sample_id, prompt, group, seed, outcome, sha, tags in zip(
                *(columns[k] for k in ("sample_id", "prompt", "group", "seed", "outcome", "sha256", "tags")),
                strict=True,
            )
        )  # fmt: skip
        return cls(
            name=data["name"], created=data["created"], vgaudit=data["vgaudit"],
            suite_digest=data["suite_digest"], confidence=data["confidence"], video=data["video"],
            encoder=data["encoder"], backends=tuple(data["backends"]), metrics=data["metrics"],
            value_specs=data["value_specs"], groups=tuple(data["groups"]), prompts=prompts, clips=clips,
            values={name: tuple(column) for name, column in data["values"].items()},
            missing={
                name: tuple(data["reasons"][i] for i in column) for name, column in data["missing"].items()
            },
            results=tuple(Result.from_json(r) for r in data["results"]),
            kinds={
                name: Kind({int(i): n for i, n in kind["counts"].items()}, frozenset(kind["unseen"]))
                for name, kind in data["kinds"].items()
            },
        )  # fmt: skip


def prompts_of(snapshot: Snapshot, group: str) -> dict[str, list[int]]:
    """Prompts of a group, in order of first appearance, with the positions of their clips."""
    found: dict[str, list[int]] = {}
    for i in snapshot.of_group(group):
        found.setdefault(snapshot.clips[i].prompt_id, []).append(i)
    return found


def seeds_of(snapshot: Snapshot, places: Sequence[int]) -> tuple[int, ...]:
    """Seeds of these clips, ascending; empty where one is unknown."""
    seeds = [snapshot.clips[i].seed for i in places]
    known = [s for s in seeds if s is not None]
    return tuple(sorted(known)) if len(known) == len(seeds) else ()
