"""Whole runs over real clips: what is written, what is done twice (nothing), and what a kill costs (nothing)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from tests.clips import clip_folder, moving_square, write_clip, write_suite
from vgaudit.errors import RunDirError
from vgaudit.metrics.base import ClipView
from vgaudit.metrics.temporal import Temporal
from vgaudit.pipeline.finish import Finished, read_report_data, regate
from vgaudit.pipeline.prepare import census_suite, prepare
from vgaudit.pipeline.run import execute, score_run
from vgaudit.records import Finding, Measurement, Severity
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite
from vgaudit.suite.loading import load_suite_text

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips, one of each prompt and model."""
    return clip_folder(tmp_path_factory.mktemp("few"), seeds=1)


def run(suite: Path, out: Path, workers: int = 2, **options: object) -> Finished:
    finished = execute(prepare(load_suite(suite), **options), out, workers=workers)  # type: ignore[arg-type]
    assert finished is not None
    return finished


def stamps(run_dir: Path, *patterns: str) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(run_dir)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for pattern in patterns
        for p in run_dir.glob(pattern)
    }


def test_a_run_leaves_everything_behind(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips, "gates: ['temporal.warp_error <= 0.9']\n")
    done = run(suite, tmp_path / "run")
    assert done.verdict.exit_code == 0
    for name in (
        "manifest.json", "plan.jsonl", "results.json", "junit.xml", "summary.md", "samples.parquet",
        "measurements.parquet", "findings.parquet", "report/index.html",
    ):  # fmt: skip
        assert (tmp_path / "run" / name).is_file(), name
    assert len(list((tmp_path / "run" / "clips").glob("*.mp4"))) == 12
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert {r["group"] for r in results} == {"alpha", "beta"}
    warp = next(r for r in results if r["name"] == "temporal.warp_error" and r["group"] == "alpha")
    assert (warp["n"], warp["n_clusters"]) == (6, 3)
    assert warp["low"] <= warp["value"] <= warp["high"]


def test_the_report_says_where_its_numbers_come_from(clips: Path, tmp_path: Path) -> None:
    done = run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run", limit=1)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {e["name"] for e in manifest["extractors"].values()} == {"pixels", "motion"}
    assert set(manifest["metrics"]) == {"integrity", "temporal", "vbench"}
    assert manifest["provenance"]["device"] in ("CPU", "CUDA GPU")
    assert manifest["encoder"]["crf"] == 10
    page = done.report.read_text()
    assert page.count("not recorded") <= 2  # the commit, outside of a checkout


