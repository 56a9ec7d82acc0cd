from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.tiny_i3d import save_tiny_i3d
from vgaudit.errors import UsageError
from vgaudit.extractors.base import Features
from vgaudit.gates import GateSpec, evaluate
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.frechet import frechet_distance_from_features
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.plan import Sample
from vgaudit.records import Outcome, Result
from vgaudit.testing import check_metric, example_clips
from vgaudit.video import ClipInfo
from vgaudit.zoo.catalogue import WEIGHTS

I3D_SHA = WEIGHTS["i3d-kinetics400-styleganv"].sha256
D = 6


def clips(group: str, n: int, seed: int, codec: str = "h264", short: int = 0) -> list[Measured]:
    rng = np.random.default_rng(seed)
    metric = Fvd(FvdOptions(reference={"group": "real"}), MetricContext())
    out = []
    for i in range(n):
        rows = rng.normal(size=(0 if i < short else 2, D)).astype(np.float32)
        features = {
            "video": Features(
                {"embedding": rows, "window_start": np.arange(len(rows))}, {"weights_sha256": I3D_SHA}
            )
        }
        sample = Sample(f"{group}-{i:03}", f"p{i:03}", "", group)
        info = ClipInfo("c.mp4", 64, 48, 10.0, 16, 1.6, codec, "mp4", "yuv420p")
        measurement = metric.measure(ClipView(sample, info, f"{seed:032}{i:032}", features))
        assert not measurement.values
        out.append(Measured(sample, measurement, features))
    return out


def result(metric: Fvd, group: str, groups: dict[str, list[Measured]]) -> Result:
    planned = [m.sample for m in groups[group]]
    made = metric.summarize(groups[group], SummaryContext(group, planned, groups))
    assert [r.name for r in made] == [f"fvd.{spec.name}" for spec in metric.values]
    return made[0]


def against(reference: Any, base_dir: Path | None = None, **options: Any) -> Fvd:
    return Fvd(FvdOptions(reference=reference, **options), MetricContext(base_dir or Path()))


def rows(measured: list[Measured], row: int) -> np.ndarray:
    return np.stack([m.features["video"]["embedding"][row] for m in measured])


def test_the_list_of_clips_is_known_by_their_own_digests_whatever_they_are_called() -> None:
    metric, real = against({"group": "real"}), clips("real", 40, 0)

    def lists(model: list[Measured], real: list[Measured]) -> tuple[str, str]:
        detail = result(metric, "model", {"real": real, "model": model}).detail
        return detail["list_sha256"], detail["reference_list_sha256"]

    model = clips("model", 20, 1)
    renamed = [replace(m, sample=replace(m.sample, sample_id=f"x-{i}")) for i, m in enumerate(model[::-1])]
    ours, theirs = lists(model, real)
    assert lists(renamed, real) == (ours, theirs)
    assert lists(clips("model", 20, 2), real)[0] != ours
    assert lists(model[:-1], real) != (ours, theirs)
    moved = [Features({**m.features["video"].arrays, "window_start": np.array([0, 7])}, {}) for m in real]
    shifted = [replace(m, features={"video": video}) for m, video in zip(real, moved, strict=True)]
    assert lists(model, shifted)[0] == ours
    assert lists(model, shifted)[1] != theirs


def test_distance_to_another_group() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 20, 1)}
    made = result(against({"group": "real"}), "model", groups)
    assert made.value == pytest.approx(
        frechet_distance_from_features(rows(groups["model"], 0), rows(groups["real"], 1), ddof=0)
    )
    assert made.low is not None
    assert made.low <= made.value <= made.high  # type: ignore[operator]
    assert (made.n, made.n_clusters) == (20, 20)
    assert made.detail["n_reference"] == 40
    assert made.detail["protocol"] == "fvd@styleganv"
    assert made.detail["published_network"] is True
    assert "expected distance at this n" in made.detail["interval_target"]
    assert made.detail["floor"]["status"] == "computed"
    assert made.detail["floor"]["n"] == 20
    assert "compares only with the same numbers" in made.reason
    assert "codec" not in made.reason


def test_order_of_clips_moves_no_digit() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 20, 1)}
    turned = {name: measured[::-1] for name, measured in groups.items()}
    metric = against({"group": "real"})
    assert result(metric, "model", groups).to_json() == result(metric, "model", turned).to_json()


