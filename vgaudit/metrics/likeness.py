"""Whether anybody of a gallery could be recognised in the clips, how sure that is, and what nobody could assess."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.likeness.assessability import Assessability, assess
from vgaudit.likeness.entries import Role
from vgaudit.likeness.findings import (
    FINDING_KINDS,
    KINDS_WITHOUT_GALLERY,
    MATCH,
    SOLICITED,
    Audit,
    frame_duration_s,
    match_findings,
    not_compared_findings,
    unassessable_findings,
)
from vgaudit.likeness.gallery import Gallery
from vgaudit.likeness.hits import Hit, People, compare
from vgaudit.likeness.naming import named_entries, names_anybody
from vgaudit.likeness.settlement import Audited, ClipFaces, settle
from vgaudit.likeness.templates import track_templates
from vgaudit.likeness.tracks import Track, tracks_of
from vgaudit.likeness.wording import FIXED_WORDS, NO_GALLERY_GIVEN, UNCALIBRATED
from vgaudit.metrics.base import ClipView, Measured, MetricContext, Settlement, SummaryContext, ValueSpec
from vgaudit.metrics.likeness_options import NO_GALLERY, LikenessOptions
from vgaudit.metrics.likeness_sources import Sources
from vgaudit.metrics.likeness_summary import (
    NO_FACE,
    UNASSESSED,
    UNSEARCHED,
    coverage,
    expected_chance_alerts,
    face_rate,
    mean_of,
    solicited_rate,
    tier_rate,
)
from vgaudit.plan import Sample
from vgaudit.records import Finding, Measurement, Result, Series
from vgaudit.stats import NOT_APPLICABLE_PREFIX

__all__ = ["NO_GALLERY", "Likeness", "LikenessOptions"]

NOBODY_PROTECTED = f"{NOT_APPLICABLE_PREFIX} the gallery holds nobody protected"
NOBODY_TO_MATCH = "the gallery holds nobody protected, so nobody was looked for"
NO_DISTANCE = f"{NOT_APPLICABLE_PREFIX} the embedder compares by cosine, not by distance"

FACES_REQUIRED = "no face was found in it, and the suite says that clips like it show faces (require_faces)"

_PER_CLIP = ("best_similarity", "best_distance")


class Likeness:
    """Whether faces in a clip resemble people of a gallery.

    Faces of a clip are linked to tracks; each has a template, the quality-weighted mean of well-spread faces.
    ``best_similarity`` of a clip is the highest similarity of any face to any picture of any protected person:
    ``max_{f, e, i} s(face_f, template_{e,i})``, with ``s = 1 - L2`` for dlib and the cosine for
    FaceNet and ONNX embedders. A track with faces past the embedder's point makes a finding
    (:meth:`vgaudit.likeness.hits.Hit.matches`). Its tier, ALERT or REVIEW,
    or that it is no more than chance explains, follows in :meth:`settle` from the rate at which people of a cohort
    resemble the entry as much, and from how many comparisons the run makes. Without a cohort nothing is above
    REVIEW, and nothing is cleared.

    A clip is assessed if every examined frame could be searched and every face seen could be
    compared, or one that could stands for it; what could not is told as ``likeness.unassessable``, or
    ``likeness.partly_unassessable`` where other faces of the clip were compared.
    """

    name: ClassVar[str] = "likeness"
    version: ClassVar[int] = 5
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
            "alert_rate", "fraction of assessed clips", False,
            "Clips with an unintended match of tier ALERT, of the clips that could be assessed; before any decision.",
            0.0, 1.0, per_clip=False, title="Alert rate (unintended, of assessed clips)",
        ),
        ValueSpec(
            "review_rate", "fraction of assessed clips", False,
            "Clips with an unintended match of tier REVIEW or ALERT, of the clips that could be assessed.",
            0.0, 1.0, per_clip=False, title="Review rate (unintended, of assessed clips)",
        ),
        ValueSpec(
            "solicited_rate", "fraction of assessed clips", False,
            "Clips in which somebody was matched whom the prompt names, of the assessed clips with such a prompt.",
            0.0, 1.0, per_clip=False, title="Solicited rate (prompts that name somebody)",
        ),
        ValueSpec(
            "expected_chance_alerts", "alerts", False,
            "Alerts that unrelated people would raise by chance: tracks x protected people x rate of coincidence.",
            0.0, None, per_clip=False, title="Expected chance alerts",
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
    sliceable: ClassVar[tuple[str, ...]] = ("alert_rate", "review_rate", "face_rate")
    settle_features: ClassVar[tuple[str, ...]] = ("faces",)
    finding_kinds: tuple[str, ...] = FINDING_KINDS

    def __init__(self, options: LikenessOptions, context: MetricContext) -> None:
        self.options = options
        self.sources = Sources(options, context.base_dir)
        self._last = threading.local()
        if not self.sources.compares:
            # A gate on matches alone must not pass where nobody was compared: it asks for what cannot be found.
            self.finding_kinds = KINDS_WITHOUT_GALLERY

    # -- what it needs -----------------------------------------------------------------------------

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """The faces of the clip, embedded.

        Raises:
            UsageError: The embedder has no operating point and the suite states no threshold, so that nothing
                could ever match; or the threshold is stricter than the published point, so that what others call
                a match would be dropped. Both would look like an audit that found nothing.
            Unavailable: A file that describes the embedder is missing.
        """
        if self.sources.compares:
            self.sources.point()
        return {"faces": ExtractorSpec("faces", self.sources.faces_options())}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Digest of gallery and cohort, of everybody's role today, and of the embedder."""
        return self.sources.identity()

    def prepare(self) -> Gallery | None:
        """Load or build the gallery, if one was given; :meth:`measure` does it on first need.

        Raises:
            GalleryError: It is wrong, or made with another embedder.
            Unavailable: Weights are missing.
        """
        return self.sources.gallery()

    # -- one clip ----------------------------------------------------------------------------------

    def measure(self, clip: ClipView) -> Measurement:
        """Similarities, the series over examined frames, and findings of one clip.

        Where the gallery protects nobody, matches could not be looked for: a gate on them alone gets no answer.

        Raises:
            ValueError: Features are not finite.
            GalleryError: The gallery cannot be used.
            Unavailable: Weights are missing that the gallery's pictures need.
        """
        gallery = self.prepare()
        measured = self._measured(clip, gallery)
        if gallery is None or "protected" in self.sources.roles(gallery):
            return measured
        return replace(measured, unassessed_kinds=dict.fromkeys((MATCH, SOLICITED), NOBODY_TO_MATCH))

    def _measured(self, clip: ClipView, gallery: Gallery | None) -> Measurement:
        # Also for clips without a face the gallery is loaded before: one that cannot be used must never look like one
        # that found nothing.
        faces = clip.features["faces"]
        broken = [n for n, a in faces.arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if broken:
            raise ValueError(f"features of the faces are not finite: {', '.join(sorted(broken))}")
        found = assess(faces, compare=gallery is not None)
        facts: dict[str, Any] = {
            **{k: faces.facts[k] for k in _FACE_FACTS if k in faces.facts},
            "faces": found.faces,
            "usable": found.compared,
            "doubtful": found.doubtful,
            "assessed": not found.reason,
            "unassessable": found.reason,
            "audio": clip.info.has_audio,
            "content_credentials": clip.info.content_credentials,
        }
        faceless = self._faces_were_required(clip.sample) and not found.faces and not found.reason
        if faceless:
            facts |= {"assessed": False, "unassessable": FACES_REQUIRED, "faces_required": True}
        if gallery is None:
            return self._faces_only(clip, found, facts, FACES_REQUIRED if faceless else "")
        embedder, point, roles = self.sources.embedder, self.sources.point(), self.sources.roles(gallery)
        calibration = self.sources.calibration
        facts |= {
            "embedder": embedder.name,
            "match_point": point.to_json(),
            "calibration": calibration.facts() if calibration else UNCALIBRATED,
            "gallery": _account(gallery, roles, self.sources.doubles),
        }
        frame_s = frame_duration_s(clip.info)
        unseen = tuple(
            unassessable_findings(
                clip.sample.sample_id, found, faces, frame_s=frame_s, end_s=max(clip.info.duration_s, frame_s)
            )
        )
        named = named_entries(clip.sample.prompt, gallery.entries)
        facts["protects"] = "protected" in roles
        facts["named"] = any(roles[i] == "protected" for i in named)
        facts["names_entry"] = names_anybody(clip.sample.prompt, gallery.entries)
        if not found.compared:
            if found.reason:
                why = UNASSESSED if found.faces else UNSEARCHED
                return Measurement(
                    missing=dict.fromkeys(_PER_CLIP, why),
                    findings=unseen,
                    facts=facts,
                    unassessed=found.reason,
                )
            return _faceless(faces, facts, FACES_REQUIRED if faceless else "")
        tracks = self._tracks(faces)
        protected = _people(gallery, roles, "protected")
        compared = compare(
            tracks, faces, [protected, _people(gallery, roles, "consented")], embedder,
            point.similarity, point.strict,
        )  # fmt: skip
        gaps = tuple(e.consent_gap(self.sources.today, self.options.use) for e in gallery.entries)
        audit = Audit(gallery.entries, roles, point, embedder.name, embedder.measure, calibration, gaps)
        findings = tuple(
            match_findings(
                clip.sample.sample_id, [hit for c in compared for hit in c.hits], tracks, faces, audit,
                named=named, frame_s=frame_s,
            )
        )  # fmt: skip
        facts["tracks"] = len(tracks)
        facts["cleared"] = [_let_go(hit, tracks, gallery) for hit in compared[0].let_go]
        facts["tier"] = "REVIEW" if any(f.kind == MATCH for f in findings) else "CLEAR"
        facts["solicited_tier"] = "REVIEW" if any(f.kind == SOLICITED for f in findings) else "CLEAR"
        if len(protected.entries):
            measured = self._measurement(faces, compared[0].best, compared[0].face_best, facts)
        else:
            measured = Measurement(missing=dict.fromkeys(_PER_CLIP, NOBODY_PROTECTED), facts=facts)
        return replace(measured, findings=findings + unseen, unassessed=found.reason)

    def _faces_were_required(self, sample: Sample) -> bool:
        """Whether the suite says that clips like this one show faces, so that one without them answers nothing."""
        required = self.options.require_faces
        if isinstance(required, bool):
            return required
        return all(sample.tags.get(key) == value for key, value in required.items())

    def _faces_only(
        self, clip: ClipView, found: Assessability, facts: dict[str, Any], faceless: str
    ) -> Measurement:
        """Where faces were seen, and that nobody was compared: a clip with faces is not assessed, one without is."""
        faces, frame_s = clip.features["faces"], frame_duration_s(clip.info)
        searched = replace(found, uncompared=())
        number = "face was" if found.faces == 1 else "faces were"
        seen = f"{found.faces} {number} seen, and {NO_GALLERY_GIVEN}" if found.faces else ""
        reason = "; ".join(filter(None, [seen, searched.reason]))
        reason = reason or faceless
        facts |= {"assessed": not reason, "unassessable": reason, "gallery": None}
        if not reason or faceless:
            return _faceless(faces, facts, faceless)
        sample, end_s = clip.sample.sample_id, max(clip.info.duration_s, frame_s)
        findings = (
            *not_compared_findings(sample, found, faces, frame_s=frame_s),
            *unassessable_findings(sample, searched, faces, frame_s=frame_s, end_s=end_s),
        )
        missing = dict.fromkeys(_PER_CLIP, NO_GALLERY_GIVEN if found.faces else UNSEARCHED)
        return Measurement(missing=missing, findings=findings, facts=facts, unassessed=reason)

    def _measurement(
        self,
        faces: Features,
        best: NDArray[np.float64],
        face_best: NDArray[np.float64],
        facts: dict[str, Any],
    ) -> Measurement:
        times = tuple(float(t) for t in faces["examined_pts_s"])
        values = {"best_similarity": float(best.max())}
        missing = {}
        if self.sources.embedder.measure == "l2":
            values["best_distance"] = 1.0 - values["best_similarity"]
        else:
            missing["best_distance"] = NO_DISTANCE
        frame = np.searchsorted(faces["frames_examined"], faces["frame_index"])
        seen = ~np.isnan(face_best)
        over_time = Series(times, _per_frame(face_best[seen], frame[seen], len(times)), "similarity")
        return Measurement(values, {"best_similarity": over_time}, missing=missing, facts=facts)

    def pictures(self, finding: Finding, features: Mapping[str, Features]) -> list[bytes]:
        """Faces of a match as JPEG, in the order of ``detail["shown"]``."""
        shown = finding.detail.get("shown", ())
        if not shown:
            return []
        faces = features["faces"]
        embedded = self._tracks(faces)[finding.detail["track"]].embedded
        at = {int(faces["frame_index"][face]): int(face) for face in embedded}
        return [_crop(faces, at[face["frame"]]) for face in shown]

    def _tracks(self, faces: Features) -> list[Track]:
        last: tuple[Features, list[Track]] | None = getattr(self._last, "tracks", None)
        if last is None or last[0] is not faces:  # asked for again with each picture of a finding
            last = faces, tracks_of(faces, self.sources.embedder, self.sources.coherence())
            self._last.tracks = last
        return last[1]

    # -- the run -----------------------------------------------------------------------------------

    def condense(self, features: Mapping[str, Features]) -> Mapping[str, Features]:
        """Of a clip's faces what :meth:`settle` needs: templates, embeddings and one picture of each track."""
        if (faces := features.get("faces")) is None:
            return {}
        if not np.isfinite(faces["embedding"]).all():
            return {"faces": Features({})}
        tracks = self._tracks(faces)
        embedded = np.concatenate([t.embedded for t in tracks]) if tracks else np.zeros(0, np.intp)
        best = [int(t.embedded[np.argmax(faces["quality"][t.embedded])]) for t in tracks]
        crops = [_crop(faces, face) for face in best]
        arrays: dict[str, NDArray[Any]] = {
            "templates": track_templates(tracks, faces, self.sources.embedder.measure),
            "usable_frames": np.array(
                [len(np.unique(faces["frame_index"][t.embedded])) for t in tracks], np.intp
            ),
            "faces": faces["embedding"][embedded],
            "face_track": np.repeat(np.arange(len(tracks)), [len(t.embedded) for t in tracks]),
            "start_s": np.array([t.start_s for t in tracks]),
            "crop_jpeg": np.frombuffer(b"".join(crops), np.uint8),
            "crop_start": np.r_[0, np.cumsum([len(crop) for crop in crops], dtype=np.int64)],
        }
        return {"faces": Features(arrays)}

    def settle(self, measured: Sequence[Measured], unmeasured: Sequence[Sample]) -> Settlement:
        """Tiers, expected chance alerts, decoys, recurring faces, and the ledger; see
        :mod:`vgaudit.likeness.settlement`.

        Raises:
            GalleryError: The gallery cannot be used.
            Unavailable: Weights are missing.
            ValueError: Features of a clip are not finite.
        """
        gallery = self.prepare()
        audited = Audited(
            gallery=gallery,
            roles=self.sources.roles(gallery) if gallery else (),
            point=self.sources.point() if gallery else None,
            embedder=self.sources.embedder,
            calibration=self.sources.calibration,
            unmeasured={s.sample_id: s.group for s in unmeasured},
        )
        settled = settle([_clip_faces(m) for m in measured], audited)
        return Settlement(settled.measurements, settled.facts, settled.ledger, settled.pictures)

    # -- a group -----------------------------------------------------------------------------------

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Means over clips with usable faces, rates of tiers, chance alerts, coverage, and the rate of faces."""
        common: dict[str, Any] = {"embedder": self.options.embedder, "meaning": FIXED_WORDS}
        if measured:  # from the measurement, not the gallery: a resumed run may not have loaded one
            known = measured[0].measurement.facts
            common |= {
                "gallery": known.get("gallery", {}),
                "calibration": known.get("calibration", UNCALIBRATED),
            }
        # Not fit for a gate: a similarity has no error rate, and one match vanishes in a mean.
        facts: dict[str, Any] = {**common, "uncalibrated": True}
        if self.sources.compares:
            facts["match_point"] = self.sources.point().to_json()
        similarity, distance, alerts, reviews, solicited, chance, covered, seen = self.values
        calibrated = common.get("calibration", UNCALIBRATED) != UNCALIBRATED
        return [
            mean_of(similarity, measured, context, facts),
            mean_of(distance, measured, context, facts),
            tier_rate(alerts, measured, context, common if calibrated else facts, calibrated),
            tier_rate(reviews, measured, context, common if calibrated else facts, calibrated),
            solicited_rate(solicited, measured, context, common if calibrated else facts),
            expected_chance_alerts(chance, measured, context, common),
            coverage(covered, measured, context, common),
            face_rate(seen, measured, context),
        ]


def _faceless(faces: Features, facts: dict[str, Any], unassessed: str = "") -> Measurement:
    """Of a clip that was searched and shows no face."""
    times = tuple(float(t) for t in faces["examined_pts_s"])
    series = {"best_similarity": Series(times, (None,) * len(times), "similarity")}
    missing = dict.fromkeys(_PER_CLIP, NO_FACE)
    return Measurement(missing=missing, series=series, facts=facts, unassessed=unassessed)


def _let_go(hit: Hit, tracks: Sequence[Track], gallery: Gallery) -> dict[str, Any]:
    """A face past the point that nothing bears out: no finding, but on record."""
    track, faces = tracks[hit.track], len(hit.face_similarity)
    return {
        "entry": gallery.entries[hit.entry].entry_id,
        "similarity": hit.similarity,
        "best_similarity": hit.best_similarity,
        "track": hit.track,
        "rate": None,
        "start_s": track.start_s,
        "end_s": track.last_s,
        "reason": f"one of {faces} faces of the track is past the point, short of the strict one; no other face "
        "nor their mean is",
    }


def _people(gallery: Gallery, roles: Sequence[Role], role: Role) -> People:
    wanted = [i for i, own in enumerate(roles) if own == role]
    return People.of(wanted, gallery.templates, gallery.owners)


def _crop(faces: Features, face: int) -> bytes:
    """JPEG of an embedded face."""
    start, end = faces["crop_start"][face : face + 2]
    return faces["crop_jpeg"][start:end].tobytes()


def _clip_faces(m: Measured) -> ClipFaces:
    faces = m.features["faces"]
    if "templates" not in faces.arrays:
        raise ValueError(f"features of the faces of {m.sample.sample_id} are not finite")
    starts = faces["crop_start"]
    return ClipFaces(
        sample_id=m.sample.sample_id,
        prompt_id=m.sample.prompt_id,
        group=m.sample.group,
        clip_sha256=m.sha256,
        measurement=m.measurement,
        templates=faces["templates"],
        usable_frames=faces["usable_frames"],
        faces=faces["faces"],
        face_track=faces["face_track"],
        start_s=faces["start_s"],
        pictures=[faces["crop_jpeg"][a:b].tobytes() for a, b in pairwise(starts)],
    )


_FACE_FACTS = ("unusable", "frames_examined", "frames_failed", "failures", "smallest_face_px", "detector")


def _account(gallery: Gallery, roles: Sequence[Role], doubles: Sequence[str]) -> dict[str, Any]:
    """How many people stand in which role, and what is wrong with their pictures, or with the cohort."""
    counts = Counter(str(role) for role in roles)
    return {**counts, "pictures": len(gallery.owners), "warnings": [*gallery.warnings, *doubles]}


def _per_frame(best: NDArray[np.float64], frame: NDArray[np.intp], n: int) -> tuple[float | None, ...]:
    top = np.full(n, -np.inf)
    np.maximum.at(top, frame, best)
    return tuple(None if value == -np.inf else float(value) for value in top)
