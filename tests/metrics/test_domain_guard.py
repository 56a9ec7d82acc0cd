"""The guard of bundled networks: who is judged, who is refused, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tiny_bundled import install
from vgaudit.conditions import GateSpec
from vgaudit.errors import Unavailable
from vgaudit.gates import evaluate
from vgaudit.metrics.base import ValueSpec
from vgaudit.metrics.domain_guard import (
    NOT_DECLARED,
    OUT_OF_DOMAIN,
    DomainJudgement,
    domain_identity,
    judge_domain,
    refused_result,
    remedy,
)
from vgaudit.records import Outcome, Result
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO, WEIGHTS

NEAR, FAR = np.zeros(16), np.eye(16)[0] * 3
SPEC = ValueSpec("clipsim", "cosine", True, "Cosine.", -1.0, 1.0)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield install(tmp_path_factory.mktemp("guard") / "bundled", monkeypatch, clip_threshold=2.0)


def judge(
    feature: np.ndarray = NEAR, declared: str = "storyworld", forced: bool = False, **more: Any
) -> DomainJudgement:
    network = {"weights": BUNDLED_CLIP, "bundled": True}
    return judge_domain(network, declared=declared, forced=forced, feature=feature, **more)


def test_declared_and_alike_is_judged(bundled: Path) -> None:
    assert judge() == DomainJudgement("", {"domain_distance": 0.0, "domain_threshold": 2.0})


def test_declared_and_unlike_is_not(bundled: Path) -> None:
    assert judge(FAR).reason == "out of domain: features are 3 from the storyworld's, more than 2"
    assert judge(FAR, forced=True).reason == judge(FAR).reason


@pytest.mark.parametrize(("declared", "says"), [("", "declares no domain"), ("ads", "declares 'ads'")])
def test_auto_judges_nothing_undeclared(bundled: Path, declared: str, says: str) -> None:
    reason = judge(NEAR, declared).reason
    assert reason == f"out of domain: the backend {says}, and storyworld-clip knows the storyworld only"


def test_forced_on_undeclared_clips_the_features_decide(bundled: Path) -> None:
    assert judge(NEAR, "", forced=True).reason == ""
    assert judge(NEAR, "", forced=True).facts["domain_note"] == NOT_DECLARED
    assert judge(FAR, "", forced=True).reason.startswith("out of domain (forced): features are 3 from")


def test_words_it_does_not_know_are_named(bundled: Path) -> None:
    assert judge(unknown_words=["zebra", "violin", "zebra"]).reason == (
        "out of domain: storyworld-clip does not know the words 'zebra', 'violin'"
    )
    assert "and 2 more" in judge(unknown_words=list("abcdefg")).reason
    assert judge(declared="", forced=True, unknown_words=["zebra"]).reason.startswith(
        "out of domain (forced)"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.sampled_from(["", "storyworld", "x"]),
    st.booleans(),
    st.floats(-1e6, 1e6),
    st.lists(st.text(), max_size=2),
)
def test_public_networks_judge_everything(declared: str, forced: bool, at: float, words: list[str]) -> None:
    network = {"weights": "ViT-B-32/openai"}
    made = judge_domain(network, declared=declared, forced=forced, feature=[at], unknown_words=words)
    assert made == DomainJudgement()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.sampled_from(["", "storyworld", "x"]), st.booleans(), st.floats(-10, 10), st.booleans())
def test_a_bundled_network_judges_only_what_all_rules_allow(
    bundled: Path, declared: str, forced: bool, at: float, unknown: bool
) -> None:
    made = judge(np.eye(16)[0] * at, declared, forced, unknown_words=["zebra"] * unknown)
    allowed = abs(at) <= 2.0 and not unknown and (declared == "storyworld" or forced)
    assert (made.reason == "") == allowed
    assert allowed or made.reason.startswith(OUT_OF_DOMAIN)
    assert ("(forced)" in made.reason) == (not allowed and forced and declared != "storyworld")


def test_a_guard_that_is_gone_lets_nothing_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path / "bundled", monkeypatch)
    (folder / BUNDLED_CLIP / "domain.safetensors").unlink()
    with pytest.raises(Unavailable, match=r"domain\.safetensors is not there"):
        judge()
    unknown = {"weights": "something", "bundled": True}
    made = judge_domain(unknown, declared="storyworld", forced=True, feature=NEAR)
    assert made.reason.startswith(OUT_OF_DOMAIN)
    install(folder, monkeypatch)
    with pytest.raises(ValueError, match="not finite"):
        judge(np.full(16, np.nan))


def group(reasons: dict[str, str], n: int) -> Result | None:
    return refused_result("prompt_alignment.clipsim", "g", SPEC, reasons, n, {"weights": BUNDLED_CLIP})


def test_no_group_result_where_a_clip_is_outside() -> None:
    assert group({"a": "", "b": "no frame"}, 2) is None
    same = group({"a": "out of domain: x", "b": "out of domain: x"}, 2)
    assert same is not None
    assert (same.status, same.reason, same.value) == ("not computed", "out of domain: x", None)
    assert same.detail["out_of_domain"] == 2
    assert "hf download timm/vit_base_patch32_clip_224.openai" in same.detail["remedy"]
    assert "`metrics.prompt_alignment.model: openai/ViT-B-32`" in same.detail["remedy"]
    some = group({"a": "", "b": "out of domain: x", "c": ""}, 40)
    assert some is not None
    assert some.reason == "out of domain: 1 of 40 clips, such as b: x"
    forced = group({"a": "out of domain (forced): x", "b": "out of domain (forced): y"}, 2)
    assert forced is not None
    assert forced.reason == "out of domain (forced): 2 of 2 clips, such as a: x"
    assert (forced.unit, forced.higher_is_better) == ("cosine", True)


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


def test_remedies_name_the_public_network_of_the_same_kind() -> None:
    assert WEIGHTS["i3d-kinetics400-styleganv"].download_command in remedy(BUNDLED_VIDEO)
    assert "metrics.fvd.protocol: fvd@styleganv" in remedy(BUNDLED_VIDEO)
    assert remedy("ViT-B-32/openai") == ""


def test_what_a_network_knows_is_part_of_its_identity(bundled: Path) -> None:
    entry = WEIGHTS[BUNDLED_VIDEO]
    assert domain_identity(str(entry.sha256)) == {"domain_sha256": entry.beside["domain.safetensors"]}
    assert domain_identity("0" * 64) == domain_identity("absent") == {}
