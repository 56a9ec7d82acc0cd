"""The training of the bundled networks, from nothing to the files the package loads, at a reduced size."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LTXPipeline
from PIL import Image

from tests.clips import moving_square, write_clip
from vgaudit.backends.base import BackendContext, PromptSpec
from vgaudit.backends.diffusers import DiffusersBackend, DiffusersOptions
from vgaudit.backends.gan import GanBackend, GanOptions
from vgaudit.metrics.temporal_quality import FEATURES, parse_coefficients
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene, caption, every_scene, random_scene
from vgaudit.storyworld.split import is_held_out
from vgaudit.zoo import resolve
from vgaudit.zoo.generators import BUNDLED_T2V, GENERATORS, generator_folder
from vgaudit.zoo.torchscript import load_torchscript

TRAINING = Path(__file__).resolve().parents[1] / "training"


def start(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TRAINING / script, *map(str, args)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip


def run(script: str, *args: object) -> str:
    done = start(script, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_combination_in_eight_is_held_out_and_a_colour_is_needed() -> None:
    scenes = list(every_scene())
    share = sum(map(is_held_out, scenes)) / len(scenes)
    assert 0.10 < share < 0.15
    with pytest.raises(ValueError, match="colour is open"):
        is_held_out(Scene("dog", "walking", "forest"))


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports scripts of the training as modules; they and what they import from their folder are gone afterwards."""
    monkeypatch.setattr(sys, "path", [str(TRAINING), *sys.path])
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent == TRAINING:
            del sys.modules[name]


@pytest.fixture
def train_domain(training: Callable[[str], ModuleType]) -> ModuleType:
    """The guard's training."""
    return training("train_domain")


def save_guard(train_domain: ModuleType, path: Path, **found: float) -> torch.nn.Module:
    """Have the training write a guard that learnt nothing; returns the network that it was given."""
    torch.manual_seed(0)
    network: torch.nn.Module = train_domain.Guard().train()
    network(torch.randint(0, 256, (8, 3, 64, 64)))  # moves the statistics that a copy must take along
    train_domain.write_network(network, found, path)
    return network


def test_the_guard_s_threshold_is_in_its_file(
    train_domain: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.pt"
    network = save_guard(train_domain, path, others_999=-1.5, drawn_least=2.0, made_least=1.0)
    threshold = json.loads(capsys.readouterr().out)["threshold"]
    assert threshold == (1.0 - 1.5) / 2  # half-way to the least sure of both, drawn and made

    loaded = load_torchscript(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), "cpu").module
    for height, width in ((64, 64), (40, 90)):
        pictures = torch.randint(0, 256, (5, 3, height, width), dtype=torch.uint8)
        with torch.inference_mode():
            logits, learnt = loaded(pictures), network.eval()(pictures)
        assert logits.shape == (5,)
        torch.testing.assert_close(learnt - logits, torch.full((5,), threshold), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("others", "drawn", "made"), [(1.0, 1.0, 4.0), (3.0, 1.0, 4.0), (1.0, 4.0, 1.0)])
def test_a_guard_whose_sides_overlap_is_not_written(
    train_domain: ModuleType, tmp_path: Path, others: float, drawn: float, made: float
) -> None:
    with pytest.raises(SystemExit, match="overlap"):
        save_guard(
            train_domain, tmp_path / "network.pt", others_999=others, drawn_least=drawn, made_least=made
        )
    assert not (tmp_path / "network.pt").exists()


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ((), "0 photographs that can be read among 0 files, and 0 pieces of clip art among 0"),
        (("a.png", "b.png"), "2 photographs that can be read among 2 files, and 0 pieces"),
        (("openclipart/a.png",), "among 0 files, and 1 pieces of clip art among 1"),
        (("small.png", "broken.jpg", "openclipart/a.png"), "0 photographs that can be read among 2 files"),
    ],
)
def test_pictures_without_one_of_the_kinds_are_refused_before_training(
    train_domain: ModuleType, tmp_path: Path, there: tuple[str, ...], found: str
) -> None:
    for name in there:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64) if name == "small.png" else (200, 150)).save(file)
        if name == "broken.jpg":
            file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SystemExit, match=found) as caught:
        train_domain.read_pictures(tmp_path)
    assert "'openclipart' in its path" in str(caught.value)
    assert "docs/bundled-models.md" in str(caught.value)


