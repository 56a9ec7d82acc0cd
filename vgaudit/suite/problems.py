"""What pydantic found wrong, said in the suite's own words and at the suite's own line.

Scalars are held to what was written: ``"16"`` is no number and ``true`` is no 1. Lists may stand for tuples
and text for paths, as YAML has neither.
"""

from __future__ import annotations

import json
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vgaudit.suite.located_yaml import Document, Location, did_you_mean, dotted, shown

T = TypeVar("T")

_COERCED = frozenset({"int_type", "float_type", "string_type", "bool_type", "int_from_float"})
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "nothing",
}
_BOUNDS = {"greater_than": (">", "gt"), "greater_than_equal": (">=", "ge"), "less_than": ("<", "lt")}
_BOUNDS["less_than_equal"] = ("<=", "le")


def validated(
    model: type[T], value: Any, document: Document, location: Location, problems: list[str]
) -> T | None:
    """``value`` as ``model``; on failure every problem is added to ``problems`` and ``None`` returned.

    Args:
        model: A pydantic model or a dataclass; unknown names are errors for both.
        value: Plain values, possibly normalised: what is said refers to ``document``.
        document: Where positions come from.
        location: Where ``value`` stands in the document.
        problems: Receives ``file:line:col: where: message`` strings.
    """
    config = None if issubclass(model, BaseModel) else ConfigDict(extra="forbid")
    adapter = TypeAdapter(model, config=config)
    out: T | None = None
    errors: list[ErrorDetails] = []
    try:
        out = adapter.validate_python(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        seen = {e["loc"] for e in errors}
        errors += [
            e for e in error.errors(include_url=False) if e["type"] in _COERCED and e["loc"] not in seen
        ]
    errors = [e for e in errors if not _is_echo(e)]
    if not errors:
        return out
    told: dict[tuple[Location, bool], list[ErrorDetails]] = {}
    for detail in errors:
        is_key = detail["type"] == "extra_forbidden"
        where = resolve(document.value, (*location, *detail["loc"]))
        if detail["type"] == "missing":
            where = (*where, str(detail["loc"][-1]))
        told.setdefault((where, is_key), []).append(detail)
    for (where, is_key), details in told.items():
        problems.append(document.problem(where, _message(model, details), key=is_key))
    return None


def resolve(value: Any, loc: typing.Sequence[str | int]) -> Location:
    """Where pydantic's ``loc`` is in the document; steps that exist only after normalising are left out."""
    out: list[str | int] = []
    for part in loc:
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
        )
        if inside:
            out.append(part)
            value = value[part]
    return tuple(out)


def _is_echo(detail: ErrorDetails) -> bool:
    """Whether a list is only called too short because its items were refused, which is told already."""
    minimum = detail.get("ctx", {}).get("min_length", 0)
    return detail["type"] == "too_short" and len(detail["input"]) >= minimum


def _message(model: type, details: list[ErrorDetails]) -> str:
    """One sentence for all that pydantic says of one place (several when a union has several members)."""
    first = details[0]
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        known = _names_at(model, first["loc"][:-1])
        return f"expected a known name, found {name!r}{did_you_mean(name, known)}"
    if first["type"] == "missing":
        return f"expected {str(first['loc'][-1])!r}, which is required, found nothing"
    free = [d for d in details if d["type"] in ("value_error", "assertion_error")]
    if free:
        text = str(free[0].get("ctx", {}).get("error", free[0]["msg"]))
        return (
            text
            if text.startswith("expected")
            else f"expected a valid value: {text}, found {shown(free[0]['input'])}"
        )
    wanted = dict.fromkeys(_expectation(d) for d in details)
    text = f"expected {' or '.join(wanted)}, found {shown(first['input'])}"
    literals = [d for d in details if d["type"] in ("literal_error", "enum")]
    if literals and isinstance(first["input"], str):
        choices = str(literals[0]["ctx"]["expected"]).replace(" or ", ", ").split(", ")
        near = did_you_mean(first["input"], [c.strip("'") for c in choices])
        text += near if "mean" in near else ""
    elif (
        first["input"] is not None
        and first["type"] == "string_type"
        and not isinstance(first["input"], dict | list)
    ):
        text += "; put it in quotes"
    return text


def _expectation(detail: ErrorDetails) -> str:
    kind, ctx = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        sign, name = _BOUNDS[kind]
        return f"a number {sign} {ctx[name]:.10g}"
    if kind in ("literal_error", "enum"):
        return str(ctx["expected"])
    if kind in ("too_short", "string_too_short"):
        return f"at least {ctx['min_length']} {'characters' if 'string' in kind else 'of them'}"
    if kind in ("too_long", "string_too_long"):
        return f"at most {ctx['max_length']} {'characters' if 'string' in kind else 'of them'}"
    if kind == "string_pattern_mismatch":
        return f"text that matches {ctx['pattern']}"
    return _EXPECTED.get(kind, f"something else ({detail['msg'].lower()})")


def _names_at(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """Field names (as written in a suite) of the model that stands at ``loc`` below ``model``."""
    for part in loc:
        fields = getattr(model, "model_fields", None) or {}
        step = next((f for n, f in fields.items() if part in (n, f.alias)), None)
        if step is not None:
            model = step.annotation
        model = _model_in(model)
    fields = getattr(model, "model_fields", None)
    if fields is not None:
        return [f.alias or n for n, f in fields.items()]
    return list(getattr(model, "__dataclass_fields__", {}))


def _model_in(annotation: Any) -> Any:
    """The first model inside ``X | None``, ``tuple[X, ...]``, ``dict[str, X]``."""
    if isinstance(annotation, type) and (hasattr(annotation, "model_fields")):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


__all__ = ["dotted", "resolve", "validated"]
