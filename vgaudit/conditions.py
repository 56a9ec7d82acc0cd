"""How a suite writes a gate: the schema, the one-line form, and what can be wrong with it.

A gate is a condition on a result (``temporal.warp_error <= 0.05``), on open findings (``findings likeness.* <= 0``,
``findings temporal.* <= 2 per 100 clips``), on the share of clips a metric looked at (``coverage temporal >= 95%``),
or on the time a clip takes to generate (``runtime generate <= 30 s per clip``). Holding it against a run is
``vgaudit.gates``' business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from vgaudit.records import REFUSAL_RATE, Severity
from vgaudit.registry import nearest

ALL, ANY = "all", "any"

# A slice of a result keeps the tag it is about behind an @, whatever that holds: refusal_rate@genre=horror.
_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+(?:@\S+)?"
_CONDITION = re.compile(
    rf"""\s*(?:(?P<findings>findings)\s+(?P<kind>[A-Za-z0-9_.*-]+)
    |(?P<about>coverage|runtime)\s+(?P<what>[A-Za-z0-9_.-]+)|(?P<metric>{_NAME}))
    \s*(?P<op><=|>=|<|>)
    \s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\s*(?P<percent>%))?
    (?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_ON = re.compile(r"\s+on\s+(?:the\s+)?(estimate|interval)\b")
_FOR = re.compile(r"\s+for\s+(?:(any|all)(?:\s+groups?)?|group\s+(\S+))(?=\s|$)")
_TAG = re.compile(r"\s+for\s+tag\s+([^\s=]+)=(\S+)")
_PER_100 = re.compile(r"\s+per\s+100(?:\s+clips)?(?=\s|$)")
_SECONDS = re.compile(r"\s*(s|min)(?:\s+per\s+clip)?(?=\s|$)")
_NEUTRAL = re.compile(r"\s+neutral\s+if\s+insufficient(?=\s|$)")
_WATCHED = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_.-]+)?")
_KIND = re.compile(r"\*|[A-Za-z0-9_-]+\.(?:\*|[A-Za-z0-9_.-]+\*?)")
_OPS = {"<=": "max", ">=": "min", "<": "below", ">": "above"}
_SIGNS = {field: sign for sign, field in _OPS.items()}
_FORM = "'temporal.warp_error <= 0.05', optionally with 'on estimate' and 'for group NAME' or 'for any'"


