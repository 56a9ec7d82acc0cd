"""Hold each part of a suite against the schema, the registry and the other parts.

Parts are checked one by one, so that a problem in one does not hide those in another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from vgaudit import registry
from vgaudit.conditions import GateSpec
from vgaudit.errors import SuiteError, UsageError
from vgaudit.index import prompt_id_of, read_prompts
from vgaudit.records import REFUSAL_RATE
from vgaudit.suite.located_yaml import Document, Location, did_you_mean, shown
from vgaudit.suite.problems import validated
from vgaudit.suite.schema import (
    NAME_PATTERN,
    Expectation,
    Limits,
    Motion,
    Prompt,
    Suite,
    normalised,
    written_out_expectation,
)

if TYPE_CHECKING:
    from vgaudit.backends.base import PromptSpec
    from vgaudit.video import MediaLimits
    from vgaudit.video.encoding import EncoderSettings


@dataclass(frozen=True)
class BackendChoice:
    """A backend of the suite: ``cls(options, BackendContext(...))`` builds it.

    Attributes:
        type: Registered name.
        name: Group name given in the suite, or empty.
        cls: The class.
        options: Validated instance of ``cls.Options``.
        raw: The options as written, JSON-able, without ``type`` and ``name``.
        places: ``file:line:col`` of each option, and under ``""`` of the block, for errors found later.
    """

    type: str
    name: str
    cls: Any
    options: Any
    raw: Mapping[str, Any]
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricChoice:
    """A metric of the suite: ``cls(options, MetricContext(base_dir))`` builds it.

    Attributes:
        name: Registered name.
        cls: The class.
        options: Validated instance of ``cls.Options``.
        raw: The options as written, JSON-able.
        select: Value names asked for (``temporal.warp_error: {}``); empty for all.
        places: As :attr:`BackendChoice.places`.
    """

    name: str
    cls: Any
    options: Any
    raw: Mapping[str, Any]
    select: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the results it is asked for, ``<metric>.<value>``."""
        from vgaudit.metrics.base import values_of

        return tuple(
            f"{self.name}.{v.name}"
            for v in values_of(self.cls, self.options)
            if v.per_group and (not self.select or v.name in self.select)
        )


