"""A run from suite to report: plan -> generate -> decode once -> extract -> measure -> summarize -> gate -> report.

Each stage works on the run directory alone and does only what is missing there; the same call again is therefore
how a killed run continues.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vgaudit import provenance
from vgaudit.backends.base import Backend, Generated
from vgaudit.errors import RunDirError
from vgaudit.execution.local import LocalExecutor, default_workers
from vgaudit.pipeline.binding import ExtractorPool, bind
from vgaudit.pipeline.finish import Finished, finish
from vgaudit.pipeline.generation import ClipStore, generated, missing_samples, source_of
from vgaudit.pipeline.prepare import Prepared
from vgaudit.pipeline.runspec import MetricSpec, RunSpec
from vgaudit.pipeline.scoring import Scorer
from vgaudit.plan import Sample
from vgaudit.progress import Progress, Silent
from vgaudit.records import ClipRecord
from vgaudit.rundir import RunDir, is_run_dir
from vgaudit.video import MediaLimits
from vgaudit.video.encoding import EncoderSettings


class Job:
    """One run under way: the directory, its metrics, and a clock for each stage."""

    def __init__(self, run: RunDir, progress: Progress, workers: int | None) -> None:
        self.run = run
        self.progress = progress
        self.workers = workers or default_workers()
        self.spec = RunSpec.from_json(run.manifest()["spec"])
        self.plan = run.plan()
        self.timings: dict[str, float] = {}
        self.pool = ExtractorPool()

    @contextmanager
    def timed(self, stage: str) -> Any:
        """Add the time spent inside to ``timings[stage]``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] = round(self.timings.get(stage, 0.0) + time.perf_counter() - begin, 3)

    def scorer(self) -> Scorer:
        """A scorer over the suite's metrics, and ``integrity``, which every run has."""
        metrics = dict(self.spec.metrics)
        asked = metrics.pop("integrity", MetricSpec())
        integrity = MetricSpec({**self.spec.video, **asked.options}, asked.select)
        bound = bind({**metrics, "integrity": integrity}, self.spec.base_dir, self.pool)
        return Scorer(self.run, bound, self.pool, MediaLimits(**self.spec.limits), self.encoder)

    @property
    def encoder(self) -> EncoderSettings:
        """How clips are stored."""
        return EncoderSettings(**self.spec.encoder)

    def records(self) -> dict[str, ClipRecord]:
        """All clip records in plan order."""
        return {s.sample_id: self.run.clip_record(s.sample_id) for s in self.plan}


def execute(
    prepared: Prepared, out: Path | None = None, *, progress: Progress | None = None, workers: int | None = None,
    generate_only: bool = False,
) -> Finished | None:  # fmt: skip
    """Run a prepared suite, or continue the run that ``out`` holds.

    Args:
        prepared: From :func:`prepare`.
        out: The run directory; default ``reports/<name>-<digest>`` below the current folder.
        progress: Told what happens.
        workers: Clips scored at the same time.
        generate_only: Stop after the clips.

    Returns:
        The finished run, or ``None`` with ``generate_only``.

    Raises:
        RunDirError: ``out`` holds another run, or something that is not a run.
    """
    run = RunDir(out or prepared.default_out)
    run.refuse_other_content()
    with run.lock():
        run.sweep()
        _begin(run, prepared)
        job = Job(run, progress or Silent(), workers)
        with job.timed("load metrics"):
            scorer = None if generate_only else job.scorer()
        _generate_and_score(job, prepared, scorer)
        if scorer is None:
            _note_timings(job)
            return None
        return _finish(job, scorer)


def score_run(path: Path, *, progress: Progress | None = None, workers: int | None = None) -> Finished:
    """Score the stored clips of a run with its suite's metrics, then summarize, gate and report."""
    run = RunDir.open(path)
    with run.lock():
        run.sweep()
        job = Job(run, progress or Silent(), workers)
        with job.timed("load metrics"):
            scorer = job.scorer()
        records = job.records()
        with (
            job.timed("generate and score"),
            job.progress.stage("score", len(job.plan)) as stage,
            LocalExecutor(job.workers) as executor,
        ):

            def score(sample: Sample) -> None:
                scorer.score(sample, records[sample.sample_id])
                stage.advance(sample.sample_id)

            for sample in job.plan:
                executor.submit(partial(score, sample))
            executor.drain()
        return _finish(job, scorer)


def _begin(run: RunDir, prepared: Prepared) -> None:
    """Write manifest and plan of a new run, or check that the run there is this one."""
    loaded = prepared.loaded
    old = run.manifest() if is_run_dir(run.path) else {}
    spec = prepared.spec.to_json()
    if old:
        _refuse_other_run(run, old, prepared)
        same_suite = old["spec"] == spec and old["suite"]["digest"] == loaded.digest
        # What clips are declared to show is in neither digest: a backend's class may say so, and say it anew.
        if same_suite and [s.domain for s in run.plan()] == [s.domain for s in prepared.plan]:
            return
    manifest = {
        **old,
        "created": old.get("created") or datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": {
            "name": loaded.suite.name,
            "path": str(loaded.path or ""),
            "text": loaded.text,
            "overrides": list(loaded.overrides),
            "digest": loaded.digest,
        },
        "spec": spec,
        "plan_digest": prepared.plan.digest,
        "backends": [
            {"name": c.name or c.type, "type": c.type, "fingerprint": b.fingerprint, "options": dict(c.raw)}
            for c, b in zip(loaded.backends, prepared.backends, strict=True)
        ],
        "notes": _notes(prepared),
        "provenance": provenance.collect(loaded.base_dir),
    }
    run.write_plan(prepared.plan)
    run.write_manifest(manifest)


