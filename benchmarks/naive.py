"""The plain way to get the same numbers: one loop per metric over the obvious libraries.

    python benchmarks/naive.py --root CLIPS --index CLIPS/index.csv --gallery FACES --out naive.json

Prompt alignment and FVD are computed where their weights are named: ``--clip-model ViT-B-32 --clip-pretrained
openai`` (or ``--clip-config`` and ``--clip-checkpoint``), and ``--i3d FILE --fvd-reference GROUP``.

Frozen: written from the definitions in ``docs/metrics``, imports nothing of vgaudit, and changes only when a
definition changes or joins. It is the yardstick for two things: our numbers must equal these, and the time it
takes stands beside ours. Each loop decodes every clip again and computes what it needs, as one does when metrics
are separate scripts; libraries use as many threads as they like.

Writes JSON: ``values`` (metric -> path in the index, for FVD group -> number or null), ``seconds`` (metric -> wall
time).
"""

import argparse
import csv
import hashlib
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
        x, y = (x + forward[..., 0])[::2, ::2], (y + forward[..., 1])[::2, ::2]
        images = backward[..., 0], backward[..., 1], second.astype(np.float32)
        back_x, back_y, warped = (
            cv2.remap(np.ascontiguousarray(image), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for image in images
        )
        back, forward, shown = np.dstack([back_x, back_y]), forward[::2, ::2], first[::2, ::2]
        mismatch = ((forward + back) ** 2).sum(2)
        occluded = mismatch > 0.01 * ((forward**2).sum(2) + (back**2).sum(2)) + 0.5
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        visible = inside & ~occluded
        if visible.any():
            errors.append(np.abs(shown.astype(np.float64) - warped)[visible].mean() / 255)
    return np.mean(errors) if errors else None


def motion(path):
    frames, times = read_clip(path)
    total = 0.0
    for first, second in pairwise(small_luma(frames)):
        lengths = np.sort(
            np.linalg.norm(dis_flow(first, second)[::2, ::2], axis=2).astype(np.float64).ravel()
        )
        total += lengths[-max(1, round(0.05 * lengths.size)) :].mean() / min(first.shape)
    return total / (times[-1] - times[0])


def dynamic_degree(path):
    frames, times = read_clip(path)
    lumas = small_luma(frames)
    pictures = shown_pictures(frames, lumas)
    freeze = shortest_freeze([last - first + 1 for first, last in pictures], times)
    dynamic = total = 0.0
    for number, (first, last) in enumerate(pictures):
        frozen = last - first + 1 >= freeze
        if last + 1 < len(frames):
            seconds = times[last + 1] - times[first]
            lengths = np.sort(
                np.linalg.norm(dis_flow(lumas[last], lumas[last + 1])[::2, ::2], axis=2).ravel()
            )
            top = lengths[-max(1, round(0.05 * lengths.size)) :].astype(np.float64)
            fast = not frozen and top.mean() / min(lumas[0].shape) / seconds > 3 / 16
        elif frozen or number == 0:
            seconds, fast = times[last] - times[first], False
        else:
            continue  # nobody knows for how long the last picture would have been shown
        total += seconds
        dynamic += seconds if fast else 0.0
    return dynamic / total


def shown_pictures(frames, lumas):
    """First and last frame of each picture: where more than traces of compression change, the next one begins."""
    tolerance = repeat_tolerance(frame_differences(frames))
    if tolerance is not None:
        next_ones = [i for i, d in enumerate(frame_differences(frames)) if d > tolerance]
    else:  # little moves: as a stream knows it, from smaller pictures without colour
        next_ones, differences, kept = [], [], lumas[0].astype(np.int16)
        for index, (one, other) in enumerate(pairwise(lumas)):
            difference = np.abs(one.astype(np.int16) - other).mean()
            drift = np.abs(kept - other).mean()
            limit = max(0.1, min(0.5, 0.1 * statistics.median(differences))) if differences else 0.1
            if difference > limit or drift > 1:
                differences.append(difference if difference > limit else drift)
                next_ones.append(index)
                kept = other.astype(np.int16)
    return list(zip([0, *(i + 1 for i in next_ones)], [*next_ones, len(frames) - 1], strict=True))


def repeat_tolerance(differences):
    """Grey levels by which a frame that repeats its picture may differ."""
    moving = [differences[i] for i in moving_pairs(differences)]
    return min(0.5, 0.1 * statistics.median(moving)) if len(moving) > 1 else None


def shortest_freeze(lengths, times):
    """Frames from which a picture is held for longer than the clip's rhythm allows."""
    rhythm = int(statistics.median(lengths))
    if rhythm * statistics.median(np.diff(times)) > 0.17:
        rhythm = 1
    return max(3, 2 * rhythm + 1)


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
    tolerance = repeat_tolerance(differences)
    if tolerance is None:
        return None
    runs, length = [], 1
    for difference in differences:
        if difference <= tolerance:
            length += 1
        else:
            runs.append(length)
            length = 1
    runs.append(length)
    frozen = [run for run in runs if run >= shortest_freeze(runs, times)]
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
    """Of every frame, as ``stride: 1`` in ``fetv.yaml`` asks for: which are left out otherwise is no formula."""
    frames, _ = read_clip(path)
    best = None
    for frame in frames:
        for box, points, sure in faces.detect(frame):
            if usable(frame, box, points, sure):
                found = faces.descriptor(frame, box)
                nearest = float(np.linalg.norm(known - found, axis=1).min())
                best = nearest if best is None else min(best, nearest)
    return best


# -- prompt alignment ------------------------------------------------------------------------------


class Clip:
    """open_clip's network, evaluation transform and tokenizer: published ones, or a local config and checkpoint."""

    def __init__(self, model, pretrained, config, checkpoint):
        import open_clip

        if config:
            from safetensors.torch import load_file

            read = json.loads(config.read_text())
            self.network = open_clip.CLIP(**read["model_cfg"])
            self.network.load_state_dict(load_file(checkpoint))
            stated = read["preprocess_cfg"]
            keys = ("mean", "std", "interpolation", "resize_mode", "fill_color")
            how = {key: stated[key] for key in keys if key in stated}
            size = read["model_cfg"]["vision_cfg"]["image_size"]
            self.transform = open_clip.image_transform(size, is_train=False, **how)
            self.tokenize = open_clip.SimpleTokenizer(
                context_length=read["model_cfg"]["text_cfg"]["context_length"]
            )
        else:
            published = open_clip.get_pretrained_cfg(model, pretrained)
            quick = bool(published.get("quick_gelu"))  # the activation it was trained with
            self.network, _, self.transform = open_clip.create_model_and_transforms(
                model, pretrained=pretrained, force_quick_gelu=quick
            )
            self.tokenize = open_clip.get_tokenizer(model)
        self.network.eval()


def prompt_cosine(clip, path, prompt):
    """Mean over frames of the cosine of frame and prompt, one frame at a time."""
    import torch
    from PIL import Image

    if not prompt.strip():
        return None
    frames, _ = read_clip(path)
    with torch.no_grad():
        text = clip.network.encode_text(clip.tokenize([prompt]))[0].double()
        cosines = []
        for frame in frames:
            picture = clip.transform(Image.fromarray(frame))[None]
            image = clip.network.encode_image(picture)[0].double()
            cosines.append(float(image @ text / (image.norm() * text.norm())))
    return np.mean(cosines)


# -- Frechet video distance ------------------------------------------------------------------------


def drawn_offset(frames):
    """Where a real clip's 16 frames begin: the k-th offset replaces the one before with probability 1 / k."""
    seed = hashlib.sha256(frames[0].tobytes()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    drawn = 0
    for start in range(len(frames) - 15):
        if rng.integers(start + 1) == 0:
            drawn = start
    return drawn


def i3d_logits(network, paths, real):
    """(n, d): 16 frames of each clip that has them, from frame 0, or of real clips from a random offset."""
    import torch

    rows = []
    for path in paths:
        frames, _ = read_clip(path)
        if len(frames) < 16:
            continue
        start = drawn_offset(frames) if real else 0
        window = torch.from_numpy(frames[start : start + 16]).permute(3, 0, 1, 2)[None].contiguous()
        with torch.no_grad():
            logits = network(window, rescale=True, resize=True, return_features=True)
        rows.append(logits[0].double().numpy())
    return np.array(rows)


def frechet_distance(generated, real):
    """With covariances divided by n; the trace of the root through the eigenvalues of S_g^1/2 S_r S_g^1/2."""
    s_g, s_r = (np.cov(x, rowvar=False, bias=True) for x in (generated, real))
    values, vectors = np.linalg.eigh(s_g)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.clip(np.linalg.eigvalsh(root @ s_r @ root), 0, None)
    apart = ((generated.mean(0) - real.mean(0)) ** 2).sum()
    return apart + np.trace(s_g) + np.trace(s_r) - 2 * np.sqrt(product).sum()


def fvd_of_groups(file, reference, groups):
    """Distance of each group to the reference group; none where a side has fewer than 16 clips."""
    import torch

    network = torch.jit.load(str(file)).eval()
    real = i3d_logits(network, groups[reference], real=True)
    distances = {}
    for group, paths in groups.items():
        if group != reference:
            made = i3d_logits(network, paths, real=False)
            distances[group] = frechet_distance(made, real) if min(len(made), len(real)) >= 16 else None
    return distances


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
    parser.add_argument("--clip-model", default="ViT-B-32", help="architecture in open_clip's names")
    parser.add_argument("--clip-pretrained", help="its tag of the weights, such as openai")
    parser.add_argument("--clip-config", type=Path, help="open_clip JSON config of a local CLIP")
    parser.add_argument("--clip-checkpoint", type=Path, help="its weights, safetensors")
    parser.add_argument("--i3d", type=Path, help="TorchScript file; it is code, so name one you trust")
    parser.add_argument(
        "--fvd-reference", metavar="GROUP", help="value of `model` whose clips are the reference"
    )
    options = parser.parse_args()
    if bool(options.clip_config) != bool(options.clip_checkpoint):
        parser.error("--clip-config and --clip-checkpoint go together")
    if bool(options.i3d) != bool(options.fvd_reference):
        parser.error("--i3d and --fvd-reference go together")
    with options.index.open(newline="") as file:
        rows = list(csv.DictReader(file))[: options.limit]
    clips = [row["path"] for row in rows]

    loops = {
        "vbench.temporal_flickering": temporal_flickering,
        "temporal.warp_error": warp_error,
        "temporal.motion": motion,
        "temporal.dynamic_degree": dynamic_degree,
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
        values["likeness.best_similarity"] = {c: None if d is None else 1 - d for c, d in found.items()}
        seconds["likeness.best_distance"] = time.perf_counter() - begin
    if options.clip_pretrained or options.clip_config:
        begin = time.perf_counter()
        clip = Clip(options.clip_model, options.clip_pretrained, options.clip_config, options.clip_checkpoint)
        cosines = {
            row["path"]: prompt_cosine(clip, options.root / row["path"], row["prompt"]) for row in rows
        }
        values["prompt_alignment.clipsim"] = cosines
        values["prompt_alignment.clip_score"] = {
            c: None if cosine is None else max(0, 100 * cosine) for c, cosine in cosines.items()
        }
        seconds["prompt_alignment.clipsim"] = time.perf_counter() - begin
    if options.i3d:
        begin = time.perf_counter()
        groups = {}
        for row in rows:
            groups.setdefault(row["model"], []).append(options.root / row["path"])
        if options.fvd_reference not in groups:
            parser.error(f"--fvd-reference {options.fvd_reference}: no clip has it as `model`")
        values["fvd.distance"] = fvd_of_groups(options.i3d, options.fvd_reference, groups)
        seconds["fvd.distance"] = time.perf_counter() - begin
    plain = {m: {c: None if v is None else float(v) for c, v in of.items()} for m, of in values.items()}
    text = json.dumps({"values": plain, "seconds": {m: round(s, 2) for m, s in seconds.items()}}, indent=1)
    if options.out:
        options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
