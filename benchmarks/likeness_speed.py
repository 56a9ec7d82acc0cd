"""What the face extractor saves against the plain loop, and whether it loses anybody whom that loop finds.

    python benchmarks/likeness_speed.py --data ../shared/data [--plant 300] [--seed 7] [--every 1]

The plain loop is facenet-pytorch's ``MTCNN(keep_all=True).detect`` on every frame and dlib's own network on every
face it finds. Ours is the extractor ``faces``. Both get the same decoded frames of the same clips
of FETV, as they are and with a portrait planted all along, by turns in one run; the time is the process's own, so
that other work on the machine does not count.

Then portraits are planted: three pictures of two people, none of them a picture of the gallery (``person_a/1.jpg``,
``person_b/1.jpg``), with faces 32 to 64 px wide, drifting, for 3, 8 and 16 frames, on the background and over faces
of the clip, at 10, 24 and 30 frames a second. Plain finds a track if in one frame at least a usable face there is
within L2 0.6 of the gallery; it runs our detector there, whose boxes are facenet-pytorch's own (a test says so). Ours
finds it if a compared one is. Lost is what plain finds and ours does not. The bound is exact, Clopper-Pearson, 95 %,
one-sided.

Fails where the ratio is under 4 in any group of clips, or where more than 1 % of the tracks of a length are lost.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.extractors.face_neighbours import box_overlaps
from vgaudit.extractors.face_quality import unusable_reason
from vgaudit.extractors.face_weights import DLIB_NET
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.likeness.portraits import decode_portrait
from vgaudit.video import ClipInfo, ClipReader, Frames

UInt8 = NDArray[np.uint8]

LENGTHS = (3, 8, 16)
RATES = (10.0, 24.0, 30.0)
SIZES = (32, 64)
GALLERY = ("person_a/1.jpg", "person_b/1.jpg")
PLANTED = ("person_a/2.jpg", "person_a/3.jpg", "person_b/2.jpg")
POINT = 0.6
NEEDED_RATIO = 4.0
MOST_LOST = 0.01

OPTIONS = FacesOptions()
detector, embedder, extractor = FaceDetector(), DlibEmbedder(), FacesExtractor(OPTIONS)
NET = dlib.face_recognition_model_v1(str(DLIB_NET.verified()))


@dataclass(frozen=True)
class Plant:
    """A portrait in a clip: from ``first`` for ``length`` frames, its face in the boxes ``(length, 4)``."""

    length: int
    first: int
    over: bool
    boxes: NDArray[np.float32]


def read(path: Path) -> UInt8:
    with ClipReader(path) as clip:
        return np.concatenate([block.rgb for block in clip])


def ours(clip: UInt8, fps: float) -> Any:
    n, height, width = clip.shape[:3]
    extraction = extractor.start(
        ClipInfo("clip.mp4", width, height, fps, n, n / fps, "h264", "mp4", "yuv420p")
    )
    for first in range(0, n, 16):
        part = clip[first : first + 16]
        extraction.push(Frames(part, first, (first + np.arange(len(part))) / fps))
    return extraction.finish()


def plain(clip: UInt8, mtcnn: Any) -> int:
    count = 0
    for rgb in clip:
        boxes, _, landmarks = mtcnn.detect(rgb, landmarks=True)
        if boxes is not None:
            chips = embedder.align(rgb, np.asarray(boxes, np.float32), np.asarray(landmarks, np.float32))
            for chip in chips:
                NET.compute_face_descriptor(np.ascontiguousarray(chip))
            count += len(chips)
    return count


def with_a_face(clip: UInt8, head: tuple[UInt8, Any]) -> UInt8:
    """The clip with a portrait all along, its face 48 px wide."""
    out = clip.copy()
    n, height, width = clip.shape[:3]
    _, box = head
    half = 24 * np.array([1, (box[3] - box[1]) / (box[2] - box[0])])
    middle = np.arange(n)[:, None] * [0.5, 0.1] + [0.4 * width, 0.5 * height]
    boxes = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
    plant(out, head, Plant(n, 0, False, boxes), 1.0)
    return out


def speed(paths: list[Path], data: Path) -> list[str]:
    """Times by group; what falls short. Every third clip counts once more with a portrait planted all along."""
    from facenet_pytorch import MTCNN

    mtcnn = MTCNN(keep_all=True, device="cpu").eval()
    spent: dict[str, list[list[float]]] = defaultdict(list)
    head = heads(data)[0]
    clips = [(path, False) for path in paths] + [(path, True) for path in paths[::3]]
    for path, planted in clips:
        clip = with_a_face(read(path), head) if planted else read(path)
        ours(clip[:2], 10.0)
        start = time.process_time()
        faces = plain(clip, mtcnn)
        between = time.process_time()
        found = ours(clip, 10.0)
        end = time.process_time()
        row = [
            between - start,
            end - between,
            len(clip),
            found.facts["frames_examined"],
            faces,
            found.facts["usable"],
        ]
        if planted:
            groups = ["face all along", f"  {len(clip)} frames"]
        else:
            groups = ["all", path.parent.name, f"{len(clip)} frames", "faces" if faces else "no faces"]
        for group in groups:
            spent[group].append(row)
    print("group            clips  plain s  ours s  ratio  frames examined  faces embedded (plain, ours)")
    short = []
    for group, rows in spent.items():
        a, b, frames, examined, faces, embedded = np.sum(rows, axis=0)
        print(
            f"{group:16} {len(rows):5d}  {a:7.1f}  {b:6.1f}  {a / b:5.2f}  {examined:6.0f} of {frames:6.0f}  "
            f"{faces:6.0f} {embedded:6.0f}"
        )
        if a / b < NEEDED_RATIO:
            short.append(f"{group}: {a / b:.2f} times as fast, needed {NEEDED_RATIO}")
    return short


def heads(data: Path) -> list[tuple[UInt8, NDArray[np.float32]]]:
    """The pictures to plant, and the box of the face in each."""
    out = []
    for name in PLANTED:
        rgb = decode_portrait((data / "faces" / name).read_bytes())
        out.append((rgb, detector.detect(rgb).boxes[0]))
    return out


def templates(data: Path) -> NDArray[np.float32]:
    out = []
    for name in GALLERY:
        rgb = decode_portrait((data / "faces" / name).read_bytes())
        found = detector.detect(rgb)
        out.append(embedder.embed(embedder.align(rgb, found.boxes[:1], found.landmarks[:1]))[0])
    return np.array(out)


def plant(clip: UInt8, head: tuple[UInt8, Any], at: Plant, light: float) -> None:
    """Lay a portrait over a clip, with a soft oval edge."""
    rgb, box = head
    wide = float(box[2] - box[0])
    for t, target in enumerate(at.boxes):
        scale = float(target[2] - target[0]) / wide
        move = np.array([[scale, 0, target[0] - box[0] * scale], [0, scale, target[1] - box[1] * scale]])
        size = clip.shape[2], clip.shape[1]
        soft = cv2.GaussianBlur(rgb, (0, 0), max(0.4 / scale, 0.01))
        laid = cv2.warpAffine(soft, move, size, borderMode=cv2.BORDER_REPLICATE)
        x, y = (target[0] + target[2]) / 2, (target[1] + target[3]) / 2
        w, h = target[2] - target[0], target[3] - target[1]
        mask = np.zeros(size[::-1], np.float32)
        cv2.ellipse(
            mask, (round(float(x)), round(float(y))), (round(0.75 * w), round(0.8 * h)), 0, 0, 360, 1.0, -1
        )
        mask = cv2.GaussianBlur(mask, (0, 0), 0.05 * w)[..., None]
        frame = clip[at.first + t]
        frame[:] = np.clip(np.rint(frame * (1 - mask) + laid * light * mask), 0, 255)


def places(
    clip: UInt8, own: list[Any], head: tuple[UInt8, Any], rng: Any, lengths: list[int], over: bool
) -> list[Plant]:
    """Where portraits may stand so that none meets another one."""
    n, height, width = clip.shape[:3]
    out: list[Plant] = []
    _, box = head
    shape = float((box[3] - box[1]) / (box[2] - box[0]))
    for length in lengths:
        for _ in range(30):
            if length > n:
                break
            first = int(rng.integers(0, n - length + 1))
            side = float(rng.uniform(SIZES[0], min(SIZES[1], height / 2)))
            step = rng.uniform(-1, 1, 2) * 0.8
            x, y = (rng.uniform(low, size - low) for low, size in ((0.6 * side, width), (0.8 * side, height)))
            on_face = over and not any(p.over for p in out)
            if on_face:
                faces = [f for t in range(first, first + length) for f in own[t]]
                if not faces:
                    continue
                face = faces[int(rng.integers(len(faces)))]
                side = float(np.clip(face[2] - face[0], *SIZES))
                x, y, step = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2, step * 0.2
            drift = np.arange(length)[:, None] * step + [x, y]
            half = np.array([side, side * shape]) / 2
            boxes = np.concatenate([drift - half, drift + half], axis=1).astype(np.float32)
            room = boxes + 0.4 * side * np.array([-1, -1, 1, 1], np.float32)
            inside = (boxes[:, :2] > 0).all() and (boxes[:, 2:] < [width, height]).all()
            met = any(box_overlaps(room, other.boxes).any() for other in out)
            known = not on_face and any(len(own[t]) and box_overlaps(room, own[t]).any() for t in range(n))
            if inside and not met and not known:
                out.append(Plant(length, first, on_face, boxes))
                break
    return out


def close(vectors: NDArray[np.float32], gallery: NDArray[np.float32]) -> bool:
    return bool((np.linalg.norm(vectors[:, None] - gallery[None], axis=2) <= POINT).any())


def plain_finds(clip: UInt8, at: Plant, gallery: NDArray[np.float32]) -> bool:
    for t in range(at.length):
        rgb = clip[at.first + t]
        found = detector.detect(rgb)
        here = box_overlaps(at.boxes[[t]], found.boxes)[0] >= 0.3
        for i in np.flatnonzero(here):
            reason = unusable_reason(
                rgb, found.boxes[i], found.landmarks[i], float(found.confidence[i]),
                min_side=OPTIONS.min_side, min_confidence=OPTIONS.min_confidence,
            )  # fmt: skip
            if not reason and close(
                embedder.embed(embedder.align(rgb, found.boxes[[i]], found.landmarks[[i]])), gallery
            ):
                return True
    return False


def ours_finds(faces: Any, at: Plant, gallery: NDArray[np.float32]) -> tuple[bool, int]:
    """Whether the track is found, and its embedded faces."""
    here = []
    for i in np.flatnonzero(faces["usable"]):
        t = int(faces["frame_index"][i]) - at.first
        if 0 <= t < at.length and box_overlaps(at.boxes[[t]], faces["box"][[i]])[0, 0] >= 0.3:
            here.append(i)
    return close(faces["embedding"][here], gallery), len(here)


def lost(paths: list[Path], data: Path, wanted: int, seed: int) -> list[str]:
    """The table of planted tracks; what falls short."""
    rng = np.random.default_rng(seed)
    paths = [paths[i] for i in rng.permutation(len(paths))]
    gallery, pictures = templates(data), heads(data)
    table: dict[tuple[int, float, bool], NDArray[np.int64]] = defaultdict(lambda: np.zeros(4, np.int64))
    planted: dict[int, int] = dict.fromkeys(LENGTHS, 0)
    known: dict[Path, list[Any]] = {}
    for turn in range(6 * wanted):
        lengths = [n for n in LENGTHS[::-1] if planted[n] < wanted]
        if not lengths:
            break
        path = paths[turn % len(paths)]
        clip = read(path)
        if path not in known:
            known[path] = [detector.detect(rgb).boxes for rgb in clip]
        fps, head = RATES[turn % 3], pictures[turn // 2 % 3]
        on_faces = any(len(f) for f in known[path])
        plants = places(clip, known[path], head, rng, lengths, over=on_faces)
        light = float(rng.uniform(0.8, 1.1))
        for each in plants:
            plant(clip, head, each, light)
        faces = ours(clip, fps)
        if turn % 10 == 9:
            done = sum(table.values(), np.zeros(4, np.int64))
            print(
                f"  {done[0]} planted, {done[1]} found by plain, {done[2]} by ours, {done[3]} lost",
                flush=True,
            )
        for each in plants:
            by_plain = plain_finds(clip, each, gallery)
            by_ours, count = ours_finds(faces, each, gallery)
            table[each.length, fps, each.over] += [1, by_plain, by_ours, by_plain and not by_ours]
            planted[each.length] += 1
            if by_plain and not by_ours:
                print(f"  lost: {path.parent.name}/{path.name} {each}, {count} embedded", flush=True)
    print("frames  fps  over a face  planted  plain finds  ours finds  lost")
    for (length, fps, over), row in sorted(table.items()):
        where = "yes" if over else "no"
        print(f"{length:6d}  {fps:3.0f}  {where:11}  {row[0]:7d}  {row[1]:11d}  {row[2]:10d}  {row[3]:4d}")
    short = []
    for length in LENGTHS:
        total = sum((row for key, row in table.items() if key[0] == length), np.zeros(4, np.int64))
        bound = float(beta.ppf(0.95, total[3] + 1, max(total[1] - total[3], 1)))
        print(
            f"{length} frames: {total[3]} of {total[1]} found by plain are lost; at most {bound:.2%} (95 %)"
        )
        if total[3] > MOST_LOST * total[1]:
            short.append(f"{length} frames: {total[3]} of {total[1]} lost, bound {bound:.2%}")
    return short


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--plant", type=int, default=300, help="tracks of each length")
    parser.add_argument("--every", type=int, default=1, help="time only every so many clips; 0: none")
    parser.add_argument("--seed", type=int, default=7, help="of the planting")
    args = parser.parse_args()
    for each in (detector, embedder, extractor):
        each.load()
    paths = sorted((args.data / "fetv").glob("*/*.mp4"))
    short = speed(paths[:: args.every], args.data) if args.every else []
    short += lost(paths, args.data, args.plant, args.seed) if args.plant else []
    sys.exit("\n".join(short) or 0)


if __name__ == "__main__":
    main()
