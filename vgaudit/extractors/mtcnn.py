"""MTCNN's cascade (Zhang et al. 2016, arXiv:1604.02878) over the networks of facenet-pytorch, arranged to be fast.

The networks, their weights and the thresholds are those of facenet-pytorch; how they are driven is not. What differs:

* Pictures are shrunk by the same means over whole pixels, but from one integral image a frame, all candidates at
  once.
* The smaller steps of the pyramid lie side by side in one picture: the first network runs twice a frame, not once
  a step.
* Pixels are scaled inside the first convolutions. Second and third network run with the channels last.
* Candidates outside of the frame are dropped one by one; there facenet-pytorch breaks.
* Overlap is suppressed so that what else is in a batch rounds nothing: boxes of fractions frame by frame.

So boxes, landmarks and scores are facenet-pytorch's own, but for the rounding of float32 (tested on real frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CELL, STRIDE = 12, 2
"""Side of what one cell of the first network sees, and from one cell to the next; pixels of a pyramid's step."""

FACTOR = 0.709
"""From one step of the pyramid to the next."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Least score after each of the three networks."""

SUPPRESS = (0.5, 0.7, 0.7, 0.7)
"""Overlap over which the lower score goes: within a step, between steps, after the second and the third network."""

CHUNK = 256
"""Candidates that go through a network at once."""

_OUTPUTS = ((4, 2), (4, 10, 2))  # numbers that the second and the third network give of a candidate

Floats = NDArray[np.float32]
Sums = NDArray[np.int32]
"""Integral images of frames, modulo 2^32, which differences do not mind."""
Ints = NDArray[np.intp]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """Faces of one frame in no particular order: ``(n, 4)``, ``(n, 5, 2)`` and ``(n,)``, in its pixels."""

    boxes: Floats
    landmarks: Floats
    scores: Floats


@dataclass(frozen=True)
class Step:
    """A step of the pyramid: its size, and where it lies in its canvas."""

    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True)
class Canvas:
    """Steps laid side by side.

    Attributes:
        height: Of the canvas, even.
        width: Likewise.
        steps: What lies in it.
        cell: ``(k,)`` positions, in the network's flattened output, of the cells that belong to a step.
        box: ``(k, 4)``: what each sees, in pixels of the frame.
        group: ``(k,)``: number of its step in the whole pyramid.
    """

    height: int
    width: int
    steps: tuple[Step, ...]
    cell: NDArray[np.intp]
    box: Floats
    group: NDArray[np.intp]


def _even(length: int) -> int:
    return length + length % 2


@lru_cache(maxsize=64)
def pyramid(height: int, width: int, min_face: int) -> tuple[Canvas, ...]:
    """The steps for frames of a size: the largest by itself, the others in rows of one canvas."""
    scales = [CELL / min_face]
    while min(height, width) * scales[-1] * FACTOR >= CELL:
        scales.append(scales[-1] * FACTOR)
    sizes = [(int(height * s + 1), int(width * s + 1)) for s in scales]
    rows = sum(w + 2 for _, w in sizes[1:3])
    rest: list[Step] = []
    top = left = tall = 0
    for h, w in sizes[1:]:
        if left and left + w > rows:
            top, left, tall = top + tall, 0, 0
        rest.append(Step(h, w, top, left))
        left, tall = left + _even(w + 1), max(tall, _even(h + 1))
    first = _canvas((Step(*sizes[0], 0, 0),), scales[:1], 0)
    return (first, _canvas(tuple(rest), scales[1:], 1)) if rest else (first,)


