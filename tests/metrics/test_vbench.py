"""VBench's dimensions: equal to VBench's definitions."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.tiny_vbench import clip_options, moving, save_head, save_raft, save_tiny_dino, sha256
from vgaudit import registry
from vgaudit.extractors.base import Features
from vgaudit.metrics.base import ClipView, Measured, Metric, MetricContext, SummaryContext
from vgaudit.metrics.vbench import VBench, VBenchOptions, aesthetic_quality, consistency, dynamic_degree
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.stats import clustered_rate
from vgaudit.testing import check_metric, example_clips
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import AESTHETIC, DINO, RAFT

INFO = ClipInfo("clip", 96, 64, 10.0, 12, 1.2, "raw", "array", "rgb24")


def metric() -> VBench:
    return VBench(VBenchOptions(), MetricContext())


def measure(mae: list[float]) -> Measurement:
    features = {"pixels": Features({"mae_next": np.array(mae)})}
    return metric().measure(ClipView(Sample("s", "p", "", "g"), INFO, "0" * 64, features))


def test_it_keeps_the_promises_of_a_metric() -> None:
    assert isinstance(metric(), Metric)
    check_metric(VBench)


@pytest.mark.parametrize("clip", range(3))
def test_temporal_flickering_is_vbenchs(clip: int) -> None:
    """The definition, written the plain way: mean absolute difference of neighbouring frames, then of those means."""
    frames = example_clips(3)[clip]
    differences = [
        np.mean(np.abs(a.astype(np.float64) - b.astype(np.float64))) for a, b in itertools.pairwise(frames)
    ]
    expected = (255.0 - np.mean(differences)) / 255.0
    cls = registry.load("extractors", "pixels")
    extractor = cls(cls.Options())
    extractor.load()
    extraction = extractor.start(INFO)
    extraction.push(Frames(frames, 0, np.arange(len(frames)) / 10))
    view = ClipView(Sample("s", "p", "", "g"), INFO, "0" * 64, {"pixels": extraction.finish()})
    assert metric().measure(view).values["temporal_flickering"] == pytest.approx(expected, abs=1e-6)


def test_ends_of_the_scale() -> None:
    assert measure([0.0, 0.0]).values["temporal_flickering"] == 1.0
    assert measure([255.0]).values["temporal_flickering"] == 0.0


@pytest.mark.parametrize(
    ("mae", "words"), [([], "fewer than two frames"), ([1.0, np.nan], "not a finite number")]
)
def test_no_number_without_evidence(mae: list[float], words: str) -> None:
    measurement = measure(mae)
    assert measurement.values == {}
    assert words in measurement.missing["temporal_flickering"]


@pytest.mark.parametrize(
    "options", [{"dimensions": ["motion_smoothness"]}, {"dimensions": []}, {"dimension": []}]
)
def test_dimensions_we_do_not_have_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VBenchOptions.model_validate(options)


DIMENSIONS = [
    "temporal_flickering",
    "subject_consistency",
    "background_consistency",
    "dynamic_degree",
    "aesthetic_quality",
]


def several(**options: Any) -> VBench:
    return VBench(VBenchOptions(dimensions=DIMENSIONS, **options), MetricContext(Path("suite")))


def made_up(sample: Sample, frames: np.ndarray) -> dict[str, Features]:
    """Features as the extractors give them, without their networks: means of parts of each frame."""
    means = frames.reshape(len(frames), 8, -1).mean(axis=2) if len(frames) else np.zeros((0, 8))
    embedding = (means - 100).astype(np.float32)
    flow = np.abs(np.diff(means, axis=0)).mean(axis=1)
    cls = registry.load("extractors", "pixels")
    extraction = cls(cls.Options()).start(INFO)
    if len(frames):
        extraction.push(Frames(frames, 0, np.arange(len(frames)) / 10))
    sampled = Features(
        {"frame_index": np.arange(len(frames)), "top_flow": flow}, {"height": 64, "width": 96, "interval": 1}
    )
    return {
        "pixels": extraction.finish(),
        "subject_consistency": Features({"embedding": embedding}),
        "background_consistency": Features({"embedding": embedding[:, :4]}),
        "dynamic_degree": sampled,
        "aesthetic_quality": Features(
            {"embedding": embedding, "score": means.mean(axis=1).astype(np.float32) / 40}
        ),
    }


def test_all_dimensions_keep_the_promises_of_a_metric() -> None:
    check_metric(VBench, {"dimensions": DIMENSIONS}, features=made_up)


def test_only_what_is_asked_for_is_needed_and_told() -> None:
    assert [v.name for v in VBench.chosen_values(VBenchOptions())] == ["temporal_flickering"]
    assert set(metric().needs()) == {"pixels"}
    lone = VBench(VBenchOptions(dimensions=("dynamic_degree", "dynamic_degree")), MetricContext())
    assert {r: s.name for r, s in lone.needs().items()} == {"dynamic_degree": "vbench_flow"}
    assert [v.name for v in VBench.chosen_values(lone.options)] == ["dynamic_degree"]


def test_which_weights_are_asked_for() -> None:
    needs = {role: spec.options for role, spec in several(device="cpu").needs().items()}
    assert needs["subject_consistency"] == {"weights": DINO, "sha256": None, "device": "cpu"}
    assert needs["dynamic_degree"] == {"weights": RAFT, "sha256": None, "device": "cpu"}
    small, large = needs["background_consistency"]["clip"], needs["aesthetic_quality"]["clip"]
    assert (small["model"], small["pretrained"]) == ("ViT-B-32", "openai")
    assert (large["model"], large["pretrained"]) == ("ViT-L-14", "openai")
    assert needs["aesthetic_quality"]["head"] == AESTHETIC
    mine = several(dino={"weights": "d.pth", "sha256": "a" * 64}, clip={"weights": "c.safetensors"}).needs()
    assert mine["subject_consistency"].options["weights"] == str(Path("suite/d.pth").resolve())
    assert mine["subject_consistency"].options["sha256"] == "a" * 64
    copy = mine["background_consistency"].options["clip"]
    assert copy["pretrained"] == str(Path("suite/c.safetensors").resolve())
    assert copy["pretrained_tag"] == "openai"  # run as OpenAI's, whatever its name


def run(name: str, options: dict[str, Any], frames: np.ndarray, fps: float = 8.0) -> Features:
    cls = registry.load("extractors", name)
    extractor = cls(cls.Options(**options))
    extractor.load()
    info = ClipInfo("clip", frames.shape[2], frames.shape[1], fps, len(frames), 1.0, "raw", "array", "rgb24")
    extraction = extractor.start(info)
    extraction.push(Frames(frames, 0, np.arange(len(frames)) / fps))
    return extraction.finish()


def plain_consistency(rows: np.ndarray) -> float:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))

    parts = [
        (max(0.0, cosine(rows[t - 1], rows[t])) + max(0.0, cosine(rows[0], rows[t]))) / 2
        for t in range(1, len(rows))
    ]
    return sum(parts) / len(parts)


def test_consistency_through_real_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dino = {"weights": str(save_tiny_dino(tmp_path, monkeypatch)), "device": "cpu"}
    for name, options in (("vbench_dino", dino), ("vbench_clip", {"clip": clip_options(tmp_path)})):
        features = run(name, options, moving(6))
        value = consistency(features)
        assert value == pytest.approx(plain_consistency(features["embedding"].astype(np.float64)), abs=1e-6)
        assert value < 1 - 1e-6
        still = run(name, options, np.repeat(moving(1), 4, axis=0))
        assert consistency(still) == pytest.approx(1, abs=1e-6)
        assert consistency(still) <= 1
        assert consistency(run(name, options, moving(1))) == "the clip has fewer than two frames"


def test_negative_cosines_count_as_zero() -> None:
    rows = np.array([[1.0, 0], [-1, 0], [0, 1], [0, 1]])
    assert consistency(Features({"embedding": rows})) == pytest.approx((0 + 0 + 0.5) / 3)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 0.0])
def test_no_consistency_without_evidence(spoilt: float) -> None:
    rows = np.ones((3, 4))
    rows[1] = spoilt
    assert "not finite, or zero" in str(consistency(Features({"embedding": rows})))


def degree(flow: list[float], height: int = 256, width: int = 400, **facts: Any) -> float | str:
    arrays = {"frame_index": np.arange(len(flow) + 1), "top_flow": np.array(flow)}
    return dynamic_degree(Features(arrays, {"height": height, "width": width, **facts}))


def plain_degree(flow: list[float], side: int) -> bool:
    """Walks the pairs as VBench's text of the rule says, stopping as soon as enough have moved."""
    wanted, seen = round(4 * (len(flow) + 1) / 16), 0
    for length in flow:
        seen += length > 6 * side / 256
        if seen >= wanted:
            return True
    return False


