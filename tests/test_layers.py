"""Imports run one way, floor above floor; what must stay light stays light.

Every import counts, also one inside a function and one for type checking only: a lazy import upwards would
still be a circle in the plan of the house. ``docs/architecture.md`` draws the same floors.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Low to high. A module may import from its own floor and from those below; circles are refused everywhere.
FLOORS: dict[str, tuple[str, ...]] = {
    "words": ("errors", "records", "plan", "registry", "progress"),
    "sums": ("estimates", "stats", "sign_flips", "paired", "conditions", "gates", "gate_*", "shortfall",
        "power"),
    "files": (
        "arrays", "video", "video.*", "rows", "index", "package_files", "provenance", "rundir", "decisions",
        "decision_words", "decision_chain", "shipped", "zoo", "zoo.*", "storyworld", "storyworld.*",
    ),
    "contracts": (
        "backends.base", "extractors.base", "metrics.base", "reports.data", "pipeline.publish", "pipeline.runspec",
    ),
    "suite": ("suite", "suite.*", "imports", "imports.*"),
    "makers": ("backends", "backends.*", "extractors", "extractors.*", "likeness", "likeness.*"),
    "measures": ("metrics", "metrics.*", "reports", "reports.*"),
    "stages": ("pipeline.*", "execution", "execution.*", "compare", "compare.*"),
    "whole": (
        "pipeline", "pipeline.run", "pipeline.prepare", "desk", "desk.*", "testing", "testing.*", "notebook", "",
    ),
    "door": ("scaffold", "cli", "cli.*", "__main__"),
}  # fmt: skip

# Beyond the floors: importer, imported, why not.
FORBIDDEN = (
    ("metrics.*", "backends.*", "a metric must not know where clips come from"),
    ("backends.*", "extractors.*", "a backend makes clips and judges nothing"),
    ("backends.*", "likeness.*", "a backend makes clips and judges nothing"),
    ("extractors.*", "backends.*", "features come from frames alone"),
    ("extractors.*", "likeness.*", "a gallery uses features, not the other way round"),
    ("reports.*", "metrics.*", "a report is written from records"),
    ("reports.*", "extractors.*", "a report is written from records"),
    ("reports.*", "backends.*", "a report is written from records"),
    ("reports.*", "video*", "a report never decodes a clip"),
    ("likeness.*", "reports.*", "likeness knows nothing of HTML"),
    ("likeness.*", "metrics.*", "metrics use likeness, not the other way round"),
)

HEAVY = (
    "torch", "torchvision", "diffusers", "transformers", "open_clip", "facenet_pytorch", "torchmetrics", "starlette",
    "uvicorn",
)  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """Module name below ``vgaudit`` ('' for the package itself) to its file."""
    out = {}
    for path in sorted((ROOT / "vgaudit").rglob("*.py")):
        parts = path.relative_to(ROOT / "vgaudit").with_suffix("").parts
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return out


@cache
def imports(name: str) -> frozenset[str]:
    """Everything a module imports: other modules of the package by short name, foreign ones as ``:torch``."""
    found: set[str] = set()
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    taken = {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "vgaudit"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            # The version is a constant, there before the package's own imports.
            targets = [[a.name] for a in node.names if a.name != "vgaudit" or taken != {"__version__"}]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name or 'vgaudit'}: relative import in line {node.lineno}"
            base = node.module or ""
            targets = [[f"{base}.{alias.name}", base] for alias in node.names]
        else:
            continue
        for choices in targets:  # `from a import b` is module a.b where there is one, else a
            short = [
                c.partition("vgaudit")[2].removeprefix(".") for c in choices if c.split(".")[0] == "vgaudit"
            ]
            if short:
                found.add(next((s for s in short if s in modules()), short[-1]))
            else:
                found.add(f":{choices[-1].split('.')[0]}")
    return frozenset(found)


def floor(name: str) -> int:
    for level, patterns in enumerate(FLOORS.values()):
        if name in patterns:
            return level
    for level, patterns in enumerate(FLOORS.values()):
        if any(fnmatchcase(name, p) for p in patterns):
            return level
    raise AssertionError(f"vgaudit.{name} stands on no floor; give it one in {Path(__file__).name}")


@pytest.mark.parametrize("name", modules())
def test_imports_never_go_up(name: str) -> None:
    here = floor(name)
    labels = list(FLOORS)
    up = [i for i in imports(name) if not i.startswith(":") and floor(i) > here]
    assert not up, f"{name} ({labels[here]}) imports {[(i, labels[floor(i)]) for i in up]}"


def test_there_is_no_circle() -> None:
    graph = {n: {i for i in imports(n) if i in modules() and i != n} for n in modules()}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize(("importer", "imported", "why"), FORBIDDEN)
def test_rooms_that_must_not_know_each_other(importer: str, imported: str, why: str) -> None:
    for name in modules():
        if fnmatchcase(name, importer) and not name.endswith(".base"):
            bad = [i for i in imports(name) if fnmatchcase(i, imported) and not i.endswith(".base")]
            assert not bad, f"{name} imports {bad}: {why}"


@pytest.mark.parametrize(
    "name", [n for n in modules() if n == "reports" or n.startswith("reports.") or floor(n) < 2]
)
def test_light_modules_never_name_a_heavy_one(name: str) -> None:
    assert not {i[1:] for i in imports(name) if i.startswith(":")} & {*HEAVY, "av", "cv2"}


@pytest.mark.parametrize("name", modules())
def test_heavy_packages_are_imported_inside_functions(name: str) -> None:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            lazy |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in lazy:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            bad = [n for n in names if n.split(".")[0] in HEAVY]
            assert not bad, f"vgaudit.{name}, line {node.lineno}: {bad} at module level"


def loaded_by(statement: str, packages: tuple[str, ...]) -> list[str]:
    code = f"{statement}\nimport sys\nprint(*[m for m in {packages!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "name", ["vgaudit.gates", "vgaudit.pipeline.finish", "vgaudit.reports.write", "vgaudit.suite"]
)
def test_gating_and_reporting_load_no_torch(name: str) -> None:
    assert loaded_by(f"import {name}", HEAVY) == []


@pytest.mark.parametrize("kind", ["backends", "metrics", "extractors"])
def test_looking_up_every_built_in_loads_no_torch(kind: str) -> None:
    statement = (
        f"from vgaudit import registry\nfor n in registry.BUILT_IN[{kind!r}]: registry.load({kind!r}, n)"
    )
    assert loaded_by(statement, HEAVY) == []


def test_help_needs_nothing_heavy() -> None:
    statement = (
        "import sys; sys.argv = ['vgaudit', '--help']\n"
        "import contextlib, io, vgaudit.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): vgaudit.cli.main()"
    )
    assert loaded_by(statement, (*HEAVY, "numpy", "pandas", "scipy", "av", "cv2")) == []


@pytest.mark.parametrize("name", modules())
def test_no_room_is_larger_than_five_hundred_lines(name: str) -> None:
    assert len(modules()[name].read_text(encoding="utf-8").splitlines()) <= 500
    assert modules()[name].stem not in ("utils", "util", "helpers", "common", "misc")
