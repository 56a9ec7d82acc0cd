"""Runs that were killed: what a program answered is taken from disk, and no program runs beside its double."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.test_command import backend
from tests.conftest import ROOT
from vgaudit.backends import left_processes
from vgaudit.backends.base import Generated, GenerationOutcome, PromptSpec
from vgaudit.backends.command import CommandBackend
from vgaudit.backends.left_processes import process_mark
from vgaudit.backends.starts import Ending, Start
from vgaudit.plan import Sample

PROMPTS = [PromptSpec(name, f"a {name}") for name in ("dog", "cat", "owl", "fox")]
LOG = "with open('starts.txt', 'a') as file: file.write(request.get('prompt_id', 'batch') + '\\n')\n"
ARRAY = LOG + (
    "import numpy\n"
    "numpy.save(out / 'a.npy', numpy.full((4, 8, 8, 3), len(request['prompt']), dtype='uint8'))\n"
    "answer(outcome='ok', file='a.npy', job_id='job-' + request['prompt_id'], cost=2)\n"
)


def started(base: Path) -> list[str]:
    return (base / "starts.txt").read_text().split() if (base / "starts.txt").exists() else []


def left(work: Path) -> list[Path]:
    return list((work / "starts").iterdir())


def names(answers: Sequence[Generated]) -> list[str]:
    return [a.sample.prompt_id for a in answers]


def left_start(work: Path, samples: Sequence[Sample], response: dict[str, Any] | None = None) -> Start:
    """A start whose run was killed before it saw the program end."""
    path = work / "starts" / "vgaudit-x"
    path.mkdir(parents=True)
    start = Start(path)
    parts = [{"sample_id": s.sample_id, "job_id": None} for s in samples]
    start.ask(parts[0] if len(parts) == 1 else {"samples": parts})
    if response:
        (start.output / "response.json").write_text(json.dumps(response))
    return start


def test_answers_that_came_as_frames_are_handed_out_until_they_are_not_asked_for(tmp_path: Path) -> None:
    work = tmp_path / "work"
    asked = backend(tmp_path, ARRAY)
    samples = asked.samples(PROMPTS[:2], (0,))
    first = list(asked.generate(samples, work_dir=work))
    # The caller encodes on a thread and is killed: no clip is there, so both are asked for again.
    second = list(backend(tmp_path, ARRAY).generate(samples, work_dir=work))
    assert started(tmp_path) == ["dog", "cat"]
    for answer in second:
        before = next(a for a in first if a.sample == answer.sample)
        assert answer.frames is not None
        np.testing.assert_array_equal(answer.frames, before.frames)
        assert (answer.job_id, answer.cost, answer.fps, answer.exact, answer.seconds) == (
            before.job_id, 2, 8.0, True, before.seconds,
        )  # fmt: skip
    assert names(list(asked.generate(samples[:1], work_dir=work))) == ["dog"]
    assert len(left(work)) == 1  # the cat is not asked for again, so its clip is there
    assert started(tmp_path) == ["dog", "cat"]
    assert list(asked.generate([], work_dir=work)) == []
    assert left(work) == []


def test_the_job_of_an_answer_that_came_as_frames_is_not_forgotten(tmp_path: Path) -> None:
    program = ARRAY.replace("outcome='ok', file='a.npy'", "**({'outcome': 'retry_after', 'retry_after_s': 0} "
                            "if request['job_id'] is None else {'outcome': 'ok', 'file': 'a.npy'})")  # fmt: skip
    work = tmp_path / "work"
    asked = backend(tmp_path, program, max_attempts=3)
    samples = asked.samples(PROMPTS[:1], (0,))
    assert [a.outcome for a in asked.generate(samples, work_dir=work)] == [GenerationOutcome.OK]
    assert [p.name for p in (work / "jobs").iterdir()] == [f"{samples[0].sample_id}.json"]
    (again,) = asked.generate(samples, work_dir=work)
    assert again.frames is not None
    assert started(tmp_path) == ["dog", "dog"]
    list(asked.generate([], work_dir=work))
    assert list((work / "jobs").iterdir()) == []


BATCH = (
    LOG
    + """
