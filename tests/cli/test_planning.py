"""``vgaudit power`` and ``vgaudit gate-suggest`` over two small real runs of one model with other seeds."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from vgaudit.cli.commands import main
from vgaudit.pipeline.suggesting import rounded

SUITE = """\
name: planned
backend: {{type: storyworld}}
video: {{frames: 8, fps: 8, width: 64, height: 64}}
prompts:
  - a dog walking along the beach at sunset
  - a black dog running along the lake
  - an orange cat running in the city at night
  - a cat running across the living room
  - a white horse running through the forest
  - a brown horse walking slowly along a lake
seeds: {seeds}
metrics: {{temporal: {{}}}}
"""


def called(*arguments: object) -> int:
    before = sys.argv
    sys.argv = ["vgaudit", *map(str, arguments)]
    try:
        main()
    except SystemExit as done:
        return int(done.code or 0)
    finally:
        sys.argv = before
    raise AssertionError("the command line ended without an exit code")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    for name, seeds in (("a", [0, 1]), ("b", [2, 3])):
        (folder / f"{name}.yaml").write_text(SUITE.format(seeds=seeds))
        assert called("run", folder / f"{name}.yaml", "--out", folder / name, "-q") == 0
    return folder


def test_power_from_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ("power", runs / "a.yaml", "--metric", "temporal.warp_error", "--margin", "0.002")
    assert called(*plan, "--from", runs / "a", "--absolute") == 0
    told = capsys.readouterr().out
    assert "from 12 values of 6 prompts" in told
    assert "<- the suite's prompts" in told
    assert "power 0.8 with 2 seeds: " in told
    assert called(*plan, "--from", runs / "a") == 0
    assert "twice; a candidate that finds other prompts hard varies more" in capsys.readouterr().out
    assert called(*plan, "--sd-prompt", "0.01", "--sd-seed", "0.01", "--seeds", "3") == 0
    assert "power 0.8 with 3 seeds: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "expected --from RUN, or both"),
        (("--sd-prompt", "0.1"), "expected --from RUN, or both"),
        (("--sd-prompt", "-1", "--sd-seed", "1"), "from 0 on"),
        (("--sd-prompt", "0", "--sd-seed", "0"), "nothing varies"),
        (("--sd-prompt", "1", "--sd-seed", "1", "--margin", "0"), "--margin"),
        (("--sd-prompt", "1", "--sd-seed", "1", "--margin", "nan"), "--margin"),
        (("--sd-prompt", "1", "--sd-seed", "1", "--power", "1"), "--power"),
        (("--from", "RUN", "--sd-seed", "1"), "found both"),
        (("--from", "RUN", "--group", "nobody"), "expected a group of the run"),
        (("--sd-prompt", "1", "--sd-seed", "1", "--metric", "temporal.warp"), "did you mean 'temporal.warp_error'"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    given = [str(runs / "a") if m == "RUN" else m for m in more]
    plan = ("power", runs / "a.yaml", "--metric", "temporal.warp_error", "--margin", "0.002")
    assert called(*plan, *given) == 2
    assert words in capsys.readouterr().err


def test_suggested_gates_are_ready_to_paste_and_both_runs_pass_them(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("gate-suggest", runs / "a", runs / "b") == 0
    block = capsys.readouterr().out
    gates = YAML(typ="safe").load(block)["gates"]
    assert any(g.startswith("temporal.warp_error <= ") for g in gates)
    assert "6 prompts, seeds 0, 1 and 2, 3" in block
    assert "# temporal.motion: margin " in block
    assert "no limit: neither end is good" in block
    (tmp_path / "s.yaml").write_text(SUITE.format(seeds=[0, 1]) + block)
    capsys.readouterr()
    for run in ("a", "b"):
        assert called("gate", runs / run, "--suite", tmp_path / "s.yaml") == 0, capsys.readouterr().out


def test_runs_that_differ_in_more_than_seeds_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("gate-suggest", runs / "a", runs / "a") == 2
    assert "found 12 prompts and seeds in both" in capsys.readouterr().err
    shutil.copytree(runs / "b", tmp_path / "other")
    file = tmp_path / "other" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["spec"]["metrics"]["temporal"]["options"] = {"every": 2}
    manifest["spec"]["video"]["fps"] = 9
    manifest["backends"][0]["fingerprint"] = "another"
    manifest["extractors"].popitem()
    file.write_text(json.dumps(manifest))
    assert called("gate-suggest", runs / "a", tmp_path / "other") == 2
    assert (
        "found other video, metrics, backend (its name, options or weights), extractors"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [
        (0.0123, True, 0.013),
        (0.0123, False, 0.012),
        (0.012, True, 0.012),
        (123.0, True, 130.0),
        (-0.0123, True, -0.012),
        (0.0, True, 0.0),
        (0.999, True, 1.0),
    ],
)
def test_rounding_never_goes_to_the_other_side(value: float, up: bool, expected: float) -> None:
    assert rounded(value, up=up) == expected
