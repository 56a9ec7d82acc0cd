"""The metric in docs/plugins.md, taken from the page and used as another package would be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUITE = """\
name: x
backend: {type: files, root: .}
metrics: {brightness: {scale: 2}}
gates: [brightness.change <= 4]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder with the page's package: module, metadata and entry points, as an installer writes them."""
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (point,) = re.findall(r"^    (brightness = \S+)$", page, flags=re.MULTILINE)
    site = tmp_path_factory.mktemp("site")
    (site / "vgaudit_brightness.py").write_text(module)
    info = site / "vgaudit_brightness-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vgaudit-brightness\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vgaudit.metrics]\n" + point.replace('"', "") + "\n")
    return site


def run(site: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{ROOT}:{site}", "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_suite_finds_it_with_typed_options_and_gates(installed: Path) -> None:
    code = f"""
from pathlib import Path
from vgaudit.suite import load_suite_text, json_schema
loaded = load_suite_text({SUITE!r}, base_dir=Path('.'))
print(type(loaded.metrics[0].options).__name__, loaded.metrics[0].options.scale)
print(sorted(json_schema()['$defs']['brightness.metrics']['properties']))
"""
    assert run(installed, code).splitlines() == ["BrightnessOptions 2.0", "['scale']"]


def test_its_wrong_options_are_told_like_ours(installed: Path) -> None:
    code = f"""
from pathlib import Path
from vgaudit.errors import SuiteError
from vgaudit.suite import load_suite_text
try:
    load_suite_text({SUITE.replace("scale: 2", "scael: 2")!r}, base_dir=Path('.'), label='s.yaml')
except SuiteError as error:
    print(error)
"""
    told = run(installed, code)
    assert told.strip() == (
        "s.yaml:3:24: metrics.brightness.scael: expected a known name, found 'scael'; did you mean 'scale'?"
    )


def test_it_keeps_every_promise(installed: Path) -> None:
    code = (
        "from vgaudit.testing import check_metric; from vgaudit_brightness import Brightness\n"
        "check_metric(Brightness, {'scale': 2.0}); print('kept')"
    )
    assert run(installed, code).strip() == "kept"


def test_a_plugin_that_cannot_be_imported_is_a_suite_error(installed: Path, tmp_path: Path) -> None:
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vgaudit.metrics]\nbroken = no_such_module:Metric\n")
    code = f"""
from pathlib import Path
from vgaudit.errors import SuiteError
from vgaudit.suite import load_suite_text, json_schema
json_schema()
try:
    load_suite_text({SUITE.replace("brightness", "broken")!r}, base_dir=Path('.'), label='s.yaml')
except SuiteError as error:
    print(error)
"""
    told = run(tmp_path, code)
    assert told.startswith(
        "s.yaml:3:11: metrics.broken: metrics 'broken' (no_such_module:Metric) cannot be imported"
    )
    assert "No module named 'no_such_module'" in told
