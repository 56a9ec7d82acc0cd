"""The generators that ship with the package: their files, their cards, their sizes, and what they make."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vgaudit import registry
from vgaudit.backends.base import BackendContext, PromptSpec, VideoRequest
from vgaudit.backends.diffusers_model import find_model
from vgaudit.errors import SuiteError, Unavailable
from vgaudit.suite import load_suite
from vgaudit.zoo import generators, resolve
from vgaudit.zoo.generators import BUNDLED_T2V, GENERATORS, generator_folder

PROMPTS = [
    PromptSpec("dog", "a dog walking along the beach at sunset"),
    PromptSpec("cup", "a red cup rotating in a white studio"),
    PromptSpec("car", "a blue car driving through the desert"),
]


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, found in place of what is in the package."""
    for name in GENERATORS:
        shutil.copytree(resolve.BUNDLED / name, tmp_path / name)
    monkeypatch.setattr(generators, "BUNDLED", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", GENERATORS)
def test_digests_are_those_of_the_files(name: str) -> None:
    folder = resolve.BUNDLED / name
    there = {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "README.md"
    }
    assert GENERATORS[name] == there, f"put this into GENERATORS:\n{json.dumps({name: there}, indent=4)}"
    assert generator_folder(name) == folder
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_all_that_ships_fits_into_24_mib() -> None:
    files = [p for p in resolve.BUNDLED.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 24 * 2**20


def test_a_changed_missing_or_strange_file_is_refused(copies: Path) -> None:
    file = copies / BUNDLED_T2V / "vae" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        Unavailable, match=r"vae/diffusion_pytorch_model\.safetensors of storyworld-t2v is pinned to"
    ) as caught:
        generator_folder(BUNDLED_T2V)
    assert "reinstall vgaudit" in caught.value.remedy
    file.unlink()
    with pytest.raises(
        Unavailable, match=r"but its file vae/diffusion_pytorch_model\.safetensors is not there"
    ):
        generator_folder(BUNDLED_T2V)
    file.write_bytes(whole)
    (copies / BUNDLED_T2V / "model.py").write_text("raise SystemExit")
    with pytest.raises(Unavailable, match=r"ships without a file model\.py"):
        find_model(BUNDLED_T2V, copies / "elsewhere", None, False)


def test_the_pipeline_is_found_by_name_and_a_folder_of_that_name_comes_first(tmp_path: Path) -> None:
    source = find_model(BUNDLED_T2V, tmp_path, None, False)
    assert (source.name, source.class_name) == (BUNDLED_T2V, "LTXPipeline")
    (tmp_path / BUNDLED_T2V).mkdir()
    with pytest.raises(SuiteError, match=r"has no model_index\.json"):
        find_model(BUNDLED_T2V, tmp_path, None, False)
    with pytest.raises(SuiteError, match="did you mean 'storyworld-t2v'"):
        find_model("storyworld-t2", tmp_path, None, False)


@pytest.mark.parametrize("group", GENERATORS)
def test_each_makes_clips_as_the_suite_has_it(group: str, tmp_path: Path) -> None:
    options = next(dict(b) for b in load_suite("gan_vs_diffusion").suite.backend if b["name"] == group)
    kind = registry.load("backends", options.pop("type"))
    options.pop("name")
    if options["model"] == BUNDLED_T2V:
        options["parameters"] = {"num_inference_steps": 3}

    def make(seeds: tuple[int, ...]) -> dict[tuple[str, int], np.ndarray]:
        backend = kind(kind.Options(**options), BackendContext(tmp_path, video=VideoRequest()))
        samples = backend.samples(PROMPTS, seeds)
        assert {s.group for s in samples} == {group}
        made = list(backend.generate(samples))
        assert [m.message for m in made] == [""] * len(made)
        assert {m.fps for m in made} == {8.0}
        return {(m.sample.prompt_id, m.sample.seed): m.frames for m in made}

    clips = make((0, 1))
    for clip in clips.values():
        assert clip.shape == (17, 64, 64, 3)
        assert clip.std() > 10
    assert len({clip.tobytes() for clip in clips.values()}) == 6
    again = make((0, 1))
    assert all(np.array_equal(clip, again[key]) for key, clip in clips.items())
