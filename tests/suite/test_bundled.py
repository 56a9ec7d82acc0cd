"""The bundled suites: valid, tagged, and askable of any text-to-video model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vgaudit.suite import LoadedSuite, bundled_suites, load_suite

FOLDER = bundled_suites()["quickstart"].parent
CONCEPTS = ["ads", "film", "anime"]
TAGS = {"subject", "action", "setting", "colour", "camera", "people"}


@pytest.fixture(params=CONCEPTS)
def concept(request: pytest.FixtureRequest) -> LoadedSuite:
    return load_suite(request.param)


@pytest.mark.parametrize("name", sorted(bundled_suites()))
def test_each_is_valid_and_named_after_its_file(name: str) -> None:
    loaded = load_suite(name)
    assert loaded.suite.name == name
    assert loaded.suite.description
    assert loaded.text.startswith("# "), "a suite begins with a comment on what it is for"


def test_each_concept_has_thirty_prompts_and_more(concept: LoadedSuite) -> None:
    assert len(concept.prompts) >= 30
    texts = [p.text for p in concept.prompts]
    assert len(set(texts)) == len(texts)
    assert any("a dog walking along the beach at sunset" in t for t in texts)


def test_each_prompt_is_tagged_and_plain(concept: LoadedSuite) -> None:
    for prompt in concept.prompts:
        assert set(prompt.tags) - {"motion"} == TAGS, prompt.prompt_id
        assert prompt.tags["people"] in ("yes", "no")
        assert 4 <= len(prompt.text.split()) <= 30, prompt.text
        assert prompt.text.isascii()
    people = [p.tags["people"] for p in concept.prompts]
    assert min(people.count("yes"), people.count("no")) >= 10


def test_contrasts_differ_from_what_they_are_held_against(concept: LoadedSuite) -> None:
    contrasts = [e for p in concept.prompts for e in p.expect]
    assert len(contrasts) >= 5
    for contrast in contrasts:
        assert contrast["is"] not in contrast["not"]


def test_the_concepts_share_only_the_dog() -> None:
    texts = [p.text for name in CONCEPTS for p in load_suite(name).prompts if p.prompt_id != "beach-dog"]
    assert len(set(texts)) == len(texts)


def render(folder: Path, prompt: str, seed: int) -> np.ndarray:
    request = {
        "sample_id": "s",
        "prompt": prompt,
        "seed": seed,
        "video": {"frames": 6, "fps": 8, "width": 62, "height": 48},
        "output_dir": str(folder),
    }
    (folder / "request.json").write_text(json.dumps(request))
    subprocess.run(
        [sys.executable, str(FOLDER / "moving_shapes.py"), str(folder / "request.json")],
        check=True,
        timeout=60,
    )
    answer = json.loads((folder / "response.json").read_text())
    assert answer["outcome"] == "ok"
    return np.load(folder / answer["file"], allow_pickle=False)


def test_the_drawing_program_obeys_prompt_seed_and_size(tmp_path: Path) -> None:
    first = render(tmp_path, "a red circle moving right", 0)
    assert first.shape == (6, 48, 62, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(render(tmp_path, "a red circle moving right", 0), first)
    assert not np.array_equal(render(tmp_path, "a red circle moving right", 1), first)
    red = (first[..., 0] > 150) & (first[..., 1] < 110)
    columns = [np.nonzero(frame)[1].mean() for frame in red]
    assert np.all(np.diff(columns) > 0)
