"""Bundled networks in whole runs: who gets a number, who does not, what gates and notes say. Tiny real networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.clips import moving_square, write_clip
from tests.metrics.test_fvd_storyworld import ship
from tests.tiny_bundled import NOTHING, install
from vgaudit.cli.conclusion import print_conclusion
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.domain_guard import NOT_DECLARED
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Sample
from vgaudit.records import Outcome, Result
from vgaudit.suite import load_suite
from vgaudit.testing import check_metric
from vgaudit.video import ClipInfo
from vgaudit.zoo import clip_models, resolve
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_GUARD

N = 16
PROMPT = "a red square crosses the field"
WORDS = "sixteen clips are all that this test draws"
GATES = ("prompt_alignment.clipsim >= -1 on estimate", "fvd.distance <= 1000000000 on estimate")
OF_CLIP = ("clip_score", "clipsim", "clip_frame_consistency", "expectation_rate", "r_precision_top1")


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clips in place, tiny networks and a tiny reference set in the package's."""
    monkeypatch.setattr(clip_models, "_loaded", {})
    install(tmp_path_factory.getbasetemp() / "bundled_run", monkeypatch)
    ship(tmp_path / "reference", monkeypatch)
    folder = tmp_path_factory.getbasetemp() / "bundled_run_clips"
    if not folder.is_dir():
        folder.mkdir()
        for i in range(N):
            write_clip(folder / f"c{i:02}.mp4", moving_square(i, frames=16, size=32))
    return folder


def run(
    world: Path,
    out: Path,
    prompt: str = PROMPT,
    domain: str = "",
    model: str = "auto",
    protocol: str = "auto",
    gates: Sequence[str] = GATES,
) -> tuple[Finished, Mapping[str, Result]]:
    contrast = [{"is": "a red square", "not": ["a blue ball"]}]
    prompts = [
        {"id": f"c{i:02}", "text": prompt if i == 0 else f"a {w} crosses the field", "expect": contrast}
        for i, w in enumerate(["square", "dog", "cat", "ball"] * (N // 4))
    ]
    backend = {"type": "files", "root": str(world), "index": str(out.with_suffix(".csv"))}
    rows = ["path,prompt_id", *(f"c{i:02}.mp4,c{i:02}" for i in range(N))]
    out.with_suffix(".csv").write_text("\n".join(rows) + "\n")
    suite = {
        "name": "bundled",
        "backend": {**backend, **({"domain": domain} if domain else {})},
        "prompts": prompts,
        "metrics": {
            "prompt_alignment": {"model": model},
            "fvd": {"protocol": protocol, "reference": "storyworld", "accept_small_n": WORDS},
        },
        "gates": list(gates),
    }
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(suite))
    finished = execute(prepare(load_suite(path)), out, workers=1)
    assert finished is not None
    return finished, {r.name: r for r in finished.data.results}


def no_number(finished: Finished) -> bool:
    clips = finished.data.clips
    return not any(m.values for c in clips for k, m in c.measurements.items() if k != "integrity")


def test_declared_clips_get_every_number(world: Path, tmp_path: Path) -> None:
    finished, results = run(world, tmp_path / "run", domain="storyworld")
    for value in OF_CLIP:
        made = results[f"prompt_alignment.{value}"]
        assert made.value is not None, made.reason
        assert (made.detail["bundled"], made.detail["domain"]) == (True, "storyworld")
        assert made.detail["weights"] == BUNDLED_CLIP
        assert "out of domain" not in made.reason
        assert "out_of_domain" not in made.detail
    assert results["fvd.distance"].value is not None
    assert "out_of_domain" not in results["fvd.distance"].detail
    assert finished.verdict.exit_code == 0


def test_auto_gives_undeclared_clips_no_number(world: Path, tmp_path: Path) -> None:
    finished, results = run(world, tmp_path / "run")
    for name in (*(f"prompt_alignment.{v}" for v in OF_CLIP), "fvd.distance"):
        assert results[name].status == "not computed"
        assert results[name].reason.startswith(
            "out of domain: the backend declares no domain, and storyworld-"
        )
    assert no_number(finished)
    assert finished.verdict.exit_code == 4
    assert {g.outcome.value for g in finished.data.gates} == {"not computed"}
    notes = [n for n in finished.data.notes if "out of domain" in n]
    assert len(notes) == 2  # once for each metric, whatever the number of values
    assert "vgaudit models pull i3d-kinetics400-styleganv" in min(notes)
    assert "vgaudit models pull ViT-B-32/openai" in max(notes)


def test_named_networks_judge_undeclared_clips_by_their_features_and_no_gate_takes_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = (*GATES, "prompt_alignment.clipsim <= 1", "prompt_alignment.clipsim >= 1 on estimate")
    named = {"model": BUNDLED_CLIP, "protocol": "fvd@storyworld"}
    finished, results = run(world, tmp_path / "run", gates=gates, **named)
    for name in (*(f"prompt_alignment.{v}" for v in OF_CLIP), "fvd.distance"):
        made = results[name]
        assert made.value is not None, made.reason
        assert made.reason.startswith("out of domain: the backend does not declare `domain: storyworld`")
        assert (made.detail["out_of_domain"], made.detail["n_out_of_domain"]) == (NOT_DECLARED, N)
        assert "Run `vgaudit models pull " in made.detail["remedy"]
    assert [(g.outcome.value, g.reason) for g in finished.data.gates] == [("not computed", NOT_DECLARED)] * 4
    assert (finished.verdict.outcome, finished.verdict.exit_code) == (Outcome.NOT_COMPUTED, 4)
    print_conclusion(finished.data, None, True)
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("fvd.distance")).endswith(
        f"n = 16, out of domain, few clips, accepted: {WORDS}"
    )
    words = "out of domain: the backend does not declare"
    assert all(words in line for line in lines if line.startswith("gate "))
    page = next((tmp_path / "run").glob("**/index.html")).read_text(encoding="utf-8")
    assert words in page.partition('id="results"')[2].partition('id="findings"')[0]
    table = (tmp_path / "run" / "summary.md").read_text(encoding="utf-8").partition("## Results")[2]
    rows = [
        row for row in table.splitlines() if row.startswith(("| fvd.distance", "| prompt_alignment.clipsim"))
    ]
    assert len(rows) == 2
    assert all("(95 % interval; out of domain" in row for row in rows)


