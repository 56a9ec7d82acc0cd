"""The generate stage: ask backends for the clips that are missing and store them with their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vgaudit.backends.base import Backend, Generated, GenerationOutcome
from vgaudit.errors import MediaError
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord
from vgaudit.rundir import STORED_CLIP_LOST, RunDir, copy_with_digest, file_digest, stored_facts
from vgaudit.video.encoding import EncoderSettings, encode

FINAL = {GenerationOutcome.OK, GenerationOutcome.REFUSED_INPUT, GenerationOutcome.REFUSED_OUTPUT}
_KNOWN_SUFFIXES = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"}


class ClipStore:
    """Puts what backends make into the run directory.

    A clip is finished when its record is there; the record is written after the clip, atomically.
    """

    def __init__(self, run: RunDir, encoder: EncoderSettings) -> None:
        self.run = run
        self.encoder = encoder

    def is_finished(self, sample: Sample, source: Path | None) -> bool:
        """Whether nothing is left to do for ``sample``.

        Args:
            sample: The sample.
            source: Where a clip made elsewhere comes from; a changed source makes the sample unfinished.
        """
        record = self.run.clip_record(sample.sample_id)
        if record.outcome not in FINAL:
            return False
        if record.outcome != GenerationOutcome.OK:
            return True
        if record.file is None or record.media_error == STORED_CLIP_LOST:
            return False
        known = record.facts.get("source")
        if source is None or known is None:
            return True
        return bool(known == _source_facts(source))

    def put(self, made: Generated, fingerprint: str, source: Path | None) -> ClipRecord:
        """Store one answer of a backend and commit its record."""
        common: dict[str, Any] = {
            "sample_id": made.sample.sample_id,
            "backend_fingerprint": fingerprint,
            "seconds": round(made.seconds, 3),
            "job_id": made.job_id,
            "cost": made.cost,
        }
        facts: dict[str, Any] = dict(made.facts)
        if made.outcome is not GenerationOutcome.OK:
            record = ClipRecord(outcome=made.outcome.value, message=made.message, facts=facts, **common)
        else:
            try:
                record = ClipRecord(
                    outcome="ok", message=made.message, **common, **self._store(made, source, facts)
                )
            except (MediaError, OSError) as error:
                record = ClipRecord(
                    outcome=GenerationOutcome.ERROR.value, message=str(error), facts=facts, **common
                )
        self.run.write_clip_record(record)
        return record

    def _store(self, made: Generated, source: Path | None, facts: dict[str, Any]) -> dict[str, Any]:
        if (made.frames is None) == (made.path is None):
            raise MediaError(made.sample.sample_id, "the backend gave neither or both of frames and a file")
        if made.path is not None:
            if source is not None:
                facts["source"] = _source_facts(source)
            suffix = made.path.suffix.lower()
            target = self.run.clip_path(
                made.sample.sample_id, suffix if suffix in _KNOWN_SUFFIXES else ".media"
            )
            sha = copy_with_digest(made.path, target)
            return self._stored(target, sha, facts)
        if made.fps is None or made.fps <= 0:
            raise MediaError(
                made.sample.sample_id,
                f"frames came with fps {made.fps}; set `fps` on the backend or in `video`",
            )
        if source is not None:
            facts["source"] = _source_facts(source)
        settings = self.encoder.model_copy(update={"lossless": True}) if made.exact else self.encoder
        target = self.run.clip_path(made.sample.sample_id, ".mkv" if settings.lossless else ".mp4")
        assert made.frames is not None  # by the first check
        encode(made.frames, made.fps, target, settings)
        facts["encoder"] = dict(settings.identity())
        return self._stored(target, file_digest(target), facts)

    def _stored(self, path: Path, sha256: str, facts: dict[str, Any]) -> dict[str, Any]:
        name = path.relative_to(self.run.path).as_posix()
        return {"file": name, "sha256": sha256, "facts": {**facts, "stored": stored_facts(path)}}


def _source_facts(source: Path) -> dict[str, Any] | None:
    try:
        stat = source.stat()
    except OSError:
        return None
    if source.is_dir():
        newest = max((f.stat().st_mtime_ns for f in source.iterdir()), default=0)
        return {"files": sum(1 for _ in source.iterdir()), "mtime_ns": newest}
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def source_of(backend: Backend, sample: Sample) -> Path | None:
    """Where the clip of ``sample`` lies outside the run, for backends that read clips made elsewhere."""
    find: Callable[[Sample], Path | None] | None = getattr(backend, "source_path", None)
    return find(sample) if find else None


def missing_samples(store: ClipStore, backend: Backend, samples: tuple[Sample, ...]) -> list[Sample]:
    """Samples of ``backend`` that have no finished clip."""
    return [s for s in samples if not store.is_finished(s, source_of(backend, s))]


def pending_jobs(run: RunDir, samples: list[Sample]) -> Mapping[str, str]:
    """Jobs submitted by an earlier attempt that have not ended."""
    jobs = {}
    for sample in samples:
        record = run.clip_record(sample.sample_id)
        if record.outcome == GenerationOutcome.RETRY_AFTER and record.job_id:
            jobs[sample.sample_id] = record.job_id
    return jobs


def generated(run: RunDir, backend: Backend, samples: list[Sample], index: int) -> Iterator[Generated]:
    """Answers of ``backend`` for ``samples``; samples it forgot come back as errors."""
    if not samples:
        return
    waiting = {s.sample_id: s for s in samples}
    work_dir = run.path / "work" / str(index)
    for made in backend.generate(samples, pending=pending_jobs(run, samples), work_dir=work_dir):
        if waiting.pop(made.sample.sample_id, None) is not None:
            yield made
    for sample in waiting.values():
        yield Generated(sample, GenerationOutcome.ERROR, message="the backend gave no answer for this sample")
