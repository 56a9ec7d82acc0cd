"""Whatever a text-to-video pipeline returns, as uint8 clips. Pure functions; refuses what it would have to guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

UInt8 = NDArray[np.uint8]

_TOLERANCE = 1e-2  # of [0, 1]: what rounding in half precision may overshoot
_TORCH_HAS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


class BadOutputError(ValueError):
    """An output that is no clip: latents, NaN, an unknown range or layout."""


def to_uint8_clips(output: Any) -> list[UInt8]:
    """All clips of an output, each uint8 ``(T, H, W, 3)``.

    See :func:`split_clips` for the layouts and :func:`to_uint8` for the values.

    Raises:
        BadOutputError: It is no batch of clips, or one of them is not finite or out of range.
    """
    return [to_uint8(clip) for clip in split_clips(output)]


def split_clips(output: Any) -> list[NDArray[Any]]:
    """The clips of an output, each ``(T, H, W, C)`` with C of 1 or 3, in the type they came in.

    Read are: a PIL image list (one clip), a list of such lists, arrays ``(T, H, W, C)`` and ``(B, T, H, W, C)``,
    tensors ``(B, T, C, H, W)`` (as diffusers returns them), ``(B, C, T, H, W)`` and ``(T, C, H, W)``, and lists of
    arrays, tensors or frames ``(H, W, C)``.

    Raises:
        BadOutputError: Another type or layout, or four channels (latents).
    """
    if _is_tensor(output):
        return _of_tensor(output)
    if isinstance(output, np.ndarray):
        return _of_array(output)
    if not isinstance(output, Sequence) or isinstance(output, str) or not output:
        raise BadOutputError(f"expected frames, found {_described(output)}")
    first = output[0]
    if _is_image(first):
        return [np.stack([_of_image(image) for image in output])]
    if isinstance(first, Sequence) and first and _is_image(first[0]):
        return [np.stack([_of_image(image) for image in clip]) for clip in output]
    if isinstance(first, np.ndarray) and first.ndim == 3:
        return _of_array(np.stack([np.asarray(frame) for frame in output]))
    if isinstance(first, np.ndarray) or _is_tensor(first) or isinstance(first, Sequence):
        return [clip for part in output for clip in split_clips(part)]
    raise BadOutputError(f"expected frames, found {_described(output)}")


def to_uint8(clip: NDArray[Any]) -> UInt8:
    """``(T, H, W, C)`` as uint8 RGB: uint8 stays, floats in [0, 1] are scaled and rounded, one channel becomes three.

    Raises:
        BadOutputError: The clip is empty, holds NaN or infinity, or values outside [0, 1].
    """
    if clip.size == 0:
        raise BadOutputError(f"the clip is empty (shape {clip.shape})")
    if clip.dtype != np.uint8:
        clip = _scaled(clip)
    return np.ascontiguousarray(np.broadcast_to(clip, (*clip.shape[:3], 3)))


def _scaled(clip: NDArray[Any]) -> UInt8:
    if not np.issubdtype(clip.dtype, np.floating):
        raise BadOutputError(f"expected uint8 or floating-point frames, found {clip.dtype}")
    import torch

    # torch works on all cores, and a clip is large; its operations round as numpy's do.
    if clip.dtype not in _TORCH_HAS or min(clip.strides) < 0:
        clip = np.ascontiguousarray(clip, np.float32)
    values = torch.from_numpy(clip)
    low, high = (float(end) for end in torch.aminmax(values))
    if not math.isfinite(low) or not math.isfinite(high):
        share = float((~np.isfinite(clip)).mean())
        raise BadOutputError(
            f"{share:.1%} of the values are NaN or infinite; a wider `dtype` (bfloat16, float32) often cures this"
        )
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise BadOutputError(f"expected values in [0, 1], found {low:.3g} to {high:.3g}")
    scaled: UInt8 = values.float().clamp(0, 1).mul_(255).round_().to(torch.uint8).numpy()
    return scaled


def _of_array(array: NDArray[Any]) -> list[NDArray[Any]]:
    if array.ndim not in (4, 5):
        raise BadOutputError(f"expected shape (T, H, W, C) or (B, T, H, W, C), found {array.shape}")
    if array.shape[-1] not in (1, 3):
        raise BadOutputError(_channels(array.shape, "last"))
    return list(array) if array.ndim == 5 else [array]


def _of_tensor(tensor: torch.Tensor) -> list[NDArray[Any]]:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy has no bfloat16
    shape = tuple(tensor.shape)
    if tensor.ndim not in (4, 5):
        raise BadOutputError(f"expected a tensor (B, T, C, H, W) or (B, C, T, H, W), found shape {shape}")
    if shape[-1] in (1, 3) and not {shape[-3], shape[1]} & {1, 3}:
        return _of_array(tensor.numpy())
    # Three channels before one, and (B, T, C, H, W) before (B, C, T, H, W): the former is what diffusers' own
    # video processor returns.
    axes = (-3, 1) if tensor.ndim == 5 else (-3,)
    channels = next((axis for count in (3, 1) for axis in axes if shape[axis] == count), None)
    if channels is None:
        raise BadOutputError(_channels(shape, "any"))
    moved = tensor.movedim(channels, -1)
    return _of_array(moved.numpy())


def _channels(shape: tuple[int, ...], where: str) -> str:
    latents = " (are these latents?)" if 4 in shape or 16 in shape else ""
    return f"expected 1 or 3 channels on the {where} axis, found shape {shape}{latents}"


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def _is_image(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "getbands")


def _of_image(image: Any) -> UInt8:
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _described(value: Any) -> str:
    return (
        f"an empty {type(value).__name__}"
        if isinstance(value, Sequence) and not value
        else type(value).__name__
    )