@pytest.mark.parametrize("pairs", range(1, 40))
def test_dynamic_degree_is_vbenchs_rule(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    for share in (0.0, 0.1, 0.25, 0.3, 1.0):
        flow = np.where(rng.random(pairs) < share, 11.3, 11.2).tolist()  # 6 * 480 / 256 = 11.25
        assert degree(flow, 720, 480) == float(plain_degree(flow, 480))


def test_ends_of_the_rule() -> None:
    assert degree([6.0] * 15) == 0.0  # the limit itself is not above it
    assert degree([6.1] * 4 + [0.0] * 11) == 1.0
    assert degree([6.1] * 3 + [0.0] * 12) == 0.0
    assert degree([0.0]) == 1.0  # two sampled frames: none is wanted, and VBench says that the clip moves
    assert "fewer than two sampled frames" in str(degree([]))
    assert "not finite" in str(degree([np.nan, 1.0]))
    assert "121 x 121" in str(degree([1.0], too_small=True))


def test_dynamic_degree_through_a_real_network(tmp_path: Path) -> None:
    frames = np.concatenate([moving(3, 128, 128, seed) for seed in range(2)])
    features = run("vbench_flow", {"weights": str(save_raft(tmp_path)), "device": "cpu"}, frames, fps=16)
    assert features["frame_index"].tolist() == [0, 2, 4]
    assert dynamic_degree(features) == float(plain_degree(features["top_flow"].tolist(), 128))


def test_aesthetic_quality_through_a_real_network(tmp_path: Path) -> None:
    head = save_head(tmp_path)
    options = {"clip": clip_options(tmp_path), "head": str(head), "head_sha256": sha256(head)}
    features = run("vbench_clip", options, moving(3))
    assert aesthetic_quality(features) == pytest.approx(np.mean(features["score"] / 10), abs=1e-6)
    assert aesthetic_quality(Features({"score": np.zeros(0)})) == "the clip has no frame"
    assert "not finite" in str(aesthetic_quality(Features({"score": np.array([1.0, np.nan])})))


def test_dynamic_degree_of_a_group_is_a_rate_with_an_exact_interval() -> None:
    events = [1.0, 0.0, 1.0, 1.0, 1.0]
    clips = [
        Measured(Sample(f"s{i}", f"p{i}", "", "g"), Measurement(values={"dynamic_degree": e}))
        for i, e in enumerate(events)
    ]
    lone = VBench(VBenchOptions(dimensions=("dynamic_degree",)), MetricContext())
    (result,) = lone.summarize(clips, SummaryContext("g", [c.sample for c in clips], {}))
    expected = clustered_rate([e == 1 for e in events], [c.sample.prompt_id for c in clips], 0.95)
    assert (result.name, result.value, result.low, result.high) == (
        "vbench.dynamic_degree", 0.8, expected.low, expected.high,
    )  # fmt: skip
