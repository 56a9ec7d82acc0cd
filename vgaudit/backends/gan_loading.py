"""Loads a generator network for backend ``gan``: after its digest, and only in formats that were looked at."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vgaudit.backends.base import BackendContext
from vgaudit.backends.checkpoints import Kind, check_export, check_torchscript, kind_of_checkpoint
from vgaudit.backends.devices import choose_device
from vgaudit.backends.file_digests import sha256_file
from vgaudit.errors import BackendError, SuiteError, Unavailable

if TYPE_CHECKING:
    import torch

PickleTrust = Literal["I trust this file"]

_PICKLE_REFUSED = (
    "is a pickle, which can run any code when it is loaded; convert it to safetensors with a `factory`, or say "
    "`allow_pickle: I trust this file` together with its `sha256`"
)


@dataclass(frozen=True)
class Network:
    """A network ready to be called.

    Attributes:
        module: Takes ``(z)`` or ``(z, condition)``.
        device: Where its inputs must be.
    """

    module: Callable[..., Any]
    device: str


class LoadOptions(Protocol):
    """What loading reads of the backend's options."""

    @property
    def model(self) -> str | None: ...  # noqa: D102
    @property
    def factory(self) -> str | None: ...  # noqa: D102
    @property
    def factory_options(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def allow_pickle(self) -> str | None: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102


def weights_identity(
    path: Path, pinned: str | None, allow_pickle: str | None, factory: str | None
) -> dict[str, Any]:
    """Digest of the weights and of the factory's source; checks the pin and the format, loads nothing.

    Raises:
        BackendError: The digest differs from ``pinned``, or the format is refused.
    """
    found = sha256_file(path)
    if pinned is not None and found != pinned:
        raise BackendError(f"weights {path}: expected sha256 {pinned}, found {found}; this is another file")
    kind = kind_of_checkpoint(path)
    _check_format(path, kind, allow_pickle, factory)
    return {"sha256": found, "format": kind, "source": _source_digest(factory)}


def _check_format(path: Path, kind: Kind, allow_pickle: str | None, factory: str | None) -> None:
    if kind == "pickle" and not allow_pickle:
        raise BackendError(f"weights {path} {_PICKLE_REFUSED}")
    expected = ("safetensors", "pickle") if factory else ("torchscript", "export", "pickle")
    if kind not in expected:
        shown = "safetensors" if factory else "TorchScript or torch.export (safetensors need a `factory`)"
        raise BackendError(
            f"weights {path}: expected {shown}, found {'an unknown format' if kind == 'unknown' else kind}"
        )


def _source_digest(factory: str | None) -> str | None:
    """Digest of the file of the factory's module, found without importing it; ``None`` when there is none."""
    if factory is None:
        return None
    top, *rest = factory.partition(":")[0].split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise SuiteError(f"backend gan: factory {factory!r}: no module {top!r} can be imported here")
    if not rest:
        return sha256_file(Path(spec.origin)) if spec.origin and Path(spec.origin).is_file() else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder).joinpath(*rest)
        for source in (base.with_suffix(".py"), base / "__init__.py"):
            if source.is_file():
                return sha256_file(source)
    raise SuiteError(f"backend gan: factory {factory!r}: package {top!r} has no module {'.'.join(rest)!r}")


def load_network(path: Path, options: LoadOptions, context: BackendContext) -> Network:
    """The network at ``path`` on its device, in evaluation mode.

    Raises:
        BackendError: It cannot be loaded.
        Unavailable: A factory misses what it needs.
    """
    device = choose_device(options.device)
    kind = kind_of_checkpoint(path)
    _check_format(path, kind, options.allow_pickle, options.factory)
    try:
        if options.factory:
            module = _from_factory(path, kind, options.factory, options.factory_options)
        elif kind == "torchscript":
            module = _torchscript(path)
        elif kind == "export":
            module = _exported(path, device)
        else:
            module = _unpickled(path)
    except (BackendError, Unavailable):
        raise
    except Exception as error:
        raise BackendError(
            f"weights {path}: cannot be loaded as {kind}: {type(error).__name__}: {error}"
        ) from error
    if kind != "export":  # an exported program has no modes
        module.eval()
    return Network(module.to(device), device)


def _torchscript(path: Path) -> torch.nn.Module:
    import torch

    check_torchscript(path)
    with warnings.catch_warnings():
        # Loading stays supported; the deprecation is about writing new models.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-any-return,no-untyped-call]


def _exported(path: Path, device: str) -> torch.nn.Module:
    import torch

    check_export(path)
    program = torch.export.load(str(path))
    if device != "cpu":
        # Devices are written into an exported graph; moving its weights alone is not enough.
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module()


def _from_factory(path: Path, kind: Kind, factory: str, keywords: dict[str, Any]) -> torch.nn.Module:
    import torch

    name, _, attribute = factory.partition(":")
    module = importlib.import_module(name)
    make = getattr(module, attribute, None)
    if not callable(make):
        raise BackendError(f"factory {factory!r}: module {name!r} has no callable {attribute!r}")
    network = make(**keywords)
    if not isinstance(network, torch.nn.Module):
        raise BackendError(
            f"factory {factory!r} returned {type(network).__name__}; expected a torch.nn.Module"
        )
    if kind == "pickle":
        # A state dict is tensors only; more than that is not needed here even when the file is trusted.
        state = torch.load(path, map_location="cpu", weights_only=True)
    else:
        from safetensors.torch import load_file

        state = load_file(path)
    network.load_state_dict(state, strict=True)
    return network


def _unpickled(path: Path) -> torch.nn.Module:
    """A pickled module: its digest is pinned, and the suite says in words that it is trusted."""
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(loaded, torch.nn.Module):
        raise BackendError(
            f"weights {path}: holds {type(loaded).__name__}, not a network; give a `factory` that builds the network"
        )
    return loaded
