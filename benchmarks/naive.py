"""The plain way to get the same numbers: one loop per metric over the obvious libraries.

    python benchmarks/naive.py --root CLIPS --index CLIPS/index.csv --gallery FACES --out naive.json

Frozen: written from the definitions in ``docs/metrics``, imports nothing of vgaudit, and is changed only when a
definition is. It is the yardstick for two things: our numbers must equal these, and the time it takes stands
beside ours. Each loop decodes every clip again and computes what it needs, as one does when metrics are separate
scripts; libraries use as many threads as they like.

Writes JSON: ``values`` (metric -> path in the index -> number or null), ``seconds`` (metric -> wall time).
"""

import argparse
import csv
import json
import statistics
import time
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

# -- reading ---------------------------------------------------------------------------------------


def read_clip(path):
    """All frames as uint8 (T, H, W, 3) RGB, and seconds from the first frame."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
    return np.array(frames), np.array([t - times[0] for t in times])


def shrink(image, side):
    """Scaled down to a short side of ``side``, never up."""
    height, width = image.shape[:2]
    short = min(height, width)
    if short <= side:
        return image
    size = tuple((2 * n * side + short) // (2 * short) for n in (width, height))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def small_luma(frames):
    return [shrink(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 256) for frame in frames]


def frame_differences(frames):
    return [np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(frames)]


def dis_flow(first, second):
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(first, second, None)


# -- temporal --------------------------------------------------------------------------------------


def temporal_flickering(path):
    frames, _ = read_clip(path)
    return (255 - np.mean(frame_differences(frames))) / 255


def warp_error(path):
    frames, _ = read_clip(path)
    errors = []
    for first, second in pairwise(small_luma(frames)):
        forward, backward = dis_flow(first, second), dis_flow(second, first)
        height, width = first.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x, y = x + forward[..., 0], y + forward[..., 1]
        back = cv2.remap(backward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        warped = cv2.remap(second.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mismatch = ((forward + back) ** 2).sum(2)
        occluded = mismatch > 0.01 * ((forward**2).sum(2) + (back**2).sum(2)) + 0.5
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        visible = inside & ~occluded
        if visible.any():
            errors.append(np.abs(first.astype(np.float64) - warped)[visible].mean() / 255)
    return np.mean(errors) if errors else None


def motion(path):
    frames, times = read_clip(path)
    total = 0.0
    for first, second in pairwise(small_luma(frames)):
        lengths = np.sort(np.linalg.norm(dis_flow(first, second), axis=2).astype(np.float64).ravel())
        total += lengths[-max(1, round(0.05 * lengths.size)) :].mean() / min(first.shape)
    return total / (times[-1] - times[0])


def moving_pairs(differences):
    """Three in a row over 0.3, or over 1.5 and no pulse of a key frame: one or two pairs, up to 8, 8 pairs apart."""
    moving = set()
    for index in range(len(differences) - 2):
        if min(differences[index : index + 3]) > 0.3:
            moving |= {index, index + 1, index + 2}
    bursts = []
    for index, difference in enumerate(differences):
        if difference > 1.5:
            if bursts and bursts[-1][-1] == index - 1:
                bursts[-1].append(index)
            else:
                bursts.append([index])
    for burst in bursts:
        others = [i for other in bursts if other is not burst for i in other]
        alone = all(abs(i - j) >= 8 for i in burst for j in others)
        if len(burst) > 2 or max(differences[i] for i in burst) > 8 or not alone:
            moving.update(burst)
    return sorted(moving)


def freeze_fraction(path):
    frames, times = read_clip(path)
    return frozen_share(frame_differences(frames), times)


def frozen_share(differences, times):
    moving = [differences[i] for i in moving_pairs(differences)]
    if len(moving) < 2:
        return None
    tolerance = min(0.5, 0.1 * statistics.median(moving))
    runs, length = [], 1
    for difference in differences:
        if difference <= tolerance:
            length += 1
        else:
            runs.append(length)
            length = 1
    runs.append(length)
    rhythm = int(statistics.median(runs))
    if rhythm * statistics.median(np.diff(times)) > 0.17:
        rhythm = 1
    frozen = [run for run in runs if run >= max(3, 2 * rhythm + 1)]
    return sum(run - 1 for run in frozen) / len(differences)


# -- likeness --------------------------------------------------------------------------------------


class Faces:
    """MTCNN of facenet-pytorch, dlib's 5-point alignment and 128 numbers a face."""

    def __init__(self):
        import dlib
        from facenet_pytorch import MTCNN

        models = Path(distribution("face-recognition-models").locate_file("face_recognition_models/models"))
        self.dlib = dlib
        self.mtcnn = MTCNN(keep_all=True, min_face_size=20).eval()
        self.predictor = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self.net = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def detect(self, image):
        """(box, landmarks, confidence) of each face, largest first."""
        small = shrink(image, 720)
        try:
            found = self.mtcnn.detect(small, landmarks=True)
            border = 0
        except (RuntimeError, IndexError, ValueError):  # a candidate outside of the frame breaks it
            border = max(small.shape[:2]) // 2
            wide = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
            found = self.mtcnn.detect(wide, landmarks=True)
        if found[0] is None:
            return []
        scale = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
        faces = [
            ((box - border) * np.tile(scale, 2), (points - border) * scale, float(sure))
            for box, sure, points in zip(*found, strict=True)
        ]
        return sorted(faces, key=lambda face: -(face[0][2] - face[0][0]) * (face[0][3] - face[0][1]))

    def descriptor(self, image, box):
        left, top, right, bottom = box
        half, x, y = (right - left + bottom - top) / 4, (left + right) / 2, (top + bottom) / 2
        square = self.dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
        chip = self.dlib.get_face_chip(image, self.predictor(image, square), size=150, padding=0.25)
        return np.array(self.net.compute_face_descriptor(chip))