def _canvas(steps: tuple[Step, ...], scales: list[float], number: int) -> Canvas:
    height = _even(max(s.top + s.height + 1 for s in steps))
    width = _even(max(s.left + s.width + 1 for s in steps))
    across = width // 2 - 5
    cells, boxes, groups = [], [], []
    for i, (step, scale) in enumerate(zip(steps, scales, strict=True)):
        rows, columns = ((side - 1) // 2 - 4 for side in (step.height, step.width))
        y, x = (a.ravel() for a in np.mgrid[:rows, :columns])
        cells.append((y + step.top // 2) * across + x + step.left // 2)
        corner = STRIDE * np.stack([x, y], axis=1).astype(np.float32) + 1
        boxes.append(np.floor(np.concatenate([corner, corner + CELL - 1], axis=1) / np.float32(scale)))
        groups.append(np.full(len(x), number + i))
    return Canvas(height, width, steps, np.concatenate(cells), np.concatenate(boxes), np.concatenate(groups))


class Cascade:
    """The three networks, driven over batches of frames of one size.

    Args:
        min_face: Smallest face searched for, in pixels.
        device: Where the networks run, in torch's words.
        thresholds: Least score after each of the three networks.
    """

    def __init__(
        self, min_face: int, device: str, thresholds: tuple[float, float, float] = THRESHOLDS
    ) -> None:
        import torch
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

        self.min_face = min_face
        self.device = device
        self.thresholds = thresholds
        net = {k: v.detach().to(device) for k, v in PNet().state_dict().items()}
        _scale_inside(net["conv1.weight"], net["conv1.bias"])
        # Of two logits only the difference counts; it goes through one layer with the four moves of the box.
        weight, bias = (net[f"conv4_1.{n}"] for n in ("weight", "bias"))
        net["last.weight"] = torch.cat([weight[1:] - weight[:1], net["conv4_2.weight"]])
        net["last.bias"] = torch.cat([bias[1:] - bias[:1], net["conv4_2.bias"]])
        self._first = net
        self._later = []
        for later in (RNet(), ONet()):
            with torch.no_grad():
                _scale_inside(later.conv1.weight, later.conv1.bias)
            self._later.append(later.eval().to(device, memory_format=torch.channels_last))

    def detect(self, frames: Sequence[UInt8]) -> list[Found]:
        """Faces of each frame, ``(height, width, 3)``, all of one size; largest side at least ``min_face``."""
        sums = np.stack([cv2.integral(rgb) for rgb in frames])
        boxes, frame = self._propose(sums)
        boxes, frame = self._refine(sums, boxes, frame)
        return self._decide(sums, boxes, frame)

    def _propose(self, sums: Sums) -> tuple[Floats, Ints]:
        """Candidates ``(k, 4)`` of the first network, squares, and the frame of each."""
        height, width = sums.shape[1] - 1, sums.shape[2] - 1
        boxes, scores, moves, frame, group = [], [], [], [], []
        for canvas in pyramid(height, width, self.min_face):
            laid = np.zeros((len(sums), canvas.height, canvas.width, 3), np.float32)
            for picture, total in zip(laid, sums, strict=True):
                _lay(picture, total, canvas.steps)
            out = self._first_network(laid, canvas.steps)
            score = np.reciprocal(1 + np.exp(-out[:, 0, canvas.cell]), dtype=np.float32)
            number, cell = np.nonzero(score >= self.thresholds[0])
            boxes.append(canvas.box[cell])
            scores.append(score[number, cell])
            moves.append(out[number, 1:, canvas.cell[cell]])
            frame.append(number)
            group.append(canvas.group[cell])
        found, score, move = np.concatenate(boxes), np.concatenate(scores), np.concatenate(moves)
        of, step = np.concatenate(frame), np.concatenate(group)
        kept = _suppress(found, score, of * (step.max(initial=0) + 1) + step, SUPPRESS[0])
        kept = kept[_suppress(found[kept], score[kept], of[kept], SUPPRESS[1])]
        found, move = found[kept], move[kept]
        return _squares(found + move * np.tile(found[:, 2:] - found[:, :2], 2)), of[kept]

    def _first_network(self, laid: Floats, steps: Sequence[Step]) -> Floats:
        """Logit and moves ``(n, 5, cells)`` of canvases ``(n, h, w, 3)`` in which the steps lie."""
        import torch
        from torch.nn import functional as f

        net = self._first
        with torch.inference_mode():
            x = torch.from_numpy(laid).to(self.device).permute(0, 3, 1, 2).contiguous()
            x = f.conv2d(x, net["conv1.weight"], net["conv1.bias"])
            x = f.prelu(x, net["prelu1.weight"])
            for s in steps:  # where a side is odd, the last pair that is pooled is one pixel alone
                step = x[:, :, s.top :, s.left :][:, :, : s.height - 1, : s.width - 1]
                if s.width % 2:
                    step[..., -1] = step[..., -2]
                if s.height % 2:
                    step[:, :, -1] = step[:, :, -2]
            x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
            x = torch.maximum(x[..., ::2], x[..., 1::2])
            for n in ("2", "3"):
                x = f.conv2d(x, net[f"conv{n}.weight"], net[f"conv{n}.bias"])
                x = f.prelu(x, net[f"prelu{n}.weight"])
            x = f.conv2d(x, net["last.weight"], net["last.bias"])
            out: Floats = x.flatten(2).cpu().numpy()
        return out

    def _refine(self, sums: Sums, boxes: Floats, frame: Ints) -> tuple[Floats, Ints]:
        """Candidates that the second network keeps, squares again."""
        boxes, frame, (moves, scores) = self._look(0, 24, sums, boxes, frame)
        good = scores[:, 1] > self.thresholds[1]
        boxes, frame, moves, score = boxes[good], frame[good], moves[good], scores[good, 1]
        alone = [np.flatnonzero(frame == number) for number in range(len(sums))]
        kept = np.concatenate(
            [mine[_suppress(boxes[mine], score[mine], 0 * mine, SUPPRESS[2])] for mine in alone]
        )
        return _squares(_moved(boxes[kept], moves[kept])), frame[kept]

    def _decide(self, sums: Sums, boxes: Floats, frame: Ints) -> list[Found]:
        """What the third network calls faces."""
        boxes, frame, (moves, points, scores) = self._look(1, 48, sums, boxes, frame)
        good = scores[:, 1] > self.thresholds[2]
        boxes, frame, moves, points, score = (
            boxes[good],
            frame[good],
            moves[good],
            points[good],
            scores[good, 1],
        )
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        boxes = _moved(boxes, moves)
        out = []
        for number in range(len(sums)):
            mine = np.flatnonzero(frame == number)
            mine = mine[_suppress_inside(boxes[mine], score[mine], SUPPRESS[3])]
            out.append(Found(boxes[mine], landmarks[mine].astype(np.float32), score[mine]))
        return out

    def _look(
        self, which: int, side: int, sums: Sums, boxes: Floats, frame: Ints
    ) -> tuple[Floats, Ints, list[Floats]]:
        """Candidates that reach into their frame, and what a network says of them as squares of ``side``."""
        import torch

        height, width = sums.shape[1] - 1, sums.shape[2] - 1
        whole = np.trunc(boxes).astype(np.int64)
        start = np.maximum(whole[:, :2], 1) - 1
        end = np.minimum(whole[:, 2:], (width, height))
        inside = (end > start).all(axis=1)
        boxes, frame = boxes[inside], frame[inside]
        crops = _shrunk(sums, frame, start[inside], end[inside], side)
        said = [tuple(np.zeros((0, width), np.float32) for width in _OUTPUTS[which])]
        with torch.inference_mode():
            for first in range(0, len(crops), CHUNK):
                x = torch.from_numpy(crops[first : first + CHUNK]).to(self.device).permute(0, 3, 1, 2)
                said.append(tuple(t.cpu().numpy() for t in self._later[which](x)))
        return boxes, frame, [np.concatenate(each) for each in zip(*said, strict=True)]


def _scale_inside(weight: Any, bias: Any) -> None:
    """Let a first layer take pixels in [0, 255] as it would (x - 127.5) / 128."""
    bias -= weight.sum((1, 2, 3)) * (127.5 / 128)
    weight /= 128


def _lay(canvas: Floats, sums: Sums, steps: Sequence[Step]) -> None:
    """Put the steps of a pyramid in their places, from a frame's integral image."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    for s in steps:
        y0, y1, tall = _bins(height, s.height)
        x0, x1, wide = _bins(width, s.width)
        rows = sums.take(y1, axis=0)
        rows -= sums.take(y0, axis=0)
        total = rows.take(x1, axis=1)
        total -= rows.take(x0, axis=1)
        place = canvas[s.top : s.top + s.height, s.left : s.left + s.width]
        np.multiply(total.astype(np.float32), (1 / tall[:, None] / wide)[..., None], out=place)


@lru_cache(maxsize=256)
def _bins(length: int, count: int) -> tuple[Ints, Ints, Floats]:
    """Start, end and width of ``count`` runs of whole pixels that cover ``length``; neighbours may share one."""
    i = np.arange(count)
    start, end = i * length // count, -(-(i + 1) * length // count)
    return start, end, (end - start).astype(np.float32)


def _shrunk(sums: Sums, frame: Ints, start: Ints, end: Ints, side: int) -> Floats:
    """Parts of frames from ``start`` to ``end``, ``(k, 2)``: x, y, as squares ``(k, side, side, 3)``, by area."""
    height, width = sums.shape[1:3]
    i = np.arange(side)
    long = (end - start)[..., None]
    low, high = start[..., None] + i * long // side, start[..., None] - (-(i + 1) * long // side)
    x0, x1 = low[:, 0, None, :], high[:, 0, None, :]
    y0, y1 = ((frame[:, None] * height + y[:, 1])[..., None] * width for y in (low, high))
    flat = sums.reshape(-1, 3)
    total = flat.take(y1 + x1, axis=0)
    total -= flat.take(y1 + x0, axis=0)
    total -= flat.take(y0 + x1, axis=0)
    total += flat.take(y0 + x0, axis=0)
    area = (high - low).astype(np.float32)
    mean: Floats = np.divide(total, (area[:, 1, :, None] * area[:, 0, None, :])[..., None], dtype=np.float32)
    return mean


def _squares(boxes: Floats) -> Floats:
    """The squares around the middles with the longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True, initial=0)
    corner = boxes[:, :2] + (sides - longest) / 2
    return np.concatenate([corner, corner + longest], axis=1).astype(np.float32)


def _moved(boxes: Floats, moves: Floats) -> Floats:
    """Boxes whose edges a network moved by shares of their sides; a side counts both its end pixels."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return (boxes + moves * np.tile(sides, 2)).astype(np.float32)


def _suppress(boxes: Floats, score: Floats, group: Ints, most: float) -> Ints:
    """Positions, best first, that no better one of their group overlaps by more than ``most``.

    Groups are moved apart by whole pixels: boxes of whole pixels are not rounded by that.
    """
    import torch
    from torchvision.ops import nms

    if not len(boxes):
        return np.zeros(0, np.intp)
    apart = int(boxes.max() - boxes.min()) + 2
    spread = boxes + (group * apart)[:, None].astype(np.float32)
    kept: Ints = nms(torch.from_numpy(spread), torch.from_numpy(score), most).numpy()
    return kept


def _suppress_inside(boxes: Floats, score: Floats, most: float) -> Ints:
    """Positions, best first, that share at most ``most`` of the smaller box with any better one."""
    order = np.argsort(-score, kind="stable")
    wide = boxes[order].astype(np.float64)
    corner, end = (
        np.maximum(wide[:, None, :2], wide[None, :, :2]),
        np.minimum(wide[:, None, 2:], wide[None, :, 2:]),
    )
    shared = (end - corner + 1).clip(min=0).prod(-1)
    area = (wide[:, 2:] - wide[:, :2] + 1).prod(-1)
    over = shared > most * np.minimum(area[:, None], area[None])
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~over[i, i + 1 :]
    kept: Ints = order[alive]
    return kept
