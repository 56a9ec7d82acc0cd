"""Cover faces in the frames of a clip so that nothing of them can be got back; pure functions on arrays.

Faces found frame by frame are linked over time. Each such track gets **one** mosaic of few cells and few colours, the
mean over its frames, and that is laid over all of them. So the frames together hold no more of a face than one
frame does: mosaics taken anew in every frame would each sample it a little differently, and could be put together to
a sharper picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_neighbours import SAME_FACE_IOU, box_overlaps
from vgaudit.extractors.face_tracks import link_faces

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Ints = NDArray[np.intp]

CELLS = (6, 1)
"""Cells along each side of a mosaic, by level; the last is one flat colour. Each divides the first."""

COLOUR_STEP = 16
"""Colours are rounded to the middle of steps this wide, of 256 a channel."""

REACH_S, HOLD_S = 0.6, 0.4
"""Seconds over which a gap in a track is bridged, and for which a mask stays before the first and after the last."""

WIDER, HIGHER, LOWER = 0.28, 0.45, 0.28
"""What a mask adds to a face's box, in its width to either side, and in its height above (hair) and below (chin)."""

GROWTH = 0.15
"""What each level of a mask adds on top, on every side, in sides of the box."""


@dataclass(frozen=True)
class Seen:
    """Faces found in one frame.

    Attributes:
        frame: Its number.
        boxes: float32 ``(n, 4)``: left, top, right, bottom.
        cells: float32 ``(n, 6, 6, 3)``: mean colours of the cells of each one's mask, in [0, 255].
    """

    frame: int
    boxes: Float32
    cells: Float32


@dataclass(frozen=True)
class Mask:
    """What covers one face over time.

    Attributes:
        frames: ``(k,)`` consecutive frame numbers.
        boxes: float32 ``(k, 4)``: the face in each, found, or set between two that were found.
        cells: float32 ``(6, 6, 3)``: its colours at the first level.
        level: Position in :data:`CELLS`.
    """

    frames: Ints
    boxes: Float32
    cells: Float32
    level: int = 0

    @property
    def flat(self) -> bool:
        """Whether it is one colour, so that nothing of the face but its mean is left."""
        return self.level >= len(CELLS) - 1

    def coarser(self) -> Mask:
        """With fewer cells and a wider reach; at the last level only the reach grows."""
        return replace(self, level=self.level + 1)

    def at(self, frame: int) -> Float32 | None:
        """The face's box in a frame, or nothing."""
        i = frame - int(self.frames[0])
        return self.boxes[i] if 0 <= i < len(self.frames) else None


@dataclass
class Found:
    """Gathers what is found over the frames of a clip, to be linked once all are there."""

    seen: list[Seen] = field(default_factory=list)

    def add(self, frame: int, rgb: UInt8, boxes: Float32) -> None:
        """Faces of a frame, uint8 ``(height, width, 3)``."""
        if len(boxes):
            cells = np.stack([mean_cells(rgb, region(box, 0, rgb.shape[:2])) for box in boxes])
            self.seen.append(Seen(frame, boxes.copy(), cells))

    def holds(self, frame: int, box: Float32) -> bool:
        """Whether a face at about this place of a frame is there already."""
        there = [s.boxes for s in self.seen if s.frame == frame]
        return any((box_overlaps(box[None], boxes) >= SAME_FACE_IOU).any() for boxes in there)

    def masks(self, fps: float, frames: int, level: int = 0) -> list[Mask]:
        """A mask for each face over time.

        Args:
            fps: Frames a second.
            frames: Frames of the clip.
            level: Of the masks.
        """
        if not self.seen:
            return []
        number = np.concatenate([np.full(len(s.boxes), s.frame, np.intp) for s in self.seen])
        boxes = np.concatenate([s.boxes for s in self.seen])
        cells = np.concatenate([s.cells for s in self.seen])
        track = link_faces(number, boxes, max(1, round(REACH_S * fps)))
        hold = max(1, round(HOLD_S * fps))
        out = []
        for t in range(int(track.max()) + 1):
            mine = np.flatnonzero(track == t)
            over = np.arange(max(0, number[mine[0]] - hold), min(frames, number[mine[-1]] + hold + 1))
            between = np.stack([np.interp(over, number[mine], boxes[mine, side]) for side in range(4)], 1)
            out.append(Mask(over, between.astype(np.float32), cells[mine].mean(0), level))
        return out


