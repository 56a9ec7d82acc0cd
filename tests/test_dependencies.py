"""What the package imports is what it asks an installer for: the environment of the tests has more than that."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import files, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {"markupsafe": "jinja2", "pydantic-core": "pydantic"}
"""Distributions whose types are a declared one's interface, and which that one cannot be installed without."""
NOT_DECLARED = {"fcntl"}  # only on POSIX, so that other systems' lists of standard modules lack it


def canonical(name: str) -> str:
    """A distribution's name in one spelling, from a requirement such as ``A_b>=1; extra == 'x'``."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name.strip(), maxsplit=1)[0]).lower()


def declared() -> tuple[set[str], set[str]]:
    """Distributions that every installation has, and those of the extras that users are told of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "dynamic" not in project, "the wheel's metadata would not be these lists"
    extras = project["optional-dependencies"]
    users = [entry for extra, entries in extras.items() if extra not in ("test", "dev") for entry in entries]
    return set(map(canonical, project["dependencies"])), set(map(canonical, users))


def imports(tree: ast.AST, in_function: bool = False) -> Iterator[tuple[str, bool]]:
    """Top-level names of imported modules, and whether only a call imports them; none of a type checker's own."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), in_function)
        elif isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], in_function
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, in_function or inside)


def undeclared(
    found: Iterable[tuple[str, bool]], core: set[str], extras: set[str], homes: dict[str, list[str]]
) -> set[str]:
    """Modules that an installation could lack when they are imported."""
    wrong = set()
    for module, in_function in found:
        if module == "vgaudit" or module in sys.stdlib_module_names | NOT_DECLARED:
            continue
        names = set(map(canonical, homes.get(module, ())))
        names |= {BROUGHT[name] for name in names if name in BROUGHT}
        if not names & (core | extras if in_function else core):
            wrong.add(module)
    return wrong


def test_every_import_is_of_a_declared_dependency() -> None:
    core, extras = declared()
    homes = {module: list(names) for module, names in packages_distributions().items()}
    for name in core:  # a wheel's own list of its modules may be short: dlib-bin's leaves dlib out
        for file in files(name) or ():
            if len(file.parts) > 1 and file.name == "__init__.py":
                homes.setdefault(file.parts[0], []).append(name)
    wrong: dict[str, set[str]] = {}
    seen: set[str] = set()
    for path in sorted((ROOT / "vgaudit").rglob("*.py")):
        found = list(imports(ast.parse(path.read_text("utf-8"))))
        seen |= {module for module, _ in found}
        if problem := undeclared(found, core, extras, homes):
            wrong[path.relative_to(ROOT).as_posix()] = problem
    assert wrong == {}
    assert {"torch", "cv2", "PIL", "pydantic", "onnxruntime"} <= seen, (
        "the walk finds what is known to be there"
    )


@pytest.mark.parametrize(("name", "by"), BROUGHT.items())
def test_what_is_brought_along_is_a_requirement_of_what_is_declared(name: str, by: str) -> None:
    assert by in declared()[0]
    assert name in {canonical(entry) for entry in requires(by) or () if ";" not in entry}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a.b", set()),
        ("import x", {"x"}),
        ("from unknown.part import y", {"unknown"}),
        ("def f():\n    import x", set()),
        ("class C:\n    async def f(self):\n        from x import y", set()),
        ("class C:\n    import x", {"x"}),
        ("try:\n    import x\nexcept ImportError:\n    pass", {"x"}),
        ("def f():\n    import unknown", {"unknown"}),
        ("if TYPE_CHECKING:\n    import x\nelse:\n    import unknown", {"unknown"}),
        ("from . import x\nimport json", set()),
    ],
)
def test_an_extra_s_module_is_imported_by_calls_only(code: str, expected: set[str]) -> None:
    homes = {"a": ["A_dist"], "x": ["x-dist"]}
    assert undeclared(imports(ast.parse(code)), {"a-dist"}, {"x-dist"}, homes) == expected
