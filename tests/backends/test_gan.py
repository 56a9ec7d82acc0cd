"""Generator networks: formats, seeds, batches, classes, embeddings, and outputs that are no clips."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import save_file

from tests.tiny_models import (
    TinyEmbeddingGenerator,
    save_tiny_gan_export,
    save_tiny_gan_torchscript,
    tiny_generator,
)
from vgaudit.backends.base import BackendContext, Generated, GenerationOutcome, PromptSpec, VideoRequest
from vgaudit.backends.gan import GanBackend, GanOptions, noise, to_frames
from vgaudit.errors import BackendError, SuiteError

PROMPTS = [PromptSpec("p0", "a dog", {"class": "1"}), PromptSpec("p1", "a cat", {"class": "0"})]


def backend(base: Path, **options: Any) -> GanBackend:
    options = {"z_dim": 8, "fps": 8, "device": "cpu", **options}
    return GanBackend(GanOptions(**options), BackendContext(base))


def run(generator: GanBackend, seeds: tuple[int, ...] = (0, 1, 2)) -> list[Generated]:
    return list(generator.generate(generator.samples(PROMPTS, seeds)))


def frames(answers: list[Generated]) -> np.ndarray[Any, Any]:
    return np.stack([a.frames for a in answers if a.frames is not None])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    save_tiny_gan_torchscript(folder / "g.pt")
    save_tiny_gan_torchscript(folder / "classes.pt", classes=3)
    save_tiny_gan_export(folder / "g.pt2")
    save_tiny_gan_export(folder / "fixed.pt2", batch=4)
    save_file(tiny_generator().state_dict(), folder / "g.safetensors")
    torch.save(tiny_generator().state_dict(), folder / "state.pth")
    torch.save(tiny_generator(), folder / "module.pth")
    return folder


def test_every_format_makes_the_same_clips(models: Path) -> None:
    script = run(backend(models, model="g.pt"))
    assert [a.outcome for a in script] == [GenerationOutcome.OK] * 6
    clips = frames(script)
    assert clips.shape == (6, 6, 32, 32, 3)
    assert clips.dtype == np.uint8
    assert clips.std() > 5
    assert script[0].fps == 8
    assert len({c.tobytes() for c in clips[:3]}) == 3
    factory = {"factory": "tests.tiny_models:tiny_generator", "weights": "g.safetensors"}
    for options in ({"model": "g.pt2"}, factory):
        assert np.abs(frames(run(backend(models, **options))).astype(int) - clips).max() <= 1


def test_loading_torchscript_is_quiet(models: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(backend(models, model="g.pt"))


def test_seeds_repeat_exactly_and_do_not_depend_on_the_batch(models: Path) -> None:
    one = frames(run(backend(models, model="g.pt")))
    np.testing.assert_array_equal(one, frames(run(backend(models, model="g.pt"))))
    four = backend(models, model="g.pt", batch_size=4)
    assert np.abs(frames(run(four)).astype(int) - one).max() <= 1
    assert torch.equal(noise(5, 8), noise(5, 8))
    assert four.fingerprint != backend(models, model="g.pt").fingerprint


def test_a_resumed_batch_is_made_as_it_was(models: Path) -> None:
    generator = backend(models, model="g.pt", batch_size=4)
    samples = generator.samples(PROMPTS, (0, 1, 2))
    whole = {a.sample.sample_id: a.frames for a in generator.generate(samples)}
    rest = list(generator.generate([samples[1], samples[5]]))
    assert [a.sample for a in rest] == [samples[1], samples[5]]
    for answer in rest:
        np.testing.assert_array_equal(answer.frames, whole[answer.sample.sample_id])


def test_an_export_of_fixed_batch_serves_a_short_last_batch(models: Path) -> None:
    assert len(frames(run(backend(models, model="fixed.pt2", batch_size=4)))) == 6
    answers = run(backend(models, model="fixed.pt2", batch_size=3))
    assert {a.outcome for a in answers} == {GenerationOutcome.ERROR}
    assert "4" in answers[0].message


def test_classes_come_from_tags_and_from_the_mapping(models: Path) -> None:
    options = {"model": "classes.pt", "conditioning": "class"}
    by_tag = backend(models, **options)
    first = frames(run(by_tag, (0,)))
    assert (first[0] != first[1]).any()
    named = backend(models, classes={"p0": 1, "p1": 0}, class_tag="kind", **options)
    np.testing.assert_array_equal(frames(run(named, (0,))), first)
    assert (
        by_tag.samples(PROMPTS, (0,)) == named.samples(PROMPTS, (0,))
        or by_tag.fingerprint != named.fingerprint
    )
    with pytest.raises(
        SuiteError, match="prompt 'p9' has no class: expected tag 'class' with a number or a key"
    ):
        by_tag.samples([PromptSpec("p9", "x", {"class": "dog"})], (0,))
    out_of_range = list(by_tag.generate(by_tag.samples([PromptSpec("p", "x", {"class": "7"})], (0,))))
    assert out_of_range[0].outcome is GenerationOutcome.ERROR
    assert "index out of range" in out_of_range[0].message


def test_embeddings_condition_the_network(models: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.jit.script(TinyEmbeddingGenerator().eval()).save(str(tmp_path / "g.pt"))
    save_file({"p0": torch.zeros(8), "p1": torch.ones(8)}, tmp_path / "text.safetensors")
    generator = backend(tmp_path, model="g.pt", conditioning="text_embedding", embeddings="text.safetensors")
    clips = frames(run(generator, (0,)))
    assert (clips[0] != clips[1]).any()
    with pytest.raises(SuiteError, match="has no embedding of prompt 'p11'; did you mean 'p1'"):
        generator.samples([PromptSpec("p11", "x")], (0,))
    before = generator.samples(PROMPTS, (0,))[0].sample_id
    save_file({"p0": torch.full((8,), 0.5), "p1": torch.ones(8)}, tmp_path / "text.safetensors")
    changed = backend(tmp_path, model="g.pt", conditioning="text_embedding", embeddings="text.safetensors")
    assert changed.samples(PROMPTS, (0,))[0].sample_id != before


class Hears(torch.nn.Module):
    """Shows the embedding's first numbers as grey levels."""

    def forward(self, z: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        assert embedding.shape == (len(z), 128)
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(len(z)))
        return (4 * embedding[:, :16]).clamp(-1, 1).view(-1, 1, 1, 4, 4).expand(-1, 1, 2, 4, 4)


