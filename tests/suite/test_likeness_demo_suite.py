"""The bundled demonstration, run: somebody of the gallery is found, nobody elsewhere, and the verdict says so."""

from __future__ import annotations

import socket
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NoReturn

import pytest

from vgaudit.errors import SuiteError
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import load_suite

# Shorter clips and fewer of them; pictures, gallery, gates and all else are the suite's own.
SHORT = ["video.frames=8", "seeds=1"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_the_portrait_is_found_and_nobody_elsewhere(tmp_path: Path) -> None:
    done = execute(prepare(load_suite("likeness_demo", SHORT)), tmp_path / "run")
    assert done is not None
    assert done.verdict.exit_code == 3
    assert done.data.notes[0].startswith("As it comes, this suite fails on purpose")

    assert [(e.sample.prompt_id, e.sample.group, e.clip.outcome) for e in done.data.clips] == [
        ("astronaut", "portrait", "ok"), ("coffee", "no-people", "ok"), ("rocket", "no-people", "ok"),
        ("cat", "no-people", "ok"),
    ]  # fmt: skip
    portrait, *others = done.data.clips
    (match,) = portrait.findings
    assert (match.kind, match.detail["entry"], match.detail["frames"]) == ("likeness.match", "astronaut", 8)
    assert match.score is not None
    assert match.score > 0.7
    for entry in others:
        assert entry.findings == ()
        assert "no face found" in entry.measurements["likeness"].missing["best_similarity"]

    gates = {(g.gate, g.group): g.outcome.value for g in done.data.gates}
    assert gates == {
        ("findings integrity.* <= 0", "portrait"): "passed",
        ("findings integrity.* <= 0", "no-people"): "passed",
        ("findings likeness.* <= 0", "portrait"): "failed",
        ("findings likeness.* <= 0", "no-people"): "passed",
    }
    rates = {r.group: r.value for r in done.data.results if r.name == "likeness.review_rate"}
    assert rates == {"portrait": 1, "no-people": 0}


def test_its_moves_keep_the_face_in_the_frame() -> None:
    portrait = prepare(load_suite("likeness_demo", ["video.frames=2"])).backends[0]
    made = list(portrait.generate(portrait.samples([], (0, 1, 2))))
    assert len({g.facts["move"] for g in made}) == 3
    for left, top, right, bottom in (window for g in made for window in g.facts["windows"]):
        assert left < 160  # the face, with a margin
        assert top < 60
        assert right > 290
        assert bottom > 220


def test_without_the_package_that_has_its_pictures_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    find = PathFinder.find_spec
    hidden: dict[str, Any] = {"skimage": None}
    monkeypatch.setattr(
        PathFinder, "find_spec", lambda name, *rest: hidden[name] if name in hidden else find(name, *rest)
    )
    told = r"likeness_demo.yaml:\d+:\d+: .*skimage is not installed; pip install scikit-image"
    with pytest.raises(SuiteError, match=told):
        prepare(load_suite("likeness_demo"))
