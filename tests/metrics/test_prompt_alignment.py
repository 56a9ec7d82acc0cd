from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tiny_clip import save_tiny_clip
from vgaudit.extractors.base import Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.clip_similarity import clip_score, clip_similarity, frame_consistency, frame_similarity
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.plan import Sample
from vgaudit.testing import check_metric
from vgaudit.video import ClipInfo

PER_CLIP = [spec.name for spec in PromptAlignment.values if spec.per_clip]
INFO = ClipInfo("c.mp4", 64, 48, 10.0, 4, 0.4, "h264", "mp4", "yuv420p")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def view(
    frames: np.ndarray, text: np.ndarray | None, prompt: str = "a dog", tokens: int = 4, i: int = 0
) -> ClipView:
    texts = np.zeros((0, 8), np.float32) if text is None else text[None]
    features = {
        "frames": Features(
            {"embedding": frames, "pts_s": np.arange(len(frames)) / 10}, {"model": "tiny", "every": 1}
        ),
        "prompt": Features(
            {"embedding": texts, "token_count": np.array([tokens]), "truncated": np.array([tokens > 77])},
            {"context_length": 77, "logit_scale": 100.0},
        ),
    }
    return ClipView(Sample(f"s{i}", f"p{i}", prompt, "g"), INFO, "0" * 64, features)


def metric(**options: Any) -> PromptAlignment:
    return PromptAlignment(PromptAlignmentOptions(**options), MetricContext())


@pytest.mark.parametrize("offset", [1.0, -1.0])
def test_clip_score_equals_torchmetrics(offset: float) -> None:
    import torch
    from torchmetrics.functional.multimodal import clip_score as peer

    rng = np.random.default_rng(0)
    text = rng.normal(size=8)
    frames = rng.normal(size=(6, 8)) + offset * text

    class Model(torch.nn.Module):  # hands torchmetrics our embeddings, so that only the formula is compared
        config = SimpleNamespace()

        def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(frames)

        def get_text_features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.repeat(text[None], 6, axis=0))

    def processor(text: Any = None, images: Any = None, **_: Any) -> dict[str, torch.Tensor]:
        if images is not None:
            return {"pixel_values": torch.zeros(len(images))}
        return {"input_ids": torch.zeros(len(text), 4), "attention_mask": torch.ones(len(text), 4)}

    images = [torch.zeros(3, 4, 4, dtype=torch.uint8) for _ in frames]
    theirs = float(peer(images, ["a dog"] * 6, model_name_or_path=lambda: (Model(), processor)))
    ours = clip_score(frame_similarity(frames, text))
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert (ours > 0) == (offset > 0)


def test_values_by_hand() -> None:
    text = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])
    frames = unit(
        np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0, 0, 0]], float)
    )
    measured = metric().measure(view(frames, text))
    root = 1 / np.sqrt(2)
    assert measured.values["clipsim"] == pytest.approx((1 + root - 1) / 3, abs=1e-6)
    assert measured.values["clip_score"] == pytest.approx(100 * (1 + root - 1) / 3, abs=1e-4)
    assert measured.values["clip_frame_consistency"] == pytest.approx((root - root) / 2, abs=1e-6)
    assert measured.series["clipsim"].values == pytest.approx((1, root, -1), abs=1e-6)
    assert measured.series["clipsim"].times_s == pytest.approx((0, 0.1, 0.2))


def test_negative_mean_is_clamped_only_in_clip_score() -> None:
    text = np.eye(8)[0]
    measured = metric().measure(view(unit(-np.tile(text, (3, 1))), text))
    assert measured.values["clip_score"] == 0
    assert measured.values["clipsim"] == pytest.approx(-1)


def test_a_bundled_network_that_does_not_tell_unknown_words_is_no_answer() -> None:
    seen = view(unit(np.ones((3, 8))), np.ones(8))
    seen.features["frames"].facts["bundled"] = True  # type: ignore[index]
    with pytest.raises(KeyError, match="unknown_words"):
        metric().measure(seen)
    seen.features["prompt"].facts["unknown_words"] = []  # type: ignore[index]
    with pytest.raises(ValueError, match="shorter"):
        metric().measure(seen)


def test_no_prompt_leaves_the_consistency() -> None:
    measured = metric().measure(view(unit(np.ones((3, 8))), None, prompt="  "))
    assert set(measured.values) == {"clip_frame_consistency"}
    assert measured.missing["clipsim"] == "not applicable: no prompt to compare with"
    assert metric().texts(Sample("s", "p", "  ", "g")) == ()


