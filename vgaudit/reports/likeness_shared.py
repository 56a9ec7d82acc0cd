"""What a page that is passed on shows of clips, and what was checked of it, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgaudit.reports import numbers
from vgaudit.reports.likeness_pictures import PictureCheck

CLIPS, CHECKED = "blurred", "checked.json"
"""Folder with the clips, and what was checked of them, beside the page."""

MISSES = (
    "Detectors miss faces, above all small, turned, dark or half hidden ones, and a person can be known by hair, "
    "clothes, written words or the place. Look through every clip before you pass it on."
)


@dataclass(frozen=True)
class SharedClip:
    """A clip of a hit with every face covered, or why there is none.

    Attributes:
        video: File name in the folder of clips; empty where it was left out.
        poster: File name of a picture of it; empty without one.
        words: What was checked, or why it was left out; one sentence, ready to print.
        facts: The numbers, for the file beside the page.
    """

    video: str = ""
    poster: str = ""
    words: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SharedMedia:
    """Clips for a page that is passed on, made and checked by whoever has detectors.

    Attributes:
        folder: Where the files lie now; they are copied beside the page.
        clips: Sample id -> its clip.
        check: For the pictures; nothing where models are missing.
        unchecked: Why pictures are not checked, or empty.
        method: What was checked with, for the file beside the page.
    """

    folder: Path
    clips: Mapping[str, SharedClip]
    check: PictureCheck | None
    unchecked: str = ""
    method: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """Names of all files."""
        return {name for clip in self.clips.values() for name in (clip.video, clip.poster) if name}

    def words(self, pictures: Mapping[str, int]) -> list[str]:
        """Sentences on what was checked.

        Args:
            pictures: Counts of :class:`~vgaudit.reports.likeness_pictures.MosaicFolder`.
        """
        shared = [clip for clip in self.clips.values() if clip.video]
        frames = sum(int(clip.facts.get("frames", 0)) for clip in shared)
        checked = (
            f"Checked: no face found by our detector in {frames:,} frames of the finished files; "
            "what a lower threshold still takes for one is neither fit to be compared nor alike. "
            if shared
            else ""
        )
        out = [
            f"{len(shared)} of {numbers.count(len(self.clips), 'clip')} with a hit on a card "
            f"{'is' if len(shared) == 1 else 'are'} part of it, without sound and with every face covered that our "
            "detector finds, at a lower threshold than for the audit, in any frame. " + checked + MISSES
        ]
        if self.check is None:
            out.append(f"The pictures of faces were not checked by our detector: {self.unchecked}.")
        else:
            out.append(
                f"{numbers.count(pictures['pictures'], 'picture')} of faces checked: none that is shown is as near "
                "to its source, or to anybody in the gallery, as faces that the audit calls a match. "
                f"For that {pictures['coarser']} were made coarser and {pictures['left_out']} left out."
            )
        return out

    def to_json(self, pictures: Mapping[str, int], numbers_of: Mapping[str, int]) -> str:
        """What was checked, as text for the file beside the page; no id of a sample or an entry.

        Args:
            pictures: As for :meth:`words`.
            numbers_of: Sample id -> number of the clip on the page.
        """
        clips = [
            {
                "clip": numbers_of[sample],
                **({"file": clip.video} if clip.video else {"left_out": clip.words}),
                **clip.facts,
            }
            for sample, clip in sorted(self.clips.items(), key=lambda item: numbers_of[item[0]])
        ]
        told = {
            "method": dict(self.method),
            "clips": clips,
            "pictures": dict(pictures) if self.check is not None else {"unchecked": self.unchecked},
            "limits": MISSES,
        }
        return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