def test_a_run_opens_no_connection(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the run wants a connection to {arguments[1:]}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run", limit=1).verdict.exit_code == 0


def test_each_clip_is_decoded_once_and_not_again(few: Path, tmp_path: Path) -> None:
    from vgaudit import video

    suite = write_suite(tmp_path / "s.yaml", few)
    before = video.decodes_started()
    run(suite, tmp_path / "run")
    assert video.decodes_started() - before == 6
    everything = ("clips/*", "features/*/*", "results.json", "report/*.html", "measurements/*")
    kept = stamps(tmp_path / "run", *everything)
    again = run(suite, tmp_path / "run")
    assert video.decodes_started() - before == 6
    assert not again.changed
    assert stamps(tmp_path / "run", *everything) == kept


def test_clips_have_a_filmstrip_and_older_runs_do_without(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    first = run(suite, tmp_path / "run", limit=1).data.clips[0].clip
    assert (tmp_path / "run" / first.strip["file"]).is_file()
    assert len(first.strip["times_s"]) == 8
    directory = RunDir(tmp_path / "run")
    facts = directory.clip_info(first.sha256)
    directory.write_clip_info(first.sha256, {k: v for k, v in facts.items() if k != "strip"})
    assert directory.clip_record(first.sample_id).strip == {}  # scored before there were strips
    for features in (tmp_path / "run" / "features").glob("*/*.npz"):
        features.unlink()
    (tmp_path / "run" / "measurements" / "log.jsonl").unlink()
    assert (
        run(suite, tmp_path / "run", limit=1).data.clips[0].clip.strip == first.strip
    )  # decoded again anyway


@pytest.mark.parametrize("count", [0, 1, 20])
def test_findings_with_filmstrips_cost_one_decode_more_however_many(
    count: int, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgaudit import video

    measure = Temporal.measure

    def finds(self: Temporal, clip: ClipView) -> Measurement:
        spans = [(i / 40, (i + 1) / 40) for i in range(count)]
        made = tuple(
            Finding("s", "temporal.flicker", Severity.REVIEW, start, end, 2 + start, 1.0, "made")
            for start, end in spans
        )
        return replace(measure(self, clip), findings=made)

    monkeypatch.setattr(Temporal, "measure", finds)
    suite = write_suite(tmp_path / "s.yaml", clips)
    before = video.decodes_started()
    done = run(suite, tmp_path / "run", limit=1)
    clips_made = len(done.data.clips)
    decodes = clips_made * (2 if count else 1)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert video.decodes_started() - before == manifest["decodes"] == decodes
    assert (manifest["passes"][-1]["clips"], manifest["passes"][-1]["decodes"]) == (clips_made, decodes)
    for entry in done.data.clips:
        shown = {f.score for f in entry.findings if len(f.evidence) > 1}
        assert shown == {f.score for f in sorted(entry.findings, key=lambda f: f.score)[-12:]}
        assert len(entry.findings) == count

    again = run(suite, tmp_path / "run", limit=1)
    assert video.decodes_started() - before == decodes
    assert again.data.clips == done.data.clips
    assert json.loads((tmp_path / "run" / "manifest.json").read_text()) == manifest


def test_results_do_not_depend_on_workers_or_order(few: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", few)
    run(suite, tmp_path / "one", workers=1)
    run(suite, tmp_path / "four", workers=4)
    assert (tmp_path / "one" / "results.json").read_bytes() == (
        tmp_path / "four" / "results.json"
    ).read_bytes()


# Each breaks off with SIGKILL in another stage, at a moment that has begun something it does not finish.
KILLS = {
    "storing a clip": """
        import vgaudit.pipeline.generation as m
        real = m.copy_with_digest
        def die(*a, n=[0]):
            n[0] += 1
            if n[0] == 5: kill()
            return real(*a)
        m.copy_with_digest = die
    """,
    "between clip and record": """
        from vgaudit.rundir import RunDir
        real = RunDir.write_clip_record
        def die(self, record, n=[0]):
            n[0] += 1
            if n[0] == 4: kill()
            return real(self, record)
        RunDir.write_clip_record = die
    """,
    "features": """
        import vgaudit.pipeline.scoring as m
        real = m.save_features
        def die(*a, n=[0]):
            n[0] += 1
            if n[0] == 6: kill()
            return real(*a)
        m.save_features = die
    """,
    "in the middle of a log line": """
        from vgaudit.rundir import RunDir
        real = RunDir.append_measurements
        def die(self, entries, n=[0]):
            n[0] += 1
            if n[0] == 5:
                self._log.open("ab").write(b'{"key": "torn')
                kill()
            return real(self, entries)
        RunDir.append_measurements = die
    """,
    "summarize": """
        import vgaudit.pipeline.finish as m
        m.summarize = lambda *a: kill()
    """,
    "report": """
        import vgaudit.reports.html as m
        m.write_html = lambda *a: kill()
    """,
}


def killed(how: str, suite: Path, out: Path) -> None:
    """Run ``suite`` in a process that kills itself with SIGKILL as ``how`` says."""
    script = (
        "import os, signal, sys\n"
        "def kill(): os.kill(os.getpid(), signal.SIGKILL)\n"
        + textwrap.dedent(how)
        + f"\nsys.argv = ['vgaudit', 'run', {str(suite)!r}, '--out', {str(out)!r}]\n"
        "from vgaudit.cli import main\nmain()\n"
    )
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, env={**os.environ})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()


@pytest.fixture(scope="module")
def straight(few: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A suite, and the results of a run of it that nothing broke off."""
    folder = tmp_path_factory.mktemp("straight")
    suite = write_suite(folder / "s.yaml", few)
    return suite, (run(suite, folder / "run").run_dir / "results.json").read_bytes()


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] if name in ("storing a clip", "features", "summarize") else []
        )
        for name in KILLS
    ],
)
def test_a_killed_run_continues_to_the_same_bytes(
    straight: tuple[Path, bytes], tmp_path: Path, where: str
) -> None:
    suite, results = straight
    killed(KILLS[where], suite, tmp_path / "killed")
    records = [p for p in (tmp_path / "killed" / "clips").glob("*.json") if not p.name.startswith(".")]
    finished = {p.with_suffix(".mp4").name for p in records}
    kept = {k: v for k, v in stamps(tmp_path / "killed", "clips/*.mp4").items() if Path(k).name in finished}
    whole = stamps(tmp_path / "killed", "features/*/*.npz")
    kept |= {k: v for k, v in whole.items() if not Path(k).name.startswith(".")}
    again = run(suite, tmp_path / "killed")
    assert (again.run_dir / "results.json").read_bytes() == results
    now = stamps(tmp_path / "killed", "clips/*.mp4", "features/*/*.npz")
    assert {k: now[k] for k in kept} == kept, "something finished was made twice"


def test_a_kill_while_reports_of_a_changed_run_are_written_leaves_no_stale_report(
    few: Path, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path / "s.yaml", few)
    assert run(suite, tmp_path / "run").verdict.exit_code == 0
    write_suite(suite, few, "gates: ['temporal.warp_error <= 0.0000001']\n")
    killed(KILLS["report"], suite, tmp_path / "run")
    done = run(suite, tmp_path / "run")
    assert done.verdict.exit_code == 3
    assert "temporal.warp_error &lt;= 1e-07" in done.report.read_text()


def test_gates_of_another_suite_leave_no_trace(few: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", few, "gates: ['temporal.warp_error <= 0.0000001']\n")
    assert run(suite, tmp_path / "run").verdict.exit_code == 3
    lenient = load_suite(write_suite(tmp_path / "t.yaml", few, "gates: ['temporal.warp_error <= 1']\n"))
    assert regate(RunDir.open(tmp_path / "run"), lenient.gates, 0).verdict.exit_code == 0
    again = run(suite, tmp_path / "run")
    assert (again.changed, again.verdict.exit_code) == (False, 3)


def test_a_selected_value_hides_no_gap_from_a_findings_gate(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "clips", models=("alpha",), seeds=1)
    write_clip(root / "alpha-p0-0.mp4", moving_square(1, frames=1))  # one frame: nothing temporal can be said
    text = write_suite(tmp_path / "s.yaml", root, "gates: ['findings temporal.freeze <= 0']\n").read_text()
    (tmp_path / "s.yaml").write_text(text.replace("temporal: {}", "temporal.motion: {}"))
    done = run(tmp_path / "s.yaml", tmp_path / "run")
    assert done.verdict.exit_code == 4
    assert {r.name for r in done.data.results if r.name.startswith("temporal")} == {"temporal.motion"}


def test_a_run_killed_before_its_manifest_can_begin_again(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.jsonl").write_text("")
    (tmp_path / "run" / ".plan.jsonl.x.tmp").write_text("half")
    assert run(suite, tmp_path / "run", limit=1).verdict.exit_code == 0
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_limits_hold_for_clips_that_were_decoded_under_others(few: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", few)
    assert run(suite, tmp_path / "run").verdict.exit_code == 0
    write_suite(suite, few, "limits: {max_frames: 2}\n")
    assert run(suite, tmp_path / "run").verdict.exit_code == 4
    write_suite(suite, few)
    assert run(suite, tmp_path / "run").verdict.exit_code == 0


@pytest.mark.parametrize(
    "change",
    [{"sha256": "../../x"}, {"sample_id": "other"}, {"file": "../../etc/passwd"}, {"file": "clips/../x.mp4"}],
)
def test_a_record_that_points_elsewhere_is_refused(
    clips: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run", limit=1)
    record = next((tmp_path / "run" / "clips").glob("*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    with pytest.raises(RunDirError, match="expected the record of"):
        score_run(tmp_path / "run")


def test_a_stored_clip_that_changed_is_noticed_and_made_again(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    run(suite, tmp_path / "run", limit=1)
    clip = next((tmp_path / "run" / "clips").glob("*.mp4"))
    good = clip.read_bytes()
    clip.unlink()
    clip.write_bytes(good[:-100] + b"x" * 100)
    assert score_run(tmp_path / "run").verdict.exit_code == 4
    assert run(suite, tmp_path / "run", limit=1).verdict.exit_code == 0
    assert clip.read_bytes() == good


@pytest.mark.parametrize("damage", [b"", b"not an archive"])
def test_damaged_features_are_extracted_again(clips: Path, tmp_path: Path, damage: bytes) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    first = (run(suite, tmp_path / "run", limit=1).run_dir / "results.json").read_bytes()
    for file in (tmp_path / "run" / "features").glob("*/*.npz"):
        file.write_bytes(damage)
    (tmp_path / "run" / "measurements" / "log.jsonl").unlink()
    again = run(suite, tmp_path / "run", limit=1)
    assert (again.run_dir / "results.json").read_bytes() == first


def test_damaged_results_are_made_again(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    first = (run(suite, tmp_path / "run", limit=1).run_dir / "results.json").read_bytes()
    (tmp_path / "run" / "results.json").write_text("{")
    assert (score_run(tmp_path / "run").run_dir / "results.json").read_bytes() == first


def test_a_file_in_place_of_the_run_is_refused(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunDirError, match="found a file"):
        run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run")


def test_another_suite_does_not_continue_a_run(few: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", few)
    run(suite, tmp_path / "run", limit=1)
    with pytest.raises(RunDirError, match="holds another run"):
        run(suite, tmp_path / "run")


def test_other_gates_and_metrics_continue_a_run(few: Path, tmp_path: Path) -> None:
    from vgaudit import video

    suite = write_suite(tmp_path / "s.yaml", few)
    run(suite, tmp_path / "run")
    before = video.decodes_started()
    write_suite(suite, few, "gates: ['temporal.warp_error <= 0.000001']\n")
    done = run(suite, tmp_path / "run")
    assert done.verdict.exit_code == 3
    assert video.decodes_started() == before


def test_a_folder_with_other_things_is_not_taken_over(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    with pytest.raises(RunDirError, match="other files"):
        run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


def test_a_changed_source_is_read_and_scored_again(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "clips", models=("alpha",), seeds=1)
    suite = write_suite(tmp_path / "s.yaml", root)
    first = run(suite, tmp_path / "run")
    write_clip(root / "alpha-p0-0.mp4", moving_square(77))
    second = run(suite, tmp_path / "run")
    assert second.changed
    shas = [e.clip.sha256 for e in first.data.clips], [e.clip.sha256 for e in second.data.clips]
    assert [a != b for a, b in zip(*shas, strict=True)] == [True, False, False]
    warp = [[e.measurements["temporal"].values["warp_error"] for e in d.data.clips] for d in (first, second)]
    assert [a != b for a, b in zip(*warp, strict=True)] == [True, False, False]


def test_undecodable_clips_fail_the_run_closed(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "clips", models=("alpha",), seeds=1)
    (root / "alpha-p1-0.mp4").write_bytes(b"not a video at all" * 100)
    suite = write_suite(tmp_path / "s.yaml", root)
    done = run(suite, tmp_path / "run")
    assert done.verdict.exit_code == 4
    assert "1 sample failed" in done.verdict.reason
    tolerant = write_suite(tmp_path / "t.yaml", root, "max_failed: 1\n")
    assert run(tolerant, tmp_path / "run").verdict.exit_code == 0


def test_a_locked_run_is_refused(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    with RunDir(tmp_path / "run").lock(), pytest.raises(RunDirError, match="another vgaudit"):
        run(suite, tmp_path / "run")


def test_score_alone_gives_what_run_gives(few: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", few)
    run(suite, tmp_path / "whole")
    execute(prepare(load_suite(suite)), tmp_path / "parts", generate_only=True)
    score_run(tmp_path / "parts")
    assert (tmp_path / "parts" / "results.json").read_bytes() == (
        tmp_path / "whole" / "results.json"
    ).read_bytes()


def test_a_newer_schema_is_refused(clips: Path, tmp_path: Path) -> None:
    run(write_suite(tmp_path / "s.yaml", clips), tmp_path / "run", limit=1)
    file = tmp_path / "run" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 99}))
    with pytest.raises(RunDirError, match="update vgaudit"):
        RunDir.open(tmp_path / "run")


def test_census_answers_per_clip_and_estimates_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "fine.mp4", moving_square(1, frames=16))
    write_clip(folder / "short.mp4", moving_square(1, frames=8))
    write_clip(folder / "frozen.mp4", moving_square(2, frames=16, freeze_from=5))
    write_clip(folder / "black.mp4", moving_square(3) * 0)
    (folder / "broken.mp4").write_bytes(b"\0" * 4000)
    done = execute(prepare(census_suite(folder), kind="census"), tmp_path / "run")
    assert done is not None
    answers = {e.sample.source: e.publish.decision for e in done.data.clips if e.publish}
    assert answers == {
        "fine.mp4": "publish",
        "short.mp4": "review",  # too few frames to look for ghosts
        "frozen.mp4": "review",
        "black.mp4": "hold",
        "broken.mp4": "hold",
    }
    assert done.data.results == ()
    assert done.verdict.exit_code == 3
    assert any("Likeness was not assessed" in note for note in done.data.notes)


def test_a_report_is_read_from_the_run_directory_alone(few: Path, tmp_path: Path) -> None:
    done = run(write_suite(tmp_path / "s.yaml", few), tmp_path / "run")
    (tmp_path / "s.yaml").unlink()
    assert read_report_data(RunDir.open(tmp_path / "run")) == done.data


def test_the_frames_around_a_temporal_finding_are_kept_and_shown(tmp_path: Path) -> None:
    suite = load_suite_text(
        "name: frozen\n"
        "backend: {type: storyworld, faults: [{kind: freeze, strength: strong}]}\n"
        "metrics: {temporal: }\n"
        "prompts: [a black dog running through the forest with the camera panning]\n",
        base_dir=tmp_path,
    )
    done = execute(prepare(suite), tmp_path / "run")
    assert done is not None
    (entry,) = done.data.clips
    finding = max(entry.findings, key=lambda f: f.score)
    span, strip = finding.evidence
    assert span.endswith(f"#t={finding.start_s:.3f},{finding.end_s:.3f}")
    picture = cv2.imread(str(done.run_dir / strip))
    assert picture is not None
    assert picture.shape[1] > 3 * picture.shape[0] // 2
    page = next((done.run_dir / "report" / "clips").glob("*.html")).read_text("utf-8")
    shown = [
        done.run_dir / "report" / f for f in re.findall(r'<img src="\.\./(media/[^"]+)" alt="Evidence', page)
    ]
    assert len(shown) == len(entry.findings)
    assert (done.run_dir / strip).read_bytes() in [file.read_bytes() for file in shown]
