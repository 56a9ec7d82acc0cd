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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import ExitCode, MediaError, Unavailable, UsageError
from vgaudit.estimates import clopper_pearson, seed_from_ids
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.likeness.plantable import Photograph, Plantable, plantable
from vgaudit.likeness.planting import Planted, Planting, draw_planting, plant
from vgaudit.likeness.recall import (
    CONFIDENCE,
    KINDS,
    PASTED,
    Recall,
    Trial,
    planted_faces,
    recalls,
    why_missed,
)
from vgaudit.metrics.base import ClipView
from vgaudit.pipeline.binding import BoundMetric, ExtractorPool, bind
from vgaudit.pipeline.reference import Video, find_videos
from vgaudit.pipeline.runspec import MetricSpec
from vgaudit.plan import Sample
from vgaudit.progress import Progress, Silent
from vgaudit.records import Finding, Measurement, Severity, digest
from vgaudit.rundir import atomic_write
from vgaudit.video import ClipInfo, ClipReader, probe
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.zoo.resolve import file_sha256

VERSION = 1
CRFS = (18, 20, 23, 26, 28)
WINDOW_S = 2.0
"""Seconds of a clip that a planting is made of: as densely examined as a clip of any length."""

SPAN_S = (0.8, 1.2)
"""Seconds that a planted face is seen."""

TALL = 1.5
"""A face may be this much taller than wide, and must fit into the frame."""

_T = TypeVar("_T")
_R = TypeVar("_R")

_CONTAINED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class SelftestSettings:
    """What a self-test does.

    Attributes:
        sizes: Widths of planted faces in pixels of the clip.
        plantings: Plantings of each size; ``counts`` overrides it for some.
        counts: Size to number of plantings.
        seed: Of everything drawn.
        max_yaw_deg: Largest turn of a head.
        crfs: Rate factors of the encoder, each as likely.
        options: Options of the likeness metric besides the gallery: embedder, threshold and whatever else.
        min_recall: What the lower bound of each size's recall must reach; ``None`` asks for nothing.
        untouched: Whether the clips are audited as they are, too.
        workers: Plantings at the same time.
    """

    sizes: tuple[int, ...] = (32, 48, 64, 96)
    plantings: int = 300
    counts: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    max_yaw_deg: float = 20.0
    crfs: tuple[int, ...] = CRFS
    options: Mapping[str, Any] = field(default_factory=dict)
    min_recall: float | None = None
    untouched: bool = True
    workers: int = 2

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: A number is out of range.
        """
        if not self.sizes or min(self.sizes) < 12 or len(set(self.sizes)) < len(self.sizes):
            raise UsageError(f"sizes {self.sizes}: expected different widths of faces from 12 px on")
        if self.plantings < 1 or self.workers < 1:
            raise UsageError("expected at least one planting of each size, and one worker")
        if self.min_recall is not None and not 0 < self.min_recall <= 1:
            raise UsageError(f"a recall of {self.min_recall:g} was asked for; expected above 0 and up to 1")
        if "gallery" in self.options:
            raise UsageError("the gallery is an argument of its own, not an option")


@dataclass(frozen=True)
class Untouched:
    """What the audit says of one clip as it is.

    Attributes:
        clip: Its name.
        faces: Faces seen on its examined frames.
        raised: Entries raised in it.
        assessed: Whether all faces could be compared.
        error: Why it could not be audited; empty if it was.
    """

    clip: str
    faces: int = 0
    raised: tuple[str, ...] = ()
    assessed: bool = True
    error: str = ""


@dataclass(frozen=True)
class SelftestResult:
    """What a self-test found.

    Attributes:
        settings: What was asked.
        trials: The plantings.
        untouched: The clips as they are.
        notes: What a reader must know.
        not_computed: Sizes without an answer, and why.
        photographs: Entry to number of planted pictures.
        embedder: Its name.
    """

    settings: SelftestSettings
    trials: tuple[Trial, ...]
    untouched: tuple[Untouched, ...]
    notes: tuple[str, ...]
    not_computed: Mapping[int, str]
    photographs: Mapping[str, int]
    embedder: str

    def by_size(self) -> list[Recall]:
        """Recall of each size, smallest first."""
        return [
            Recall.of(f"{size} px", [t for t in self.trials if t.width_px == size])
            for size in sorted(self.settings.sizes)
        ]

    @property
    def exit_code(self) -> ExitCode:
        """3 if the lower bound of a size falls short of ``min_recall``, 4 if a size has no answer, else 0."""
        wanted = self.settings.min_recall
        if wanted is not None and any(r.low is not None and r.low < wanted for r in self.by_size()):
            return ExitCode.GATE_FAILED
        return ExitCode.NOT_COMPUTED if self.not_computed else ExitCode.OK

    def untouched_summary(self) -> dict[str, Any]:
        """Counts over the untouched clips; ``raised_high`` is the exact upper 95 % bound of the share raised."""
        audited = [u for u in self.untouched if not u.error]
        faces = [u for u in audited if u.faces]
        raised = [u for u in faces if u.raised]
        high = clopper_pearson(len(raised), len(faces), CONFIDENCE)[1] if faces else None
        return {
            "clips": len(self.untouched),
            "failed": len(self.untouched) - len(audited),
            "with_faces": len(faces),
            "assessed": sum(u.assessed for u in faces),
            "raised": len(raised),
            "raised_high": high,
            "raised_clips": {u.clip: list(u.raised) for u in raised},
        }

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; no picture, no template and no path of the gallery is in it."""
        sizes = sorted(self.settings.sizes)
        return {
            "selftest": "likeness",
            "version": VERSION,
            "recall_is": PASTED,
            "settings": {
                **asdict(self.settings),
                "counts": {str(k): v for k, v in self.settings.counts.items()},
                "window_s": WINDOW_S,
                "span_s": list(SPAN_S),
            },
            "embedder": self.embedder,
            "photographs": dict(self.photographs),
            "sizes": [
                {"width_px": s, **r.to_json(), "not_computed": self.not_computed.get(s, "")}
                for s, r in zip(sizes, self.by_size(), strict=True)
            ],
            "by": {
                kind: {
                    str(s): [r.to_json() for r in recalls((t for t in self.trials if t.width_px == s), of)]
                    for s in sizes
                }
                for kind, of in KINDS.items()
            },
            "untouched": self.untouched_summary() if self.settings.untouched else None,
            "notes": list(self.notes),
            "exit_code": int(self.exit_code),
        }


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
        with atomic_write(out / "selftest.json") as file:
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
            with (self.out / "plantings.jsonl").open("a", encoding="utf-8") as file:
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