def test_a_side_of_the_split_without_pictures_is_refused(train_domain: ModuleType) -> None:
    photograph, drawn = np.zeros((128, 128, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(SystemExit, match="found 1, 0 and 1: give more pictures"):
        train_domain.Outliers([photograph], [], drawn)


def test_a_copy_of_a_clip_differs_from_it_as_its_name_says(training: Callable[[str], ModuleType]) -> None:
    frames = moving_square(1, frames=10, size=64)
    copies = dict(training("clip_copies").altered(frames, 1))
    assert copies.pop("") is frames
    assert all(c.dtype == np.uint8 for c in copies.values())
    lengths = {
        "doubled": 20,
        "slowed, mixed between": 19,
        "slowed, every frame mixed": 18,
        "every second frame": 5,
    }
    assert {name: len(copies[name]) for name in lengths} == lengths
    assert np.array_equal(copies["doubled"][::2], frames)
    assert (copies["frozen"] == frames[0]).all()
    assert np.array_equal(copies["frozen from the middle"][:5], frames[:5])
    assert (copies["frozen from the middle"][5:] == frames[5]).all()
    assert np.array_equal(copies["slowed, flow between"][::2], frames)
    stored = np.abs(copies["x264 alone"].astype(int) - frames)
    assert copies["x264 alone"].shape == frames.shape
    assert 0 < stored.mean() < 12  # lossy, and of these frames
    assert copies["frozen, x264"].shape == frames.shape


@pytest.mark.parametrize("every_copy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_score_of_temporal_quality_is_fitted_to_rated_clips(
    training: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_copy: bool
) -> None:
    """Two generators and real clips in a folder laid out as FETV's; the second shakes, and is rated worse."""
    with (tmp_path / "index.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "prompt_id", "model", "temporal_quality"])
        for m, model in enumerate(("calm", "shaky", "real")):
            for i in range(4):
                clip = moving_square(10 * m + i, frames=10, size=64)
                shifts = np.random.default_rng(i).integers(-2, 3, len(clip)) * (model == "shaky")
                clip = np.stack([np.roll(f, s, axis=0) for f, s in zip(clip, shifts, strict=True)])
                write_clip(tmp_path / f"{model}{i}.mp4", clip)
                rows.writerow([f"{model}{i}.mp4", f"p{i}", model, (4.0, 2.0, 5.0)[m] - 0.1 * i])
    script, out, cache = training("temporal_quality"), tmp_path / "out.json", tmp_path / "cache.json"
    monkeypatch.setattr(training("rating_study"), "DRAWS", 3)
    copies = training("clip_copies")
    if not every_copy:  # one of each sort: 28 copies of each clip take twenty seconds
        for kind, kept in ((copies.COPIES, "frozen"), (copies.CONTROLS, "backwards")):
            for name in kind.keys() - {kept}:
                monkeypatch.delitem(kind, name)
        for module in (copies, script):
            monkeypatch.setattr(module, "FAULTS", ("flicker",))
    arguments = ["--data", str(tmp_path), "--out", str(out), "--cache", str(cache)]
    monkeypatch.setattr(sys, "argv", ["temporal_quality.py", *arguments])
    script.main()
    first = out.read_bytes()
    written = json.loads(first)
    c = parse_coefficients(written)
    assert [f["name"] for f in written["features"]] == list(FEATURES)
    assert max(c.weights) <= 0
    assert sum(c.weights) < 0
    assert written["fit"]["clips"] == 8  # real ones are in no fit
    assert str(tmp_path) not in first.decode()
    told = {name for name in written["validation"] if name.startswith("copies: ")}
    sorts = [*copies.COPIES, *copies.CONTROLS, *(f"fault {kind}" for kind in copies.FAULTS)]
    assert told == {f"copies: {name}" for name in sorts}
    assert len(sorts) == (26 if every_copy else 3)
    assert written["validation"]["copies: frozen"] == {"higher": 0, "clips": 12, "missing": 12}
    script.main()  # from the features that it kept
    assert out.read_bytes() == first


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_networks_are_trained_from_nothing_and_training_goes_on_where_it_stopped(
    train_domain: ModuleType, tmp_path: Path
) -> None:
    clips, held = tmp_path / "clips", tmp_path / "held"
    run("storyworld_clips.py", "--out", clips, "--clips", 80, "--workers", 2)
    run("storyworld_clips.py", "--out", held, "--clips", 70, "--workers", 2, "--held-out")
    for folder, side in ((clips, False), (held, True)):
        labels = json.loads((folder / "labels" / "00000.json").read_text("utf-8"))
        assert {is_held_out(Scene(**label["scene"])) for label in labels} == {side}
    again = tmp_path / "again"
    run("storyworld_clips.py", "--out", again, "--clips", 80, "--workers", 1)
    for name in ("clean.npy", "faulty.npy"):
        assert np.array_equal(np.load(clips / name), np.load(again / name))

    pictures, fresh = tmp_path / "frames", tmp_path / "fresh"
    for out, further in ((pictures, ()), (fresh, ("--held-out",))):
        run(
            "storyworld_clips.py",
            "--out",
            out,
            "--clips",
            70,
            "--side",
            96,
            "--every",
            2,
            "--clean",
            *further,
        )
        assert np.load(out / "clean.npy", mmap_mode="r").shape == (70, 9, 96, 96, 3)
        assert not (out / "faulty.npy").exists()
    done = start("train_clip.py", "--data", clips, "--out", tmp_path / "clip")
    assert "frames are 64x64, not 96x96" in done.stderr
    done = start("train_video.py", "--data", pictures, "--out", tmp_path / "video")
    assert "draw it without" in done.stderr

    for script, data, unseen in (("train_clip.py", pictures, fresh), ("train_video.py", clips, held)):
        out = tmp_path / script.removeprefix("train_").removesuffix(".py")
        common = ("--data", data, "--held-out", unseen, "--out", out, "--device", "cpu")
        run(script, *common, "--steps", 2)
        run(script, *common, "--steps", 3)
        lines = [json.loads(line) for line in (out / "curve.jsonl").read_text("utf-8").splitlines()]
        assert [line["step"] for line in lines] == [2, 3]
        assert all(0 <= share <= 1 for line in lines for share in line["held_out"].values())

    # The guard is trained against pictures. Two steps teach it nothing: it refuses to set a threshold, and its file
    # is written as for a guard that learnt.
    shapes, held_shapes = tmp_path / "shapes", tmp_path / "held-shapes"
    for out, further in ((shapes, ()), (held_shapes, ("--held-out",))):
        run("storyworld_clips.py", "--out", out, "--clips", 16, "--any-size", "--workers", 2, *further)
    made, held_made = tmp_path / "made", tmp_path / "held-made"
    for out, further in ((made, ()), (held_made, ("--held-out",))):
        run("generated_clips.py", "storyworld-gan", "--out", out, "--clips", 6, "--workers", 1, *further)
        assert np.load(out / "clean.npy").shape == (6, 17, 64, 64, 3)
    assert not np.array_equal(np.load(made / "clean.npy"), np.load(held_made / "clean.npy"))
    clip_art, rng = tmp_path / "pictures" / "openclipart", np.random.default_rng(0)
    clip_art.mkdir(parents=True)
    for i in range(40):
        art = rng.integers(0, 256, (48, 48, 4), np.uint8)
        Image.fromarray(art, "RGBA").save(clip_art / f"{i}.png")
        Image.fromarray(np.kron(art[..., :3], np.ones((4, 4, 1), np.uint8))).save(
            clip_art.parent / f"{i}.png"
        )
    done = start(
        "train_domain.py", "--data", clips, "--held-out", held, "--shapes", shapes,
        "--held-out-shapes", held_shapes, "--made", made, "--held-out-made", held_made, "--pictures",
        clip_art.parent, "--out",
        tmp_path / "domain", "--device", "cpu", "--steps", 2, "--kept", 200,
    )  # fmt: skip
    assert done.returncode == 1
    assert "overlap" in done.stderr
    assert (tmp_path / "domain" / "checkpoint.pt").exists()
    assert not (tmp_path / "domain" / "network.pt").exists()

    guard = tmp_path / "domain" / "network.pt"
    save_guard(train_domain, guard, others_999=-1.5, drawn_least=2.0, made_least=1.0)

    bundled = tmp_path / "bundled"
    said = run(
        "bundle.py", "--clip", tmp_path / "clip", "--video", tmp_path / "video",
        "--domain", guard, "--out", bundled,
    )  # fmt: skip
    assert "sha256" in said
    assert (bundled / "storyworld-domain" / "network.pt").read_bytes() == guard.read_bytes()
    sizes = [file.stat().st_size for file in bundled.rglob("*") if file.is_file()]
    assert len(sizes) == 6
    assert sum(sizes) < 10 * 2**20


def test_curves_in_decibels_are_no_shares(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    line = {"step": 600, "loss": 0.4, "held_out": {"psnr": 23.33, "psnr through the encoder": 14.66}}
    (tmp_path / "vae" / "curve.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    run("curves.py", "--vae", tmp_path / "vae", "--out", tmp_path)
    drawn = (tmp_path / "storyworld-t2v-vae.svg").read_text("utf-8")
    assert "23.33" in drawn
    assert "%" not in drawn.replace('"100%"', "")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generators_are_trained_from_nothing_and_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    drawn, held = tmp_path / "drawn", tmp_path / "held"
    for out, further in ((drawn, ()), (held, ("--held-out",))):
        run(
            "storyworld_clips.py",
            "--out",
            out,
            "--clips",
            24,
            "--clean",
            "--as-drawn",
            "--workers",
            2,
            *further,
        )
        label = json.loads((out / "labels" / "00000.json").read_text("utf-8"))[0]
        scene = Scene(**label["scene"])
        assert is_held_out(scene) == bool(further)
        assert np.array_equal(np.load(out / "clean.npy")[0], render(scene, label["seed"]).frames)

    data = ("--data", drawn, "--device", "cpu")
    vae, t2v, gan = tmp_path / "vae", tmp_path / "t2v", tmp_path / "gan"
    trainings: tuple[tuple[Any, ...], ...] = (
        ("train_vae.py", *data, "--held-out", held, "--out", vae, "--batch", 4),
        ("train_t2v.py", *data, "--vae", vae, "--out", t2v, "--batch", 8),
        ("train_gan.py", *data, "--vae", vae, "--out", gan, "--batch", 8),
    )  # fmt: skip
    for script, *arguments in trainings:
        run(script, *arguments, "--steps", 2)
        run(script, *arguments, "--steps", 3)
        out = arguments[arguments.index("--out") + 1]
        lines = [json.loads(line) for line in (out / "curve.jsonl").read_text("utf-8").splitlines()]
        assert [line["step"] for line in lines] == [2, 3], script
        assert all(np.isfinite(v) for line in lines for v in line.values() if isinstance(v, float))

    done = start("train_t2v.py", "--data", held, "--vae", vae, "--out", t2v, "--device", "cpu", "--steps", 4)
    assert done.returncode == 1
    assert "latents of another code or of other clips" in done.stderr

    bundled = tmp_path / "bundled"
    run("bundle.py", "--t2v", t2v / "pipeline", "--gan", gan, "--out", bundled)
    there = {p.relative_to(bundled).as_posix(): p.stat().st_size for p in bundled.rglob("*") if p.is_file()}
    ships = {f"{name}/{file}" for name, files in GENERATORS.items() for file in files}
    assert set(there) == ships
    for file, size in there.items():  # the same networks as those that ship, but for what they learnt
        if file.endswith(".safetensors"):
            assert size == (resolve.BUNDLED / file).stat().st_size

    # What came out is what the backends load.
    prompts = [PromptSpec("dog", "a dog walking along the beach at sunset")]
    options = DiffusersOptions(
        model=str(bundled / "storyworld-t2v"), fps=8, device="cpu",
        parameters={"num_frames": 17, "width": 64, "height": 64, "num_inference_steps": 2},
    )  # fmt: skip
    one_pass = GanOptions(
        factory="vgaudit.zoo.storyworld_gan:generator", weights="storyworld-gan/generator.safetensors", z_dim=64,
        conditioning="text_embedding", text_encoder="storyworld-clip", fps=8, device="cpu",
    )  # fmt: skip
    context = BackendContext(bundled)
    for backend in (DiffusersBackend(options, context), GanBackend(one_pass, context)):
        (made,) = backend.generate(backend.samples(prompts, [0]))
        assert made.frames is not None, made.message
        assert made.frames.shape == (17, 64, 64, 3)


def test_the_pipeline_is_asked_as_it_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of the training's loss, against the pipeline's own denoising of the same latents."""
    monkeypatch.setattr(sys, "path", [str(TRAINING), *sys.path])
    train_t2v = importlib.import_module("train_t2v")
    pipeline = LTXPipeline.from_pretrained(generator_folder(BUNDLED_T2V), torch_dtype=torch.float32)
    asked: dict[str, Any] = {}

    def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        asked.update(kwargs)

    pipeline.transformer.register_forward_pre_hook(watch, with_kwargs=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline(
        "a red ball bouncing in a forest", num_frames=17, width=64, height=64, frame_rate=train_t2v.FRAME_RATE,
        num_inference_steps=1, guidance_scale=1.0, max_sequence_length=train_t2v.TOKENS, output_type="latent",
    )  # fmt: skip
    told: dict[str, Any] = {}

    def network(**given: Any) -> tuple[torch.Tensor]:
        told.update(given)
        return (torch.zeros_like(given["hidden_states"]),)

    ids = pipeline.tokenizer(
        ["a red ball bouncing in a forest"],
        padding="max_length",
        max_length=train_t2v.TOKENS,
        return_tensors="pt",
    ).input_ids
    latents = torch.randn(1, 80, 96)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        train_t2v.loss_of(network, pipeline.text_encoder, latents, latents, torch.ones(1), ids)
    assert asked.keys() - {"attention_kwargs"} == told.keys()
    for name in ("num_frames", "height", "width", "rope_interpolation_scale", "return_dict"):
        assert asked[name] == told[name], name
    torch.testing.assert_close(asked["timestep"].float(), told["timestep"])
    assert torch.equal(asked["encoder_attention_mask"].bool(), told["encoder_attention_mask"].bool())
    torch.testing.assert_close(
        asked["encoder_hidden_states"], told["encoder_hidden_states"].float(), atol=0.05, rtol=0.05
    )
    assert asked["hidden_states"].shape == told["hidden_states"].shape


def test_the_pipeline_reads_every_word_of_the_grammar_as_one_that_captions_say(
    train_domain: ModuleType,  # its folder is where the others are found
) -> None:
    from transformers import AutoTokenizer

    captions, texts = importlib.import_module("train_t2v"), importlib.import_module("clip_texts")
    rng = np.random.default_rng(0)
    said = {
        word
        for seed in range(6_000)
        for word in re.findall(r"[a-z]+", caption(random_scene(seed), int(rng.integers(2**31))))
    }
    assert set(texts.words()) - said == set(captions.READ_AS)
    assert set(captions.READ_AS.values()) - {""} <= said
    shipped = AutoTokenizer.from_pretrained(generator_folder(BUNDLED_T2V) / "tokenizer")
    for word, other in captions.READ_AS.items():
        assert shipped.tokenize(f"a {word.title()} dog") == ["a", *([other] if other else []), "dog"]
