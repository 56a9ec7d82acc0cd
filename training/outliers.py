"""Pictures that are not the storyworld's, for the guard that tells them apart: photographs, drawings, patterns.

Photographs and clip art come from a folder of pictures (``--pictures``; docs/bundled-models.md lists the free
packages that were used). The rest is made here: noise with the spectrum of nature, landscapes of it, piles of shapes,
gradients, stripes, text, and storyworld pictures whose parts stand in the wrong place. No evaluation clip is among
them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
SIDE = 64
_CLIP_ART = "openclipart"
"""What the path of clip art holds: the folder that its package unpacks to."""
_LOADED = 1400
"""Clip-art pictures that are read; of photographs all."""


def read_pictures(folder: Path) -> tuple[list[Picture], list[NDArray[np.uint8]]]:
    """Photographs ``(H, W, 3)`` of 128 pixels and more, and clip art ``(H, W, 4)`` with its transparency.

    Raises:
        SystemExit: The folder holds none of either kind: a training would end at the first picture it draws of it.
    """
    photographs: list[Picture] = []
    drawings: list[NDArray[np.uint8]] = []
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    clip_art = [p for p in files if _CLIP_ART in str(p)]
    others = [p for p in files if _CLIP_ART not in str(p)]
    step = max(1, len(clip_art) // _LOADED)
    for path in [*others, *clip_art[::step]]:
        try:
            with Image.open(path) as image:
                image.draft("RGB", (1280, 1280))
                image.thumbnail((1280, 1280))
                if _CLIP_ART in str(path):
                    image.thumbnail((256, 256))
                    drawings.append(np.asarray(image.convert("RGBA")))
                elif min(image.size) >= 128:
                    photographs.append(np.asarray(image.convert("RGB")))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    if not (photographs and drawings):
        sys.exit(
            f"{folder}: expected photographs of 128 pixels and more a side, and clip art, which is every picture "
            f"with {_CLIP_ART!r} in its path; found {len(photographs)} photographs that can be read among "
            f"{len(others)} files, and {len(drawings)} pieces of clip art among {len(clip_art)}. "
            "docs/bundled-models.md lists free packages that have both"
        )
    return photographs, drawings


class Outliers:
    """Draws pictures that are not the storyworld's.

    Args:
        photographs: uint8 ``(H, W, 3)``.
        drawings: uint8 ``(H, W, 4)``, RGBA.
        drawn: Storyworld frames uint8 ``(N, 64, 64, 3)``, to be taken apart.

    Raises:
        SystemExit: One of them is empty, as a side of a split of few pictures may be.
    """

    def __init__(self, photographs: list[Picture], drawings: list[Picture], drawn: NDArray[np.uint8]) -> None:
        if not (len(photographs) and len(drawings) and len(drawn)):
            sys.exit(
                "each side, what is trained on and what is kept, needs photographs, clip art and storyworld frames; "
                f"found {len(photographs)}, {len(drawings)} and {len(drawn)}: give more pictures"
            )
        self._photographs, self._drawings, self._drawn = photographs, drawings, drawn

    def __call__(self, rng: np.random.Generator, whole: bool = False) -> Picture:
        """One picture, uint8 ``(64, 64, 3)``; with ``whole`` none that storyworld pictures have a part in."""
        shares = np.array((0.48, 0.12, 0.06, 0.08, 0.08, 0.04, 0.02, 0.06, 0.06))
        shares[-2:] *= not whole
        picture = (
            self._crop, self._clip_art, self._natural_noise, self._landscape, self._shapes,
            self._gradient, self._text, self._misplaced, self._mixed,
        )[int(rng.choice(9, p=shares / shares.sum()))](rng)  # fmt: skip
        return compressed(_changed(picture, rng), rng)

    def _crop(self, rng: np.random.Generator) -> Picture:
        """A part of a photograph, from a tiny one (blurred, as in a blurred clip) to all of it."""
        photo = self._photographs[int(rng.integers(len(self._photographs)))]
        h, w = photo.shape[:2]
        size = int(np.exp(rng.uniform(np.log(48), np.log(min(h, w)))))
        wide = min(w, int(size * rng.choice([1.0, 1.33, 1.78])))
        y, x = int(rng.integers(h - size + 1)), int(rng.integers(w - wide + 1))
        part = photo[y : y + size, x : x + wide]
        return cv2.resize(
            part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if size > SIDE else cv2.INTER_CUBIC
        )

    def _clip_art(self, rng: np.random.Generator) -> Picture:
        """Clip art on a photograph, a gradient or a plain colour."""
        ground = (self._crop, self._gradient, _plain)[int(rng.integers(3))](rng)
        for _ in range(int(rng.integers(1, 4))):
            art = self._drawings[int(rng.integers(len(self._drawings)))]
            size = int(rng.integers(16, SIDE + 1))
            small = cv2.resize(art, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
            y, x = (int(v) for v in rng.integers(0, SIDE - size + 1, 2))
            over = small[..., 3:] / 255
            place = ground[y : y + size, x : x + size]
            ground[y : y + size, x : x + size] = (place * (1 - over) + small[..., :3] * over).astype(np.uint8)
        return ground

    def _natural_noise(self, rng: np.random.Generator) -> Picture:
        """Noise whose power falls with frequency as in pictures of nature, coloured."""
        fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
        falloff = np.maximum(np.hypot(fy, fx), 1 / SIDE) ** -float(rng.uniform(0.0, 2.2))
        noise = rng.normal(size=(3, SIDE, SIDE // 2 + 1)) + 1j * rng.normal(size=(3, SIDE, SIDE // 2 + 1))
        field = np.fft.irfft2(noise * falloff, s=(SIDE, SIDE))
        field /= field.std() + 1e-9
        mixed = np.tensordot(rng.normal(size=(3, 3)), field, 1)
        middle, spread = rng.uniform(40, 215, 3), float(rng.uniform(10, 60))
        return (
            np.clip(middle[:, None, None] + spread * mixed, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
        )

    def _landscape(self, rng: np.random.Generator) -> Picture:
        """A bright ground under a sky, each with noise of nature, and clip art or parts of photographs on it."""
        horizon = int(rng.uniform(0.2, 0.8) * SIDE)
        picture = np.empty((SIDE, SIDE, 3), np.float32)
        for rows, hue in (
            (slice(0, horizon), rng.uniform(85, 130)),
            (slice(horizon, SIDE), rng.uniform(10, 75)),
        ):
            colour = np.array([[[hue, rng.uniform(10, 220), rng.uniform(110, 255)]]], np.uint8)
            noise = self._natural_noise(rng)[rows].astype(np.float32)
            plain = cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0]
            picture[rows] = plain + float(rng.uniform(0.05, 0.6)) * (noise - noise.mean(axis=(0, 1)))
        ground = picture.clip(0, 255).astype(np.uint8)
        ground = cv2.GaussianBlur(ground, (0, 0), float(rng.uniform(0.3, 1.5)))
        for _ in range(int(rng.integers(0, 4))):
            height, width = (int(v) for v in rng.integers(8, 40, 2))
            y, x = int(rng.integers(SIDE - height)), int(rng.integers(SIDE - width))
            part = cv2.resize(self._crop(rng), (width, height), interpolation=cv2.INTER_AREA)
            oval = np.zeros((height, width, 1), np.uint8)
            cv2.ellipse(oval, ((width / 2, height / 2), (width, height), 0), 1, -1)
            place = ground[y : y + height, x : x + width]
            place[:] = np.where(oval, part, place)
        return ground

    def _shapes(self, rng: np.random.Generator) -> Picture:
        """A pile of discs, boxes and triangles of all sizes."""
        picture = _plain(rng)
        for size in sorted(rng.uniform(2, 40, int(rng.integers(5, 120))), reverse=True):
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            x, y = (int(v) for v in rng.integers(0, SIDE, 2))
            form = int(rng.integers(3))
            if form == 0:
                cv2.circle(picture, (x, y), int(size / 2) + 1, colour, -1, cv2.LINE_AA)
            elif form == 1:
                box = cv2.boxPoints(((x, y), (size, float(rng.uniform(2, 40))), float(rng.uniform(0, 90))))
                cv2.fillConvexPoly(picture, box.astype(np.int32), colour, cv2.LINE_AA)
            else:
                corners = (rng.normal(0, size / 2, (3, 2)) + np.array([x, y])).astype(np.int32)
                cv2.fillConvexPoly(picture, corners, colour, cv2.LINE_AA)
        return picture

    def _gradient(self, rng: np.random.Generator) -> Picture:
        """Colours that run into each other, or stripes."""
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
        angle = float(rng.uniform(0, 2 * np.pi))
        along = (np.cos(angle) * x + np.sin(angle) * y)[..., None]
        if rng.random() < 0.4:
            along = np.sin(along * float(rng.uniform(3, 60))) * 0.5 + 0.5
        a, b = rng.uniform(0, 255, (2, 3))
        return np.clip(a + (b - a) * along, 0, 255).astype(np.uint8)

    def _text(self, rng: np.random.Generator) -> Picture:
        """Lines of letters."""
        picture = _plain(rng)
        for line in range(int(rng.integers(1, 6))):
            said = "".join(chr(int(c)) for c in rng.integers(65, 123, 10))
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            cv2.putText(
                picture, said, (2, 10 + 12 * line), 0, float(rng.uniform(0.25, 0.6)), colour, 1, cv2.LINE_AA
            )
        return picture

    def _misplaced(self, rng: np.random.Generator) -> Picture:
        """A storyworld picture cut into tiles that are put together wrongly."""
        picture = self._drawn[int(rng.integers(len(self._drawn)))]
        size = int(rng.choice([8, 16]))
        tiles = (
            picture.reshape(SIDE // size, size, SIDE // size, size, 3)
            .swapaxes(1, 2)
            .reshape(-1, size, size, 3)
        )
        side = SIDE // size
        shuffled = tiles[rng.permutation(len(tiles))].reshape(side, side, size, size, 3)
        return np.ascontiguousarray(shuffled.swapaxes(1, 2).reshape(SIDE, SIDE, 3))

    def _mixed(self, rng: np.random.Generator) -> Picture:
        """A photograph through a storyworld picture."""
        picture = self._drawn[int(rng.integers(len(self._drawn)))]
        return cv2.addWeighted(
            self._crop(rng), float(rng.uniform(0.5, 0.9)), picture, float(rng.uniform(0.1, 0.5)), 0
        )


def _plain(rng: np.random.Generator) -> Picture:
    return np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3), np.uint8)


def _changed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blurred, flattened to few colours or lit otherwise: what video models do to pictures."""
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.5)))
    if rng.random() < 0.15:
        picture = cv2.bilateralFilter(picture, 5, float(rng.uniform(30, 90)), 5)
        levels = float(rng.uniform(12, 48))
        picture = (np.round(picture / levels) * levels).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 1] *= float(rng.uniform(0.3, 2.0))
        hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** float(rng.uniform(0.5, 1.8))
        picture = cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return picture


def compressed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Three pictures in ten with the marks of compression; drawn ones get them too, so that they tell nothing."""
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    return picture
