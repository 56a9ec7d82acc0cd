"""All values of ``fvd`` of one group: what each is, what it says of few clips, and what has no number."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vgaudit.extractors.base import Features
from vgaudit.gates import GateSpec, evaluate
from vgaudit.metrics import fvd_results
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.estimators import (
    extrapolated_distance,
    kernel_interval,
    permutation_test,
    sample_warning,
)
from vgaudit.metrics.evidence import disqualified
from vgaudit.metrics.frechet import Statistics, frechet_distance_from_features, frechet_interval, statistics
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.metrics.fvd_results import VALUES, Estimates, Sides
from vgaudit.metrics.prdc import precision_recall_density_coverage
from vgaudit.plan import Sample
from vgaudit.records import Outcome, Result
from vgaudit.reports.named import size_note
from vgaudit.video import ClipInfo

D = 4
INFO = ClipInfo("c.mp4", 64, 48, 10.0, 16, 1.6, "h264", "mp4", "yuv420p")


def rows(n: int, seed: int, shift: float = 0.0, d: int = D) -> np.ndarray:
    made: np.ndarray = np.random.default_rng(seed).normal(size=(n, d)) + shift
    return made


def clips(
    group: str, x: np.ndarray, tags: list[dict[str, str]] | None = None, shared: str = ""
) -> list[Measured]:
    metric = fvd()
    out = []
    for i, row in enumerate(x):
        features = {"video": Features({"embedding": np.stack([row, row]), "window_start": np.arange(2)}, {})}
        sample = Sample(
            f"{group}-{i:04}", f"{shared or group}-{i:04}", "", group, tags=tags[i] if tags else {}
        )
        out.append(
            Measured(
                sample,
                metric.measure(ClipView(sample, INFO, sha256(f"{group}{i}".encode()).hexdigest(), features)),
                features,
            )
        )
    return out


def fvd(reference: Any = None, base_dir: Path | None = None, **options: Any) -> Fvd:
    given = {"reference": reference or {"group": "real"}, **options}
    return Fvd(FvdOptions(**given), MetricContext(base_dir or Path()))


def results(metric: Fvd, tag: tuple[str, str] | None = None, **groups: list[Measured]) -> dict[str, Result]:
    model = [m for m in groups["model"] if tag is None or m.sample.tags.get(tag[0]) == tag[1]]
    context = SummaryContext("model", [m.sample for m in model], groups, tag=tag)
    return {r.name.partition(".")[2]: r for r in metric.summarize(model, context)}


def test_each_value_is_what_its_function_gives() -> None:
    x, y = rows(60, 0, 0.7), rows(90, 1)
    made = results(fvd(), model=clips("model", x), real=clips("real", y))
    assert list(made) == [spec.name for spec in VALUES]
    assert made["distance"].value == pytest.approx(frechet_distance_from_features(x, y, ddof=0))
    kernel = kernel_interval(x, y)
    assert (made["kernel_distance"].value, made["kernel_distance"].low, made["kernel_distance"].high) == (
        pytest.approx((kernel.value, kernel.low, kernel.high))
    )
    assert made["kernel_distance"].detail["interval_target"] == "distance of the populations"
    names = [[m.sample.prompt_id for m in clips(*side)] for side in (("model", x), ("real", y))]
    infinite = extrapolated_distance(x, y, ddof=0, clusters=names[0], reference_clusters=names[1])
    assert made["extrapolated"].value == pytest.approx(infinite.value)
    assert made["extrapolated"].detail["plain"] == pytest.approx(made["distance"].value)
    assert made["extrapolated"].low is None
    assert "60 independent prompts on a side; expected 1024 or more" in made["extrapolated"].reason
    near = precision_recall_density_coverage(y, x, 5)
    for name in ("precision", "recall", "density", "coverage"):
        assert made[name].value == getattr(near, name)
        assert (made[name].low, made[name].detail["k"], made[name].detail["n_reference"]) == (None, 5, 90)
        assert "no interval: left-out clips change who is a neighbour" in made[name].reason
        assert "60 clips against 90: compares only with the same numbers" in made[name].reason
    assert made["precision"].value != made["recall"].value  # which side is real matters
    p = made["p_value"]
    assert (p.value, p.detail["permutations"], p.detail["exact"]) == (1 / 1000, 999, False)
    assert p.detail["statistic"] == pytest.approx(kernel.value)
    for spec in VALUES:
        result = made[spec.name]
        assert (result.n, result.n_clusters, result.unit) == (60, 60, spec.unit)
        assert result.detail["protocol"] == "fvd@styleganv"
        assert result.detail["n_reference"] == 90


def test_sets_of_one_population_are_not_told_apart() -> None:
    made = results(fvd(), model=clips("model", rows(60, 0)), real=clips("real", rows(60, 1)))
    assert made["p_value"].value == pytest.approx(permutation_test(rows(60, 0), rows(60, 1)).p, abs=0.05)
    assert made["p_value"].value > 0.05  # type: ignore[operator]
    assert made["kernel_distance"].low < 0 < made["kernel_distance"].high  # type: ignore[operator]


def test_the_extrapolated_distance_has_an_interval_from_enough_prompts_on() -> None:
    x, y = rows(1024, 0, 0.5, d=2), rows(1024, 1, d=2)
    found = Estimates(_sides(x, y)).of("extrapolated")
    assert found.low is not None
    assert found.low <= found.value <= found.high  # type: ignore[operator]
    assert Estimates(_sides(x, y[:1023])).of("extrapolated").low is None


def _sides(x: np.ndarray, y: np.ndarray | None, reference: Statistics | None = None) -> Sides:
    prompts = [f"p{i}" for i in range(len(x))]
    others = None if y is None else [f"r{i}" for i in range(len(y))]
    moments = reference or statistics(y)  # type: ignore[arg-type]
    return Sides(x, prompts, prompts, moments, y, others, others or ("file",), 1)


def test_more_seeds_of_few_prompts_are_no_more_evidence() -> None:
    """As many clips: of 96 prompts they are enough for this reference, of twelve they are not."""
    y = rows(400, 1, d=8)
    for prompts, few in ((96, False), (12, True)):
        centres = rows(prompts, 2, d=8)
        x = np.repeat(centres, 96 // prompts, axis=0) + 0.02 * rows(96, 3, d=8)
        names = [f"p{i}" for i in range(prompts) for _ in range(96 // prompts)]
        sides = Sides(x, names, [str(i) for i in range(96)], statistics(y), y, None, ("file",), 1)
        found = Estimates(sides).of("distance")
        assert ("insufficient" in found.detail) is few
        if few:
            assert "12 prompts" in str(found.detail["insufficient"])


@pytest.mark.parametrize(("prompts", "few"), [(7, True), (8, False)])
def test_of_few_prompts_neither_a_kernel_distance_nor_a_p_is_gated_on(prompts: int, few: bool) -> None:
    """However far apart the sets are: with two prompts a side p is never below a sixth."""
    x, y = rows(32, 0) + 50, rows(64, 1)
    sides = replace(_sides(x, y), prompts=[f"p{i % prompts}" for i in range(32)])
    for name in ("kernel_distance", "p_value"):
        assert ("insufficient" in Estimates(sides).of(name).detail) is few


def test_stored_statistics_without_features_leave_what_needs_features_without_a_number(
    tmp_path: Path,
) -> None:
    y = rows(300, 5)
    np.savez(tmp_path / "r.npz", num_clips=300, mean=y.mean(0), cov_biased=np.cov(y.T, ddof=0))
    made = results(fvd("r.npz", tmp_path), model=clips("model", rows(40, 0)))
    assert {name for name, r in made.items() if r.status == "computed"} == {"distance", "extrapolated"}
    for name in ("kernel_distance", "precision", "recall", "density", "coverage", "p_value"):
        assert made[name].status == "not computed"
        assert made[name].reason.startswith("the reference is stored statistics without features")
    assert "the reference's 300 clips are taken for its population" in made["extrapolated"].reason


def test_matrices_that_would_not_fit_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fvd_results, "MAX_PROMPTS", 79)
    made = results(fvd(), model=clips("model", rows(40, 0)), real=clips("real", rows(40, 1)))
    for name in ("kernel_distance", "p_value"):
        assert made[name].reason.startswith(
            "80 prompts on both sides; kernel matrices are made for 79 at most"
        )
    assert made["coverage"].value is not None


def test_an_error_in_one_value_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no neighbours today")

    monkeypatch.setattr(fvd_results, "precision_recall_density_coverage", broken)
    made = results(fvd(), model=clips("model", rows(40, 0)), real=clips("real", rows(40, 1)))
    assert made["recall"].reason.startswith("ValueError: no neighbours today")
    assert made["distance"].value is not None


def test_prompts_on_both_sides_are_left_out_across_them_and_said() -> None:
    x, y = rows(40, 0, 0.7), rows(40, 1)
    model, real = clips("model", x, shared="p"), clips("real", y, shared="p")
    made = results(fvd(), model=model, real=real)
    prompts = [f"p-{i:04}" for i in range(40)]
    kernel = kernel_interval(x, y, clusters=prompts, other_clusters=prompts)
    found = made["kernel_distance"]
    assert (found.value, found.low, found.high) == pytest.approx((kernel.value, kernel.low, kernel.high))
    assert found.detail["interval_target"] == "distance of the populations"
    assert made["p_value"].detail["statistic"] == pytest.approx(kernel.value)
    assert "the two sides could be turned round" in str(made["p_value"].detail["null"])
    apart = results(fvd(), model=clips("model", x), real=real)
    assert apart["kernel_distance"].value != pytest.approx(found.value)
    for name in ("kernel_distance", "p_value"):
        assert made[name].detail["shared_prompts"] == 40
        assert "shared_prompts" not in apart[name].detail
    joint = frechet_interval(x, y, ddof=0, clusters=prompts, reference_clusters=prompts)
    assert (made["distance"].low, made["distance"].high) == pytest.approx((joint.low, joint.high))
    assert made["extrapolated"].value == pytest.approx(joint.value - joint.bias)  # type: ignore[operator]
    both = "40 prompts have the same prompt id on both sides"
    assert both in made["distance"].reason
    assert made["distance"].detail["floor"]["status"] == "not computed"  # 40 of 40 leave none
    assert "it may lie lower" not in made["distance"].reason
    more = results(fvd(), model=model, real=[*real, *clips("more", rows(45, 2))])["distance"]
    assert f"{both}: the floor is of other prompts; of the same ones it may lie lower" in more.reason
    one = results(fvd(), model=model, real=[real[0], *clips("more", rows(59, 2))])
    assert "1 prompt has the same prompt id on both sides" in one["distance"].reason
    assert f"{both}: left out of both at once" in made["extrapolated"].reason
    for name in ("distance", "extrapolated"):
        assert (made[name].detail["shared_prompts"], "shared_prompts" in apart[name].detail) == (40, False)
        assert "left out of both sides at once" in str(made[name].detail["interval"])
        assert "both sides" not in f"{apart[name].reason} {apart[name].detail['interval']}"
    assert "turned round" not in str(apart["p_value"].detail["null"])


def test_gates_take_what_prompts_on_both_sides_give() -> None:
    model, real = clips("model", rows(40, 0), shared="p"), clips("real", rows(40, 1), shared="p")
    made = results(fvd(), model=model, real=real)
    gates = [
        GateSpec(metric="fvd.kernel_distance", max=50),
        GateSpec(metric="fvd.p_value", min=0.01, on="estimate"),
    ]
    held = evaluate(gates, [made["kernel_distance"], made["p_value"]], ["model"])
    assert [answer.outcome for answer in held] == [Outcome.PASSED, Outcome.PASSED]


@pytest.mark.parametrize("both", [True, False])
def test_p_is_of_as_many_clips_of_every_prompt_and_says_so(both: bool) -> None:
    x, y = rows(120, 0), rows(80, 1)
    names, others = [f"p{i % 40}" for i in range(120)], [f"{'p' if both else 'r'}{i % 40}" for i in range(80)]
    uneven = Estimates(replace(_sides(x, y), prompts=names, y_prompts=others)).of("p_value")
    assert uneven.value is not None
    assert uneven.detail["clips_a_prompt"] == 2
    assert uneven.detail["clips_tested"] == {"group": 80, "reference": 80}
    assert uneven.detail["clips_there"] == {"group": 120, "reference": 80}
    assert (
        "p is of 2 clips a prompt, chosen at random: 80 of 120 clips of the group and 80 of 80"
        in " ".join(uneven.notes)
    )
    clear = Estimates(replace(_sides(x + 1, y), prompts=names, y_prompts=others)).of("p_value")
    assert clear.value == clear.detail["least"] == 1 / 1000
    even = Estimates(replace(_sides(x[:80], y), prompts=names[:80], y_prompts=others)).of("p_value")
    assert "clips_there" not in even.detail
    assert (even.detail["clips_a_prompt"], even.notes) == (2, ("no interval: a p has none",))


def test_the_least_p_counts_the_mirror_image() -> None:
    """Of four prompts a side that are far apart, both deals of all 70 that part them are as far."""
    x, y = rows(32, 0) + 1000 * np.arange(32)[:, None] % 4, rows(32, 1) + 9000
    sides = replace(_sides(x, y), prompts=[f"p{i % 4}" for i in range(32)])
    sides = replace(sides, y_prompts=[f"r{i % 4}" for i in range(32)])
    found = Estimates(sides).of("p_value")
    assert (found.value, found.detail["least"], found.detail["exact"]) == (2 / 70, 2 / 70, True)


def test_there_is_no_p_of_one_prompt() -> None:
    sides = replace(_sides(rows(32, 0), rows(32, 1)), y_prompts=["r"] * 32)
    found = Estimates(sides).of("p_value")
    assert found.value is None
    assert "y has 1 cluster(s); expected two or more" in found.notes[0]


WORDS = "the smoke test only has twenty clips"


@pytest.mark.parametrize("few", ["group", "reference"])
def test_too_few_clips_of_either_side_stop_gates_unless_the_suite_says_why(few: str) -> None:
    d = 24
    x, y = rows(20 if few == "group" else 200, 0, d=d), rows(20 if few == "reference" else 200, 1, d=d)
    groups = {"model": clips("model", x), "real": clips("real", y)}
    made = results(fvd(), **groups)
    warning = sample_warning(20, statistics(x if few == "group" else y, ddof=0).cov)
    assert warning.startswith("20 clips are fewer than the 24 feature dimensions")
    for name in ("distance", "extrapolated"):
        assert f"{few}: {warning}" in made[name].reason
        assert made[name].detail["insufficient"].startswith(f"{few}: {warning}")
    gate = GateSpec(metric="fvd.distance", max=1e9)
    (held,) = evaluate([gate], [made["distance"]], ["model"])
    assert held.outcome is Outcome.NOT_COMPUTED
    assert "insufficient evidence: " in held.reason
    assert "`accept_small_n` of fvd says why" in held.reason
    assert all("insufficient" not in made[name].detail for name in ("kernel_distance", "recall", "p_value"))

    accepted = results(fvd(accept_small_n=WORDS), **groups)["distance"]
    assert "insufficient" not in accepted.detail
    assert (accepted.value, accepted.detail["accepted_small_n"]) == (made["distance"].value, WORDS)
    assert f"few clips, accepted by the suite: {WORDS}" in accepted.reason
    assert warning in accepted.reason
    (held,) = evaluate([gate], [accepted], ["model"])
    assert held.outcome is Outcome.PASSED
    assert f"few clips accepted: {WORDS}" in held.reason


def test_enough_clips_need_no_words() -> None:
    made = results(fvd(), model=clips("model", rows(40, 0)), real=clips("real", rows(60, 1)))
    assert "insufficient" not in made["distance"].detail
    words = results(
        fvd(accept_small_n=WORDS), model=clips("model", rows(40, 0)), real=clips("real", rows(60, 1))
    )
    assert "accepted_small_n" not in words["distance"].detail


@pytest.mark.parametrize("reason", ["yes", "true", "I accept it", "ok ok ok ok ok ok", "1 2 3 4 5"])
def test_few_clips_are_accepted_in_words_only(reason: str) -> None:
    with pytest.raises(ValidationError, match="expected a reason of 5 different words"):
        FvdOptions(reference="r.npz", accept_small_n=reason)


def test_the_sums_of_one_matrix_serve_distance_and_test(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    of = fvd_results.KernelSums.of
    monkeypatch.setattr(fvd_results.KernelSums, "of", lambda *a, **k: (calls.append(1), of(*a, **k))[1])
    made = results(fvd(), model=clips("model", rows(40, 0)), real=clips("real", rows(40, 1)))
    assert made["kernel_distance"].value is not None
    assert made["p_value"].value is not None
    assert len(calls) == 1


TAGS = [{"people": "yes" if i % 2 else "no"} for i in range(80)]


def test_a_slice_is_held_against_the_reference_of_its_tag() -> None:
    x, y = rows(80, 0), rows(80, 1)
    made = results(fvd(), ("people", "yes"), model=clips("model", x, TAGS), real=clips("real", y, TAGS))
    assert list(made) == ["distance", "kernel_distance"]
    one = made["distance"]
    assert one.value == pytest.approx(frechet_distance_from_features(x[1::2], y[1::2], ddof=0))
    assert (one.n, one.detail["n_reference"], one.detail["reference_tag"]) == (40, 40, "people=yes")
    assert "part of the distance is the tag" not in one.reason
    whole = results(fvd(), ("people", "yes"), model=clips("model", x, TAGS), real=clips("real", y))
    assert whole["distance"].value == pytest.approx(frechet_distance_from_features(x[1::2], y, ddof=0))
    assert "has no people=yes: part of the distance is the tag" in whole["distance"].reason
    assert whole["kernel_distance"].detail["reference_tag"] == "none: all of the reference"


def test_a_slice_of_too_few_says_so() -> None:
    few = [{"people": "yes"} if i < 15 else {} for i in range(80)]
    real = clips("real", rows(80, 1), TAGS)
    made = results(fvd(), ("people", "yes"), model=clips("model", rows(80, 0), few), real=real)
    assert made["distance"].reason == "15 usable clips; expected at least 16"
    model = clips("model", rows(80, 0), TAGS)
    made = results(fvd(), ("people", "yes"), model=model, real=clips("real", rows(80, 1), few))
    assert made["kernel_distance"].reason == (
        "the reference 'real' has 15 usable clips of people=yes; expected at least 16"
    )


def test_a_reference_file_of_another_protocol_is_refused(tmp_path: Path) -> None:
    from vgaudit.errors import UsageError

    y = rows(300, 5)
    np.savez(
        tmp_path / "r.npz",
        num_clips=300,
        mean=y.mean(0),
        cov_biased=np.cov(y.T, ddof=0),
        protocol="fvd@videogpt",
    )
    metric = fvd("r.npz", tmp_path)
    with pytest.raises(UsageError, match=r"fvd@videogpt, but is to be compared by fvd@styleganv"):
        metric.identity()
    with pytest.raises(UsageError, match=r"fvd@videogpt, but is to be compared by fvd@styleganv"):
        results(metric, model=clips("model", rows(40, 0)))


def test_the_interval_is_that_of_both_sides() -> None:
    x, y = rows(60, 0), rows(60, 1)
    found = Estimates(_sides(x, y)).of("distance")
    sides = _sides(x, y)
    made = frechet_interval(x, y, clusters=sides.prompts, reference_clusters=sides.y_prompts)
    assert (found.value, found.low, found.high) == pytest.approx((made.value, made.low, made.high))


def passes(made: dict[str, Result]) -> dict[str, bool]:
    """Of each value, whether a gate that any number would pass passes on it."""
    gates = [GateSpec(metric=f"fvd.{name}", max=1e9, on="estimate") for name in made]
    held = evaluate(gates, list(made.values()), ["model"])
    return {name: answer.outcome is Outcome.PASSED for name, answer in zip(made, held, strict=True)}


@pytest.mark.parametrize("same", [1, 40])
def test_gates_take_nothing_of_clips_that_are_on_both_sides(same: int) -> None:
    real = clips("real", rows(60, 1))
    copied = [replace(m, sample=replace(m.sample, group="model")) for m in real[:same]]
    model = [*clips("model", rows(40 - same, 0)), *copied]
    made = results(fvd(accept_small_n=WORDS), model=model, real=real)
    assert not any(passes(made).values())
    for result in made.values():
        assert (result.detail["same_clips"], result.detail["copied_clips"]) == (same, 0)
        assert result.reason.startswith(f"{same} of 40 clips are on the reference side too, byte for byte")
        assert result.detail["insufficient"].startswith(f"{same} of 40 clips are on the reference side too")
        assert "take them out of the group" in result.detail["insufficient"]
        assert "accepted_small_n" not in result.detail
        assert size_note(result) == "clips on both sides: insufficient"
    apart = results(fvd(), model=clips("model", rows(40, 0)), real=real)
    assert all(passes(apart).values())
    assert {r.detail["same_clips"] for r in apart.values()} == {0}
    assert not any("byte for byte" in r.reason for r in apart.values())


def test_few_clips_are_neither_accepted_nor_to_be_where_more_is_wrong() -> None:
    """The suite's words are for few clips; where clips are on both sides too, nothing invites to write any."""
    real = clips("real", rows(30, 1, d=24))
    model = [
        *clips("model", rows(19, 0, d=24)),
        replace(real[0], sample=replace(real[0].sample, group="model")),
    ]
    for words in ({}, {"accept_small_n": WORDS}):
        for name in ("distance", "extrapolated"):
            made = results(fvd(**words), model=model, real=real)[name]
            same = "1 of 20 clips are on the reference side too, byte for byte"
            few = "group: 20 clips are fewer than the 24 feature dimensions"
            assert made.detail["insufficient"].startswith(same)
            assert few in made.detail["insufficient"]
            assert few in made.detail["small_n"]
            assert "accepted_small_n" not in made.detail
            assert made.reason.startswith(same)
            assert few in made.reason
            assert "accept" not in f"{made.reason} {made.detail['insufficient']} {made.detail['small_n']}"


