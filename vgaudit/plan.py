"""Samples and the plan: what a run is going to make or read, with ids that never move.

A sample id is ``<prompt_id>-<seed>-<10 hex digits>``. The digits are a digest of everything that changes the
bytes of the clip: prompt text, seed, group, backend fingerprint, video spec and encoder. So a clip
is never mistaken for one of another configuration, and adding a prompt moves no other id. What a clip is declared to
show (``domain``) changes how it is judged and not its bytes: it is in no id, and not in the plan's digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vgaudit.records import digest

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Sample:
    """One prompt x one seed x one backend configuration.

    Attributes:
        sample_id: Stable, safe as a file name; unique in the plan.
        prompt_id: Cluster for all statistics.
        prompt: The text asked for; empty when unknown (clips without prompts).
        group: Backend or model name; results are per group.
        backend: Position of the backend in the suite (0 when there is one).
        seed: Generation seed; ``None`` when the source has none.
        tags: Further columns of the index and the prompt's tags.
        expect: Contrastive expectations of the prompt, as in the suite.
        source: For clips made elsewhere: path of the source, absolute or relative to the backend's root.
        domain: What the clip shows, as its backend declares it (``storyworld``); empty when nothing is declared.
    """

    sample_id: str
    prompt_id: str
    prompt: str
    group: str
    backend: int = 0
    seed: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[Mapping[str, Any], ...] = ()
    source: str | None = None
    domain: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; an undeclared domain is left out, as in plans from before there were any."""
        out = {**asdict(self), "tags": dict(self.tags), "expect": [dict(e) for e in self.expect]}
        return out if self.domain else {k: v for k, v in out.items() if k != "domain"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sample:
        """Inverse of :meth:`to_json`."""
        return cls(**{**data, "tags": dict(data["tags"]), "expect": tuple(dict(e) for e in data["expect"])})


def make_sample_id(prompt_id: str, seed: int | None, identity: Mapping[str, Any]) -> str:
    """Id from a readable stem and the digest of ``identity`` (everything that changes the bytes)."""
    stem = _UNSAFE.sub("_", prompt_id).strip("_")[:48] or "clip"
    tail = digest({"prompt_id": prompt_id, "seed": seed, **identity}, 10)
    return f"{stem}-{'x' if seed is None else seed}-{tail}"


@dataclass(frozen=True)
class Plan:
    """The ordered samples of a run."""

    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for sample in self.samples:
            if not _SAFE_ID.fullmatch(sample.sample_id):
                raise ValueError(f"sample id {sample.sample_id!r} is not safe as a file name")
            if sample.sample_id in seen:
                raise ValueError(f"sample id {sample.sample_id} occurs twice in the plan")
            seen.add(sample.sample_id)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def digest(self) -> str:
        """SHA-256 over all samples in order, as far as their clips depend on it."""
        return digest([replace(s, domain="").to_json() for s in self.samples])

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups in order of first appearance."""
        return tuple(dict.fromkeys(s.group for s in self.samples))

    def of_backend(self, index: int) -> tuple[Sample, ...]:
        """Samples of one backend, in plan order."""
        return tuple(s for s in self.samples if s.backend == index)

    def to_jsonl(self) -> str:
        """One sample a line."""
        return "".join(
            json.dumps(s.to_json(), sort_keys=True, ensure_ascii=False) + "\n" for s in self.samples
        )

    @classmethod
    def from_jsonl(cls, text: str) -> Plan:
        """Inverse of :meth:`to_jsonl`."""
        return cls(tuple(Sample.from_json(json.loads(line)) for line in text.split("\n") if line.strip()))


def limited(samples: Sequence[Sample], limit: int | None) -> tuple[Sample, ...]:
    """At most ``limit`` samples of each group, in plan order (``--limit``)."""
    if limit is None:
        return tuple(samples)
    left: dict[str, int] = {}
    kept = []
    for sample in samples:
        left.setdefault(sample.group, limit)
        if left[sample.group] > 0:
            left[sample.group] -= 1
            kept.append(sample)
    return tuple(kept)
