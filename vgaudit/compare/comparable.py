"""Whether two runs may be compared at all: every field that makes their numbers different things, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vgaudit.compare.from_run import PROTOCOL
from vgaudit.compare.snapshot import Snapshot, prompts_of, seeds_of
from vgaudit.errors import UsageError
from vgaudit.records import COMPUTED

On = Literal["same", "common"]
Pair = tuple[str, str]
"""Group of the base, and of the candidate that is held against it."""

_SPEED = ("device", "batch_size")  # options that decide how fast numbers are made, and not which
_NAMED = 40
_LENGTH = 80


@dataclass(frozen=True)
class Difference:
    """A field in which the sides differ, with what each has."""

    name: str
    base: str
    candidate: str

    def __str__(self) -> str:
        return f"{self.name}: base {self.base}, candidate {self.candidate}"


class NotComparable(UsageError):
    """Numbers of the two sides are different things.

    Attributes:
        differences: Every field that differs.
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        lines = [f"  {d}" for d in differences[:_NAMED]]
        if len(differences) > _NAMED:
            lines.append(f"  and {len(differences) - _NAMED:,} more")
        prompts = all(d.name.startswith("prompts") or d.name == "seeds" for d in differences)
        remedy = (
            "give --on common to compare what both were asked for alike"
            if prompts
            else "run or score both sides with the same settings and the same version of vgaudit"
        )
        super().__init__("\n".join(["the two sides cannot be compared; they differ in", *lines, remedy]))


@dataclass(frozen=True)
class Shared:
    """Prompts that a pair of groups is compared on.

    Attributes:
        prompts: In the order of the base.
        dropped: Prompt id to why it is left out; empty unless only common prompts are compared.
    """

    prompts: tuple[str, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)


def paired_groups(base: Snapshot, candidate: Snapshot, wanted: Sequence[str] = ()) -> list[Pair]:
    """Which groups are held against each other.

    Args:
        base: The one side.
        candidate: The other.
        wanted: ``BASE=CAND`` each; without, groups of the same names, or the only group of each side.

    Raises:
        UsageError: A name is unknown, or names leave open what belongs together.
    """
    there = (
        f"the base has {', '.join(map(repr, base.groups))}; "
        f"the candidate has {', '.join(map(repr, candidate.groups))}"
    )
    if wanted:
        pairs = []
        for text in wanted:
            splits = [
                (text[:i], text[i + 1 :])
                for i, c in enumerate(text)
                if c == "=" and text[:i] in base.groups and text[i + 1 :] in candidate.groups
            ]
            if len(splits) != 1:
                raise UsageError(f"--group {text}: expected BASE=CAND with a group of each side; {there}")
            pairs.append(splits[0])
        if twice := [p for p, n in Counter(pairs).items() if n > 1]:
            raise UsageError(f"--group {twice[0][0]}={twice[0][1]} is given twice")
        return pairs
    if set(base.groups) == set(candidate.groups):
        return [(g, g) for g in base.groups]
    if len(base.groups) == len(candidate.groups) == 1:
        return [(base.groups[0], candidate.groups[0])]
    raise UsageError(
        f"groups have other names on the two sides, so it is open which to compare: {there}; "
        "give --group BASE=CAND, once for each pair"
    )


def shared_prompts(
    base: Snapshot, candidate: Snapshot, pairs: Sequence[Pair], on: On
) -> tuple[dict[Pair, Shared], list[Difference]]:
    """Prompts of each pair, and in what they differ where all of them must be alike."""
    shared: dict[Pair, Shared] = {}
    differing: dict[str, Difference] = {}
    for pair in pairs:
        first, second = prompts_of(base, pair[0]), prompts_of(candidate, pair[1])
        kept, dropped = [], {}
        seeds: Counter[tuple[str, str]] = Counter()
        for prompt in dict.fromkeys([*first, *second]):
            found = _prompt(base, candidate, prompt, first, second)
            if found is not None:
                differing.setdefault(found.name, found)
                dropped[prompt] = (
                    f"{found.name.rpartition('.')[2]}: base {found.base}, candidate {found.candidate}"
                )
                continue
            kept.append(prompt)
            a, b = seeds_of(base, first[prompt]), seeds_of(candidate, second[prompt])
            if a and b and a != b:
                seeds[_list(a), _list(b)] += 1
        for (a_, b_), n in seeds.items() if on == "same" else ():
            told = Difference("seeds", f"{a_} ({n} prompts)", b_)
            differing.setdefault(f"seeds {a_} {b_}", told)
        shared[pair] = Shared(tuple(kept), dropped)
    return shared, list(differing.values()) if on == "same" else []


