"""References built from videos: what counts, what is refused, that parts join, and that ``fvd`` takes the file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.clips import moving_square, write_clip
from tests.metrics.test_embedding_metrics_run import by_key
from tests.tiny_bundled import NOTHING, VIDEO_WIDTH, install
from tests.tiny_i3d import save_tiny_i3d
from vgaudit.errors import Unavailable, UsageError
from vgaudit.metrics import reference_build
from vgaudit.metrics.fvd_reference import read_statistics
from vgaudit.metrics.reference_build import (
    ReferencePart,
    describe,
    merged,
    read_part,
    write_part,
    write_reference,
)
from vgaudit.pipeline import reference
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.reference import build_part, find_videos, reference_metric
from vgaudit.pipeline.run import execute
from vgaudit.records import Result
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import random_scene
from vgaudit.suite import load_suite
from vgaudit.video.encoding import EncoderSettings, encode

N = 18
VIDEO_FEATURES = 64


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models' clips of the storyworld, the second one's with a copy and a clip that is too short."""
    folder = tmp_path_factory.mktemp("drawn")
    for model, first in (("model", 9_100_000_000), ("real", 9_200_000_000)):
        (folder / model).mkdir()
        for i in range(N):
            frames = render(random_scene(first + i), first + i, frames=20, width=48, height=48).frames
            encode(frames, 8.0, folder / model / f"{i}.mp4", EncoderSettings())
    shutil.copy(folder / "real" / "3.mp4", folder / "real" / "3 again.mp4")
    write_clip(folder / "real" / "short.mp4", moving_square(0, frames=9, size=48))
    return folder


def build(*inputs: Path, protocol: str = "fvd@storyworld", **options: Any) -> ReferencePart:
    named = {k: options.pop(k) for k in ("weights", "sha256") if k in options}
    return build_part(find_videos(inputs)[0], reference_metric(protocol, **named), **options)


@pytest.fixture(scope="module")
def whole_part(drawn: Path) -> ReferencePart:
    """Of all clips in ``real``."""
    return build(drawn / "real")


@pytest.fixture(scope="module")
def with_features(drawn: Path) -> ReferencePart:
    return build(drawn / "real", keep_features=True)


def against(folder: Path, out: Path, reference: Any, protocol: str, **named: str) -> Result:
    """``fvd.distance`` of the clips in ``model``."""
    rows = ["path,prompt_id,model"]
    for model in ("model", "real"):
        rows += [f"{p.relative_to(folder)},{p.stem},{model}" for p in sorted((folder / model).iterdir())]
    index = out.with_suffix(".csv")
    index.write_text("\n".join(rows) + "\n")
    suite = {
        "name": "reference",
        "backend": {"type": "files", "root": str(folder), "index": str(index), "domain": "storyworld"},
        "metrics": {"fvd": {"protocol": protocol, "reference": reference, **named}},
    }
    out.with_suffix(".yaml").write_text(json.dumps(suite))
    finished = execute(prepare(load_suite(out.with_suffix(".yaml"))), out, workers=2)
    assert finished is not None
    return by_key(finished)["fvd.distance", "model"]


