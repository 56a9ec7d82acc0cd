"""Whether anybody of a gallery could be recognised in the clips, as far as an uncalibrated comparison can say."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from vgaudit import registry
from vgaudit.errors import GalleryError, UsageError, VgauditError
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, published_point
from vgaudit.extractors.faces import FacesOptions, make_embedder
from vgaudit.likeness.assessability import Assessability, assess
from vgaudit.likeness.entries import Role
from vgaudit.likeness.findings import (
    FINDING_KINDS,
    KINDS_WITHOUT_GALLERY,
    MATCH,
    ComparedFaces,
    MatchPoint,
    frame_duration_s,
    match_findings,
    not_compared_findings,
    stated_similarity,
    unassessable_findings,
)
from vgaudit.likeness.gallery import Gallery, describe_gallery, load_gallery
from vgaudit.likeness.matching import entry_similarities
from vgaudit.likeness.wording import FIXED_WORDS, NO_GALLERY_GIVEN, UNCALIBRATED
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.likeness_summary import (
    NO_FACE,
    UNASSESSED,
    UNSEARCHED,
    coverage,
    face_rate,
    match_rate,
    mean_of,
)
from vgaudit.package_files import is_package_file, package_file
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result, Series, digest
from vgaudit.stats import NOT_APPLICABLE_PREFIX

NOBODY_PROTECTED = f"{NOT_APPLICABLE_PREFIX} the gallery holds nobody protected"
NO_DISTANCE = f"{NOT_APPLICABLE_PREFIX} the embedder compares by cosine, not by distance"

NO_GALLERY = "none"
"""In place of a gallery: faces are looked for, and that nobody was compared is said."""

_PER_CLIP = ("best_similarity", "best_distance")


class LikenessOptions(FacesOptions):
    """Options of the likeness metric: those of the faces extractor, and

    Attributes:
        gallery: Folder with a folder of pictures per person, a built gallery file, or a single picture of one
            person; relative to the suite, or package:PACKAGE/PATH, a file of an installed package. ``none``: faces
            are looked for, and nobody is compared.
        threshold: Similarity from which on a match is called (for dlib 1 - L2 distance). Needed for embedders
            without a published point; where there is one it can only widen what is called a match, and a stricter
            one is refused. Recorded with every finding.
    """

    gallery: str = Field(min_length=1)
    threshold: float | None = Field(default=None, ge=-1, le=1)


class Likeness:
    """Similarity of the faces in a clip to the people of a gallery.

    ``best_similarity`` of a clip is the highest similarity of any usable face to any picture of any protected
    person: ``max_{f, e, i} s(face_f, template_{e,i})``, with ``s = 1 - L2`` for dlib and the cosine for FaceNet and
    ONNX embedders. A clip is assessed if every examined frame could be searched and every face seen could be
    compared, or one that could stands for it; what could not is told as ``likeness.unassessable``, or
    ``likeness.partly_unassessable`` where other faces of the clip were compared.
    """

    name: ClassVar[str] = "likeness"
    version: ClassVar[int] = 3
    Options: ClassVar[type[BaseModel]] = LikenessOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            "best_similarity", "similarity", False,
            "Highest similarity of a face to a protected person of the gallery (dlib: 1 - L2 distance; else cosine).",
            high=1.0, title="Best similarity (to protected people)",
        ),
        ValueSpec(
            "best_distance", "L2 distance", True,
            "Smallest L2 distance of a face to a protected person (embedders compared by L2).", low=0.0,
            title="Best distance (to protected people)",
        ),
        ValueSpec(
            "match_rate", "fraction of assessed clips", False,
            "Clips with a face past the operating point, of the clips that could be assessed; uncalibrated.",
            0.0, 1.0, per_clip=False, title="Match rate (with protected people)",
        ),
        ValueSpec(
            "coverage", "fraction of clips with faces", True,
            "Clips in which every face could be assessed, of the clips in which faces were seen.",
            0.0, 1.0, per_clip=False, title="Coverage (of clips with faces by the audit)",
        ),
        ValueSpec(
            "face_rate", "fraction of clips", None,
            "Clips in which a face was seen, of those with faces and those that were searched throughout.",
            0.0, 1.0, per_clip=False,
        ),
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ()
    finding_kinds: tuple[str, ...] = FINDING_KINDS

    def __init__(self, options: LikenessOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir
        self._path = _gallery_path(options.gallery, context.base_dir)
        if self._path is None:
            # A gate on matches alone must not pass where nobody was compared: it asks for what cannot be found.
            self.finding_kinds = KINDS_WITHOUT_GALLERY
        self._today = dt.date.today()
        self._embedder: FaceEmbedder | None = None
        self._gallery: Gallery | VgauditError | None = None
        self._lock = threading.Lock()

    # -- what it needs -----------------------------------------------------------------------------

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """The faces of the clip, embedded.

        Raises:
            UsageError: The embedder has no operating point and the suite states no threshold, so that nothing
                could ever match; or the threshold is stricter than the published point, so that what others call
                a match would be dropped. Both would look like an audit that found nothing.
            Unavailable: A file that describes the embedder is missing.
        """
        if self._path is not None:
            self._point()
        return {"faces": ExtractorSpec("faces", self._faces_options())}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Digest of the gallery, of everybody's role today, and of the embedder."""
        if self._path is None:
            return {"gallery": None, "embedder": self._made_embedder().fingerprint}
        source = describe_gallery(self._path)
        roles = [[entry.entry_id, entry.effective_role(self._today)] for entry in source.entries]
        return {
            "gallery": source.digest,
            "roles": digest(roles),
            "embedder": self._made_embedder().fingerprint,
        }

    def prepare(self) -> Gallery | None:
        """Load or build the gallery, if one was given; :meth:`measure` does it on first need.

        Raises:
            GalleryError: It is wrong, or made with another embedder.
            Unavailable: Weights are missing.
        """
        if self._path is None:
            return None
        with self._lock:
            if self._gallery is None:
                # Not the clip's detector options: a template must not depend on how clips are searched.
                detector = FaceDetector(device=self.options.device)
                try:
                    self._gallery = load_gallery(self._path, self._made_embedder(), detector)
                except VgauditError as error:
                    self._gallery = error
            if isinstance(self._gallery, VgauditError):
                raise self._gallery
            return self._gallery

    def _faces_options(self) -> dict[str, Any]:
        options = self.options.model_dump(mode="json", exclude={"gallery", "threshold", "embedder_options"})
        paths = registry.load("face_embedders", self.options.embedder).path_options
        embedder_options = dict(self.options.embedder_options)
        for name in paths:
            if isinstance(value := embedder_options.get(name), str):
                embedder_options[name] = str((self._base_dir / Path(value).expanduser()).resolve())
        return {**options, "embedder_options": embedder_options}

    def _made_embedder(self) -> FaceEmbedder:
        if self._embedder is None:
            self._embedder = make_embedder(self.options.embedder, self._faces_options()["embedder_options"])
        return self._embedder

    def _point(self) -> MatchPoint:
        embedder = self._made_embedder()
        published = published_point(embedder.points)
        strict = next((p.similarity for p in embedder.points if p.name == "strict"), None)
        known = published.similarity if published else None
        if (own := self.options.threshold) is not None:
            stated = stated_similarity(own, embedder.measure)
            if known is not None and own > known:
                raise UsageError(_too_strict(own, known, embedder))
            source = f"set in the suite; published: {published.stated if published else 'none'}"
            return MatchPoint(own, stated, source, "suite", strict, known)
        if published is None:
            raise UsageError(
                f"likeness.threshold: the embedder {embedder.name!r} has no published operating point, so nothing "
                "could ever match; state `threshold:` (a similarity), or use an embedder that has one, such as dlib"
            )
        return MatchPoint(
            published.similarity, published.stated, published.source, "published", strict, known
        )

    # -- one clip ----------------------------------------------------------------------------------

    def measure(self, clip: ClipView) -> Measurement:
        """Similarities, the series over examined frames, and findings of one clip.

        Raises:
            ValueError: Features are not finite.
            GalleryError: The gallery cannot be used.
            Unavailable: Weights are missing that the gallery's pictures need.
        """
        faces = clip.features["faces"]
        broken = [n for n, a in faces.arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if broken:
            raise ValueError(f"features of the faces are not finite: {', '.join(sorted(broken))}")
        # Also for clips without a face: a gallery that cannot be used must never look like one that found nothing.
        gallery = self.prepare()
        found = assess(faces, compare=gallery is not None)
        facts: dict[str, Any] = {
            **{k: faces.facts[k] for k in _FACE_FACTS if k in faces.facts},
            "faces": found.faces,
            "usable": found.compared,
            "doubtful": found.doubtful,
            "assessed": not found.reason,
            "unassessable": found.reason,
            "matched": False,
        }
        if gallery is None:
            return self._faces_only(clip, found, facts)
        embedder, point = self._made_embedder(), self._point()
        facts |= {
            "embedder": embedder.name,
            "match_point": point.to_json(),
            "calibration": UNCALIBRATED,
            "gallery": _account(gallery, self._today),
        }
        frame_s = frame_duration_s(clip.info)
        unseen = tuple(
            unassessable_findings(
                clip.sample.sample_id, found, faces, frame_s=frame_s, end_s=max(clip.info.duration_s, frame_s)
            )
        )
        if not found.compared:
            if found.reason:
                why = UNASSESSED if found.faces else UNSEARCHED
                return Measurement(
                    missing=dict.fromkeys(_PER_CLIP, why),
                    findings=unseen,
                    facts=facts,
                    unassessed=found.reason,
                )
            return _faceless(faces, facts)
        people = [(entry.entry_id, entry.effective_role(self._today)) for entry in gallery.entries]
        scores = entry_similarities(
            faces["embedding"][faces["usable"]], gallery.templates, gallery.owners, embedder.similarity
        )
        compared = ComparedFaces.of(faces, scores)
        findings = tuple(
            match_findings(
                clip.sample.sample_id, compared, people, point,
                embedder=embedder.name, measure=embedder.measure, frame_s=frame_s,
            )
        )  # fmt: skip
        facts["matched"] = any(finding.kind == MATCH for finding in findings)
        measured = self._measurement(compared, people, facts)
        return replace(measured, findings=findings + unseen, unassessed=found.reason)

    def _faces_only(self, clip: ClipView, found: Assessability, facts: dict[str, Any]) -> Measurement:
        """Where faces were seen, and that nobody was compared: a clip with faces is not assessed, one without is."""
        faces, frame_s = clip.features["faces"], frame_duration_s(clip.info)
        searched = replace(found, uncompared=())
        number = "face was" if found.faces == 1 else "faces were"
        seen = f"{found.faces} {number} seen, and {NO_GALLERY_GIVEN}" if found.faces else ""
        reason = "; ".join(filter(None, [seen, searched.reason]))
        facts |= {"assessed": not reason, "unassessable": reason, "gallery": None}
        if not reason:
            return _faceless(faces, facts)
        sample, end_s = clip.sample.sample_id, max(clip.info.duration_s, frame_s)
        findings = (
            *not_compared_findings(sample, found, faces, frame_s=frame_s),
            *unassessable_findings(sample, searched, faces, frame_s=frame_s, end_s=end_s),
        )
        missing = dict.fromkeys(_PER_CLIP, NO_GALLERY_GIVEN if found.faces else UNSEARCHED)
        return Measurement(missing=missing, findings=findings, facts=facts, unassessed=reason)

    def _measurement(
        self,
        compared: ComparedFaces,
        people: Sequence[tuple[str, Role]],
        facts: dict[str, Any],
    ) -> Measurement:
        times = tuple(float(t) for t in compared.pts_s)
        protected = [i for i, (_, role) in enumerate(people) if role == "protected"]
        if not protected:
            return Measurement(missing=dict.fromkeys(_PER_CLIP, NOBODY_PROTECTED), facts=facts)
        best = compared.scores[:, protected].max(axis=1)
        values = {"best_similarity": float(best.max())}
        missing = {}
        if self._made_embedder().measure == "l2":
            values["best_distance"] = 1.0 - values["best_similarity"]
        else:
            missing["best_distance"] = NO_DISTANCE
        over_time = Series(times, _per_frame(best, compared.frame, len(times)), "similarity")
        return Measurement(values, {"best_similarity": over_time}, missing=missing, facts=facts)

    # -- a group -----------------------------------------------------------------------------------

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Means over clips with usable faces, the uncalibrated match rate, coverage, and the rate of faces."""
        common = {"embedder": self.options.embedder, "calibration": UNCALIBRATED, "meaning": FIXED_WORDS}
        # Neither is fit for a gate: a similarity has no error rate, and one match vanishes in a mean.
        facts: dict[str, Any] = {**common, "uncalibrated": True}
        if self._path is not None:
            facts["match_point"] = self._point().to_json()
        if measured:  # from the measurement, not the gallery: a resumed run may not have loaded one
            facts["gallery"] = measured[0].measurement.facts.get("gallery", {})
        similarity, distance, rate, covered, seen = self.values
        return [
            mean_of(similarity, measured, context, facts),
            mean_of(distance, measured, context, facts),
            match_rate(rate, measured, context, facts),
            coverage(covered, measured, context, common),
            face_rate(seen, measured, context),
        ]


def _gallery_path(gallery: str, base_dir: Path) -> Path | None:
    """Where the gallery is; ``None`` where the suite says that there is none.

    Raises:
        GalleryError: Nothing is there, or ``none`` might be a folder's name.
    """
    path = (base_dir / Path(gallery).expanduser()).resolve()
    if gallery == NO_GALLERY:
        if path.exists():
            raise GalleryError(
                f"likeness.gallery: {NO_GALLERY!r} says that there is no gallery, but {path} exists; expected "
                f"'./{NO_GALLERY}' if that is the gallery, or another name for what lies there"
            )
        return None
    if is_package_file(gallery):
        path = package_file(gallery)
    if not path.exists():
        raise GalleryError(
            f"likeness.gallery: {gallery!r} not found (looked at {path}); expected a folder with one folder of "
            f"pictures per person, one picture, a built gallery file, or {NO_GALLERY!r} to look for faces only"
        )
    return path


def _faceless(faces: Features, facts: dict[str, Any]) -> Measurement:
    """Of a clip that was searched and shows no face."""
    times = tuple(float(t) for t in faces["examined_pts_s"])
    series = {"best_similarity": Series(times, (None,) * len(times), "similarity")}
    return Measurement(missing=dict.fromkeys(_PER_CLIP, NO_FACE), series=series, facts=facts)


def _too_strict(own: float, known: float, embedder: FaceEmbedder) -> str:
    asked, published = (stated_similarity(s, embedder.measure) for s in (own, known))
    scale = "similarity = 1 - L2 distance" if embedder.measure == "l2" else "similarity = cosine"
    mixed_up = (
        embedder.measure == "l2" and 1 - own <= known + 1e-9
    )  # as if the distance had been written down
    meant = f"; if L2 distance {own:g} was meant, state `threshold: {1 - own:g}`" if mixed_up else ""
    return (
        f"likeness.threshold: {own:g} ({asked}) is stricter than the published point of {embedder.name!r}, "
        f"{known:g} ({published}; {scale}): faces between the two would be dropped in silence. State {known:g} "
        f"or less to widen what is called a match, or leave `threshold` out{meant}"
    )


_FACE_FACTS = ("unusable", "frames_examined", "frames_failed", "failures", "smallest_face_px", "detector")


def _account(gallery: Gallery, today: dt.date) -> dict[str, Any]:
    """How many people stand in which role, and what is wrong with their pictures."""
    roles = Counter(str(entry.effective_role(today)) for entry in gallery.entries)
    return {**roles, "pictures": len(gallery.owners), "warnings": list(gallery.warnings)}


def _per_frame(best: NDArray[np.float64], frame: NDArray[np.intp], n: int) -> tuple[float | None, ...]:
    top = np.full(n, -np.inf)
    np.maximum.at(top, frame, best)
    return tuple(None if value == -np.inf else float(value) for value in top)