class GateSpec(BaseModel):
    """One gate of a suite: a condition on a result, on open findings, on coverage, or on the time clips take.

    Written as text (``temporal.warp_error <= 0.05 on estimate for group wan``, ``findings likeness.* <= 0``)
    or as a mapping with these fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    metric: str | None = Field(
        default=None,
        validation_alias=AliasChoices("metric", "result"),
        description="Result the gate is about: <metric>.<value>, e.g. temporal.warp_error.",
    )
    findings: str | None = Field(
        default=None,
        description="Findings the gate counts: a kind (likeness.match), a metric's (likeness.*) or *.",
    )
    coverage: str | None = Field(
        default=None,
        description="Coverage gates: the metric, or kind of finding, whose share of clips looked at must be large.",
    )
    runtime: Literal["generate"] | None = Field(
        default=None,
        description="Runtime gates: mean seconds a clip took to generate must be within max or below.",
    )
    tags: dict[str, str] | None = Field(
        default=None, description="Hold the gate against the clips with this tag only: one key and its value."
    )
    per_100: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Findings gates: so many clips in 100 may have one; the whole interval must lie below.",
    )
    max: float | None = Field(default=None, description="Passes at or below.")
    min: float | None = Field(default=None, description="Passes at or above.")
    below: float | None = Field(default=None, description="Passes strictly below.")
    above: float | None = Field(default=None, description="Passes strictly above.")
    on: Literal["interval", "estimate"] = Field(
        default="interval",
        description="Whether the whole interval or only the estimate must be on the good side.",
    )
    group: str = Field(
        default=ALL,
        description="all: every group is held to it; any: one passing group is enough; or one group's name.",
    )
    severity: Literal["fail", "warn"] = Field(
        default="fail", description="fail counts for the exit code, warn is shown."
    )
    reason: str = Field(default="", description="Why this gate is there; shown when it does not pass.")
    at_least: Severity | None = Field(
        default=None,
        description="Findings gates: count only findings of this severity or worse; default minor.",
    )
    allow_not_applicable: bool = Field(
        default=False, description="Pass where the value cannot exist for any clip (no prompts, no faces)."
    )
    allow_missing: int = Field(
        default=0,
        ge=0,
        description="Clips that may lack the value, or go unassessed, before the gate gives no answer.",
    )
    on_insufficient: Literal["fail", "neutral"] | None = Field(
        default=None,
        description="neutral: without an answer for lack of evidence the gate does not count; default the suite's.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return parse_condition(data) if isinstance(data, str) else data

    @field_validator("max", "min", "below", "above")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"the limit is {value}; expected a finite number")
        return value

    @field_validator("metric")
    @classmethod
    def _dotted(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(_NAME, name):
            raise ValueError(
                f"{name!r} names no result; expected <metric>.<value>, such as temporal.warp_error"
            )
        return name

    @field_validator("coverage")
    @classmethod
    def _watched(cls, name: str | None) -> str | None:
        if name is not None and not _WATCHED.fullmatch(name):
            raise ValueError(
                f"{name!r} names nothing that looks at clips; expected a metric (temporal) or a kind of finding "
                "(temporal.freeze)"
            )
        return name

    @field_validator("tags", mode="before")
    @classmethod
    def _tag_as_text(cls, tags: Any) -> Any:
        if not isinstance(tags, dict):
            return tags
        words = {True: "yes", False: "no"}
        out = {
            k: words[v] if isinstance(v, bool) else str(v) if isinstance(v, int | float) else v
            for k, v in tags.items()
        }
        if len(out) != 1 or any(v == "" for v in (*out, *out.values())):
            raise ValueError("expected one tag, such as {people: yes}; write a gate for each tag")
        return out

    @field_validator("findings")
    @classmethod
    def _finding_kind(cls, kind: str | None) -> str | None:
        if kind is not None and not _KIND.fullmatch(kind):
            raise ValueError(
                f"{kind!r} names no findings; expected a kind (likeness.match), a metric's (likeness.*) or *"
            )
        return kind

    @field_validator("group")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("the group is empty; expected all, any or a group's name")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> GateSpec:
        about = [k for k in ("metric", "findings", "coverage", "runtime") if getattr(self, k) is not None]
        if len(about) != 1:
            raise ValueError(
                "a gate needs exactly one of metric (a result), findings (a kind of finding), coverage (a metric) "
                f"and runtime (generate); found {' and '.join(about) or 'none'}"
            )
        if self.tags is not None and "@" in (self.metric or ""):
            raise ValueError(f"{self.metric} names a tag already; leave out tags")
        limits = [side for side in _SIGNS if getattr(self, side) is not None]
        if self.metric is None and self.on == "estimate":
            raise ValueError(
                f"{about[0]} {'are' if self.findings else 'is'} counted, not estimated; leave out on: estimate"
            )
        if self.per_100 is not None and (self.findings is None or limits):
            raise ValueError(
                "per_100 is the limit of a findings gate, and the only one; leave out the others"
            )
        if self.findings is None and self.at_least is not None:
            raise ValueError("at_least is a severity of findings; a gate on a result has none")
        if self.findings is not None:
            limit = 0.0 if self.max is None else self.max
            if limits not in ([], ["max"]) or limit < 0 or limit != int(limit):
                raise ValueError(
                    "a findings gate takes only max, a whole number of findings from 0 on, or per_100"
                )
            return self
        if self.metric is None:
            self._counted(about[0], limits)
            return self
        if not limits:
            raise ValueError("a gate needs a limit: max, min, below or above")
        upper = [getattr(self, side) for side in ("max", "below") if side in limits]
        lower = [getattr(self, side) for side in ("min", "above") if side in limits]
        if len(upper) > 1 or len(lower) > 1:
            raise ValueError("give one upper limit (max or below) and one lower limit (min or above) at most")
        if (
            upper
            and lower
            and (lower[0] > upper[0] or (lower[0] == upper[0] and len({*limits} & {"below", "above"})))
        ):
            raise ValueError(f"no number is within the limits {' and '.join(self._limits())}")
        return self

    def _counted(self, about: str, limits: list[str]) -> None:
        """Refuse what a gate on coverage or runtime cannot take."""
        if self.allow_missing or self.allow_not_applicable:
            raise ValueError(
                f"{about} takes neither allow_missing nor allow_not_applicable; change its limit"
            )
        limit = next((getattr(self, side) for side in limits), 0.0)
        if self.coverage is not None and (
            limits not in (["min"], ["above"]) or not 0 <= limit <= 1 or (limit == 1 and limits == ["above"])
        ):
            raise ValueError(
                "a coverage gate takes one lower limit, a share from 0 to 1: '>= 95%', or min: 0.95"
            )
        if self.runtime is not None and (limits not in (["max"], ["below"]) or limit <= 0):
            raise ValueError(
                "a runtime gate takes one upper limit in seconds: '<= 30 s per clip', or max: 30"
            )

    def _limits(self) -> list[str]:
        return [
            f"{sign} {getattr(self, side):.12g}"
            for side, sign in _SIGNS.items()
            if getattr(self, side) is not None
        ]

    @property
    def text(self) -> str:
        """The condition as one line, the same for both ways of writing it; without the group."""
        of_tag = f" for tag {'='.join(self.tag)}" if self.tag else ""
        if self.findings is not None:
            floor = f" of {self.at_least.value} or worse" if self.at_least else ""
            limit = f"{self.max or 0:g}" if self.per_100 is None else f"{self.per_100:g} per 100 clips"
            return f"findings {self.findings}{floor} <= {limit}{of_tag}"
        if self.coverage is not None:
            return f"coverage {self.coverage} {self._limits()[0]}{of_tag}"
        if self.runtime is not None:
            return f"runtime {self.runtime} {self._limits()[0]} s per clip{of_tag}"
        suffix = " on estimate" if self.on == "estimate" else ""
        return f"{self.result_name} {' and '.join(self._limits())}{suffix}"

    @property
    def tag(self) -> tuple[str, str] | None:
        """Key and value of the tag the gate is about, where ``tags`` gives one."""
        return next(iter(self.tags.items())) if self.tags else None

    @property
    def result_name(self) -> str:
        """The result a gate on one is about, its slice by tag included; else empty."""
        return f"{self.metric or ''}@{'='.join(self.tag)}" if self.metric and self.tag else self.metric or ""

    def metric_names(self) -> tuple[str, ...]:
        """Metrics (``temporal``, not ``temporal.warp_error``) the suite must have; none for ``*`` and for runtime."""
        name = self.metric or self.findings or self.coverage or "*"
        return () if name == "*" else (name.partition(".")[0],)

    def problems(
        self,
        values: Collection[str],
        groups: Collection[str] = (),
        finding_kinds: Mapping[str, Collection[str]] | None = None,
    ) -> list[str]:
        """What is wrong with this gate in a suite, as sentences; empty if nothing.

        Args:
            values: Names of all results the suite computes (``<metric>.<value>``).
            groups: Groups of the run, where they are known before it starts.
            finding_kinds: Metric of the suite -> kinds of findings it can make, where it declares them. Of a
                metric that does not, only ``metric.*`` is no problem.
        """
        found = []
        if self.metric is not None and self.metric.partition("@")[0] not in values:
            known = sorted(values)
            found.append(
                f"gate {self.text!r}: the suite computes no {self.metric!r}{nearest(self.metric, known)} "
                f"(computed: {', '.join(known) or 'nothing'})"
            )
        if self.runtime is not None and REFUSAL_RATE not in values:
            found.append(f"gate {self.text!r}: nothing is generated, so no clip has a generation time")
        pattern = self.findings or self.coverage or ""
        for metric in self.metric_names() if self.metric is None else ():
            metrics = sorted({v.partition(".")[0] for v in values})
            if metric not in metrics:
                found.append(
                    f"gate {self.text!r}: the suite has no metric {metric!r}{nearest(metric, metrics)} "
                    f"(metrics: {', '.join(metrics) or 'none'})"
                )
            elif pattern != metric and (unknown := unknown_kind(pattern, metric, finding_kinds)):
                found.append(f"gate {self.text!r}: {unknown}")
        if groups and self.group not in (ALL, ANY, *groups):
            found.append(f"gate {self.text!r}: {unknown_group(self.group, groups)}")
        return found


def parse_condition(text: str) -> dict[str, Any]:
    """The fields of a gate written as text.

    Raises:
        ValueError: The text is no condition; the message says what was expected and what came.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        hint = ""
        if "==" in text or "=<" in text or "=>" in text or re.search(r"[^<>=]=[^=<>]", text):
            hint = "; the comparisons are <=, >=, < and >"
        raise ValueError(f"{text!r} is no condition; expected {_FORM}{hint}")
    fields: dict[str, Any] = {"metric": match["metric"]}
    if match["findings"]:
        fields = {"findings": match["kind"]}
    elif match["about"]:
        fields = {match["about"]: match["what"]}
    side, limit, rest = _OPS[match["op"]], float(match["number"]), match["rest"]
    limit = limit / 100 if match["percent"] else limit
    if match["about"] == "runtime" and (unit := _SECONDS.match(rest)):
        limit, rest = limit * (60 if unit[1] == "min" else 1), rest[unit.end() :]
    if match["findings"] and side == "max" and (per := _PER_100.match(rest)):
        side, rest = "per_100", rest[per.end() :]
    fields[side] = limit
    if tag := _TAG.search(rest):
        fields["tags"] = {tag[1]: tag[2]}
        rest = rest[: tag.start()] + rest[tag.end() :]
    if neutral := _NEUTRAL.search(rest):
        fields["on_insufficient"] = "neutral"
        rest = rest[: neutral.start()] + rest[neutral.end() :]
    if on := _ON.search(rest):
        fields["on"] = on[1]
        rest = rest[: on.start()] + rest[on.end() :]
    if group := _FOR.search(rest):
        fields["group"] = group[1] or group[2]
        rest = rest[: group.start()] + rest[group.end() :]
    if rest.strip():
        raise ValueError(f"{text!r} is no condition: {rest.strip()!r} is not understood; expected {_FORM}")
    return fields


def unknown_kind(pattern: str, metric: str, kinds: Mapping[str, Collection[str]] | None) -> str:
    """A sentence if ``metric`` is not known to make findings that ``pattern`` matches.

    A metric that does not declare its kinds can be asked only for all its findings (``metric.*``, ``*``): nothing
    would tell a misspelt kind, which is never found and passes for ever, from a right one.
    """
    if pattern == "*":
        return ""
    if kinds is None or metric not in kinds:
        if pattern == f"{metric}.*":
            return ""
        return f"{metric} does not declare the kinds of its findings; only '{metric}.*' can be asked for"
    known = sorted(kinds[metric])
    if any(fnmatchcase(kind, pattern) for kind in known):
        return ""
    return (
        f"{metric} finds no {pattern!r}{nearest(pattern, known)} (it finds: {', '.join(known) or 'nothing'})"
    )


def unknown_group(name: str, groups: Collection[str]) -> str:
    """The sentence for a group that the run does not have."""
    known = sorted(groups)
    return f"there is no group {name!r}{nearest(name, known)} (groups: {', '.join(known) or 'none'})"
