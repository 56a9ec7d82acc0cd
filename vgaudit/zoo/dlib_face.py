"""dlib's face recognition network in torch: the same weights and numbers, many times faster, and on a GPU too.

The wheel of dlib runs this network on one image after the other without a fast matrix product, and on no GPU. Weights
are read from dlib's own file, whose layout is that of its serialization (integers as a byte of length and sign and
that many bytes; tensors as a version, four sizes and raw float32). It is no pickle: nothing in it can run.

Network: Davis King, ``dlib/examples/dnn_face_recognition_ex.cpp`` (Boost Software License 1.0), a ResNet of 29
convolutions (He et al., 2016), batch normalisation folded to a scale and a shift for each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEAN_RGB = (122.782, 117.001, 104.298)
SCALE = 1 / 256
SIDE = 150
DIMENSION = 128

BLOCKS = (
    *[(32, 1)] * 3,
    (64, 2),
    *[(64, 1)] * 3,
    (128, 2),
    *[(128, 1)] * 2,
    (256, 2),
    *[(256, 1)] * 2,
    (256, 2),
)
"""Channels and stride of the residual blocks, from the input on."""

_MARKS = (b"\x05con_4", b"\x07affine_", b"\x04fc_2")


@dataclass(frozen=True)
class Layer:
    """Weights of a layer.

    Attributes:
        kind: ``con_4``, ``affine_`` or ``fc_2``.
        values: float32, flat: filters and then biases; scales and then shifts; the matrix.
    """

    kind: str
    values: NDArray[np.float32]


def read_layers(path: Path) -> list[Layer]:
    """The layers with weights, from the input on.

    Raises:
        ValueError: The file is not dlib's network of 29 convolutions.
    """
    data = path.read_bytes()
    layers, at = [], 0
    while (found := _next_mark(data, at)) is not None:
        mark, at = found
        kind = mark[1:].decode()
        if kind == "fc_2":
            outputs, at = _integer(data, at)
            inputs, at = _integer(data, at)
            if (inputs, outputs) != (BLOCKS[-1][0], DIMENSION):
                raise ValueError(f"its last layer has {inputs} x {outputs} weights, not 256 x {DIMENSION}")
        version, at = _integer(data, at)
        if kind == "fc_2" and version == 1:  # the layer's own, before that of its tensor
            version, at = _integer(data, at)
        sizes = []
        for _ in range(4):
            size, at = _integer(data, at)
            sizes.append(size)
        count = int(np.prod(sizes))
        if version != 2 or count <= 0 or at + 4 * count > len(data):
            raise ValueError(
                f"a tensor of version {version} and sizes {sizes}, which this reader does not know"
            )
        layers.append(Layer(kind, np.frombuffer(data, "<f4", count, at)))
        at += 4 * count
    kinds = [layer.kind for layer in layers]
    if kinds != ["con_4", "affine_"] * (1 + 2 * len(BLOCKS)) + ["fc_2"]:
        raise ValueError(f"{len(kinds)} layers with weights, not those of dlib's face recognition network")
    return layers


def _next_mark(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The next name of a layer from ``start`` on, and where it ends."""
    places = [(place, mark) for mark in _MARKS if (place := data.find(mark, start)) >= 0]
    if not places:
        return None
    place, mark = min(places)
    return mark, place + len(mark)


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """An integer of dlib's serialization, and where it ends."""
    if at >= len(data):
        raise ValueError("it ends within a number")
    length = data[at] & 0x0F
    value = int.from_bytes(data[at + 1 : at + 1 + length], "little")
    return (-value if data[at] & 0x80 else value), at + 1 + length


class DlibFaceNet:
    """Chips -> descriptors, as ``dlib.face_recognition_model_v1.compute_face_descriptor`` without jitter.

    Args:
        layers: Of :func:`read_layers`.
        device: A torch device.
    """

    def __init__(self, layers: Sequence[Layer], device: str) -> None:
        import torch

        self._device = device
        self._convolutions: list[tuple[Any, Any]] = []
        channels = 3
        widths = [(32, 7), *[(width, 3) for width, _ in BLOCKS for _ in range(2)]]
        for (width, side), convolution, affine in zip(widths, layers[0::2], layers[1::2], strict=False):
            count = width * channels * side * side
            if len(convolution.values) != count + width or len(affine.values) != 2 * width:
                raise ValueError(f"a layer of {width} channels has {len(convolution.values)} weights")
            scale, shift = affine.values[:width].astype(np.float64), affine.values[width:].astype(np.float64)
            filters = (
                convolution.values[:count].reshape(width, channels, side, side) * scale[:, None, None, None]
            )
            bias = convolution.values[count:] * scale + shift
            self._convolutions.append((self._tensor(torch, filters), self._tensor(torch, bias)))
            channels = width
        self._matrix = self._tensor(torch, layers[-1].values.reshape(channels, DIMENSION))

    def _tensor(self, torch: Any, values: NDArray[Any]) -> Any:
        return torch.from_numpy(np.array(values, np.float32)).to(
            self._device
        )  # a copy: the file's bytes are not ours

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``(n, 128)``, not normalised, of uint8 RGB ``(n, 150, 150, 3)``."""
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            pixels = (
                torch.from_numpy(np.ascontiguousarray(chips)).to(self._device).permute(0, 3, 1, 2).float()
            )
            mean = torch.tensor(MEAN_RGB, device=self._device)[:, None, None]
            x = (pixels - mean) * SCALE
            weights = iter(self._convolutions)
            filters, bias = next(weights)
            x = functional.max_pool2d(functional.conv2d(x, filters, bias, stride=2).relu(), 3, 2)
            for _, stride in BLOCKS:
                filters, bias = next(weights)
                y = functional.conv2d(x, filters, bias, stride=stride, padding=1 if stride == 1 else 0).relu()
                filters, bias = next(weights)
                y = functional.conv2d(y, filters, bias, padding=1)
                x = _sum(functional.avg_pool2d(x, 2, 2) if stride == 2 else x, y).relu()
            found: NDArray[np.float32] = (x.mean(dim=(2, 3)) @ self._matrix).float().cpu().numpy()
        return found


def _sum(a: Any, b: Any) -> Any:
    """Sum of two tensors, the smaller filled up with zeros at its ends, as dlib's ``add_prev`` does."""
    from torch.nn import functional

    sizes = [max(x, y) for x, y in zip(a.shape[1:], b.shape[1:], strict=True)]

    def filled(x: Any) -> Any:
        missing = [want - have for want, have in zip(sizes, x.shape[1:], strict=True)]
        pads = [pad for gap in reversed(missing) for pad in (0, gap)]
        return functional.pad(x, pads) if any(pads) else x

    return filled(a) + filled(b)
