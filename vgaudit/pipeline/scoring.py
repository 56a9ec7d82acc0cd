"""The score stage of one clip: decode once, feed every extractor that lacks features, measure, log.

Each finished step is on disk before the next begins, so a killed run loses at most the clips in progress.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np

from vgaudit.arrays import load_npz
from vgaudit.errors import MediaError, Unavailable
from vgaudit.extractors.base import Extraction, Extractor, ExtractorSpec, Features, TextExtractor
from vgaudit.metrics.base import ClipView, kept_roles
from vgaudit.pipeline.binding import BoundMetric, ExtractorPool
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, Finding, Measurement, digest, fingerprinted
from vgaudit.rundir import STORED_CLIP_LOST, STRIP_SUFFIX, RunDir, atomic_write
from vgaudit.video import ClipInfo, ClipReader, Frames, MediaLimits, probe
from vgaudit.video.encoding import EncoderSettings, PreviewWriter, is_browser_playable
from vgaudit.video.filmstrip import Moment, filmstrips

_FACTS = "__facts__"


def save_features(run: RunDir, fingerprint: str, key: str, features: Features) -> None:
    """Write features atomically; no pickled object ever enters the file."""
    facts = np.frombuffer(json.dumps(dict(features.facts), sort_keys=True).encode(), dtype=np.uint8)
    with atomic_write(run.features_path(fingerprint, key), private=fingerprint.startswith("faces-")) as file:
        np.savez(file, allow_pickle=False, **{_FACTS: facts, **features.arrays})


def load_features(run: RunDir, fingerprint: str, key: str) -> Features | None:
    """Stored features, or ``None`` when there are none that can be read."""
    path = run.features_path(fingerprint, key)
    if not path.is_file():
        return None
    try:
        arrays = load_npz(path)
        facts = json.loads(arrays.pop(_FACTS).tobytes().decode())
    except (EOFError, KeyError, OSError, ValueError, BadZipFile):
        path.unlink(missing_ok=True)  # damaged; extracted again when it is next needed
        return None
    return Features(arrays, facts)


# What a bug in one extractor or metric can raise on one clip without taking the others' numbers with it.
_CONTAINED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class _Feed:
    """One extractor on one clip; its failure stays its own."""

    def __init__(self, fingerprint: str, extractor: Extractor, header: ClipInfo) -> None:
        self.fingerprint = fingerprint
        self.error = ""
        self.features: Features | None = None
        self._extraction: Extraction | None = None
        with self._contained():
            self._extraction = extractor.start(header)

    def push(self, frames: Frames) -> None:
        if self._extraction and not self.error:
            with self._contained():
                self._extraction.push(frames)

    def finish(self) -> None:
        if self._extraction and not self.error:
            with self._contained():
                self.features = self._extraction.finish()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        try:
            yield
        except _CONTAINED as error:
            self.error = f"{type(error).__name__}: {error}"


class _Preview:
    """Poster, filmstrip and playable copy on the way; a clip that cannot be shown can still be scored.

    Attributes:
        strip: What the filmstrip shows, as soon as there is one.
    """

    def __init__(self, writer: PreviewWriter | None, strip: Mapping[str, Any]) -> None:
        self._writer = writer
        self.strip = dict(strip)

    def push(self, frames: Frames) -> None:
        self._guarded(lambda writer: writer.push(frames))

    def finish(self) -> None:
        self._guarded(lambda writer: writer.finish())
        if self._writer is not None:
            self.strip = self._writer.strip
        self._writer = None

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _guarded(self, step: Callable[[PreviewWriter], None]) -> None:
        if self._writer is not None:
            try:
                step(self._writer)
            except MediaError:
                self.abort()


_STRIPS = 12
"""Filmstrips of one clip and metric at most, of the worst findings."""


def _with_evidence(finding: Finding, record: ClipRecord) -> Finding:
    """``finding`` with the span of its clip as evidence (a W3C media fragment), where the metric gave none."""
    if finding.evidence:
        return finding
    return replace(finding, evidence=(f"{record.file}#t={finding.start_s:.3f},{finding.end_s:.3f}",))


class Scorer:
    """Scores clips of one run; :meth:`score` may be called from several threads.

    Attributes:
        clips: Decodes into extractors so far: one for each clip that lacked features, readable or not.
        decodes: Those, and those for filmstrips.
        measured: Measurements made so far.
        errors: What broke, by sample and metric.
    """

    def __init__(
        self, run: RunDir, metrics: Iterable[BoundMetric], pool: ExtractorPool, limits: MediaLimits,
        encoder: EncoderSettings,
    ) -> None:  # fmt: skip
        self.run = run
        self.metrics = list(metrics)
        self.pool = pool
        self.limits = limits
        self.encoder = encoder
        self._limits_digest = digest(asdict(limits), 12)
        self.clips = 0
        self.decodes = 0
        self.measured = 0
        self.errors: dict[tuple[str, str], str] = {}
        self._broken: dict[tuple[str, str], str] = {}
        run.mend_log()
        self._known = run.read_measurements()
        self._sha_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self._prepared: set[str] = set()
        self._preparing = threading.Lock()

    # -- one clip ----------------------------------------------------------------------------------

    def score(self, sample: Sample, record: ClipRecord) -> None:
        """Do whatever is left to do for the clip of ``sample``."""
        if record.outcome != "ok" or record.file is None or record.media_error == STORED_CLIP_LOST:
            return
        due = [
            b for b in self.metrics if not b.unavailable and self.key(b, sample, record) not in self._known
        ]
        facts = self._known_facts(record.sha256)
        if facts.get("error"):
            return
        for bound in due:
            self._prepare(bound)
        with self._sha_locks[record.sha256]:
            facts = self._known_facts(record.sha256)
            missing = self._missing_extractors(due, record.sha256)
            if not facts or (missing and not facts.get("error")):
                facts = self._decode(record, missing)
        if facts.get("error"):
            return
        info = ClipInfo.from_json(facts["info"])
        entries = []
        for bound in due:
            if not bound.unavailable and (entry := self._measure(bound, sample, record, info)):
                entries.append(entry)
        self.run.append_measurements(entries)
        with self._lock:
            self.measured += len(entries)
            for entry in entries:
                self._known[entry["key"]] = entry

    def key(self, bound: BoundMetric, sample: Sample, record: ClipRecord) -> str:
        """Cache key of a measurement: everything that can change it."""
        return digest(
            [
                bound.name, bound.metric.version, dict(bound.options), dict(bound.identity),
                dict(bound.fingerprints), record.sha256, sample.to_json(),
            ],
            40,
        )  # fmt: skip

    def measurement(self, bound: BoundMetric, sample: Sample, record: ClipRecord) -> Measurement | None:
        """The stored measurement of a clip, or ``None``."""
        entry = self._known.get(self.key(bound, sample, record))
        return Measurement.from_json(entry["measurement"]) if entry else None

    def features(
        self, bound: BoundMetric, sample: Sample, record: ClipRecord, roles: Iterable[str]
    ) -> dict[str, Features]:
        """Stored features of ``roles``.

        Raises:
            Unavailable: An extractor cannot be had.
            LookupError: An extractor failed on this clip.
        """
        found = {}
        for role in roles:
            spec, fingerprint = bound.roles[role], bound.fingerprints[role]
            extractor = self.pool.get(spec)
            if extractor.unit == "text":
                found[role] = self._text_features(bound, sample, spec, fingerprint)
                continue
            features = load_features(self.run, fingerprint, record.sha256)
            if features is None:
                if problem := self.pool.problem(spec):
                    raise problem
                raise LookupError(
                    f"{spec.name}: {self._broken.get((fingerprint, record.sha256), 'no features')}"
                )
            found[role] = features
        return found

    def _known_facts(self, sha: str) -> dict[str, Any]:
        """What decoding told; nothing if it was under other limits, as the clip may not be let in now."""
        facts = self.run.clip_info(sha)
        return facts if facts.get("limits") == self._limits_digest else {}

    def _prepare(self, bound: BoundMetric) -> None:
        """Let a metric load what it compares with (a gallery) before the first clip is decoded, once."""
        with self._preparing:
            if bound.name in self._prepared:
                return
            self._prepared.add(bound.name)
            prepare: Callable[[], object] | None = getattr(bound.metric, "prepare", None)
            if prepare is not None and not bound.unavailable:
                try:
                    prepare()
                except Unavailable as error:
                    bound.unavailable, bound.remedy = error.reason, error.remedy

    # -- steps -------------------------------------------------------------------------------------

    def _missing_extractors(self, due: list[BoundMetric], sha: str) -> dict[str, Extractor]:
        """Extractors whose features a due measurement, or any metric's summary, needs and lacks."""
        missing: dict[str, Extractor] = {}
        for bound in self.metrics:
            if bound.unavailable:
                continue
            for role in bound.roles if bound in due else kept_roles(bound.metric):
                spec, fingerprint = bound.roles[role], bound.fingerprints[role]
                extractor = self.pool.get(spec)
                if extractor.unit == "text" or self._has_features(fingerprint, sha, read=bound in due):
                    continue
                problem = self.pool.problem(spec)
                if problem is not None:
                    bound.unavailable, bound.remedy = problem.reason, problem.remedy
                    break
                assert isinstance(extractor, Extractor)
                missing[fingerprint] = extractor
        return missing

    def _has_features(self, fingerprint: str, sha: str, read: bool) -> bool:
        """Whether features are there, and (``read``) not damaged; reading is left out where nothing is due."""
        if read:
            return load_features(self.run, fingerprint, sha) is not None
        return self.run.features_path(fingerprint, sha).is_file()

    def _decode(self, record: ClipRecord, extractors: Mapping[str, Extractor]) -> dict[str, Any]:
        """Decode a clip once, into every extractor at the same time; returns (and stores) its decode facts."""
        assert record.file is not None
        path = self.run.path / record.file
        with self._lock:
            self.clips += 1
            self.decodes += 1
        facts: dict[str, Any]
        try:
            header = probe(path, self.limits)
            playable = is_browser_playable(header)
            feeds = [_Feed(fingerprint, e, header) for fingerprint, e in extractors.items()]
            preview = self._preview(record.sha256, header, playable)
            try:
                with ClipReader(path, self.limits) as reader:
                    for frames in reader:
                        preview.push(frames)
                        for feed in feeds:
                            feed.push(frames)
                    info = replace(reader.info, path=record.file)
                preview.finish()
            finally:
                preview.abort()
            for feed in feeds:
                feed.finish()
                if feed.features is None:
                    self._broken[feed.fingerprint, record.sha256] = feed.error
                else:
                    save_features(self.run, feed.fingerprint, record.sha256, feed.features)
            facts = {"info": info.to_json(), "browser_playable": playable, "strip": preview.strip}
        except MediaError as error:
            facts = {"error": error.reason}
        facts["limits"] = self._limits_digest
        self.run.write_clip_info(record.sha256, facts)
        return facts

    def _preview(self, sha: str, header: ClipInfo, playable: bool) -> _Preview:
        """What is to be made of what people look at; nothing is made a second time."""
        poster, video = self.run.preview_path(sha, ".jpg"), self.run.preview_path(sha, ".mp4")
        strip = self.run.preview_path(sha, STRIP_SUFFIX)
        known = self.run.clip_info(sha).get("strip", {})
        if poster.is_file() and strip.is_file() and known:
            return _Preview(None, known)
        wanted = None if playable or (poster.is_file() and video.is_file()) else video
        return _Preview(PreviewWriter(wanted, poster, header, self.encoder, strip), {})

    def _text_features(
        self, bound: BoundMetric, sample: Sample, spec: ExtractorSpec, fingerprint: str
    ) -> Features:
        texts = list(bound.metric.texts(sample))
        key = f"text-{digest(texts, 40)}"
        with self._sha_locks[key]:  # a prompt that several clips share is embedded once
            if (stored := load_features(self.run, fingerprint, key)) is not None:
                return stored
            if problem := self.pool.problem(spec):
                raise problem
            extractor = self.pool.get(spec)
            assert isinstance(extractor, TextExtractor)
            features = extractor.extract_texts(texts)
            save_features(self.run, fingerprint, key, features)
            return features

    def _measure(
        self, bound: BoundMetric, sample: Sample, record: ClipRecord, info: ClipInfo
    ) -> dict[str, Any] | None:
        try:
            features = self.features(bound, sample, record, bound.roles)
            measurement = bound.metric.measure(ClipView(sample, info, record.sha256, features))
        except Unavailable as error:
            bound.unavailable, bound.remedy = error.reason, error.remedy
            return None
        except _CONTAINED as error:  # the clip then counts as unmeasured, and gates do not pass
            with self._lock:
                self.errors[sample.sample_id, bound.name] = f"{type(error).__name__}: {error}"
            return None
        detector = f"{bound.name}/{bound.metric.version}/{digest(dict(bound.fingerprints), 12)}"
        found = tuple(
            fingerprinted(_with_evidence(f, record), record.sha256, detector) for f in measurement.findings
        )
        if getattr(bound.metric, "filmstrips", False):
            found = self._with_filmstrips(found, record)
        if (pictures := getattr(bound.metric, "pictures", None)) is not None:
            found = tuple(self._with_pictures(f, pictures(f, features)) for f in found)
        measurement = replace(measurement, findings=found)
        return {
            "key": self.key(bound, sample, record),
            "sample_id": sample.sample_id,
            "metric": bound.name,
            "measurement": measurement.to_json(),
        }

    def _with_pictures(self, finding: Finding, pictures: Sequence[bytes]) -> Finding:
        """The finding, and the pictures that its metric has of it as evidence."""
        paths = [self.run.evidence_path(f"{finding.fingerprint}-{i}.jpg") for i in range(len(pictures))]
        for path, data in zip(paths, pictures, strict=True):
            with atomic_write(path, private=True) as file:
                file.write(data)
        names = [path.relative_to(self.run.path).as_posix() for path in paths]
        return replace(finding, evidence=(*finding.evidence, *names))

    def settled(self, bound: BoundMetric, key: str, sample_id: str, measurement: Measurement) -> str:
        """Log a measurement that a metric changed when it knew the whole run; its key.

        It stands beside the one it follows from: a run that grows is settled anew from what was measured.
        """
        content = measurement.to_json()
        own = digest([key, content], 40)
        if own not in self._known:
            entry = {"key": own, "sample_id": sample_id, "metric": bound.name, "measurement": content}
            self.run.append_measurements([entry])
            self._known[own] = entry
        return own

    def _with_filmstrips(self, findings: Sequence[Finding], record: ClipRecord) -> tuple[Finding, ...]:
        """The findings, the worst of them with the frames around them as evidence; decodes once if there are any."""
        assert record.file is not None
        shown = list(findings)
        order = sorted(
            range(len(shown)),
            key=lambda i: (-shown[i].severity.rank, -shown[i].score / max(shown[i].threshold, 1e-9)),
        )
        if not (worst := order[:_STRIPS]):
            return ()
        with self._lock:
            self.decodes += 1
        try:
            moments = [Moment(shown[i].start_s, shown[i].end_s, shown[i].box) for i in worst]
            drawn = filmstrips(self.run.path / record.file, moments, self.limits)
        except (MediaError, cv2.error, OSError, *_CONTAINED):
            return tuple(findings)  # pictures only: the findings stand, with their spans
        for i, data in zip(worst, drawn, strict=True):
            if data:
                name = f".{shown[i].fingerprint}{digest([shown[i].box], 8)}.jpg"
                path = self.run.preview_path(record.sha256, name)
                with atomic_write(path) as file:
                    file.write(data)
                evidence = (*shown[i].evidence, path.relative_to(self.run.path).as_posix())
                shown[i] = replace(shown[i], evidence=evidence)
        return tuple(shown)
