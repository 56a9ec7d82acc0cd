"""``fvd@storyworld``: its own network, windows, covariance and reference, and the clips it does not judge."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from tests.tiny_bundled import VIDEO_WIDTH, install
from vgaudit.errors import UsageError
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.metrics import fvd_reference
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.domain_guard import NOT_DECLARED
from vgaudit.metrics.frechet import frechet_distance_from_features, reference_floor
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.metrics.fvd_reference import differing_video
from vgaudit.plan import Sample
from vgaudit.records import Result
from vgaudit.testing import check_metric, example_clips
from vgaudit.video import ClipInfo
from vgaudit.zoo.catalogue import BUNDLED_VIDEO, WEIGHTS

INFO = ClipInfo("c.mp4", 64, 48, 10.0, 16, 1.6, "h264", "mp4", "yuv420p")


@pytest.fixture(autouse=True)
def bundled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "fvd_storyworld"
    return install(folder, monkeypatch)


def vectors(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, VIDEO_WIDTH)).astype(np.float32)


def clips(
    metric: Fvd, group: str, rows: np.ndarray, domain: str = "storyworld", outside: int = 0
) -> list[Measured]:
    """Measured clips; of the first ``outside`` the guard says that they are not the storyworld's."""
    network = {"weights": BUNDLED_VIDEO, "weights_sha256": WEIGHTS[BUNDLED_VIDEO].sha256, "bundled": True}
    out = []
    for i, row in enumerate(rows):
        logit = np.full(4, -5.0 if i < outside else 5.0, np.float32)
        features = {
            "video": Features({"embedding": row[None], "window_start": np.zeros(1, int)}, network),
            "domain": Features({"logit": logit, "frame_index": 4 * np.arange(len(logit))}),
        }
        sample = Sample(f"{group}-{i:03}", f"p{i:03}", "", group, domain=domain)
        out.append(
            Measured(
                sample,
                metric.measure(ClipView(sample, INFO, sha256(f"{group}{i}".encode()).hexdigest(), features)),
                features,
            )
        )
    return out


def result(metric: Fvd, **groups: list[Measured]) -> Result:
    planned = [m.sample for m in groups["model"]]
    return metric.summarize(groups["model"], SummaryContext("model", planned, groups))[0]


def fvd(reference: Any = "storyworld", protocol: str = "fvd@storyworld", **options: Any) -> Fvd:
    return Fvd(FvdOptions(reference=reference, protocol=protocol, **options), MetricContext())


def ship(
    folder: Path, monkeypatch: pytest.MonkeyPatch, protocol: str = "fvd@storyworld", **change: Any
) -> np.ndarray:
    """A reference set in the place of the one that ships along; returns its features."""
    rows = vectors(80, 5)
    wide = rows.astype(np.float64)
    made: dict[str, Any] = {
        "features": rows, "mean": wide.mean(0), "cov": np.cov(wide, rowvar=False), "num_clips": np.array(80),
    }  # fmt: skip
    digest = change.pop("weights_sha256", str(WEIGHTS[BUNDLED_VIDEO].sha256))
    made |= {k: v for k, v in change.items() if v is not None}
    for key in [k for k, v in change.items() if v is None]:
        del made[key]
    (folder / "storyworld").mkdir(parents=True, exist_ok=True)
    recipe = json.dumps({"scenes": "drawn evenly"})
    metadata = {
        "weights_sha256": digest,
        "recipe": recipe,
        "encoder": '{"crf": 10}',
        "protocol": protocol,
    }
    save_file(made, folder / "storyworld" / "storyworld.safetensors", metadata)
    monkeypatch.setattr(fvd_reference, "shipped_folder", lambda name: folder)
    return rows


