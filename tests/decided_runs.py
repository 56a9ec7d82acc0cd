"""Small finished runs with findings to decide on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.portraits import astronaut
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import load_suite

CLIENT, OTHER = "client-0042", "Other Person"
GATE = "gates: ['findings likeness.match <= 0', 'findings integrity.* <= 0']\n"


def likeness_suite(folder: Path, extra: str = GATE) -> Path:
    """Two clips of one face, and a gallery of two people that both look like it."""
    for entry, picture in ((CLIENT, astronaut()), (OTHER, np.ascontiguousarray(astronaut()[:, ::-1]))):
        (folder / "people" / entry).mkdir(parents=True)
        Image.fromarray(picture).save(folder / "people" / entry / "1.png")
    Image.fromarray(astronaut()).save(folder / "face.png")
    suite = folder / "s.yaml"
    suite.write_text(
        "name: faces\n"
        "backend: {name: made, type: animatic, pictures: [{id: face, file: face.png, focus: [0.44, 0.25]}],\n"
        "  moves: [zoom_in, zoom_out]}\n"
        "video: {frames: 4, fps: 4, width: 192, height: 192}\nseeds: 2\n"
        "metrics: {likeness: {gallery: people}}\n" + extra,
        encoding="utf-8",
    )
    return suite


def likeness_run(folder: Path) -> Path:
    """The run of :func:`likeness_suite`."""
    return finished(likeness_suite(folder), folder / "run").run_dir


def finished(suite: Path, out: Path) -> Finished:
    """Run a suite, or continue it."""
    done = execute(prepare(load_suite(suite)), out, workers=1)
    assert done is not None
    return done
