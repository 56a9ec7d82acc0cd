"""The training of the bundled networks, from nothing to the files the package loads, at a reduced size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgaudit.storyworld.scene import Scene, every_scene
from vgaudit.storyworld.split import is_held_out

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


@pytest.mark.slow
def test_networks_are_rebuilt_from_nothing_and_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
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

    # The guard is trained against pictures, and refuses to set a threshold where the two sides overlap.
    clip_art, rng = tmp_path / "pictures" / "openclipart", np.random.default_rng(0)
    clip_art.mkdir(parents=True)
    for i in range(40):
        art = rng.integers(0, 256, (48, 48, 4), np.uint8)
        Image.fromarray(art, "RGBA").save(clip_art / f"{i}.png")
        Image.fromarray(np.tile(art[..., :3], (4, 4, 1))).save(clip_art.parent / f"{i}.png")
    done = start(
        "train_domain.py", "--data", clips, "--held-out", held, "--pictures", clip_art.parent,
        "--out", tmp_path / "domain", "--device", "cpu", "--steps", 2, "--kept", 200,
    )  # fmt: skip
    assert done.returncode == 1
    assert "overlap" in done.stderr
    assert (tmp_path / "domain" / "checkpoint.pt").exists()
    assert not (tmp_path / "domain" / "network.pt").exists()

    bundled = tmp_path / "bundled"
    said = run(
        "bundle.py", "--clip", tmp_path / "clip", "--video", tmp_path / "video",
        "--domain", tmp_path / "video" / "network.pt", "--out", bundled,
    )  # fmt: skip
    assert "sha256" in said
    sizes = [file.stat().st_size for file in bundled.rglob("*") if file.is_file()]
    assert len(sizes) == 6
    assert sum(sizes) < 10 * 2**20
