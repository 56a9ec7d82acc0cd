"""Files with biometric content: written whole or not at all, and readable by their owner only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.records import canonical_json, digest

MAX_BYTES = 8 * 1024**3
DESCRIPTION = "description"
_SUFFIX = ".unfinished"


def write_private(path: Path, data: bytes) -> None:
    """Write atomically with mode 0600: the new file takes the old one's place, or the old one stays as it was.

    Raises:
        GalleryError: It cannot be written, with the reason.
    """
    handle, temporary = _beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise GalleryError(f"{path}: cannot be written: {error.strerror}") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise unless a file can be made at ``path``; its folder is made, and nothing else is left.

    Raises:
        GalleryError: It cannot, with the reason.
    """
    handle, temporary = _beside(path)
    os.close(handle)
    Path(temporary).unlink()


def _beside(path: Path) -> tuple[int, str]:
    """A new file beside ``path``, mode 0600."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(prefix=f".{path.name}.", suffix=_SUFFIX, dir=path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written: {error.strerror}; expected a file in a folder that can be written"
        ) from error


def has_key(path: Path, key: str) -> bool:
    """Whether ``path`` is a file that :func:`save_tensors` wrote as the kind ``key``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return key in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False


def unfinished(path: Path) -> list[Path]:
    """What a killed :func:`write_private` of ``path`` left beside it."""
    here = path.parent.glob("." + "".join(f"[{c}]" if c in "*?[" else c for c in path.name) + f".*{_SUFFIX}")
    return sorted(found for found in here if found.is_file() and not found.is_symlink())


def save_tensors(
    path: Path, key: str, version: int, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write a safetensors file whose JSON description is a tensor of its own: headers are limited, people are not.

    Args:
        path: The file.
        key: Names the kind of file in the header.
        version: Of the kind.
        description: JSON-able; its digest is stored with it.
        tensors: Arrays by name.
    """
    from safetensors.numpy import save

    content = {**description, "tensors_sha256": tensors_digest(tensors)}
    text = canonical_json({**content, "content_sha256": digest(content)}).encode()
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    arrays[DESCRIPTION] = np.frombuffer(text, np.uint8)
    write_private(path, save(arrays, metadata={key: canonical_json({"version": version})}))


def load_tensors(
    path: Path, key: str, names: set[str], kind: str, made_by: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Description (with its ``version``) and tensors of a file; digests are the caller's to check, after the content.

    Args:
        path: The file.
        key: What :func:`save_tensors` was given.
        names: Tensors that must be there, and no others.
        kind: What the file should be, for messages, such as ``gallery``.
        made_by: The command that makes one.

    Raises:
        GalleryError: No such file, or its description cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_BYTES:
            raise GalleryError(f"{path}: larger than {MAX_BYTES // 2**30} GiB")
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(key)
            found = set(file.keys())
            if text is None or found - {DESCRIPTION} != names:
                raise GalleryError(
                    f"{path}: a safetensors file, but no {kind}; expected one made by {made_by}"
                )
            tensors = {name: file.get_tensor(name) for name in found}
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        other = " nor a folder with a folder of pictures per person" if kind == "gallery" else ""
        either = "neither a gallery file" if other else f"not a {kind} file made by {made_by}"
        raise GalleryError(f"{path}: {either}{other} ({what})") from error
    try:
        content = json.loads(text)
        if DESCRIPTION in tensors:
            content = {**json.loads(tensors.pop(DESCRIPTION).tobytes()), "version": content["version"]}
        content["version"] + 0
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GalleryError(f"{path}: its description is damaged") from error
    return content, tensors


def check_digests(
    path: Path, content: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], again: str
) -> None:
    """Raise :class:`GalleryError` unless content and tensors are those that were saved."""
    if content.get("tensors_sha256") != tensors_digest(tensors):
        raise GalleryError(f"{path}: its templates are not those it was saved with; {again}")
    stated = {k: v for k, v in content.items() if k not in ("version", "content_sha256")}
    if content.get("content_sha256") != digest(stated):
        raise GalleryError(f"{path}: its facts are not those it was saved with; {again}")


def tensors_digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    import hashlib

    running = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        running.update(canonical_json([name, str(array.dtype), list(array.shape)]).encode())
        running.update(array.tobytes())
    return running.hexdigest()