class SuiteChecks:
    """Checks each part on its own, so that a problem in one does not hide those in another."""

    def __init__(self, document: Document, base_dir: Path) -> None:
        self.document = document
        self.base_dir = base_dir
        self.raw = normalised(document.value)
        self.problems: list[str] = []

    def _tell(self, location: Location, message: str, *, key: bool = False) -> None:
        self.problems.append(self.document.problem(location, message, key=key))

    def _class(self, kind: registry.Kind, name: str, location: Location, *, key: bool) -> Any:
        """The registered class, or ``None`` after telling what is wrong with it."""
        what = kind.removesuffix("s")
        try:
            known = registry.names(kind)
            if name not in known:
                self._tell(location, f"expected a known {what}, found {name!r}{_near(name, known)}", key=key)
                return None
            cls = registry.load(kind, name)
        except UsageError as error:
            self._tell(location, str(error), key=key)
            return None
        except Exception as error:
            self._tell(location, f"{what} {name!r} cannot be imported: {error}", key=key)
            return None
        options = getattr(cls, "Options", None)
        if not (isinstance(options, type) and issubclass(options, BaseModel)):
            self._tell(
                location, f"{what} {name!r} ({cls!r}) has no `Options` model, so it cannot be used", key=key
            )
            return None
        return cls

    def suite(self) -> Suite | None:
        """Everything that needs neither registry nor files."""
        return validated(Suite, self.raw, self.document, (), self.problems)

    def backends(self) -> tuple[BackendChoice, ...]:
        """The backends, each with its options validated."""
        value = self.raw.get("backend")
        several = isinstance(self.document.value.get("backend"), list)
        choices: list[BackendChoice] = []
        names: dict[str, int] = {}
        for index, block in enumerate(value if isinstance(value, list) else []):
            here: Location = ("backend", index) if several else ("backend",)
            if not isinstance(block, dict):
                continue
            self._backend_name(block, here, names, required=several and len(value or []) > 1)
            kind = block.get("type")
            if not isinstance(kind, str):
                known = ", ".join(registry.names("backends"))
                self._tell((*here, "type"), f"expected the type of a backend ({known}), found {shown(kind)}")
                continue
            cls = self._class("backends", kind, (*here, "type"), key=False)
            if cls is None:
                continue
            raw = {k: v for k, v in block.items() if k not in ("type", "name")}
            options = validated(cls.Options, raw, self.document, here, self.problems)
            if options is not None:
                choices.append(
                    BackendChoice(
                        kind, str(block.get("name") or ""), cls, options, raw, self._places(here, raw)
                    )
                )
        return tuple(choices)

    def _places(self, here: Location, raw: Mapping[str, Any]) -> dict[str, str]:
        return {"": self.document.where(here)} | {key: self.document.where((*here, key)) for key in raw}

    def _backend_name(
        self, block: Mapping[str, Any], here: Location, names: dict[str, int], *, required: bool
    ) -> None:
        name, place = block.get("name"), (*here, "name")
        if name is None:
            if required:
                self._tell(place, "expected a name, as there are several backends, found none")
        elif not (isinstance(name, str) and re.fullmatch(NAME_PATTERN, name)):
            self._tell(place, f"expected a name of at most 64 letters, digits, . _ -, found {shown(name)}")
        elif name in names:
            at = f"backend[{names[name]}]"
            self._tell(place, f"expected a name of its own, found {name!r} again ({at} has it)")
        else:
            names[name] = here[-1] if isinstance(here[-1], int) else 0

    def metrics(self) -> tuple[MetricChoice, ...]:
        """The metrics, each with its options validated."""
        value = self.raw.get("metrics")
        choices: dict[str, MetricChoice] = {}
        for key, raw in value.items() if isinstance(value, dict) else ():
            here: Location = ("metrics", key)
            name, _, wanted = key.partition(".")
            cls = self._class("metrics", name, here, key=True)
            if cls is None or not isinstance(raw, dict):
                continue
            values = [v.name for v in cls.values]
            if "." in key and wanted not in values:
                self._tell(
                    here, f"expected a value of {name}, found {wanted!r}{_near(wanted, values)}", key=True
                )
                continue
            before = choices.get(name)
            if before is not None and (not before.select or not wanted):
                self._tell(here, f"expected {name} or single values of it, found both", key=True)
                continue
            if before is not None and before.raw != raw:
                self._tell(
                    here, f"expected the same options for all values of {name}, found others", key=True
                )
                continue
            options = validated(cls.Options, raw, self.document, here, self.problems)
            if options is not None and wanted and (lacking := _not_computed(cls, options, wanted)):
                self._tell(here, f"expected a value of {name} that its options ask for, {lacking}", key=True)
                continue
            if options is not None:
                select = (*(before.select if before else ()), wanted) if wanted else ()
                choices[name] = MetricChoice(name, cls, options, raw, select, self._places(here, raw))
        return tuple(choices.values())

    def gates(
        self,
        metrics: Sequence[MetricChoice],
        backends: Sequence[BackendChoice],
        prompts: Sequence[PromptSpec],
    ) -> tuple[GateSpec, ...]:
        """The gates, each on something that is computed."""
        value = self.raw.get("gates", [])
        if not isinstance(value, list):
            self._tell(("gates",), f"expected a list of conditions, found {shown(value)}")
            return ()
        written = self.raw.get("metrics")
        named = {k.partition(".")[0] for k in written} if isinstance(written, dict) else set()
        if "integrity" not in named:  # every run checks it, so gates may name it
            integrity = registry.load("metrics", "integrity")
            metrics = [*metrics, MetricChoice("integrity", integrity, integrity.Options(), {})]
        computed = [v for m in metrics for v in m.values]
        if any(b.type != "files" for b in backends):  # finished clips were never refused
            computed.append(REFUSAL_RATE)
        tags = sorted({f"{key}={value}" for p in prompts for key, value in p.tags.items()})
        kinds = {m.name: m.cls.finding_kinds for m in metrics if hasattr(m.cls, "finding_kinds")}
        broken = named - {m.name for m in metrics}
        # The groups of finished clips stand in their index, which is not read here.
        known = bool(backends) and all(b.name and b.type != "files" for b in backends)
        groups = [b.name for b in backends] if known else []
        out = []
        as_mapping = isinstance(self.document.value.get("gates"), dict)
        for index, item in enumerate(value):
            here: Location = ("gates", next(iter(item))) if as_mapping else ("gates", index)
            gate = self._gate(item, here)
            if gate is None:
                continue
            if gate.on_insufficient is None and self.raw.get("on_insufficient") == "neutral":
                gate = gate.model_copy(update={"on_insufficient": "neutral"})
            out.append(gate)
            if broken & set(gate.metric_names()):
                continue  # what is wrong with that metric is told already
            _, of_tag, tag = (gate.metric or "").partition("@")
            where = "after '@'"
            if gate.tag is not None:
                of_tag, tag, where = "@", "=".join(gate.tag), "for the gate"
            if of_tag and prompts and tag not in tags:
                self._tell(
                    here, f"expected a tag of a prompt {where}, found {tag!r}{did_you_mean(tag, tags)}"
                )
            for problem in gate.problems(computed, groups, kinds):
                self._tell(here, f"expected a gate on something computed: {problem}")
        return tuple(out)

    def _gate(self, item: Any, here: Location) -> GateSpec | None:
        spelt = _gate_from_pair(item)
        if isinstance(spelt, dict):
            return validated(GateSpec, spelt, self.document, here, self.problems)
        if not isinstance(spelt, str):
            form = "'temporal.warp_error <= 0.05'"
            self._tell(here, f"expected a condition such as {form}, found {shown(item)}")
            return None
        try:
            return GateSpec.model_validate(spelt)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                why = detail.get("ctx", {}).get("error", detail["msg"])
                self._tell(here, f"expected a condition: {why}")
        return None

    def encoder(self) -> EncoderSettings | None:
        """How clips are stored."""
        from vgaudit.video.encoding import EncoderSettings

        video = self.raw.get("video")
        value = video.get("encoder", {}) if isinstance(video, dict) else {}
        if not isinstance(value, dict):
            return None
        return validated(EncoderSettings, value, self.document, ("video", "encoder"), self.problems)

    def limits(self) -> MediaLimits | None:
        """How large a clip may be."""
        from vgaudit.video import MediaLimits

        try:
            given = Limits.model_validate(self.raw.get("limits", {}))
        except ValidationError:
            return None  # told by `suite` already
        return MediaLimits(**given.model_dump(exclude_none=True))

    def seeds(self) -> None:
        """Tell of seeds that occur twice."""
        value = self.raw.get("seeds")
        seen: set[Any] = set()
        for index, seed in enumerate(value if isinstance(value, list) else []):
            if isinstance(seed, int) and seed in seen:
                self._tell(("seeds", index), f"expected each seed once, found {seed} again")
            if isinstance(seed, int):
                seen.add(seed)

    def prompts(self, backends: Sequence[BackendChoice]) -> tuple[PromptSpec, ...]:
        """The prompts, inline or from the file named."""
        value = self.raw.get("prompts")
        if value is None:
            needy = [b.type for b in backends if getattr(b.cls, "needs_prompts", b.type != "files")]
            if needy:
                self._tell(("prompts",), f"expected prompts for the backend {', '.join(needy)}, found none")
            return ()
        if isinstance(value, str):
            return self._prompt_file(value)
        if not isinstance(value, list) or not value:
            self._tell(
                ("prompts",), f"expected a list of prompts or the name of a file, found {shown(value)}"
            )
            return ()
        first: dict[str, int] = {}
        specs = []
        for index, item in enumerate(value):
            here: Location = ("prompts", index)
            if not isinstance(item, dict):
                self._tell(here, f"expected text, or a mapping with `text`, found {shown(item)}")
                continue
            prompt = validated(Prompt, item, self.document, here, self.problems)
            if prompt is None:
                continue
            name = prompt.id or prompt_id_of(prompt.text)
            if name in first:
                place: Location = (*here, "id") if prompt.id else here
                at = f"prompts[{first[name]}]"
                self._tell(place, f"expected each prompt id once, found {name!r} again ({at} has it)")
            first.setdefault(name, index)
            tags = {**prompt.tags, **({"motion": prompt.motion} if prompt.motion else {})}
            specs.append(_prompt_spec(name, prompt.text, tags, prompt.expect))
        return tuple(specs)

    def _prompt_file(self, name: str) -> tuple[PromptSpec, ...]:
        path = self.base_dir / name
        try:
            rows = read_prompts(path)
        except (SuiteError, OSError, ValueError) as error:
            found = error.problems if isinstance(error, SuiteError) else [f"{path}: {error}"]
            self._tell(
                ("prompts",), f"expected a file of prompts, found {len(found)} wrong in {name!r}, below"
            )
            self.problems += found
            return ()
        specs: dict[str, PromptSpec] = {}
        for row in rows:  # a list with a `path` column may name a prompt for each of its clips
            at = Document(str(path), {}, {(): (row.line - 1, 0)})
            asked = row.tags.get("motion")
            if asked and asked not in get_args(Motion):
                told = f"motion: expected {', '.join(get_args(Motion))}, or nothing, found {shown(asked)}"
                self.problems.append(at.problem((), told))
            expect = [
                validated(Expectation, written_out_expectation(e), at, (), self.problems) for e in row.expect
            ]
            spec = _prompt_spec(row.prompt_id, row.text, row.tags, [e for e in expect if e is not None])
            specs.setdefault(row.prompt_id, spec)
        return tuple(specs.values())


