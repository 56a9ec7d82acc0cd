"""Backend ``command``: a program of the user's, for models in another environment or behind an API.

The program is started once for each sample (or batch) with a JSON request file and leaves a clip, or a
``response.json``, in its output folder. ``examples/http_backend`` shows both sides.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vgaudit.backends.base import (
    BackendContext,
    Generated,
    GenerationOutcome,
    OptionsClass,
    PromptSpec,
)
from vgaudit.backends.clip_sources import failed, hand_on
from vgaudit.backends.command_options import CommandOptions, fill_in
from vgaudit.backends.command_response import BadResponseError, Response, output_file, read_responses
from vgaudit.backends.job_notes import JobNotes
from vgaudit.backends.prompted import expand
from vgaudit.backends.starts import Ending, Start, Starts
from vgaudit.backends.subprocesses import Finished, last_lines, minimal_environment, run_program
from vgaudit.plan import Sample
from vgaudit.records import digest

_MAX_ARGUMENT = 100_000  # bytes; Linux allows 128 KiB for one argument
_ANSWERED = {GenerationOutcome.OK, GenerationOutcome.REFUSED_INPUT, GenerationOutcome.REFUSED_OUTPUT}


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


def _settled(answer: Generated, start: Start, notes: JobNotes) -> None:
    """The consumer asked for more after ``answer``: unless it came as frames, its record is on disk now.

    Frames are encoded later, so their start and job are kept until a later run no longer asks for the sample.
    """
    if answer.frames is None:
        start.take(answer.sample.sample_id)
        if answer.outcome is not GenerationOutcome.RETRY_AFTER:
            notes.forget(answer.sample.sample_id)


class CommandBackend:
    """Asks a program for clips.

    A sample whose program answers ``retry_after`` is asked again after the others, up to ``max_attempts`` times,
    and then left pending. Once a job id is known it is always sent along, so that the program polls that job
    and submits no other. With ``per: batch``, a start holds only samples that are missing: clips that were
    paid for are not asked for again, so the program must not let samples of one batch influence each other.

    What a killed run was answered is handed out by the next one before anything is asked. A program that outlived
    its run is first left to finish within its time; ``left_processes`` says where that cannot be known.
    """

    type: ClassVar[str] = "command"
    Options: ClassVar[OptionsClass] = CommandOptions

    def __init__(self, options: CommandOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        self.domain = options.domain or ""
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
        asked = {s.sample_id: s for s in samples}
        notes, starts = JobNotes(work_dir), Starts(work_dir)
        jobs = {**(pending or {}), **notes.known(asked)}
        answered: set[str] = set()
        for start in starts.left_behind():
            kept = False
            for answer in self._stored(start, asked):
                sample_id = answer.sample.sample_id
                if answer.outcome in _ANSWERED:
                    answered.add(sample_id)
                    kept |= answer.frames is not None
                    yield answer
                    _settled(answer, start, notes)
                elif answer.outcome is GenerationOutcome.RETRY_AFTER and answer.job_id is not None:
                    notes.note(sample_id, answer.job_id)
                    jobs[sample_id] = answer.job_id
                    start.take(sample_id)
            if not kept:
                starts.remove(start)
        waiting = [_Task(s, jobs.get(s.sample_id)) for s in samples if s.sample_id not in answered]
        size = self._options.batch_size if self._options.per == "batch" else 1
        while waiting:
            waiting.sort(
                key=lambda task: task.not_before
            )  # stable: the plan's order among those that are due
            time.sleep(max(0.0, waiting[0].not_before - time.monotonic()))
            now = time.monotonic()
            due = [task for task in waiting[:size] if task.not_before <= now]
            waiting = waiting[len(due) :]
            with starts.new() as start:
                for task, answer, again_s in self._start(due, start, env):
                    if answer.job_id is not None and answer.outcome is GenerationOutcome.RETRY_AFTER:
                        notes.note(task.sample.sample_id, answer.job_id)
                    if again_s is not None and task.attempt < self._options.max_attempts:
                        start.take(task.sample.sample_id)
                        waiting.append(replace(task, not_before=time.monotonic() + again_s))
                        continue
                    yield answer
                    _settled(answer, start, notes)

    def _stored(self, start: Start, asked: Mapping[str, Sample]) -> Iterator[Generated]:
        """Answers that an earlier run was given and did not record, judged as if they came now.

        Where nobody saw the program end, a complete response is taken at its word, but a clip without one is not
        an answer: it may be cut off. Nothing is given for such samples.
        """
        start.settle(self._options.timeout_s, self._too_late)
        ids = start.asked()
        left = [
            _Task(asked[sample_id], job_id)
            for sample_id, job_id in ids.items()
            if sample_id in asked and not start.is_taken(sample_id)
        ]
        for _, answer, _ in self._answers(left, list(ids), start):
            yield answer

    def _start(
        self, tasks: Sequence[_Task], start: Start, env: Mapping[str, str]
    ) -> Iterator[tuple[_Task, Generated, float | None]]:
        """Start the program once; each task with its answer and, if it is to be asked again, in how many seconds."""
        start.ask(self._request(tasks, start.output))
        try:
            argv = self._argv(tasks, start.request, start.output)
        except ValueError as error:
            yield tasks[0], failed(Generated(tasks[0].sample), str(error)), None
            return
        finished = run_program(argv, self._context.base_dir, env, self._options.timeout_s, start.began)
        reason = self._ending(finished, [env[name] for name in self._options.env])
        start.ended(Ending(reason, finished.seconds))
        yield from self._answers(tasks, [t.sample.sample_id for t in tasks], start)

    def _answers(
        self, tasks: Sequence[_Task], sample_ids: Sequence[str], start: Start
    ) -> Iterator[tuple[_Task, Generated, float | None]]:
        """What a start left for ``tasks``, which are all or some of the ``sample_ids`` it was for."""
        ending = start.ending()
        left = read_responses(start.output, sample_ids, self._options.max_bytes)
        reason, seconds = (ending.reason, ending.seconds / len(sample_ids)) if ending else ("", 0.0)
        for task in tasks:
            response = left.get(task.sample.sample_id)
            if response is None and ending is not None:
                response = self._without_response(task, start.output, reason)
            if response is not None:
                made, again_s = self._judged(task, response, reason, seconds)
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
        """The template filled in.

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
        return fill_in(self._options.argv, values)

    @property
    def _too_late(self) -> str:
        return f"the command ran past timeout_s {self._options.timeout_s:g} and was ended"

    def _ending(self, finished: Finished, secrets: Sequence[str]) -> str:
        """Why the program did not end well, or an empty string."""
        if finished.code is None:
            reason = self._too_late
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