def test_a_clip_embeds_the_prompts(tmp_path: Path) -> None:
    save_file({}, tmp_path / "none.safetensors")
    options = {
        "factory": "tests.backends.test_gan:Hears",
        "weights": "none.safetensors",
        "conditioning": "text_embedding",
        "text_encoder": "storyworld-clip",
    }
    generator = backend(tmp_path, **options, batch_size=2)
    dog, other_dog, cat, _ = frames(run(generator, (0, 1)))
    np.testing.assert_array_equal(dog, other_dog)
    assert np.abs(dog.astype(int) - cat).max() > 5
    assert all(a.facts.keys() == {"device"} for a in run(generator, (0,))[:1])
    strange = backend(tmp_path, **options)
    long = " ".join(["a castle"] * 40)
    (made,) = strange.generate(strange.samples([PromptSpec("x", long)], (0,)))
    assert made.facts["text_cut"] is True
    assert set(made.facts["unknown_words"]) == {"castle"}
    alone = backend(tmp_path, **options)
    (only,) = alone.generate(alone.samples([PromptSpec("x", PROMPTS[1].text)], (7,)))
    np.testing.assert_array_equal(only.frames, cat)
    other = backend(tmp_path, **{**options, "text_encoder": "openai/ViT-B-32"})
    assert other.fingerprint != alone.fingerprint


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.zeros(2), "b": torch.zeros(3)}, "expected vectors of one length"),
        ({"a": torch.zeros(2, 2)}, "expected vectors of one length"),
        ({"a": torch.tensor([float("nan")])}, "'a' holds NaN"),
        ({}, "holds no vector"),
        (None, "not a safetensors file"),
    ],
)
def test_wrong_embeddings(
    models: Path, tmp_path: Path, tensors: dict[str, torch.Tensor] | None, message: str
) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(b"no") if tensors is None else save_file(tensors, path)
    with pytest.raises(SuiteError, match=message):
        backend(models, model="g.pt", conditioning="text_embedding", embeddings=str(path))