def test_one_frame_and_no_frame() -> None:
    one = metric().measure(view(unit(np.ones((1, 8))), np.ones(8)))
    assert set(one.values) == {"clip_score", "clipsim"}
    assert one.missing["clip_frame_consistency"] == "one frame has no neighbour"
    none = metric().measure(view(np.zeros((0, 8), np.float32), np.ones(8)))
    assert not none.values
    assert none.missing == dict.fromkeys(PER_CLIP, "no frame")
    with pytest.raises(ValueError, match="neighbours"):
        frame_consistency(np.ones((1, 8)))


def test_a_frame_that_is_not_finite_takes_every_value_with_it() -> None:
    frames = unit(np.ones((3, 8)))
    frames[1, 0] = np.nan
    measured = metric().measure(view(frames, np.ones(8)))
    assert not measured.values
    assert not measured.findings
    assert measured.missing == dict.fromkeys(PER_CLIP, "the embedding of a frame is not finite")


def test_the_mean_over_frames_gives_the_mean_cosine() -> None:
    rng = np.random.default_rng(0)
    frames, texts = rng.normal(size=(5, 8)), rng.normal(size=(3, 8))
    expected = [frame_similarity(frames, text).mean() for text in texts]
    np.testing.assert_allclose(clip_similarity(frames, texts), expected, atol=1e-12)


def test_embedding_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="direction"):
        frame_similarity(np.zeros((2, 8)), np.ones(8))


def test_cut_prompts_are_said_in_the_result() -> None:
    rng = np.random.default_rng(0)
    measured = []
    for i in range(10):
        clip = view(unit(rng.normal(size=(3, 8))), rng.normal(size=8), tokens=90 if i < 3 else 5, i=i)
        measured.append(Measured(clip.sample, metric().measure(clip), metric().condense(clip.features)))
    context = SummaryContext("g", [m.sample for m in measured], {"g": measured})
    results = {r.name: r for r in metric().summarize(measured, context)}
    score = results["prompt_alignment.clip_score"]
    assert score.n == 10
    assert score.n_clusters == 10
    assert score.low is not None
    assert score.low <= score.value <= score.high  # type: ignore[operator]
    assert "3 of 10 prompts are longer" in score.reason
    assert score.detail["n_prompt_truncated"] == 3
    assert "3 of 10 prompts are longer" in results["prompt_alignment.r_precision_top1"].reason
    assert "longer" not in results["prompt_alignment.clip_frame_consistency"].reason
    assert "longer" not in results["prompt_alignment.expectation_rate"].reason


def test_group_without_prompts_is_not_applicable() -> None:
    clip = view(unit(np.ones((3, 8))), None, prompt="")
    measured = [Measured(clip.sample, metric().measure(clip))]
    results = {
        r.name: r for r in metric().summarize(measured, SummaryContext("g", [clip.sample], {"g": measured}))
    }
    for value in ("clip_score", "expectation_rate", "r_precision_top1", "r_precision_top5"):
        assert results[f"prompt_alignment.{value}"].status == "not applicable"
    assert results["prompt_alignment.clip_frame_consistency"].value == pytest.approx(1)


def test_frames_and_prompt_share_a_network_and_paths_follow_the_suite(tmp_path: Path) -> None:
    options = PromptAlignmentOptions(config="m/c.json", pretrained="m/w.safetensors", every=2)
    needs = PromptAlignment(options, MetricContext(tmp_path)).needs()
    assert needs["frames"].options["pretrained"] == str(tmp_path / "m/w.safetensors")
    assert needs["prompt"].options["config"] == str(tmp_path / "m/c.json")
    assert needs["frames"].options["every"] == 2
    assert "every" not in needs["prompt"].options
    named = metric(model="openai/ViT-B-32").needs()
    assert named["frames"].options["pretrained"] == "openai"
    tagged = metric(pretrained="w.pt", pretrained_tag="openai").needs()
    assert {spec.options["pretrained_tag"] for spec in tagged.values()} == {"openai"}
    assert named["frames"].key == metric().needs()["frames"].key


def test_promises_of_a_metric(tmp_path: Path) -> None:
    config, checkpoint = save_tiny_clip(tmp_path)
    check_metric(PromptAlignment, {"config": config.name, "pretrained": checkpoint.name}, base_dir=tmp_path)
