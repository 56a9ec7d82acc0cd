"""Arrange where a run's numbers come from: suite, software, models, timings; tolerant of absent keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.reports import numbers
from vgaudit.reports.data import ReportData
from vgaudit.reports.overview import fact_text

_UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Component:
    """A backend, extractor or metric with the identity that its numbers depend on."""

    role: str
    name: str
    fingerprint: str
    options: str


@dataclass(frozen=True)
class Origins:
    """The provenance section."""

    facts: tuple[tuple[str, str], ...]
    components: tuple[Component, ...]
    packages: tuple[tuple[str, str], ...]
    timings: tuple[tuple[str, str], ...]
    suite_text: str


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""


def _components(manifest: Mapping[str, Any]) -> list[Component]:
    out = []
    for backend in manifest.get("backends") or ():
        item = _mapping(backend)
        name = str(item.get("name") or item.get("type") or "backend")
        kind = item.get("type")
        out.append(
            Component(
                "backend",
                f"{name} ({kind})" if kind and kind != name else name,
                str(item.get("fingerprint") or _UNKNOWN),
                _pretty(item.get("options")),
            )
        )
    for extractor in _mapping(manifest.get("extractors")).values():
        item = _mapping(extractor)
        name, fingerprint = item.get("name") or "extractor", item.get("fingerprint") or _UNKNOWN
        out.append(Component("extractor", str(name), fact_text(fingerprint), _pretty(item.get("options"))))
    for name, options in _mapping(manifest.get("metrics")).items():
        out.append(Component("metric", str(name), "see its extractors", _pretty(options)))
    return out


def _duration(value: Any) -> str:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return numbers.duration(float(value)) if numeric else fact_text(value)


def origins(data: ReportData) -> Origins:
    """The provenance of a run from its manifest; what is absent is called so."""
    manifest = data.manifest
    suite, provenance = _mapping(manifest.get("suite")), _mapping(manifest.get("provenance"))
    git = _mapping(provenance.get("git"))
    commit = str(git.get("commit") or _UNKNOWN)
    if git.get("commit") and git.get("dirty"):
        commit += " with uncommitted changes"
    facts = {
        "Suite": suite.get("name") or data.name,
        "Suite file": suite.get("path"),
        "Suite digest": suite.get("digest"),
        "Plan digest": manifest.get("plan_digest"),
        "Created": manifest.get("created"),
        "vgaudit": provenance.get("vgaudit"),
        "Git commit": commit,
        "Python": provenance.get("python"),
        "Platform": provenance.get("platform"),
        "Device": provenance.get("device"),
        "Decodes": manifest.get("decodes"),
        "Schema version": manifest.get("schema_version"),
    }
    return Origins(
        facts=tuple((key, _UNKNOWN if value is None else fact_text(value)) for key, value in facts.items()),
        components=tuple(_components(manifest)),
        packages=tuple((k, fact_text(v)) for k, v in sorted(_mapping(provenance.get("packages")).items())),
        timings=tuple((str(k), _duration(v)) for k, v in _mapping(manifest.get("timings")).items()),
        suite_text=str(suite.get("text") or ""),
    )
