"""Statistics of a reference set for FVD, read from a file: numbers only, nothing in it can run.

A file (``.npz`` or ``.safetensors``) holds ``mean`` ``(d,)``, ``num_clips``, and ``cov_biased`` (divided by N) or
``cov`` (divided by N - 1), both ``(d, d)``. It may hold ``features`` ``(num_clips, d)``, from which the distance of
the set to itself is made, and ``clip_sha256`` ``(num_clips, 32)``, by which clips are known that are on both sides of
a distance. It may say the digest of the network that made it and the protocol: ``weights_sha256`` and ``protocol``,
as text arrays or as metadata of a ``.safetensors``. What else its metadata say (``recipe``, ``encoder``) is passed on
to the report. ``vgaudit reference build`` writes such files (:mod:`vgaudit.metrics.reference_build`).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import UsageError
from vgaudit.metrics.base import Measured
from vgaudit.metrics.frechet import Statistics, frechet_distance
from vgaudit.records import digest
from vgaudit.shipped import shipped_folder
from vgaudit.video import ClipInfo

MAX_BYTES = 1 << 28  # 256 MiB: a covariance of 4,096 dimensions takes half of it
_MAX_CLIPS = 10**12  # beyond any data set; within it a float64 holds every count exactly
_EXPECTED = "expected an .npz or .safetensors with mean (d,), num_clips, and cov_biased or cov (d, d)"
_NAMES = ("mean", "num_clips", "cov_biased", "cov", "features", "weights_sha256", "protocol", "clip_sha256")
PART_MARK = "vgaudit_reference_part"
"""Metadata by which a file says that it is a part of a set, and no set."""
_SHIPPED = re.compile(r"(storyworld)(-[a-z]+)?")
_TOLERANCE = 1e-3  # of a feature's spread: stored features and moments may be float32


@dataclass(frozen=True)
class ReferenceStatistics:
    """Statistics of a reference set in the normalisation of the protocol.

    Attributes:
        statistics: Covariance divided by ``N - ddof``.
        name: The file's name.
        features: ``(n, d)``, or ``None`` where the file has none.
        weights_sha256: Digest of the network that made it; empty where the file does not say.
        made: What the file says of how it was made.
        clips: SHA-256 of each of its clips; ``None`` where the file does not say.
        protocol: What it was made by, as :attr:`VideoProtocol.label
            <vgaudit.extractors.video_protocols.VideoProtocol.label>` says it; empty where the file does not say.
    """

    statistics: Statistics
    name: str
    features: NDArray[np.float64] | None = None
    weights_sha256: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    clips: frozenset[str] | None = None


def reference_path(reference: str, base_dir: Path) -> Path:
    """The file that ``reference`` names: a set that ships along, or a path relative to ``base_dir``.

    ``storyworld`` is the set of every look, ``storyworld-film`` that of one.
    """
    if named := _SHIPPED.fullmatch(reference):
        return shipped_folder("reference_data") / named[1] / f"{reference}.safetensors"
    return base_dir / Path(reference).expanduser()


def clip_list_sha256(clips: Iterable[tuple[str, int]]) -> str:
    """Digest of which clips were seen and from which frame on, whatever they are called and in any order.

    Args:
        clips: SHA-256 of each clip, and the first frame of its window.
    """
    return digest(sorted([sha256, start] for sha256, start in clips))


def read_statistics(
    path: Path, ddof: int = 0, protocol: str = "", option: str = "fvd.reference"
) -> ReferenceStatistics:
    """Read and check a file of statistics.

    Args:
        path: The file.
        ddof: The protocol's covariances are divided by ``N - ddof``; the file's is brought to that.
        protocol: Label of what the set will be compared by. A file that states another one is refused; one that
            states none is taken. Empty: any.
        option: Of the suite that names the file, for messages.

    Raises:
        UsageError: Missing, too large, not such a file, or of another protocol; says what is wrong.
    """
    if not path.is_file():
        shipped = path.parent.parent == shipped_folder("reference_data")
        beside = ", ".join(sorted(p.stem for p in path.parent.glob("*.safetensors"))) or "none"
        which = f"; sets that ship along: {beside}" if shipped else ""
        raise UsageError(f"{option}: no file at {path}{which}; {_EXPECTED}")
    try:
        arrays, metadata = read_arrays(path)
        if PART_MARK in metadata:
            raise ValueError("it is a part of a set; join the parts with `vgaudit reference merge`")
        mean = np.asarray(arrays["mean"], dtype=np.float64)
        n = _clip_count(arrays["num_clips"])
        biased = "cov_biased" in arrays
        cov = np.asarray(arrays["cov_biased" if biased else "cov"], dtype=np.float64)
        cov = cov * ((n - (0 if biased else 1)) / (n - ddof))
        frechet_distance(mean, cov, mean, cov)  # checks shapes, finiteness, symmetry, eigenvalues
        features = _features(arrays["features"], n, mean, cov, ddof) if "features" in arrays else None
        weights = str(arrays.get("weights_sha256", metadata.get("weights_sha256", ""))).lower()
        made = {key: _parsed(text) for key, text in metadata.items() if key != "weights_sha256"}
        clips = _clips(arrays["clip_sha256"], n) if "clip_sha256" in arrays else None
        stated = str(arrays.get("protocol", metadata.get("protocol", "")))
    except KeyError as error:
        raise UsageError(f"{option}: {path} has no array {error}; {_EXPECTED}") from error
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{option}: {path} cannot be used: {error}; {_EXPECTED}") from error
    if protocol and stated and stated != protocol:
        raise UsageError(
            f"{option}: {path.name} was made by the protocol {stated}, but is to be compared by {protocol}: "
            "their numbers do not compare; set the suite's protocol to the first, or name a reference of the second"
        )
    return ReferenceStatistics(Statistics(n, mean, cov), path.name, features, weights, made, stated, clips)


def rank_note(stored: Statistics) -> str:
    """What is to be said of a covariance that fills fewer dimensions than its clips could, or nothing.

    No ground to refuse it: copies among the clips, or features that do not vary, lower the rank of a right covariance
    too. Numbers below ``d`` float32 roundings of the largest count as none where a file was rounded so; published
    float64 statistics have a fifth of theirs below that. So a note is made where less than half is left above it.
    """
    values = np.linalg.eigvalsh(stored.cov)
    could = min(len(values), stored.n - 1)
    rank = int((values > len(values) * np.finfo(np.float32).eps * values[-1]).sum())
    if 2 * rank >= could:
        return ""
    return (
        f"the reference's covariance fills {rank} dimensions where {stored.n} clips with {len(values)} features "
        f"could fill {could}: copies among its clips, features that do not vary, or another num_clips than stated"
    )


def video_facts(info: ClipInfo) -> dict[str, Any]:
    """What of a clip can differ from a reference's: ``width``, ``height``, ``fps``, ``codec``, ``pixel_format``."""
    return {
        "width": info.width, "height": info.height, "fps": info.fps,
        "codec": info.codec, "pixel_format": info.pixel_format,
    }  # fmt: skip


