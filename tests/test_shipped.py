"""Shipped folders are those of this project, whatever lies beside the installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgaudit import shipped


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (
            ["vgaudit/suites/", "pyproject.toml", "suites/"],
            "vgaudit/suites",
        ),  # installed into somebody's project
        (["vgaudit/suites/"], "vgaudit/suites"),
        (["vgaudit/", "pyproject.toml", "suites/"], "suites"),  # a checkout
        (["vgaudit/", "suites/"], "vgaudit/suites"),  # a broken installation: never somebody else's folder
    ],
)
def test_the_package_s_own_folder_comes_first(
    there: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        path = tmp_path / name
        path.mkdir(parents=True) if name.endswith("/") else path.touch()
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path / package)
    assert shipped.shipped_folder("suites") == tmp_path / expected


def test_the_suites_of_this_installation_are_found() -> None:
    assert (shipped.shipped_folder("suites") / "quickstart.yaml").is_file()
