"""The yardstick of the temporal detectors: what counts as really there."""

from __future__ import annotations

import pytest

from tests.test_benchmarks import script
from vgaudit.metrics.temporal_detectors import DETECTORS
from vgaudit.metrics.temporal_signals import Found


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> object:
    clips = script("temporal_clips")
    monkeypatch.setattr(
        clips, "TRUTH", {"a.mp4": [[20, 24, "a ghost", ["ghosting"]], [40, 50, "damaged", "every kind"]]}
    )
    return clips.Clip("a.mp4", None, (), 0, 1.0)


@pytest.mark.parametrize(
    ("kind", "first", "end", "true"),
    [
        ("ghosting", 20, 24, True),
        ("warping", 20, 24, False),  # another kind
        ("ghosting", 24, 25, True),  # right beside
        ("ghosting", 25, 26, False),
        ("ghosting", 19, 31, True),  # six of twelve frames, give or take one
        ("ghosting", 19, 32, False),
        ("ghosting", 0, 60, False),  # a finding of everything finds nothing
        ("warping", 42, 44, True),
    ],
)
def test_a_finding_is_true_where_its_own_kind_is_there(
    clip: object, kind: str, first: int, end: int, true: bool
) -> None:
    assert clip.is_true(kind, Found(first, end, 1.0)) is true  # type: ignore[attr-defined]


def test_no_window_teaches_that_touches_what_is_there(clip: object) -> None:
    assert clip.touches_true("ghosting", 24, 40)  # type: ignore[attr-defined]
    assert not clip.touches_true("ghosting", 25, 39)  # type: ignore[attr-defined]
    assert not clip.touches_true("warping", 10, 30)  # type: ignore[attr-defined]


def test_what_is_listed_names_kinds_that_there_are() -> None:
    known = {*DETECTORS, "freeze"}
    for name, spans in script("temporal_clips").TRUTH.items():
        for first, end, why, kinds in spans:
            assert 0 <= first < end, name
            assert why, name
            assert kinds == "every kind" or set(kinds) <= known, (name, kinds)
