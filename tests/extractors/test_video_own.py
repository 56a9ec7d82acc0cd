"""A suite's own protocols: what they may say, what is wrong and where, and what makes two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vgaudit.errors import SuiteError
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_own import OwnProtocol, read_own
from vgaudit.extractors.video_protocols import PROTOCOLS, R3D18, SWIN3D, VIDEOGPT
from vgaudit.metrics.base import MetricContext
from vgaudit.metrics.fvd import Fvd
from vgaudit.metrics.fvd_options import FvdOptions
from vgaudit.suite import load_suite

GROUP = {"group": "real"}
MINE: dict[str, Any] = {"name": "mine@short", "base": "fvd@r3d18"}


def own(**given: Any) -> OwnProtocol:
    return OwnProtocol.model_validate({**MINE, **given})


def test_what_is_left_out_is_the_bases() -> None:
    rules = own().rules
    assert rules.name == "mine@short"
    assert rules.base == R3D18.name
    for name in (
        "weights",
        "window",
        "fps",
        "stride",
        "preprocessing",
        "ddof",
        "loader",
        "model",
        "features",
    ):
        assert getattr(rules, name) == getattr(R3D18, name)
    assert own(base="fvd@styleganv").rules.unsigned_reference is False
    assert own(base="fvd@styleganv").rules.clips is None


def test_everything_can_be_said() -> None:
    rules = own(
        window=8, fps="own", stride=2, clips_per_video=3, ddof=0,
        preprocessing={"resize_to": [64, 96], "crop_to": [56, 64], "antialias": True, "std": [1, 1, 1]},
    ).rules  # fmt: skip
    assert (rules.window, rules.fps, rules.stride, rules.clips_per_video, rules.ddof) == (8, None, 2, 3, 0)
    assert rules.random_reference is False
    assert rules.first_window == "3 times 8 (every 2nd) frames, one after the other from frame 0"
    assert rules.pinned["resize"].startswith("to 64 x 96 (rows x columns)")
    assert rules.pinned["crop"].startswith("centre, 56 x 64")
    assert rules.pinned["frame_rate"] == "the clip's own, every 2nd frame"
    assert rules.pinned["windows_per_clip"] == "3, and features are their mean"
    assert rules.pinned["short_clips"] == "left out: fewer than 45 frames"
    assert "over (1, 1, 1)" in rules.pinned["value_range"]
    small = own(preprocessing={"size": 64}).rules.preprocessing
    assert small is not None
    assert small.resize_to is None
    assert small.picture == (64, 64)
    assert own(base="fvd@videogpt").rules.random_reference is VIDEOGPT.random_reference is True
    assert own(base="fvd@videogpt", clips_per_video=2).rules.random_reference is False


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "fvd@r3d18"}, "names are for built-in protocols"),
        ({"name": "FVD@mine"}, "names are for built-in protocols"),
        ({"name": "mine"}, "expected OWNER@NAME"),
        ({"name": "mine@"}, "expected OWNER@NAME"),
        ({"name": "jedi-mine@x"}, "expected a name of your own"),
        ({"base": "fvd@r3d"}, r"expected a built-in protocol \(fvd@styleganv"),
        ({"base": "mine@short"}, "expected a built-in protocol"),
        ({"base": "fvd@storyworld"}, "only what its guard has looked at"),
        ({"stride": 2}, "expected `stride` or `fps`, found stride 2 and 15 frames a second .*fps: own"),
        ({"stride": 2, "fps": 8.0}, "expected `stride` or `fps`"),
        ({"fps": 0.01}, "expected 0.1 to 240"),
        ({"window": 0}, "greater than or equal to 1"),
        ({"base": "fvd@s3d", "window": 13}, "a window of 14 or more frames for fvd@s3d, found 13"),
        ({"base": "fvd@videomae-base", "window": 8}, "a window of 16 frames for fvd@videomae-base, found 8"),
        ({"base": "fvd@styleganv", "window": 17}, "a window of 16 frames"),
        ({"base": "fvd@styleganv", "preprocessing": {"size": 64}}, "does it itself"),
        ({"base": "fvd@clip-vit-b-32", "preprocessing": {"size": 64}}, "does it itself"),
        ({"base": "fvd@s3d", "preprocessing": {"size": 112}}, "pictures of 224 x 224 for fvd@s3d, found 112 x 112"),
        ({"clips_per_video": 2, "random_reference": True}, "`random_reference: false` with several windows"),
        ({"preprocessing": {"crop_to": [200, 200]}}, "found 200 x 200 of 128 x 171"),
        ({"preprocessing": {"std": [1, 0, 1]}}, "three numbers > 0"),
        ({"preprocessing": {"low": 1.0}}, "expected low < high"),
        ({"preprocessing": {"mean": [float("nan"), 0, 0]}}, "finite"),
        ({"preprocessing": {"colour": 1}}, "Extra inputs"),
        ({"ddof": 2}, "Input should be 0 or 1"),
        ({"weights": "x.pt"}, "Extra inputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_said(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        own(**given)


CHANGES: list[dict[str, Any]] = [
    {}, {"window": 8}, {"fps": 8}, {"fps": "own"}, {"fps": "own", "stride": 2}, {"clips_per_video": 2},
    {"base": "fvd@swin3d-t"}, {"name": "mine@other"}, {"preprocessing": {"size": 64}},
    {"preprocessing": {"antialias": True}}, {"preprocessing": {"mean": [0, 0, 0]}}, {"preprocessing": {"high": 2}},
]  # fmt: skip


def fingerprint(protocol: Any) -> str:
    options = VideoEmbeddingOptions(protocol=protocol, weights="w.pt", sha256="0" * 64, device="cpu")
    return VideoEmbeddingExtractor(options).fingerprint


def test_every_choice_makes_other_features() -> None:
    made = [fingerprint({**MINE, **change}) for change in CHANGES]
    made += [fingerprint(name) for name in PROTOCOLS]
    assert len(set(made)) == len(made)


def test_what_is_no_part_of_features_makes_the_same() -> None:
    assert fingerprint({**MINE, "ddof": 0}) == fingerprint({**MINE, "ddof": 1}) == fingerprint(MINE)
    assert fingerprint({**MINE, "window": 16, "fps": 15.0}) == fingerprint(MINE)  # what it is anyway


def identity(protocol: Any, base_dir: Path = Path()) -> Any:
    return Fvd(FvdOptions(reference=GROUP, protocol=protocol), MetricContext(base_dir)).identity()


def test_two_of_one_name_are_not_the_same() -> None:
    changes = [*CHANGES, {"ddof": 0}, {"random_reference": True}]
    made = [str(identity({**MINE, **change})) for change in changes]
    assert len(set(made)) == len(made)
    assert identity("fvd@r3d18") == {"reference_group": "real"}


def test_the_extractor_is_told_all_of_it() -> None:
    fvd = Fvd(FvdOptions(reference=GROUP, protocol={**MINE, "window": 8}), MetricContext())
    options = fvd.needs()["video"].options
    assert options["protocol"] == {**MINE, "window": 8}
    assert VideoEmbeddingOptions(**options).rules == fvd.options.rules
    assert fvd.options.weights == R3D18.weights
    assert FvdOptions(**fvd.options.model_dump()) == fvd.options


def test_a_file_is_read_and_its_content_counts(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine@short\nbase: fvd@swin3d-t\nwindow: 8\n", encoding="utf-8")
    fvd = Fvd(FvdOptions(reference=GROUP, protocol="mine.yaml"), MetricContext(tmp_path))
    assert fvd.options.weights == SWIN3D.weights
    assert fvd.options.rules.window == 8
    before, fingerprints = fvd.identity(), [fingerprint(fvd.options.extracted)]
    file.write_text("name: mine@short\nbase: fvd@swin3d-t\nwindow: 9\n", encoding="utf-8")
    fvd = Fvd(FvdOptions(reference=GROUP, protocol="mine.yaml"), MetricContext(tmp_path))
    assert fvd.identity() != before
    assert fingerprint(fvd.options.extracted) not in fingerprints


def test_weights_of_another_protocol_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"s3d-kinetics400 is the network of fvd@s3d, not of fvd@r3d18"):
        FvdOptions(reference=GROUP, protocol=MINE, weights="s3d-kinetics400")
    (tmp_path / "mine.yml").write_text("name: mine@short\nbase: fvd@r3d18\n", encoding="utf-8")
    options = FvdOptions(reference=GROUP, protocol="mine.yml", weights="s3d-kinetics400")
    with pytest.raises(SuiteError, match=r"mine\.yml:1:1: .*is the network of fvd@s3d"):
        Fvd(options, MetricContext(tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name: mine@x\nbase: fvd@r3d18\nwindow: many\n",
            ":3:9: window: expected a whole number, found 'many'",
        ),
        ("name: mine@x\nbase: fvd@r3d18\nwindw: 8\n", ":3:1: windw: expected a known name, found 'windw'"),
        ("name: mine@x\n", "base: expected 'base', which is required"),
        ("name: fvd@x\nbase: fvd@r3d18\n", ":1:7: name: expected a name of your own such as mine@x"),
        (
            "name: mine@x\nbase: fvd@r3d18\npreprocessing: {size: 64, stdd: 1}\n",
            ":3:27: preprocessing.stdd: ",
        ),
        ("name: mine@x\nbase: fvd@r3d18\nstride: 3\n", ":1:1: expected `stride` or `fps`"),
        ("- a\n", "expected a mapping with name, base"),
        ("name: [\n", "mine.yaml:"),
    ],
)
def test_errors_of_a_file_name_the_place(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        read_own(tmp_path / "mine.yaml")
    assert expected in str(caught.value)
    assert "mine.yaml:" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"absent\.yaml: expected a file with a protocol, found none"):
        Fvd(FvdOptions(reference=GROUP, protocol="absent.yaml"), MetricContext(tmp_path))


def test_errors_in_a_suite_name_the_place(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: own\nbackend: {type: files, root: .}\nmetrics:\n  fvd:\n    reference: {group: real}\n"
        "    protocol:\n      name: mine@x\n      base: fvd@r3d18\n      window: many\n      strid: 2\n"
        "      preprocessing: {antialias: 3}\n",
        encoding="utf-8",
    )
    with pytest.raises(SuiteError) as caught:
        load_suite(suite)
    said = str(caught.value)
    assert "suite.yaml:9:15: metrics.fvd.protocol.window: expected a whole number, found 'many'" in said
    assert "suite.yaml:10:7: metrics.fvd.protocol.strid: expected a known name, found 'strid'" in said
    assert "did you mean" in said
    assert "suite.yaml:11:34: metrics.fvd.protocol.preprocessing.antialias: expected true or false" in said
