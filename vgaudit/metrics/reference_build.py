"""Files of reference statistics: what is known of some clips, joining that, writing it, saying what is in one.

A set is built from clips in any number of parts (:mod:`vgaudit.pipeline.reference` embeds the clips). A part holds
moments, so its size does not grow with the features, and which clips it saw; parts of one protocol and one network
by one extractor that share no clip are joined to what the whole would have given, up to rounding. A finished set is
what :mod:`vgaudit.metrics.fvd_reference` reads.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vgaudit
from vgaudit.errors import UsageError
from vgaudit.extractors.video_protocols import PROTOCOLS
from vgaudit.metrics.estimators import effective_rank, sample_warning
from vgaudit.metrics.fvd import MIN_CLIPS
from vgaudit.metrics.fvd_reference import (
    MAX_BYTES,
    PART_MARK,
    clip_list_sha256,
    read_arrays,
    read_statistics,
)
from vgaudit.metrics.moments import Moments
from vgaudit.rundir import atomic_write
from vgaudit.zoo.resolve import file_sha256

NAMED = 20
"""Left-out clips that a file names; all are counted."""
_PART = "2"
_METADATA_BYTES = 1 << 20
_CLIP_BYTES = 40
"""Of a clip without its features: its digest and the first frame of its window."""
_ARRAYS = ("n", "mean", "scatter", "clip_sha256", "window_start", "features")


@dataclass(frozen=True, eq=False)
class ReferencePart:
    """What is known of some clips of a reference set.

    Attributes:
        protocol: The protocol, by its label.
        weights: Network, as the extractor names it.
        weights_sha256: Digest of its weights.
        ddof: The protocol's covariances are divided by ``N - ddof``.
        moments: Of the clips' features; of no clip ``Moments.empty(1)``.
        clips: SHA-256 of each clip and the first frame of its window, by SHA-256.
        features: ``(n, d)`` float32 in that order, or ``None`` if they were not kept.
        extractor: Fingerprint of the extractor that gave the features: its version, release of torch and device are
            in it.
        guard: What decided whether the network may judge a clip: fingerprint of the guard's network, and the rule;
            empty where no guard was asked.
        videos: How many clips there are of each kind, as JSON of :func:`vgaudit.metrics.fvd_reference.video_facts`.
        left_out: How many clips have no part in it, by reason.
        left_out_names: Some of them, with the reason.
        unopened: Files whose bytes could not be read at all.
        failed: Clips left out because they could not be read, ``unopened`` among them; others were too short.
        duplicates: Files whose bytes another file has too.
        notes: What is to be said of it.
        own_protocol: The protocol written out, where it is the user's own.
        options: What the command was asked for.
        shard: Which of how many shares of the list this is, from 1; ``(1, 1)`` is all.
        listing: Digest of the whole list, all shares.
    """

    protocol: str
    weights: str
    weights_sha256: str
    ddof: int
    moments: Moments
    clips: tuple[tuple[str, int], ...]
    features: NDArray[np.float32] | None
    extractor: str
    guard: str
    videos: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)
    left_out_names: tuple[tuple[str, str], ...] = ()
    unopened: int = 0
    failed: int = 0
    duplicates: int = 0
    notes: tuple[str, ...] = ()
    own_protocol: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    shard: tuple[int, int] = (1, 1)
    listing: str = ""

    @property
    def n(self) -> int:
        """Clips in it."""
        return self.moments.n

    @property
    def list_sha256(self) -> str:
        """Digest of its clips and windows, as ``fvd.distance`` gives it for a group."""
        return clip_list_sha256(self.clips)


def merged(parts: Mapping[str, ReferencePart]) -> ReferencePart:
    """All parts as one.

    Args:
        parts: By a name for messages, one or more.

    Raises:
        UsageError: They are of different protocols, networks, extractors or guards, share a clip, some kept features
            and some did not, are not all the shares of their list, or none has a usable clip.
    """
    every = list(parts.values())
    leader = next((name for name, part in parts.items() if part.n), None)
    if leader is None:
        why = Counter[str]()
        for part in every:
            why.update(part.left_out)
        raise UsageError(
            f"no clip is in any of the {len(every)} parts; expected {MIN_CLIPS} or more; left out: {_left_out(why)}"
        )
    first = parts[leader]
    for name, part in parts.items():
        for what, ours, theirs in (
            ("protocol", first.protocol, part.protocol),
            # Where every clip failed none told its network; the extractor's fingerprint is that one's too.
            (
                "network with sha256",
                first.weights_sha256,
                part.weights_sha256 or (None if not part.n else ""),
            ),
            ("extractor (version, device, release of torch)", first.extractor, part.extractor),
            ("domain guard", first.guard or "none", part.guard or "none"),
            ("features kept", first.features is not None, part.features is not None),
            ("width", len(first.moments.mean), len(part.moments.mean) if part.n else None),
        ):
            if theirs is not None and ours != theirs:
                raise UsageError(
                    f"{leader} and {name} are not parts of one set: {what} is {ours} in the first and {theirs} in "
                    "the second; expected the same in all parts"
                )
    owner: dict[str, str] = {}
    for name, part in parts.items():
        shared = [sha256 for sha256, _ in part.clips if sha256 in owner]
        if shared:
            raise UsageError(
                f"{owner[shared[0]]} and {name} have {len(shared)} clips in common, such as the one with sha256 "
                f"{shared[0][:12]}...: each would count twice; expected parts that share no clip"
            )
        owner |= {sha256: name for sha256, _ in part.clips}
    _all_shares(parts)
    moments = first.moments
    for part in every:
        moments = moments.merge(part.moments) if part.n and part is not first else moments
    clips = [clip for part in every for clip in part.clips]
    order = sorted(range(len(clips)), key=clips.__getitem__)
    rows = [part.features for part in every if part.features is not None and part.n]
    videos, left_out = Counter[str](), Counter[str]()
    for part in every:
        videos.update(part.videos)
        left_out.update(part.left_out)
    return replace(
        first,
        moments=moments,
        clips=tuple(clips[i] for i in order),
        features=np.concatenate(rows)[order] if rows else first.features,
        videos=dict(videos),
        left_out=dict(left_out),
        left_out_names=tuple(named for part in every for named in part.left_out_names)[:NAMED],
        unopened=sum(part.unopened for part in every),
        failed=sum(part.failed for part in every),
        duplicates=sum(part.duplicates for part in every),
        notes=tuple(dict.fromkeys(note for part in every for note in part.notes)),
        options={**first.options, **_most_failed(every), "merged": len(every)},
        shard=(1, 1),
    )


def _most_failed(parts: Sequence[ReferencePart]) -> dict[str, Any]:
    """The laxest rule that a part was made by."""
    allowed = [part.options["max_failed"] for part in parts if "max_failed" in part.options]
    return {"max_failed": max(allowed)} if allowed else {}


def _all_shares(parts: Mapping[str, ReferencePart]) -> None:
    """That every share of each list is there.

    Raises:
        UsageError: One is not.
    """
    lists: dict[str, list[ReferencePart]] = {}
    for part in parts.values():
        lists.setdefault(part.listing, []).append(part)
    for shares in lists.values():
        counts = {part.shard[1] for part in shares}
        there = sorted(part.shard[0] for part in shares)
        of = max(counts)
        if len(counts) > 1 or there != list(range(1, of + 1)):
            given = ", ".join(sorted(f"{part.shard[0]}/{part.shard[1]}" for part in shares))
            raise UsageError(
                f"parts of one list of clips: expected each of 1/{of} to {of}/{of} once, found {given}; a set "
                "without one of them is not the list's"
            )


def refuse_too_large(n: int, d: int) -> None:
    """That a file can hold a row of features of each clip.

    Args:
        n: Clips, as far as is known.
        d: Features of each.

    Raises:
        UsageError: It would be too large to be read again.
    """
    size = n * (d * 4 + _CLIP_BYTES) + 8 * d * (d + 1)
    if size > MAX_BYTES - _METADATA_BYTES:
        raise UsageError(
            f"with --features a file of {n:,} clips, {d:,} features each, would have about {size:,} bytes, and at "
            f"most {MAX_BYTES:,} are read again; leave --features out, or take fewer clips"
        )


def write_part(path: Path, part: ReferencePart) -> None:
    """Write a part, whole or not at all; :func:`read_part` reads it."""
    facts = {
        "protocol": part.protocol, "weights": part.weights, "weights_sha256": part.weights_sha256,
        "ddof": part.ddof, "own_protocol": part.own_protocol, "extractor": part.extractor,
        "guard": part.guard, "videos": part.videos, "left_out": part.left_out,
        "left_out_names": part.left_out_names, "unopened": part.unopened, "failed": part.failed,
        "duplicates": part.duplicates, "notes": part.notes,
        "options": part.options, "shard": part.shard, "listing": part.listing,
    }  # fmt: skip
    arrays = {**part.moments.arrays(), **_clip_arrays(part)}
    _write(path, arrays, {PART_MARK: _PART, "facts": json.dumps(facts, sort_keys=True)})


def read_part(path: Path) -> ReferencePart:
    """A part as :func:`write_part` wrote it.

    Raises:
        UsageError: Missing, damaged, or no part.
    """
    if not path.is_file():
        raise UsageError(f"{path}: expected a part of a reference set, found no file")
    try:
        arrays, metadata = read_arrays(path, _ARRAYS)
        if metadata.get(PART_MARK) != _PART:
            raise ValueError("it is no part that this version of vgaudit can read: build it again")
        facts = json.loads(metadata["facts"])
        moments = Moments.from_arrays(arrays)
        digests, starts = arrays["clip_sha256"], arrays["window_start"]
        if digests.shape != (moments.n, 32) or starts.shape != (moments.n,):
            raise ValueError("its clips are not as many as its moments")
        features = arrays.get("features")
        if features is not None and moments.n and features.shape != (moments.n, len(moments.mean)):
            raise ValueError("its features are not as many as its moments")
        clips = [(bytes(row).hex(), int(start)) for row, start in zip(digests, starts, strict=True)]
        return ReferencePart(
            facts["protocol"], facts["weights"], facts["weights_sha256"], int(facts["ddof"]), moments,
            tuple(clips), features, facts["extractor"], facts["guard"], facts["videos"], facts["left_out"],
            tuple((name, why) for name, why in facts["left_out_names"]),
            int(facts["unopened"]), int(facts["failed"]), facts["duplicates"],
            tuple(facts["notes"]), facts["own_protocol"], facts["options"],
            (facts["shard"][0], facts["shard"][1]), facts["listing"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path} cannot be used: {error}; expected a file that `vgaudit reference build --shard` wrote"
        ) from error


def write_reference(path: Path, part: ReferencePart) -> None:
    """Write a finished set, whole or not at all, as ``metrics.fvd.reference`` takes it.

    Arrays: ``mean`` ``(d,)``, ``cov`` or ``cov_biased`` ``(d, d)`` in the protocol's normalisation, ``num_clips``,
    ``clip_sha256`` uint8 ``(n, 32)``, ``window_start`` ``(n,)``, and if they were kept ``features`` ``(n, d)``.

    Raises:
        UsageError: Too few clips, or more bytes than such a file may have.
    """
    if part.n < MIN_CLIPS:
        raise UsageError(
            f"{part.n} usable clips; expected at least {MIN_CLIPS} for a reference set"
            + "".join(f"; left out: {count} x {why}" for why, count in part.left_out.items())
        )
    made = part.moments.statistics(part.ddof)
    video, encoder = _video(part.videos)
    recipe = {
        "video": video,
        "duplicates": part.duplicates,
        "notes": part.notes,
        **({"protocol": part.own_protocol} if part.own_protocol else {}),
    }
    names = [{"clip": name, "reason": why} for name, why in part.left_out_names]
    arrays = {
        "mean": np.ascontiguousarray(made.mean),
        "cov" if part.ddof else "cov_biased": np.ascontiguousarray(made.cov),
        "num_clips": np.array(part.n, np.int64),
        **_clip_arrays(part),
    }
    metadata = {
        "protocol": part.protocol,
        "weights": part.weights,
        "weights_sha256": part.weights_sha256,
        "n": str(part.n),
        **{
            key: json.dumps(value, sort_keys=True)
            for key, value in {
                "recipe": recipe,
                "encoder": encoder,
                "list_sha256": part.list_sha256,
                "left_out": {"counts": part.left_out, "clips": names},
                "extractors": [part.extractor],
                **({"guard": part.guard} if part.guard else {}),
                "options": part.options,
                "vgaudit": vgaudit.__version__,
            }.items()
        },
    }
    _write(path, arrays, metadata)


def describe(path: Path) -> list[tuple[str, str]]:
    """What is in a file of statistics, or in a part: what it is called and what it is, line by line.

    Raises:
        UsageError: It is neither; says what is wrong.
    """
    is_part = False
    if path.suffix == ".safetensors" and path.is_file():
        try:
            is_part = PART_MARK in read_arrays(path, ())[1]
        except (ValueError, OSError):
            is_part = False  # what is wrong is said below
    return _of_part(path) if is_part else _of_statistics(path)


def _of_part(path: Path) -> list[tuple[str, str]]:
    part = read_part(path)
    of = f"share {part.shard[0]} of {part.shard[1]}; join them with `vgaudit reference merge`"
    video, encoder = _video(part.videos)
    return [
        ("file", f"{path.name}, a part of a reference set: {of}"),
        ("protocol", part.protocol),
        ("network", f"{part.weights}, sha256 {part.weights_sha256}"),
        ("clips", f"{part.n}, {len(part.moments.mean) if part.n else 'no'} features each"),
        ("features", "stored" if part.features is not None else "not stored"),
        ("extractor", part.extractor),
        ("guard", part.guard or "none"),
        ("clips' list", f"sha256 {part.list_sha256}"),
        ("whole list", f"sha256 {part.listing}"),
        ("video", _told(video)),
        ("encoder", _told(encoder)),
        ("left out", _left_out(part.left_out)),
    ]


def _of_statistics(path: Path) -> list[tuple[str, str]]:
    read = read_statistics(path, ddof=1)
    arrays, _ = read_arrays(path)
    made, n, d = dict(read.made), read.statistics.n, len(read.statistics.mean)
    protocol = str(arrays.get("protocol", made.pop("protocol", ""))) or "not said: no protocol is refused"
    unsigned = ", ".join(p.name for p in PROTOCOLS.values() if p.unsigned_reference)
    network = (
        f"sha256 {read.weights_sha256}" if read.weights_sha256 else f"not said: {unsigned} alone takes it"
    )
    named = str(made.pop("weights", ""))
    rank = effective_rank(read.statistics.cov)
    rows = [
        ("file", path.name),
        ("sha256", file_sha256(path)),
        ("protocol", protocol),
        ("network", f"{named}, {network}" if named else network),
        ("clips", f"{n:,}"),
        ("dimensions", f"{d}, effective rank {rank:.1f}"),
        ("covariance", "divided by N" if "cov_biased" in arrays else "divided by N - 1"),
        (
            "features",
            "stored: the distance of the set to itself can be made"
            if read.features is not None
            else "not stored: no floor, no kernel distance",
        ),
    ]
    recipe = made.pop("recipe", None)
    recipe = dict(recipe) if isinstance(recipe, Mapping) else {}
    left_out = made.pop("left_out", None)
    labels = {
        "list_sha256": "clips' list",
        "encoder": "encoder",
        "extractors": "extractors",
        "guard": "guard",
        "protocol": "written out",
        "vgaudit": "vgaudit",
    }
    if "video" in recipe:
        rows.append(("video", _told(recipe.pop("video"))))
    if isinstance(left_out, Mapping):
        rows.append(("left out", _left_out(left_out.get("counts", {}))))
        rows += [
            ("", f"{c['clip']}: {c['reason']}") for c in left_out.get("clips", ()) if isinstance(c, Mapping)
        ]
    made.pop("n", None)
    rows += [
        (labels.get(key, key), _told(value))
        for key, value in {**recipe, **made}.items()
        if value not in ([], ())
    ]
    if warning := sample_warning(n, read.statistics.cov):
        rows.append(("note", warning))
    return rows


def _told(value: Any) -> str:
    """A value of metadata as one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(inner)}" for key, inner in value.items()) or "nothing"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(_told, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _left_out(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} x {why}" for why, count in counts.items()) or "none"


