from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.tiny_vjepa import TINY, save_vjepa
from vgaudit.errors import UsageError
from vgaudit.extractors.base import Features
from vgaudit.gates import GateSpec, evaluate
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.estimators import kernel_interval
from vgaudit.metrics.frechet import Statistics
from vgaudit.metrics.jedi import Jedi, JediOptions
from vgaudit.metrics.jedi_estimate import jedi_distance, jedi_floor, jedi_interval
from vgaudit.plan import Sample
from vgaudit.records import Outcome, Result
from vgaudit.testing import check_metric, example_clips
from vgaudit.video import ClipInfo
from vgaudit.zoo import vjepa
from vgaudit.zoo.vjepa import network_digest

D = 6
NETWORK = network_digest("1" * 64, "2" * 64, True)
FACTS = {
    "weights": "a + b", "weights_sha256": NETWORK, "encoder_sha256": "1" * 64, "probe_sha256": "2" * 64,
    "licence": "CC-BY-NC-4.0", "protocol": "jedi@videojedi",
}  # fmt: skip
DIGESTS = {"sha256": "1" * 64, "probe_sha256": "2" * 64}


def clips(
    group: str,
    n: int,
    seed: int,
    codec: str = "h264",
    short: int = 0,
    per_prompt: int = 1,
    shift: float = 0.0,
    prompts: str = "",
) -> list[Measured]:
    rng = np.random.default_rng(seed)
    metric = Jedi(JediOptions(reference={"group": "real"}), MetricContext())
    out = []
    for i in range(n):
        row = rng.normal(size=(0 if i < short else 1, D)).astype(np.float32) + np.float32(shift)
        arrays = {"embedding": row, "window_start": np.zeros(len(row), dtype=np.int64)}
        features = {"video": Features(arrays, FACTS)}
        sample = Sample(f"{group}-{i:03}", f"{prompts or group}{i // per_prompt:03}", "", group)
        info = ClipInfo("c.mp4", 64, 48, 10.0, 16, 1.6, codec, "mp4", "yuv420p")
        measurement = metric.measure(ClipView(sample, info, f"{seed:032}{i:032}", features))
        assert not measurement.values
        out.append(Measured(sample, measurement, features))
    return out


def against(reference: Any, base_dir: Path | None = None, **options: Any) -> Jedi:
    return Jedi(JediOptions(reference=reference, **options), MetricContext(base_dir or Path()))


def result(metric: Jedi, groups: dict[str, list[Measured]], group: str = "model") -> Result:
    planned = [m.sample for m in groups[group]]
    (made,) = metric.summarize(groups[group], SummaryContext(group, planned, groups))
    return made


def rows(measured: list[Measured]) -> np.ndarray:
    return np.stack([m.features["video"]["embedding"][0] for m in measured]).astype(float)


def test_distance_to_another_group() -> None:
    groups = {"real": clips("real", 60, 0), "model": clips("model", 20, 1, shift=1.0)}
    made = result(against({"group": "real"}), groups)
    x, y = rows(groups["model"]), rows(groups["real"])
    kernel = [float(np.mean((a @ b.T / D) ** 2)) for a, b in ((x, x), (y, y), (x, y))]
    assert made.value == pytest.approx(100 * (kernel[0] + kernel[1] - 2 * kernel[2]))
    expected = jedi_interval(
        x, y, clusters=list(map(str, range(20))), reference_clusters=list(map(str, range(60)))
    )
    assert (made.low, made.high, made.confidence) == (expected.low, expected.high, 0.95)
    assert (made.n, made.n_clusters, made.detail["n_reference"]) == (20, 20, 60)
    d = made.detail
    assert d["interval_target"] == "expected value at these numbers of clips, not the populations' distance"
    assert (d["protocol"], d["weights_sha256"], d["licence"]) == ("jedi@videojedi", NETWORK, "CC-BY-NC-4.0")
    assert (d["encoder_sha256"], d["probe_sha256"], d["published_network"]) == ("1" * 64, "2" * 64, None)
    assert "nearest" in d["resize"]
    assert "through its output projection" in d["features"]
    assert (d["floor"]["status"], d["floor"]["n"], d["floor"]["n_reference"]) == ("computed", 20, 40)
    assert "floor_of_prompts" not in d
    plain = kernel_interval(x, y, degree=2, coef0=0.0)
    assert d["unbiased"]["value"] == pytest.approx(100 * plain.value)
    assert d["unbiased"]["high"] == pytest.approx(100 * plain.high)  # type: ignore[operator]
    assert d["unbiased"]["value"] < made.value  # type: ignore[operator]
    assert d["permutation_test"] == {
        "status": "computed", "p": 1 / 1000, "permutations": 999, "least": 1 / 1000, "clips_a_prompt": 1,
    }  # fmt: skip
    assert "n is 20 against 60" in made.reason
    assert "whether this is the published network is not known" in made.reason
    assert "codec" not in made.reason


