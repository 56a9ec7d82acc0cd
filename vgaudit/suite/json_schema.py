"""JSON Schema of suites for editors, with the options of everything that is registered."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from vgaudit import registry
from vgaudit.suite.schema import NAME_PATTERN, Prompt, Suite


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a suite file, with the options of every registered backend and metric."""
    schema = Suite.model_json_schema(by_alias=True)
    defs = schema.setdefault("$defs", {})
    backend = {"anyOf": [_backend_schema(name, defs) for name in registry.names("backends")]}
    prompt_schema = Prompt.model_json_schema(ref_template="#/$defs/{model}")
    defs |= prompt_schema.pop("$defs")
    prompt = defs["Prompt"] = prompt_schema
    prompt["properties"]["prompt"] = prompt["properties"]["text"]
    prompt.pop("required", None)
    prompt["oneOf"] = [{"required": ["text"]}, {"required": ["prompt"]}]
    prompt["properties"]["tags"] = {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        ]
    }
    expect = {"$ref": "#/$defs/Expectation"}
    prompt["properties"]["expect"] = {"anyOf": [expect, {"type": "array", "items": expect}]}
    excluded = defs["Expectation"]["properties"]["not"]
    defs["Expectation"]["properties"]["not"] = {"anyOf": [{"type": "string"}, excluded]}
    defs["VideoSpec"]["properties"]["encoder"] = {
        "anyOf": [_options_schema(_encoder_settings(), "EncoderSettings", defs), {"type": "null"}]
    }
    metrics: dict[str, Any] = {}
    for name in registry.names("metrics"):
        options = {"anyOf": [_options_of("metrics", name, defs), {"type": "null"}]}
        metrics[name] = options
        for spec in getattr(_class("metrics", name), "values", ()):
            metrics[f"{name}.{spec.name}"] = options
    gate = {"anyOf": [{"type": "string"}, {"type": "object"}]}
    schema["properties"] |= {
        "backend": {"anyOf": [backend, {"type": "array", "items": backend, "minItems": 1}]},
        "seeds": {"anyOf": [{"type": "integer", "minimum": 1}, schema["properties"]["seeds"]]},
        "prompts": {
            "anyOf": [
                {"type": "string", "description": "A CSV, JSONL or TXT file."},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Prompt"}]},
                },
                {"type": "null"},
            ]
        },
        "metrics": {
            "anyOf": [
                {"type": "object", "properties": metrics, "additionalProperties": False},
                {"type": "array", "items": {"enum": list(metrics)}},
            ]
        },
        "gates": {"anyOf": [{"type": "array", "items": gate}, {"type": "object"}]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "vgaudit suite"}


def _encoder_settings() -> Any:
    from vgaudit.video.encoding import EncoderSettings

    return EncoderSettings


def _class(kind: registry.Kind, name: str) -> Any:
    """The registered class, or ``None`` where a plugin cannot be imported (its options then stay open)."""
    try:
        return registry.load(kind, name)
    except Exception:
        return None


def _options_of(kind: registry.Kind, name: str, defs: dict[str, Any]) -> dict[str, Any]:
    return _options_schema(getattr(_class(kind, name), "Options", None), f"{name}.{kind}", defs)


def _options_schema(model: Any, title: str, defs: dict[str, Any]) -> dict[str, Any]:
    if model is None:
        return {"type": "object"}
    schema = TypeAdapter(model).json_schema(ref_template=f"#/$defs/{title}.{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        defs[f"{title}.{inner}"] = definition
    defs[title] = {"additionalProperties": False, **schema}
    return {"$ref": f"#/$defs/{title}"}


def _backend_schema(name: str, defs: dict[str, Any]) -> dict[str, Any]:
    defs_name = f"{name}.backends"
    _options_of("backends", name, defs)
    options = defs.get(defs_name, {"type": "object"})
    properties = {"type": {"const": name}, "name": {"type": "string", "pattern": NAME_PATTERN}}
    defs[defs_name] = {
        **options,
        "properties": {**properties, **options.get("properties", {})},
        "required": ["type", *options.get("required", [])],
    }
    return {"$ref": f"#/$defs/{defs_name}"}
