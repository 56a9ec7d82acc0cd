"""What clips are held against in a likeness audit: embedder, point, gallery, roles of the day, and cohort."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from vgaudit import registry
from vgaudit.errors import GalleryError, UsageError, VgauditError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, published_point
from vgaudit.extractors.faces import FacesOptions, make_embedder
from vgaudit.likeness.chance import CohortCalibration
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.entries import Role
from vgaudit.likeness.findings import MatchPoint, stated_similarity
from vgaudit.likeness.gallery import Gallery, describe_gallery, load_gallery
from vgaudit.metrics.likeness_options import LikenessOptions, cohort_path, gallery_path
from vgaudit.records import digest
from vgaudit.zoo.resolve import file_sha256

_OWN_OPTIONS = LikenessOptions.model_fields.keys() - FacesOptions.model_fields.keys()


class Sources:
    """Everything a suite names for the audit, loaded on first need and once.

    Args:
        options: Of the metric.
        base_dir: What paths in them are relative to.

    Attributes:
        today: Day of the run, on which consent is looked at.

    Raises:
        GalleryError: A file that is named is not there.
    """

    def __init__(self, options: LikenessOptions, base_dir: Path) -> None:
        self.today = dt.date.today()
        self._options = options
        self._base_dir = base_dir
        self._path = gallery_path(options.gallery, base_dir)
        self._cohort_path = cohort_path(options.cohort, base_dir)
        self._gallery: Gallery | VgauditError | None = None
        self._calibration: CohortCalibration | None = None
        self._doubles: tuple[str, ...] = ()
        self._lock = threading.Lock()

    @property
    def compares(self) -> bool:
        """Whether there is a gallery."""
        return self._path is not None

    @cached_property
    def embedder(self) -> FaceEmbedder:
        """Of gallery, cohort and clips; constructed, not loaded."""
        return make_embedder(self._options.embedder, self.faces_options()["embedder_options"])

    def faces_options(self) -> dict[str, Any]:
        """Options of the extractor."""
        options = self._options.model_dump(mode="json", exclude={*_OWN_OPTIONS, "embedder_options"})
        paths = registry.load("face_embedders", self._options.embedder).path_options
        embedder_options = dict(self._options.embedder_options)
        for name in paths:
            if isinstance(value := embedder_options.get(name), str):
                embedder_options[name] = str((self._base_dir / Path(value).expanduser()).resolve())
        return {**options, "embedder_options": embedder_options}

    def point(self) -> MatchPoint:
        """Where a match begins.

        Raises:
            UsageError: There is no such point, the suite's is stricter than the published one, or its strict point
                is none.
        """
        options, embedder = self._options, self.embedder
        published = published_point(embedder.points)
        strict = next((p.similarity for p in embedder.points if p.name == "strict"), options.strict)
        known = published.similarity if published else None
        if (own := options.threshold) is not None:
            if known is not None and own > known:
                raise UsageError(_too_strict(own, known, embedder))
            stated = stated_similarity(own, embedder.measure)
            source = f"set in the suite; published: {published.stated if published else 'none'}"
            point = MatchPoint(own, stated, source, "suite", strict, known)
        elif published is not None:
            point = MatchPoint(
                published.similarity, published.stated, published.source, "published", strict, known
            )
        else:
            raise UsageError(
                f"likeness.threshold: the embedder {embedder.name!r} has no published operating point, so nothing "
                "could ever match; state `threshold:` (a similarity), or use an embedder that has one, such as dlib"
            )
        if strict is not None and strict < point.similarity:
            raise UsageError(
                f"likeness.strict: {strict:g} is not past the point where a match begins, {point.similarity:g}; "
                "expected a higher similarity, which fewer unrelated people reach"
            )
        return point

    def coherence(self) -> float:
        """Similarity under which two successive faces of a track are not one person's."""
        if (published := published_point(self.embedder.points)) is not None:
            return published.similarity  # also where the suite widens what is called a match
        return self.point().similarity if self.compares else 0.0

    def identity(self) -> Mapping[str, Any]:
        """Digests of all this, as far as it changes a number."""
        if self._path is None:
            return {"gallery": None, "embedder": self.embedder.fingerprint}
        source = describe_gallery(self._path)
        roles = [
            [entry.entry_id, entry.effective_role(self.today, self._options.use)] for entry in source.entries
        ]
        return {
            "cohort": file_sha256(self._cohort_path) if self._cohort_path else None,
            "gallery": source.digest,
            "roles": digest(roles),
            "embedder": self.embedder.fingerprint,
        }

    def gallery(self) -> Gallery | None:
        """The gallery, loaded or built; ``None`` where there is none. Whatever was wrong with it is raised again.

        Raises:
            GalleryError: It, or the cohort, is wrong, or made with another embedder.
            Unavailable: Weights are missing.
        """
        if self._path is None:
            return None
        with self._lock:
            if self._gallery is None:
                # Not the clip's detector options: a template must not depend on how clips are searched.
                detector = FaceDetector(device=self._options.device)
                try:
                    found = load_gallery(self._path, self.embedder, detector)
                    if not {"protected", "consented"} & {entry.role for entry in found.entries}:
                        raise GalleryError(
                            f"{self._path}: all {len(found.entries)} entries have role cohort, so there is nobody "
                            "to look for; expected somebody protected or consented, or `gallery: none`"
                        )
                    self._calibration = self._calibrated(found)
                    self._gallery = found
                except VgauditError as error:
                    self._gallery = error
            if isinstance(self._gallery, VgauditError):
                raise self._gallery
            return self._gallery

    @property
    def calibration(self) -> CohortCalibration | None:
        """The cohort held against the gallery, once :meth:`gallery` has loaded them; ``None`` without a cohort."""
        return self._calibration

    def roles(self, gallery: Gallery) -> list[Role]:
        """Everybody's role on the day of the run, for its use."""
        return [entry.effective_role(self.today, self._options.use) for entry in gallery.entries]

    def _calibrated(self, gallery: Gallery) -> CohortCalibration | None:
        """Against the cohort file, or the gallery's people of role ``cohort``; ``None`` where there is neither."""
        if self._cohort_path is not None:
            cohort: Cohort | None = Cohort.load(self._cohort_path, self.embedder)
        else:
            cohort = Cohort.of_gallery(gallery)
        if cohort is None:
            return None
        calibration = CohortCalibration(gallery, cohort, self.embedder)
        people = [i for i, entry in enumerate(gallery.entries) if entry.role != "cohort"]
        ids = [entry.entry_id for entry in gallery.entries]
        if both := sorted({ids[i] for i in people} & set(cohort.ids)):
            raise GalleryError(
                f"likeness.cohort: {', '.join(both[:3])} {'is' if len(both) == 1 else 'are'} in the gallery too; a "
                "cohort holds people who have nothing to do with it, or a leak of them looks like chance. Take them "
                "out of the cohort"
            )
        strict = self.point().strict
        alike = self.point().similarity if strict is None else strict
        self._doubles = tuple(calibration.doubles(people, alike))
        return calibration

    @property
    def doubles(self) -> tuple[str, ...]:
        """Sentences on people of the cohort who may be people of the gallery."""
        return self._doubles


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