def test_prompts_on_both_sides_are_left_out_across_them() -> None:
    real = clips("real", 40, 0, per_prompt=2, prompts="p")
    groups = {"real": real, "model": clips("model", 40, 1, per_prompt=2, prompts="p", shift=1.0)}
    whole = result(against({"group": "real"}), groups)
    made = whole.detail
    assert made["shared_prompts"] == 20
    assert (
        "20 prompts have the same prompt id on both sides; the interval takes the two sides for independent"
        in whole.reason
    )
    assert whole.detail["floor"]["status"] == "not computed"
    more = {**groups, "real": [*real, *clips("more", 60, 2)]}
    assert (
        "20 prompts have the same prompt id on both sides: the floor is of other prompts; of the same ones it may "
        "lie lower; the interval takes" in result(against({"group": "real"}), more).reason
    )
    names = [m.sample.prompt_id for m in real]
    plain = kernel_interval(
        rows(groups["model"]), rows(real), degree=2, coef0=0.0, clusters=names, other_clusters=names
    )
    assert made["unbiased"]["value"] == pytest.approx(100 * plain.value)
    assert made["unbiased"]["low"] == pytest.approx(100 * plain.low)
    assert (made["unbiased"]["shared_prompts"], made["permutation_test"]["shared_prompts"]) == (20, 20)
    assert made["permutation_test"]["status"] == "computed"
    assert (made["permutation_test"]["clips_a_prompt"], "reason" in made["permutation_test"]) == (2, False)
    uneven = {**groups, "model": clips("model", 20, 1, prompts="p")}
    made = result(against({"group": "real"}), uneven).detail
    assert made["unbiased"]["status"] == "computed"
    assert made["permutation_test"]["status"] == "computed"
    assert made["permutation_test"]["clips_a_prompt"] == 1
    assert (
        "1 clip a prompt, chosen at random: 20 of 20 clips of the group and 20 of 40 of the reference"
        in (made["permutation_test"]["reason"])
    )


def test_sets_of_one_population_are_not_told_apart() -> None:
    groups = {"real": clips("real", 60, 0), "model": clips("model", 20, 1)}
    made = result(against({"group": "real"}), groups)
    assert made.detail["permutation_test"]["p"] > 0.05
    assert made.detail["unbiased"]["low"] < 0 < made.detail["unbiased"]["high"]


def test_clips_of_a_prompt_have_two_floors() -> None:
    groups = {"real": clips("real", 90, 0), "model": clips("model", 40, 1, per_prompt=2)}
    made = result(against({"group": "real"}), groups)
    assert (made.n, made.n_clusters) == (40, 20)
    few, many = made.detail["floor_of_prompts"], made.detail["floor"]
    assert (few["n"], many["n"]) == (20, 40)
    assert few["value"] > many["value"]
    assert "40 clips of 20 prompts" in made.detail["floor_reading"]


def test_order_of_clips_moves_no_digit() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 20, 1)}
    turned = {name: measured[::-1] for name, measured in groups.items()}
    metric = against({"group": "real"})
    assert result(metric, groups).to_json() == result(metric, turned).to_json()


def test_list_of_clips_is_known_by_their_digests() -> None:
    metric, real, model = against({"group": "real"}), clips("real", 40, 0), clips("model", 20, 1)
    renamed = [replace(m, sample=replace(m.sample, sample_id=f"x-{i}")) for i, m in enumerate(model[::-1])]
    ours = result(metric, {"real": real, "model": model}).detail["list_sha256"]
    assert result(metric, {"real": real, "model": renamed}).detail["list_sha256"] == ours
    assert result(metric, {"real": real, "model": clips("model", 20, 2)}).detail["list_sha256"] != ours


