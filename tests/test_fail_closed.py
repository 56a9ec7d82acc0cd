"""What must never pass: situations of real run directories, each with the exit code of the real command.

A small run is made once; every case changes a copy of it - its gates, or what lies on disk - and holds it again.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clips import clip_folder, moving_square, write_clip, write_suite
from vgaudit.cli.commands import main
from vgaudit.conditions import GateSpec
from vgaudit.decisions import NewDecision, Verb, append
from vgaudit.pipeline.deciding import apply, open_desk

WARP, PASSES, FAILS = "temporal.warp_error", "temporal.warp_error <= 0.9", "temporal.warp_error <= 1e-7"
BROKEN = "integrity.*"


@dataclass(frozen=True)
class Bench:
    """A copy of the run, with the clips it was made of beside it."""

    run: Path
    clips: Path

    @property
    def results(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "results.json").read_text()))

    def warp(self, group: str = "alpha") -> dict[str, Any]:
        return next(r for r in self.results["results"] if (r["name"], r["group"]) == (WARP, group))

    def change_results(self, change: Callable[[dict[str, Any]], None]) -> None:
        stored = self.results
        change(stored)
        (self.run / "results.json").write_text(json.dumps(stored))

    def clip(self, group: str = "alpha") -> Path:
        samples = [json.loads(line) for line in (self.run / "plan.jsonl").read_text().splitlines()]
        name = next(s["sample_id"] for s in samples if s["group"] == group)
        return self.run / "clips" / f"{name}.mp4"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Two groups, three prompts, two seeds; one clip of beta is larger than asked for."""
    folder = tmp_path_factory.mktemp("closed")
    clips = clip_folder(folder / "clips")
    write_clip(clips / "beta-p0-0.mp4", moving_square(100, size=96))
    suite = write_suite(folder / "s.yaml", clips, "video: {width: 64, height: 64}\n")
    assert called("run", suite, "--out", folder / "run", "--quiet") == 0
    return Bench(folder / "run", clips)


def called(*arguments: object) -> int:
    """Exit code of the command line, in this process."""
    before = sys.argv
    sys.argv = ["vgaudit", *map(str, arguments)]
    try:
        main()
    except SystemExit as done:
        return int(done.code or 0)
    finally:
        sys.argv = before
    raise AssertionError("the command line ended without an exit code")


Edit = Callable[[Bench], None]
# Rows of a table, one situation each.
CASES: dict[str, tuple[Any, Edit | None, int, str]] = {}


def case(name: str, gates: Any, code: int, words: str, edit: Edit | None = None) -> None:
    assert name not in CASES
    CASES[name] = (gates, edit, code, words)


def result(**changes: Any) -> Edit:
    """Change what is stored of the warp error of alpha."""

    def change(stored: dict[str, Any]) -> None:
        for one in stored["results"]:
            if (one["name"], one["group"]) == (WARP, "alpha"):
                one.update(changes)

    return lambda bench: bench.change_results(change)


def stored(change: Callable[[dict[str, Any]], object]) -> Edit:
    return lambda bench: bench.change_results(lambda s: (change(s), None)[1])


def cut(name: str, keep: int = -20) -> Edit:
    def edit(bench: Bench) -> None:
        data = (bench.run / name).read_bytes()
        assert len(data) > 40
        (bench.run / name).write_bytes(data[:keep])

    return edit


def gone(name: str) -> Edit:
    return lambda bench: (bench.run / name).unlink()


def text(name: str, content: str) -> Edit:
    return lambda bench: (bench.run / name).write_text(content) and None


def lines(name: str, change: Callable[[list[str]], list[str]]) -> Edit:
    def edit(bench: Bench) -> None:
        file = bench.run / name
        file.write_text("".join(f"{line}\n" for line in change(file.read_text().splitlines())))

    return edit


def limit_inside(bench: Bench) -> list[Any]:
    """A gate whose limit lies between the estimate of alpha and the end of its interval."""
    warp = bench.warp()
    assert warp["low"] < warp["value"] < warp["high"]
    return [{"metric": WARP, "max": (warp["value"] + warp["high"]) / 2, "group": "alpha"}]