def test_what_is_wrong_with_the_clips_is_said_before_all_else() -> None:
    real = clips("real", rows(60, 1))
    still = clips("model", np.full((40, D), 0.3))
    still[1:] = [replace(m, measurement=still[0].measurement) for m in still[1:]]  # one clip over and over
    for result in results(fvd(), model=still, real=real).values():
        assert result.reason.startswith("the features of the group do not vary")
        assert "; 40 of 40 clips have the bytes of another clip of the group; " in result.reason
    both = [replace(m, measurement=real[0].measurement) for m in still]
    for result in results(fvd(), model=both, real=real).values():
        first, second = result.detail["insufficient"].split("; the features")
        assert first.startswith("40 of 40 clips are on the reference side too")
        assert second.startswith(" of the group do not vary")
        assert result.reason.startswith(f"{first}; the features{second}")


def test_copies_within_a_group_are_counted() -> None:
    model, real = clips("model", rows(40, 0)), clips("real", rows(60, 1))
    model[39] = replace(model[3], sample=model[39].sample)
    made = results(fvd(), model=model, real=real)["distance"]
    assert (made.detail["copied_clips"], made.detail["same_clips"]) == (2, 0)
    assert "2 of 40 clips have the bytes of another clip of the group" in made.reason
    assert "insufficient" not in made.detail


