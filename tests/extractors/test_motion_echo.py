"""Moments of what neighbours carried along the flow leave over, against plain loops over a clip's pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.motion_echo import AFTER, AROUND, BEFORE, MotionEcho

Float32 = NDArray[np.float32]


def products(origin: Float32, *pictures: Float32) -> NDArray[np.float64]:
    """Means over pixels of the products of pictures less an origin, one pixel after another."""
    left = [p.astype(np.float64) - origin.astype(np.float64) for p in pictures]
    return np.array(
        [[np.mean([x * y for x, y in zip(a.ravel(), b.ravel(), strict=True)]) for a in left] for b in left]
    )


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 11])
def test_moments_are_what_the_class_says(count: int) -> None:
    """``behind[t]`` is the picture before carried to t, ``ahead[t]`` the picture after carried to t."""
    rng = np.random.default_rng(count)
    s, behind, ahead = (
        [rng.normal(100, 40, (7, 9)).astype(np.float32) for _ in range(count)] for _ in range(3)
    )
    echo = MotionEcho()
    echo.first(s[0])
    # The moments given for a picture are completed while later ones are pushed.
    found = [echo.push(s[t], behind[t], ahead[t - 1]) for t in range(1, count)]
    for t in range(1, count):
        wanted = {"before": np.zeros(BEFORE), "after": np.zeros(AFTER), "around": np.zeros(AROUND)}
        if t >= 2:
            wanted["before"] = products(behind[t], s[t], s[t - 2], s[t - 1])
        if t >= 2 and t + 1 < count:
            wanted["after"] = products(ahead[t], s[t], s[t - 2], s[t + 1])
        if t >= 2 and t + 2 < count:
            both = (behind[t] + ahead[t]) / 2
            wanted["around"] = products(both, s[t], s[t - 2], s[t + 2], s[t - 1], s[t + 1])
        for name, moments in wanted.items():
            assert found[t - 1][name] == pytest.approx(moments, rel=1e-4, abs=1e-2), (t, name)


def test_few_pictures_are_held() -> None:
    echo = MotionEcho()
    echo.first(np.zeros((4, 4), np.float32))
    for _ in range(50):
        echo.push(*(np.ones((4, 4), np.float32) for _ in range(3)))
    assert len(echo._pictures) == 4
    assert len(echo._moments) == 3


def test_a_ghost_is_what_an_earlier_picture_explains() -> None:
    """Pictures of noise: motion explains nothing of them, and the picture two before explains its ghost."""
    rng = np.random.default_rng(0)
    frames = [rng.normal(100, 30, (40, 60)).astype(np.float32) for _ in range(12)]
    shown = [f if t < 4 or t >= 9 else (0.6 * f + 0.4 * frames[t - 2]) for t, f in enumerate(frames)]
    echo = MotionEcho()
    echo.first(shown[0])
    level = np.full((40, 60), 100, np.float32)
    moments = [echo.push(s.astype(np.float32), level, level) for s in shown[1:]]
    around = np.array([m["around"] for m in moments])
    before = np.array([m["before"] for m in moments])
    explained = before[:, 0, 1] / np.maximum(before[:, 1, 1], 1e-9)
    assert explained[3:5] == pytest.approx([0.4, 0.4], abs=0.05)  # later ghosts hold ghosts themselves
    assert (explained[3:8] > 0.2).all()
    assert np.abs(explained[[1, 2, 10]]).max() < 0.05
    assert (around[:1] == 0).all()
    assert (around[-2:] == 0).all()
    assert (around[1:-2, 1, 1] > 0).all()
