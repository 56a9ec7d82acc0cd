"""Reads what a command left behind: ``response.json``, or just the clip. Neither is trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgaudit.backends.base import GenerationOutcome
from vgaudit.backends.clip_sources import kind_of
from vgaudit.index import path_problem
from vgaudit.registry import nearest

_MAX_BYTES = 4 * 2**20
_KEYS = ("outcome", "file", "message", "job_id", "cost", "retry_after_s", "facts")
_JOB_ID = re.compile(r"[\x21-\x7e]{1,512}")


class BadResponseError(ValueError):
    """A response that does not follow the protocol."""


@dataclass(frozen=True)
class Response:
    """What became of one sample.

    Attributes:
        outcome: As in the response.
        file: The clip, checked to lie in the output folder.
        message: Why there is none.
        job_id: Handle of a submitted job.
        cost: What it cost, in the provider's unit.
        retry_after_s: When to ask again.
        facts: Anything the command wants kept.
    """

    outcome: GenerationOutcome
    file: Path | None = None
    message: str = ""
    job_id: str | None = None
    cost: float | None = None
    retry_after_s: float | None = None
    facts: Mapping[str, Any] | None = None


def read_responses(folder: Path, sample_ids: Sequence[str], max_bytes: int) -> dict[str, Response | str]:
    """``sample_id -> response`` of ``folder/response.json``, or why it is not one; empty without the file.

    For one sample the file is the response itself; for several it is ``{"samples": {sample_id: response}}``.
    """
    path = folder / "response.json"
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        value = _load(path)
        if "samples" in value:
            parts = value["samples"]
            if not isinstance(parts, dict):
                raise BadResponseError("`samples` must be an object of sample ids")
            if unknown := sorted(parts.keys() - set(sample_ids)):
                raise BadResponseError(f"`samples` answers {unknown[0][:80]!r}, which was not asked for")
        elif len(sample_ids) == 1:
            parts = {sample_ids[0]: value}
        else:
            raise BadResponseError("expected `samples` with one response for each sample id")
    except BadResponseError as error:
        return dict.fromkeys(sample_ids, f"response.json: {error}")
    out: dict[str, Response | str] = {}
    for sample_id, part in parts.items():
        try:
            out[sample_id] = parse_response(part, folder, max_bytes)
        except BadResponseError as error:
            out[sample_id] = f"response.json: {error}"
    return out


def _load(path: Path) -> dict[str, Any]:
    if path.is_symlink() or not path.is_file():
        raise BadResponseError("expected a plain file, found something else")
    if path.stat().st_size > _MAX_BYTES:
        raise BadResponseError(f"{path.stat().st_size} bytes, more than {_MAX_BYTES}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadResponseError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadResponseError(f"expected an object, found {type(value).__name__}")
    return value


def parse_response(value: Any, folder: Path, max_bytes: int) -> Response:
    """One response, with its file checked.

    Raises:
        BadResponseError: It does not follow the protocol.
    """
    if not isinstance(value, dict):
        raise BadResponseError(f"expected an object, found {type(value).__name__}")
    if unknown := [k for k in value if k not in _KEYS]:
        raise BadResponseError(f"unknown key {unknown[0][:80]!r}{nearest(unknown[0], list(_KEYS))}")
    outcomes = [o.value for o in GenerationOutcome]
    outcome = value.get("outcome")
    if outcome not in outcomes:
        hint = nearest(str(outcome), outcomes)
        raise BadResponseError(f"outcome {str(outcome)[:80]!r}{hint} (one of {', '.join(outcomes)})")
    file = value.get("file")
    if (file is not None) != (outcome == "ok"):
        raise BadResponseError(
            f"`file` goes with outcome ok and with no other; found {file!r} with {outcome}"
        )
    return Response(
        GenerationOutcome(outcome),
        None if file is None else output_file(folder, file, max_bytes),
        _text(value, "message")[:2000],
        _job_id(value),
        _number(value, "cost"),
        _number(value, "retry_after_s"),
        _facts(value),
    )


def output_file(folder: Path, name: Any, max_bytes: int) -> Path:
    """The clip ``name`` in ``folder``.

    Raises:
        BadResponseError: It leaves the folder, is a link or no clip, is missing, empty or too large.
    """
    if not isinstance(name, str):
        raise BadResponseError(f"file: expected a string, found {type(name).__name__}")
    if reason := path_problem(name):
        raise BadResponseError(f"file: {reason}")
    path = folder / name
    step = folder
    for part in Path(name).parts:
        step = step / part
        if step.is_symlink():
            raise BadResponseError(f"file: {name!r} is or passes a link; write the clip itself")
    if not path.exists():
        raise BadResponseError(f"file: {name!r} does not exist in the output folder")
    if kind_of(path) is None or not (path.is_file() or path.is_dir()):
        raise BadResponseError(f"file: {name!r} is no media file, folder of frames, .npy or .npz")
    files = [path] if path.is_file() else list(path.iterdir())
    if any(f.is_symlink() or not f.is_file() for f in files):
        raise BadResponseError(f"file: {name!r} holds something that is no plain file")
    size = sum(f.stat().st_size for f in files)
    if size == 0:
        raise BadResponseError(f"file: {name!r} is empty")
    if size > max_bytes:
        raise BadResponseError(f"file: {name!r} has {size} bytes, more than `max_bytes` {max_bytes}")
    return path


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key) or ""
    if not isinstance(text, str):
        raise BadResponseError(f"{key}: expected a string, found {type(text).__name__}")
    return text


def _job_id(value: Mapping[str, Any]) -> str | None:
    job = value.get("job_id")
    if job is not None and (not isinstance(job, str) or not _JOB_ID.fullmatch(job)):
        raise BadResponseError("job_id: expected 1 to 512 printable ASCII characters without spaces")
    return job


def _number(value: Mapping[str, Any], key: str) -> float | None:
    number = value.get(key)
    if number is None:
        return None
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not math.isfinite(number)
        or number < 0
    ):
        raise BadResponseError(f"{key}: expected a number from 0, found {str(number)[:40]!r}")
    return float(number)


def _facts(value: Mapping[str, Any]) -> Mapping[str, Any]:
    facts = value.get("facts") or {}
    if not isinstance(facts, dict) or not all(
        isinstance(v, str | int | float | None) for v in facts.values()
    ):
        raise BadResponseError("facts: expected an object of names and plain values")
    if any(isinstance(v, float) and not math.isfinite(v) for v in facts.values()):
        raise BadResponseError("facts: NaN and infinity are not values")
    return facts
