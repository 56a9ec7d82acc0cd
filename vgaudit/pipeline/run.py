"""A run from suite to report: plan -> generate -> decode once -> extract -> measure -> summarize -> gate -> report.

Each stage works on the run directory alone and does only what is missing there; the same call again is therefore
how a killed run continues.
"""

from __future__ import annotations

import glob
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vgaudit import provenance
from vgaudit.backends.base import Backend, BackendContext, Generated
from vgaudit.errors import BackendError, RunDirError, SuiteError, Unavailable, UsageError
from vgaudit.execution.local import LocalExecutor, default_workers
from vgaudit.pipeline.binding import ExtractorPool, bind
from vgaudit.pipeline.finish import Finished, finish
from vgaudit.pipeline.generation import ClipStore, generated, missing_samples, source_of
from vgaudit.pipeline.runspec import Kind, MetricSpec, RunSpec
from vgaudit.pipeline.scoring import Scorer
from vgaudit.plan import Plan, Sample, limited
from vgaudit.progress import Progress, Silent
from vgaudit.records import ClipRecord
from vgaudit.rundir import RunDir, is_run_dir
from vgaudit.suite import LoadedSuite, load_suite_text
from vgaudit.video import MediaLimits
from vgaudit.video.encoding import EncoderSettings


@dataclass
class Prepared:
    """A suite ready to run: backends built, plan made; nothing on disk yet.

    Attributes:
        loaded: The suite.
        spec: What the run directory will remember of it.
        backends: In the suite's order.
        plan: All samples.
        unavailable: Metrics that could not be computed here, with the reason.
    """

    loaded: LoadedSuite
    spec: RunSpec
    backends: list[Backend]
    plan: Plan
    unavailable: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_out(self) -> Path:
        """``reports/<name>-<plan digest>``: another plan never lands in the same place."""
        return Path("reports") / f"{self.spec.name}-{self.plan.digest[:8]}"


def prepare(loaded: LoadedSuite, *, limit: int | None = None, kind: Kind = "run") -> Prepared:
    """Build backends and the plan of a suite.

    Args:
        loaded: The suite.
        limit: At most so many samples of each group.
        kind: ``run`` or ``census``.

    Raises:
        SuiteError: A backend refuses its options, or there is nothing to do.
    """
    identity = {"encoder": dict(loaded.encoder.identity())}
    backends: list[Backend] = []
    samples: list[Sample] = []
    for index, choice in enumerate(loaded.backends):
        context = BackendContext(loaded.base_dir, choice.name, index, loaded.video, identity, loaded.limits)
        with _placed(choice.places):
            backend: Backend = choice.cls(choice.options, context)
            samples += backend.samples(loaded.prompts, loaded.seeds)
        backends.append(backend)
    where = loaded.path or loaded.suite.name
    kept = limited(samples, limit)
    if not kept:
        raise SuiteError(
            f"{where}: expected at least one sample, found none; give prompts and seeds, or clips"
        )
    try:
        plan = Plan(kept)
    except ValueError as error:
        raise SuiteError(f"{where}: {error}; two backends must differ in name or options") from error
    spec = _spec(loaded, plan, kind)
    return Prepared(loaded, spec, backends, plan, _unavailable_metrics(loaded, spec))


_POSITION = re.compile(r"(--set |[^\s:]+:\d+)")


@contextmanager
def _placed(places: Mapping[str, str]) -> Iterator[None]:
    """Errors about a backend or metric name the place in the suite: of the option they speak of, or of the block."""
    try:
        yield
    except Unavailable:
        raise
    except (UsageError, BackendError) as error:
        problems = error.problems if isinstance(error, SuiteError) else [str(error)]
        raise SuiteError([_with_place(problem, places) for problem in problems]) from error


def _with_place(problem: str, places: Mapping[str, str]) -> str:
    if _POSITION.match(problem) or not places:
        return problem
    named = [key for key in places if key and re.search(rf"\b{re.escape(key)}\b", problem.partition("; ")[0])]
    return f"{places[named[0] if named else '']}: {problem}"