def region(box: Float32, level: int, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels of what covers a face, inside a frame of ``size`` (height, width).

    A box outside of the frame gives a region without area.
    """
    left, top, right, bottom = (float(v) for v in box)
    wide, tall, more = right - left, bottom - top, GROWTH * level
    x0, x1 = left - (WIDER + more) * wide, right + (WIDER + more) * wide
    y0, y1 = top - (HIGHER + more) * tall, bottom + (LOWER + more) * tall
    height, width = size[:2]
    x0, x1 = np.clip([np.floor(x0), np.ceil(x1)], 0, width)
    y0, y1 = np.clip([np.floor(y0), np.ceil(y1)], 0, height)
    return int(x0), int(y0), int(x1), int(y1)


def mean_cells(rgb: UInt8, where: tuple[int, int, int, int]) -> Float32:
    """Mean colours ``(6, 6, 3)`` of the cells of a region, float32 in [0, 255]; grey where it has no area."""
    x0, y0, x1, y1 = where
    cells = CELLS[0]
    if x1 <= x0 or y1 <= y0:
        return np.full((cells, cells, 3), 127.5, np.float32)
    part = rgb[y0:y1, x0:x1].astype(np.float32)
    if min(part.shape[:2]) < cells:  # by area means averaging, also of a region smaller than the cells
        part = cv2.resize(
            part, (cells * part.shape[1], cells * part.shape[0]), interpolation=cv2.INTER_NEAREST
        )
    mean: Float32 = cv2.resize(part, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.float32)
    return mean


def colours(cells: Float32, level: int) -> UInt8:
    """What a mask shows: ``(c, c, 3)`` of ``c = CELLS[level]``, in steps of :data:`COLOUR_STEP`."""
    count = CELLS[min(level, len(CELLS) - 1)]
    side = len(cells) // count
    mean = cells.reshape(count, side, count, side, 3).mean((1, 3))
    stepped = np.clip(mean, 0, 255).astype(np.uint8) // COLOUR_STEP * COLOUR_STEP + COLOUR_STEP // 2
    out: UInt8 = stepped.astype(np.uint8)
    return out


def cover(rgb: UInt8, frame: int, masks: Sequence[Mask]) -> UInt8:
    """A copy of a frame, uint8 ``(height, width, 3)``, with every face in it covered."""
    out = rgb.copy()
    for mask in masks:
        box = mask.at(frame)
        if box is None:
            continue
        x0, y0, x1, y1 = region(box, mask.level, rgb.shape)
        if x1 > x0 and y1 > y0:
            size = (x1 - x0, y1 - y0)
            out[y0:y1, x0:x1] = cv2.resize(
                colours(mask.cells, mask.level), size, interpolation=cv2.INTER_NEAREST
            )
    return out


def covers(mask: Mask, frame: int, box: Float32, size: tuple[int, ...]) -> float:
    """Share in [0, 1] of a box's area inside of the picture that a mask covers in a frame; 0 where it has none."""
    at = mask.at(frame)
    if at is None:
        return 0.0
    x0, y0, x1, y1 = region(at, mask.level, size)
    left, top, right, bottom = (
        float(np.clip(v, 0, n)) for v, n in zip(box, (size[1], size[0], size[1], size[0]), strict=True)
    )
    area = (right - left) * (bottom - top)
    if area <= 0:
        return 0.0
    across, down = min(right, x1) - max(left, x0), min(bottom, y1) - max(top, y0)
    return max(across, 0.0) * max(down, 0.0) / area