def inside(**more: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [{**limit_inside(bench)[0], **more}]


def decided(expires: date | None = None, spoil: Callable[[list[str]], list[str]] | None = None) -> Edit:
    """Dismiss the one finding of the run, long ago; then spoil the chain."""

    def edit(bench: Bench) -> None:
        (listed,) = open_desk(bench.run).findings
        f = listed.finding
        append(
            bench.run,
            [NewDecision(Verb.DISMISS, f.fingerprint, listed.clip, f.kind, "false_detection", "Ann", expires=expires,
                         time=datetime(2020, 1, 1, tzinfo=UTC))],
        )  # fmt: skip
        apply(bench.run)
        if spoil is not None:
            lines("decisions.jsonl", spoil)(bench)

    return edit


# -- the answers there should be -------------------------------------------------------------------
case("the interval is on the good side", [PASSES], 0, "all 2 gates passed")
case("there are no gates", [], 0, "no gates")
case("the interval is on the bad side", [FAILS], 3, "2 gates failed")
case("one passes and one fails", [PASSES, FAILS], 3, "2 gates failed")
case("any group is enough", [{"metric": WARP, "max": 0.9, "group": "any"}], 0, "the gate passed")
case(
    "only a warning fails",
    [PASSES, {"metric": WARP, "max": 1e-7, "severity": "warn"}],
    0,
    "2 warning gates did not pass",
)
case(
    "only a warning has no answer",
    [{"metric": "fvd.distance", "max": 1, "severity": "warn"}],
    0,
    "2 warning gates",
)
case("failed wins over not computed", [FAILS, "fvd.distance <= 1"], 3, "2 gates could not be computed")

# -- too little evidence ---------------------------------------------------------------------------
case(
    "the limit lies inside the interval",
    limit_inside,
    4,
    "more prompts at this variance, if the estimate holds",
)
case("the same on the estimate", inside(on="estimate"), 0, "the gate passed")
case(
    "the same, neutral",
    inside(on_insufficient="neutral"),
    0,
    "1 neutral gate could not be computed for lack of evidence",
)
case(
    "neutral beside a failure", lambda b: [*inside(on_insufficient="neutral")(b), FAILS], 3, "1 neutral gate"
)
case(
    "neutral, but the metric is missing",
    [{"metric": "fvd.distance", "max": 1, "on_insufficient": "neutral"}],
    4,
    "there is no result fvd.distance",
)
case(
    "neutral, but clips are unmeasured",
    [{"metric": WARP, "max": 0.9, "on_insufficient": "neutral"}],
    4,
    "not every clip was measured",
    result(detail={"n_missing": 1}),
)
case(
    "no interval",
    [PASSES],
    4,
    "without an interval",
    result(low=None, high=None, confidence=None, reason="one prompt"),
)
case(
    "insufficient by its own account",
    [PASSES],
    4,
    "needs 1,024 clips",
    result(detail={"insufficient": "needs 1,024 clips"}),
)
case(
    "too few prompts for a rate of findings",
    ["findings integrity.* <= 20 per 100 clips"],
    4,
    "more prompts at this rate",
)

# -- something is missing --------------------------------------------------------------------------
case("the metric was not in the suite", ["fvd.distance <= 1"], 4, "there is no result fvd.distance")
case("the value does not exist", ["temporal.warp_eror <= 1"], 4, "did you mean 'temporal.warp_error'")
case(
    "one group has no result",
    [PASSES],
    4,
    "1 gate could not be computed",
    stored(lambda s: s["results"].remove(next(r for r in s["results"] if r["name"] == WARP))),
)
case(
    "any group, the other has no result",
    [{"metric": WARP, "max": 1e-7, "group": "any"}],
    4,
    "there is no result",
    stored(lambda s: s["results"].remove(next(r for r in s["results"] if r["name"] == WARP))),
)
case("the group is unknown", [{"metric": WARP, "max": 0.9, "group": "gamma"}], 4, "there is no group 'gamma'")
case("the run has no groups", [PASSES], 4, "the run has no groups", stored(lambda s: s.update(groups=[])))
case("no slice for the tag", ["temporal.warp_error@kind=cube <= 0.9"], 4, "there is no result")
case(
    "no clip has the tag",
    ["findings integrity.* <= 9 for tag kind=cube"],
    4,
    "no clip of this group has the tag",
)
case(
    "no clip was timed",
    ["runtime generate <= 99 s per clip"],
    4,
    "6 of 6 clips have no recorded generation time",
)

# -- a number that is none -------------------------------------------------------------------------
case(
    "the result twice",
    [PASSES],
    4,
    "2 results",
    stored(lambda s: s["results"].append(s["results"][[r["name"] for r in s["results"]].index(WARP)])),
)
case("the value is NaN", [PASSES], 2, "found NaN", result(value=float("nan")))
case("the value is infinite", [PASSES], 2, "found -Infinity", result(value=float("-inf")))
case("the value is text", [PASSES], 2, "found damaged ones", result(value="0.1"))
case("computed, but there is no value", [PASSES], 2, "found damaged ones", result(value=None))
case("n is zero", [PASSES], 2, "found damaged ones", result(n=0))
case("the interval is upside down", [PASSES], 4, "is none", result(low=0.5, high=0.1))
case("the interval has no confidence", [PASSES], 4, "does not say its confidence", result(confidence=None))
case(
    "not computed",
    [PASSES],
    4,
    "weights are missing",
    result(value=None, low=None, high=None, status="not computed", reason="weights are missing"),
)
case(
    "not applicable",
    [PASSES],
    4,
    "not applicable: no prompts",
    result(value=None, low=None, high=None, status="not applicable", reason="no prompts"),
)
case(
    "not applicable, allowed",
    [{"metric": WARP, "max": 0.9, "allow_not_applicable": True}],
    0,
    "all 2 gates passed",
    result(value=None, low=None, high=None, status="not applicable", reason="no prompts"),
)
case("an unheard-of status", [PASSES], 2, "found damaged ones", result(status="skipped"))
case("uncalibrated", [PASSES], 4, "uncalibrated", result(detail={"uncalibrated": True}))
case(
    "uncalibrated, on the estimate",
    [{"metric": WARP, "max": 0.9, "on": "estimate"}],
    4,
    "uncalibrated",
    result(detail={"uncalibrated": True}),
)
case(
    "out of domain",
    [PASSES],
    4,
    "out of domain: a film",
    result(detail={"out_of_domain": "out of domain: a film"}),
)
case("clips have no value", [PASSES], 4, "not every clip was measured", result(detail={"n_missing": 1}))
case(
    "as many as allowed",
    [{"metric": WARP, "max": 0.9, "allow_missing": 1}],
    0,
    "all 2 gates passed",
    result(detail={"n_missing": 1}),
)

# -- findings, coverage ----------------------------------------------------------------------------
case("a finding is open", [f"findings {BROKEN} <= 0"], 3, "1 gate failed")
case("findings are within what is allowed", [f"findings {BROKEN} <= 2"], 0, "all 2 gates passed")
case("the kind is unknown", ["findings integrity.sise <= 0"], 4, "integrity finds no 'integrity.sise'")
case("the metric of the findings did not run", ["findings likeness.* <= 0"], 4, "likeness was not run")
case(
    "findings, coverage short",
    [f"findings {BROKEN} <= 9"],
    4,
    "looked at only 4 of 6",
    stored(lambda s: s["coverage"]["integrity"].update(alpha=[4, 6])),
)
case(
    "coverage gate, coverage short",
    ["coverage temporal >= 95%"],
    3,
    "2 gates failed",
    stored(lambda s: s["coverage"]["temporal"].update(alpha=[4, 6], beta=[0, 6])),
)
case("coverage gate, whole", ["coverage temporal >= 95%"], 0, "all 2 gates passed")
case(
    "coverage of nothing",
    ["coverage temporal >= 0"],
    4,
    "no clips temporal could",
    stored(lambda s: s["coverage"]["temporal"].update(alpha=[0, 0])),
)
case("coverage of a metric that did not run", ["coverage likeness >= 0"], 4, "likeness was not run")
case("the finding is dismissed", [f"findings {BROKEN} <= 0"], 0, "all 2 gates passed", decided())
case("the decision has expired", [f"findings {BROKEN} <= 0"], 3, "1 gate failed", decided(date(2020, 2, 1)))
case(
    "it has expired, but more findings are allowed",
    [f"findings {BROKEN} <= 9"],
    4,
    "2 decisions expired: a person has to decide again",
    decided(date(2020, 2, 1)),
)
case(
    "the chain was changed",
    [f"findings {BROKEN} <= 9"],
    4,
    "chain of reviewers' decisions is damaged",
    decided(spoil=lambda ls: [ls[0].replace("Ann", "Bob")]),
)
case(
    "the chain was changed, gates on results alone",
    [PASSES],
    4,
    "chain of reviewers' decisions is damaged",
    decided(spoil=lambda ls: [ls[0].replace("Ann", "Bob")]),
)
case("the chain was changed, and a gate fails", [FAILS], 3, "2 gates failed", decided(spoil=lambda ls: ["{"]))
case(
    "decisions were cut off",
    [f"findings {BROKEN} <= 9"],
    4,
    "chain of reviewers' decisions is damaged",
    decided(spoil=lambda ls: []),
)

# -- files of the run ------------------------------------------------------------------------------
case("a clip is gone", [PASSES], 4, "1 sample failed, 0 allowed", lambda b: b.clip().unlink())
case(
    "a clip was changed",
    [PASSES],
    4,
    "1 sample failed, 0 allowed",
    lambda b: b.clip().write_bytes(b.clip("beta").read_bytes()) and None,
)
case(
    "a clip's record is gone",
    [PASSES],
    4,
    "1 sample failed, 0 allowed",
    lambda b: b.clip().with_suffix(".json").unlink(),
)
case(
    "a clip's record is damaged",
    [PASSES],
    2,
    "cannot be read as a clip record",
    lambda b: b.clip().with_suffix(".json").write_text("{") and None,
)
case(
    "a clip's record names another file",
    [PASSES],
    2,
    "found something else",
    lambda b: (
        b.clip()
        .with_suffix(".json")
        .write_text(b.clip().with_suffix(".json").read_text().replace('"clips/', '"../'))
        and None
    ),
)
case("results.json is cut", [PASSES], 2, "cannot be read", cut("results.json"))
case("results.json is gone", [PASSES], 2, "no results yet", gone("results.json"))
case("results.json is a list", [PASSES], 2, "cannot be read", text("results.json", "[1, 2]"))
case("results.json is empty", [PASSES], 2, "cannot be read", text("results.json", ""))
case("results.json holds nothing", [PASSES], 2, "found damaged ones", text("results.json", "{}"))
case(
    "results.json forgot the coverage", [PASSES], 2, "found damaged ones", stored(lambda s: s.pop("coverage"))
)
case("the manifest is cut", None, 2, "cannot be read as a manifest", cut("manifest.json"))
case("the manifest is gone", None, 2, "expected a run directory", gone("manifest.json"))
case(
    "the manifest is of a newer version",
    None,
    2,
    "update vgaudit",
    lambda b: (
        (b.run / "manifest.json").write_text(
            (b.run / "manifest.json").read_text().replace('"schema_version": 1', '"schema_version": 99')
        )
        and None
    ),
)
case("the plan is cut", [PASSES], 2, "cannot be read as a plan", cut("plan.jsonl"))
case("the plan is gone", [PASSES], 2, "cannot be read as a plan", gone("plan.jsonl"))
case(
    "the plan lost a sample",
    [PASSES],
    2,
    "expected the plan with the digest",
    lines("plan.jsonl", lambda ls: ls[1:]),
)
case(
    "the plan has a sample twice",
    [PASSES],
    2,
    "cannot be read as a plan",
    lines("plan.jsonl", lambda ls: [*ls, ls[0]]),
)
case(
    "the plan has another prompt",
    [PASSES],
    2,
    "expected the plan with the digest",
    lines("plan.jsonl", lambda ls: [ls[0].replace("ball", "cube"), *ls[1:]]),
)
case(
    "a measurement is damaged",
    [PASSES],
    2,
    "damaged line",
    lines("measurements/log.jsonl", lambda ls: [ls[0][:-30], *ls[1:]]),
)
case(
    "a measurement is gone",
    [PASSES],
    2,
    "names a measurement that the log lacks",
    lines("measurements/log.jsonl", lambda ls: ls[1:]),
)
case(
    "all measurements are gone",
    [PASSES],
    2,
    "names a measurement that the log lacks",
    gone("measurements/log.jsonl"),
)
case(
    "a measurement is NaN",
    [PASSES],
    2,
    "found damaged ones",
    lines("measurements/log.jsonl", lambda ls: [_nan(line) for line in ls]),
)


def _nan(line: str) -> str:
    entry = json.loads(line)
    values = entry["measurement"]["values"]
    entry["measurement"]["values"] = dict.fromkeys(values, float("nan"))
    return json.dumps(entry)


@pytest.mark.parametrize("name", CASES)
def test_vgaudit_gate(name: str, made: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates, edit, code, words = CASES[name]
    shutil.copytree(made.run, tmp_path / "run")
    bench = Bench(tmp_path / "run", made.clips)
    manifest = json.loads((bench.run / "manifest.json").read_text())
    specs = [GateSpec.model_validate(g) for g in (gates(bench) if callable(gates) else gates or [])]
    manifest["spec"]["gates"] = [s.model_dump(mode="json", exclude_none=True) for s in specs]
    (bench.run / "manifest.json").write_text(json.dumps(manifest, indent=1))
    if edit is not None:
        edit(bench)
    capsys.readouterr()
    found = called("gate", bench.run)
    told = capsys.readouterr()
    assert found == code, told.out + told.err
    assert words in told.out + told.err
    if code == 2:
        assert "Traceback" not in told.err
        assert told.err.startswith("error: ")
        assert "exit code" not in told.out
    else:
        word = {0: "PASSED", 3: "FAILED", 4: "NOT COMPUTED"}[code]
        assert told.out.splitlines()[-1].startswith(f"{word} (exit code {code}): ")
    with_zero = called("gate", bench.run, "--exit-zero")
    assert with_zero == (2 if code == 2 else 0)  # whoever asks for no gates still hears of damage


def test_there_are_more_than_forty_situations_and_most_must_not_pass() -> None:
    assert len(CASES) >= 40
    assert sum(code != 0 for _, _, code, _ in CASES.values()) > 40


# -- another suite, another run --------------------------------------------------------------------

OTHER: dict[str, tuple[str, int, str]] = {
    "other gates that pass": ("metrics: {temporal: {}}\ngates: ['temporal.warp_error <= 0.9']\n", 0, "all 2 gates"),
    "other gates that fail": ("metrics: {temporal: {}}\ngates: ['temporal.warp_error <= 1e-7']\n", 3, "2 gates"),
    "a metric that the run lacks": (
        "metrics: {fvd: {reference: {group: alpha}}}\ngates: ['fvd.distance <= 1']\n", 4, "there is no result",
    ),
    "a slice that the run lacks": (
        "metrics: {temporal: {}}\ngates: [{metric: temporal.warp_error, max: 1, tags: {kind: ball}}]\n", 4,
        "there is no result",
    ),
    "a metric that the suite lacks": ("metrics: {temporal: {}}\ngates: ['fvd.distance <= 1']\n", 2, "computes no"),
    "no suite at all": ("", 2, "expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_vgaudit_gate_with_another_suite(
    name: str, made: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, code, words = OTHER[name]
    head = f"name: other\nbackend: {{type: files, root: {made.clips}, index: index.csv}}\n"
    (tmp_path / "other.yaml").write_text(head + content if content else "")
    found = called("gate", made.run, "--suite", tmp_path / "other.yaml")
    told = capsys.readouterr()
    assert found == code, told.out + told.err
    assert words in told.out + told.err


def test_vgaudit_run_refuses_another_run_and_mends_its_own(
    made: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    suite = tmp_path / "s.yaml"
    gates = "video: {width: 64, height: 64}\ngates: ['temporal.warp_error <= 1e-7']\n"
    write_suite(suite, made.clips, "seeds: 2\n" + gates.replace("64", "32"))
    assert called("run", suite, "--out", run, "--quiet") == 2
    assert "holds another run" in capsys.readouterr().err
    write_suite(suite, made.clips, gates)
    (run / "results.json").write_text("{}")
    assert called("run", suite, "--out", run, "--quiet") == 3
    assert "2 gates failed" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    for absent in ("empty", "nowhere"):
        assert called("gate", tmp_path / absent) == 2
    assert "expected a run directory" in capsys.readouterr().err


def test_vgaudit_run_without_a_clip_is_not_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = clip_folder(tmp_path / "clips", models=("alpha",), seeds=1)
    (clips / "alpha-p0-0.mp4").write_bytes(b"no clip")
    gates = "gates: ['temporal.warp_error <= 0.9', 'findings integrity.* <= 9']\n"
    assert called("run", write_suite(tmp_path / "s.yaml", clips, gates), "--out", tmp_path / "run", "-q") == 4
    assert "1 sample failed, 0 allowed by max_failed" in capsys.readouterr().out
    write_suite(tmp_path / "s.yaml", clips, "max_failed: 1\n" + gates)
    assert called("run", tmp_path / "s.yaml", "--out", tmp_path / "run", "-q") == 4
    assert "integrity looked at only 2 of 3" in capsys.readouterr().out
