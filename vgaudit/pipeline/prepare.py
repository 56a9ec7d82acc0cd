"""Before a run: build the backends and the plan of a suite, and place every error in it."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vgaudit.backends.base import Backend, BackendContext
from vgaudit.decisions import ReviewPolicy
from vgaudit.errors import BackendError, SuiteError, Unavailable, UsageError
from vgaudit.pipeline.binding import ExtractorPool, bind
from vgaudit.pipeline.runspec import Kind, MetricSpec, RunSpec
from vgaudit.plan import Plan, Sample, limited
from vgaudit.suite import LoadedSuite, load_suite_text


@dataclass
class Prepared:
    """A suite ready to run: backends built, plan made; nothing on disk yet.

    Attributes:
        loaded: The suite.
        spec: What the run directory will remember of it.
        backends: In the suite's order.
        plan: All samples.
        unavailable: Metrics that could not be computed here, with the reason.
    """

    loaded: LoadedSuite
    spec: RunSpec
    backends: list[Backend]
    plan: Plan
    unavailable: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_out(self) -> Path:
        """``reports/<name>-<plan digest>``: another plan never lands in the same place."""
        return Path("reports") / f"{self.spec.name}-{self.plan.digest[:8]}"


def prepare(loaded: LoadedSuite, *, limit: int | None = None, kind: Kind = "run") -> Prepared:
    """Build backends and the plan of a suite.

    Args:
        loaded: The suite.
        limit: At most so many samples of each group.
        kind: ``run`` or ``census``.

    Raises:
        SuiteError: A backend refuses its options, or there is nothing to do.
    """
    identity = {"encoder": dict(loaded.encoder.identity())}
    backends: list[Backend] = []
    samples: list[Sample] = []
    for index, choice in enumerate(loaded.backends):
        context = BackendContext(loaded.base_dir, choice.name, index, loaded.video, identity, loaded.limits)
        with _placed(choice.places, choice.raw):
            backend: Backend = choice.cls(choice.options, context)
            made = backend.samples(loaded.prompts, loaded.seeds)
        domain = str(getattr(backend, "domain", ""))
        samples += [replace(s, domain=s.domain or domain) for s in made]
        backends.append(backend)
    where = loaded.path or loaded.suite.name
    kept = limited(samples, limit)
    if not kept:
        raise SuiteError(
            f"{where}: expected at least one sample, found none; give prompts and seeds, or clips"
        )
    try:
        plan = Plan(kept)
    except ValueError as error:
        raise SuiteError(f"{where}: {error}; two backends must differ in name or options") from error
    spec = _spec(loaded, plan, kind)
    return Prepared(loaded, spec, backends, plan, _unavailable_metrics(loaded, spec))


_POSITION = re.compile(r"(--set |[^\s:]+:\d+)")


@contextmanager
def _placed(places: Mapping[str, str], raw: Mapping[str, Any]) -> Iterator[None]:
    """Errors about a backend or metric name the place in the suite: of the option they speak of, or of the block."""
    try:
        yield
    except Unavailable:
        raise
    except (UsageError, BackendError) as error:
        problems = error.problems if isinstance(error, SuiteError) else [str(error)]
        raise SuiteError([_with_place(problem, places, raw) for problem in problems]) from error


def _with_place(problem: str, places: Mapping[str, str], raw: Mapping[str, Any]) -> str:
    """``problem`` behind the place of the option whose value, or else name, it speaks of."""
    if _POSITION.match(problem) or not places:
        return problem
    said = problem.partition("; ")[0]
    by_value = [k for k, v in raw.items() if isinstance(v, str) and len(v) > 1 and v in said]
    by_name = [k for k in raw if re.search(rf"\b{re.escape(k)}\b", said)]
    return f"{places[(*by_value, *by_name, '')[0]]}: {problem}"


def _unavailable_metrics(loaded: LoadedSuite, spec: RunSpec) -> dict[str, str]:
    """Construct every metric, so that a wrong gallery is told before anything is generated.

    Returns:
        Metrics that could not be computed here, with the reason.
    """
    found = {}
    for choice in loaded.metrics:
        with _placed(choice.places, choice.raw):
            (bound,) = bind({choice.name: spec.metrics[choice.name]}, spec.base_dir, ExtractorPool())
        if bound.unavailable:
            found[choice.name] = f"{bound.unavailable}; {bound.remedy}".removesuffix("; ")
    return found


def _spec(loaded: LoadedSuite, plan: Plan, kind: Kind) -> RunSpec:
    video = loaded.suite.video.model_dump(exclude={"encoder"}, exclude_none=True)
    return RunSpec(
        name=loaded.suite.name,
        kind=kind,
        base_dir=loaded.base_dir.resolve(),
        metrics={m.name: MetricSpec(m.raw, m.select) for m in loaded.metrics},
        gates=loaded.gates,
        video=video,
        encoder=loaded.encoder.model_dump(mode="json"),
        limits=loaded.suite.limits.model_dump(exclude_none=True),
        max_failed=loaded.max_failed(len(plan)),
        confidence=loaded.suite.confidence,
        review=ReviewPolicy(**loaded.suite.review.model_dump()),
    )


def census_suite(
    clips: Path, *, prompts: Path | None = None, gallery: Path | str | None = None, cohort: Path | None = None,
    embedder: str | None = None, use: str | None = None, fps: float | None = None,
) -> LoadedSuite:  # fmt: skip
    """The suite behind ``vgaudit score FOLDER``: finished clips, no estimates, an answer per clip.

    Args:
        clips: A folder, searched as the ``files`` backend does, or a single clip.
        prompts: File with the clips' prompts; without it alignment is not asked for.
        gallery: People to look for; without it likeness is not asked for, and the report says so. The text
            ``none``: faces are counted, and nobody is compared.
        cohort: File of unrelated people; without it a likeness is never more than a reason to look.
        embedder: Face embedder, when not the default.
        use: What the clips are for; consent that does not cover it protects.
        fps: Frame rate of frame folders and arrays.

    Raises:
        UsageError: A cohort or a use is stated, and there is no gallery that it could be about.
    """
    for name, given, does in (
        ("cohort", cohort, "calibrates a gallery"),
        ("use", use, "is held against consents"),
    ):
        if given is not None and gallery in (None, "none"):
            raise UsageError(f"--{name} {does}; expected --gallery with it, found none")
    folder = clips.resolve() if clips.is_dir() else clips.resolve().parent
    metrics: dict[str, Any] = {"temporal": {}, "vbench": {}}
    if gallery is not None:
        metrics["likeness"] = {
            "gallery": "none" if gallery == "none" else str(Path(gallery).resolve()),
            **({"cohort": str(cohort.resolve())} if cohort else {}),
            **({"embedder": embedder} if embedder else {}),
            **({"use": use} if use else {}),
        }
    backend: dict[str, Any] = {"type": "files", "root": str(folder)}
    if not clips.is_dir():
        backend["pattern"] = glob.escape(clips.name)
    if fps is not None:
        backend["fps"] = fps
    if prompts is not None:
        metrics["prompt_alignment"] = {}
        backend["prompts"] = str(prompts.resolve())
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", clips.resolve().stem)[:64].strip("-_") or "clips"
    text = json.dumps({"name": name, "backend": backend, "metrics": metrics}, indent=2)
    loaded = load_suite_text(text, base_dir=folder, label=str(clips))
    # Nobody has this suite's text before them: errors name what they are about, without a place in it.
    return replace(
        loaded,
        backends=tuple(replace(b, places={}) for b in loaded.backends),
        metrics=tuple(replace(m, places={}) for m in loaded.metrics),
    )
