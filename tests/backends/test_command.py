"""Programs of the user's: arguments, answers, refusals, deadlines, jobs that last longer than one run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vgaudit.backends.base import BackendContext, Generated, GenerationOutcome, PromptSpec, VideoRequest
from vgaudit.backends.command import CommandBackend
from vgaudit.backends.command_options import CommandOptions
from vgaudit.backends.command_response import BadResponseError, parse_response
from vgaudit.backends.subprocesses import last_lines
from vgaudit.errors import BackendError, SuiteError

PROMPTS = [
    PromptSpec("dog", 'a "dog"; $(rm -rf /) {seed} && `x`', {"kind": "animal"}),
    PromptSpec("cat", "a cat"),
]

HEAD = """
import json, os, pathlib, sys, time
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(request["output_dir"])
def answer(**values):
    (out / "response.json").write_text(json.dumps(values))
"""


def backend(base: Path, program: str, **options: Any) -> CommandBackend:
    (base / "program.py").write_text(HEAD + program)
    options.setdefault("argv", ("{python}", "program.py", "{request}"))
    context = BackendContext(base, video=VideoRequest(frames=4, fps=8.0))
    return CommandBackend(CommandOptions(**options), context)


def taken(
    asked: CommandBackend,
    pending: Mapping[str, str] | None = None,
    seeds: tuple[int, ...] = (0,),
    work_dir: Path | None = None,
) -> dict[str, tuple[Generated, bytes]]:
    """``prompt_id-seed -> (answer, bytes of its clip)``, read while the clip is there."""
    samples = asked.samples(PROMPTS, seeds)
    jobs = {s.sample_id: pending[s.prompt_id] for s in samples if pending and s.prompt_id in pending}
    return {
        f"{a.sample.prompt_id}-{a.sample.seed}": (a, a.path.read_bytes() if a.path else b"")
        for a in asked.generate(samples, pending=jobs, work_dir=work_dir)
    }


def one(asked: CommandBackend) -> Generated:
    return taken(asked)["cat-0"][0]


def test_a_clip_at_the_output_place_is_enough(tmp_path: Path) -> None:
    argv = (
        "{python}",
        "program.py",
        "{request}",
        "{output}",
        "--text={prompt}",
        "{seed}",
        "{sample_id}",
        "{{x}}",
    )
    program = "pathlib.Path(sys.argv[2]).write_bytes(json.dumps(sys.argv[3:]).encode())"
    made = taken(backend(tmp_path, program, argv=argv, suffix=".webm"))
    answer, data = made["dog-0"]
    assert answer.outcome is GenerationOutcome.OK
    assert json.loads(data) == [f"--text={PROMPTS[0].text}", "0", answer.sample.sample_id, "{x}"]
    assert answer.path is not None
    assert answer.path.name == "clip.webm"
    assert not answer.path.exists()
    assert answer.seconds > 0


def test_the_request_says_everything(tmp_path: Path) -> None:
    program = """
(out / "a.mp4").write_text(json.dumps(request))
answer(outcome="ok", file="a.mp4", cost=0.5, facts={"v": 2})
"""
    answer, data = taken(backend(tmp_path, program, model="m1"))["dog-0"]
    request = json.loads(data)
    assert request.pop("output_dir")
    assert request == {
        "sample_id": answer.sample.sample_id,
        "prompt_id": "dog",
        "prompt": PROMPTS[0].text,
        "seed": 0,
        "tags": {"kind": "animal"},
        "job_id": None,
        "video": {"frames": 4, "fps": 8.0, "width": None, "height": None},
        "model": "m1",
    }
    assert (answer.cost, answer.facts, answer.sample.group) == (0.5, {"v": 2}, "m1")


def test_without_seeds_the_request_says_null(tmp_path: Path) -> None:
    program = "(out / 'clip.mp4').write_text(str(request['seed']))"
    made = taken(backend(tmp_path, program, seed="unsupported"), seeds=(0, 1))
    assert {data for _, data in made.values()} == {b"None"}
    assert len({a.sample.sample_id for a, _ in made.values()}) == 4


def test_one_start_for_a_batch(tmp_path: Path) -> None:
    program = """
answers = {}
for i, sample in enumerate(request["samples"]):
    (out / f"{i}.mp4").write_text(str(len(request["samples"])))
    answers[sample["sample_id"]] = {"outcome": "ok", "file": f"{i}.mp4"}