@pytest.mark.parametrize(
    ("given", "protocol", "weights"),
    [
        ({}, "fvd@styleganv", "i3d-kinetics400-styleganv"),
        ({"protocol": "fvd@storyworld"}, "fvd@storyworld", BUNDLED_VIDEO),
        ({"protocol": "auto"}, "auto", BUNDLED_VIDEO),
        ({"weights": BUNDLED_VIDEO}, "fvd@storyworld", BUNDLED_VIDEO),
        ({"weights": "mine.pt"}, "fvd@styleganv", "mine.pt"),
        ({"protocol": "fvd@storyworld", "weights": "mine.pt"}, "fvd@storyworld", "mine.pt"),
    ],
)
def test_protocol_and_network_belong_together(given: dict[str, str], protocol: str, weights: str) -> None:
    options = FvdOptions(reference="r.npz", **given)
    assert (options.protocol, options.weights) == (protocol, weights)
    assert FvdOptions(**options.model_dump()) == options
    assert options.forced == (protocol != "auto")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"protocol": "auto", "weights": "mine.pt"}, "auto takes its own network"),
        ({"protocol": "fvd@styleganv", "weights": BUNDLED_VIDEO}, "is the network of fvd@storyworld"),
        (
            {"protocol": "fvd@storyworld", "weights": "i3d-kinetics400-styleganv"},
            "is the network of fvd@styleganv",
        ),
    ],
)
def test_mixed_protocols_are_refused(given: dict[str, str], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        FvdOptions(reference="r.npz", **given)
    if given["protocol"] != "auto":
        with pytest.raises(ValidationError, match=text):
            VideoEmbeddingOptions(**given)


def test_distance_to_a_group(bundled: Path) -> None:
    metric = fvd({"group": "real"})
    assert metric.needs()["video"].options["random_window"] is False
    model, real = vectors(24, 1), vectors(40, 2)
    made = result(metric, model=clips(metric, "model", model), real=clips(metric, "real", real))
    assert made.value == pytest.approx(frechet_distance_from_features(model, real, ddof=1), rel=1e-9)
    assert made.low is not None
    assert made.detail["covariance"] == "divided by N - 1"
    assert made.detail["reference_window"] == made.detail["window"] == "16 consecutive frames from frame 0"
    assert (made.detail["bundled"], made.detail["published_network"]) == (True, True)
    assert "storyworld-video knows the storyworld only: compares with no published FVD" in made.reason
    assert "2048" not in made.reason
    assert "i3d" not in json.dumps(made.to_json()).lower()


def test_distance_to_the_set_that_ships_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ship(tmp_path, monkeypatch)
    metric = fvd()
    assert len(metric.identity()["reference_sha256"]) == 64
    model = vectors(24, 1)
    made = result(metric, model=clips(metric, "model", model))
    assert made.value == pytest.approx(frechet_distance_from_features(model, real, ddof=1), rel=1e-6)
    assert made.detail["n_reference"] == 80
    assert (made.detail["floor"]["status"], made.detail["floor"]["n"]) == ("computed", 24)
    assert made.value == pytest.approx(made.detail["floor"]["value"], rel=0.2)  # the same distribution
    assert made.detail["reference_made"]["recipe"] == {"scenes": "drawn evenly"}
    assert made.detail["reference_made"]["encoder"] == {"crf": 10}
    far = result(metric, model=clips(metric, "model", model + 1))
    assert far.value is not None
    assert far.value > made.value + VIDEO_WIDTH / 2


def test_the_floor_is_the_comparison_that_is_printed() -> None:
    rows = vectors(80, 5)
    made = reference_floor(rows, 24, 1, 0)
    assert (made.n, made.n_rest, len(made.values)) == (24, 56, 20)
    assert made == reference_floor(rows, 24, 1, 0) != reference_floor(rows, 24, 1, 1)
    assert reference_floor(rows, 41, 1, 0).reason == "80 reference clips leave 39 against 41"
    other = frechet_distance_from_features(vectors(24, 6), vectors(56, 7), ddof=1)
    assert np.mean(made.values) == pytest.approx(other, rel=0.1)


def test_a_reference_that_does_not_name_its_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(tmp_path, monkeypatch, weights_sha256="")
    with pytest.raises(UsageError, match="does not say which network made it"):
        fvd().identity()
    ship(tmp_path, monkeypatch, protocol="", weights_sha256="")
    assert fvd(protocol="fvd@styleganv").identity()


def test_other_size_rate_or_encoder_than_the_references_is_said() -> None:
    metric = fvd({"group": "real"})
    used = clips(metric, "model", vectors(2, 1))
    video = {"width": 192, "height": 128, "fps": 8, "frames": 17}
    made = {"recipe": {"video": video}, "encoder": {"codec": "h264", "pixel_format": "yuv420p", "crf": 10}}
    assert differing_video({"reference_made": made}, used) == [
        "reference clips are 192x128, these 64x48: part of the distance is the size",
        "reference clips are 8 fps, these 10 fps: part of the distance is the frame rate",
    ]
    made["encoder"] = {"codec": "vp9"}
    assert "reference clips are vp9, these h264" in differing_video({"reference_made": made}, used)[-1]
    assert differing_video({}, used) == []


def test_a_reference_of_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(tmp_path, monkeypatch, weights_sha256="a" * 64)
    with pytest.raises(
        UsageError, match=r"made by the network with sha256 aaaaaaaaaaaa\.\.\., but storyworld-video"
    ):
        fvd().identity()
    with pytest.raises(
        UsageError, match=r"made by the protocol fvd@storyworld, but is to be compared by fvd@styleganv"
    ):
        fvd(protocol="fvd@styleganv").identity()
    ship(tmp_path, monkeypatch, protocol="fvd@styleganv", weights_sha256="a" * 64)
    with pytest.raises(UsageError, match=r"but i3d-kinetics400-styleganv \(fvd@styleganv\)"):
        fvd(protocol="fvd@styleganv").identity()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features": vectors(79, 5)}, r"features have shape \(79, 64\); expected \(80, 64\)"),
        ({"features": vectors(80, 6)}, "mean is not that of its features"),
        ({"cov": 25 * np.cov(vectors(80, 5).T)}, "covariance is not that of its features"),
        ({"features": np.full((80, 64), np.nan)}, "mean is not that of its features"),
        ({"cov": None}, "no array 'cov'"),
    ],
)
def test_a_damaged_reference_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], text: str
) -> None:
    ship(tmp_path, monkeypatch, **change)
    with pytest.raises(UsageError, match=text):
        fvd().identity()


