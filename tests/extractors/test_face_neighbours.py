"""Faces that one frame shows: whether the frames beside it show them too is looked up while frames stream past."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.face_detection import NO_FACES, DetectionFailed, Detections
from vgaudit.extractors.face_neighbours import Neighbours


class Detector:
    """Sees in a frame whose first pixel is ``i`` a face at each of ``places[i]``; breaks where that is ``None``."""

    def __init__(self, places: Mapping[int, tuple[float, ...] | None], confidence: float = 0.9) -> None:
        self.places, self.confidence = places, confidence
        self.asked: list[int] = []

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        self.asked.append(int(rgb[0, 0, 0]))
        places = self.places.get(self.asked[-1], ())
        if places is None:
            raise DetectionFailed("it broke")
        if not places:
            return NO_FACES
        left = np.array(places, np.float32)
        boxes = np.stack([left, 0 * left, left + 20, 0 * left + 20], axis=1)
        return Detections(
            boxes, np.zeros((len(left), 5, 2), np.float32), np.full(len(left), self.confidence, np.float32)
        )


def seen(
    detector: Detector,
    examined: list[int],
    *,
    frames: int = 9,
    block: int = 4,
    every_frame: bool = False,
    every_s: float = 0.1,
) -> dict[int, list[bool]]:
    """What is known of the faces of the examined frames after ``frames`` frames were pushed in blocks."""
    neighbours = Neighbours(detector, every_frame=every_frame)  # type: ignore[arg-type]
    buffer = np.zeros((block, 4, 4, 3), np.uint8)
    for first in range(0, frames, block):
        for i in range(first, min(first + block, frames)):
            buffer[i - first] = i  # a decoder's buffer, overwritten with each block
            neighbours.push(i, buffer[i - first], i * every_s)
            if i in examined and len(found := detector.detect(buffer[i - first])):
                neighbours.look(i, found)
        neighbours.end_block()
    return {i: each.tolist() for i, each in neighbours.seen.items()}


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({4: (0,)}, [False]),
        ({3: (0,), 4: (0,)}, [True]),
        ({4: (0,), 5: (5,)}, [True]),
        ({2: (0,), 4: (0,), 6: (0,)}, [False]),
        ({3: (40,), 4: (0, 60), 5: (60,)}, [False, True]),
        ({3: None, 4: (0,)}, [True]),
        ({4: (0,), 5: None}, [True]),
    ],
    ids=["once", "before", "after", "two frames away", "another place", "broken before", "broken after"],
)  # fmt: skip
def test_a_face_is_looked_for_in_the_frames_right_beside(
    places: dict[int, tuple[float, ...] | None], expected: list[bool], block: int
) -> None:
    assert seen(Detector(places), [4], block=block) == {4: expected}


def test_first_and_last_frame_have_one_neighbour() -> None:
    assert seen(Detector({0: (0,), 1: (0,), 8: (0,)}), [0, 8]) == {0: [True], 8: [False]}
    assert seen(Detector({0: (0,), 8: (0,), 7: (0,)}), [0, 8]) == {0: [False], 8: [True]}


def test_a_clip_with_a_sure_face_is_not_looked_into() -> None:
    detector = Detector({2: (0,), 6: (0,)}, confidence=0.999)
    assert seen(detector, [2, 6]) == {2: [True], 6: [True]}
    assert detector.asked == [2, 6]


def test_where_every_frame_is_examined_nothing_is_searched_twice() -> None:
    detector = Detector(dict.fromkeys(range(9), (0,)))
    assert seen(detector, list(range(9)), every_frame=True) == {i: [True] for i in range(9)}
    assert detector.asked == list(range(9))


@pytest.mark.parametrize(("index", "known"), [(1, False), (4, False), (5, True), (0, False)])
def test_a_frame_that_was_held_back_is_not_doubted_for_want_of_a_look(index: int, known: bool) -> None:
    """Only the latest frames are at hand; of the last one but one, the frame before is gone."""
    neighbours = Neighbours(Detector({}), every_frame=False)  # type: ignore[arg-type]
    frame = np.zeros((4, 4, 3), np.uint8)
    for i in range(6):
        neighbours.push(i, frame, i / 10)
    neighbours.look(index, Detector({0: (0,)}).detect(frame))
    assert neighbours.seen[index].tolist() == [not known]


def test_of_the_first_two_frames_both_are_at_hand() -> None:
    neighbours = Neighbours(Detector({0: (), 1: (0,)}), every_frame=False)  # type: ignore[arg-type]
    for i in range(2):
        neighbours.push(i, np.full((4, 4, 3), i, np.uint8), i / 10)
    neighbours.look(0, Detector({0: (0,)}).detect(np.zeros((4, 4, 3), np.uint8)))
    assert neighbours.seen[0].tolist() == [True]


@pytest.mark.parametrize("places", [{4: (0,)}, {0: (0,)}, {8: (0,)}])
def test_a_neighbour_far_off_in_time_is_not_asked(places: dict[int, tuple[float, ...] | None]) -> None:
    (index,) = places
    assert seen(Detector(places), [index], every_s=0.25) == {index: [True]}
    assert seen(Detector(places), [index], every_s=0.125) == {index: [False]}
