"""Files of installed packages are found without importing the package, or refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
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
