"""Writes a suite to start from: for a folder of clips, or from nothing. Overwrites nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vgaudit.errors import SuiteError, UsageError
from vgaudit.index import path_problem, prompt_id_of, read_index


def scaffold_suite(videos: Path, out: Path) -> list[Path]:
    """Write ``suite.yaml`` and ``index.csv`` for a folder of clips.

    VBench's ``<prompt>-<i>`` names give prompts and seeds; sub-folders that hold the same names are
    taken for models; an ``index.csv`` that is already among the clips is used as it is.

    Args:
        videos: Folder of clips; may be ``out`` itself.
        out: Folder to write into; made if need be.

    Returns:
        The files written.

    Raises:
        UsageError: There are no clips, one's name cannot stand in an index, or a file is there already.
        SuiteError: An index among the clips is wrong.
    """
    # Imported here because backends need numpy and PyAV, and `vgaudit --help` must not.
    from vgaudit.backends.clip_naming import read_names
    from vgaudit.backends.clip_sources import find_clips

    if not videos.is_dir():
        raise UsageError(
            f"{videos}: expected a folder of clips, found {'a file' if videos.exists() else 'nothing'}"
        )
    try:
        found = find_clips(videos)
    except SuiteError as error:
        raise UsageError(str(error)) from error
    if not found.clips:
        raise UsageError(f"{videos}: no clips in it ({'; '.join(found.notes) or 'it is empty'})")
    if odd := [f"{c!r} {reason}" for c in found.clips if (reason := path_problem(c))]:
        raise UsageError(f"{videos}: rename these clips first: {'; '.join(odd[:5])}")
    suite_path, index_path = out / "suite.yaml", out / "index.csv"
    given = videos / "index.csv"
    files: dict[Path, str] = {}
    if given.is_file():
        rows = read_index(given)
        has_prompts = any(row.prompt for row in rows)
    else:
        named = read_names(found.clips, "auto")
        files[index_path] = _index_text(found.clips, named)
        has_prompts = bool(named)
    root = Path(os.path.relpath(videos.resolve(), out.resolve())).as_posix()
    rate = any(kind != "media" for kind in found.kinds)
    files[suite_path] = _suite_text(_safe_name(videos), root, has_prompts=has_prompts, needs_rate=rate)
    return _write(files)


def scaffold_new(out: Path) -> list[Path]:
    """Write a commented ``suite.yaml`` and ``prompts.csv`` to start from.

    Raises:
        UsageError: One of them is there already.
    """
    prompts = io.StringIO(newline="")
    writer = csv.writer(prompts, lineterminator="\n")
    writer.writerow(["id", "prompt", "setting"])
    writer.writerows(_STARTER_PROMPTS)
    text = _STARTER.replace("NAME", json.dumps(_safe_name(out)))
    return _write({out / "prompts.csv": prompts.getvalue(), out / "suite.yaml": text})


def _write(files: dict[Path, str]) -> list[Path]:
    if there := [str(path) for path in files if path.exists() or path.is_symlink()]:
        raise UsageError(
            f"{', '.join(there)}: already there, and init overwrites nothing; give another folder"
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    return list(files)


def _index_text(clips: Sequence[str], named: dict[str, tuple[str, int]]) -> str:
    models = _models(clips)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "prompt", "prompt_id", "seed", *(["model"] if models else [])])
    for clip in clips:
        model = clip.split("/", 1)[0] if models else ""
        prompt, seed = named.get(clip, ("", None))
        within = clip.removeprefix(f"{model}/") if models else clip
        prompt_id = prompt_id_of(prompt) if prompt else _stem(within)
        writer.writerow([clip, prompt, prompt_id, "" if seed is None else seed, *([model] if models else [])])
    return out.getvalue()


def _models(clips: Sequence[str]) -> bool:
    """Whether the first folders are models: there are several, and most names occur in more than one of them."""
    parts = [clip.split("/", 1) for clip in clips]
    if any(len(p) == 1 for p in parts) or len({p[0] for p in parts}) < 2:
        return False
    names = Counter(_stem(p[1]) for p in parts)
    return 2 * sum(n > 1 for n in names.values()) > len(names)


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _safe_name(folder: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:64]
    return name or "suite"


def _suite_text(name: str, root: str, *, has_prompts: bool, needs_rate: bool) -> str:
    lines = [
        "# Written by `vgaudit init`; run it with `vgaudit run`. Every key is described by `vgaudit schema`.",
        f"name: {json.dumps(name)}",
        "",
        "backend:",
        "  type: files",
        f"  root: {json.dumps(root, ensure_ascii=False)}",
        "  index: index.csv              # path, prompt, prompt_id, seed, model; further columns are tags",
    ]
    if needs_rate:
        lines.append("  fps: 8                        # of frame folders and arrays: put theirs here")
    lines += ["", "metrics:", "  integrity: {}", "  temporal: {}", "  vbench: {}"]
    if has_prompts:
        lines.append("  prompt_alignment: {}          # loads CLIP")
    else:
        lines.append("  # prompt_alignment: {}        # loads CLIP; fill in the prompts of index.csv first")
    lines += [
        "  # likeness: {gallery: people}  # people/<name>/1.jpg: whose likeness must not appear",
        "",
        "gates:",
        "  - findings integrity.* <= 0",
        "  # - temporal.warp_error <= 0.05",
        "",
    ]
    return "\n".join(lines)


_STARTER_PROMPTS = [
    ("beach-dog", "a dog walking along the beach at sunset", "outdoors"),
    ("rain-street", "rain falling on a quiet street at night, neon signs reflected in the puddles", "city"),
    ("tea", "a close-up of steam rising from a cup of tea on a wooden table", "indoors"),
    ("kite", "a red kite turning in the wind above a green hill", "outdoors"),
    ("train", "a train crossing a stone bridge in the mountains, seen from the valley", "outdoors"),
    ("paper-boat", "a paper boat drifting down a narrow stream", "outdoors"),
]

_STARTER = """\
# A suite to start from. Every key is described by `vgaudit schema`; check it with `vgaudit validate`.
name: NAME

# Where clips come from: one of these.
backend:
  type: diffusers                 # any text-to-video pipeline of diffusers
  model: Wan-AI/Wan2.1-T2V-1.3B-Diffusers   # hub id, or a folder beside this file
  parameters: {num_inference_steps: 30, guidance_scale: 5.0}
  # offload: model                # when GPU memory is short

# backend: {type: files, root: clips, index: index.csv}          # clips you have (see `vgaudit init --from`)
# backend: {type: gan, model: generator.pt, z_dim: 128, fps: 16} # TorchScript or torch.export
# backend: {type: command, argv: [python3, client.py, "{request}"]} # a program of yours, or an API

# What is asked of every clip; each clip is checked for it.
video: {frames: 33, fps: 16, width: 832, height: 480}
seeds: 2                          # clips of each prompt
prompts: prompts.csv              # id, prompt; further columns are tags

metrics:                          # only those named are computed
  integrity: {}
  temporal: {}
  vbench: {}
  prompt_alignment: {}            # loads CLIP
  # likeness: {gallery: people}   # people/<name>/1.jpg: whose likeness must not appear

gates:                            # they decide the exit code
  - findings integrity.* <= 0
  - findings temporal.freeze <= 0
  # - temporal.warp_error <= 0.05
"""