def usable(image, box, points, sure):
    """Sure, 24 pixels or more, whole, not in profile, with contrast and detail."""
    if sure < 0.9 or min(box[2] - box[0], box[3] - box[1]) < 24:
        return False
    height, width = image.shape[:2]
    if (points < 0).any() or (points[:, 0] >= width).any() or (points[:, 1] >= height).any():
        return False
    eyes, nose = points[1] - points[0], points[2] - points[0]
    if not 0 <= nose @ eyes / (eyes @ eyes) <= 1:
        return False
    left, top, right, bottom = (int(v) for v in np.clip(box, 0, [width, height, width, height]))
    luma = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    if luma.std() < 6:
        return False
    how = cv2.INTER_AREA if min(luma.shape) >= 56 else cv2.INTER_CUBIC
    face = cv2.resize(luma, (56, 56), interpolation=how).astype(np.float32)
    coarse = cv2.resize(face, (20, 20), interpolation=cv2.INTER_AREA)
    lost = face - cv2.resize(coarse, (56, 56), interpolation=cv2.INTER_CUBIC)
    return bool((lost**2).mean() / face.var() >= 0.008)


def examined_frames(times):
    """At least four frames a second and eight a clip, first and last included."""
    chosen, due = [], 0.0
    for index, seconds in enumerate(times):
        if not chosen or seconds >= due or index - chosen[-1] >= 30:
            chosen.append(index)
            while due <= seconds:
                due += 0.25
    if chosen[-1] != len(times) - 1:
        chosen.append(len(times) - 1)
    while len(chosen) < min(8, len(times)):
        spare = [i for i in range(len(times)) if i not in chosen]
        chosen.append(max(spare, key=lambda i: (min(abs(i - c) for c in chosen), -i)))
    return sorted(chosen)


def gallery_descriptors(faces, folder):
    from PIL import Image, ImageOps

    known = []
    for path in sorted(Path(folder).glob("*/*.jpg")):
        image = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        sure = [face for face in faces.detect(image) if face[2] >= 0.9]
        if sure and usable(image, *sure[0]):
            known.append(faces.descriptor(image, sure[0][0]))
    return np.array(known)


def best_distance(faces, known, path):
    frames, times = read_clip(path)
    best = None
    for index in examined_frames(times):
        for box, points, sure in faces.detect(frames[index]):
            if usable(frames[index], box, points, sure):
                found = faces.descriptor(frames[index], box)
                nearest = float(np.linalg.norm(known - found, axis=1).min())
                best = nearest if best is None else min(best, nearest)
    return best


# -- all clips -------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=Path, required=True, help="folder the paths of the index are relative to"
    )
    parser.add_argument("--index", type=Path, required=True, help="CSV with a column `path`")
    parser.add_argument("--gallery", type=Path, help="folder with a folder of portraits per person")
    parser.add_argument("--out", type=Path, help="where the JSON goes; printed either way")
    parser.add_argument("--limit", type=int, help="only the first clips")
    options = parser.parse_args()
    with options.index.open(newline="") as file:
        clips = [row["path"] for row in csv.DictReader(file)][: options.limit]

    loops = {
        "vbench.temporal_flickering": temporal_flickering,
        "temporal.warp_error": warp_error,
        "temporal.motion": motion,
        "temporal.freeze_fraction": freeze_fraction,
    }
    values, seconds = {}, {}
    for name, measure in loops.items():
        begin = time.perf_counter()
        values[name] = {clip: measure(options.root / clip) for clip in clips}
        seconds[name] = time.perf_counter() - begin
    if options.gallery:
        begin = time.perf_counter()
        faces = Faces()
        known = gallery_descriptors(faces, options.gallery)
        found = {clip: best_distance(faces, known, options.root / clip) for clip in clips}
        values["likeness.best_distance"] = found
        seconds["likeness.best_distance"] = time.perf_counter() - begin
    plain = {m: {c: None if v is None else float(v) for c, v in of.items()} for m, of in values.items()}
    text = json.dumps({"values": plain, "seconds": {m: round(s, 2) for m, s in seconds.items()}}, indent=1)
    if options.out:
        options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
