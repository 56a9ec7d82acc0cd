"""Which still pictures a suite means: all of a folder, or those it lists, each with its id and its digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from vgaudit.backends.animatic_moves import Move
from vgaudit.backends.animatic_pictures import check_size, find_pictures
from vgaudit.backends.base import Options
from vgaudit.backends.clip_prompts import Entry
from vgaudit.backends.clip_sources import inside
from vgaudit.backends.file_digests import sha256_file
from vgaudit.errors import MediaError, SuiteError
from vgaudit.index import prompt_id_of
from vgaudit.package_files import is_package_file, package_file
from vgaudit.video.containers import MediaLimits

Fraction = Annotated[float, Field(ge=0, le=1)]


class StillPicture(Options):
    """A picture to animate, as a suite lists it."""

    file: str = Field(
        min_length=1,
        description="Relative to the suite file; or package:PACKAGE/PATH, a file of an installed package.",
    )
    id: str | None = Field(
        None, min_length=1, max_length=120, description="Prompt id; else the file's name without ending."
    )
    prompt: str = Field("", max_length=5000, description="What the picture was made for, where it is known.")
    move: Move | None = Field(None, description="What the camera does; else one of `moves`, by seed.")
    focus: tuple[Fraction, Fraction] = Field(
        (0.5, 0.5), description="Point of interest: fractions of width and height from the top left corner."
    )


@dataclass(frozen=True)
class Still:
    """A picture with what is wanted of it.

    Attributes:
        entry: As the backends for finished clips see it.
        path: Where it lies.
        root: Folder that it may not leave; ``None`` where the suite itself says where it lies.
        move: Fixed by the suite, or ``None``.
        focus: Point of interest, as fractions.
        sha256: Of the file; empty where it may not or cannot be read or is too large, which its samples will tell.
    """

    entry: Entry
    path: Path
    root: Path | None = None
    move: Move | None = None
    focus: tuple[float, float] = (0.5, 0.5)
    sha256: str = ""

    @property
    def closed(self) -> str:
        """Why the picture may not be read, or an empty string: a link in a folder must not lead out of it."""
        return inside(self.root, self.path) if self.root else ""

    def digest(self, limits: MediaLimits) -> str:
        """What :attr:`sha256` is now; a file beyond the limits is not read for it."""
        if self.closed or not self.path.is_file():
            return ""
        try:
            check_size(self.path, self.path.stat().st_size, limits)
            return sha256_file(self.path)
        except (OSError, MediaError):
            return ""


def stills_of_folder(root: Path, pattern: str, group: str) -> tuple[list[Still], tuple[str, ...]]:
    """All pictures of a folder, and notes on what was left out.

    Raises:
        SuiteError: There is no such folder, or no picture in it.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise SuiteError(f"backend animatic: root: {root} {found}; expected a folder of pictures")
    names, notes = find_pictures(root, pattern)
    if not names:
        raise SuiteError(
            f"backend animatic: root: no picture in {root} ({'; '.join(notes) or 'it is empty'})"
        )
    stems = Counter(map(_stem, names))
    # Two files of one name and different endings are two pictures.
    ids = {name: _stem(name) if stems[_stem(name)] == 1 else name for name in names}
    return [Still(Entry(name, "", ids[name], None, group, name), root / name, root) for name in names], notes


def stills_of_list(pictures: Sequence[StillPicture], base_dir: Path, group: str) -> list[Still]:
    """The pictures a suite lists.

    Raises:
        SuiteError: One is not there, or two are called the same; all such problems are told.
        UsageError: A file of a package is not there.
    """
    stills, problems = [], []
    first: dict[str, str] = {}
    for given in pictures:
        path = (
            package_file(given.file)
            if is_package_file(given.file)
            else base_dir / Path(given.file).expanduser()
        )
        name = given.id or (
            prompt_id_of(given.prompt) if given.prompt else _stem(PurePosixPath(given.file).name)
        )
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            problems.append(f"backend animatic: pictures: expected a picture at {path}, found {found}")
        elif name in first:
            problems.append(
                f"backend animatic: pictures: {first[name]} and {given.file} are both called {name!r}; give each "
                "an `id` of its own"
            )
        first.setdefault(name, given.file)
        entry = Entry(
            given.file,
            given.prompt,
            name,
            None,
            group,
            f"picture {given.file}",
            id_given=given.id is not None,
        )
        stills.append(Still(entry, path, move=given.move, focus=given.focus))
    if problems:
        raise SuiteError(problems)
    return stills


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