def test_no_gate_on_findings_passes_because_a_forced_network_found_none(world: Path, tmp_path: Path) -> None:
    gates = ("findings prompt_alignment.mismatch <= 16",)
    finished, _ = run(world, tmp_path / "run", model=BUNDLED_CLIP, gates=gates)
    (held,) = finished.data.gates
    assert held.reason.startswith(
        f"prompt_alignment looked at only 0 of 16 clips: {NOT_DECLARED} (16 clips: "
    )
    assert finished.verdict.exit_code == 4
    declared, _ = run(world, tmp_path / "declared", domain="storyworld", model=BUNDLED_CLIP, gates=gates)
    assert declared.verdict.exit_code == 0


def test_pictures_out_of_the_domain_are_never_judged(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "narrow", monkeypatch, brighter_than=NOTHING)
    ship(tmp_path / "reference", monkeypatch)
    finished, results = run(world, tmp_path / "run", model=BUNDLED_CLIP, protocol="fvd@storyworld")
    for name in ("prompt_alignment.clipsim", "prompt_alignment.clip_frame_consistency", "fvd.distance"):
        assert results[name].status == "not computed"
        assert results[name].reason.startswith("out of domain (forced): 16 of 16 clips, such as c00-x-")
        assert "its pictures are not the storyworld's (guard's score -" in results[name].reason
    assert no_number(finished)
    assert finished.verdict.exit_code == 4


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_without_the_guard_there_is_no_number(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    network = install(tmp_path / "own", monkeypatch) / BUNDLED_GUARD / "network.pt"
    ship(tmp_path / "reference", monkeypatch)
    network.unlink() if how == "gone" else network.write_bytes(network.read_bytes() + b"x")
    finished, results = run(world, tmp_path / "run", domain="storyworld")
    says = "but its file network.pt is not there" if how == "gone" else "but network.pt is pinned to"
    for name in (*(f"prompt_alignment.{v}" for v in OF_CLIP), "fvd.distance"):
        assert results[name].status == "not computed"
        assert says in results[name].reason
    assert no_number(finished)
    assert finished.verdict.exit_code == 4


def test_one_prompt_with_an_unknown_word_leaves_no_mean_of_the_rest(world: Path, tmp_path: Path) -> None:
    finished, results = run(world, tmp_path / "run", prompt="a zebra crosses the field", domain="storyworld")
    made = results["prompt_alignment.clipsim"]
    assert made.status == "not computed"
    assert made.reason.startswith("out of domain: 1 of 16 clips, such as c00-")
    assert made.reason.endswith("storyworld-clip does not know the words 'zebra'")
    assert results["prompt_alignment.r_precision_top1"].status == "not computed"
    assert results["fvd.distance"].value is not None  # it reads no words
    assert finished.verdict.exit_code == 4


def measured(texts: Mapping[str, list[str]], facts: Mapping[str, Any]) -> tuple[PromptAlignment, Measured]:
    """A clip of two frames against its first text, and a contrast of the other two."""
    metric = PromptAlignment(PromptAlignmentOptions(model=BUNDLED_CLIP), MetricContext())
    prompt, *expected = texts
    sample = Sample(
        "s", "p", prompt, "g", expect=({"is": expected[0], "not": [expected[1]]},), domain="storyworld"
    )
    rows = np.eye(3, 16, dtype=np.float32)
    read = {"embedding": rows, "token_count": np.full(3, 4), "truncated": np.zeros(3, bool)}
    spoken = {**facts, "context_length": 12, "logit_scale": 10.0, "unknown_words": list(texts.values())}
    features = {
        "frames": Features({"embedding": rows[:2], "pts_s": np.arange(2) / 8}, facts),
        "prompt": Features(read, spoken),
        "domain": Features({"logit": np.ones(1, np.float32)}),
    }
    info = ClipInfo("c.mp4", 64, 48, 8.0, 2, 0.25, "h264", "mp4", "yuv420p")
    return metric, Measured(sample, metric.measure(ClipView(sample, info, "0" * 64, features)))


def test_an_unknown_word_in_an_expectation_spoils_only_that(world: Path) -> None:
    bundled = {"weights": BUNDLED_CLIP, "bundled": True}
    metric, clip = measured({"a dog": [], "a cat": [], "a zebra": ["zebra"]}, bundled)
    assert set(clip.measurement.missing) == {"expectation_rate"}
    assert clip.measurement.missing["expectation_rate"].endswith("does not know the words 'zebra'")
    context = SummaryContext("g", [clip.sample], {"g": [clip]})
    clip_only = Measured(clip.sample, clip.measurement, metric.condense({
        "frames": Features({"embedding": np.eye(2, 16, dtype=np.float32)}),
        "prompt": Features({"embedding": np.eye(1, 16, dtype=np.float32)}),
    }))  # fmt: skip
    results = {r.name: r for r in metric.summarize([clip_only], context)}
    assert results["prompt_alignment.expectation_rate"].reason.startswith("out of domain: storyworld-clip")
    assert results["prompt_alignment.clipsim"].value is not None
    _, public = measured({"a dog": [], "a cat": [], "a zebra": ["zebra"]}, {"weights": "mine"})
    assert not public.measurement.missing


def test_the_guard_is_asked_for_with_the_bundled_network_only(world: Path) -> None:
    def needs(**options: Any) -> Mapping[str, ExtractorSpec]:
        return PromptAlignment(PromptAlignmentOptions(device="cpu", **options), MetricContext()).needs()

    copy = resolve.BUNDLED / BUNDLED_CLIP / "open_clip_model.safetensors"
    guard = ExtractorSpec("domain", {"device": "cpu"})
    for options in ({"model": "auto"}, {"model": BUNDLED_CLIP}, {"pretrained": str(copy)}):
        assert needs(**options)["domain"] == guard
    for options in ({}, {"model": "openai/ViT-L-14"}, {"pretrained": "mine.safetensors"}):
        assert set(needs(**options)) == {"frames", "prompt"}


def test_promises_of_a_metric(world: Path) -> None:
    prompts = ("a red square crosses a field", "a blue square crosses a field")
    check_metric(PromptAlignment, {"model": BUNDLED_CLIP}, prompts=prompts)