def differing_video(detail: Mapping[str, Any], used: Sequence[Measured]) -> list[str]:
    """Where a stored reference's clips, by its own ``recipe.video`` and ``encoder``, differ from these in kind.

    A clip's encoder is known by what the file shows: codec and pixel format. How strongly it compressed is not.
    """
    made = detail.get("reference_made", {})
    made = made if isinstance(made, Mapping) else {}
    recipe = made.get("recipe")
    video, encoder = recipe.get("video") if isinstance(recipe, Mapping) else None, made.get("encoder")
    stated = {
        **(video if isinstance(video, Mapping) else {}),
        **(encoder if isinstance(encoder, Mapping) else {}),
    }
    notes = [
        f"reference clips are of several {what} ({', '.join(map(str, several))}): part of the distance can be that"
        for key, what in (("sizes", "sizes"), ("rates", "frame rates"), ("encoders", "encoders"))
        if isinstance(several := stated.get(key), Mapping)
    ]
    for keys, what in (
        (("width", "height"), "size"),
        (("fps",), "frame rate"),
        (("codec", "pixel_format"), "encoder"),
    ):
        asked = [key for key in keys if key in stated]
        theirs = tuple(stated[key] for key in asked)
        ours = {tuple(m.measurement.facts["video"][key] for key in asked) for m in used}
        if asked and any(one != theirs for one in ours):
            sign, unit = ("x", "") if what == "size" else (" ", " fps" if what == "frame rate" else "")
            say = [
                sign.join(f"{v:g}" if isinstance(v, float) else str(v) for v in one) + unit
                for one in (theirs, *sorted(ours))
            ]
            notes.append(
                f"reference clips are {say[0]}, these {', '.join(say[1:])}: part of the distance is the {what}"
            )
    return notes


def _clip_count(stored: NDArray[Any]) -> int:
    """The one number in ``stored``, of any numeric type.

    Raises:
        ValueError: It is no whole number of two or more clips.
    """
    n = float(np.asarray(stored).reshape(()))
    if not (2 <= n <= _MAX_CLIPS and n.is_integer()):  # NaN fails every comparison
        raise ValueError(f"num_clips is {n:g}, not a whole number from 2 to {_MAX_CLIPS:,}")
    return int(n)


def _features(
    stored: NDArray[Any], n: int, mean: NDArray[np.float64], cov: NDArray[np.float64], ddof: int
) -> NDArray[np.float64]:
    """The stored features, held against the stored moments: they must be those of the same clips.

    Raises:
        ValueError: They are not.
    """
    rows = np.asarray(stored, dtype=np.float64)
    if rows.shape != (n, len(mean)):
        raise ValueError(f"features have shape {rows.shape}; expected {(n, len(mean))}")
    spread = float(np.sqrt(max(np.trace(cov) / len(mean), 0.0)))
    if not np.isfinite(rows).all() or np.abs(rows.mean(axis=0) - mean).max() > _TOLERANCE * spread:
        raise ValueError("mean is not that of its features")
    if np.abs(np.atleast_2d(np.cov(rows.T, ddof=ddof)) - cov).max() > _TOLERANCE * np.abs(cov).max():
        raise ValueError("the covariance is not that of its features")
    return rows


def _clips(stored: NDArray[Any], n: int) -> frozenset[str]:
    """The digests in ``stored``, in hexadecimal.

    Raises:
        ValueError: It is no ``(n, 32)`` of bytes.
    """
    if stored.shape != (n, 32) or stored.dtype != np.uint8:
        raise ValueError(
            f"clip_sha256 is {stored.dtype} of shape {stored.shape}; expected uint8 of {(n, 32)}"
        )
    return frozenset(row.tobytes().hex() for row in np.ascontiguousarray(stored))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_arrays(path: Path, names: Sequence[str] = _NAMES) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Those of the named arrays that a file has, and its metadata.

    Raises:
        ValueError: Too large, or no such file; ``OSError``, ``EOFError`` and ``zipfile.BadZipFile`` likewise.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                there = file.keys()
                return {k: file.get_tensor(k) for k in names if k in there}, dict(file.metadata() or {})
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    with zipfile.ZipFile(path) as archive:  # before numpy unpacks it: a small archive can hold a large array
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in names if name in stored.files}, {}
