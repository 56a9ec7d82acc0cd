"""Where in a clip somebody could hide: faces nobody could compare, and frames nobody could search.

One face that can be compared says nothing of another. So faces are linked over examined frames, and a face that
could not be compared is accounted for only by one that could: the same face a moment earlier or later, or the
same place in the same frame. What is left over is told, with its time and place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_neighbours import SAME_FACE_IOU, SURE_CONFIDENCE, box_overlaps
from vgaudit.extractors.face_tracks import LINK_FRAMES, REACH_S, link_faces

__all__ = ["Assessability", "Stretch", "accounted_for", "assess", "likely_faces", "link_faces", "runs"]

LONE_CONFIDENCE = 0.8
"""Detection confidence from which on a face is believed that shows in one examined frame only.

On 89 clips of the FETV benchmark 15 detections fall under it: ten in rabbits, bees, clouds, smoke and cliffs, and
five in three clips of people, all of them beside surer detections.
"""


@dataclass(frozen=True)
class Stretch:
    """Consecutive examined frames with faces (all, or those not compared), or that could not be searched.

    Attributes:
        first: Position of its first frame among the examined frames.
        last: Position of its last.
        reasons: Why faces could not be compared, and how many; empty where the frames could not be searched.
        faces: Positions in the features of the largest face of each track, largest first; likewise empty.
    """

    first: int
    last: int
    reasons: Mapping[str, int]
    faces: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """Examined frames in it."""
        return self.last - self.first + 1

    @property
    def why(self) -> str:
        """``2 x blurred, 1 x too small``."""
        return ", ".join(f"{count} x {reason}" for reason, count in self.reasons.items())


@dataclass(frozen=True)
class Assessability:
    """What of a clip could not be assessed.

    Attributes:
        examined: Frames examined.
        failed: Those that could not be searched.
        failures: Why, in the extractor's words.
        faces: Detections taken for faces.
        compared: Those that could be compared.
        doubtful: Detections taken for none (:func:`likely_faces`).
        seen: When faces were seen, whether or not they could be compared.
        uncompared: When faces were seen that nothing accounts for.
        unsearched: When frames could not be searched.
    """

    examined: int
    failed: int
    failures: tuple[str, ...]
    faces: int
    compared: int
    doubtful: int
    seen: tuple[Stretch, ...]
    uncompared: tuple[Stretch, ...]
    unsearched: tuple[Stretch, ...]

    @property
    def reason(self) -> str:
        """Why the clip is not assessed, or an empty text: every frame was searched, every face accounted for."""
        reasons = []
        if not self.examined:
            reasons.append("no frame was examined")
        if self.uncompared:
            counts = sum((Counter(stretch.reasons) for stretch in self.uncompared), Counter[str]())
            why = ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))
            number = "face" if self.faces == 1 else "faces"
            if self.compared:
                missed = f"{counts.total()} of {self.faces} {number} seen could not be compared, nor any"
                reasons.append(f"{missed} that would stand for them ({why})")
            else:
                reasons.append(f"none of {self.faces} {number} seen can be compared ({why})")
        if self.failed:
            why = "; ".join(self.failures)
            reasons.append(f"{self.failed} of {self.examined} frames could not be searched for faces ({why})")
        return "; ".join(reasons)


def accounted_for(
    compared: NDArray[np.bool_],
    frame: NDArray[np.intp],
    pts_s: NDArray[np.float64],
    boxes: NDArray[np.float32],
    track: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Faces ``(f,)`` that are ``compared``, or that one which is stands for; other arguments as in the features."""
    done = compared.copy()
    those = np.flatnonzero(compared)
    for face in np.flatnonzero(~compared):
        near = (track[those] == track[face]) & (np.abs(pts_s[those] - pts_s[face]) <= REACH_S)
        there = those[frame[those] == frame[face]]
        done[face] = near.any() or (box_overlaps(boxes[[face]], boxes[there]) >= SAME_FACE_IOU).any()
    return done


