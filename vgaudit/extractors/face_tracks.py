"""Faces over time: which are one face, and where a face changes so much that the frames in between are worth a look.

Boxes that overlap from one examined frame to the next are one face over time. Overlap alone does not tell a person
from somebody laid over them, so successive faces are also compared by what they look like: small pictures of them,
aligned by the landmarks. That knows no people and decides nothing of them: every face that can be compared is
embedded. It tells where more frames should be examined.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_neighbours import SAME_FACE_IOU, box_overlaps

LINK_FRAMES = 2
"""A face is looked for in this many examined frames after the one it was last seen in."""

REACH_S = 1.0
"""Seconds from a face that could be compared within which it accounts for its track's other faces.

A head turns away and back within that time; much later it may be somebody else at the same place, past a cut.
"""

SAME_LOOK = 0.7
"""Correlation under which the pictures of two faces are taken for a change."""

FEWEST_COMPARED = 3
"""Faces of a track that can be compared, under which the frames in between are examined too."""

LOOK_SIDE = 32
_PLACES = np.array([[10.5, 11.5], [21.5, 11.5], [16, 17.5], [11.5, 23], [20.5, 23]])  # of the landmarks in it

Ints = NDArray[np.intp]


def matched(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Which boxes of ``(n, 4)`` and ``(m, 4)`` are one face: pairs, those that overlap most first, each box once."""
    overlaps = box_overlaps(a, b)
    rows: set[int] = set()
    columns: set[int] = set()
    for pair in np.argsort(-overlaps, axis=None, kind="stable"):
        row, column = (int(i) for i in np.unravel_index(pair, overlaps.shape))
        if overlaps[row, column] < SAME_FACE_IOU:
            return
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            yield row, column


def link_faces(frame: NDArray[np.intp], boxes: NDArray[np.float32], reach: int = LINK_FRAMES) -> Ints:
    """Which faces are one face over time: the track's number of each, ``(f,)``.

    Greedy: of all pairs of a face and a track's last box, the one that overlaps most is linked first.

    Args:
        frame: ``(f,)``, ascending: position of each face's frame among the examined ones, or its number in the clip.
        boxes: ``(f, 4)``.
        reach: How far a face is looked for after it was last seen, in the numbers of ``frame``.
    """
    track = np.full(len(frame), -1, np.intp)
    last: dict[int, int] = {}  # track -> its latest face
    for position in np.unique(frame):
        here = np.flatnonzero(frame == position)
        alive = [(t, face) for t, face in last.items() if position - frame[face] <= reach]
        for row, column in matched(boxes[here], boxes[[face for _, face in alive]]):
            track[here[row]] = alive[column][0]
        for face in here:
            if track[face] < 0:
                track[face] = len(last)
            last[int(track[face])] = int(face)
    return track


def look(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """A face as a small picture, ``(LOOK_SIDE**2,)`` float32: turned upright by its landmarks, mean 0 and norm 1.

    Args:
        rgb: uint8 ``(height, width, 3)``, the whole frame.
        landmarks: ``(5, 2)``. Where they all coincide the picture is zero, and like no other.
    """
    points = landmarks.astype(np.float64) @ [1, 1j]
    places = _PLACES @ [1, 1j]
    middle, goal = points.mean(), places.mean()
    spread = float((abs(points - middle) ** 2).sum())
    if spread <= 0 or not np.isfinite(spread):
        return np.zeros(LOOK_SIDE**2, np.float32)
    back = spread / ((points - middle).conj() * (places - goal)).sum()  # from the small picture to the frame
    shrink = abs(back)
    reach = 1.5 * LOOK_SIDE * shrink
    height, width = rgb.shape[:2]
    x0, y0 = (int(np.clip(v - reach, 0, n - 1)) for v, n in ((middle.real, width), (middle.imag, height)))
    x1, y1 = (
        int(np.clip(v + reach, e + 1, n)) for v, e, n in ((middle.real, x0, width), (middle.imag, y0, height))
    )
    luma = cv2.cvtColor(np.ascontiguousarray(rgb[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    if shrink > 1:
        luma = cv2.blur(luma, (round(shrink), round(shrink)))
    origin = middle - back * goal - complex(x0, y0)
    matrix = np.array([[back.real, -back.imag, origin.real], [back.imag, back.real, origin.imag]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(luma, matrix, (LOOK_SIDE, LOOK_SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    picture = small.astype(np.float32).ravel()
    picture -= picture.mean()
    norm = float(np.linalg.norm(picture))
    out: NDArray[np.float32] = picture / norm if norm > 0 else picture
    return out
