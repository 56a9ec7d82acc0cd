"""What a suite may say of the likeness audit, and where the files that it names lie."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from vgaudit.errors import GalleryError
from vgaudit.extractors.faces import FacesOptions
from vgaudit.package_files import is_package_file, package_file

NO_GALLERY = "none"
"""In place of a gallery: faces are looked for, and that nobody was compared is said."""


class LikenessOptions(FacesOptions):
    """Options of the likeness metric: those of the faces extractor, and

    Attributes:
        gallery: Folder with a folder of pictures per person, a built gallery file, or a single picture of one
            person; relative to the suite, or package:PACKAGE/PATH, a file of an installed package. ``none``: faces
            are looked for, and nobody is compared.
        threshold: Similarity from which on a match is called (for dlib 1 - L2 distance). Needed for embedders
            without a published point; where there is one it can only widen what is called a match, and a stricter
            one is refused. Recorded with every finding.
        strict: Similarity past which a match is never cleared by its rate, and may be an alert where a cohort does
            not resolve the rate. For embedders without a published strict point; ignored where there is one.
        cohort: File of unrelated people (``vgaudit gallery calibrate``), relative to the suite. Without it, people of
            role ``cohort`` in the gallery serve; without these, results are uncalibrated.
        use: What the clips are for, such as ``ads``: consent that does not cover it protects.
        require_faces: Whether clips without a face answer nothing: ``true``, or the tags of the prompts of which this
            is true, such as ``{faces: invited}``.
    """

    gallery: str = Field(min_length=1)
    threshold: float | None = Field(default=None, ge=-1, le=1)
    strict: float | None = Field(default=None, ge=-1, le=1)
    cohort: str | None = Field(default=None, min_length=1)
    use: str | None = Field(default=None, min_length=1)
    require_faces: bool | dict[str, str] = False

    @field_validator("require_faces")
    @classmethod
    def _some_tag(cls, value: bool | dict[str, str]) -> bool | dict[str, str]:
        if value == {}:
            raise ValueError("expected true, false, or tags such as {faces: invited}, found no tag")
        return value


def gallery_path(gallery: str, base_dir: Path) -> Path | None:
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


def cohort_path(cohort: str | None, base_dir: Path) -> Path | None:
    """Where the cohort file is; ``None`` where the suite names none.

    Raises:
        GalleryError: Nothing is there.
    """
    if cohort is None:
        return None
    path = (base_dir / Path(cohort).expanduser()).resolve()
    if not path.is_file():
        raise GalleryError(
            f"likeness.cohort: {cohort!r} not found (looked at {path}); expected a file made by "
            "`vgaudit gallery calibrate`"
        )
    return path
