"""Reference statistics from videos: finds the files, embeds each as its protocol says, and adds up the moments.

What decides whether a clip counts, and how, is the metric ``fvd`` itself: it names the extractors and judges each
clip. So a clip of a built set is seen as a clip of a reference group of a run is.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vgaudit.backends.clip_sources import find_clips
from vgaudit.errors import MediaError, Unavailable, UsageError
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.video_own import is_protocol_file
from vgaudit.extractors.video_protocols import FILES, PROTOCOLS
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.domain_guard import DOMAIN_ROLE, guard_identity, remedy
from vgaudit.metrics.embedded_clips import ROLE
from vgaudit.metrics.fvd import Fvd
from vgaudit.metrics.fvd_options import FvdOptions
from vgaudit.metrics.moments import Moments
from vgaudit.metrics.reference_build import NAMED, ReferencePart, refuse_too_large
from vgaudit.pipeline.binding import ExtractorPool
from vgaudit.plan import Sample
from vgaudit.progress import Progress, Silent
from vgaudit.records import digest
from vgaudit.registry import nearest
from vgaudit.rows import read_lines
from vgaudit.rundir import file_digest
from vgaudit.video import ClipReader, probe
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN

_BATCH = 256
_GROUP = "reference"
_CONTAINED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, OSError, MediaError)
_SHOWN = 20
_PICTURES_ONLY = f"that these clips show the {BUNDLED_DOMAIN} is known from their pictures alone"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Video:
    """A file that should be a video, and what messages call it."""

    path: Path
    name: str


@dataclass(frozen=True)
class _Embedded:
    """What came of one clip: a row of features, or a reason."""

    row: NDArray[np.float32] | None = None
    start: int = 0
    facts: Mapping[str, Any] | None = None
    too_short: str = ""
    failed: str = ""


def find_videos(inputs: Sequence[Path]) -> tuple[list[Video], list[str]]:
    """All videos that the inputs name, and what is to be said of what was passed over.

    Args:
        inputs: Videos; folders, searched with what is below them; ``.txt`` lists, a path a line, relative to the
            list, with comments after ``#``.

    Raises:
        UsageError: An input is not there, or there is no video in one.
    """
    videos: dict[Path, Video] = {}
    notes: list[str] = []
    for given in inputs:
        if given.is_dir():
            found = find_clips(given)
            media = [c for c, kind in zip(found.clips, found.kinds, strict=True) if kind == "media"]
            if others := len(found.clips) - len(media):
                notes.append(
                    f"{given.name}: {others} folders of frames and arrays, which carry no frame rate, are passed over"
                )
            notes += [f"{given.name}: {note}" for note in found.notes]
            here = [Video(given / name, name) for name in media]
        elif given.suffix.lower() == ".txt" and given.is_file():
            here = [
                Video(given.parent / Path(text).expanduser(), text)
                for _, line in read_lines(given)
                if (text := line.strip())
            ]
        elif given.is_file():
            here = [Video(given, given.name)]
        else:
            raise UsageError(
                f"{given}: expected a video, a folder of videos or a .txt list of them, found nothing there"
            )
        if not here:
            raise UsageError(f"{given}: expected videos, found none" + "".join(f"; {note}" for note in notes))
        for video in here:
            videos.setdefault(video.path.absolute(), video)
    told = Counter(video.name for video in videos.values())
    named = [v if told[v.name] == 1 else Video(v.path, str(v.path)) for v in videos.values()]
    return sorted(named, key=lambda v: v.name), notes


def reference_metric(
    protocol: str, *, weights: str = "", sha256: str | None = None, device: str = "auto"
) -> Fvd:
    """The metric whose reference group's clips are to be seen.

    Args:
        protocol: Name of a built-in one, or a YAML file with one of the user's own.
        weights: Name, or path of a file; empty: the protocol's.
        sha256: Digest that the weights must have.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: No such protocol, one that is wrong, or options that do not go together.
    """
    if protocol not in PROTOCOLS and not is_protocol_file(protocol):
        raise UsageError(
            f"no protocol {protocol!r}{nearest(protocol, list(PROTOCOLS))}; expected one of {', '.join(PROTOCOLS)}, "
            f"or a file with one of your own ({', '.join(FILES)})"
        )
    try:
        options = FvdOptions.model_validate(
            {
                "reference": {"group": _GROUP}, "protocol": protocol, "weights": weights, "sha256": sha256,
                "device": device,
            }
        )  # fmt: skip
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, e['loc'])) or protocol}: {e['msg']}" for e in error.errors())
        raise UsageError(why) from error
    return Fvd(options, MetricContext(base_dir=Path.cwd()))


def build_part(
    videos: Sequence[Video],
    metric: Fvd,
    *,
    shard: tuple[int, int] = (1, 1),
    keep_features: bool = False,
    workers: int = 1,
    max_failed: int = 0,
    options: Mapping[str, Any] | None = None,
    known: ReferencePart | None = None,
    progress: Progress | None = None,
) -> ReferencePart:
    """Embed the clips of one share of the list, each content once, in the order of their digests.

    Memory does not grow with the number of clips, but for 40 bytes each (and a row of features, if they are kept).
    The result depends on neither the order of ``videos`` nor ``workers``.

    Args:
        videos: As :func:`find_videos` gives them.
        metric: As :func:`reference_metric` gives it.
        shard: Which of how many shares, from 1.
        keep_features: Keep the rows too.
        workers: Clips decoded at the same time.
        max_failed: Clips of this share that may be unreadable and left out, of a share that was made before too. Too
            short ones are left out by the protocol's rule and do not count.
        options: What the command was asked for, to be stored.
        known: A part that was made before; given back if it is what would be made, and may be made.
        progress: Is told.

    Raises:
        UsageError: ``shard`` is wrong, or has no clip; or the features of all shares' clips are too many bytes for a
            file: that is known after the first clip, if clips that are left out later are not too many.
        Unavailable: The network is not there, too many clips failed, or one is none that the network may judge.
    """
    share, shares = shard
    if not 1 <= share <= shares:
        raise UsageError(f"shard {share}/{shares}: expected i/N with i from 1 to N")
    say = progress or Silent()
    pool = ExtractorPool()
    needs = metric.needs()
    if problem := next((p for spec in needs.values() if (p := pool.problem(spec))), None):
        raise problem
    extractors = {role: cast(Extractor, pool.get(spec)) for role, spec in needs.items()}
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(workers) as threads:
        unique, unreadable, duplicates = _unique(videos, threads, workers, say)
        listing = digest(sorted(unique))
        mine = sorted(unique)[share - 1 :: shares]
        first = share == 1
        if first:
            failed |= unreadable
        wanted = (shard, listing, keep_features, len(failed))
        if known and known.failed <= max_failed and _is_the_same(known, metric, extractors, wanted):
            return known
        asked = len(mine) + len(failed)
        if not mine:
            _refuse_failed(failed, asked, max_failed)
            raise UsageError(
                f"shard {share}/{shares}: no clip is left for it; {len(unique)} different clips in all"
            )
        with say.stage("look", len(mine)) as stage:
            for sha256, why in zip(
                mine, _in_order(threads, _probed, [unique[s] for s in mine], workers), strict=True
            ):
                if why:
                    failed[unique[sha256].name] = why
                stage.advance(unique[sha256].name)
        _refuse_failed(failed, asked, max_failed)
        readable = [s for s in mine if unique[s].name not in failed]
        tally = _Tally(metric, keep_features)
        most = len(unique) - len(mine) + len(readable)  # of the merged set

        def work(sha256: str) -> _Embedded:
            return _embed(unique[sha256], sha256, metric, extractors)

        with say.stage("embed", len(readable)) as stage:
            done = _in_order(threads, work, readable, workers)
            for sha256, clip in zip(readable, done, strict=True):
                name = unique[sha256].name
                if keep_features and clip.row is not None:
                    refuse_too_large(most, len(clip.row))
                tally.add(sha256, name, clip)
                if clip.failed:
                    failed[name] = clip.failed
                    _refuse_failed(failed, asked, max_failed)
                stage.advance(name)
    for name, why in failed.items():
        tally.leave_out(name, why)
    return tally.part(
        extractor=extractors[ROLE].fingerprint,
        guard=_guard(metric, extractors),
        unopened=len(unreadable) if first else 0,
        failed=len(failed),
        duplicates=duplicates if first else 0,
        options=dict(options or {}),
        shard=shard,
        listing=listing,
    )


def _is_the_same(
    known: ReferencePart,
    metric: Fvd,
    extractors: Mapping[str, Extractor],
    wanted: tuple[tuple[int, int], str, bool, int],
) -> bool:
    """Whether a part is what these clips, this network and this machine would give."""
    return (
        known.protocol == metric.options.rules.label
        and known.extractor == extractors[ROLE].fingerprint
        and known.guard == _guard(metric, extractors)
        and (known.shard, known.listing, known.features is not None, known.unopened) == wanted
    )


def _guard(metric: Fvd, extractors: Mapping[str, Extractor]) -> str:
    """What decides whether the network may judge a clip, or nothing where none is asked."""
    if DOMAIN_ROLE not in extractors:
        return ""
    return f"{extractors[DOMAIN_ROLE].fingerprint}, rule {digest(guard_identity(metric.needs()), 12)}"


class _Tally:
    """Adds up clips."""

    def __init__(self, metric: Fvd, keep_features: bool) -> None:
        self._metric = metric
        self._keep = keep_features
        self._moments: Moments | None = None
        self._waiting: list[NDArray[np.float32]] = []
        self._kept: list[NDArray[np.float32]] = []
        self._clips: list[tuple[str, int]] = []
        self._videos: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._names: list[tuple[str, str]] = []
        self._notes: dict[str, None] = {}
        self._network: Mapping[str, Any] = {}

    def add(self, sha256: str, name: str, clip: _Embedded) -> None:
        """One clip more, in the order of their digests.

        Raises:
            Unavailable: The network may not judge it.
        """
        facts = clip.facts or {}
        self._network = self._network or facts
        if why := facts.get("out_of_domain"):
            network = str(facts["weights"])
            raise Unavailable(
                f"{name}: {why}; no reference is made of a set with such a clip", remedy(network)
            )
        if clip.row is None:
            if clip.too_short:
                self.leave_out(name, clip.too_short)
            return
        if facts.get("domain_note"):
            self._notes[_PICTURES_ONLY] = None
        self._clips.append((sha256, clip.start))
        self._videos[json.dumps(facts["video"], sort_keys=True)] += 1
        self._waiting.append(clip.row)
        if self._keep:
            self._kept.append(clip.row)
        if len(self._waiting) == _BATCH:
            self._flush()

    def leave_out(self, name: str, why: str) -> None:
        """Count a clip that has no part in it."""
        self._left_out[why] += 1
        if len(self._names) < NAMED:
            self._names.append((name, why))

    def part(
        self,
        *,
        extractor: str,
        guard: str,
        unopened: int,
        failed: int,
        duplicates: int,
        options: Mapping[str, Any],
        shard: tuple[int, int],
        listing: str,
    ) -> ReferencePart:
        """What was added up."""
        self._flush()
        moments = self._moments or Moments.empty(1)
        kept = np.stack(self._kept) if self._kept else np.zeros((0, len(moments.mean)), np.float32)
        asked = self._metric.options.extracted
        return ReferencePart(
            self._metric.options.rules.label,
            str(self._network.get("weights", self._metric.options.weights)),
            str(self._network.get("weights_sha256", "")),
            self._metric.options.rules.ddof,
            moments,
            tuple(self._clips),
            kept if self._keep else None,
            extractor,
            guard,
            dict(self._videos),
            dict(self._left_out),
            tuple(self._names),
            unopened,
            failed,
            duplicates,
            tuple(self._notes),
            {} if isinstance(asked, str) else asked,
            options,
            shard,
            listing,
        )

    def _flush(self) -> None:
        if self._waiting:
            batch = np.stack(self._waiting)
            self._moments = Moments.of(batch) if self._moments is None else self._moments.update(batch)
            self._waiting = []


def _embed(video: Video, sha256: str, metric: Fvd, extractors: Mapping[str, Extractor]) -> _Embedded:
    try:
        with ClipReader(video.path) as reader:
            running = {role: extractor.start(reader.info) for role, extractor in extractors.items()}
            for block in reader:
                for extraction in running.values():
                    extraction.push(block)
        features: dict[str, Features] = {role: extraction.finish() for role, extraction in running.items()}
        if file_digest(video.path) != sha256:
            return _Embedded(failed="the file changed while it was read")
        sample = Sample(sha256[:16], sha256[:16], "", _GROUP)
        facts = dict(metric.measure(ClipView(sample, reader.info, sha256, features)).facts)
    except _CONTAINED as error:
        return _Embedded(failed=_why(error))
    rules, seen = metric.options.rules, features[ROLE]
    rows = seen["embedding"]
    if not len(rows):
        return _Embedded(facts=facts, too_short=f"shorter than {rules.least}")
    row = min(1 if rules.random_reference else 0, len(rows) - 1)
    return _Embedded(np.asarray(rows[row], np.float32), int(seen["window_start"][row]), facts)


def _unique(
    videos: Sequence[Video], threads: ThreadPoolExecutor, workers: int, say: Progress
) -> tuple[dict[str, Video], dict[str, str], int]:
    """The first video of each content by its digest; why others cannot be read; and how many were there before."""
    unique: dict[str, Video] = {}
    unreadable: dict[str, str] = {}
    duplicates = 0
    with say.stage("digest", len(videos)) as stage:
        for video, (sha256, why) in zip(videos, _in_order(threads, _digest, videos, workers), strict=True):
            if why:
                unreadable[video.name] = why
            elif sha256 in unique:
                duplicates += 1
                say.note(f"{video.name}: the same bytes as {unique[sha256].name}; taken once")
            else:
                unique[sha256] = video
            stage.advance(video.name)
    return unique, unreadable, duplicates


def _digest(video: Video) -> tuple[str, str]:
    try:
        return file_digest(video.path), ""
    except OSError as error:
        return "", _why(error)


def _probed(video: Video) -> str:
    """Why a video cannot be read, or nothing."""
    try:
        probe(video.path)
    except _CONTAINED as error:
        return _why(error)
    return ""


def _why(error: Exception) -> str:
    if isinstance(error, MediaError):
        return error.reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def _refuse_failed(failed: Mapping[str, str], n: int, most: int) -> None:
    if len(failed) <= most:
        return
    lines = [f"  {name}: {why}" for name, why in list(failed.items())[:_SHOWN]]
    if len(failed) > _SHOWN:
        lines.append(f"  ... and {len(failed) - _SHOWN} more")
    raise Unavailable(
        f"{len(failed)} of {n} clips cannot be read, and at most {most} may be left out (--max-failed):\n"
        + "\n".join(lines)
        + "\nnothing was written",
        "mend or remove them, or allow so many",
    )


def _in_order(
    threads: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T], workers: int
) -> Iterator[R]:
    """``work`` of each item in turn, a few of them ahead."""
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(threads.submit(work, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
