"""Where a diffusers model is and which one exactly: a local folder by its bytes, a hub model by its commit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgaudit.backends.file_digests import sha256_folder
from vgaudit.errors import BackendError, SuiteError, Unavailable
from vgaudit.records import digest
from vgaudit.registry import nearest
from vgaudit.zoo.generators import BUNDLED_T2V, T2V, UNKNOWN, Trained, generator_folder
from vgaudit.zoo.resolve import hub_answers

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NO_WEIGHTS = {".md", ".png", ".jpg", ".jpeg", ".gif", ".mp4", ".webp"}

TRAINED_FPS: Mapping[str, float] = {
    "AllegroPipeline": 15,
    "AnimateDiffPipeline": 8,
    "CosmosTextToWorldPipeline": 30,
    "LTXPipeline": 25,
    "LattePipeline": 8,
    "MochiPipeline": 30,
    "TextToVideoSDPipeline": 8,
    "WanPipeline": 16,
}
"""Frame rate that a pipeline's models were made for, where all of them share one."""


@dataclass(frozen=True)
class ModelSource:
    """A model that was found.

    Attributes:
        name: Folder name or hub id, for people.
        load_from: What ``from_pretrained`` takes: a folder or a hub id.
        revision: Commit of a hub model; ``None`` for a folder.
        class_name: Pipeline class that ``model_index.json`` names.
        identity: JSON-able facts that change when the weights do.
        trained: What is known of a model that ships along; nothing of others.
    """

    name: str
    load_from: str
    revision: str | None
    class_name: str
    identity: Mapping[str, Any]
    trained: Trained = UNKNOWN


def find_model(model: str, base_dir: Path, revision: str | None, local_files_only: bool) -> ModelSource:
    """Find ``model`` as a folder (relative to ``base_dir``), as the one that ships along, or as a hub id.

    A hub model is resolved to a commit: from the local cache if it is there, else from the hub, which then also
    fixes what later runs use.

    Raises:
        SuiteError: It is neither a folder of a pipeline nor a hub id.
        Unavailable: The hub model is not in the cache and cannot be fetched, or the one that ships along was changed.
        BackendError: The model brings its own code.
    """
    folder = (base_dir / model).expanduser()
    bundled = model == BUNDLED_T2V and not folder.is_dir()
    if bundled:
        folder = generator_folder(model)
    if folder.is_dir():
        if revision is not None:
            raise SuiteError(f"backend diffusers: `revision` is for hub models; {folder} is a folder")
        index = _read_index(folder / "model_index.json", model)
        _check_no_code(folder, index, model)
        files = {k: v for k, v in sha256_folder(folder).items() if Path(k).suffix.lower() not in _NO_WEIGHTS}
        kind, identity = index["_class_name"], {"files": digest(files)}
        if bundled:
            return ModelSource(model, str(folder), None, kind, identity, T2V)
        return ModelSource(folder.name, str(folder), None, kind, identity)
    if not _HUB_ID.fullmatch(model):
        raise SuiteError(
            f"backend diffusers: model: {model!r} is neither a folder ({folder} does not exist) nor a hub id "
            f"(org/name){nearest(model, [BUNDLED_T2V])}"
        )
    path = _hub_index(model, revision, local_files_only)
    index = _read_index(path, model)
    _check_no_code(path.parent, index, model)
    commit = path.parent.name
    return ModelSource(model, model, commit, index["_class_name"], {"hub": model, "commit": commit})


def _read_index(path: Path, model: str) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SuiteError(
            f"backend diffusers: model: {model} has no model_index.json; "
            "expected a folder written by `save_pretrained`"
        ) from None
    except (OSError, ValueError) as error:
        raise SuiteError(f"backend diffusers: model: {path} cannot be read: {error}") from error
    if not isinstance(index, dict) or not index.get("_class_name"):
        raise SuiteError(f"backend diffusers: model: {path} names no `_class_name`")
    return index


def _check_no_code(folder: Path, index: Mapping[str, Any], model: str) -> None:
    own = not isinstance(index["_class_name"], str)
    for component, value in index.items():
        library = value[0] if isinstance(value, list) and value else None
        if isinstance(library, str):
            own |= "/" in library or ".." in library or (folder / f"{library}.py").exists()
            own |= (folder / component / f"{library}.py").exists()
    if own:
        raise BackendError(
            f"backend diffusers: {model} brings its own Python code, which vgaudit does not run; generate the clips "
            "in its own environment with backend `command`, or score them with backend `files`"
        )


def hub_silence() -> str:
    """Why the hub cannot be asked, or an empty string; its own client would try again for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return "" if hub_answers(constants.ENDPOINT) else "the hub cannot be reached"


def _hub_index(model: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def fetch(local: bool) -> Path:
        return Path(hf_hub_download(model, "model_index.json", revision=revision, local_files_only=local))

    try:
        return fetch(local=True)
    except LocalEntryNotFoundError:
        pass
    at = f" at {revision}" if revision else ""
    remedy = f"fetch it where there is a network: hf download {model}{f' --revision {revision}' if revision else ''}"
    if local_files_only:
        raise Unavailable(
            f"model {model}{at} is not in the local cache, and `local_files_only` is set", remedy
        )
    if reason := hub_silence():
        raise Unavailable(f"model {model}{at} is not in the local cache, and {reason}", remedy)
    try:
        return fetch(local=False)
    except EntryNotFoundError as error:
        if not isinstance(error, LocalEntryNotFoundError):
            raise SuiteError(f"backend diffusers: model: {model}{at} is no diffusers pipeline") from error
        reason = f"model {model}{at} is not in the local cache, and the hub cannot be reached"
        raise Unavailable(reason, remedy) from error
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(f"model {model}{at} cannot be fetched: {reason}", remedy) from error