answers = {}
for sample in request["samples"]:
    name = sample["sample_id"] + ".mp4"
    (out / name).write_text(sample["prompt"] + str(len(request["samples"])))
    answers[sample["sample_id"]] = {"outcome": "ok", "file": name}
answer(samples=answers)
"""
)


def test_the_rest_of_a_batch_comes_from_the_stored_response(tmp_path: Path) -> None:
    work = tmp_path / "work"
    asked = backend(tmp_path, BATCH, per="batch")
    samples = asked.samples(PROMPTS, (0,))
    answers = asked.generate(samples, work_dir=work)
    taken = [next(answers), next(answers)]
    assert [a.path.read_text() for a in taken if a.path] == ["a dog4", "a cat4"]
    del answers  # killed with two clips recorded
    rest = [
        (a.sample.prompt_id, a.path.read_text())
        for a in backend(tmp_path, BATCH, per="batch").generate(samples[2:], work_dir=work)
        if a.path
    ]
    assert rest == [("owl", "a owl4"), ("fox", "a fox4")]
    assert started(tmp_path) == ["batch"]
    assert left(work) == []


def test_stored_answers_of_every_kind(tmp_path: Path) -> None:
    work = tmp_path / "work"
    asked = backend(tmp_path, LOG + "answer(outcome='error', message=str(request['job_id']))")
    dog, cat, owl, fox = asked.samples(PROMPTS, (0,))
    parts = {
        dog.sample_id: {"outcome": "ok", "file": "dog.mp4"},
        cat.sample_id: {"outcome": "refused_output", "message": "policy", "cost": 3},
        owl.sample_id: {"outcome": "retry_after", "job_id": "job-owl"},
        fox.sample_id: {"outcome": "error", "message": "busy"},
    }
    start = left_start(work, [dog, cat, owl, fox], {"samples": parts})
    (start.output / "dog.mp4").write_text("x")
    found = {a.sample.prompt_id: a for a in asked.generate([dog, cat, owl, fox], work_dir=work)}
    assert (found["dog"].outcome, found["cat"].outcome) == ("ok", "refused_output")
    assert (found["cat"].message, found["cat"].cost) == ("policy", 3)
    assert started(tmp_path) == ["owl", "fox"]
    # The job goes on; an error is no answer that was paid for, and is asked again.
    assert (found["owl"].outcome, found["owl"].message) == ("error", "job-owl")
    assert (found["fox"].outcome, found["fox"].message) == ("error", "None")
    assert left(work) == []


@pytest.mark.parametrize(
    "response",
    [
        {"outcome": "ok", "file": "../request.json"},
        {"outcome": "ok", "file": "missing.mp4"},
        {"outcome": "ok", "file": "large.mp4"},
        {"samples": {"another": {"outcome": "refused_input"}}},
        {},
    ],
)
def test_stored_answers_are_not_trusted_more_than_live_ones(tmp_path: Path, response: dict[str, Any]) -> None:
    work = tmp_path / "work"
    asked = backend(tmp_path, LOG + "answer(outcome='refused_input', message='asked')", max_bytes=1000)
    samples = asked.samples(PROMPTS[:1], (0,))
    start = left_start(work, samples, response)
    (start.output / "large.mp4").write_bytes(bytes(2000))
    (start.output / "clip.mp4").write_bytes(b"half a cl")  # nobody saw the program end: it may be cut off
    (answer,) = asked.generate(samples, work_dir=work)
    assert (answer.message, started(tmp_path), left(work)) == ("asked", ["dog"], [])


def test_how_the_program_ended_is_known_to_the_next_run(tmp_path: Path) -> None:
    asked = backend(tmp_path, LOG + "answer(outcome='refused_input', message='asked')")
    samples = asked.samples(PROMPTS[:1], (0,))
    good = left_start(tmp_path / "good", samples)
    (good.output / "clip.mp4").write_text("whole")
    good.ended(Ending("", 7.0))
    (answer,) = asked.generate(samples, work_dir=tmp_path / "good")
    assert (answer.outcome, answer.seconds, started(tmp_path)) == (GenerationOutcome.OK, 7.0, [])
    bad = left_start(tmp_path / "bad", samples, {"outcome": "refused_output"})
    bad.ended(Ending("the command ended with exit code 3", 7.0))
    (answer,) = asked.generate(samples, work_dir=tmp_path / "bad")
    assert (answer.message, started(tmp_path)) == ("asked", ["dog"])


def test_what_was_half_written_or_half_removed_goes(tmp_path: Path) -> None:
    starts = tmp_path / "work" / "starts"
    (starts / "gone-vgaudit-a" / "output").mkdir(parents=True)
    (starts / "vgaudit-b").mkdir()
    (starts / "vgaudit-c").mkdir()
    (starts / "vgaudit-c" / "request.json").write_text('{"samples": 5}')
    asked = backend(tmp_path, LOG)
    assert list(asked.generate([], work_dir=tmp_path / "work")) == []
    assert list(starts.iterdir()) == []


DRIVER = """
import sys
from pathlib import Path
from tests.backends.test_command import backend
from tests.backends.test_command_resume import PROMPTS, SLOW
asked = backend(Path(sys.argv[1]), SLOW, timeout_s=float(sys.argv[2]))
list(asked.generate(asked.samples(PROMPTS[:1], (0,)), work_dir=Path(sys.argv[1]) / "work"))
"""
SLOW = (
    LOG
    + """
