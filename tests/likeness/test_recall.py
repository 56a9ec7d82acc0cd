"""What is counted of plantings: shares with exact bounds, and the step at which a face was lost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from vgaudit.estimates import clopper_pearson
from vgaudit.extractors.base import Features
from vgaudit.likeness.planting import Planted
from vgaudit.likeness.recall import (
    NOT_ALIKE,
    NOT_DETECTED,
    NOT_EXAMINED,
    PASTED,
    Recall,
    Trial,
    planted_faces,
    recalls,
    why_missed,
    yaw_name,
)


def trial(**changed: Any) -> Trial:
    given: dict[str, Any] = {
        "key": "k", "entry": "anna", "photograph": "p", "own": False, "host": "h.mp4", "width_px": 48.0,
        "yaw_deg": 3.0, "light": "dark", "crf": 23, "frames": 9, "found": True,
    }  # fmt: skip
    return Trial(**{**given, **changed})


def planted(frames: tuple[int, ...] = (4, 5, 6)) -> Planted:
    boxes = np.array([[10 + t, 10, 50 + t, 60] for t in range(len(frames))], np.float32)
    return Planted(
        np.zeros((8, 4, 4, 3), np.uint8),
        np.array(frames, np.int32),
        boxes,
        np.zeros((len(frames), 5, 2), np.float32),
    )


def seen(*faces: tuple[int, tuple[float, ...], str], examined: tuple[int, ...] = (0, 2, 4, 6)) -> Features:
    return Features(
        {
            "frame_index": np.array([f for f, _, _ in faces], np.int32),
            "box": np.array([b for _, b, _ in faces], np.float32).reshape(-1, 4),
            "usable": np.array([not r for _, _, r in faces], bool),
            "reason": np.array([r for _, _, r in faces], np.str_),
            "frames_examined": np.array(examined, np.int32),
        },
        {},
    )


HERE, ELSEWHERE = (12, 12, 52, 60), (100, 100, 140, 150)


@pytest.mark.parametrize(
    ("faces", "why"),
    [
        (seen(examined=(0, 1, 2)), NOT_EXAMINED),
        (seen(), NOT_DETECTED),
        (seen((4, ELSEWHERE, "")), NOT_DETECTED),
        (seen((0, HERE, "")), NOT_DETECTED),  # another face, before
        (seen((4, HERE, "blurred"), (6, HERE, "blurred"), (6, ELSEWHERE, "")), "blurred"),
        (seen((4, HERE, "too small"), (5, HERE, "blurred"), (6, HERE, "blurred")), "blurred"),
        (seen((4, HERE, "blurred"), (6, HERE, "")), NOT_ALIKE),
    ],
)
def test_the_step_that_lost_it_is_named(faces: Features, why: str) -> None:
    assert why_missed(faces, planted()) == why


def test_faces_elsewhere_are_not_the_planted_one() -> None:
    faces = seen((4, ELSEWHERE, ""), (4, HERE, ""), (7, HERE, ""))
    assert planted_faces(faces, planted()).tolist() == [1]


def test_shares_have_the_exact_lower_bound() -> None:
    trials = [trial() for _ in range(9)] + [trial(found=False, missed="blurred", wrong=("bob",))]
    recall = Recall.of("48 px", trials)
    assert (recall.n, recall.found, recall.wrong, recall.missed) == (10, 9, 1, {"blurred": 1})
    assert recall.value == 0.9
    assert recall.low == clopper_pearson(9, 10, 0.95)[0]
    assert 0.55 < recall.low < 0.56
    assert Recall.of("none", []).low is None
    # What the goal of 95 % at 300 plantings asks for.
    assert Recall.of("", [trial()] * 293 + [trial(found=False)] * 7).low > 0.95  # type: ignore[operator]
    assert Recall.of("", [trial()] * 292 + [trial(found=False)] * 8).low < 0.95  # type: ignore[operator]


def test_kinds_are_told_apart() -> None:
    found = recalls([trial(), trial(light="warm", found=False, missed="x"), trial()], lambda t: t.light)
    assert [(r.name, r.found, r.n) for r in found] == [("dark", 2, 2), ("warm", 0, 1)]
    assert [yaw_name(y) for y in (0, -6.9, 7, -13.9, 20, 35)] == [
        "yaw 0 to 7", "yaw 0 to 7", "yaw 7 to 14", "yaw 7 to 14", "yaw from 14", "yaw from 14",
    ]  # fmt: skip


def test_a_trial_survives_being_written() -> None:
    given = trial(found=False, missed="blurred", wrong=("bob", "carl"), similarity=0.31)
    assert Trial.from_json(json.loads(json.dumps(given.to_json()))) == given
    with pytest.raises(TypeError):
        Trial.from_json({"key": "k"})


def test_the_words_say_what_it_is_not() -> None:
    assert PASTED == "for pasted photographs, not for generated look-alikes"
