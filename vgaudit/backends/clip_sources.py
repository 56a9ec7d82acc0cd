"""Clips that others made: what counts as one on disk, how a folder is searched, how one is handed on.

A clip is a media file, a folder of frames (images only), or an array file (``.npy``, ``.npz``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from vgaudit.backends.base import Generated, GenerationOutcome
from vgaudit.errors import MediaError, SuiteError
from vgaudit.video.containers import MediaLimits
from vgaudit.video.frame_sources import natural_order, read_array, read_frame_folder

MEDIA_SUFFIXES = frozenset(
    [
        *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"),
        # These cannot all be decoded; as clips they fail with a reason instead of being overlooked.
        *(".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".m2ts", ".3gp", ".ogv"),
    ]
)
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])
ARRAY_SUFFIXES = frozenset([".npy", ".npz"])

Kind = Literal["media", "frames", "array"]


def kind_of(path: Path) -> Kind | None:
    """What ``path`` would be as a clip, by name and by being a folder; ``None`` when it cannot be one."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "frames"
    if suffix in MEDIA_SUFFIXES:
        return "media"
    return "array" if suffix in ARRAY_SUFFIXES else None


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        clips: Paths relative to the folder, with ``/``, in natural order (``9.mp4`` before ``10.mp4``).
        kinds: Kind of each clip.
        notes: What was left out, and why.
    """

    clips: tuple[str, ...]
    kinds: tuple[Kind, ...]
    notes: tuple[str, ...]


@dataclass
class _Search:
    clips: dict[str, Kind] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def find_clips(root: Path, pattern: str = "*") -> Found:
    """All clips below ``root``, sub-folders included; hidden files and folders are left out.

    So are run directories: they hold copies of clips that were scored before, and a second search of the same
    folder must find what the first one found.

    Args:
        root: The folder.
        pattern: Shell pattern on the relative path; ``*`` also matches ``/``.

    Raises:
        SuiteError: A clip's name is not UTF-8, so that no record could name it.
    """
    search = _Search()
    for folder, subfolders, names in os.walk(root):
        seen = sorted(s for s in subfolders if not s.startswith("."))
        runs = [s for s in seen if _is_run(Path(folder, s))]
        search.runs += [Path(folder, s).relative_to(root).as_posix() for s in runs]
        subfolders[:] = [s for s in seen if s not in runs]
        _visit(root, Path(folder), subfolders, [n for n in names if not n.startswith(".")], search)
    kept = sorted((c for c in search.clips if fnmatch(c, pattern)), key=natural_order)
    if odd := [c for c in kept if not _is_text(c)]:
        raise SuiteError(f"{root}: {len(odd)} clips have names that are not UTF-8; rename them ({odd[0]!r})")
    notes = _note("not clips", search.ignored) + _note("linked folders, not followed", search.links)
    if not kept:  # the reason for finding nothing; otherwise a report would speak of the folder it lies in
        notes += _note("run directories, not searched", search.runs)
    return Found(tuple(kept), tuple(search.clips[c] for c in kept), notes)


def _is_run(folder: Path) -> bool:
    """Whether a run wrote ``folder``: one of its two files alone may be anybody's."""
    return (folder / "manifest.json").is_file() and (folder / "plan.jsonl").is_file()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _visit(root: Path, folder: Path, subfolders: list[str], names: list[str], search: _Search) -> None:
    def relative(name: str) -> str:
        return (folder / name).relative_to(root).as_posix()

    links = [s for s in subfolders if (folder / s).is_symlink()]
    search.links += map(relative, links)
    subfolders[:] = [s for s in subfolders if s not in links]
    images = [n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES]
    kinds = {n: k for n in names if (k := kind_of(folder / n)) in ("media", "array")}
    if images and not kinds and not subfolders and folder != root:
        search.clips[folder.relative_to(root).as_posix()] = "frames"
        search.ignored += [relative(n) for n in names if n not in images]
        return
    for name in names:
        if kind := kinds.get(name):
            search.clips[relative(name)] = kind
        else:
            search.ignored.append(relative(name))


def _note(what: str, paths: list[str]) -> tuple[str, ...]:
    if not paths:
        return ()
    shown = ", ".join(sorted(paths, key=natural_order)[:5])
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return (f"{what}: {shown}{more}",)


def inside(root: Path, path: Path) -> str:
    """Why ``path`` may not be read as a clip below ``root``, or an empty string; links are resolved."""
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        return "file not found"
    except (OSError, RuntimeError) as error:
        return f"cannot be reached: {error}"
    if not real.is_relative_to(root.resolve()):
        return "is a link that leaves the root; copy the clip into it, or make the root wider"
    if not (real.is_file() or real.is_dir()):
        return "is neither a file nor a folder"
    return ""


def hand_on(answer: Generated, path: Path, fps: float | None, limits: MediaLimits) -> Generated:
    """``answer`` with the clip at ``path``: media by path, frames and arrays as exact frames.

    An unreadable source becomes outcome ``error``.
    """
    kind = kind_of(path)
    if kind is None:
        expected = "a media file, a folder of frames, .npy or .npz"
        return failed(answer, f"{path.name}: expected {expected}, found {path.suffix or 'no extension'!r}")
    if kind == "media":
        return replace(answer, path=path.resolve())
    if fps is None:
        return failed(answer, f"{path.name}: {FPS_NEEDED}")
    try:
        frames = read_array(path, limits) if kind == "array" else read_frame_folder(path, limits)[0]
    except (MediaError, OSError) as error:
        return failed(answer, str(error))
    return replace(answer, frames=frames, fps=fps, exact=True)


FPS_NEEDED = "frames and arrays carry no frame rate; set `fps` on the backend or `fps` under `video`"


def failed(answer: Generated, message: str) -> Generated:
    """``answer`` as outcome ``error``."""
    return replace(
        answer,
        outcome=GenerationOutcome.ERROR,
        frames=None,
        fps=None,
        path=None,
        exact=False,
        message=message,
    )
