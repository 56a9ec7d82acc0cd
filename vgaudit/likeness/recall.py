"""What planted faces say about misses: each planting's fate, and recall by size, turn, light and compression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vgaudit.estimates import clopper_pearson
from vgaudit.extractors.base import Features
from vgaudit.likeness.planting import Planted

PASTED = "for pasted photographs, not for generated look-alikes"
"""Stands beside every recall of a self-test, so that no report says more."""

CONFIDENCE = 0.95

NOT_EXAMINED = "no frame with it was examined"
NOT_DETECTED = "not detected"
NOT_ALIKE = "compared, and not alike enough"
"""Why a planted face was missed; other reasons are those for which a face cannot be compared."""

SAME_PLACE = 0.3
"""Intersection over union from which on a detected face is the planted one."""


@dataclass(frozen=True)
class Trial:
    """One planting and what the audit made of it.

    Attributes:
        key: Digest of everything that went in.
        entry: Whose photograph was planted.
        photograph: Digest of the file.
        own: Whether the gallery holds that very photograph, so that the result is optimistic.
        host: Name of the clip.
        width_px: Width of the face.
        yaw_deg: Turn of the head.
        light: Name of its light.
        crf: Constant rate factor of the encoder.
        frames: Frames that hold the face.
        found: Whether that person was raised in the planted span.
        alert: Whether as an alert.
        similarity: Highest similarity of a compared face at the planted place to the person; ``None`` without any.
        missed: Why it was not found; empty if it was.
        wrong: Other people that were raised, and are not in the untouched clip.
    """

    key: str
    entry: str
    photograph: str
    own: bool
    host: str
    width_px: float
    yaw_deg: float
    light: str
    crf: int
    frames: int
    found: bool
    alert: bool = False
    similarity: float | None = None
    missed: str = ""
    wrong: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Trial:
        """From :meth:`to_json`.

        Raises:
            TypeError: Fields are missing or unknown.
        """
        return cls(**{**row, "wrong": tuple(row.get("wrong", ()))})


def planted_faces(faces: Features, planted: Planted) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Positions of the detected faces that are the planted one: in its frames, at its place."""
    at = {int(frame): i for i, frame in enumerate(planted.frame_index)}
    found = [
        i
        for i, frame in enumerate(faces["frame_index"])
        if int(frame) in at and _overlap(faces["box"][i], planted.boxes[at[int(frame)]]) >= SAME_PLACE
    ]
    return np.array(found, dtype=np.intp)


def why_missed(faces: Features, planted: Planted) -> str:
    """Where a planted face that was not raised was lost: the step that none of its frames got past."""
    if not np.isin(faces["frames_examined"], planted.frame_index).any():
        return NOT_EXAMINED
    here = planted_faces(faces, planted)
    if not len(here):
        return NOT_DETECTED
    if faces["usable"][here].any():
        return NOT_ALIKE
    return Counter(str(reason) for reason in faces["reason"][here]).most_common(1)[0][0]


@dataclass(frozen=True)
class Recall:
    """How many plantings of a kind were found.

    Attributes:
        name: Of the kind.
        n: Plantings.
        found: Found ones.
        alerts: Those of them that were alerts.
        wrong: Plantings in which somebody else was raised.
        missed: Why the others were missed, most frequent first.
    """

    name: str
    n: int
    found: int
    alerts: int
    wrong: int
    missed: Mapping[str, int]

    @classmethod
    def of(cls, name: str, trials: Sequence[Trial]) -> Recall:
        """Count."""
        missed = Counter(t.missed for t in trials if not t.found)
        return cls(
            name,
            len(trials),
            sum(t.found for t in trials),
            sum(t.alert for t in trials),
            sum(bool(t.wrong) for t in trials),
            dict(sorted(missed.items(), key=lambda item: (-item[1], item[0]))),
        )

    @property
    def value(self) -> float | None:
        """Share found."""
        return self.found / self.n if self.n else None

    @property
    def low(self) -> float | None:
        """Lower end of the exact 95 % interval (Clopper-Pearson, two-sided); plantings count as independent."""
        return clopper_pearson(self.found, self.n, CONFIDENCE)[0] if self.n else None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "recall": self.value, "low": self.low, "confidence": CONFIDENCE}


YAWS = ((0.0, 7.0), (7.0, 14.0), (14.0, 90.0))


def yaw_name(yaw_deg: float) -> str:
    """The class of turn that a planting is counted in."""
    low, high = next(pair for pair in YAWS if abs(yaw_deg) < pair[1])
    return f"yaw from {low:g}" if high == YAWS[-1][1] else f"yaw {low:g} to {high:g}"


KINDS: Mapping[str, Callable[[Trial], str]] = {
    "yaw": lambda trial: yaw_name(trial.yaw_deg),
    "light": lambda trial: trial.light,
    "crf": lambda trial: f"crf {trial.crf}",
    "entry": lambda trial: trial.entry,
    "photo": lambda trial: "the gallery's own" if trial.own else "another",
}
"""What recall is told apart by, besides size."""


def recalls(trials: Iterable[Trial], kind: Callable[[Trial], str]) -> list[Recall]:
    """Recall for each value of a kind, by name."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(kind(trial), []).append(trial)
    return [Recall.of(name, found[name]) for name in sorted(found)]


def _overlap(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Intersection over union of two boxes."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    shared = float(wide * tall)
    return shared / (_area(a) + _area(b) - shared)


def _area(box: np.ndarray[Any, Any]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
