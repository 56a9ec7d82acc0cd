"""The suite that invites faces: prompts that name nobody, tags that are complete, and gates that do not pretend."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from vgaudit.backends.base import PromptSpec
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import Outcome
from vgaudit.suite import LoadedSuite, load_suite

SCENES = {
    "presenter", "news", "interview", "portrait", "close-up", "crowd", "sport", "testimonial", "street", "group",
}  # fmt: skip
WITHOUT_PEOPLE = {"landscape", "product", "food", "machine", "building", "plant"}
PEOPLE = {"one", "two", "few", "crowd"}

# Words that put somebody into the picture; a control prompt has none of them.
SOMEBODY = re.compile(
    r"\b(man|men|woman|women|person|people|child|children|face|faces|eyes|smile|crowd|player|actor|singer|he|she|his|"
    r"her|him|portrait|host|presenter|reporter|audience|passer-by|passers-by)\b"
)


@pytest.fixture(scope="module")
def suite() -> LoadedSuite:
    return load_suite("likeness")


def invited(suite: LoadedSuite) -> list[PromptSpec]:
    return [p for p in suite.prompts if p.tags["faces"] == "invited"]


def control(suite: LoadedSuite) -> list[PromptSpec]:
    return [p for p in suite.prompts if p.tags["faces"] == "none"]


def names_in(text: str) -> list[str]:
    """Words with a capital: in these prompts, which begin small, only a name has one."""
    return re.findall(r"\b[A-Z]\w*", text)


def test_there_are_prompts_enough_of_both_kinds(suite: LoadedSuite) -> None:
    assert len(invited(suite)) >= 40
    assert len(control(suite)) >= 15
    assert len(invited(suite)) + len(control(suite)) == len(suite.prompts)
    ids, texts = [p.prompt_id for p in suite.prompts], [p.text for p in suite.prompts]
    assert len(set(ids)) == len(set(texts)) == len(suite.prompts)
    assert all(p.text.isascii() and 6 <= len(p.text.split()) <= 25 for p in suite.prompts)


def test_nobody_is_named(suite: LoadedSuite) -> None:
    assert {p.prompt_id: names for p in suite.prompts if (names := names_in(p.text))} == {}
    assert names_in("portrait of Ada Lovelace, and of mary") == ["Ada", "Lovelace"]
    small = {
        "anna",
        "john",
        "maria",
        "peter",
        "mary",
        "david",
        "emma",
        "trump",
        "obama",
        "taylor",
        "musk",
        "elvis",
    }
    words = {word for p in suite.prompts for word in re.findall(r"[a-z]+", p.text)}
    assert not small & words


def test_tags_are_complete(suite: LoadedSuite) -> None:
    assert all(set(p.tags) == {"faces", "scene", "people"} for p in suite.prompts)
    assert set(Counter(p.tags["scene"] for p in invited(suite)).values()) == {5}
    assert {p.tags["scene"] for p in invited(suite)} == SCENES
    assert {p.tags["people"] for p in invited(suite)} == PEOPLE
    assert {p.tags["scene"] for p in control(suite)} == WITHOUT_PEOPLE
    assert {p.tags["people"] for p in control(suite)} == {"none"}


def test_the_control_prompts_ask_for_nobody(suite: LoadedSuite) -> None:
    assert {p.prompt_id: m.group() for p in control(suite) if (m := SOMEBODY.search(p.text))} == {}


def test_every_gate_gives_its_reason_and_no_size_is_asked_for(suite: LoadedSuite) -> None:
    assert all(gate.reason for gate in suite.gates)
    assert (suite.video.frames, suite.video.fps, suite.video.width, suite.video.height) == (None,) * 4
    gates = {gate.metric or gate.findings: gate for gate in suite.gates}
    assert set(gates) == {"integrity.*", "likeness.*", "likeness.alert_rate", "likeness.coverage"}
    assert not gates["likeness.coverage"].allow_not_applicable, "faces were invited"


def test_a_gallery_takes_the_place_of_none(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    loaded = load_suite("likeness", [f"metrics.likeness.gallery={tmp_path / 'people'}"])
    (options,) = (m.options for m in loaded.metrics if m.name == "likeness")
    assert str(tmp_path / "people") in str(options)


@pytest.mark.slow
def test_a_world_without_faces_is_no_pass(tmp_path: Path) -> None:
    """As it comes the suite's clips are drawn, and nobody in them has a face: what was asked stays unanswered."""
    done = execute(prepare(load_suite("likeness", ["seeds=1"]), limit=6), tmp_path / "run")
    assert done is not None
    gates = {g.gate: g.outcome for g in done.data.gates}
    assert gates["findings likeness.* <= 0"] is Outcome.NOT_COMPUTED, "faces were invited, and none is there"
    (coverage,) = (g for g in done.data.gates if g.gate.startswith("likeness.coverage"))
    assert coverage.outcome is Outcome.NOT_COMPUTED
    assert (
        "not applicable: no face found" in coverage.reason.replace("  ", " ") or "no face" in coverage.reason
    )
    assert done.verdict.exit_code == 4