del answers[request["samples"][-1]["sample_id"]]
(out / (request["samples"][-1]["sample_id"] + ".mp4")).write_text("plain")
answer(samples=answers)
"""
    made = taken(backend(tmp_path, program, per="batch", batch_size=3), seeds=(0, 1))
    assert [data for _, data in made.values()] == [b"3", b"3", b"plain", b"plain"]


def test_arrays_and_frame_folders_come_as_exact_frames(tmp_path: Path) -> None:
    program = "import numpy; numpy.save(out / 'clip.npy', numpy.full((4, 8, 8, 3), 7, dtype='uint8'))"
    answer = one(backend(tmp_path, program, suffix=".npy"))
    assert answer.frames is not None
    assert (answer.frames.shape, answer.fps, answer.exact) == ((4, 8, 8, 3), 8.0, True)
    assert np.unique(answer.frames).tolist() == [7]


@pytest.mark.parametrize("outcome", ["refused_input", "refused_output", "error"])
def test_refusals_and_errors_are_passed_on(tmp_path: Path, outcome: str) -> None:
    answer = one(backend(tmp_path, f"answer(outcome='{outcome}', message='policy', cost=0.1)"))
    assert (answer.outcome.value, answer.message, answer.cost, answer.path) == (outcome, "policy", 0.1, None)


FAULTS: dict[str, tuple[str, str]] = {
    "exit code": ("sys.exit('first\\nsecond')", "the command ended with exit code 1: first | second"),
    "signal": ("os.kill(os.getpid(), 9)", "the command ended with exit code -9"),
    "exit code with a clip": ("(out / 'clip.mp4').write_text('x'); sys.exit(3)", "ended with exit code 3"),
    "exit code with ok": (
        "(out / 'a.mp4').write_text('x'); answer(outcome='ok', file='a.mp4'); sys.exit(3)",
        "ended with exit code 3",
    ),
    "nothing": ("", "the command ended well but left neither clip.mp4 nor response.json"),
    "empty clip": ("(out / 'clip.mp4').write_text('')", "'clip.mp4' is empty"),
    "linked clip": ("(out / 'clip.mp4').symlink_to('/etc/hostname')", "is or passes a link"),
    "not JSON": ("(out / 'response.json').write_text('{')", "response.json: not JSON"),
    "a list": ("(out / 'response.json').write_text('[]')", "response.json: expected an object, found list"),
    "linked response": ("(out / 'response.json').symlink_to('/etc/hostname')", "expected a plain file"),
    "huge response": ("(out / 'response.json').write_text(' ' * 5_000_000)", "5000000 bytes, more than"),
    "another sample": ("answer(samples={'x': {}})", "answers 'x', which was not asked for"),
    "unknown outcome": ("answer(outcome='okay')", "outcome 'okay'; did you mean 'ok'?"),
    "unknown key": ("answer(outcome='error', mesage='x')", "unknown key 'mesage'; did you mean 'message'?"),
    "no file": ("answer(outcome='ok')", "`file` goes with outcome ok"),
    "file of a refusal": (
        "answer(outcome='error', file='a.mp4')",
        "`file` goes with outcome ok and with no other",
    ),
    "file elsewhere": ("answer(outcome='ok', file='../request.json')", "'../request.json' leaves the root"),
    "absolute file": ("answer(outcome='ok', file='/etc/hostname')", "'/etc/hostname' is absolute"),
    "file through a link": (
        "(out / 'd').symlink_to('/etc'); answer(outcome='ok', file='d/hostname')",
        "is or passes a link",
    ),
    "missing file": ("answer(outcome='ok', file='a.mp4')", "'a.mp4' does not exist in the output folder"),
    "no clip": (
        "(out / 'a.txt').write_text('x'); answer(outcome='ok', file='a.txt')",
        "'a.txt' is no media file",
    ),
    "too large": (
        "(out / 'clip.mp4').write_bytes(bytes(2000))",
        "has 2000 bytes, more than `max_bytes` 1000",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_errors_with_their_reason(tmp_path: Path, case: str) -> None:
    program, message = FAULTS[case]
    answer = one(backend(tmp_path, program, max_bytes=1000))
    assert answer.outcome is GenerationOutcome.ERROR
    assert message in answer.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"outcome": "error", "cost": -1}, "cost: expected a number from 0"),
        ({"outcome": "error", "cost": True}, "cost: expected a number"),
        ({"outcome": "retry_after", "retry_after_s": float("inf")}, "retry_after_s: expected a number"),
        ({"outcome": "retry_after", "job_id": "a b"}, "job_id: expected 1 to 512 printable"),
        ({"outcome": "retry_after", "job_id": 5}, "job_id: expected 1 to 512 printable"),
        ({"outcome": "error", "message": ["x"]}, "message: expected a string, found list"),
        ({"outcome": "error", "facts": {"a": []}}, "facts: expected an object"),
        ({"outcome": "error", "facts": {"a": float("nan")}}, "facts: NaN"),
        ("error", "expected an object, found str"),
    ],
)
def test_wrong_responses(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(BadResponseError, match=message):
        parse_response(value, tmp_path, 1000)


def test_a_deadline_ends_everything_the_command_started(tmp_path: Path) -> None:
    program = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child.pid").write_text(str(child.pid))
print("waiting", file=sys.stderr, flush=True)
time.sleep(60)
"""
    asked = backend(tmp_path, program, timeout_s=2)
    start = time.monotonic()
    answer = next(iter(asked.generate(asked.samples(PROMPTS[1:], (0,)))))
    assert time.monotonic() - start < 20
    assert answer.outcome is GenerationOutcome.ERROR
    assert answer.message == "the command ran past timeout_s 2 and was ended: waiting"
    state = Path(f"/proc/{(tmp_path / 'child.pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split(")")[1].split()[0] == "Z"