@given(st.integers(0, 2**63 - 1), st.sampled_from([None, 0.1, 0.5, 2.0]))
def test_noise_is_finite_truncated_and_repeats(seed: int, truncation: float | None) -> None:
    z = noise(seed, 64, truncation)
    assert torch.isfinite(z).all()
    assert truncation is None or z.abs().max() <= truncation
    assert torch.equal(z, noise(seed, 64, truncation))


def test_noise_is_standard_normal() -> None:
    z = noise(0, 200_000)
    assert abs(float(z.mean())) < 0.01
    assert abs(float(z.std()) - 1) < 0.01


def test_frames_are_scaled_or_refused() -> None:
    clip = np.array([-1.04, -1, 0, 1, 1.04], dtype=np.float32).reshape(1, 5, 1, 1)
    made = to_frames(clip)
    assert isinstance(made, np.ndarray)
    assert made.shape == (5, 1, 1, 3)
    assert made[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]
    assert to_frames(clip * 255) == "the network returned values from -265 to 265; expected [-1, 1]"
    clip[0, 2] = np.nan
    assert to_frames(clip) == "the network returned 1 values that are NaN or infinite"


class Broken(torch.nn.Module):
    """Returns what a generator must not return, chosen by the first number of ``z``."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, z: torch.Tensor) -> Any:
        clip = torch.zeros(len(z), 3, 2, 4, 4)
        faults = {"nan": clip * float("nan"), "range": clip + 100, "shape": clip[0], "type": [clip]}
        return faults[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "values that are NaN or infinite"),
        ("range", "values from 100 to 100; expected"),
        ("shape", "shape .3, 2, 4, 4.; expected .1, 1 or 3, T, H, W."),
        ("type", "the network returned list; expected a tensor"),
    ],
)
def test_outputs_that_are_no_clips_are_errors(tmp_path: Path, fault: str, message: str) -> None:
    save_file({}, tmp_path / "none.safetensors")
    generator = backend(
        tmp_path,
        factory="tests.backends.test_gan:Broken",
        factory_options={"fault": fault},
        weights="none.safetensors",
    )
    answers = run(generator, (0,))
    assert {a.outcome for a in answers} == {GenerationOutcome.ERROR}
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(answers[0].message)


def test_pickles_are_refused_unless_trusted_in_words(models: Path) -> None:
    with pytest.raises(
        BackendError, match=r"is a pickle, which can run any code .* `allow_pickle: I trust this file`"
    ):
        backend(models, model="module.pth")
    trusted = {"allow_pickle": "I trust this file", "sha256": sha256(models / "module.pth")}
    clips = frames(run(backend(models, model="g.pt")))
    np.testing.assert_array_equal(frames(run(backend(models, model="module.pth", **trusted))), clips)
    state = {"allow_pickle": "I trust this file", "sha256": sha256(models / "state.pth")}
    factory = "tests.tiny_models:tiny_generator"
    made = run(backend(models, factory=factory, weights="state.pth", **state))
    np.testing.assert_array_equal(frames(made), clips)
    with pytest.raises(BackendError, match=r"holds (Ordered)?[dD]ict, not a network; give a `factory`"):
        run(backend(models, model="state.pth", **state))


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no weights": ({"model": "no.pt"}, SuiteError, "no.pt does not exist; expected the generator's weights"),
    "no frame rate": ({"model": "g.pt", "fps": None}, SuiteError, "expected a frame rate in `fps`"),
    "other digest": (
        {"model": "g.pt", "sha256": "0" * 64},
        BackendError,
        "expected sha256 0000.*this is another file",
    ),
    "safetensors alone": ({"model": "g.safetensors"}, BackendError, "safetensors need a `factory`"),
    "script for a factory": (
        {"factory": "tests.tiny_models:tiny_generator", "weights": "g.pt"},
        BackendError,
        "expected safetensors, found torchscript",
    ),
    "no module": (
        {"factory": "no_such_module:f", "weights": "g.safetensors"},
        SuiteError,
        "no module 'no_such_module'",
    ),
    "no submodule": (
        {"factory": "tests.none:f", "weights": "g.safetensors"},
        SuiteError,
        "has no module 'none'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options(models: Path, case: str) -> None:
    options, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        backend(models, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected either `model`"),
        ({"model": "a", "factory": "a:b"}, "not both"),
        ({"factory": "a:b"}, "`factory` and `weights` belong together"),
        ({"factory": "a.b", "weights": "w"}, "factory"),
        ({"model": "a", "allow_pickle": "yes"}, "I trust this file"),
        ({"model": "a", "allow_pickle": "I trust this file"}, "`allow_pickle` needs `sha256`"),
        (
            {"model": "a", "conditioning": "text_embedding"},
            "needs either `embeddings` .a safetensors file. or",
        ),
        ({"model": "a", "text_encoder": "storyworld-clip"}, "and nothing else takes them"),
        (
            {"model": "a", "conditioning": "text_embedding", "embeddings": "a", "text_encoder": "ViT-B-32"},
            "needs either `embeddings`",
        ),
        (
            {"model": "a", "conditioning": "text_embedding", "text_encoder": "storyworld-clap"},
            "no model 'storyworld-clap'; did you mean 'storyworld-clip'",
        ),
        ({"model": "storyworld-gan"}, "'storyworld-gan' ships along with its own 'z_dim'; remove it"),
        ({"model": "a", "z_dim": 0}, "greater than or equal to 1"),
        ({"model": "a", "truncation": 0.0}, "greater than or equal to 0.1"),
        ({"model": "a", "zdim": 3}, "Extra inputs"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GanOptions(**{"z_dim": 8, **options})


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("tests.tiny_models:nothing", "has no callable 'nothing'"),
        ("tests.tiny_models:save_tiny_wan", "cannot be loaded as safetensors"),
        ("pathlib:Path", "returned .*Path; expected a torch.nn.Module"),
    ],
)
def test_factories_that_give_no_network(models: Path, factory: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        run(backend(models, factory=factory, weights="g.safetensors"))


def test_needs_prompts_seeds_and_a_device_that_is_there(models: Path) -> None:
    generator = backend(models, model="g.pt")
    with pytest.raises(SuiteError, match="expected `prompts` in the suite"):
        generator.samples([], (0,))
    with pytest.raises(SuiteError, match="expected at least one seed"):
        generator.samples(PROMPTS, ())
    with pytest.raises(BackendError, match="are not of this backend's plan"):
        list(generator.generate(backend(models, model="g.pt2").samples(PROMPTS, (9,))))
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match=r"device 'cuda' is not available here .available: cpu"):
            run(backend(models, model="g.pt", device="cuda"))


def test_the_suites_frame_rate_is_taken(models: Path) -> None:
    context = BackendContext(models, video=VideoRequest(fps=12))
    generator = GanBackend(GanOptions(model="g.pt", z_dim=8, device="cpu"), context)
    assert run(generator, (0,))[0].fps == 12