def _prompt(
    base: Snapshot,
    candidate: Snapshot,
    prompt: str,
    first: Mapping[str, Sequence[int]],
    second: Mapping[str, Sequence[int]],
) -> Difference | None:
    if prompt not in first or prompt not in second:
        there = ("there", "not there") if prompt in first else ("not there", "there")
        return Difference(f"prompts.{prompt}", *there)
    a, b = base.prompts[prompt], candidate.prompts[prompt]
    for what in ("text", "asked"):
        if a[what] != b[what]:
            name = "text" if what == "text" else "expectations"
            return Difference(f"prompts.{prompt}.{name}", f"sha256 {a[what][:12]}", f"sha256 {b[what][:12]}")
    return None


def setting_differences(base: Snapshot, candidate: Snapshot, pairs: Sequence[Pair]) -> list[Difference]:
    """Settings, versions, extractors and protocols in which the sides differ; nothing excuses one of these."""
    found = [*_mappings("video", base.video, candidate.video)]
    found += _mappings("encoder", base.encoder, candidate.encoder, leave=("versions",))
    for metric in [m for m in base.metrics if m in candidate.metrics]:
        a, b = base.metrics[metric], candidate.metrics[metric]
        found += _mappings(f"metrics.{metric}", {"version": a["version"]}, {"version": b["version"]})
        found += _mappings(f"metrics.{metric}.options", a["options"], b["options"], leave=_SPEED)
        if a["unavailable"] or b["unavailable"]:
            continue  # it has no numbers on one side at least, and what it would have used may not be known
        for part in ("identity", "fingerprints"):
            found += _mappings(f"metrics.{metric}.{part}", a[part], b[part])
    for pair in pairs:
        for first in base.results:
            second = candidate.result(first.name, pair[1]) if first.group == pair[0] else None
            if second is None or first.status != COMPUTED or second.status != COMPUTED:
                continue
            made = [{k: r.detail[k] for k in PROTOCOL if k in r.detail} for r in (first, second)]
            found += _mappings(f"results.{first.name}", made[0], made[1])
            if first.unit != second.unit:
                found.append(Difference(f"results.{first.name}.unit", first.unit, second.unit))
    return list(dict.fromkeys(found))


def remarks(base: Snapshot, candidate: Snapshot) -> list[str]:
    """Differences that do not forbid a comparison and that a reader should know."""
    notes = []
    if base.vgaudit != candidate.vgaudit:
        notes.append(
            f"scored by different versions of vgaudit ({base.vgaudit}, {candidate.vgaudit}); "
            "their metrics have equal versions"
        )
    a, b = base.encoder.get("versions"), candidate.encoder.get("versions")
    if a != b:
        notes.append(
            f"clips were encoded by different library versions: base {_shown(a)}, candidate {_shown(b)}"
        )
    if base.confidence != candidate.confidence:
        notes.append(
            f"the suites ask for different confidences ({base.confidence:g}, {candidate.confidence:g}); "
            "the larger is used"
        )
    for metric in base.metrics.keys() & candidate.metrics.keys():
        first, second = base.metrics[metric]["options"], candidate.metrics[metric]["options"]
        for d in _mappings(f"metrics.{metric}.options", first, second):
            if d.name.rpartition(".")[2] in _SPEED:
                notes.append(f"{d}; last digits may differ")
    for here, there, name in ((base, candidate, "candidate"), (candidate, base, "base")):
        if lacking := [m for m in here.metrics if m not in there.metrics]:
            notes.append(f"not computed in the {name}: {', '.join(lacking)}")
    return sorted(notes)


def _mappings(
    name: str, a: Mapping[str, Any], b: Mapping[str, Any], leave: Sequence[str] = ()
) -> Iterator[Difference]:
    for key in sorted(a.keys() | b.keys()):
        if key in leave:
            continue
        first, second = a.get(key), b.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from _mappings(f"{name}.{key}", first, second, leave)
        elif first != second or (key in a) != (key in b):
            yield Difference(
                f"{name}.{key}",
                _shown(first) if key in a else "not set",
                _shown(second) if key in b else "not set",
            )


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}\u2026"


def _list(seeds: Sequence[int]) -> str:
    return _shown(", ".join(map(str, seeds)))
