"""The guard of bundled networks: who is judged, who is refused, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_bundled import install
from vgaudit.conditions import GateSpec
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.gates import evaluate
from vgaudit.metrics import domain_guard
from vgaudit.metrics.base import Measured, MetricContext, ValueSpec
from vgaudit.metrics.domain_guard import (
    FOREIGN_QUARTILE,
    NOT_DECLARED,
    OUT_OF_DOMAIN,
    DomainJudgement,
    clip_logit,
    forced_facts,
    guard_identity,
    guard_needs,
    guard_score,
    judge_domain,
    refused_result,
    remedy,
)
from vgaudit.metrics.fvd import Fvd
from vgaudit.metrics.fvd_options import FvdOptions, GroupReference
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Outcome, Result
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO, WEIGHTS

SPEC = ValueSpec("clipsim", "cosine", True, "Cosine.", -1.0, 1.0)


def judge(
    logit: float | None = 2.0, declared: str = "storyworld", forced: bool = False, **more: Any
) -> DomainJudgement:
    network = {"weights": BUNDLED_CLIP, "bundled": True}
    return judge_domain(network, declared=declared, forced=forced, logit=logit, **more)


def test_declared_and_alike_is_judged() -> None:
    assert judge() == DomainJudgement("", {"domain_logit": 2.0})


def test_declared_and_unlike_is_not() -> None:
    assert judge(-7.31).reason == (
        "out of domain: its pictures are not the storyworld's (guard's score -7.31, needed above 0)"
    )
    assert judge(-7.31).facts == {"domain_logit": -7.31}
    assert judge(-7.31, forced=True).reason == judge(-7.31).reason


def test_at_the_threshold_is_outside() -> None:
    assert judge(0.0).reason.startswith(OUT_OF_DOMAIN)
    assert judge(1e-9).reason == ""


@pytest.mark.parametrize("forced", [False, True])
def test_without_an_answer_of_the_guard_nothing_is_judged(forced: bool) -> None:
    assert judge(None, forced=forced).reason == "out of domain: the guard saw no frame of it"
    for logit in (np.nan, np.inf, -np.inf):
        made = judge(logit, forced=forced)
        assert made == DomainJudgement("out of domain: the guard's answer is not finite")


def of(*logits: float) -> dict[str, Features]:
    """What the guard says of a clip of which it saw every fourth frame."""
    index = 4 * np.arange(len(logits))
    return {"domain": Features({"logit": np.array(logits, np.float32), "frame_index": index})}


def test_a_clips_logit_is_the_mean_unless_a_quarter_of_its_frames_is_foreign() -> None:
    assert clip_logit(of(5.0, 2.0, 7.0, 4.0, 6.0)) == pytest.approx(4.8)
    assert clip_logit(of(-9.0, 5.0, 7.0, 6.0, 6.0)) == 3.0  # one odd frame of five
    assert clip_logit(of(-9.0, 20.0, 20.0, 20.0)) == -9.0 - FOREIGN_QUARTILE
    assert clip_logit(of(-2.0, -2.0, 7.0, 7.0, 7.0)) == 0.5  # a strong fault tints a quarter of the frames
    assert clip_logit(of(-3.0, -3.0, 7.0, 7.0, 7.0)) == -0.5  # hardly one tints them as much
    assert clip_logit(of()) is None
    assert clip_logit({"frames": of(1.0)["domain"]}) is None
    assert np.isnan(clip_logit(of(1.0, 2.0, 3.0, 4.0, np.inf)))  # type: ignore[arg-type]


def test_a_clip_of_which_a_third_is_foreign_is_refused_however_sure_the_rest() -> None:
    spliced = of(*[-8.0] * 4, *[12.0] * 8)
    assert np.mean(spliced["domain"]["logit"]) > 0
    assert judge(clip_logit(spliced)).reason.startswith(OUT_OF_DOMAIN)


@settings(max_examples=100)
@given(st.integers(1, 40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_quarter_of_foreign_frames_is_never_in_the_domain(n: int, foreign: int, random: Any) -> None:
    logits = [-4.0] * min(foreign, n) + [1e6] * (n - min(foreign, n))
    random.shuffle(logits)
    score = guard_score(logits)
    assert score is not None
    assert (score > 0) == (min(foreign, n) <= (n - 1) // 4)


def test_only_frames_inside_the_windows_count_and_each_window_alone() -> None:
    late = of(5.0, 5.0, 5.0, 5.0, *[-8.0] * 20)
    assert clip_logit(late, [range(16)]) == 5.0
    assert clip_logit(late) == pytest.approx((4 * 5 - 8 * 20) / 24)
    assert clip_logit(late, [range(16), range(10, 26)]) == -8.0 - FOREIGN_QUARTILE
    early = of(*[-8.0] * 4, *[9.0] * 28)
    assert clip_logit(early) == pytest.approx((9 * 28 - 8 * 4) / 32)
    assert clip_logit(early, [range(16)]) == -8.0
    assert clip_logit(early, [range(16, 32), range(200, 216)]) is None
    assert clip_logit(early, []) is None


@pytest.mark.parametrize(("declared", "says"), [("", "declares no domain"), ("ads", "declares 'ads'")])
def test_auto_judges_nothing_undeclared(declared: str, says: str) -> None:
    reason = judge(2.0, declared).reason
    assert reason == f"out of domain: the backend {says}, and storyworld-clip knows the storyworld only"


def test_forced_on_undeclared_clips_the_features_decide() -> None:
    assert judge(2.0, "", forced=True).reason == ""
    assert judge(2.0, "", forced=True).facts["domain_note"] == NOT_DECLARED
    assert judge(-2.0, "", forced=True).reason.startswith("out of domain (forced): its pictures are not")


def test_words_it_does_not_know_are_named() -> None:
    assert judge(unknown_words=["zebra", "violin", "zebra"]).reason == (
        "out of domain: storyworld-clip does not know the words 'zebra', 'violin'"
    )
    assert "and 2 more" in judge(unknown_words=list("abcdefg")).reason
    assert judge(declared="", forced=True, unknown_words=["zebra"]).reason.startswith(
        "out of domain (forced)"
    )


@settings(max_examples=50)
@given(
    st.sampled_from(["", "storyworld", "x"]),
    st.booleans(),
    st.none() | st.floats(),
    st.lists(st.text(), max_size=2),
)
def test_public_networks_judge_everything(
    declared: str, forced: bool, logit: float | None, words: list[str]
) -> None:
    network = {"weights": "ViT-B-32/openai"}
    made = judge_domain(network, declared=declared, forced=forced, logit=logit, unknown_words=words)
    assert made == DomainJudgement()


@settings(max_examples=100)
@given(st.sampled_from(["", "storyworld", "x"]), st.booleans(), st.none() | st.floats(), st.booleans())
def test_a_bundled_network_judges_only_what_all_rules_allow(
    declared: str, forced: bool, logit: float | None, unknown: bool
) -> None:
    made = judge(logit, declared, forced, unknown_words=["zebra"] * unknown)
    alike = logit is not None and 0 < logit < np.inf
    allowed = alike and not unknown and (declared == "storyworld" or forced)
    assert (made.reason == "") == allowed
    assert allowed or made.reason.startswith(OUT_OF_DOMAIN)
    assert ("(forced)" in made.reason) == (not allowed and forced and declared != "storyworld")


def group(reasons: dict[str, str], n: int) -> Result | None:
    return refused_result("prompt_alignment.clipsim", "g", SPEC, reasons, n, {"weights": BUNDLED_CLIP})


def test_no_group_result_where_a_clip_is_outside() -> None:
    assert group({"a": "", "b": "no frame"}, 2) is None
    same = group({"a": "out of domain: x", "b": "out of domain: x"}, 2)
    assert same is not None
    assert (same.status, same.reason, same.value) == ("not computed", "out of domain: x", None)
    assert (same.detail["out_of_domain"], same.detail["n_out_of_domain"]) == (same.reason, 2)
    assert "vgaudit models pull ViT-B-32/openai" in same.detail["remedy"]
    assert "`metrics.prompt_alignment.model: openai/ViT-B-32`" in same.detail["remedy"]
    some = group({"a": "", "b": "out of domain: x", "c": ""}, 40)
    assert some is not None
    assert some.reason == "out of domain: 1 of 40 clips, such as b: x"
    forced = group({"a": "out of domain (forced): x", "b": "out of domain (forced): y"}, 2)
    assert forced is not None
    assert forced.reason == "out of domain (forced): 2 of 2 clips, such as a: x"
    assert (forced.unit, forced.higher_is_better) == ("cosine", True)


def test_no_number_of_the_rest_survives_a_refusal() -> None:
    network = {"weights": BUNDLED_CLIP, "bundled": True, "every": 1}
    answers = {
        "by_about": {"colour": {"rate": 0.8}},
        "events": 3,
        "trials": 4,
        "median_rank": 2.0,
        "floor": {"value": 1.0},
    }
    counts = {"n_missing": 1, "n_planned": 4}
    made = refused_result("m.v", "g", SPEC, {"a": "out of domain: x"}, 4, {**network, **answers, **counts})
    assert made is not None
    assert set(made.detail) == {
        *(*network, *counts, "n_measured"),
        *("out_of_domain", "n_out_of_domain", "remedy"),
    }


@pytest.mark.parametrize("on", ["interval", "estimate"])
def test_no_gate_passes_on_it(on: str) -> None:
    result = group({"a": "out of domain: x"}, 40)
    assert result is not None
    gate = GateSpec(
        metric="prompt_alignment.clipsim", min=-1.0, on=on, allow_missing=40, allow_not_applicable=True
    )
    (held,) = evaluate([gate], [result], ["g"])
    assert held.outcome == Outcome.NOT_COMPUTED
    assert "out of domain: 1 of 40 clips" in held.reason


def judged(*notes: str) -> list[Measured]:
    facts: list[dict[str, Any]] = [{"domain_note": note} if note else {} for note in notes]
    return [Measured(Sample(f"s{i}", "p", "", "g"), Measurement(facts=f)) for i, f in enumerate(facts)]


def test_a_forced_number_is_marked_with_how_many_clips_and_what_to_do_instead() -> None:
    assert NOT_DECLARED.startswith("out of domain: the backend does not declare `domain: storyworld`")
    facts = forced_facts(judged("", NOT_DECLARED, NOT_DECLARED), {"weights": BUNDLED_CLIP})
    assert (facts["out_of_domain"], facts["n_out_of_domain"]) == (NOT_DECLARED, 2)
    assert facts["remedy"] == remedy(BUNDLED_CLIP)
    assert forced_facts(judged("x"), {"protocol": "fvd@storyworld"})["remedy"] == remedy(BUNDLED_VIDEO)
    assert forced_facts(judged("", ""), {"weights": BUNDLED_CLIP}) == {}


@pytest.mark.parametrize("on", ["interval", "estimate"])
@pytest.mark.parametrize("limit", [{"min": -1.0}, {"min": 0.99}])
def test_no_gate_passes_or_fails_on_a_forced_number(on: str, limit: dict[str, float]) -> None:
    facts = forced_facts(judged(NOT_DECLARED), {"weights": BUNDLED_CLIP})
    name = "prompt_alignment.clipsim"
    result = Result(name, "g", 0.3, 0.2, 0.4, 0.95, 40, 40, reason=NOT_DECLARED, detail=facts)
    gate = GateSpec(metric=name, on=on, allow_missing=40, allow_not_applicable=True, **limit)
    (held,) = evaluate([gate], [result], ["g"])
    assert (held.outcome, held.reason) == (Outcome.NOT_COMPUTED, NOT_DECLARED)


@pytest.mark.parametrize("constant", ["FOREIGN_QUARTILE", "_QUARTILE", "_ABOVE"])
def test_measurements_are_made_anew_under_another_rule(
    constant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bundled", monkeypatch)
    context = MetricContext()
    alignment = PromptAlignment(PromptAlignmentOptions(model=BUNDLED_CLIP), context)
    public = PromptAlignment(PromptAlignmentOptions(), context)
    fvd = Fvd(FvdOptions(protocol="fvd@storyworld", reference=GroupReference(group="real")), context)
    before = [m.identity() for m in (alignment, fvd, public)]
    monkeypatch.setattr(domain_guard, constant, getattr(domain_guard, constant) + 0.125)
    after = [m.identity() for m in (alignment, fvd, public)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    assert guard_identity(public.needs()) == {}


def test_remedies_name_the_public_network_of_the_same_kind() -> None:
    assert WEIGHTS["i3d-kinetics400-styleganv"].download_command in remedy(BUNDLED_VIDEO)
    assert "metrics.fvd.protocol: fvd@styleganv" in remedy(BUNDLED_VIDEO)
    assert remedy("ViT-B-32/openai") == ""


def test_only_bundled_networks_need_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bundled", monkeypatch)
    guard = {"domain": ExtractorSpec("domain", {"device": "cpu"})}
    for name in (BUNDLED_CLIP, BUNDLED_VIDEO):
        digest = str(WEIGHTS[name].sha256)
        assert guard_needs(name, digest, "cpu") == guard_needs("copy.pt", digest, "cpu") == guard
        assert guard_needs(name, "absent", "cpu") == guard
    assert guard_needs("ViT-B-32/openai", "0" * 64, "cpu") == guard_needs("mine.pt", "absent", "cpu") == {}