def test_the_reference_itself_is_not_applicable() -> None:
    made = result(against({"group": "real"}), {"real": clips("real", 20, 0)}, "real")
    assert (made.status, made.reason) == ("not applicable", "this group is the reference")


def test_a_reference_group_that_is_not_there() -> None:
    made = result(against({"group": "real"}), {"reel": clips("reel", 20, 0), "model": clips("model", 20, 1)})
    assert made.status == "not computed"
    assert "no group 'real'" in made.reason
    assert "did you mean 'reel'?" in made.reason


@pytest.mark.parametrize(
    ("n", "n_real", "text"), [(15, 20, "15 usable clips"), (20, 15, "'real' has 15 usable clips")]
)
def test_too_few_clips(n: int, n_real: int, text: str) -> None:
    made = result(
        against({"group": "real"}), {"real": clips("real", n_real, 0), "model": clips("model", n, 1)}
    )
    assert (made.status, made.value) == ("not computed", None)
    assert text in made.reason


def test_short_clips_and_broken_features_are_left_out_and_counted() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 24, 1, short=3)}
    groups["model"][-1].features["video"].arrays["embedding"][0, 0] = np.nan
    made = result(against({"group": "real"}), groups)
    assert (made.n, made.detail["n_missing"]) == (20, 4)
    assert "4 of 24 clips left out: features are not finite; shorter than 16 frames" in made.reason
    groups["model"] = clips("model", 20, 1, short=20)
    assert result(against({"group": "real"}), groups).status == "not computed"


def test_reference_clips_that_never_reached_it_count_as_missing() -> None:
    real = clips("real", 40, 0, short=1)
    groups = {"real": real[:-3], "model": clips("model", 20, 1)}
    lost = {"real": [(m.sample, "RuntimeError: out of memory") for m in real[-3:]]}
    planned = [m.sample for m in groups["model"]]
    context = SummaryContext("model", planned, groups, unmeasured=lost)
    (made,) = against({"group": "real"}).summarize(groups["model"], context)
    assert (made.detail["reference_left_out"], made.detail["n_missing"], made.detail["n_reference"]) == (
        4,
        4,
        36,
    )
    assert "4 clips of the reference left out: RuntimeError: out of memory; shorter than" in made.reason
    assert "reference_failed_samples" not in made.detail
    failed = {"real": [m.sample for m in real[:2]]}
    (made,) = against({"group": "real"}).summarize(groups["model"], replace(context, failed=failed))
    assert (made.detail["reference_failed_samples"], made.detail["n_missing"]) == (2, 4)
    assert "2 samples of the reference failed: no clip, or none that decodes" in made.reason


WORDS = "the smoke test only has seven prompts"


@pytest.mark.parametrize("few", ["group", "reference"])
def test_of_few_prompts_gates_take_no_distance_unless_the_suite_says_why(few: str) -> None:
    """Sixteen clips of as many prompts have an interval that covers; of seven prompts there is none."""
    gates = [
        GateSpec(metric="jedi.distance", max=1e9),
        GateSpec(metric="jedi.distance", max=1e9, on="estimate"),
    ]

    def held(made: Result) -> list[Outcome]:
        return [answer.outcome for answer in evaluate(gates, [made], ["model"])]

    least = result(against({"group": "real"}), {"real": clips("real", 16, 0), "model": clips("model", 16, 1)})
    assert held(least) == [Outcome.PASSED, Outcome.PASSED]
    groups = {
        "real": clips("real", 28, 0, per_prompt=4 if few == "reference" else 1),
        "model": clips("model", 28, 1, per_prompt=4 if few == "group" else 1),
    }
    made = result(against({"group": "real"}), groups)
    assert made.value is not None
    assert held(made) == [Outcome.NOT_COMPUTED, Outcome.NOT_COMPUTED]
    assert made.detail["insufficient"].startswith("7 independent prompts on a side; expected 8 or more")
    assert "`accept_small_n` of jedi says why" in made.detail["insufficient"]
    accepted = result(against({"group": "real"}, accept_small_n=WORDS), groups)
    assert "insufficient" not in accepted.detail
    assert (accepted.value, accepted.detail["accepted_small_n"]) == (made.value, WORDS)
    assert f"few prompts, accepted by the suite: {WORDS}; 7 independent prompts" in accepted.reason
    assert held(accepted) == [Outcome.NOT_COMPUTED, Outcome.PASSED]  # there is no interval to hold
    with pytest.raises(ValidationError, match="expected a reason of 5 different words"):
        against({"group": "real"}, accept_small_n="yes")


