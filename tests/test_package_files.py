"""Files of installed packages are found without importing the package, or refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vgaudit.errors import UsageError
from vgaudit.package_files import is_package_file, package_file


def test_a_file_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from vgaudit.package_files import package_file; "
        "print(package_file('package:skimage/data/astronaut.png')); print('skimage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path, imported = done.stdout.splitlines()
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert imported == "False"


def test_only_the_prefix_makes_it_one() -> None:
    assert is_package_file("package:skimage/data/astronaut.png")
    assert not is_package_file("skimage/data/astronaut.png")
    assert not is_package_file("./package:skimage/data/astronaut.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:skimage", "expected package:PACKAGE/PATH, such as"),
        ("package:", "expected package:PACKAGE/PATH"),
        ("package:skimage/", "expected package:PACKAGE/PATH"),
        ("package:skimage/../../secret.png", "without '..'"),
        ("package:skimage//etc/passwd", "expected package:PACKAGE/PATH"),
        ("package:skimage/data\\x.png", "expected package:PACKAGE/PATH"),
        ("package:skimage/\0.png", "expected package:PACKAGE/PATH"),
        ("package:../skimage/x.png", "expected package:PACKAGE/PATH"),
        ("package:skimage.data/astronaut.png", "expected package:PACKAGE/PATH"),
        ("skimage/data/astronaut.png", "expected package:PACKAGE/PATH"),
        (
            "package:no_such_package/x.png",
            "the package no_such_package is not installed; pip install no_such",
        ),
        ("package:skimage/data/no_such.png", "not in the installed skimage.*a version of scikit-image"),
        ("package:skimage/data", "not in the installed skimage"),
        ("package:json.py/x", "expected package:PACKAGE/PATH"),
        ("package:abc/x.png", "not in the installed abc"),  # a module, not a package
    ],
)
def test_anything_else_is_refused_with_what_to_do(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        package_file(name)


def test_the_remedy_names_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UsageError, match="skimage is not installed; pip install scikit-image"):
        package_file("package:skimage/data/astronaut.png")


@pytest.mark.parametrize("entry", ["", "."])
def test_a_folder_of_the_same_name_beside_the_suite_takes_no_place(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "skimage" / "data" / "astronaut.png"
    planted.parent.mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").touch()
    planted.write_bytes(b"somebody else")
    monkeypatch.chdir(tmp_path)
    installed = list(sys.path)
    for first in (entry, str(tmp_path)):
        monkeypatch.setattr(sys, "path", [first, *installed])
        found = package_file("package:skimage/data/astronaut.png")
        assert found.read_bytes().startswith(b"\x89PNG")
        monkeypatch.setattr(sys, "path", [first])
        with pytest.raises(UsageError, match=r"skimage is not installed.*current folder.*not looked into"):
            package_file("package:skimage/data/astronaut.png")


def test_a_package_in_an_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed/__init__.py", "")
        archive.writestr("packed/x.png", b"x")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packed.zip")])
    with pytest.raises(UsageError, match="packed is installed as an archive"):
        package_file("package:packed/x.png")
