"""Sides whose numbers are different things are refused, and every field that differs is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.compare.snapshots import NAME, side, snapshot, written
from vgaudit.cli.commands import app
from vgaudit.compare.comparable import NotComparable, paired_groups
from vgaudit.compare.comparison import Asked, compare
from vgaudit.compare.snapshot import Snapshot
from vgaudit.errors import UsageError

BASE = snapshot({f"p{i}": [0.1, 0.1 + 0.01 * i] for i in range(8)})


def metric(**changed: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda s: replace(s, metrics={"temporal": {**s.metrics["temporal"], **changed}})


def prompt(**changed: str) -> Callable[[Snapshot], Snapshot]:
    return lambda s: replace(s, prompts={**s.prompts, "p3": {**s.prompts["p3"], **changed}})


def protocol(s: Snapshot, value: str) -> Snapshot:
    return replace(s, results=(replace(s.results[0], detail={"protocol": value}),))


def without(s: Snapshot, prompt_id: str) -> Snapshot:
    keep = [i for i, c in enumerate(s.clips) if c.prompt_id != prompt_id]
    made = snapshot({p: [0.1, 0.1 + 0.01 * int(p[1:])] for p in s.prompts if p != prompt_id})
    assert len(keep) == len(made.clips)
    return made


SETTINGS: list[tuple[Callable[[Snapshot], Snapshot], str]] = [
    (lambda s: replace(s, video={"frames": 33}), "video.frames: base 17, candidate 33"),
    (lambda s: replace(s, video={"frames": 17, "fps": 8.0}), "video.fps: base not set, candidate 8.0"),
    (lambda s: replace(s, encoder={"crf": 23}), "encoder.crf: base 10, candidate 23"),
    (metric(version=2), "metrics.temporal.version: base 1, candidate 2"),
    (metric(options={"faces": True}), "metrics.temporal.options.faces: base False, candidate True"),
    (metric(identity={"gallery": "b"}), "metrics.temporal.identity.gallery: base not set, candidate b"),
    (
        metric(fingerprints={"motion": "motion-v2-def"}),
        "metrics.temporal.fingerprints.motion: base motion-v1-abc, candidate motion-v2-def",
    ),
    (lambda s: protocol(s, "fvd@b"), f"results.{NAME}.protocol: base fvd@a, candidate fvd@b"),
    (lambda s: replace(s, results=(replace(s.results[0], unit="percent"),)), f"results.{NAME}.unit: base u,"),
]
PROMPTS: list[tuple[Callable[[Snapshot], Snapshot], str]] = [
    (prompt(text="0" * 24), "prompts.p3.text: base sha256"),
    (prompt(asked="0" * 24), "prompts.p3.expectations: base sha256"),
    (lambda s: without(s, "p5"), "prompts.p5: base there, candidate not there"),
    (
        lambda s: replace(s, clips=tuple(replace(c, seed=(c.seed or 0) + 7) for c in s.clips)),
        "seeds: base 0, 1 (8 prompts), candidate 7, 8",
    ),
]


@pytest.mark.parametrize(("change", "named"), SETTINGS + PROMPTS)
def test_each_difference_is_named(change: Callable[[Snapshot], Snapshot], named: str, tmp_path: Path) -> None:
    base = protocol(BASE, "fvd@a") if "protocol" in named else BASE
    with pytest.raises(NotComparable) as refused:
        compare(side(base), side(change(BASE)))
    assert len(refused.value.differences) == 1
    assert named in str(refused.value)
    paths = written(base, tmp_path / "a.json.gz"), written(change(BASE), tmp_path / "b.json.gz")
    assert CliRunner().invoke(app, ["compare", *map(str, paths)]).exception.exit_code == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(("change", "named"), SETTINGS)
def test_common_prompts_excuse_no_setting(change: Callable[[Snapshot], Snapshot], named: str) -> None:
    base = protocol(BASE, "fvd@a") if "protocol" in named else BASE
    with pytest.raises(NotComparable, match="run or score both sides with the same settings"):
        compare(side(base), side(change(BASE)), Asked(on="common"))


@pytest.mark.parametrize(("change", "named"), PROMPTS[:3])
def test_common_prompts_are_compared_and_the_others_named(
    change: Callable[[Snapshot], Snapshot], named: str
) -> None:
    made = compare(side(BASE), side(change(BASE)), Asked(on="common"))
    prompt_id = named.split(":", maxsplit=1)[0].split(".")[1]
    (shared,) = made.shared.values()
    assert list(shared.dropped) == [prompt_id]
    assert len(shared.prompts) == 7
    assert made.values[0].difference.n_prompts == 7
    assert any(f"1 of 8 prompts are not common and were dropped: {prompt_id}" in note for note in made.notes)


def test_all_that_differs_is_named_at_once() -> None:
    other = replace(metric(version=2, options={"faces": True})(BASE), video={"frames": 1})
    with pytest.raises(NotComparable) as refused:
        compare(side(BASE), side(other))
    assert [d.name for d in refused.value.differences] == [
        "video.frames", "metrics.temporal.version", "metrics.temporal.options.faces",
    ]  # fmt: skip


def test_other_seeds_of_common_prompts_are_averaged() -> None:
    other = replace(BASE, clips=tuple(replace(c, seed=(c.seed or 0) + 7) for c in BASE.clips))
    made = compare(side(BASE), side(other), Asked(on="common"))
    assert made.values[0].difference.n_seed_paired == 0
    unknown = replace(BASE, clips=tuple(replace(c, seed=None) for c in BASE.clips))
    assert compare(side(BASE), side(unknown)).values[0].difference.n_prompts == 8  # nothing to differ from


def test_what_only_makes_numbers_faster_or_newer_is_told() -> None:
    other = metric(options={"faces": False, "device": "cuda"})(BASE)
    other = replace(other, vgaudit="0.2.0", encoder={"crf": 10, "versions": {"av": "2"}}, confidence=0.99)
    base = metric(options={"faces": False, "device": "cpu"})(BASE)
    made = compare(side(base), side(other))
    told = " | ".join(made.notes)
    for words in (
        "0.1.0, 0.2.0",
        "library versions",
        "device: base cpu, candidate cuda",
        "the larger is used",
    ):
        assert words in told
    assert made.confidence == 0.99


def test_nothing_in_common_is_refused() -> None:
    other = snapshot({f"q{i}": [0.1] for i in range(8)})
    with pytest.raises(UsageError, match="share no prompt"):
        compare(side(BASE), side(other), Asked(on="common"))


def test_a_value_of_the_group_is_not_compared_on_some_of_its_prompts() -> None:
    specs = {NAME: {**BASE.value_specs[NAME], "per_clip": False}}
    whole = replace(BASE, value_specs=specs)
    row = compare(
        side(whole), side(replace(without(BASE, "p5"), value_specs=specs)), Asked(on="common")
    ).values[0]
    assert row.apart is None
    assert "over prompts that are not compared here" in row.difference.reason


def two(*names: str) -> Snapshot:
    return replace(BASE, groups=names, clips=tuple(replace(c, group=names[0]) for c in BASE.clips))


def test_groups_are_matched_by_name_or_because_there_is_one() -> None:
    assert paired_groups(two("a", "b"), two("b", "a")) == [("a", "a"), ("b", "b")]
    assert paired_groups(two("old"), two("new")) == [("old", "new")]
    assert paired_groups(two("a", "b"), two("c"), ["b=c"]) == [("b", "c")]
    assert paired_groups(two("a=1", "b"), two("c"), ["a=1=c"]) == [("a=1", "c")]


@pytest.mark.parametrize(
    ("base", "candidate", "wanted"),
    [
        (("a", "b"), ("a",), ()),
        (("a", "b"), ("a", "c"), ()),
        (("a",), ("b",), ("a=c",)),
        (("a",), ("b",), ("ab",)),
        (("a",), ("b",), ("a=b", "a=b")),
    ],
)
def test_groups_that_are_open_are_asked_for(
    base: tuple[str, ...], candidate: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="--group") as refused:
        paired_groups(two(*base), two(*candidate), wanted)
    assert wanted == ("a=b", "a=b") or all(repr(name) in str(refused.value) for name in base + candidate)
