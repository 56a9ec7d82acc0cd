"""Every built-in metric keeps the promises that authors of plugins are held to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from vgaudit import registry
from vgaudit.metrics.integrity import Integrity
from vgaudit.testing import check_metric

TESTS = Path(__file__).resolve().parent.parent
CHECK = "vgaudit.testing:check_metric"


def test_integrity_keeps_the_promises() -> None:
    check_metric(Integrity, judges_empty_clips=True)


def checked_in(source: str) -> set[str]:
    """``module:Class`` of every metric that a test of ``source`` passes to ``check_metric``."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    calls = [n for test in tests for n in ast.walk(test) if isinstance(n, ast.Call)]
    return {
        imported.get(call.args[0].id, "")
        for call in calls
        if isinstance(call.func, ast.Name) and imported.get(call.func.id) == CHECK
        if call.args and isinstance(call.args[0], ast.Name)
    }


@pytest.fixture(scope="module")
def checked() -> set[str]:
    """Of all test files. Metrics that need weights, galleries or references are checked in files of their own."""
    return {metric for file in TESTS.glob("**/test_*.py") for metric in checked_in(file.read_text("utf-8"))}


@pytest.mark.parametrize("name", registry.BUILT_IN["metrics"])
def test_every_built_in_metric_is_checked(checked: set[str], name: str) -> None:
    assert registry.BUILT_IN["metrics"][name] in checked, (
        f"no test calls check_metric with the class of {name}"
    )


def test_the_search_for_checks_can_fail() -> None:
    head = "from vgaudit.testing import check_metric\nfrom vgaudit.metrics.fvd import Fvd\n"
    assert checked_in(head + "def test_it(): check_metric(Fvd, {})") == {"vgaudit.metrics.fvd:Fvd"}
    assert checked_in(head + "def helper(): check_metric(Fvd)") == set()
    assert checked_in(head + "def test_it(): 'check_metric(Fvd)'") == set()