def _prompt_spec(
    prompt_id: str, text: str, tags: Mapping[str, str], expect: Sequence[Expectation]
) -> PromptSpec:
    from vgaudit.backends.base import PromptSpec

    contrasts = tuple(
        {"is": e.is_, "not": list(e.not_), **({"about": e.about} if e.about else {})} for e in expect
    )
    return PromptSpec(prompt_id, text, dict(tags), contrasts)


def _gate_from_pair(item: Any) -> Any:
    """``{"temporal.warp_error": "<= 0.05"}`` as the condition in one line; anything else as it is."""
    if isinstance(item, dict) and len(item) == 1:
        name, condition = next(iter(item.items()))
        if (
            name in ("coverage", "runtime", "findings")
            and isinstance(condition, str)
            and re.search("[<>=]", condition)
        ):
            return f"{name} {condition}"
        if isinstance(condition, str) and (re.match(r"\s*[<>=!]", condition) or "." in name):
            return f"{name} {condition}"
    return item


def _near(name: str, known: list[str]) -> str:
    return registry.nearest(name, known) + f" (known: {', '.join(known)})"


def _not_computed(cls: Any, options: Any, wanted: str) -> str:
    """Why value ``wanted`` of a metric is not computed with these options, or nothing."""
    from vgaudit.metrics.base import values_of

    chosen = [v.name for v in values_of(cls, options)]
    return "" if wanted in chosen else f"found {wanted!r} (asked for: {', '.join(chosen)})"
