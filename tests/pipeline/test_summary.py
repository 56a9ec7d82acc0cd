"""Refusals as results: seeds of one prompt are no independent evidence, and a gated tag always has an answer."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import binomtest

from vgaudit.gate_evidence import gaps_of
from vgaudit.metrics.base import Measured, SummaryContext, ValueSpec
from vgaudit.pipeline.binding import BoundMetric
from vgaudit.pipeline.gated_clips import gated_clips
from vgaudit.pipeline.summary import Collected, refusal_results, summarize
from vgaudit.plan import Plan, Sample
from vgaudit.records import ClipRecord, Measurement, Result


def made(prompts: int, seeds: int, refused: set[str]) -> tuple[Plan, dict[str, ClipRecord]]:
    samples = [
        Sample(f"p{p}-{s}", f"p{p}", "text", "model", seed=s, tags={"people": "yes" if p % 2 else "no"})
        for p in range(prompts)
        for s in range(seeds)
    ]
    outcome = {s.sample_id: "refused_input" if s.prompt_id in refused else "ok" for s in samples}
    return Plan(tuple(samples)), {k: ClipRecord(k, v) for k, v in outcome.items()}


def test_seeds_add_no_evidence() -> None:
    (result,) = refusal_results(*made(30, 10, set()), 0.95)
    assert (result.value, result.n, result.n_clusters) == (0.0, 300, 30)
    assert result.high == pytest.approx(binomtest(0, 30).proportion_ci(0.95, "exact").high)


def test_slices_by_tag_where_something_was_refused_or_is_gated() -> None:
    plan, records = made(6, 1, {"p1"})
    names = [r.name for r in refusal_results(plan, records, 0.95)]
    assert names == ["generation.refusal_rate", "generation.refusal_rate@people=yes"]
    gated = refusal_results(plan, records, 0.95, {"generation.refusal_rate@people=no"})
    assert {r.name: r.value for r in gated}["generation.refusal_rate@people=no"] == 0.0
    assert gated[0].detail["refused_input"] == 1


def test_nothing_answered_is_not_computed() -> None:
    plan, _ = made(2, 1, set())
    records = {s.sample_id: ClipRecord(s.sample_id, "error", "down") for s in plan}
    (result,) = refusal_results(plan, records, 0.95)
    assert (result.status, result.reason) == ("not computed", "no request was answered")


class Sliced:
    """A metric with slices: the value is how many clips there were."""

    sliced = ("size",)
    summary_features: tuple[str, ...] = ()

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        if context.tag == ("people", "maybe"):
            raise ValueError("who knows")
        if len(measured) < 2:
            return [Result.not_computed("m.size", context.group, f"{len(measured)} clips; expected 2")]
        n = len(measured)
        return [Result("m.size", context.group, n, n - 1.0, n + 1.0, context.confidence, n, n)]


def slices(people: list[str], gated: tuple[str, ...] = (), fail: bool = False) -> dict[str, Result]:
    samples = [Sample(f"s{i}", f"p{i}", "", "model", tags={"people": p}) for i, p in enumerate(people)]
    bound = BoundMetric("m", Sliced(), {}, values=(ValueSpec("size", "clips", None, "How many."),))  # type: ignore[arg-type]
    scorer = SimpleNamespace(
        metrics=[bound],
        measurement=lambda *_: None if fail else Measurement(),
        features=lambda *_: {},
        errors={},
    )
    records = {s.sample_id: ClipRecord(s.sample_id, "ok") for s in samples}
    collected = Collected(Plan(tuple(samples)), records, scorer)  # type: ignore[arg-type]
    return {r.name: r for r in summarize(collected, 0.95, gated)}


def test_clips_not_searched_for_a_kind_are_counted_for_that_kind_only() -> None:
    said = {
        "s0": Measurement(),
        "s1": Measurement(unassessed_kinds={"m.ghost": "too short"}),
        "s2": Measurement(unassessed="broken"),
        "s4": Measurement(unassessed_kinds={"ghost": "the kind of no metric: which one is not known"}),
    }
    samples = [Sample(f"s{i}", f"p{i}", "", "model") for i in range(5)] + [Sample("t", "p", "", "other")]
    records = {s.sample_id: ClipRecord(s.sample_id, "ok") for s in samples}
    scorer = SimpleNamespace(
        metrics=[BoundMetric("m", Sliced(), {})],  # type: ignore[arg-type]
        measurement=lambda _, sample, __: said.get(sample.sample_id),
    )
    collected = Collected(Plan(tuple(samples)), records, scorer)  # type: ignore[arg-type]
    assert collected.coverage() == {
        "m": {"model": (2, 5), "other": (0, 1)},
        "m.ghost": {"model": (1, 5), "other": (0, 1)},
    }
    assert Measurement.from_json(said["s1"].to_json()) == said["s1"]


def test_gaps_say_why_each_clip_that_is_not_counted_is_not() -> None:
    said = {
        "s0": Measurement(values={"x": 1.0}, missing={"y": "not applicable: no face"}),
        "s1": Measurement(unassessed_kinds={"m.ghost": "too short"}),
        "s2": Measurement(missing={"x": "broken", "y": "broken"}, unassessed="broken"),
        "s4": Measurement(unassessed_kinds={"ghost": "the kind of no metric"}),
        "s8": Measurement(unassessed_kinds={"m.ghost": "too short", "m.other": "too short"}),
    }
    samples = [
        Sample(f"s{i}", f"p{i}", "", "model", source="dir/eight.mp4" if i == 8 else None) for i in range(9)
    ]
    samples.append(Sample("t", "p", "", "other"))
    records = {s.sample_id: ClipRecord(s.sample_id, "ok") for s in samples}
    records |= {
        "s5": ClipRecord("s5", "error", "out of memory"),
        "s6": ClipRecord("s6", "ok", media_error="no frame"),
        "s7": ClipRecord("s7", "refused_input"),
    }
    plan = Plan(tuple(samples))
    unchecked = {"s3": {"m": "no weights"}, "t": {"m": "no weights", "n": "no network"}}
    scorer = SimpleNamespace(
        metrics=[BoundMetric("m", Sliced(), {})],  # type: ignore[arg-type]
        measurement=lambda _, sample, __: said.get(sample.sample_id),
    )
    collected = Collected(plan, records, scorer)  # type: ignore[arg-type]
    found = gaps_of(gated_clips(plan, records, collected.measurements, unchecked))
    whole = {
        "broken": ["s2"],
        "no weights": ["s3"],
        "the kind of no metric": ["s4"],
        "there is no clip: out of memory": ["s5"],
        "the clip cannot be decoded: no frame": ["s6"],
    }
    assert found["m"] == {"model": whole, "other": {"no weights": ["t"]}}
    assert found["m.ghost"]["model"] == {**whole, "too short": ["s1", "dir/eight.mp4"]}
    assert found["m.other"]["model"] == {**whole, "too short": ["dir/eight.mp4"]}
    assert found["n"]["other"] == {"no network": ["t"]}
    for name, by_group in collected.coverage().items():  # they explain just what the coverage counts
        for group, (seen, due) in by_group.items():
            clips = {c for named in found.get(name, {}).get(group, {}).values() for c in named}
            assert len(clips) == due - seen, (name, group)


def test_gaps_name_a_long_path_by_its_end() -> None:
    plan = Plan((Sample("s", "p", "", "model", source="d/" * 100 + "clip.mp4"),))
    said = {"m": {"s": Measurement(unassessed="too dark")}}
    seen = gated_clips(plan, {"s": ClipRecord("s", "ok")}, said, {})
    ((name,),) = gaps_of(seen)["m"]["model"].values()
    assert len(name) == 80
    assert name.endswith("/clip.mp4")


def test_slices_of_values_by_tag_have_numbers_or_say_why_not() -> None:
    made = slices(["yes"] * 3 + ["no"] * 2 + ["few", "maybe", "maybe"])
    assert list(made) == ["m.size", *(f"m.size@people={p}" for p in ("yes", "no", "few", "maybe"))]
    assert [made[f"m.size@people={p}"].value for p in ("yes", "no", "few", "maybe")] == [3, 2, None, None]
    assert made["m.size@people=few"].reason == "1 clips; expected 2"
    assert made["m.size@people=maybe"].reason == "ValueError: who knows"
    assert made["m.size@people=yes"].detail["slices"] == 2
    assert (
        "one of 2 slices by tag with an interval: of so many about 0.1 miss"
        in made["m.size@people=yes"].reason
    )
    assert "slices" not in made["m.size"].detail


def test_without_a_whole_only_slices_that_a_gate_asks_for_answer() -> None:
    assert list(slices(["yes"])) == ["m.size"]
    made = slices(["yes"], ("m.size@people=yes",))
    assert made["m.size@people=yes"].reason == made["m.size"].reason == "1 clips; expected 2"


def test_a_slice_counts_the_clips_its_metric_broke_on() -> None:
    made = slices(["yes", "yes", "no"], ("m.size@people=no",), fail=True)
    assert made["m.size"].detail["n_missing"] == 3
    assert "m.size@people=yes" not in made


def test_a_summary_knows_which_clips_of_every_group_never_reached_the_metric() -> None:
    """A group that is held against another one must count that one's too; samples without a clip are no such."""
    seen: dict[str, Any] = {}
    failed: dict[str, dict[str, list[str]]] = {}

    class Seeing(Sliced):
        def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
            seen[context.group] = context.unmeasured
            failed[context.group] = {g: [s.sample_id for s in found] for g, found in context.failed.items()}
            return super().summarize(measured, context)

    samples = [Sample(f"{g}{i}", f"p{i}", "", g) for g in ("model", "real") for i in range(4)]
    records = {s.sample_id: ClipRecord(s.sample_id, "ok") for s in samples}
    records["real0"] = ClipRecord("real0", "failed")
    records["real1"] = ClipRecord("real1", "refused_output")
    values = (ValueSpec("size", "clips", None, "How many."),)
    scorer = SimpleNamespace(
        metrics=[BoundMetric("m", Seeing(), {}, values=values)],  # type: ignore[arg-type]
        measurement=lambda _, sample, __: (
            None if sample.sample_id in ("model3", "real0", "real1", "real2") else Measurement()
        ),
        features=lambda *_: {},
        errors={("real2", "m"): "RuntimeError: out of memory"},
    )
    made = {r.group: r for r in summarize(Collected(Plan(tuple(samples)), records, scorer), 0.95)}  # type: ignore[arg-type]
    assert seen["model"] == seen["real"]
    lost = {g: [(s.sample_id, why) for s, why in found] for g, found in seen["model"].items()}
    assert lost == {
        "model": [("model3", "not measured")],
        "real": [("real2", "RuntimeError: out of memory")],
    }
    assert (made["model"].detail["n_missing"], made["real"].detail["n_missing"]) == (1, 1)
    assert made["real"].detail["failed_samples"] == 1
    assert failed["model"] == failed["real"] == {"model": [], "real": ["real0"]}  # a refusal is no failure
