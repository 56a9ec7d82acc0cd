"""Write report.sarif (SARIF 2.1.0), so that code hosts and other tools list findings at the prompts that caused them.

The file is made to be uploaded, so it names nobody: gallery entries are ``person 1``, no prompt is printed, and a
clip whose prompt names somebody has a number in place of its file. A decision is told by its reason code, without its
author and note.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import quote

from vgaudit.decisions import REASONS, Standing, Verb
from vgaudit.records import Finding, GateResult, Outcome, Severity
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import ClipMedia, clip_row, worst_findings
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line, visible
from vgaudit.reports.finding_words import kind_words
from vgaudit.reports.likeness_names import VeiledNames, is_solicited
from vgaudit.reports.media import MediaFile
from vgaudit.reports.overview import problem
from vgaudit.reports.prompt_places import prompt_places, suite_file
from vgaudit.rundir import atomic_write

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 25_000
"""Results of a run above which GitHub rejects the file."""

SHOWN_BY_GITHUB = 5_000
MOST_ZIPPED_BYTES = 10_000_000
"""Size of the file, compressed with gzip, above which GitHub rejects it."""

_LEVELS = {
    Severity.INFO: "note",
    Severity.MINOR: "note",
    Severity.MAJOR: "warning",
    Severity.REVIEW: "warning",
    Severity.ALERT: "error",
}
_TEXT = 1000
_NAME = 255
_NOTIFICATIONS = {
    "gate-failed": "A gate of the suite failed.",
    "gate-not-computed": "A gate of the suite could not be computed: it has not passed.",
    "verdict-not-computed": "The run has no full answer.",
    "clips-unusable": "Samples without a usable clip, in which nothing could be looked for.",
    "results-cut": "There are more findings than this file may hold, or than its readers show.",
}


def write_sarif(data: ReportData, path: Path) -> Path:
    """Write ``report.sarif``: a result for each finding that is more than information, the worst first.

    At most 25,000 results and 10 MB compressed, the limits of GitHub code scanning; where findings are left out, a
    notification says how many. A finding stands at the line of its prompt in the suite (or in the file of prompts
    that it names), else at the suite's file; one in a clip made elsewhere stands at that clip.

    Args:
        data: The run.
        path: File to write; its folder is made if need be.

    Returns:
        ``path``.
    """
    log = _Log(data)
    findings = log.worst()
    kept = findings[:MOST_RESULTS]
    text = log.text(kept, len(findings))
    while kept and (size := len(gzip.compress(text, 6, mtime=0))) > MOST_ZIPPED_BYTES:
        kept = kept[: min(len(kept) - 1, int(0.95 * len(kept) * MOST_ZIPPED_BYTES / size))]
        text = log.text(kept, len(findings))
    with atomic_write(path) as file:
        file.write(text)
    return path


_Told: TypeAlias = tuple[ClipEntry, Finding]


class _Log:
    """The document of one run."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        self._names = VeiledNames(data)
        self._entries = {e.sample.sample_id: e for e in data.clips}
        self._naming = _prompts_that_name(data)
        self._suite = suite_file(data)
        told = any(f.severity is not Severity.INFO for e in data.clips for f in e.findings)
        self._places = prompt_places(data) if told else {}

    def worst(self) -> list[_Told]:
        """All findings worth a result, with their clips, worst first; those that reviewers closed last."""
        nothing = ClipMedia(MediaFile(), MediaFile())
        rows = {name: clip_row(e, name, nothing, ()) for name, e in self._entries.items()}
        total = sum(len(e.findings) for e in self._data.clips)
        found = worst_findings(self._data.clips, rows, total, self._data.decisions)
        told = [(self._entries[item.row.stem], item.finding) for item in found]
        return [(entry, finding) for entry, finding in told if finding.severity is not Severity.INFO]

    def text(self, kept: Sequence[_Told], total: int) -> bytes:
        """The document, with ``kept`` of ``total`` findings."""
        kinds = sorted({finding.kind for _, finding in kept})
        results = [self._result(entry, finding, kinds.index(finding.kind)) for entry, finding in kept]
        run = {
            "tool": {"driver": self._driver(kinds)},
            "automationDetails": {"id": f"vgaudit/{self._slug()}/"},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {
                "%SRCROOT%": {"description": {"text": "The root of the repository that holds the suite."}},
                "RUN": {"description": {"text": "The run directory, which holds this file."}},
            },
            "invocations": [self._invocation(len(kept), total)],
            "results": results,
        }
        document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()

    def _slug(self) -> str:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self._names.text(self._data.name)).strip("-.")[:80] or "run"

    def _say(self, text: str, limit: int = _TEXT) -> str:
        """Text of the run as it may be passed on: on one line, nobody named, never empty."""
        return one_line(self._names.text(text), limit) or "(no text)"

    def _driver(self, kinds: Sequence[str]) -> dict[str, Any]:
        version = str((self._data.manifest.get("provenance") or {}).get("vgaudit") or "")
        return {
            "name": "vgaudit",
            "fullName": "vgaudit: evaluation and safety audit of text-to-video generators",
            **({"version": one_line(version, _NAME)} if version else {}),
            "rules": [_rule(kind) for kind in kinds],
            "notifications": [
                {"id": name, "shortDescription": {"text": words}} for name, words in _NOTIFICATIONS.items()
            ],
        }

    def _result(self, entry: ClipEntry, finding: Finding, rule: int) -> dict[str, Any]:
        span = f"{numbers.seconds(finding.start_s)} to {numbers.seconds(finding.end_s)}"
        clip = self._names.clip(entry)
        said = self._say(finding.message, _TEXT - 120).rstrip(".")
        result: dict[str, Any] = {
            "ruleId": visible(finding.kind),
            "ruleIndex": rule,
            "level": _LEVELS[finding.severity],
            "message": {"text": f"{said}. In {clip} of {self._say(entry.sample.group, 60)}, {span}."},
            "locations": [self._location(entry)],
            "relatedLocations": [self._clip(entry, finding, f"The finding in {clip}, {span}")],
            "suppressions": _suppressions(self._data.decisions.get(finding.fingerprint)),
            "properties": {
                "severity": finding.severity.value,
                "score": _finite(finding.score),
                "threshold": _finite(finding.threshold),
                "group": self._say(entry.sample.group, 120),
                "seed": entry.sample.seed,
            },
        }
        if finding.fingerprint:
            result["partialFingerprints"] = {"vgaudit/v1": finding.fingerprint}
        return result

    def _location(self, entry: ClipEntry) -> dict[str, Any]:
        """Where to mend it: the prompt's line; else the suite; else the clip, or what is always there."""
        logical = {"name": self._names.clip(entry), "kind": "resource"}
        place = self._places.get((entry.sample.prompt_id, entry.sample.prompt))
        physical: dict[str, Any]
        if place is not None:
            region = {
                "startLine": place.line,
                "startColumn": place.column,
                "endLine": place.line,
                "endColumn": max(place.column + 1, place.end_column),
            }
            physical = {"artifactLocation": _in_source(place.file), "region": region}
        elif self._suite:
            physical = {"artifactLocation": _in_source(self._suite)}
        else:
            physical = {"artifactLocation": self._artifact(entry)}
        return {"physicalLocation": physical, "logicalLocations": [logical]}

    def _clip(self, entry: ClipEntry, finding: Finding, words: str) -> dict[str, Any]:
        """The clip as a related location, with the span and the box of the finding as properties."""
        properties: dict[str, Any] = {"start_s": finding.start_s, "end_s": finding.end_s}
        if finding.box:
            properties["box_px"] = list(finding.box)
        return {
            "id": 1,
            "physicalLocation": {"artifactLocation": self._artifact(entry)},
            "message": {"text": words},
            "properties": properties,
        }

    def _artifact(self, entry: ClipEntry) -> dict[str, Any]:
        """The clip's file; the run's manifest where that could name somebody, or where there is none."""
        source = PurePosixPath(entry.sample.source or "")
        file = entry.clip.file or ""
        if self._may_be_named(entry, file, source.as_posix()):
            if entry.sample.source and not source.is_absolute() and ".." not in source.parts:
                return _in_source(source.as_posix())
            if file:
                return {"uri": _uri(file), "uriBaseId": "RUN"}
        return {"uri": "manifest.json", "uriBaseId": "RUN"}

    def _may_be_named(self, entry: ClipEntry, *texts: str) -> bool:
        return entry.sample.prompt not in self._naming and not any(map(self._names.names_somebody, texts))

    def _invocation(self, kept: int, total: int) -> dict[str, Any]:
        verdict, data = self._data.verdict, self._data
        notes = [self._of_gate(gate) for gate in data.gates if gate.outcome is not Outcome.PASSED]
        unusable = [e for e in data.clips if problem(e) and not e.clip.outcome.startswith("refused")]
        if unusable:
            named = ", ".join(self._names.clip(e) for e in unusable[:10])
            more = f" and {len(unusable) - 10:,} more" if len(unusable) > 10 else ""
            words = f"{numbers.count(len(unusable), 'sample')} without a usable clip: {named}{more}."
            notes.append(_notification("clips-unusable", "error", words))
        if verdict.outcome is Outcome.NOT_COMPUTED:
            level = "warning" if data.kind == "census" else "error"
            notes.append(_notification("verdict-not-computed", level, self._say(verdict.reason)))
        if kept < total:
            words = (
                f"{total - kept:,} of {total:,} findings are left out, the least bad of them: code hosts "
                "reject files with more."
            )
            notes.append(_notification("results-cut", "warning", words))
        elif kept > SHOWN_BY_GITHUB:
            words = f"{kept:,} findings; GitHub shows the worst {SHOWN_BY_GITHUB:,} of them."
            notes.append(_notification("results-cut", "note", words))
        return {
            "executionSuccessful": not any(n["level"] == "error" for n in notes)
            and verdict.exit_code in (0, 3, 4),
            "exitCode": verdict.exit_code,
            "exitCodeDescription": self._say(f"{verdict.outcome.value}: {verdict.reason}"),
            "toolExecutionNotifications": notes,
        }

    def _of_gate(self, gate: GateResult) -> dict[str, Any]:
        failed = gate.outcome is Outcome.FAILED
        usual = "warning" if failed else "error"
        level = usual if gate.counts else "note"
        words = f"Gate {gate.gate} of {gate.group}: {gate.outcome.value}: {gate.reason}"
        return _notification("gate-failed" if failed else "gate-not-computed", level, self._say(words))