def _notes(prepared: Prepared) -> list[str]:
    """What the suite and its backends want a reader to know, each thing once."""
    own = prepared.loaded.suite.notes.strip()
    of_backends = [note for b in prepared.backends for note in getattr(b, "notes", ())]
    return list(dict.fromkeys([*([own] if own else []), *of_backends]))


def _refuse_other_run(run: RunDir, old: Mapping[str, Any], prepared: Prepared) -> None:
    """The same clips with other metrics or gates continue a run; other clips are another run."""
    now = prepared.spec.to_json()
    before = old.get("spec", {})
    if old.get("plan_digest") == prepared.plan.digest and before.get("kind") == now["kind"]:
        return
    differing = [key for key in ("name", "kind", "video", "encoder") if before.get(key) != now[key]]
    backends = [b.fingerprint for b in prepared.backends]
    if [b.get("fingerprint") for b in old.get("backends", [])] != backends:
        differing.append("backend (its options, clips or weights)")
    raise RunDirError(
        f"{run.path}: holds another run ({old['suite']['name']}, begun {old.get('created', 'at an unknown time')}); "
        f"differing: {', '.join(differing) or 'prompts or seeds'}. Choose another --out, or none for a fresh folder"
    )


def _generate_and_score(job: Job, prepared: Prepared, scorer: Scorer | None) -> None:
    """Generate what is missing; encode and score each clip beside the generation of the next."""
    store = ClipStore(job.run, job.encoder)
    missing = {
        index: missing_samples(store, backend, prepared.plan.of_backend(index))
        for index, backend in enumerate(prepared.backends)
    }
    due = {s.sample_id for samples in missing.values() for s in samples}
    ready = [s for s in job.plan if s.sample_id not in due]
    planned = {s.sample_id: s for s in job.plan}  # a backend may hand back samples without their domain
    begin = time.perf_counter()
    with (
        job.progress.stage("generate", len(due)) as making,
        job.progress.stage("score", len(job.plan) if scorer else 0) as scoring,
        LocalExecutor(job.workers) as executor,
    ):

        def score(sample: Sample, record: ClipRecord) -> None:
            if scorer is not None:
                scorer.score(sample, record)
                scoring.advance(sample.sample_id)

        def store_and_score(made: Generated, backend: Backend) -> None:
            record = store.put(made, backend.fingerprint, source_of(backend, made.sample))
            making.advance(made.sample.sample_id)
            score(planned[made.sample.sample_id], record)

        if scorer is not None:
            for sample in ready:
                executor.submit(partial(score, sample, job.run.clip_record(sample.sample_id)))
        for index, backend in enumerate(prepared.backends):
            for made in generated(job.run, backend, missing[index], index):
                if made.frames is not None:
                    executor.submit(partial(store_and_score, made, backend))
                    continue
                # Everything else is on disk before the backend goes on: a file may be a temporary one, and a
                # refused or pending request must never be submitted again.
                record = store.put(made, backend.fingerprint, source_of(backend, made.sample))
                making.advance(made.sample.sample_id)
                executor.submit(partial(score, planned[made.sample.sample_id], record))
        executor.drain()
    for index, backend in enumerate(prepared.backends):
        if not missing_samples(
            store, backend, tuple(missing[index])
        ):  # its notes on jobs have done their service
            shutil.rmtree(job.run.path / "work" / str(index), ignore_errors=True)
    job.timings["generate and score"] = round(time.perf_counter() - begin, 3)


def _finish(job: Job, scorer: Scorer) -> Finished:
    if scorer.decodes or scorer.measured:
        _note_timings(job, scorer)
    return finish(job.run, job.spec, job.plan, job.records(), scorer, job.progress)


def _note_timings(job: Job, scorer: Scorer | None = None) -> None:
    """Keep when, with what and how long each pass worked; the manifest shows the last twenty."""
    manifest = job.run.manifest()
    now = provenance.collect(job.spec.base_dir)
    history: list[dict[str, Any]] = manifest.get("passes", [])
    clips, decodes = (scorer.clips, scorer.decodes) if scorer is not None else (0, 0)
    done = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "clips": clips, "decodes": decodes,
        "timings": job.timings,
    }  # fmt: skip
    history.append({**done, "vgaudit": now["vgaudit"], "packages": now["packages"]})
    if scorer is not None:
        manifest["metrics"] = {b.name: dict(b.options) for b in scorer.metrics}
        manifest["extractors"] = {
            b.fingerprints[role]: {
                "name": spec.name, "fingerprint": b.fingerprints[role], "options": dict(spec.options)
            }
            for b in scorer.metrics
            for role, spec in b.roles.items()
        }  # fmt: skip
    job.run.write_manifest(
        {
            **manifest,
            "passes": history[-20:],
            "timings": job.timings,
            "decodes": decodes,
            "provenance": now,
            "encoder": dict(job.encoder.identity()),
        }
    )
