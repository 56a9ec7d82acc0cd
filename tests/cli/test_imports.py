"""``vgaudit import`` as users meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports.files import write_all
from vgaudit.cli.commands import app
from vgaudit.errors import UsageError
from vgaudit.suite import load_suite


def _say(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    app([*map(str, arguments)], standalone_mode=False)
    return capsys.readouterr().out


def test_import_validate_and_import_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write_all(tmp_path)["vbench"], tmp_path / "new" / "suite.yaml"
    said = _say(capsys, "import", "vbench", file, "-o", out, "--name", "mine", "--sample", 4, "--seeds", 2)
    assert f"wrote {out}: 4 of 9 prompts, 2 seed(s)" in said
    assert f"next: vgaudit validate {out}" in said
    assert "valid; 8 samples, 4 prompts" in _say(capsys, "validate", out)
    before = out.read_bytes()
    _say(capsys, "import", "vbench", file, "-o", out, "--name", "mine", "--sample", 4, "--seeds", 2)
    assert out.read_bytes() == before
    with pytest.raises(UsageError, match="already there and something else"):
        app(["import", "vbench", str(file), "-o", str(out)], standalone_mode=False)
    assert out.read_bytes() == before


def test_the_generator_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write_all(tmp_path)["fetv"], tmp_path / "suite.yaml"
    _say(capsys, "import", "fetv", file, "-o", out, "--backend", "diffusers:some/model")
    suite = load_suite(out)
    assert (suite.backends[0].type, suite.backends[0].options.model) == ("diffusers", "some/model")
    assert "stand-in" not in suite.text


def test_nothing_is_written_where_the_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a prompt")
    with pytest.raises(UsageError, match="expected a list named after"):
        app(
            ["import", "vbench", str(tmp_path / "mine.txt"), "-o", str(tmp_path / "s.yaml")],
            standalone_mode=False,
        )
    assert not (tmp_path / "s.yaml").exists()
