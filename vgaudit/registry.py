"""Names -> implementations: lazy built-ins, and entry points of other packages.

Built-ins are ``module:attribute`` strings, so that listing names imports nothing. Another package adds its own
through the entry-point groups ``vgaudit.backends``, ``vgaudit.extractors``, ``vgaudit.metrics`` and
``vgaudit.face_embedders``. A plugin cannot replace a built-in name.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from vgaudit.errors import UsageError

Kind = Literal["backends", "extractors", "metrics", "face_embedders"]

BUILT_IN: dict[Kind, dict[str, str]] = {
    "backends": {
        "files": "vgaudit.backends.files:FilesBackend",
        "diffusers": "vgaudit.backends.diffusers:DiffusersBackend",
        "gan": "vgaudit.backends.gan:GanBackend",
        "command": "vgaudit.backends.command:CommandBackend",
        "storyworld": "vgaudit.backends.storyworld:StoryworldBackend",
        "animatic": "vgaudit.backends.animatic:AnimaticBackend",
    },
    "extractors": {
        "pixels": "vgaudit.extractors.pixels:PixelsExtractor",
        "motion": "vgaudit.extractors.motion:MotionExtractor",
        "clip": "vgaudit.extractors.clip:ClipExtractor",
        "clip_text": "vgaudit.extractors.clip:ClipTextExtractor",
        "video_embedding": "vgaudit.extractors.video_embedding:VideoEmbeddingExtractor",
        "vjepa_embedding": "vgaudit.extractors.vjepa_embedding:VjepaEmbeddingExtractor",
        "faces": "vgaudit.extractors.faces:FacesExtractor",
        "domain": "vgaudit.extractors.domain:DomainExtractor",
        "vbench_dino": "vgaudit.extractors.vbench_embeddings:VBenchDinoExtractor",
        "vbench_clip": "vgaudit.extractors.vbench_embeddings:VBenchClipExtractor",
        "vbench_flow": "vgaudit.extractors.vbench_flow:VBenchFlowExtractor",
    },
    "metrics": {
        "prompt_alignment": "vgaudit.metrics.prompt_alignment:PromptAlignment",
        "temporal": "vgaudit.metrics.temporal:Temporal",
        "vbench": "vgaudit.metrics.vbench:VBench",
        "fvd": "vgaudit.metrics.fvd:Fvd",
        "jedi": "vgaudit.metrics.jedi:Jedi",
        "likeness": "vgaudit.metrics.likeness:Likeness",
        "integrity": "vgaudit.metrics.integrity:Integrity",
    },
    "face_embedders": {
        "dlib": "vgaudit.extractors.face_embedders:DlibEmbedder",
        "facenet": "vgaudit.extractors.face_embedders:FacenetEmbedder",
        "onnx": "vgaudit.extractors.face_embedders:OnnxEmbedder",
    },
}


@cache
def _plugins(kind: Kind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"vgaudit.{kind}"):
        if point.name in BUILT_IN[kind]:
            raise UsageError(
                f"{point.value} wants to be {kind} {point.name!r}, which is built in; "
                "the plugin must choose another name"
            )
        if point.name in found and found[point.name].value != point.value:
            raise UsageError(
                f"two packages provide {kind} {point.name!r}: {found[point.name].value}, {point.value}"
            )
        found[point.name] = point
    return found


def names(kind: Kind) -> list[str]:
    """All names of a kind, built-ins first; imports no implementation."""
    return [*BUILT_IN[kind], *sorted(_plugins(kind))]


def nearest(name: str, known: list[str]) -> str:
    """``; did you mean 'x'?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def load(kind: Kind, name: str) -> Any:
    """The class registered under ``name``.

    Raises:
        UsageError: The name is unknown, or a plugin cannot be imported.
    """
    if target := BUILT_IN[kind].get(name):
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    if point := _plugins(kind).get(name):
        try:
            return point.load()
        except Exception as error:
            raise UsageError(f"{kind} {name!r} ({point.value}) cannot be imported: {error}") from error
    known = names(kind)
    raise UsageError(f"unknown {kind[:-1]} {name!r}{nearest(name, known)} (known: {', '.join(known)})")
