"""What options of the command line mean in the words of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgaudit.errors import UsageError


def given_overrides(
    overrides: Sequence[str],
    *,
    backend: str | None = None,
    gallery: str | None = None,
    cohort: Path | None = None,
) -> list[str]:
    """``key=value`` texts for :func:`vgaudit.suite.load_suite`: what options mean, with ``overrides``.

    Args:
        overrides: As after ``--set``.
        backend: See :func:`backend_block`.
        gallery: See :func:`people`.
        cohort: A file of unrelated people.

    Raises:
        UsageError: Something named is not there, or cannot be read as what it should be.
    """
    texts = list(overrides)
    if backend is not None:
        texts.insert(0, f"backend={backend_block(backend)}")
    if (named := people(gallery)) is not None:
        texts.append(f"metrics.likeness.gallery={quoted(named)}")
    if cohort is not None:
        if not cohort.is_file():
            raise UsageError(
                f"--cohort {cohort}: expected a file made by `vgaudit gallery calibrate`, found nothing there"
            )
        texts.append(f"metrics.likeness.cohort={quoted(str(cohort.resolve()))}")
    return texts


def people(gallery: str | None) -> str | None:
    """What ``--gallery`` names, as a suite would: a whole path, or ``none``."""
    if gallery is None:
        return None
    path = Path(gallery)
    if gallery == "none":
        if path.exists():
            raise UsageError(
                "--gallery none says that there is no gallery, but something lies here that is called so; expected "
                "'./none' if that is the gallery, or another name for it"
            )
        return gallery
    if not path.exists():
        raise UsageError(
            f"--gallery {gallery}: expected a folder of people, one picture or a gallery file, or none to count "
            "faces only; found nothing there"
        )
    return str(path.resolve())


def backend_block(text: str) -> str:
    """``diffusers:hub/id`` as the block a suite would hold, in YAML's flow style."""
    kind, _, what = text.partition(":")
    if kind == "storyworld":  # needs no model: what may follow is the look of prompts that name none
        return f"{{type: storyworld, look: {quoted(what)}}}" if what else "{type: storyworld}"
    if not kind or not what:
        raise UsageError(
            f"--backend {text!r}: expected TYPE:WHAT, e.g. diffusers:Wan-AI/Wan2.1-T2V-1.3B-Diffusers or "
            "files:clips, or storyworld"
        )
    local = str(Path(what).resolve()) if Path(what).exists() else what
    key = {"files": "root", "animatic": "root", "command": "argv"}.get(kind, "model")
    if key == "argv":
        import shlex

        return f"{{type: command, argv: [{', '.join(quoted(a) for a in shlex.split(what))}]}}"
    return f"{{type: {quoted(kind)}, {key}: {quoted(local)}}}"


def quoted(text: str) -> str:
    """Text in quotation marks, as YAML reads it."""
    import json

    return json.dumps(text, ensure_ascii=False)
