"""Pictures of the likeness page: faces of the run as they are, or coarsened beyond recognition; gallery photographs.

A picture that is shared keeps at most 8 x 8 colours: what is not in the file cannot be recovered from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from vgaudit.reports.media import MediaFile, MediaFolder

Photographs: TypeAlias = Mapping[str, Sequence[tuple[bytes, str]]]
"""Entry id -> its photographs: bytes of a picture file and the SHA-256 that the gallery states for them."""

PictureCheck: TypeAlias = Callable[[Path, bytes], bool]
"""Whether a mosaic (PNG) of a picture file is so far from it that nobody is told by it."""

MOSAIC_CELLS = 8
"""Cells along the longer side of a shared picture."""

COARSER_CELLS = (5, 3)
"""Tried in turn where a check says that somebody could still be told."""

PHOTOGRAPHS_SHOWN = 3
_MOSAIC_SIDE = 96
_KINDS = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"GIF8", ".gif"))


@dataclass(frozen=True)
class Photograph:
    """A photograph of a gallery entry beside a hit, or why it is not shown."""

    file: MediaFile
    sha256: str


def mosaic(picture: Path, along: int = MOSAIC_CELLS) -> bytes:
    """``picture`` as PNG of at most ``along`` x ``along`` flat cells, and nothing else of the file.

    Raises:
        OSError: It is no picture that Pillow reads, or one of more pixels than Pillow agrees to decode.
    """
    from PIL import Image

    try:
        with Image.open(picture) as opened:
            image = opened.convert("RGB")
    except (Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise OSError(f"{picture}: expected a picture, found {error}") from error
    longer = max(image.size)
    cells = tuple(max(1, round(along * side / longer)) for side in image.size)
    coarse = image.resize((cells[0], cells[1]), Image.Resampling.BOX)
    scale = _MOSAIC_SIDE // along
    shown = coarse.resize((cells[0] * scale, cells[1] * scale), Image.Resampling.NEAREST)
    out = BytesIO()
    shown.save(out, "PNG", optimize=True)
    return out.getvalue()


class MosaicFolder(MediaFolder):
    """Pictures for anybody: coarsened; a clip is refused.

    Args:
        run_dir: Where pictures come from.
        folder: Where they go.
        check: Says of each whether it may be shared; without, nothing is asked.

    Attributes:
        checked: Pictures that were asked about, those that had to be coarser, and those left out.
    """

    def __init__(self, run_dir: Path, folder: Path, check: PictureCheck | None = None) -> None:
        super().__init__(run_dir, folder)
        self._check = check
        self.checked = {"pictures": 0, "coarser": 0, "left_out": 0}

    def add(self, relative: str | None, stem: str) -> MediaFile:
        """Write the mosaic of a picture of the run as ``<stem>.png``."""
        found = self.find(relative)
        if isinstance(found, MediaFile):
            return found
        source, kind = found
        if kind != "image":
            return MediaFile(problem="clips are not part of a shared report")
        try:
            return self._coarsened(source, f"{stem}.png")
        except OSError:
            return MediaFile(problem="the picture cannot be read")

    def _coarsened(self, source: Path, name: str) -> MediaFile:
        data = mosaic(source)
        if self._check is None:
            return self.write(name, data)
        self.checked["pictures"] += 1
        if self._check(source, data):
            return self.write(name, data)
        for cells in COARSER_CELLS:
            data = mosaic(source, cells)
            if self._check(source, data):
                self.checked["coarser"] += 1
                return self.write(name, data)
        self.checked["left_out"] += 1
        return MediaFile(problem="our embedder could still tell the face by it")


class PhotographCase:
    """Photographs of entries, written once each, and the record of which were shown."""

    def __init__(self, photos: Photographs | None, folder: MediaFolder) -> None:
        self._photos = photos or {}
        self.folder = folder
        self._views: dict[str, tuple[Photograph, ...]] = {}

    @property
    def given(self) -> bool:
        """Whether there are photographs at all."""
        return bool(self._photos)

    @property
    def shown(self) -> dict[str, list[str]]:
        """Entry id -> SHA-256 of each photograph that the page shows."""
        return {entry: [v.sha256 for v in views if v.file] for entry, views in self._views.items()}

    def of(self, entry: str) -> tuple[Photograph, ...]:
        """The first photographs of an entry. One whose bytes are not those that the gallery names is not shown."""
        if entry not in self._views:
            few = list(self._photos.get(entry, ()))[:PHOTOGRAPHS_SHOWN]
            self._views[entry] = tuple(self._view(data, stated) for data, stated in few)
        return self._views[entry]

    def _view(self, data: bytes, stated: str) -> Photograph:
        found = sha256(data).hexdigest()
        if found != stated:
            return Photograph(MediaFile(problem="its bytes are not those the gallery was built from"), found)
        suffix = next((end for start, end in _KINDS if data.startswith(start)), "")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            suffix = ".webp"
        if not suffix:
            return Photograph(MediaFile(problem="it is no JPEG, PNG, WebP or GIF"), found)
        return Photograph(self.folder.write(f"photograph-{found[:32]}{suffix}", data, 0o600), found)