def test_the_reference_itself_is_not_applicable() -> None:
    groups = {"real": clips("real", 20, 0)}
    made = result(against({"group": "real"}), "real", groups)
    assert made.status == "not applicable"
    assert made.reason == "this group is the reference"


def test_a_reference_group_that_is_not_there() -> None:
    groups = {"reel": clips("reel", 20, 0), "model": clips("model", 20, 1)}
    made = result(against({"group": "real"}), "model", groups)
    assert made.status == "not computed"
    assert "no group 'real'" in made.reason
    assert "did you mean 'reel'?" in made.reason


@pytest.mark.parametrize(
    ("n", "n_real", "text"), [(15, 20, "15 usable clips"), (20, 15, "'real' has 15 usable clips")]
)
def test_too_few_clips(n: int, n_real: int, text: str) -> None:
    groups = {"real": clips("real", n_real, 0), "model": clips("model", n, 1)}
    made = result(against({"group": "real"}), "model", groups)
    assert made.status == "not computed"
    assert text in made.reason


def test_short_clips_are_left_out_and_counted() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 20, 1, short=3)}
    made = result(against({"group": "real"}), "model", groups)
    assert made.n == 17
    assert made.detail["n_missing"] == 3
    assert "3 of 20 clips left out: shorter than 16 frames" in made.reason
    groups["model"] = clips("model", 20, 1, short=20)
    none = result(against({"group": "real"}), "model", groups)
    assert none.status == "not computed"
    assert "shorter than 16 frames" in none.reason


@pytest.mark.parametrize("short", [0, 2])
def test_reference_clips_that_never_reached_it_count_as_missing(short: int) -> None:
    """An extractor broke on them: without a word the reference would shrink, and gates pass on what is left."""
    real = clips("real", 40, 0, short=short)
    groups = {"real": real[:-3], "model": clips("model", 20, 1)}
    lost = [(m.sample, "RuntimeError: out of memory") for m in real[-3:]]
    metric = against({"group": "real"})
    planned = [m.sample for m in groups["model"]]
    context = SummaryContext("model", planned, groups, unmeasured={"real": lost, "model": []})
    made = metric.summarize(groups["model"], context)[0]
    assert made.value is not None
    assert (made.detail["n_reference"], made.detail["reference_left_out"]) == (37 - short, 3 + short)
    assert made.detail["n_missing"] == 3 + short
    assert made.detail["reference_missing"]["RuntimeError: out of memory"] == 3
    assert f"{3 + short} clips of the reference left out: RuntimeError: out of memory" in made.reason
    (held,) = evaluate([GateSpec(metric="fvd.distance", max=1e9)], [made], ["model"])
    assert held.outcome is Outcome.NOT_COMPUTED
    whole = replace(context, unmeasured={"real": [], "model": lost})
    assert metric.summarize(groups["model"], whole)[0].detail["reference_left_out"] == short


def test_a_slice_counts_the_lost_reference_clips_of_its_tag() -> None:
    def tagged(group: str, seed: int) -> list[Measured]:
        return [
            replace(m, sample=replace(m.sample, tags={"look": "film" if i % 2 else "ad"}))
            for i, m in enumerate(clips(group, 80, seed))
        ]

    real, model = tagged("real", 0), tagged("model", 1)
    lost = [(m.sample, "RuntimeError: broke") for m in real[:5]]  # three of `ad`, two of `film`
    metric = against({"group": "real"})
    for look, count in (("ad", 3), ("film", 2)):
        mine = [m for m in model if m.sample.tags["look"] == look]
        context = SummaryContext(
            "model", [m.sample for m in mine], {"real": real[5:], "model": model},
            tag=("look", look), unmeasured={"real": lost},
        )  # fmt: skip
        made = metric.summarize(mine, context)[0]
        assert (made.detail["reference_left_out"], made.detail["n_missing"]) == (count, count)


