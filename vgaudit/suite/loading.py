"""Load a suite: find it, apply overrides, hold it against the schema and the registry, tell every problem.

    >>> loaded = load_suite("ads", ["seeds=2"])  # doctest: +SKIP
    >>> loaded.suite.name, len(loaded.prompts), loaded.seeds  # doctest: +SKIP
    ('ads', 36, (0, 1))

Nothing runs here, and nothing heavy is imported beyond the modules of the backends and metrics that the suite
names, whose options are validated together with it. docs/suite.md describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vgaudit.conditions import GateSpec
from vgaudit.errors import SuiteError
from vgaudit.records import digest
from vgaudit.shipped import shipped_folder
from vgaudit.suite.checks import BackendChoice, MetricChoice, SuiteChecks
from vgaudit.suite.located_yaml import did_you_mean, parse, read_text, shown
from vgaudit.suite.overrides import apply_override
from vgaudit.suite.schema import Suite

if TYPE_CHECKING:
    from vgaudit.backends.base import PromptSpec, VideoRequest
    from vgaudit.video import MediaLimits
    from vgaudit.video.encoding import EncoderSettings


@dataclass(frozen=True)
class LoadedSuite:
    """A suite ready to be planned.

    Attributes:
        suite: The validated content.
        path: The file it came from; ``None`` when it came from text.
        base_dir: Folder that relative paths in it are relative to.
        text: The file's text, for the manifest.
        overrides: ``--set`` texts applied, in order.
        digest: SHA-256 of the content with overrides and prompts; comments and layout do not change it.
        prompts: Prompts, from the suite or from the file it names.
        backends: In the suite's order.
        metrics: In the suite's order.
        gates: In the suite's order.
        encoder: How clips are stored.
        limits: How large a clip may be.
    """

    suite: Suite
    path: Path | None
    base_dir: Path
    text: str
    overrides: tuple[str, ...]
    digest: str
    prompts: tuple[PromptSpec, ...]
    backends: tuple[BackendChoice, ...]
    metrics: tuple[MetricChoice, ...]
    gates: tuple[GateSpec, ...]
    encoder: EncoderSettings
    limits: MediaLimits

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of each prompt."""
        return self.suite.seeds

    @property
    def video(self) -> VideoRequest:
        """What is asked of every clip, as backends take it."""
        from vgaudit.backends.base import VideoRequest

        spec = self.suite.video
        return VideoRequest(frames=spec.frame_count, fps=spec.fps, width=spec.width, height=spec.height)

    def max_failed(self, planned: int) -> int:
        """How many of ``planned`` samples may fail."""
        allowed = self.suite.max_failed
        return allowed if isinstance(allowed, int) else int(allowed * planned)


def bundled_suites() -> dict[str, Path]:
    """Name -> file of the suites that ship with vgaudit: in the wheel, or beside it in a checkout."""
    return {path.stem: path for path in sorted(shipped_folder("suites").glob("*.yaml"))}


def load_suite(path_or_name: str | Path, overrides: Sequence[str] = ()) -> LoadedSuite:
    """Load a suite file, or a bundled suite by name.

    Args:
        path_or_name: A path, or the bare name of a bundled suite (``ads``).
        overrides: ``a.b=c`` texts; values are YAML.

    Raises:
        SuiteError: With every problem found, each as ``file:line:col: where: message``.
    """
    path = Path(path_or_name)
    name = str(path_or_name)
    if re.fullmatch(r"[A-Za-z0-9_-]+", name) and not path.is_file():
        bundled = bundled_suites()
        if name in bundled:
            path = bundled[name]
        elif not path.exists():
            raise SuiteError(
                f"{name}: expected a suite file or the name of a bundled suite, found neither"
                f"{did_you_mean(name, sorted(bundled))}"
            )
    text = read_text(path)
    return load_suite_text(
        text, base_dir=path.resolve().parent, overrides=overrides, label=str(path), path=path
    )


def load_suite_text(
    text: str,
    *,
    base_dir: Path,
    overrides: Sequence[str] = (),
    label: str = "suite",
    path: Path | None = None,
) -> LoadedSuite:
    """As :func:`load_suite`, from text.

    Args:
        text: YAML.
        base_dir: Folder that relative paths are relative to.
        overrides: ``a.b=c`` texts.
        label: File name for messages.
        path: The file, if there is one.

    Raises:
        SuiteError: With every problem found.
    """
    document = parse(text, label)
    for override in overrides:
        apply_override(document, override)
    if not isinstance(document.value, dict):
        found = shown(document.value)
        raise SuiteError(
            document.problem((), f"expected a suite: a mapping with name, backend, ..., found {found}")
        )
    checks = SuiteChecks(document, base_dir)
    suite = checks.suite()
    backends, metrics = checks.backends(), checks.metrics()
    prompts = checks.prompts(backends)
    gates = checks.gates(metrics, backends, prompts)
    encoder, limits = checks.encoder(), checks.limits()
    checks.seeds()
    if checks.problems or suite is None or encoder is None or limits is None:
        raise SuiteError(sorted(set(checks.problems), key=_position))
    told = [[p.prompt_id, p.text, dict(p.tags), [dict(e) for e in p.expect]] for p in prompts]
    return LoadedSuite(
        suite=suite,
        path=path,
        base_dir=base_dir,
        text=text,
        overrides=tuple(overrides),
        digest=digest({"suite": checks.raw, "prompts": told}),
        prompts=prompts,
        backends=backends,
        metrics=metrics,
        gates=gates,
        encoder=encoder,
        limits=limits,
    )


def _position(problem: str) -> tuple[int, int, str]:
    """Sort key: by line and column, problems without any (overrides, other files) last."""
    match = re.match(r"(?:.*?):(\d+):(\d+): ", problem)
    return (int(match[1]), int(match[2]), problem) if match else (10**9, 0, problem)