def test_different_codecs_are_said() -> None:
    groups = {"real": clips("real", 40, 0, codec="vp9"), "model": clips("model", 20, 1)}
    assert "codecs differ (h264 against vp9)" in result(against({"group": "real"}), groups).reason


def stored(path: Path, with_features: bool = True, **change: Any) -> np.ndarray:
    x = np.random.default_rng(5).normal(size=(80, D))
    arrays: dict[str, Any] = {
        "num_clips": np.int64(80), "mean": x.mean(0), "cov": np.cov(x.T), "weights_sha256": NETWORK,
        **({"features": x} if with_features else {}), **change,
    }  # fmt: skip
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return x


def test_stored_features(tmp_path: Path) -> None:
    y = stored(tmp_path / "real.npz")
    metric, model = against("real.npz", tmp_path, **DIGESTS), clips("model", 20, 1)
    made = result(metric, {"model": model})
    assert made.value == pytest.approx(jedi_distance(rows(model), y))
    assert made.detail["reference_sha256"] == metric.identity()["reference_sha256"]
    assert made.detail["interval_target"].endswith("the reference set taken as it is")
    assert made.high == pytest.approx(jedi_interval(rows(model), y).high)
    assert made.detail["floor"]["n_reference"] == 60
    floor = [made.detail["floor"]["least"], made.detail["floor"]["most"]]
    seeds = [jedi_floor(y, 20, s) for s in range(3)]
    assert (
        min(min(f.values) for f in seeds) / 3 < floor[0] <= floor[1] < 3 * max(max(f.values) for f in seeds)
    )
    assert made.detail["permutation_test"]["status"] == "computed"


def test_stored_moments_give_the_same_number_but_no_floor_and_no_test(tmp_path: Path) -> None:
    y = stored(tmp_path / "real.npz", with_features=False)
    model = clips("model", 20, 1)
    made = result(against("real.npz", tmp_path, **DIGESTS), {"model": model})
    assert made.value == pytest.approx(jedi_distance(rows(model), y), rel=1e-9)
    expected = jedi_interval(rows(model), Statistics(80, y.mean(0), np.cov(y.T, ddof=0)))
    assert (made.low, made.high) == pytest.approx((expected.low, expected.high))
    for key in ("floor", "unbiased", "permutation_test"):
        assert made.detail[key] == {
            "status": "not computed", "reason": "the reference is stored moments, without features",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"weights_sha256": None}, {}, "does not say which network made it; add `weights_sha256`"),
        ({"weights_sha256": "3" * 64}, {}, "made by the network 333333333333"),
        ({}, {"protocol": "jedi@vjepa"}, "by jedi@vjepa is .* do not compare"),
        ({}, {"probe_sha256": "4" * 64}, "do not compare"),
        ({"mean": None}, {}, "jedi.reference: .*no array 'mean'"),
        ({"features": np.zeros((3, D))}, {}, "jedi.reference: .*features have shape"),
    ],
)
def test_references_that_do_not_compare(tmp_path: Path, change: Any, options: Any, text: str) -> None:
    stored(tmp_path / "real.npz", **change)
    with pytest.raises(UsageError, match=text):
        against("real.npz", tmp_path, **{**DIGESTS, **options}).identity()


def test_a_file_of_few_clips_or_another_width(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(9, D))
    np.savez(tmp_path / "few.npz", num_clips=9, mean=x.mean(0), cov=np.cov(x.T), weights_sha256=NETWORK)
    model = {"model": clips("model", 20, 1)}
    assert "is of 9 clips" in result(against("few.npz", tmp_path, **DIGESTS), model).reason
    x = np.random.default_rng(0).normal(size=(90, D + 1))
    np.savez(tmp_path / "wide.npz", num_clips=90, mean=x.mean(0), cov=np.cov(x.T), weights_sha256=NETWORK)
    made = result(against("wide.npz", tmp_path, **DIGESTS), model)
    assert made.status == "not computed"
    assert "features have 6 dimensions, the reference 7" in made.reason
    with pytest.raises(UsageError, match=r"jedi\.reference: no file at"):
        against("absent.npz", tmp_path).identity()