@pytest.mark.parametrize("how", ["broke", "failed", "both"])
def test_a_slice_whose_reference_clips_are_all_lost_is_not_held_against_others(how: str) -> None:
    def tagged(group: str, seed: int) -> list[Measured]:
        return [
            replace(m, sample=replace(m.sample, tags={"look": "film" if i % 2 else "ad"}))
            for i, m in enumerate(clips(group, 80, seed))
        ]

    real, model = tagged("real", 0), tagged("model", 1)
    lost = [m.sample for m in real[::2]]
    broke = {"broke": lost, "failed": [], "both": lost[:10]}[how]
    mine = [m for m in model if m.sample.tags["look"] == "ad"]
    context = SummaryContext(
        "model", [m.sample for m in mine], {"real": real[1::2], "model": model}, tag=("look", "ad"),
        unmeasured={"real": [(s, "RuntimeError: out of memory") for s in broke]},
        failed={"real": [s for s in lost if s not in broke]},
    )  # fmt: skip
    made = against({"group": "real"}).summarize(mine, context)[0]
    assert (made.value, made.status) == (None, "not computed")
    why = {"broke": "RuntimeError: out of memory", "failed": "no clip, or none that decodes"}
    expected = why.get(how, "; ".join(why.values()))
    assert made.reason == f"all reference clips of look=ad broke: {expected}"
    other = replace(context, tag=("mood", "calm"))  # that no sample of the reference has
    made = against({"group": "real"}).summarize(mine, other)[0]
    assert "held against the whole reference, which has no mood=calm" in made.reason


@pytest.mark.parametrize("tag", [None, ("look", "ad")])
def test_failed_samples_of_the_reference_are_said_and_left_to_max_failed(
    tag: tuple[str, str] | None,
) -> None:
    """As those of the group are: no gate counts them as missing."""
    real = [
        replace(m, sample=replace(m.sample, tags={"look": "film" if i >= 40 else "ad"}))
        for i, m in enumerate(clips("real", 80, 0))
    ]
    model = clips("model", 40, 1)
    failed = [m.sample for m in [*real[:3], *real[75:]]]  # three of `ad`, five of `film`
    groups = {"real": real[3:75], "model": model}
    context = SummaryContext("model", [m.sample for m in model], groups, tag=tag, failed={"real": failed})
    made = against({"group": "real"}).summarize(model, context)[0]
    count = 8 if tag is None else 3
    assert made.detail["reference_failed_samples"] == count
    assert f"{count} samples of the reference failed: no clip, or none that decodes" in made.reason
    assert (made.detail.get("n_missing", 0), made.detail["reference_left_out"]) == (0, 0)
    (held,) = evaluate([GateSpec(metric="fvd.distance", max=1e9)], [made], ["model"])
    assert held.outcome is Outcome.PASSED
    whole = replace(context, failed={"model": failed})
    assert "reference_failed_samples" not in against({"group": "real"}).summarize(model, whole)[0].detail