def metadata(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


@pytest.mark.parametrize(
    "protocol", ["fvd@storyworld", pytest.param("fvd@styleganv", marks=pytest.mark.slow)]
)
def test_a_built_file_stands_for_the_group_of_the_same_clips(
    drawn: Path, tmp_path: Path, protocol: str
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(drawn, folder)
    (folder / "real" / "3 again.mp4").unlink()  # a group counts it twice
    named: dict[str, str] = {}
    if protocol == "fvd@styleganv":
        named = {"weights": str(tmp_path / "i3d.pt"), "sha256": save_tiny_i3d(tmp_path / "i3d.pt")}
    part = build(folder / "real", protocol=protocol, keep_features=True, workers=2, **named)
    write_reference(tmp_path / "real.safetensors", part)
    group = against(folder, tmp_path / "group", {"group": "real"}, protocol, **named)
    file = against(folder, tmp_path / "file", str(tmp_path / "real.safetensors"), protocol, **named)
    assert group.value is not None, group.reason
    assert file.value == pytest.approx(group.value, rel=1e-6)
    assert part.list_sha256 == group.detail["reference_list_sha256"]
    assert metadata(tmp_path / "real.safetensors")["list_sha256"] == json.dumps(part.list_sha256)
    assert (part.n, part.left_out) == (N, {"shorter than 16 frames": 1})
    assert {start for _, start in part.clips} == ({0} if protocol == "fvd@storyworld" else {0, 1, 2, 3, 4})
    assert file.detail["reference_made"]["recipe"]["video"] == {"width": 48, "height": 48, "fps": 8.0}
    assert file.detail["floor"]["status"] == group.detail["floor"]["status"]
    assert "part of the distance is the" not in file.reason


def test_what_the_file_says(drawn: Path, tmp_path: Path) -> None:
    part = build(drawn / "real", options={"protocol": "fvd@storyworld"})
    assert part.duplicates == 1
    write_reference(tmp_path / "r.safetensors", part)
    arrays, said = load_file(tmp_path / "r.safetensors"), metadata(tmp_path / "r.safetensors")
    assert set(arrays) == {"mean", "cov", "num_clips", "clip_sha256", "window_start"}
    assert (said["protocol"], said["weights"], said["n"]) == ("fvd@storyworld", "storyworld-video", str(N))
    assert json.loads(said["encoder"]) == {"codec": "h264", "pixel_format": "yuv420p"}
    assert json.loads(said["left_out"]) == {
        "counts": {"shorter than 16 frames": 1},
        "clips": [{"clip": "short.mp4", "reason": "shorter than 16 frames"}],
    }
    assert str(tmp_path) not in json.dumps(said)
    rows = dict(describe(tmp_path / "r.safetensors"))
    assert rows["clips"] == str(N)
    assert rows["features"].startswith("not stored")
    assert rows["left out"] == "1 x shorter than 16 frames"


def test_clips_of_several_kinds_are_counted(drawn: Path, tmp_path: Path) -> None:
    for i in range(2):
        frames = render(random_scene(i), i, width=64, height=48).frames
        encode(frames, 10.0, tmp_path / f"{i}.mp4", EncoderSettings())
    write_reference(tmp_path / "r.safetensors", build(drawn / "real", tmp_path))
    video = json.loads(metadata(tmp_path / "r.safetensors")["recipe"])["video"]
    assert video == {"sizes": {"48x48": N, "64x48": 2}, "rates": {"8": N, "10": 2}}
    mixed = against(drawn, tmp_path / "run", str(tmp_path / "r.safetensors"), "fvd@storyworld")
    assert "reference clips are of several sizes (48x48, 64x48)" in mixed.reason


@pytest.mark.parametrize("shares", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_merged_parts_are_the_whole(
    drawn: Path, with_features: ReferencePart, tmp_path: Path, shares: int
) -> None:
    whole = with_features
    parts = {}
    for i in range(1, shares + 1):
        path = tmp_path / f"{i}.safetensors"
        write_part(path, build(drawn / "real", keep_features=True, shard=(i, shares)))
        parts[path.name] = read_part(path)
        with pytest.raises(UsageError, match="it is a part of a set"):
            read_statistics(path)
    joined = merged(parts)
    np.testing.assert_allclose(joined.moments.mean, whole.moments.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(joined.moments.scatter, whole.moments.scatter, rtol=0, atol=1e-9)
    assert joined.features is not None
    np.testing.assert_array_equal(joined.features, whole.features)
    assert joined.clips == whole.clips
    for fact in ("list_sha256", "videos", "left_out", "left_out_names", "duplicates", "extractor", "guard"):
        assert getattr(joined, fact) == getattr(whole, fact), fact
    (first, *others) = parts
    with pytest.raises(UsageError, match=r"expected each of 1/\d to \d/\d once, found"):
        merged({name: parts[name] for name in others})
    with pytest.raises(UsageError, match="clips in common"):
        merged({**parts, "again": parts[first]})


def test_a_share_in_which_every_clip_failed_is_merged(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of its clips told which network it was; the order of the shares changes nothing."""
    whole = build(drawn / "real", keep_features=True, shard=(2, 2))
    with monkeypatch.context() as broken:
        broken.setattr(reference, "_embed", lambda *_: reference._Embedded(failed="cannot be read"))
        empty = build(drawn / "real", keep_features=True, shard=(1, 2), max_failed=N)
        other = build(drawn / "real", keep_features=True, shard=(2, 2), max_failed=N)
    assert (empty.n, empty.weights_sha256) == (0, "")
    write_part(tmp_path / "empty.safetensors", empty)
    parts = {"empty": read_part(tmp_path / "empty.safetensors"), "whole": whole}
    for order in (["empty", "whole"], ["whole", "empty"]):
        joined = merged({name: parts[name] for name in order})
        assert (joined.n, joined.weights, joined.weights_sha256) == (
            whole.n, whole.weights, whole.weights_sha256,
        )  # fmt: skip
        np.testing.assert_array_equal(joined.moments.mean, whole.moments.mean)
        np.testing.assert_array_equal(joined.features, whole.features)
        assert (joined.failed, joined.left_out["cannot be read"]) == (empty.failed, empty.failed)
    with pytest.raises(UsageError, match=r"whole and empty are not parts of one set: extractor"):
        merged({"empty": replace(empty, extractor="another"), "whole": whole})
    with pytest.raises(UsageError, match="network with sha256"):
        merged({"whole": whole, "unsigned": replace(whole, weights_sha256="", shard=(1, 2))})
    with pytest.raises(UsageError, match=r"no clip is in any of the 2 parts; .* x cannot be read"):
        merged({"empty": empty, "other": other})


@pytest.mark.parametrize("shard", [(1, 1), (1, 4)])
def test_features_that_no_file_holds_are_refused_after_the_first_clip(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, shard: tuple[int, int]
) -> None:
    """Of a share too: its merged set would be refused after days of work."""
    seen = []
    embed = reference._embed
    monkeypatch.setattr(reference, "_embed", lambda *a: (seen.append(1), embed(*a))[1])
    clips = N + 1
    room = (
        reference_build._METADATA_BYTES
        + clips * (4 * VIDEO_FEATURES + 40)
        + 8 * VIDEO_FEATURES * (VIDEO_FEATURES + 1)
    )
    monkeypatch.setattr(reference_build, "MAX_BYTES", room)
    assert build(drawn / "real", keep_features=True, shard=(1, 8)).n > 0
    seen.clear()
    monkeypatch.setattr(reference_build, "MAX_BYTES", room - 1)
    with pytest.raises(
        UsageError, match=rf"a file of {clips} clips, {VIDEO_FEATURES} features each, .* --features"
    ):
        build(drawn / "real", keep_features=True, shard=shard)
    assert len(seen) <= 3  # a few clips are worked on ahead
    assert build(drawn / "real", shard=(1, 8)).n > 0


def test_a_share_that_is_there_is_given_back(drawn: Path) -> None:
    first = build(drawn / "real", shard=(1, 2))
    assert build(drawn / "real", shard=(1, 2), known=first) is first
    assert build(drawn / "real", shard=(2, 2), known=first) is not first
    assert build(drawn / "real", shard=(1, 2), known=first, keep_features=True) is not first
    assert build(drawn, shard=(1, 2), known=first) is not first


def test_a_share_is_held_to_the_rule_in_force(drawn: Path, tmp_path: Path) -> None:
    """However lax the one was that it was made under."""
    (tmp_path / "no video.mp4").write_bytes(b"nothing of the kind")
    listed = tmp_path / "list.txt"
    listed.write_text("no video.mp4\nabsent.mp4\n")
    shares = [build(drawn / "real", listed, shard=(i, 2), max_failed=2) for i in (1, 2)]
    assert sum(share.failed for share in shares) == 2
    assert [share.unopened for share in shares] == [1, 0]
    assert merged(dict(zip("ab", shares, strict=True))).failed == 2
    path = tmp_path / "share.safetensors"
    for i, share in enumerate(shares, 1):
        write_part(path, share)
        known = read_part(path)
        assert build(drawn / "real", listed, shard=(i, 2), known=known, max_failed=share.failed) is known
        if share.failed:
            with pytest.raises(Unavailable, match=f"at most {share.failed - 1} may be left out"):
                build(drawn / "real", listed, shard=(i, 2), known=known, max_failed=share.failed - 1)
    listed.write_text("no video.mp4\nabsent.mp4\nabsent too.mp4\n")  # the same list of contents
    with pytest.raises(Unavailable, match="absent too"):
        build(drawn / "real", listed, shard=(1, 2), known=shares[0], max_failed=shares[0].failed)
    assert build(drawn / "real", listed, shard=(2, 2), known=shares[1], max_failed=2) is shares[1]


def test_parts_of_other_extractors_or_guards_are_refused(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "networks", monkeypatch)
    ours = build(drawn / "real", shard=(1, 2))
    assert ours.guard.startswith("domain-v")
    with monkeypatch.context() as later:
        later.setattr("vgaudit.extractors.video_embedding._VERSION", 99)
        theirs = build(drawn / "real", shard=(2, 2))
    with pytest.raises(
        UsageError, match=r"extractor \(version, .*video_embedding-v.* and video_embedding-v99-"
    ):
        merged({"a": ours, "b": theirs})
    for change in ("vgaudit.extractors.domain._VERSION", "vgaudit.metrics.domain_guard.FOREIGN_QUARTILE"):
        with monkeypatch.context() as later:
            later.setattr(change, -99)
            theirs = build(drawn / "real", shard=(2, 2))
            assert build(drawn / "real", shard=(1, 2), known=ours) is not ours
        assert theirs.extractor == ours.extractor
        with pytest.raises(UsageError, match=r"not parts of one set: domain guard is .* in the first and .*"):
            merged({"a": ours, "b": theirs})
    i3d = {"weights": str(tmp_path / "i3d.pt"), "sha256": save_tiny_i3d(tmp_path / "i3d.pt", width=8)}
    assert build(drawn / "real", protocol="fvd@styleganv", **i3d).guard == ""


def test_parts_of_different_protocols_or_networks_are_refused(
    drawn: Path, whole_part: ReferencePart, tmp_path: Path
) -> None:
    ours = whole_part
    named = {"weights": str(tmp_path / "i3d.pt"), "sha256": save_tiny_i3d(tmp_path / "i3d.pt", width=8)}
    i3d = build(drawn / "model", protocol="fvd@styleganv", **named)
    with pytest.raises(UsageError, match=r"protocol is fvd@storyworld .* fvd@styleganv"):
        merged({"a": ours, "b": i3d})
    forced = build(drawn / "model", protocol="fvd@storyworld", **named)
    with pytest.raises(UsageError, match="network with sha256"):
        merged({"a": ours, "b": forced})


def test_neither_names_nor_order_nor_threads_change_anything(
    drawn: Path, whole_part: ReferencePart, tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    files = sorted((drawn / "real").iterdir(), key=lambda p: p.name[::-1])
    listed.write_text("# clips\n" + "".join(f"{path}\n" for path in files))
    one, other = whole_part, build(listed, drawn / "real", workers=3)
    np.testing.assert_array_equal(one.moments.scatter, other.moments.scatter)
    assert (one.clips, one.videos, one.duplicates) == (other.clips, other.videos, other.duplicates)


def test_unreadable_videos_are_named_and_counted(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "no video.mp4").write_bytes(b"nothing of the kind")
    listed = tmp_path / "list.txt"
    listed.write_text("no video.mp4\nabsent.mp4\n")
    with pytest.raises(Unavailable) as refused:
        build(drawn / "real", listed, max_failed=1)
    assert refused.value.reason.startswith("2 of 21 clips cannot be read, and at most 1 may be left out")
    assert "  absent.mp4: No such file or directory\n" in refused.value.reason
    assert "  no video.mp4: " in refused.value.reason
    part = build(drawn / "real", listed, max_failed=2)
    assert (part.n, sum(part.left_out.values())) == (N, 3)
    assert {"absent.mp4", "no video.mp4", "short.mp4"} == {name for name, _ in part.left_out_names}
    with pytest.raises(UsageError, match="found nothing there"):
        find_videos([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="expected videos, found none"):
        find_videos([tmp_path / "empty"])


def test_clips_of_another_world_are_refused(drawn: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    encode(
        rng.integers(0, 256, (17, 48, 48, 3), dtype=np.uint8), 8.0, tmp_path / "noise.mp4", EncoderSettings()
    )
    with pytest.raises(Unavailable, match=r"noise.mp4: out of domain \(forced\).*fvd@styleganv"):
        build(drawn / "real", tmp_path)


def test_the_guard_that_the_metric_asks_decides(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "networks", monkeypatch, brighter_than=NOTHING)
    with pytest.raises(Unavailable, match="its pictures are not the storyworld's"):
        build(drawn / "real")
    install(tmp_path / "networks", monkeypatch)
    part = build(drawn / "real")
    assert len(part.moments.mean) == VIDEO_WIDTH
    assert part.notes == ("that these clips show the storyworld is known from their pictures alone",)


def test_too_few_clips_are_no_reference(drawn: Path, tmp_path: Path) -> None:
    part = build(*sorted((drawn / "real").glob("1*.mp4")), drawn / "real" / "short.mp4")
    with pytest.raises(UsageError, match=r"9 usable clips; expected at least 16.*1 x shorter than 16 frames"):
        write_reference(tmp_path / "r.safetensors", part)
    assert not (tmp_path / "r.safetensors").exists()


@pytest.mark.parametrize("key", ["metadata", "array"])
def test_a_file_of_another_protocol_is_refused(whole_part: ReferencePart, tmp_path: Path, key: str) -> None:
    path = tmp_path / ("r.safetensors" if key == "metadata" else "r.npz")
    part = whole_part
    write_reference(tmp_path / "r.safetensors", part)
    if key == "array":
        arrays = load_file(tmp_path / "r.safetensors")
        np.savez(path, protocol="fvd@storyworld", weights_sha256=part.weights_sha256, **arrays)
    for asked in ("fvd@storyworld", ""):
        assert read_statistics(path, 1, asked).statistics.n == N
    with pytest.raises(UsageError, match=r"made by the protocol fvd@storyworld, .* compared by fvd@videogpt"):
        read_statistics(path, 1, "fvd@videogpt")


def test_a_published_file_is_shown(shared_data: Path) -> None:
    for path in sorted((shared_data / "i3d_stats").glob("*.npz")):
        rows = dict(describe(path))
        assert rows["dimensions"].startswith("400, effective rank")
        assert rows["network"] == "not said: fvd@styleganv alone takes it"
        assert rows["covariance"] == "divided by N"


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").write_bytes(b"\x08")
    for read in (read_part, describe):
        with pytest.raises(UsageError, match="cannot be used"):
            read(tmp_path / "p.safetensors")
    with pytest.raises(UsageError, match="found no file"):
        read_part(tmp_path / "absent.safetensors")