def runs(positions: NDArray[np.intp], gap: int) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers at most ``gap`` apart."""
    unique = np.unique(positions)
    if len(unique):
        edges = np.flatnonzero(np.diff(unique) > gap)
        yield from zip(unique[np.r_[0, edges + 1]].tolist(), unique[np.r_[edges, -1]].tolist(), strict=True)


def likely_faces(
    confidence: NDArray[np.float32],
    frame: NDArray[np.intp],
    track: NDArray[np.intp],
    beside: NDArray[np.bool_],
    compared: NDArray[np.bool_],
    searched: int,
) -> NDArray[np.bool_]:
    """Detections ``(f,)`` that are to be taken for faces whether or not they can be compared.

    The detector also sees faces in rabbits and smoke: unsurely, and in a single frame. A detection that no
    neighbouring examined frame shows again is taken for none if it is below :data:`LONE_CONFIDENCE`, and if nothing
    says that the clip shows people: a face that is compared, one seen in two examined frames, one with
    ``SURE_CONFIDENCE``, one that the frame right before or after shows too, or :data:`LONE_CONFIDENCE` in two
    examined frames, wherever.

    Args:
        confidence: ``(f,)`` in [0, 1].
        frame: ``(f,)``: position of each one's frame among the examined frames.
        track: ``(f,)``: which are one face over time.
        beside: ``(f,)``: the frame before or after shows it too, or was not looked into.
        compared: ``(f,)``: is compared with a gallery.
        searched: Examined frames that could be searched.
    """
    seen_again = np.bincount(track, minlength=1)[track] > 1
    alone = confidence >= LONE_CONFIDENCE
    certain = (
        compared.any()
        or seen_again.any()
        or (alone & (beside | (confidence >= SURE_CONFIDENCE))).any()
        or len(np.unique(frame[alone])) > 1
        or searched < 2
    )
    if not certain:
        return np.zeros(len(confidence), bool)
    likely: NDArray[np.bool_] = alone | seen_again | compared | (searched < 2)
    return likely


def assess(faces: Features, compare: bool = True) -> Assessability:
    """What of a clip could not be assessed, from the ``faces`` features.

    Args:
        faces: Features of the extractor ``faces``.
        compare: There is a gallery: whatever can be compared is compared, and counts as a face.
    """
    examined, failed = faces["frames_examined"], faces["frames_failed"]
    frame = np.searchsorted(examined, faces["frame_index"])
    boxes, usable = faces["box"], faces["usable"]
    track = faces["track"].astype(np.intp) if "track" in faces.arrays else link_faces(frame, boxes)
    compared = usable if compare else np.zeros_like(usable)
    searched = len(examined) - len(failed)
    likely = likely_faces(faces["confidence"], frame, track, faces["beside"], compared, searched)
    left = np.flatnonzero(likely & ~accounted_for(usable, frame, faces["pts_s"], boxes, track))
    return Assessability(
        examined=len(examined),
        failed=len(failed),
        failures=tuple(faces.facts.get("failures", ())),
        faces=int(likely.sum()),
        compared=int((usable & likely).sum()),
        doubtful=int((~likely).sum()),
        seen=tuple(_stretches(np.flatnonzero(likely), frame, track, faces)),
        uncompared=tuple(_stretches(left, frame, track, faces)),
        unsearched=tuple(
            Stretch(first, last, {}) for first, last in runs(np.searchsorted(examined, failed), 1)
        ),
    )


def _stretches(
    which: NDArray[np.intp], frame: NDArray[np.intp], track: NDArray[np.intp], faces: Features
) -> Iterator[Stretch]:
    """Examined frames that the faces ``which``, ``(n,)`` positions in the features, show in."""
    boxes = faces["box"]
    for first, last in runs(frame[which], LINK_FRAMES):
        inside = which[(frame[which] >= first) & (frame[which] <= last)]
        counts = Counter(str(reason) for reason in faces["reason"][inside] if reason)
        size = (boxes[inside, 2] - boxes[inside, 0]) * (boxes[inside, 3] - boxes[inside, 1])
        largest_first = inside[np.argsort(-size, kind="stable")]
        shown = {int(track[face]): int(face) for face in largest_first[::-1]}  # the largest of a track stays
        people = sorted(shown.values(), key=largest_first.tolist().index)
        yield Stretch(first, last, dict(sorted(counts.items())), tuple(people))