def test_a_set_that_does_not_ship_names_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="sets that ship along: storyworld;"):
        fvd("storyworld-noir").identity()


def test_clips_out_of_domain_leave_the_group_without_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(tmp_path, monkeypatch)
    for metric in (fvd(), fvd(protocol="auto")):
        made = result(metric, model=clips(metric, "model", vectors(24, 1), outside=3))
        assert (made.status, made.value) == ("not computed", None)
        assert made.reason == (
            "out of domain: 3 of 24 clips, such as model-000: its pictures are not the storyworld's "
            "(guard's score -5, needed above 0)"
        )
        assert "metrics.fvd.protocol: fvd@styleganv" in made.detail["remedy"]


def test_only_the_window_that_is_embedded_is_asked_about() -> None:
    metric = fvd({"group": "real"})
    (clip,) = clips(metric, "model", vectors(1, 1))

    def refused(logits: list[float]) -> bool:
        guard = Features({"logit": np.array(logits), "frame_index": 4 * np.arange(len(logits))})
        view = ClipView(clip.sample, INFO, "0" * 64, {**clip.features, "domain": guard})
        return "out_of_domain" in metric.measure(view).facts

    assert not refused([5.0] * 4 + [-8.0] * 8)
    assert refused([-8.0] + [5.0] * 11)
    assert refused([])


def test_undeclared_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(tmp_path, monkeypatch)
    auto, forced = fvd(protocol="auto"), fvd()
    refused = result(auto, model=clips(auto, "model", vectors(24, 1), domain=""))
    assert refused.reason == (
        "out of domain: the backend declares no domain, and storyworld-video knows the storyworld only"
    )
    judged = result(forced, model=clips(forced, "model", vectors(24, 1), domain=""))
    assert judged.value is not None
    assert NOT_DECLARED in judged.reason
    far = result(forced, model=clips(forced, "model", vectors(24, 1), domain="", outside=24))
    assert far.status == "not computed"
    assert far.reason.startswith("out of domain (forced): its pictures are not the storyworld's")