def _video(videos: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``recipe.video`` and ``encoder``: what all clips have in common, and else how many there are of each."""
    kinds = [(json.loads(text), count) for text, count in sorted(videos.items())]

    def common(keys: tuple[str, ...], several: str, sign: str) -> dict[str, Any]:
        found = Counter[tuple[Any, ...]]()
        for kind, count in kinds:
            found[tuple(kind[key] for key in keys)] += count
        if len(found) == 1:
            return dict(zip(keys, next(iter(found)), strict=True))
        return {
            several: {
                sign.join(f"{v:g}" if isinstance(v, float) else str(v) for v in k): c
                for k, c in found.items()
            }
        }

    video = {**common(("width", "height"), "sizes", "x"), **common(("fps",), "rates", " ")}
    return video, common(("codec", "pixel_format"), "encoders", " ")


def _clip_arrays(part: ReferencePart) -> dict[str, NDArray[Any]]:
    raw = b"".join(bytes.fromhex(sha256) for sha256, _ in part.clips)
    arrays: dict[str, NDArray[Any]] = {
        "clip_sha256": np.frombuffer(raw, np.uint8).reshape(len(part.clips), 32).copy(),
        "window_start": np.array([start for _, start in part.clips], np.int64),
    }
    if part.features is not None:
        arrays["features"] = np.ascontiguousarray(part.features)
    return arrays


def _write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    from safetensors.numpy import save

    size = sum(array.nbytes for array in arrays.values()) + sum(len(t.encode()) for t in metadata.values())
    if size > MAX_BYTES - _METADATA_BYTES:
        raise UsageError(
            f"{path.name} would have {size:,} bytes, and at most {MAX_BYTES:,} are read again; leave --features "
            "out, or take fewer clips"
        )
    data = save(dict(arrays), metadata=dict(metadata))
    with atomic_write(path) as file:
        file.write(data)
