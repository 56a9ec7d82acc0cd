"""Tells what a weights file is by looking at it, and refuses what would run code when loaded.

Nothing here unpickles or imports. A pickle is a program; a TorchScript archive and a ``torch.export`` archive
are data with a graph, but both formats have doors that lead to files or to Python: operators that open
files, embedded pickles, expressions that are evaluated. Archives with such a door are refused.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from vgaudit.errors import BackendError

Kind = Literal["torchscript", "export", "safetensors", "pickle", "unknown"]

_MAX_TEXT = 256 * 2**20
_FILE_OPERATORS = re.compile(r"\b(?:torch|ops(?:\.\w+)*)\.\s*(save|load|from_file|read_file|write_file)\s*\(")


def kind_of_checkpoint(path: Path) -> Kind:
    """What format ``path`` has, by its content.

    Raises:
        BackendError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise BackendError(
            f"weights {path}: cannot be read: {error.strerror}; check the path in the suite"
        ) from error
    if head.startswith(b"PK"):
        return _kind_of_archive(path)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    # Protocol 2 and later begin with 0x80 and the protocol; torch's legacy format is a run of such pickles.
    return "pickle" if head[:1] == b"\x80" and head[1:2] <= b"\x05" else "unknown"


def _kind_of_archive(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            full = archive.namelist()
    except zipfile.BadZipFile as error:
        raise BackendError(
            f"weights {path}: the archive is damaged ({error}); fetch the file again"
        ) from error
    if len(set(full)) < len(full):
        raise BackendError(f"weights {path}: the archive holds two files of one name; fetch the file again")
    names = [n.split("/", 1)[-1] for n in full]
    if any(re.fullmatch(r"(models/.*|serialized_exported_program)\.json", n) for n in names):
        return "export"
    if "constants.pkl" in names and any(n.startswith("code/") and n.endswith(".py") for n in names):
        return "torchscript"
    return "pickle" if any(n.endswith(".pkl") for n in names) else "unknown"


def check_torchscript(path: Path) -> None:
    """Refuse a TorchScript archive whose code names operators that read or write files.

    Raises:
        BackendError: It does.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.split("/", 1)[-1].startswith("code/") and info.filename.endswith(".py"):
                code = _text(path, archive, info)
                if found := _FILE_OPERATORS.search(code):
                    raise _refused(
                        path, f"its code calls {found[0].rstrip('(').strip()}, which touches files"
                    )


def check_export(path: Path) -> None:
    """Refuse a ``torch.export`` archive that holds pickles, foreign operators or expressions that are no arithmetic.

    Raises:
        BackendError: It does.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.split("/", 1)[-1]
            if name.endswith(".json"):
                try:
                    value = json.loads(_text(path, archive, info))
                except (ValueError, RecursionError) as error:
                    raise BackendError(f"weights {path}: {name} in it is not JSON: {error}") from error
                for reason in _doors(value):
                    raise _refused(path, reason)
            elif name.startswith("data/sample_inputs/"):
                _check_tensors_only(path, archive.read(info))
            elif name.startswith(("data/weights/", "data/constants/")) and name.endswith((".pt", ".pkl")):
                raise _refused(path, f"{name} in it is a pickle")
            elif name.startswith("data/aotinductor/") or name.endswith(".so"):
                raise _refused(path, f"{name} in it is compiled code")
            elif name in (
                "serialized_state_dict.pt",
                "serialized_constants.pt",
                "serialized_example_inputs.pt",
            ):
                _check_tensors_only(path, archive.read(info))


def _text(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > _MAX_TEXT:
        raise BackendError(
            f"weights {path}: {info.filename} unpacks to {info.file_size} bytes; that is no model"
        )
    return archive.read(info).decode("utf-8", errors="replace")


def _check_tensors_only(path: Path, data: bytes) -> None:
    # torch.export falls back to a full unpickling where this fails, so it must not get that far.
    import io
    import pickle

    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise _refused(path, "a pickle in it holds more than tensors") from error


def _refused(path: Path, reason: str) -> BackendError:
    return BackendError(
        f"weights {path}: refused, because {reason}; use a `factory` with safetensors weights, or export it again"
    )


_TARGET = re.compile(
    r"torch\.ops\.(?:aten|prims|higher_order|torchvision|_c10d_functional)\.\w+(?:\.\w+)?"
    r"|_operator\.(?:add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.(?:ceil|floor|trunc|sqrt|log|log2|exp)"
    r"|torch\.sym_\w+|torch\._sym_\w+"
)
_NAMES = frozenset(
    """Symbol Integer Float Rational Add Mul Pow Mod Max Min Abs Eq Ne Lt Le Gt Ge And Or Not Equality Unequality
    LessThan StrictLessThan GreaterThan StrictGreaterThan True False positive negative integer nonnegative real
    precision FloorDiv ModularIndexing Where PythonMod CleanDiv CeilToInt FloorToInt CeilDiv LShift RShift
    PowByNatural FloatPow FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt
    RoundToInt RoundDecimal ToFloat Identity Piecewise oo int_oo zoo L size stride storage_offset dim numel and or
    not cast_symbool_to_symint_guardless""".split()  # noqa: SIM905
)
_QUOTED = re.compile(r"'[A-Za-z_][\w.]*'|\"[A-Za-z_][\w.]*\"")
_METHOD = re.compile(r"\.(?:size|stride|storage_offset|dim|numel)\(\)")


def _doors(value: Any) -> Iterator[str]:
    """Reasons not to load a graph, found by walking its JSON."""
    if isinstance(value, list):
        for item in value:
            yield from _doors(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if (
            key == "target"
            and isinstance(item, str)
            and (not _TARGET.fullmatch(item) or ".from_file" in item)
        ):
            yield f"its graph calls {item[:80]!r}"
        elif key == "expr_str" and not _is_arithmetic(item):
            yield f"a size in it is the expression {str(item)[:80]!r}"
        elif key == "guards_code" and not all(_is_arithmetic(g) for g in item or ()):
            yield "it carries guards that are not arithmetic"
        elif key == "use_pickle" and item:
            yield "a tensor in it is stored as a pickle"
        else:
            yield from _doors(item)


def _is_arithmetic(expression: Any) -> bool:
    """Whether an expression consists of numbers, operators, symbols of sizes and known functions only."""
    if not isinstance(expression, str) or len(expression) > 10_000:
        return False
    bare = _METHOD.sub("()", _QUOTED.sub("s0", expression))
    if re.search(r"\.\s*[A-Za-z_]|__|[\"'`;:{}\\]", bare):
        return False
    names = re.findall(r"[A-Za-z_]\w*", bare)
    return all(n in _NAMES or re.fullmatch(r"[suz][fi]?[0-9]+|e[0-9]*", n) for n in names)