def test_a_reference_group_must_be_in_the_domain_too(bundled: Path) -> None:
    metric = fvd({"group": "real"}, protocol="auto")
    groups = {
        "model": clips(metric, "model", vectors(24, 1)),
        "real": clips(metric, "real", vectors(24, 2), domain=""),
    }
    made = result(metric, **groups)
    assert made.status == "not computed"
    assert made.reason.startswith("out of domain: the backend declares no domain")
    groups["real"] = clips(metric, "real", vectors(24, 2), outside=1)
    assert result(metric, **groups).reason.startswith("out of domain: 1 of 24 clips, such as real-000")


def test_the_guard_is_asked_for_with_the_bundled_network_only(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = ExtractorSpec("domain", {"device": "auto"})
    copy = {
        "weights": str(bundled / BUNDLED_VIDEO / "network.pt"), "sha256": str(WEIGHTS[BUNDLED_VIDEO].sha256),
    }  # fmt: skip
    ship(tmp_path, monkeypatch)
    by_protocol = fvd(weights="mine.pt")
    for metric in (fvd(), fvd(protocol="auto"), fvd(protocol="fvd@styleganv", **copy), by_protocol):
        assert metric.needs()["domain"] == guard
    for metric in (fvd(protocol="fvd@styleganv"), fvd(protocol="fvd@styleganv", weights="mine.pt")):
        assert set(metric.needs()) == {"video"}


def test_other_weights_by_the_same_protocol_are_guarded_too() -> None:
    metric = fvd({"group": "real"}, weights="mine.pt")
    mine = {"weights": "mine.pt", "weights_sha256": "a" * 64}
    (bad,) = clips(metric, "model", vectors(1, 1), outside=1)
    view = ClipView(
        bad.sample, INFO, "0" * 64, {**bad.features, "video": replace(bad.features["video"], facts=mine)}
    )
    judged = metric.measure(view)
    assert judged.facts["out_of_domain"].startswith("out of domain: its pictures are not")
    made = result(metric, model=[Measured(bad.sample, judged, view.features)], real=[])
    assert (made.status, made.detail["bundled"], made.detail["weights"]) == ("not computed", True, "mine.pt")
    assert "metrics.fvd.protocol: fvd@styleganv" in made.detail["remedy"]


def test_promises_of_a_metric(bundled: Path) -> None:
    many = example_clips(18, frames=18, height=32, width=48)
    check_metric(Fvd, {"reference": {"group": "other"}, "protocol": "fvd@storyworld"}, clips=many)


def test_extractor_embeds_the_first_window_with_the_bundled_network(bundled: Path) -> None:
    from vgaudit.video import Frames

    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@storyworld", device="cpu"))
    extractor.load()
    running = extractor.start(INFO)
    video = np.random.default_rng(0).integers(0, 256, (17, 24, 24, 3), dtype=np.uint8)
    running.push(Frames(video, 0, np.arange(17) / 10))
    features = running.finish()
    assert features["embedding"].shape == (1, VIDEO_WIDTH)
    facts = {k: features.facts[k] for k in ("weights", "bundled", "domain", "protocol")}
    assert facts == {
        "weights": BUNDLED_VIDEO, "bundled": True, "domain": "storyworld", "protocol": "fvd@storyworld",
    }  # fmt: skip
    copy = VideoEmbeddingOptions(
        weights=str(bundled / BUNDLED_VIDEO / "network.pt"), sha256=str(WEIGHTS[BUNDLED_VIDEO].sha256)
    )
    named = VideoEmbeddingExtractor(copy)
    named.load()
    assert named._network is not None
    assert named._network.facts["bundled"] is True  # whatever it is called here