import signal
pathlib.Path("slow.pid").write_text(str(os.getpid()))
while not pathlib.Path("go").exists():
    time.sleep(0.02)
(out / "a.mp4").write_text("made once")
answer(outcome="ok", file="a.mp4")
"""
)


def killed_while_the_program_runs(base: Path, timeout_s: float) -> tuple[CommandBackend, int]:
    """A run that was killed; its program goes on. The backend to resume with, and the program's process."""
    run = subprocess.Popen([sys.executable, "-c", DRIVER, str(base), str(timeout_s)], cwd=ROOT)
    pid = base / "slow.pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text() and list((base / "work").glob("starts/*/process.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert process_mark(int(pid.read_text())) is not None
    return backend(base, SLOW, timeout_s=timeout_s), int(pid.read_text())


def test_a_program_that_outlives_its_run_is_waited_for(tmp_path: Path) -> None:
    asked, _ = killed_while_the_program_runs(tmp_path, 60)
    finisher = subprocess.Popen(["sh", "-c", f"sleep 0.5; touch '{tmp_path}/go'"])
    (text,) = [
        a.path.read_text()
        for a in asked.generate(asked.samples(PROMPTS[:1], (0,)), work_dir=tmp_path / "work")
        if a.path
    ]
    finisher.wait()
    assert (text, started(tmp_path)) == ("made once", ["dog"])


def test_a_program_that_outlives_its_run_and_its_time_is_ended(tmp_path: Path) -> None:
    _, pid = killed_while_the_program_runs(tmp_path, 60)
    asked = backend(tmp_path, SLOW, timeout_s=1)
    samples = asked.samples(PROMPTS[:1], (0,))
    (start,) = (tmp_path / "work" / "starts").iterdir()
    (start / "output" / "early.mp4").write_text("x")
    (start / "output" / "response.json").write_text(json.dumps({"outcome": "ok", "file": "early.mp4"}))
    slow = asked.generate(samples, work_dir=tmp_path / "work")
    answer = next(slow)  # ended past its time, as a live one would be; then asked again, again past its time
    assert process_mark(pid) is None
    assert answer.message == "the command ran past timeout_s 1 and was ended"
    assert started(tmp_path) == ["dog", "dog"]


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    asked = backend(tmp_path, LOG + "answer(outcome='refused_input')", timeout_s=600)
    samples = asked.samples(PROMPTS[:1], (0,))
    start = left_start(tmp_path / "work", samples)
    (start.path / "process.json").write_text(
        json.dumps({"pid": os.getpid(), "mark": "earlier", "at": time.time()})
    )
    begun = time.monotonic()
    assert len(list(asked.generate(samples, work_dir=tmp_path / "work"))) == 1
    assert time.monotonic() - begun < 60


def test_a_process_has_the_same_mark_as_long_as_it_lives() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert mark is not None
    assert process_mark(child.pid) == mark
    assert process_mark(os.getpid()) != mark
    assert left_processes.group_lives(os.getpgrp())
    child.communicate(b"\n")
    assert process_mark(child.pid) is None
