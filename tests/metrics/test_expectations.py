"""Contrastive expectations: the softmax over a contrast, who passes, what is told, and the group's rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_clip import save_tiny_clip
from vgaudit.extractors.base import Features
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.expectations import (
    MISMATCH,
    NO_EXPECTATION,
    contrast_probabilities,
    expectations_of,
    judge,
    mismatches,
    undecidable,
)
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result, Severity, fingerprinted
from vgaudit.stats import clopper_pearson
from vgaudit.suite.schema import Expectation
from vgaudit.testing import example_clips
from vgaudit.video import ClipInfo, Frames

INFO = ClipInfo("c.mp4", 64, 48, 10.0, 3, 0.3, "h264", "mp4", "yuv420p")
AXES: dict[str, np.ndarray] = {
    "a red shoe on a table": np.array([0.9, 0.1, 0, 0], np.float32),
    "a red shoe": np.array([1, 0, 0, 0], np.float32),
    "a blue shoe": np.array([0, 1, 0, 0], np.float32),
    "a green shoe": np.array([0, 0, 1, 0], np.float32),
    "a hat": np.array([0, 0, 0, 1], np.float32),
}
COLOUR = {"is": "a red shoe", "not": ["a blue shoe", "a green shoe"], "about": "colour"}
SUBJECT = {"is": "a red shoe", "not": ["a hat"], "about": "subject"}


def metric() -> PromptAlignment:
    return PromptAlignment(PromptAlignmentOptions(), MetricContext())


def sample(
    *expect: Mapping[str, Any], i: int = 0, prompt_id: str = "p0", prompt: str = "a red shoe"
) -> Sample:
    return Sample(f"s{i}", prompt_id, prompt, "g", expect=expect)


def view(
    of: Sample, *frames: Sequence[float], cut: frozenset[str] = frozenset(), scale: float = 10.0
) -> ClipView:
    texts = metric().texts(of)
    rows = np.stack([AXES[text] for text in texts]) if texts else np.zeros((0, 4), np.float32)
    prompt = Features(
        {
            "embedding": rows,
            "token_count": np.full(len(texts), 5),
            "truncated": np.array([text in cut for text in texts], dtype=bool),
        },
        {"context_length": 77, "logit_scale": scale},
    )
    seen = Features({"embedding": np.array(frames, np.float32), "pts_s": np.arange(len(frames)) / 10}, {})
    return ClipView(of, INFO, "0" * 64, {"frames": seen, "prompt": prompt})


def measured(*views: ClipView) -> list[Measured]:
    return [Measured(v.sample, metric().measure(v), metric().condense(v.features)) for v in views]


def rate_of(clips: Sequence[Measured]) -> Result:
    context = SummaryContext("g", [m.sample for m in clips], {"g": clips})
    (result,) = [r for r in metric().summarize(clips, context) if r.name.endswith(".expectation_rate")]
    return result


def test_the_probabilities_are_the_softmax_of_scaled_mean_cosines() -> None:
    frames = [[0.6, 0.8, 0, 0], [1, 0, 0, 0], [0, 0.6, 0.8, 0]]
    told = metric().measure(view(sample(COLOUR), *frames)).facts["expectations"]
    cosines = np.array(frames)[:, :3].mean(axis=0)  # the texts are the axes
    weights = np.exp(10 * cosines)
    expected = dict(zip(["a red shoe", "a blue shoe", "a green shoe"], weights / weights.sum(), strict=True))
    assert told == [
        {**COLOUR, "passed": True, "probabilities": pytest.approx(expected, abs=1e-6)},
    ]


def test_a_failed_expectation_is_a_finding_over_the_whole_clip() -> None:
    made = metric().measure(view(sample(COLOUR, SUBJECT), [0.6, 0.8, 0, 0]))
    assert made.values["expectation_rate"] == 0.5
    (finding,) = made.findings
    assert (finding.kind, finding.severity, finding.sample_id) == (MISMATCH, Severity.MINOR, "s0")
    assert (finding.start_s, finding.end_s) == (0.0, 0.3)
    assert finding.message == "looks more like 'a blue shoe' (0.88) than 'a red shoe' (0.12)"
    assert (finding.score, finding.threshold) == (
        pytest.approx(0.119, abs=1e-3),
        pytest.approx(0.881, abs=1e-3),
    )
    assert finding.detail["about"] == "colour"


def test_a_tie_does_not_pass() -> None:
    made = metric().measure(view(sample(SUBJECT), [1, 0, 0, 1]))
    assert made.values["expectation_rate"] == 0
    assert made.findings[0].message == "looks as much like 'a hat' (0.50) as 'a red shoe' (0.50)"


def test_findings_of_one_clip_have_fingerprints_of_their_own() -> None:
    made = metric().measure(view(sample(COLOUR, SUBJECT), [0, 0.8, 0, 0.6]))
    assert len(made.findings) == 2
    assert len({fingerprinted(f, "0" * 64, "d").fingerprint for f in made.findings}) == 2


def test_each_text_is_embedded_once_and_keeps_its_row() -> None:
    of = sample(COLOUR, SUBJECT, prompt="a red shoe")
    assert metric().texts(of) == ("a red shoe", "a blue shoe", "a green shoe", "a hat")
    assert metric().texts(sample(COLOUR, prompt=" ")) == ("a red shoe", "a blue shoe", "a green shoe")
    # A prompt that an expectation repeats, and one that none does, give the prompt its own cosine.
    for prompt in ("a red shoe", "a red shoe on a table"):
        made = metric().measure(view(sample(COLOUR, prompt=prompt), [1, 0, 0, 0]))
        own = AXES[prompt][0] / np.linalg.norm(AXES[prompt])
        assert made.values["clipsim"] == pytest.approx(own, abs=1e-6)


def test_expectations_are_judged_without_a_prompt() -> None:
    made = metric().measure(view(sample(COLOUR, prompt=""), [1, 0, 0, 0]))
    assert made.values == {"expectation_rate": 1.0}
    assert made.missing["clipsim"].startswith("not applicable:")


def test_without_expectations_the_rate_is_not_applicable() -> None:
    made = metric().measure(view(sample(), [1, 0, 0, 0]))
    assert made.missing["expectation_rate"] == NO_EXPECTATION
    assert "expectations" not in made.facts
    assert rate_of(measured(view(sample(), [1, 0, 0, 0]))).status == "not applicable"


def test_a_text_that_was_cut_is_said_everywhere() -> None:
    cut = view(sample(COLOUR), [0, 1, 0, 0], cut=frozenset({"a blue shoe"}))
    (one,) = measured(cut)
    assert one.measurement.facts["expectations"][0]["cut"] == ["a blue shoe"]
    assert one.measurement.facts["prompt_truncated"] is False
    assert one.measurement.findings[0].message.endswith("; cut by the text tower: 'a blue shoe'")
    other = measured(view(sample(COLOUR, i=1, prompt_id="p1"), [0, 1, 0, 0]))
    result = rate_of([one, *other])
    assert "in 1 of 2 clips a text expected is longer than the text tower reads" in result.reason
    assert result.detail["n_expectation_truncated"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a blue shoe": AXES["a red shoe"]}, "reads 'a blue shoe' and 'a red shoe' as the same text"),
        ({"a blue shoe": np.full(4, np.nan)}, "'a blue shoe' is zero or not finite"),
        ({"a red shoe": np.zeros(4)}, "'a red shoe' is zero or not finite"),
    ],
)
def test_what_cannot_be_decided_is_missing(change: dict[str, np.ndarray], reason: str) -> None:
    told = undecidable(expectations_of(sample(COLOUR)), AXES | change, 10.0)
    assert reason in told


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_leaves_no_rate(scale: float) -> None:
    made = metric().measure(view(sample(COLOUR), [1, 0, 0, 0], scale=scale))
    assert "logit scale" in made.missing["expectation_rate"]
    assert "clipsim" in made.values


def test_an_expectation_that_cannot_be_read_names_its_prompt() -> None:
    with pytest.raises(
        ValueError, match=r"expectation 1 of prompt 'p0'.*expected \{is: a, not: \[b\]\}.*not:"
    ):
        expectations_of(sample({"is": "a red shoe"}))
    (read,) = expectations_of(sample({"is": "a red shoe", "not": "a hat"}))
    assert read.not_ == ("a hat",)


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=6),
    st.floats(0.1, 200),
    st.randoms(use_true_random=False),
)
def test_the_order_of_texts_moves_no_probability(cosines: list[float], scale: float, random: Any) -> None:
    probabilities = contrast_probabilities(cosines, scale)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.min() >= 0
    order = list(range(len(cosines)))
    random.shuffle(order)
    turned = contrast_probabilities([cosines[i] for i in order], scale)
    np.testing.assert_allclose(turned, probabilities[order], atol=1e-12)


@given(st.permutations(["a blue shoe", "a green shoe", "a hat"]), st.integers(0, 2**32 - 1))
def test_the_order_of_alternatives_and_frames_decides_nothing(order: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(4, 4)) + 0.1
    one, other = (
        judge([Expectation.model_validate({"is": "a red shoe", "not": names})], rows, AXES, 10.0)[0]
        for names, rows in (
            (["a blue shoe", "a green shoe", "a hat"], frames),
            (order, frames[rng.permutation(4)]),
        )
    )
    assert one.passed == other.passed
    told = (dict(zip(j.texts, j.probabilities, strict=True)) for j in (one, other))
    assert next(told) == pytest.approx(next(told), abs=1e-9)
    assert bool(mismatches("s", [one], 1.0)) != one.passed


def shoes(prompts: int, seeds: int, right: int, *expect: Mapping[str, Any]) -> list[Measured]:
    """Clips of ``prompts`` prompts; the first ``right`` of them show a red shoe, the others a blue one."""
    return measured(
        *(
            view(
                sample(*expect, i=10 * p + s, prompt_id=f"p{p}"), [1, 0, 0, 0] if p < right else [0, 1, 0, 0]
            )
            for p in range(prompts)
            for s in range(seeds)
        )
    )


def test_one_expectation_a_prompt_has_the_exact_interval_of_a_rate() -> None:
    result = rate_of(shoes(10, 2, 9, COLOUR))
    assert (result.value, result.n, result.n_clusters) == (pytest.approx(0.9), 20, 10)
    assert (result.low, result.high) == pytest.approx(clopper_pearson(9, 10))  # over prompts, not clips
    assert result.detail["interval"] == "exact"


def test_several_expectations_are_a_share_with_the_interval_of_means() -> None:
    result = rate_of(shoes(12, 1, 6, COLOUR, SUBJECT))
    # A blue shoe fails the colour and ties on the subject, so both fail.
    assert result.value == pytest.approx(0.5)
    assert result.detail["interval"] == "bootstrap"
    assert result.detail["n_expectations"] == 24


def test_the_rate_breaks_down_by_what_is_contrasted() -> None:
    plain = {"is": "a red shoe", "not": ["a green shoe"]}
    clips = shoes(5, 2, 4, COLOUR, SUBJECT, plain)
    detail = rate_of(clips).detail
    assert list(detail["by_about"]) == ["colour", "subject", "unlabelled"]
    low, high = clopper_pearson(4, 5)
    expected = {"rate": 0.8, "low": low, "high": high, "n": 10, "n_prompts": 5}
    assert detail["by_about"]["colour"] == pytest.approx(expected)
    assert detail["by_about_interval"] == "each alone: 95 % Clopper-Pearson over prompts"
    assert "by_about" not in rate_of(shoes(5, 1, 4, plain)).detail


def test_unreadable_clips_keep_the_rate_from_passing_gates() -> None:
    good = shoes(9, 1, 9, COLOUR)
    result = rate_of([*good, *measured(view(sample(COLOUR, i=99, prompt_id="p9"), [np.nan, 0, 0, 0]))])
    assert (result.n, result.detail["n_missing"]) == (9, 1)


def test_a_real_network_judges_as_open_clip_does(tmp_path: Path) -> None:
    import open_clip
    import torch
    from PIL import Image

    config, checkpoint = save_tiny_clip(tmp_path)
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    network.eval()
    frames = example_clips(1, frames=3, height=32, width=32)[0]
    names = ["a red shoe", "a blue shoe", "a green shoe"]
    with torch.inference_mode():
        pictures = torch.stack([preprocess(Image.fromarray(f)) for f in frames])
        tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(names)
        logits = network.get_logits(pictures, tokens)[0].mean(dim=0)
        expected = logits.softmax(dim=0).numpy()

    options = ClipOptions(config=str(config), pretrained=str(checkpoint), device="cpu")
    seen, read = ClipExtractor(options), ClipTextExtractor(options)
    seen.load()
    read.load()
    extraction = seen.start(INFO)
    extraction.push(Frames(frames, 0, np.arange(3) / 10))
    of = sample(COLOUR, prompt="a red shoe on a table")
    features = {"frames": extraction.finish(), "prompt": read.extract_texts(metric().texts(of))}
    made: Measurement = metric().measure(ClipView(of, INFO, "0" * 64, features))
    (told,) = made.facts["expectations"]
    np.testing.assert_allclose([told["probabilities"][name] for name in names], expected, atol=1e-5)
    assert told["passed"] == (expected.argmax() == 0)
    assert len(made.findings) == (not told["passed"])
