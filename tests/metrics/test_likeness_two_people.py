"""Two people in one clip, one of them in the gallery: that one is raised where they are, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.portraits import astronaut, background, portrait
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.likeness.planting import Planting, cut_head, plant
from vgaudit.metrics.base import ClipView
from vgaudit.metrics.likeness import Likeness
from vgaudit.pipeline.binding import ExtractorPool, bind
from vgaudit.pipeline.runspec import MetricSpec
from vgaudit.plan import Sample
from vgaudit.records import Finding, Severity
from vgaudit.video import ClipInfo, ClipReader
from vgaudit.video.encoding import EncoderSettings, encode

UInt8 = NDArray[np.uint8]

POOL = ExtractorPool()


@cache
def faces_of(clip: Path, extractor: Extractor) -> tuple[ClipInfo, Features]:
    """What is seen in a clip, which no gallery changes."""
    with ClipReader(clip) as reader:
        extraction = extractor.start(reader.info)
        for frames in reader:
            extraction.push(frames)
        return reader.info, extraction.finish()


def raised(clip: Path, gallery: Path, **options: Any) -> tuple[NDArray[np.float32], list[Finding]]:
    """Boxes ``(n, 4)`` of the faces that can be compared, and what a run would have somebody look at."""
    (bound,) = bind({"likeness": MetricSpec({"gallery": str(gallery), **options})}, clip.parent, POOL)
    assert isinstance(bound.metric, Likeness)
    spec = bound.roles["faces"]
    assert POOL.problem(spec) is None
    extractor = POOL.get(spec)
    assert isinstance(extractor, Extractor)
    info, faces = faces_of(clip, extractor)
    sample = Sample("s1", "p1", "", "g")
    measurement = bound.metric.measure(ClipView(sample, info, "0" * 64, {"faces": faces}))
    people = [f for f in measurement.findings if "entry" in f.detail]
    return faces["box"][faces["usable"]], [f for f in people if f.severity.rank >= Severity.REVIEW.rank]


def put(folder: Path, person: str, picture: UInt8) -> None:
    (folder / person).mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / person / "1.png")


def others(folder: Path, shared_data: Path, names: Sequence[str]) -> None:
    """People of the gallery who are in no clip here."""
    for name in names:
        picture = astronaut() if name == "astronaut" else portrait(shared_data / "faces" / name / "1.jpg")
        put(folder, name, picture)


# -- real footage ----------------------------------------------------------------------------------

# A silent film of the 1910s, in the public domain: a man with a moustache, and an officer behind him.
WHERE = {"the-man": (300, 640), "the-officer": (120, 230)}
"""Columns in which each of them stands throughout."""


@cache
def film(path: Path) -> UInt8:
    with ClipReader(path) as reader:
        return np.concatenate([frames.rgb.copy() for frames in reader])


def from_film(shared_data: Path, frame: int, box: tuple[int, int, int, int]) -> UInt8:
    """A piece of a frame, enlarged: what somebody would put into a gallery who had nothing else."""
    left, top, right, bottom = box
    piece = Image.fromarray(film(shared_data / "clips" / "chaplin.mp4")[frame, top:bottom, left:right])
    return np.asarray(piece.resize((3 * piece.width, 3 * piece.height), Image.Resampling.BICUBIC), np.uint8)


@pytest.fixture(scope="module")
def part(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half seconds, in which both are seen from the front."""
    path = tmp_path_factory.mktemp("film") / "part.mp4"
    encode(film(shared_data / "clips" / "chaplin.mp4")[145:205], 25.0, path, EncoderSettings(crf=18))
    return path


def test_one_of_two_real_people_is_found_seconds_later(shared_data: Path, part: Path, tmp_path: Path) -> None:
    # The officer is seen 24 px wide: less than a picture of a gallery needs, so only the other can be in it.
    put(tmp_path / "people", "the-man", from_film(shared_data, 100, (290, 0, 430, 140)))
    others(tmp_path / "people", shared_data, ["astronaut", "person_a", "person_b"])
    people_seen, found = raised(part, tmp_path / "people")  # another moment than the gallery's frame
    assert {"the-man", "the-officer"} == {
        who
        for who, (low, high) in WHERE.items()
        if any(low <= box[0] and box[2] <= high for box in people_seen)
    }, "faces of both can be compared"
    assert {f.detail["entry"] for f in found} == {"the-man"}
    for finding in found:
        assert finding.box is not None
        low, high = WHERE["the-man"]
        assert low <= finding.box[0] < finding.box[2] <= high


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_real_people_who_are_not_in_the_gallery_raise_nobody(
    shared_data: Path, part: Path, tmp_path: Path, whole: bool
) -> None:
    others(tmp_path / "people", shared_data, ["astronaut", "person_a", "person_b"])
    seen, found = raised(shared_data / "clips" / "chaplin.mp4" if whole else part, tmp_path / "people")
    assert len(seen) >= 10
    assert found == []


# -- planted photographs ---------------------------------------------------------------------------


def test_one_of_two_planted_people_is_found_by_another_photograph(shared_data: Path, tmp_path: Path) -> None:
    detector = FaceDetector(device="cpu")
    detector.load()
    clip = background(12, 160, 260)
    truth = {}
    for name, picture, x, drift in (
        ("person_a", portrait(shared_data / "faces" / "person_a" / "2.jpg"), 60.0, 1.5),
        ("somebody", astronaut(), 200.0, -1.5),
    ):
        face = detector.detect(picture)
        head = cut_head(picture, face.boxes[0], face.landmarks[0])
        planted = plant(clip, head, Planting(56.0, frames=12, at=(x, 80.0), drift=(drift, 0.0), yaw_deg=8.0))
        clip, truth[name] = planted.frames, planted.boxes
    encode(clip, 10.0, tmp_path / "two.mp4", EncoderSettings(crf=23))
    others(tmp_path / "people", shared_data, ["person_a", "person_b"])
    seen, found = raised(tmp_path / "two.mp4", tmp_path / "people")
    assert len(seen) >= 8, "both can be compared, in most of the five frames that are examined"
    assert [f.detail["entry"] for f in found] == ["person_a"]
    assert found[0].box is not None
    middle = (found[0].box[0] + found[0].box[2]) / 2
    boxes = truth["person_a"]
    assert boxes[:, 0].min() < middle < boxes[:, 2].max() < truth["somebody"][:, 0].min()