@pytest.mark.parametrize("says", [True, False])
def test_a_file_that_names_its_clips_knows_them_again(says: bool, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    model = clips("model", rows(40, 0))
    y = rows(60, 5)
    named = [
        bytes.fromhex(str(m.measurement.facts["clip_sha256"])) for m in [*model[:2], *clips("real", y)[2:]]
    ]
    arrays = {"mean": y.mean(0), "num_clips": np.array([60]), "cov_biased": np.cov(y.T, ddof=0)}
    digests = {"clip_sha256": np.frombuffer(b"".join(named), np.uint8).reshape(60, 32)} if says else {}
    save_file({**arrays, **digests}, tmp_path / "r.safetensors")
    made = results(fvd("r.safetensors", tmp_path), model=model)["distance"]
    assert made.detail["same_clips"] == (2 if says else "unknown")
    assert ("insufficient" in made.detail) is says
    assert ("2 of 40 clips are on the reference side too" in made.reason) is says


def test_a_file_whose_digests_are_none_is_refused(tmp_path: Path) -> None:
    from vgaudit.errors import UsageError

    y = rows(60, 5)
    moments = {"mean": y.mean(0), "num_clips": 60, "cov_biased": np.cov(y.T, ddof=0)}
    np.savez(tmp_path / "r.npz", **moments, clip_sha256=np.zeros((59, 32), np.uint8))
    with pytest.raises(
        UsageError, match=r"clip_sha256 is uint8 of shape \(59, 32\); expected uint8 of \(60, 32\)"
    ):
        fvd("r.npz", tmp_path).identity()


@pytest.mark.parametrize("still", ["group", "reference", "group and of the reference"])
@pytest.mark.parametrize("level", [0.0, 0.3, -7.7])
def test_gates_take_nothing_of_features_that_do_not_vary(still: str, level: float) -> None:
    x, y = rows(40, 0), rows(60, 1)
    if "group" in still:
        x = np.full_like(x, level)
    if "reference" in still:
        y = np.full_like(y, level)
        y[::2] *= 1 + 1e-7  # what a batch does to a sum
    made = results(fvd(accept_small_n=WORDS), model=clips("model", x), real=clips("real", y))
    assert not any(passes(made).values())
    for result in made.values():
        assert result.value is not None
        assert result.detail["unvarying_features"] == still.split(" and of the ")
        assert f"the features of the {still} do not vary" in result.reason
        assert size_note(result) == "features do not vary: insufficient"
        assert "accept_small_n" not in f"{result.reason} {result.detail['insufficient']}"


@pytest.mark.parametrize(("spread", "still"), [(0.0, True), (3e-5, True), (1e-3, False)])
def test_stored_moments_that_do_not_vary_are_no_evidence(spread: float, still: bool, tmp_path: Path) -> None:
    """Of the largest mean: a variance is a difference of sums, which in float32 leaves some of their rounding."""
    mean = np.array([0.001, 3.0, 0.2, 0.0])  # it is the largest, not each one's own
    np.savez(tmp_path / "r.npz", num_clips=60, mean=mean, cov_biased=np.eye(D) * (3 * spread) ** 2)
    made = results(fvd("r.npz", tmp_path), model=clips("model", rows(40, 0)))
    for name in ("distance", "extrapolated"):
        assert ("unvarying_features" in made[name].detail) is still
        assert passes(made)[name] is not still


def test_sums_in_another_order_are_no_variation() -> None:
    """One clip's features 40 times, each a float32 dot product of 2,048 terms taken in another order."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(D, 2048)).astype(np.float32)
    activations = rng.normal(size=2048).astype(np.float32)
    weights[2] -= (weights[2] @ activations) / (activations @ activations) * activations
    x = np.stack([weights[:, i] @ activations[i] for i in (rng.permutation(2048) for _ in range(40))])
    own = np.ptp(x, axis=0) / np.abs(x).max(axis=0)
    assert own.max() > 1e-2  # a sum near 0 has the rounding of its terms
    made = results(fvd(), model=clips("model", x), real=clips("real", rows(60, 1)))
    assert made["distance"].detail["unvarying_features"] == ["group"]
    x[0, 1] += 2e-4 * np.abs(x).max()
    varied = results(fvd(), model=clips("model", x), real=clips("real", rows(60, 1)))
    assert "unvarying_features" not in varied["distance"].detail


def test_doubts_come_first_and_take_back_what_was_accepted() -> None:
    few = {"small_n": "9 clips", "accepted_small_n": WORDS}
    assert disqualified(few, {"same_clips": 0}) == {**few, "same_clips": 0}
    made = disqualified(few, {"same_clips": 1, "insufficient": "copied"}, {"insufficient": "still"})
    assert made == {"small_n": "9 clips", "same_clips": 1, "insufficient": "copied; still; 9 clips"}
    invited = {"small_n": "9 clips", "insufficient": "9 clips (say why)"}
    assert disqualified(invited, {"insufficient": "copied"})["insufficient"] == "copied; 9 clips"
    assert (
        disqualified({"insufficient": "7 prompts"}, {"insufficient": "a"})["insufficient"] == "a; 7 prompts"
    )


def test_features_far_from_0_that_vary_do_vary() -> None:
    made = results(fvd(), model=clips("model", rows(40, 0, 1e5)), real=clips("real", rows(60, 1, 1e5)))
    assert "unvarying_features" not in made["distance"].detail