def test_only_named_variables_are_passed_and_secrets_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEO_TOKEN", "s3cret-value")
    monkeypatch.setenv("OTHER_TOKEN", "other")
    program = "sys.exit(f\"{os.environ['VIDEO_TOKEN']} {sorted(set(os.environ) & {'OTHER_TOKEN', 'PATH'})}\")"
    answer = one(backend(tmp_path, program, env=("VIDEO_TOKEN",)))
    assert answer.message == "the command ended with exit code 1: *** ['PATH']"
    with pytest.raises(BackendError, match="`env` names NOT_THERE, but it is not set; export it first"):
        one(backend(tmp_path, "", env=("NOT_THERE",)))


def test_last_lines_are_bounded() -> None:
    assert last_lines("a\n\nb\nc\n", (), 2) == "b | c"
    assert len(last_lines("x" * 10_000, ())) == 800


def test_a_long_error_output_does_not_block(tmp_path: Path) -> None:
    answer = one(backend(tmp_path, "sys.stderr.write('x' * 3_000_000 + '\\nend\\n'); sys.exit(1)"))
    assert answer.message.endswith(" | end") or answer.message.endswith("x" * 50)
    assert len(answer.message) < 1000


def test_prompts_that_would_be_options_are_not_passed(tmp_path: Path) -> None:
    asked = backend(tmp_path, "", argv=("{python}", "program.py", "{request}", "{prompt}"))
    (answer,) = asked.generate(asked.samples([PromptSpec("p", "--help me")], (0,)))
    assert answer.outcome is GenerationOutcome.ERROR
    assert "the prompt begins with '-' and would be read as an option" in answer.message
    (answer,) = asked.generate(asked.samples([PromptSpec("p", "x" * 200_000)], (0,)))
    assert "the prompt cannot be an argument" in answer.message


PROVIDER = """
jobs = pathlib.Path("jobs.txt")
if request["job_id"] is None:
    with jobs.open("a") as file:
        file.write(request["prompt_id"] + "\\n")
    answer(outcome="retry_after", job_id="job-" + request["prompt_id"], retry_after_s=0.01)
elif pathlib.Path("ready").exists():
    (out / "clip.mp4").write_text(request["job_id"])
    answer(outcome="ok", file="clip.mp4")
else:
    answer(outcome="retry_after", job_id=request["job_id"], retry_after_s=0.01, message="queued")
"""


def test_a_pending_job_is_polled_and_never_submitted_again(tmp_path: Path) -> None:
    first = taken(backend(tmp_path, PROVIDER, max_attempts=3))
    assert [(a.outcome.value, a.job_id, a.message) for a, _ in first.values()] == [
        ("retry_after", "job-dog", "queued"),
        ("retry_after", "job-cat", "queued"),
    ]
    (tmp_path / "ready").touch()
    jobs = {a.sample.prompt_id: a.job_id or "" for a, _ in first.values()}
    second = taken(backend(tmp_path, PROVIDER), pending=jobs)
    assert [data for _, data in second.values()] == [b"job-dog", b"job-cat"]
    assert (tmp_path / "jobs.txt").read_text() == "dog\ncat\n"


def test_all_are_submitted_before_the_first_is_polled(tmp_path: Path) -> None:
    log = "with open('log.txt', 'a') as f: f.write(f\"{request['prompt_id']}:{request['job_id']} \")\n"
    taken(backend(tmp_path, log + PROVIDER, max_attempts=2))
    assert (tmp_path / "log.txt").read_text().split() == [
        "dog:None",
        "cat:None",
        "dog:job-dog",
        "cat:job-cat",
    ]