def _notification(name: str, level: str, words: str) -> dict[str, Any]:
    return {"descriptor": {"id": name}, "level": level, "message": {"text": words}}


def _rule(kind: str) -> dict[str, Any]:
    words = kind_words(kind)
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", kind))
    return {
        "id": visible(kind),
        "name": name[:_NAME] or "Finding",
        "shortDescription": {"text": one_line(words.short, _TEXT)},
        "fullDescription": {"text": one_line(words.full, _TEXT)},
        "help": {"text": one_line(f"{words.short}. {words.full}", _TEXT)},
        "defaultConfiguration": {"level": _LEVELS[words.usual]},
        "properties": {"tags": [visible(kind.partition(".")[0])]},
    }


def _suppressions(standing: Standing | None) -> list[dict[str, Any]]:
    """What reviewers decided, by the reason code alone; what is open or has expired suppresses nothing."""
    if standing is None or not standing.history or not (standing.closed or standing.awaiting):
        return []
    last = standing.history[-1]
    status = "underReview" if standing.awaiting else "accepted"
    wait = "awaiting a second person, " if standing.awaiting else ""
    why = REASONS[Verb(last.verb)].get(last.reason_code, "another reason")
    return [{"kind": "external", "status": status, "justification": f"{wait}{_VERBS[last.verb]}: {why}"}]


def _finite(value: float) -> float | None:
    """``value``, or ``None`` where JSON has no number for it."""
    return value if math.isfinite(value) else None


_VERBS = {"dismiss": "dismissed", "clear": "cleared"}


def _prompts_that_name(data: ReportData) -> set[str]:
    """Prompts that are known to name somebody of the gallery, or of which an audit with a gallery does not say."""
    found = set()
    for entry in data.clips:
        measured = entry.measurements.get("likeness")
        facts = measured.facts if measured else {}
        unsure = bool(facts.get("gallery")) and facts.get("named", True) is not False
        if facts.get("named") or unsure or any(is_solicited(f.kind, f.detail) for f in entry.findings):
            found.add(entry.sample.prompt)
    return found


def _in_source(path: str) -> dict[str, Any]:
    return {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}


def _uri(path: str) -> str:
    return quote(visible(path))