def _unavailable_metrics(loaded: LoadedSuite, spec: RunSpec) -> dict[str, str]:
    """Construct every metric, so that a wrong gallery is told before anything is generated.

    Returns:
        Metrics that could not be computed here, with the reason.
    """
    found = {}
    for choice in loaded.metrics:
        with _placed(choice.places):
            (bound,) = bind({choice.name: spec.metrics[choice.name]}, spec.base_dir, ExtractorPool())
        if bound.unavailable:
            found[choice.name] = f"{bound.unavailable}; {bound.remedy}".removesuffix("; ")
    return found


def _spec(loaded: LoadedSuite, plan: Plan, kind: Kind) -> RunSpec:
    video = loaded.suite.video.model_dump(exclude={"encoder"}, exclude_none=True)
    return RunSpec(
        name=loaded.suite.name,
        kind=kind,
        base_dir=loaded.base_dir.resolve(),
        metrics={m.name: MetricSpec(m.raw, m.select) for m in loaded.metrics},
        gates=loaded.gates,
        video=video,
        encoder=loaded.encoder.model_dump(mode="json"),
        limits=loaded.suite.limits.model_dump(exclude_none=True),
        max_failed=loaded.max_failed(len(plan)),
        confidence=loaded.suite.confidence,
    )


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
            _note_timings(job, 0)
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
        if old["spec"] == spec and old["suite"]["digest"] == loaded.digest:
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
        "notes": [note for b in prepared.backends for note in getattr(b, "notes", ())],
        "provenance": provenance.collect(loaded.base_dir),
    }
    run.write_plan(prepared.plan)
    run.write_manifest(manifest)


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
            score(made.sample, record)

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
                executor.submit(partial(score, made.sample, record))
        executor.drain()
    for index, backend in enumerate(prepared.backends):
        if not missing_samples(
            store, backend, tuple(missing[index])
        ):  # its notes on jobs have done their service
            shutil.rmtree(job.run.path / "work" / str(index), ignore_errors=True)
    job.timings["generate and score"] = round(time.perf_counter() - begin, 3)


def _finish(job: Job, scorer: Scorer) -> Finished:
    if scorer.decodes or scorer.measured:
        _note_timings(job, scorer.decodes)
    return finish(job.run, job.spec, job.plan, job.records(), scorer, job.progress)


def _note_timings(job: Job, decodes: int) -> None:
    """Keep when, with what and how long each pass worked; the manifest shows the last twenty."""
    manifest = job.run.manifest()
    now = provenance.collect(job.spec.base_dir)
    history: list[dict[str, Any]] = manifest.get("passes", [])
    done = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "decodes": decodes, "timings": job.timings}
    history.append({**done, "vgaudit": now["vgaudit"], "packages": now["packages"]})
    job.run.write_manifest(
        {**manifest, "passes": history[-20:], "timings": job.timings, "decodes": decodes, "provenance": now}
    )


def census_suite(
    clips: Path, *, prompts: Path | None = None, gallery: Path | None = None, embedder: str | None = None,
    fps: float | None = None,
) -> LoadedSuite:  # fmt: skip
    """The suite behind ``vgaudit score FOLDER``: finished clips, no estimates, an answer per clip.

    Args:
        clips: A folder, searched as the ``files`` backend does, or a single clip.
        prompts: File with the clips' prompts; without it alignment is not asked for.
        gallery: People to look for; without it likeness is not asked for, and the report says so.
        embedder: Face embedder, when not the default.
        fps: Frame rate of frame folders and arrays.
    """
    folder = clips.resolve() if clips.is_dir() else clips.resolve().parent
    metrics: dict[str, Any] = {"temporal": {}, "vbench": {}}
    if gallery is not None:
        metrics["likeness"] = {
            "gallery": str(gallery.resolve()),
            **({"embedder": embedder} if embedder else {}),
        }
    backend: dict[str, Any] = {"type": "files", "root": str(folder)}
    if not clips.is_dir():
        backend["pattern"] = glob.escape(clips.name)
    if fps is not None:
        backend["fps"] = fps
    if prompts is not None:
        metrics["prompt_alignment"] = {}
        backend["prompts"] = str(prompts.resolve())
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", clips.resolve().stem)[:64].strip("-_") or "clips"
    text = json.dumps({"name": name, "backend": backend, "metrics": metrics}, indent=2)
    return load_suite_text(text, base_dir=folder, label=str(clips))