def test_a_crash_after_submitting_keeps_the_job(tmp_path: Path) -> None:
    program = "answer(outcome='retry_after', job_id='j1'); sys.exit('lost the connection')"
    answer = one(backend(tmp_path, program, max_attempts=5))
    assert (answer.outcome, answer.job_id) == (GenerationOutcome.RETRY_AFTER, "j1")
    assert "exit code 1: lost the connection" in answer.message
    slow = one(backend(tmp_path, "answer(outcome='retry_after', job_id='j2'); time.sleep(60)", timeout_s=1))
    assert (slow.outcome, slow.job_id) == (GenerationOutcome.RETRY_AFTER, "j2")
    polled = taken(backend(tmp_path, "sys.exit('no network')"), pending={"cat": "j3"})["cat-0"][0]
    assert (polled.outcome, polled.job_id) == (GenerationOutcome.RETRY_AFTER, "j3")


def test_a_busy_provider_without_a_job_is_asked_again(tmp_path: Path) -> None:
    program = """
tries = pathlib.Path("tries-" + request["prompt_id"])
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if tries.read_text() == "xxx":
    (out / "clip.mp4").write_text("made")
else:
    answer(outcome="retry_after", retry_after_s=0, message="429")
"""
    assert {data for _, data in taken(backend(tmp_path, program, max_attempts=3)).values()} == {b"made"}
    (tmp_path / "tries-dog").unlink()
    (tmp_path / "tries-cat").unlink()
    answer = one(backend(tmp_path, program, max_attempts=2))
    assert (answer.outcome, answer.job_id, answer.message) == (GenerationOutcome.RETRY_AFTER, None, "429")


def test_a_killed_run_finds_its_jobs_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    asked = backend(tmp_path, PROVIDER, max_attempts=1)
    samples = asked.samples(PROMPTS, (0,))
    answers = asked.generate(samples, work_dir=work)
    next(answers)
    del answers  # as if killed: nothing was recorded by the caller
    # Killed in the middle of a start, right after the program submitted the second prompt.
    output = work / "starts" / "vgaudit-x" / "output"
    output.mkdir(parents=True)
    (output.parent / "request.json").write_text(json.dumps({"sample_id": samples[1].sample_id}))
    (output / "response.json").write_text(json.dumps({"outcome": "retry_after", "job_id": "job-cat"}))
    (tmp_path / "ready").touch()
    made = taken(backend(tmp_path, PROVIDER), work_dir=work)
    assert [data for _, data in made.values()] == [b"job-dog", b"job-cat"]
    assert (tmp_path / "jobs.txt").read_text() == "dog\n"
    assert list((work / "jobs").iterdir()) == []
    assert not list((work / "starts").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"argv": ()}, "at least 1 item"),
        ({"argv": ("x", "{promt}")}, "unknown placeholder {promt}; did you mean 'prompt'?"),
        ({"argv": ("{prompt}", "{output}")}, "the program itself may not come from a placeholder"),
        ({"argv": ("x", "y")}, "argv has none of {request}, {output} and {output_dir}"),
        ({"argv": ("x", "{output}"), "per": "batch"}, "{output} is of one sample"),
        ({"argv": ("x", "{output_dir}"), "per": "batch"}, "`per: batch` needs {request}"),
        (
            {"argv": ("x", "{output}", "{seed}"), "seed": "unsupported"},
            "argv has {seed}, but `seed: unsupported`",
        ),
        ({"argv": ("x", "{output}"), "env": ("A=B",)}, "String should match pattern"),
        ({"argv": ("x", "{output}"), "timeout_s": 0}, "greater than 0"),
        ({"argv": "x {output}"}, "valid tuple"),
        ({"argv": ("x", "{output}"), "shell": True}, "Extra inputs"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        CommandOptions(**options)
    assert message in str(error.value)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"'no-such-program' cannot be started: .*No such file"):
        one(backend(tmp_path, "", argv=("no-such-program", "{output}")))
    with pytest.raises(SuiteError, match="expected `prompts`"):
        backend(tmp_path, "").samples([], (0,))


def test_fingerprint_follows_what_is_asked_not_how_long(tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return backend(tmp_path, "", **options).fingerprint

    same = fingerprint()
    assert fingerprint(timeout_s=5, max_attempts=9, env=("PATH",)) == same
    assert len({same, fingerprint(version="2"), fingerprint(model="m"), fingerprint(seed="unsupported")}) == 4
    assert os.environ.get("PATH")
