"""From a name or a path to a verified file of weights, without importing torch.

Order: a local path; the package itself for weights that ship with it; the folder named by the environment variable
``VGAUDIT_WEIGHTS`` and the user's own, laid out as ``<repo>/<filename>`` (:mod:`vgaudit.zoo.folders`); the Hugging
Face cache, or torch's for what is published elsewhere; a download from the hub, unless ``HF_HUB_OFFLINE`` forbids it.
Whatever is found is hashed before anything reads it, and refused if the digest is not the pinned one.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from vgaudit.errors import Unavailable
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import WEIGHTS, Weights
from vgaudit.zoo.folders import MIRROR_VARIABLE, expanded, pinned_by_user, weights_folders

CONNECT_TIMEOUT_S = 3.0
"""Seconds to wait for the hub to answer at all; its client alone would retry for half a minute."""

BUNDLED = Path(__file__).with_name("bundled")
"""Folder of the weights that ship with the package."""

_SUFFIXES = (".safetensors", ".pt", ".pth", ".pth.tar", ".bin", ".ckpt")


@dataclass(frozen=True)
class ResolvedWeights:
    """A file of weights on this machine, verified.

    Attributes:
        path: Where it is.
        sha256: Digest of its bytes.
        name: Catalogue name, or the file's name for a local file.
        pinned: Whether the digest was held against one stated in the catalogue or by the user.
    """

    path: Path
    sha256: str
    name: str
    pinned: bool


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hex; remembered until its size or modification time changes.

    Raises:
        Unavailable: It cannot be read.
    """
    try:
        stat = path.stat()
        return _hash(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> Unavailable:
    """The error for a file that is there and cannot be read."""
    return Unavailable(
        f"{path} cannot be read: {error.strerror or error}",
        "give yourself the right to read it, or look after the disk it lies on",
    )


@lru_cache(maxsize=256)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_path(name: str) -> bool:
    """Whether ``name`` is meant as a file: it ends like one, or begins with ``.``, ``~`` or ``/``."""
    return name not in WEIGHTS and (name.lower().endswith(_SUFFIXES) or name.startswith((".", "~", "/")))


def local_path(name: str, base_dir: Path) -> str:
    """``name`` made absolute against ``base_dir`` if it is meant as a file; otherwise unchanged."""
    return str((base_dir / expanded(name)).resolve()) if is_path(name) else name


def pinned_digest(name_or_path: str, sha256: str | None = None) -> str:
    """Digest that identifies these weights in a fingerprint, without fetching anything.

    The stated digest, else the catalogue's, else a user's pin; for a local file its own. ``"absent"`` where there is
    none: such weights never load, so no feature is ever stored under it.
    """
    if sha256:
        return sha256.lower()
    if is_path(name_or_path):
        path = expanded(name_or_path)
        return file_sha256(path) if path.is_file() else "absent"
    entry = WEIGHTS.get(name_or_path)
    return (entry.sha256 if entry else None) or pinned_by_user(name_or_path) or "absent"


def resolve(name_or_path: str, sha256: str | None = None, *, entry: Weights | None = None) -> ResolvedWeights:
    """Find the file, verify its digest.

    Args:
        name_or_path: Catalogue name, or path of a local file.
        sha256: Digest the user states, where the catalogue has none; it replaces no established one.
        entry: Description of weights that are not in the catalogue (then ``sha256`` is needed).

    Raises:
        Unavailable: Not found, not fetched, or not the bytes that were pinned; says what to do.
    """
    if entry is None and is_path(name_or_path):
        path = expanded(name_or_path)
        if not path.is_file():
            raise Unavailable(f"no file at {name_or_path}", "put the weights there, or name another path")
        return _verified(path, path.name, sha256)
    entry = entry or WEIGHTS.get(name_or_path)
    if entry is None:
        known = sorted(WEIGHTS)
        raise Unavailable(
            f"no weights are known as {name_or_path!r}{nearest(name_or_path, known)}",
            f"name one of {', '.join(known)}, or a local file",
        )
    if entry.bundled:
        if sha256 and sha256.lower() != entry.sha256:
            raise Unavailable(
                f"{entry.name} ships with vgaudit and is pinned to {entry.sha256 or 'no digest yet'}; "
                f"`sha256: {sha256.lower()}` is another file's",
                "leave `sha256` out, or name the other file by its path",
            )
        return replace(bundled_file(entry, entry.filename), name=entry.name)
    if sha256 and entry.sha256 and sha256.lower() != entry.sha256:
        raise Unavailable(
            f"{entry.name} is pinned to {entry.sha256}; `sha256: {sha256.lower()}` is another file's",
            "leave `sha256` out, or name the other file by its path",
        )
    pin = sha256 or entry.sha256 or pinned_by_user(entry.name)
    if pin is None:
        raise Unavailable(
            f"no digest is established for {entry.name}, so its bytes cannot be verified",
            f"run `{entry.download_command}`: it prints the digest of what it fetched from {_source(entry)}, for you "
            "to check and to pin",
        )
    prefix = entry.sha256_prefix
    if not pin.lower().startswith(prefix):
        raise Unavailable(
            f"`sha256: {pin.lower()}` cannot be that of {entry.filename}, whose published name says that it begins "
            f"with {prefix}",
            "state the published file's digest, or name your own file by its path",
        )
    return _verified(
        mirrored(entry) or cached(entry) or _download(entry),
        entry.name,
        pin,
        f"the file is damaged or another one: delete it and fetch it again (`{entry.download_command}`)",
    )


def bundled_file(entry: Weights, filename: str) -> ResolvedWeights:
    """A file that ships in the folder of a bundled network, verified.

    Args:
        entry: The network.
        filename: The network's file, or one ``beside`` it.

    Raises:
        Unavailable: It is not there, or not the bytes that were pinned.
    """
    path, remedy = BUNDLED / entry.bundled / filename, entry.download_command
    pin = entry.sha256 if filename == entry.filename else entry.beside.get(filename)
    if not path.is_file():
        raise Unavailable(f"{entry.name} ships with vgaudit, but its file {filename} is not there", remedy)
    if pin is None:
        raise Unavailable(
            f"no digest is established for {filename} of {entry.name}, so it cannot be verified", remedy
        )
    return _verified(path, filename, pin, f"the file was changed: {remedy}")


def _verified(
    path: Path,
    name: str,
    pin: str | None,
    remedy: str = "the file is damaged or another one: delete it and fetch it again",
) -> ResolvedWeights:
    found = file_sha256(path)
    if pin is not None and found != pin.lower():
        raise Unavailable(f"{path} has sha256 {found}, but {name} is pinned to {pin.lower()}", remedy)
    return ResolvedWeights(path, found, name, pinned=pin is not None)


def mirrored(entry: Weights) -> Path | None:
    """The entry's file in a folder of weights, or ``None``.

    Raises:
        Unavailable: A folder may not be looked into.
    """
    paths = (folder / entry.mirror_path for folder in weights_folders())
    return next((path for path in paths if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise unreadable(path, error) from error


def cached(entry: Weights) -> Path | None:
    """The entry's file in the hub's cache, or in torch's for what is published elsewhere; or ``None``."""
    if entry.url:
        checkpoints = _torch_checkpoints()
        path = checkpoints / entry.filename if checkpoints else None
        return path if path and _is_file(path) else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(entry.repo, entry.filename, revision=entry.revision)
    return Path(found) if isinstance(found, str) else None


def _torch_checkpoints() -> Path | None:
    """Where torch's own downloads lie; ``None`` where the user has no home folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    try:
        return Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"
    except RuntimeError:
        return None


def _download(entry: Weights) -> Path:
    if entry.url:
        raise Unavailable(
            f"weights {entry.name} are not here and are not fetched by themselves", _remedy(entry)
        )
    return from_hub(entry)


def from_hub(entry: Weights, *, anew: bool = False) -> Path:
    """Fetch the entry's file into the hub's cache; what an earlier attempt left is gone on with.

    Args:
        entry: Of a file of the hub.
        anew: Even if a file is in the cache: it is damaged. It is replaced.

    Raises:
        Unavailable: It cannot be reached, or gives no such file; says what to do.
    """
    from huggingface_hub import constants, hf_hub_download

    lacking = "here are damaged or other ones" if anew else "are not here"
    if constants.HF_HUB_OFFLINE:
        raise Unavailable(f"weights {entry.name} {lacking}, and HF_HUB_OFFLINE is set", _remedy(entry))
    if not hub_answers(constants.ENDPOINT):
        host = urlsplit(constants.ENDPOINT).netloc
        raise Unavailable(f"weights {entry.name} {lacking}, and {host} does not answer", _remedy(entry))
    try:
        path = hf_hub_download(
            entry.repo,
            entry.filename,
            revision=entry.revision,
            etag_timeout=CONNECT_TIMEOUT_S,
            force_download=anew,
        )
    except Exception as error:  # the hub's client raises its own, httpx's and OS errors
        raise Unavailable(
            f"{entry.name} could not be fetched: {type(error).__name__}: {error}", _remedy(entry)
        ) from error
    return Path(path)


def hub_answers(endpoint: str) -> bool:
    """Whether the hub can be reached; behind a proxy nobody knows, so its client may try."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    url = urlsplit(endpoint)
    try:
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _remedy(entry: Weights) -> str:
    digest = f" (sha256 {entry.sha256})" if entry.sha256 else ""
    return (
        f"run `{entry.download_command}` where there is a network, or fetch {_source(entry)}{digest} elsewhere and "
        f"run `vgaudit models import FILE --as {entry.name}` (or put it at ${MIRROR_VARIABLE}/{entry.mirror_path})"
    )


def _source(entry: Weights) -> str:
    return entry.url or f"{entry.repo}, {entry.filename}"
