"""The self-test of the likeness audit: plant people of the gallery in the user's clips, and count who is found.

Each planting is a short copy of a clip with a photograph pasted in, encoded, and then audited as a clip of a run is:
the same reader, extractor and metric with the same options. What comes out is a miss rate for pasted photographs.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import MediaError, Unavailable
from vgaudit.estimates import seed_from_ids
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.likeness.plantable import Photograph, Plantable, plantable
from vgaudit.likeness.planting import Planted, Planting, draw_planting, plant
from vgaudit.likeness.recall import Trial, planted_faces, why_missed
from vgaudit.likeness.selftest_result import (
    SPAN_S,
    VERSION,
    WINDOW_S,
    SelftestResult,
    SelftestSettings,
    Untouched,
)
from vgaudit.metrics.base import ClipView
from vgaudit.pipeline.binding import BoundMetric, ExtractorPool, bind
from vgaudit.pipeline.reference import Video, find_videos
from vgaudit.pipeline.runspec import MetricSpec
from vgaudit.plan import Sample
from vgaudit.progress import Progress, Silent
from vgaudit.records import Finding, Measurement, Severity, digest
from vgaudit.rundir import atomic_write, owner_only
from vgaudit.video import ClipInfo, ClipReader, probe
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.zoo.resolve import file_sha256

TALL = 1.5
"""A face may be this much taller than wide, and must fit into the frame."""

_T = TypeVar("_T")
_R = TypeVar("_R")

_CONTAINED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def selftest(
    clips: Sequence[Path],
    gallery: Path,
    settings: SelftestSettings,
    *,
    plant_from: Path | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> SelftestResult:
    """Plant people of ``gallery`` into copies of ``clips`` and audit them.

    Args:
        clips: Clips, or folders of clips.
        gallery: A folder per person, one picture, or a gallery file.
        settings: What to do.
        plant_from: Photographs to plant, a folder per person; needed with a gallery file.
        out: Folder for ``selftest.json`` and ``plantings.jsonl``. What stands in the latter is not done again.
        progress: Where to say how far it is.

    Raises:
        UsageError: Clips, gallery or settings are wrong.
        Unavailable: Weights or a package are missing, so that nothing can be audited.
    """
    told = progress or Silent()
    videos, notes = find_videos(clips)
    with tempfile.TemporaryDirectory(prefix="vgaudit-selftest-") as scratch:  # readable by its owner only
        detector = FaceDetector(device=settings.options.get("device", "auto"))
        ready = plantable(gallery, plant_from, detector, Path(scratch))
        test = _Selftest(settings, videos, gallery, ready, Path(scratch), out)
        result = test.run(told, notes)
    if out is not None:
        with atomic_write(out / "selftest.json", private=True) as file:
            file.write(json.dumps(result.to_json(), indent=2, ensure_ascii=False).encode())
    return result


@dataclass(frozen=True)
class _Job:
    """One planting to be made."""

    key: str
    photograph: Photograph
    video: Video
    planting: Planting
    start: int
    frames: int
    crf: int


class _Selftest:
    def __init__(
        self, settings: SelftestSettings, videos: Sequence[Video], gallery: Path, ready: Plantable, scratch: Path,
        out: Path | None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.videos = videos
        self.ready = ready
        self.scratch = scratch
        self.out = out
        self.pool = ExtractorPool()
        self.whole = self._bound(gallery)
        self.folds = [self.whole if path == gallery else self._bound(path) for path in ready.galleries]
        self.lock = threading.Lock()
        self.known = self._known()

    # -- what a run would do -----------------------------------------------------------------------

    def _bound(self, gallery: Path) -> BoundMetric:
        """The metric as a suite would have it, its gallery loaded.

        Raises:
            Unavailable: It cannot be computed.
        """
        spec = MetricSpec({**self.settings.options, "gallery": str(gallery.resolve())})
        (bound,) = bind({"likeness": spec}, Path.cwd(), self.pool)
        if bound.unavailable:
            raise Unavailable(bound.unavailable, bound.remedy)
        for need in bound.roles.values():
            if problem := self.pool.problem(need):
                raise problem
        prepare: Callable[[], object] | None = getattr(bound.metric, "prepare", None)
        if prepare is not None:
            prepare()
        return bound

    def _audit(self, path: Path, name: str, bound: BoundMetric) -> tuple[Measurement, Features]:
        """What the metric says of a clip, decoded once into its extractors."""
        header = probe(path)
        extractions = {}
        for role, spec in bound.roles.items():
            extractor = self.pool.get(spec)
            assert isinstance(extractor, Extractor)
            extractions[role] = extractor.start(header)
        with ClipReader(path) as reader:
            for frames in reader:
                for extraction in extractions.values():
                    extraction.push(frames)
            info = reader.info
        features = {role: extraction.finish() for role, extraction in extractions.items()}
        sample = Sample(digest([name], 12), name, "", "selftest")
        return bound.metric.measure(ClipView(sample, info, file_sha256(path), features)), features["faces"]

    # -- the clips as they are ---------------------------------------------------------------------

    def _untouched(self, video: Video) -> Untouched:
        try:
            measurement, faces = self._audit(video.path, video.name, self.whole)
        except (MediaError, *_CONTAINED) as error:
            return Untouched(video.name, error=f"{type(error).__name__}: {error}", assessed=False)
        raised = sorted({_entry(f) for f in measurement.findings if _raises(f)})
        return Untouched(video.name, len(faces["frame_index"]), tuple(raised), not measurement.unassessed)

    # -- plantings ---------------------------------------------------------------------------------

    def run(self, progress: Progress, notes: Sequence[str]) -> SelftestResult:
        """Everything."""
        with ThreadPoolExecutor(self.settings.workers) as workers:
            untouched: list[Untouched] = []
            if self.settings.untouched:
                untouched = list(_watched(workers, progress, "untouched clips", self._untouched, self.videos))
            raised = {u.clip: set(u.raised) for u in untouched}
            jobs, not_computed = self._jobs()
            trials = list(
                _watched(workers, progress, "plantings", lambda job: self._trial(job, raised), jobs)
            )
        photographs: dict[str, int] = {}
        for photograph in self.ready.photographs:
            photographs[photograph.entry] = photographs.get(photograph.entry, 0) + 1
        short = {
            size: "every planting broke"
            for size in self.settings.sizes
            if size not in not_computed
            and all(t.missed.startswith(_BROKE) for t in trials if t.width_px == size)
        }
        people = len(photographs)
        independent = (
            f"{len(self.ready.photographs)} photographs of {people} {'person' if people == 1 else 'people'} are "
            "planted again and again; the bounds take plantings for independent, and say nothing of other people"
        )
        return SelftestResult(
            self.settings,
            tuple(trials),
            tuple(untouched),
            (*notes, *self.ready.notes, independent),
            {**not_computed, **short},
            photographs,
            str(self.settings.options.get("embedder", "dlib")),
        )

    def _jobs(self) -> tuple[list[_Job], dict[int, str]]:
        hosts = [(video, info) for video in self.videos if (info := _header(video)) is not None]
        self._digests = {video.name: file_sha256(video.path) for video, _ in hosts}
        jobs: list[_Job] = []
        reasons: dict[int, str] = {}
        for size in self.settings.sizes:
            fitting = [(v, i) for v, i in hosts if i.height >= TALL * size and i.width >= 1.2 * size]
            large = [p for p in self.ready.photographs if p.head.face_width >= size]
            if not fitting or not large:
                lacking = "clip is large enough" if not fitting else "photograph has a face as wide"
                reasons[size] = f"no {lacking}"
                continue
            order = np.random.default_rng(seed_from_ids([str(self.settings.seed), str(size)]))
            mixed = [fitting[i] for i in order.permutation(len(fitting))]
            for i in range(self.settings.counts.get(size, self.settings.plantings)):
                photograph, (video, info) = large[i % len(large)], mixed[(i + i // len(mixed)) % len(mixed)]
                jobs.append(self._job(size, i, photograph, video, info))
        return jobs, reasons

    def _job(self, size: int, i: int, photograph: Photograph, video: Video, info: ClipInfo) -> _Job:
        seed = seed_from_ids([str(self.settings.seed), str(size), str(i)])
        rng = np.random.default_rng(seed)
        fps = _fps(info)
        window = max(8, round(WINDOW_S * fps))
        have = info.frames or window
        start = int(rng.integers(0, max(have - window, 0) + 1))
        frames = min(window, have - start)
        span = (max(1, round(SPAN_S[0] * fps)), max(1, round(SPAN_S[1] * fps)))
        planting = draw_planting(
            seed,
            float(size),
            (info.height, info.width),
            frames,
            span=span,
            max_yaw_deg=self.settings.max_yaw_deg,
        )
        crf = int(rng.choice(self.settings.crfs))
        bound = self.folds[photograph.fold]
        key = digest(
            [
                VERSION, planting.to_json(), start, frames, crf, photograph.sha256, photograph.entry,
                video.name, self._digests[video.name], dict(bound.options) | {"gallery": ""}, dict(bound.identity),
                dict(bound.fingerprints), bound.metric.version,
            ],
            40,
        )  # fmt: skip
        return _Job(key, photograph, video, planting, start, frames, crf)

    def _trial(self, job: _Job, raised: Mapping[str, set[str]]) -> Trial:
        if job.key in self.known:
            return self.known[job.key]
        trial = Trial(
            job.key, job.photograph.entry, job.photograph.sha256, job.photograph.own, job.video.name,
            job.planting.width_px, job.planting.yaw_deg, job.planting.light.name, job.crf, job.planting.frames,
            found=False,
        )  # fmt: skip
        try:
            trial = self._audited(job, trial, raised.get(job.video.name, set()))
        except (MediaError, *_CONTAINED) as error:  # counts as a miss
            trial = replace(trial, missed=f"{_BROKE}{type(error).__name__}: {error}")
        self._remember(trial)
        return trial

    def _audited(self, job: _Job, trial: Trial, there_before: set[str]) -> Trial:
        host, fps = _frames(job.video.path, job.start, job.frames)
        planting = job.planting
        if len(host) < planting.first + planting.frames:  # fewer frames than the header says
            count = min(len(host), planting.frames)
            planting = replace(planting, first=len(host) - count, frames=count)
        planted = plant(host, job.photograph.head, planting)
        path = self.scratch / f"{job.key}.mp4"
        try:
            encode(planted.frames, fps, path, EncoderSettings(crf=job.crf))
            measurement, faces = self._audit(path, job.key, self.folds[job.photograph.fold])
        finally:
            path.unlink(missing_ok=True)
        begin, end = planting.first / fps, (planting.first + planting.frames) / fps
        inside = [f for f in measurement.findings if _raises(f) and f.start_s < end and f.end_s > begin]
        right = [f for f in inside if _entry(f) == job.photograph.entry]
        wrong = (
            {_entry(f) for f in measurement.findings if _raises(f)} - {job.photograph.entry} - there_before
        )
        return replace(
            trial,
            frames=planting.frames,
            found=bool(right),
            alert=any(f.severity is Severity.ALERT for f in right),
            similarity=_similarity(measurement, faces, planted, right),
            missed="" if right else why_missed(faces, planted),
            wrong=tuple(sorted(wrong)),
        )

    # -- what is there already ---------------------------------------------------------------------

    def _known(self) -> dict[str, Trial]:
        if self.out is None or not (path := self.out / "plantings.jsonl").is_file():
            return {}
        known = {}
        for line in path.read_text("utf-8").splitlines():
            try:
                trial = Trial.from_json(json.loads(line))
            except (ValueError, TypeError):  # the line that an interrupt cut off
                continue
            if not trial.missed.startswith(_BROKE):
                known[trial.key] = trial
        return known

    def _remember(self, trial: Trial) -> None:
        if self.out is None:
            return
        with self.lock:
            self.out.mkdir(parents=True, exist_ok=True)
            path = self.out / "plantings.jsonl"
            with open(path, "a", encoding="utf-8", opener=owner_only) as file:
                file.write(json.dumps(trial.to_json(), ensure_ascii=False) + "\n")


_BROKE = "broke: "


def _watched(
    workers: ThreadPoolExecutor, progress: Progress, name: str, work: Callable[[_T], _R], items: Sequence[_T]
) -> Iterator[_R]:
    """``work`` on each item by the workers, in order, with progress; what was not begun is dropped on an error."""
    with progress.stage(name, len(items)) as stage:
        waiting = [workers.submit(work, item) for item in items]
        try:
            for future in waiting:
                yield future.result()
                stage.advance(name)
        finally:
            for future in waiting:
                future.cancel()


def _raises(finding: Finding) -> bool:
    """Whether a finding has somebody look for a person: REVIEW or ALERT for an entry of the gallery."""
    return "entry" in finding.detail and finding.severity.rank >= Severity.REVIEW.rank


def _entry(finding: Finding) -> str:
    return str(finding.detail["entry"])


def _similarity(
    measurement: Measurement, faces: Features, planted: Planted, right: Sequence[Finding]
) -> float | None:
    """The similarity that was reached: of the finding, or what the clip's faces reached where there is none."""
    if right:
        return max((f.score for f in right if f.score is not None), default=None)
    here = planted_faces(faces, planted)
    if not len(here) or not faces["usable"][here].any():
        return None
    return measurement.values.get("best_similarity")


def _fps(info: ClipInfo) -> float:
    return min(max(info.fps or 25.0, 1.0), 240.0)


def _header(video: Video) -> ClipInfo | None:
    try:
        return probe(video.path)
    except MediaError:
        return None


def _frames(path: Path, start: int, count: int) -> tuple[NDArray[np.uint8], float]:
    """Frames of a clip, uint8 ``(n, h, w, 3)``, and the frame rate."""
    parts: list[NDArray[np.uint8]] = []
    with ClipReader(path) as reader:
        seen = 0
        for block in reader:
            low, high = max(start - seen, 0), min(start + count - seen, len(block))
            if high > low:
                parts.append(block.rgb[low:high].copy())
            seen += len(block)
            if seen >= start + count:
                break
        fps = _fps(reader.info)
    if not parts:
        raise MediaError(path, f"has no frame {start}")
    return np.concatenate(parts), fps