def test_options() -> None:
    with pytest.raises(ValidationError, match="reference"):
        JediOptions()
    with pytest.raises(ValidationError, match="protocol"):
        JediOptions(reference={"group": "real"}, protocol="fvd@styleganv")
    with pytest.raises(ValidationError, match="sha256"):
        JediOptions(reference={"group": "real"}, sha256="abc")


def test_promises_of_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vjepa, "VITH16", TINY)
    options = {"reference": {"group": "other"}, **save_vjepa(tmp_path)}
    options |= {"weights": "vith16.pth.tar", "probe": "ssv2-probe.pth.tar"}
    check_metric(Jedi, options, base_dir=tmp_path, clips=example_clips(18, frames=18, height=32, width=48))


def held(made: Result) -> Outcome:
    return evaluate([GateSpec(metric="jedi.distance", max=1e9, on="estimate")], [made], ["model"])[0].outcome


def test_gates_take_nothing_of_clips_that_are_on_both_sides() -> None:
    real = clips("real", 60, 0)
    metric = against({"group": "real"})
    apart = result(metric, {"real": real, "model": clips("model", 20, 1)})
    assert (apart.detail["same_clips"], apart.detail["copied_clips"], held(apart)) == (0, 0, Outcome.PASSED)
    model = [*clips("model", 18, 1), *(replace(m, sample=replace(m.sample, group="model")) for m in real[:2])]
    made = result(metric, {"real": real, "model": model})
    assert made.value is not None
    assert (made.detail["same_clips"], held(made)) == (2, Outcome.NOT_COMPUTED)
    assert "2 of 20 clips are on the reference side too, byte for byte" in made.reason


@pytest.mark.parametrize("still", ["model", "real"])
def test_gates_take_nothing_of_features_that_do_not_vary(still: str) -> None:
    groups = {"real": clips("real", 60, 0), "model": clips("model", 20, 1)}
    same = Features({"embedding": np.full((1, D), 0.3), "window_start": np.zeros(1, np.int64)}, FACTS)
    groups[still] = [replace(m, features={"video": same}) for m in groups[still]]
    made = result(against({"group": "real"}), groups)
    assert made.value is not None
    assert held(made) is Outcome.NOT_COMPUTED
    assert made.detail["unvarying_features"] == ["group" if still == "model" else "reference"]
    assert made.reason.startswith(
        f"the features of the {'group' if still == 'model' else 'reference'} do not vary"
    )


def test_what_is_wrong_is_said_first_and_accepted_by_no_words() -> None:
    """Clips on both sides, features that do not vary, seven prompts: in this order, whatever the suite accepts."""
    real = clips("real", 60, 0)
    same = Features({"embedding": np.full((1, D), 0.3), "window_start": np.zeros(1, np.int64)}, FACTS)
    model = [replace(m, features={"video": same}) for m in clips("model", 28, 1, per_prompt=4)]
    model[0] = replace(model[0], measurement=real[0].measurement)
    for words in ({}, {"accept_small_n": WORDS}):
        made = result(against({"group": "real"}, **words), {"real": real, "model": model})
        first, second, third = made.detail["insufficient"].split("; the ")[0], "the features", "7 independent"
        assert first.startswith("1 of 28 clips are on the reference side too, byte for byte")
        for text in (made.detail["insufficient"], made.reason):
            assert 0 == text.index("1 of 28 clips are") < text.index(second) < text.index(third)
            assert "accept" not in text
        assert made.detail["small_n"] == "7 independent prompts on a side; expected 8 or more"
        assert "accepted_small_n" not in made.detail
        assert held(made) is Outcome.NOT_COMPUTED


@pytest.mark.parametrize("says", [True, False])
def test_a_file_that_names_its_clips_knows_them_again(says: bool, tmp_path: Path) -> None:
    model = clips("model", 20, 1)
    own = [str(m.measurement.facts["clip_sha256"]) for m in [*model[:2], *clips("real", 78, 0)]]
    digests = np.frombuffer(bytes.fromhex("".join(own)), np.uint8).reshape(80, 32)
    stored(tmp_path / "real.npz", clip_sha256=digests if says else None)
    made = result(against("real.npz", tmp_path, **DIGESTS), {"model": model})
    assert made.detail["same_clips"] == (2 if says else "unknown")
    assert held(made) is (Outcome.NOT_COMPUTED if says else Outcome.PASSED)
    assert ("2 of 20 clips are on the reference side too" in made.reason) is says
