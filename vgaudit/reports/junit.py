"""Write the run as JUnit XML, so that CI systems show gates and broken samples as tests.

A document without failures and errors means that the run passed: what could not be computed is an error, and the
verdict is a test case of its own. What a person still has to look at is ``skipped``, with the reason.

Only what GitLab, Jenkins (junit and xunit plugins) and the actions of GitHub all read is used: suites, cases with a
unique name, one outcome each, and ``system-out``; no properties of cases, which the schema of Jenkins' xunit plugin
refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from vgaudit.records import GateResult, Outcome
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line, xml_text
from vgaudit.reports.likeness_names import VeiledNames
from vgaudit.reports.overview import clip_name, problem
from vgaudit.rundir import atomic_write

_TEXT_LENGTH = 2000


def write_junit(data: ReportData, path: Path) -> Path:
    """Write ``junit.xml``.

    Suites: ``verdict`` (one case), ``gates`` (a case per gate and group: failure, error for not computed; a gate that
    only warns, or is neutral, is skipped instead), ``samples`` (a case per sample without a usable clip: an error, or
    skipped where the backend refused) and, for a census, ``clips`` (a case per clip: hold is a failure, review is
    skipped). Clips made elsewhere are named by their path, with the sample's id in ``system-out``. The time of the
    run's last pass stands at the verdict, in seconds, so that sums are right. People of the gallery are
    numbered, as in report.sarif.

    Args:
        data: The run.
        path: File to write; its folder is made if need be.

    Returns:
        ``path``.
    """
    root = Element("testsuites", {"name": _clean(data.name)})
    _verdict(root, data)
    if data.gates:
        suite = SubElement(root, "testsuite", {"name": "gates"})
        for gate in data.gates:
            _gate(suite, data.name, gate)
    broken = [(entry, reason) for entry in data.clips if (reason := problem(entry))]
    if broken:
        suite = SubElement(root, "testsuite", {"name": "samples"})
        for entry, reason in broken:
            case = _clip_case(suite, f"{data.name}.samples.{entry.sample.group}", entry)
            refused = entry.clip.outcome in ("refused_input", "refused_output")
            kind = entry.clip.outcome if entry.clip.outcome != "ok" else "media_error"
            add_outcome(case, "skipped" if refused else "error", reason, kind)
            add_output(case, entry=entry)
    if data.kind == "census":
        suite = SubElement(root, "testsuite", {"name": "clips"})
        for entry in data.clips:
            _answer(suite, data.name, entry)
    _number_people(root, VeiledNames(data))
    return save_junit(root, path)


def save_junit(root: Element, path: Path) -> Path:
    """Write ``testsuites`` with unique names, and the counts that readers expect on suites; returns ``path``."""
    _make_unique(root)
    _count(root)
    indent(root)
    with atomic_write(path) as file:
        ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    return path


def _clean(text: str) -> str:
    return one_line(xml_text(text), _TEXT_LENGTH)


def add_case(suite: Element, classname: str, name: str, seconds: float = 0.0) -> Element:
    """A case; ``time`` has three decimals and no exponent, which some readers do not know."""
    names = {"classname": _clean(classname) or "vgaudit", "name": _clean(name) or "(no name)"}
    return SubElement(suite, "testcase", {**names, "time": f"{seconds:.3f}"})


def _number_people(root: Element, names: VeiledNames) -> None:
    """Take ids of gallery entries out of all texts: whoever may see the job sees them."""
    for element in root.iter():
        if element.text:
            element.text = names.people(element.text)
        for key, value in element.items():
            element.set(key, names.people(value))


def _make_unique(root: Element) -> None:
    """Number cases that would share class and name: readers take them for one, and drop all but the last."""
    taken: set[tuple[str, str]] = set()
    for case in root.iter("testcase"):
        classname, name = case.get("classname", ""), case.get("name", "")
        number, unique = 1, name
        while (classname, unique) in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.add((classname, unique))
        case.set("name", unique)


def _clip_case(suite: Element, classname: str, entry: ClipEntry) -> Element:
    """A case named as its owner names the clip; :func:`add_output` tells the sample's id where that differs."""
    return add_case(suite, classname, clip_name(entry))