@pytest.mark.parametrize(("copies", "said"), [(1, False), (150, True)])
def test_a_reference_of_copies_is_taken_and_said(tmp_path: Path, copies: int, said: bool) -> None:
    """Copies lower the rank of a right covariance, so its rank is no ground to refuse it."""
    x = np.repeat(np.random.default_rng(5).normal(size=(300 // copies, D)), copies, axis=0)
    path = write_statistics(tmp_path / "r.npz", mean=x.mean(0), cov_biased=np.cov(x.T, ddof=0))
    made = result(against(str(path)), "model", {"model": clips("model", 20, 1)})
    assert made.value is not None
    assert ("fills 1 dimensions where 300 clips with 6 features could fill 6" in made.reason) is said


def test_different_codecs_are_said() -> None:
    groups = {"real": clips("real", 40, 0, codec="vp9"), "model": clips("model", 20, 1)}
    made = result(against({"group": "real"}), "model", groups)
    assert "codecs differ (h264 against vp9)" in made.reason


def write_statistics(path: Path, **change: Any) -> Path:
    x = np.random.default_rng(5).normal(size=(300, D))
    arrays = {"num_clips": np.int64(300), "mean": x.mean(0), "cov_biased": np.cov(x.T, ddof=0)}
    arrays.update({k: v for k, v in change.items() if v is not None})
    for key in [k for k, v in change.items() if v is None]:
        del arrays[key]
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)
    else:
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_stored_statistics(tmp_path: Path, suffix: str) -> None:
    write_statistics(tmp_path / f"real{suffix}")
    metric = against(f"real{suffix}", tmp_path)
    assert len(metric.identity()["reference_sha256"]) == 64
    groups = {"model": clips("model", 20, 1)}
    made = result(metric, "model", groups)
    real = np.random.default_rng(5).normal(size=(300, D))
    expected = frechet_distance_from_features(rows(groups["model"], 0), real, ddof=0)
    assert made.value == pytest.approx(expected, rel=1e-9)
    assert made.detail["floor"]["status"] == "not computed"
    assert made.detail["reference_codecs"] == "unknown"
    assert made.detail["reference_sha256"] == metric.identity()["reference_sha256"]
    assert made.low is not None


def test_unbiased_covariance_is_converted(tmp_path: Path) -> None:
    real = np.random.default_rng(5).normal(size=(300, D))
    write_statistics(tmp_path / "a.npz")
    write_statistics(tmp_path / "b.npz", cov_biased=None, cov=np.cov(real.T, ddof=1))
    groups = {"model": clips("model", 20, 1)}
    a, b = (result(against(name, tmp_path), "model", groups).value for name in ("a.npz", "b.npz"))
    assert a == pytest.approx(b, rel=1e-12)


def test_published_statistics_need_the_same_network(shared_data: Path) -> None:
    metric = against(str(shared_data / "i3d_stats" / "ucf101_2048_res128_len16.npz"))
    made = result(metric, "model", {"model": clips("model", 20, 1)})
    assert made.status == "not computed"
    assert f"{D} dimensions, the reference 400" in made.reason


class Mine:
    """Something a pickle could bring to life."""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mean": None}, "no array 'mean'"),
        ({"cov_biased": None}, "no array 'cov'"),
        ({"num_clips": np.int64(1)}, "num_clips is 1"),
        ({"num_clips": np.int64(0)}, "num_clips is 0"),
        ({"num_clips": np.int64(-5)}, "num_clips is -5"),
        ({"num_clips": np.inf}, "num_clips is inf"),
        ({"num_clips": np.nan}, "num_clips is nan"),
        ({"num_clips": 300.5}, "num_clips is 300.5"),
        ({"num_clips": 1e300}, "num_clips is 1e\\+300"),
        ({"num_clips": "many"}, "could not convert"),
        ({"num_clips": np.array([300, 300])}, "reshape"),
        ({"mean": np.full(D, np.nan)}, "finite"),
        ({"cov_biased": np.eye(D + 1)}, "expected"),
        ({"cov_biased": -np.eye(D)}, "negative eigenvalue"),
        ({"mean": np.array([Mine()], dtype=object)}, "pickle"),
    ],
)
def test_statistics_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write_statistics(tmp_path / "real.npz", **change)
    with pytest.raises(UsageError, match=text):
        against("real.npz", tmp_path).identity()


def test_statistics_that_are_no_file_or_a_bomb(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file at"):
        against("absent.npz", tmp_path).identity()
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UsageError, match="cannot be used"):
        against("text.npz", tmp_path).identity()
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UsageError, match="cannot be used"):
        against("text.safetensors", tmp_path).identity()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 26,)}
    )
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("mean.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(512):
            member.write(bytes(1 << 20))
    assert (tmp_path / "bomb.npz").stat().st_size < 1 << 20
    with pytest.raises(UsageError, match="unpacks to more"):
        against("bomb.npz", tmp_path).identity()


@pytest.mark.parametrize("protocol", ["fvd@cd-videomae-b", "fvd@styleganvv", 3])
def test_only_implemented_protocols(protocol: object) -> None:
    with pytest.raises(ValidationError, match=r"is not implemented; implemented: fvd@styleganv"):
        FvdOptions(reference={"group": "real"}, protocol=protocol)


def test_a_reference_must_be_named() -> None:
    with pytest.raises(ValidationError, match="reference"):
        FvdOptions()


def test_stand_in_network_is_never_called_the_published_one() -> None:
    groups = {"real": clips("real", 40, 0), "model": clips("model", 20, 1)}
    for measured in groups["model"]:
        measured.measurement.facts["weights_sha256"] = "0" * 64  # type: ignore[index]
    made = result(against({"group": "real"}), "model", groups)
    assert made.detail["published_network"] is False
    assert "not the published I3D weights" in made.reason


def test_promises_of_a_metric(tmp_path: Path) -> None:
    sha256 = save_tiny_i3d(tmp_path / "tiny_i3d.pt")
    options = {"reference": {"group": "other"}, "weights": "tiny_i3d.pt", "sha256": sha256}
    check_metric(Fvd, options, base_dir=tmp_path, clips=example_clips(18, frames=18, height=32, width=48))
