"""Backend ``command``: a program of the user's, for models in another environment or behind an API.

The program is started once for each sample (or batch) with a JSON request file and leaves a clip, or a
``response.json``, in its output folder. ``examples/http_backend`` shows both sides.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from vgaudit.backends.base import (
    BackendContext,
    Generated,
    GenerationOutcome,
    Options,
    OptionsClass,
    PromptSpec,
)
from vgaudit.backends.clip_sources import failed, hand_on
from vgaudit.backends.command_response import BadResponseError, Response, output_file, read_responses
from vgaudit.backends.job_notes import JobNotes
from vgaudit.backends.prompted import expand
from vgaudit.backends.subprocesses import Finished, last_lines, minimal_environment, run_program
from vgaudit.plan import Sample
from vgaudit.records import digest
from vgaudit.registry import nearest

PLACEHOLDERS = ("request", "output", "output_dir", "prompt", "seed", "sample_id", "python")
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>\w+)\}\}|\{(?P<name>\w+)\}")
_MAX_ARGUMENT = 100_000  # bytes; Linux allows 128 KiB for one argument
_ONE_SAMPLE = {"output", "prompt", "seed", "sample_id"}


def _named(argument: str) -> list[str]:
    return [match["name"] for match in _PLACEHOLDER.finditer(argument) if match["name"]]


def _filled(match: re.Match[str], values: Mapping[str, str]) -> str:
    return f"{{{match['literal']}}}" if match["literal"] else values[match["name"]]


class CommandOptions(Options):
    """Options of backend ``command``."""

    argv: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1,
        description="Program and arguments; {request} {output} {output_dir} {prompt} {seed} {sample_id} {python} "
        "are filled in ({{x}} is {x}). No shell is involved; the working folder is the suite's.",
    )
    per: Literal["sample", "batch"] = Field("sample", description="One start for each sample, or for many.")
    batch_size: int = Field(64, ge=1, le=10_000, description="Samples of one start with `per: batch`.")
    timeout_s: float = Field(600.0, gt=0, le=86_400, description="Seconds after which a start is ended.")
    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], ...] = Field(
        (), description="Environment variables passed on (tokens); all others but a few are withheld."
    )
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate of frame folders and arrays.")
    seed: Literal["supported", "unsupported"] = Field(
        "supported", description="unsupported: the seed only numbers the takes, and the request says null."
    )
    model: str = Field("", description="What is asked; part of the fingerprint and the group's name.")
    version: str = Field("", description="Change it when the model behind the command changes.")
    suffix: Literal[".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif", ".npy", ".npz"] = Field(
        ".mp4", description="Ending of {output}."
    )
    max_attempts: int = Field(1, ge=1, le=10_000, description="Starts for one sample that says retry_after.")
    max_wait_s: float = Field(60.0, ge=0, le=3600, description="Longest wait between two starts.")
    max_bytes: int = Field(2 * 2**30, ge=1, description="Largest clip accepted.")

    @field_validator("argv")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for argument in value:
            for name in _named(argument):
                if name not in PLACEHOLDERS:
                    known = ", ".join(f"{{{p}}}" for p in PLACEHOLDERS)
                    raise ValueError(
                        f"unknown placeholder {{{name}}}{nearest(name, list(PLACEHOLDERS))} (known: {known})"
                    )
        if _named(value[0]) and value[0] != "{python}":
            raise ValueError("the program itself may not come from a placeholder, other than {python}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> CommandOptions:
        used = {name for argument in self.argv for name in _named(argument)}
        if self.per == "batch" and (wrong := used & _ONE_SAMPLE):
            raise ValueError(
                f"{{{min(wrong)}}} is of one sample; `per: batch` has {{request}} and {{output_dir}}"
            )
        if self.per == "batch" and "request" not in used:
            raise ValueError("`per: batch` needs {request} in argv")
        if not used & {"request", "output", "output_dir"}:
            raise ValueError(
                "argv has none of {request}, {output} and {output_dir}: the program could not answer"
            )
        if self.seed == "unsupported" and "seed" in used:
            raise ValueError("argv has {seed}, but `seed: unsupported` says there is none to give")
        return self


@dataclass(frozen=True)
class _Task:
    """A sample that waits for its turn.

    Attributes:
        sample: The sample.
        job_id: Of an earlier submission.
        attempt: Starts so far.
        not_before: Monotonic time before which it is not asked again.
    """

    sample: Sample
    job_id: str | None = None
    attempt: int = 0
    not_before: float = 0.0


class CommandBackend:
    """Asks a program for clips.

    A sample whose program answers ``retry_after`` is asked again after the others, up to ``max_attempts`` times,
    and then left pending. Once a job id is known it is always sent along, so that the program polls that job
    and submits no other. With ``per: batch``, a start holds only samples that are missing: clips that were
    paid for are not asked for again, so the program must not let samples of one batch influence each other.
    """

    type: ClassVar[str] = "command"
    Options: ClassVar[OptionsClass] = CommandOptions

    def __init__(self, options: CommandOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        self._fps = options.fps or context.video.fps
        kept = {"argv", "per", "seed", "model", "version", "suffix", "fps"}
        self.fingerprint = digest({"type": self.type, **options.model_dump(mode="json", include=kept)})

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample for each prompt and seed.

        Raises:
            SuiteError: There are no prompts or no seeds.
        """
        group = self._context.name or self._options.model or self.type
        return expand(
            prompts, seeds, self._context, backend=self.type, group=group, fingerprint=self.fingerprint
        )

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Ask for ``samples``; the clip of an answer is there until the next answer is asked for.

        Raises:
            BackendError: A variable of ``env`` is not set, or the program cannot be started.
        """
        env = minimal_environment(self._options.env)
        notes = JobNotes(work_dir)
        jobs = {**(pending or {}), **notes.known([s.sample_id for s in samples])}
        waiting = [_Task(s, jobs.get(s.sample_id)) for s in samples]
        size = self._options.batch_size if self._options.per == "batch" else 1
        while waiting:
            waiting.sort(
                key=lambda task: task.not_before
            )  # stable: the plan's order among those that are due
            time.sleep(max(0.0, waiting[0].not_before - time.monotonic()))
            now = time.monotonic()
            due = [task for task in waiting[:size] if task.not_before <= now]
            waiting = waiting[len(due) :]
            with notes.folder() as folder:
                for task, answer, again_s in self._start(due, folder, env):
                    if answer.job_id is not None and answer.outcome is GenerationOutcome.RETRY_AFTER:
                        notes.note(task.sample.sample_id, answer.job_id)
                    if again_s is not None and task.attempt < self._options.max_attempts:
                        waiting.append(replace(task, not_before=time.monotonic() + again_s))
                        continue
                    yield answer
                    if answer.outcome is not GenerationOutcome.RETRY_AFTER:
                        notes.forget(task.sample.sample_id)

    def _start(
        self, tasks: Sequence[_Task], folder: Path, env: Mapping[str, str]
    ) -> Iterator[tuple[_Task, Generated, float | None]]:
        """Start the program once; each task with its answer and, if it is to be asked again, in how many seconds."""
        output = folder / "output"
        output.mkdir()
        request = folder / "request.json"
        request.write_text(
            json.dumps(self._request(tasks, output), ensure_ascii=False, indent=1), encoding="utf-8"
        )
        try:
            argv = self._argv(tasks, request, output)
        except ValueError as error:
            yield tasks[0], failed(Generated(tasks[0].sample), str(error)), None
            return
        finished = run_program(argv, self._context.base_dir, env, self._options.timeout_s)
        left = read_responses(output, [t.sample.sample_id for t in tasks], self._options.max_bytes)
        ending = self._ending(finished, [env[name] for name in self._options.env])
        for task in tasks:
            response = left.get(task.sample.sample_id)
            if response is None:
                response = self._without_response(task, output, ending)
            made, again_s = self._judged(task, response, ending, finished.seconds / len(tasks))
            yield replace(task, attempt=task.attempt + 1, job_id=made.job_id), made, again_s

    def _request(self, tasks: Sequence[_Task], output: Path) -> dict[str, Any]:
        def one(task: _Task) -> dict[str, Any]:
            sample = task.sample
            return {
                "sample_id": sample.sample_id,
                "prompt_id": sample.prompt_id,
                "prompt": sample.prompt,
                "seed": sample.seed if self._options.seed == "supported" else None,
                "tags": dict(sample.tags),
                "job_id": task.job_id,
            }

        common = {
            "video": asdict(self._context.video),
            "model": self._options.model,
            "output_dir": str(output),
        }
        if self._options.per == "batch":
            return {"samples": [one(task) for task in tasks], **common}
        return {**one(tasks[0]), **common}

    def _argv(self, tasks: Sequence[_Task], request: Path, output: Path) -> list[str]:
        """The template filled in; what is filled in is never searched for placeholders again.

        Raises:
            ValueError: The prompt cannot be an argument.
        """
        sample = tasks[0].sample
        values = {
            "request": str(request),
            "output": str(output / f"clip{self._options.suffix}"),
            "output_dir": str(output),
            "prompt": sample.prompt,
            "seed": str(sample.seed),
            "sample_id": sample.sample_id,
            "python": sys.executable,
        }
        if any("{prompt}" in argument for argument in self._options.argv):
            if "{prompt}" in self._options.argv and sample.prompt.startswith("-"):
                raise ValueError(
                    "the prompt begins with '-' and would be read as an option; write --prompt={prompt}, or read the "
                    "request file"
                )
            if "\0" in sample.prompt or len(sample.prompt.encode()) > _MAX_ARGUMENT:
                raise ValueError(
                    "the prompt cannot be an argument (NUL, or too long); read the request file instead"
                )
        return [_PLACEHOLDER.sub(lambda m: _filled(m, values), argument) for argument in self._options.argv]

    def _ending(self, finished: Finished, secrets: Sequence[str]) -> str:
        """Why the program did not end well, or an empty string."""
        if finished.code is None:
            reason = f"the command ran past timeout_s {self._options.timeout_s:g} and was ended"
        elif finished.code != 0:
            reason = f"the command ended with exit code {finished.code}"
        else:
            return ""
        lines = last_lines(finished.stderr, secrets)
        return f"{reason}: {lines}" if lines else reason

    def _without_response(self, task: _Task, output: Path, ending: str) -> Response | str:
        if ending:
            return ending
        stem = "clip" if self._options.per == "sample" else task.sample.sample_id
        name = stem + self._options.suffix
        if not (output / name).exists() and not (output / name).is_symlink():
            return f"the command ended well but left neither {name} nor response.json in its output folder"
        try:
            return Response(GenerationOutcome.OK, output_file(output, name, self._options.max_bytes))
        except BadResponseError as error:
            return str(error)

    def _judged(
        self, task: _Task, response: Response | str, ending: str, seconds: float
    ) -> tuple[Generated, float | None]:
        """The answer, and in how many seconds to ask again if it is not the last word."""
        base = Generated(task.sample, seconds=seconds, job_id=task.job_id)
        if isinstance(response, str):
            if task.job_id is None:
                return failed(base, response), None
            # The job lives on at the provider: a crash of the client must not lose it.
            return replace(base, outcome=GenerationOutcome.RETRY_AFTER, message=response), None
        base = replace(
            base,
            job_id=response.job_id or task.job_id,
            message=response.message,
            cost=response.cost,
            facts=dict(response.facts or {}),
        )
        if response.outcome is GenerationOutcome.RETRY_AFTER:
            wait = self._options.max_wait_s if response.retry_after_s is None else response.retry_after_s
            message = ending or response.message or "the provider has not finished"
            again = None if ending else min(wait, self._options.max_wait_s)
            if ending and base.job_id is None:
                return failed(base, ending), None
            return replace(base, outcome=GenerationOutcome.RETRY_AFTER, message=message), again
        if ending:
            return failed(base, ending), None
        if response.file is not None:
            return hand_on(base, response.file, self._fps, self._context.limits), None
        return replace(
            base, outcome=response.outcome, message=response.message or response.outcome.value
        ), None