def add_output(case: Element, text: str = "", entry: ClipEntry | None = None) -> None:
    """``system-out`` of a case, after its outcome: ``text``, and the sample's id of a clip made elsewhere."""
    parts = [_clean(text)] if text else []
    if entry is not None and entry.sample.source:
        parts.append(f"sample_id: {_clean(entry.sample.sample_id)}")
    if parts:
        SubElement(case, "system-out").text = "\n".join(parts)


def add_outcome(case: Element, tag: str, message: str, kind: str) -> None:
    """What became of a case: ``failure``, ``error`` or ``skipped``, with the reason; a case without one passed."""
    text = _clean(message)
    attributes = {"message": text} if tag == "skipped" else {"message": text, "type": _clean(kind)}
    SubElement(case, tag, attributes).text = text


def _verdict(root: Element, data: ReportData) -> None:
    suite = SubElement(root, "testsuite", {"name": "verdict"})
    case = add_case(suite, f"{data.name}.verdict", "verdict", _seconds(data))
    verdict = data.verdict
    if verdict.outcome is Outcome.FAILED:
        add_outcome(case, "failure", verdict.reason, "failed")
    elif verdict.outcome is Outcome.NOT_COMPUTED or verdict.exit_code != 0:
        add_outcome(case, "error", verdict.reason, "not computed")


def _seconds(data: ReportData) -> float:
    """How long the run's last pass took, all stages together; 0 where that was not recorded."""
    timings = data.manifest.get("timings")
    each = timings.values() if isinstance(timings, Mapping) else ()
    known = [float(s) for s in each if isinstance(s, (int, float)) and math.isfinite(s) and s > 0]
    return sum(known)


def _gate(suite: Element, run: str, gate: GateResult) -> None:
    case = add_case(suite, f"{run}.gates.{gate.group}", f"{gate.gate} [{gate.group}]")
    if gate.outcome is Outcome.PASSED:
        add_output(case, gate.reason)
    elif gate.severity == "warn":
        add_outcome(case, "skipped", f"warning only, {gate.outcome.value}: {gate.reason}", "warning")
    elif gate.neutral:
        add_outcome(case, "skipped", f"neutral, not computed: {gate.reason}", "neutral")
    elif gate.outcome is Outcome.FAILED:
        add_outcome(case, "failure", gate.reason, "failed")
    else:
        add_outcome(case, "error", f"not computed: {gate.reason}", "not computed")


def _answer(suite: Element, run: str, entry: ClipEntry) -> None:
    case = _clip_case(suite, f"{run}.clips", entry)
    if entry.publish is None:
        add_outcome(case, "error", "no answer: the clip was not assessed", "not computed")
        add_output(case, entry=entry)
        return
    reasons = "; ".join(entry.publish.reasons) or "no check found a reason against it"
    if entry.publish.decision == "hold":
        add_outcome(case, "failure", f"hold: {reasons}", "hold")
    elif entry.publish.decision == "review":
        add_outcome(case, "skipped", f"review: {reasons}", "review")
    add_output(case, f"publish: {reasons}" if entry.publish.decision == "publish" else "", entry)


def _count(root: Element) -> None:
    """Fill in the counts and times that readers of the format expect on suites; the root has no ``skipped``."""
    totals, total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}, 0.0
    for suite in root:
        counts = {
            "tests": len(suite.findall("testcase")),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        for key, n in counts.items():
            suite.set(key, str(n))
            totals[key] += n
        seconds = sum(float(case.get("time", "0")) for case in suite.findall("testcase"))
        suite.set("time", f"{seconds:.3f}")
        total += seconds
    for key, n in totals.items():
        if key != "skipped":
            root.set(key, str(n))
    root.set("time", f"{total:.3f}")
