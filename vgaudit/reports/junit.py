"""Write the run as JUnit XML, so that CI systems show gates and broken samples as tests.

A document without failures and errors means that the run passed: what could not be computed is an error, and the
verdict is a test case of its own. What a person still has to look at is ``skipped``, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from vgaudit.records import GateResult, Outcome
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line, xml_text
from vgaudit.reports.overview import clip_name, problem
from vgaudit.rundir import atomic_write

_TEXT_LENGTH = 2000


def write_junit(data: ReportData, path: Path) -> Path:
    """Write ``junit.xml``.

    Suites: ``verdict`` (one case), ``gates`` (a case per gate and group: failure, error for not computed; a gate
    that only warns is skipped instead), ``samples`` (a case per sample without a usable clip: an error, or skipped
    where the backend refused) and, for a census, ``clips`` (a case per clip: hold is a failure, review is skipped).
    Clips made elsewhere are named by their path, with ``sample_id`` as a property.

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
            _say(case, "skipped" if refused else "error", reason, kind)
    if data.kind == "census":
        suite = SubElement(root, "testsuite", {"name": "clips"})
        for entry in data.clips:
            _answer(suite, data.name, entry)
    _count(root)
    indent(root)
    with atomic_write(path) as file:
        ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    return path


def _clean(text: str) -> str:
    return one_line(xml_text(text), _TEXT_LENGTH)


def _case(suite: Element, classname: str, name: str) -> Element:
    return SubElement(suite, "testcase", {"classname": _clean(classname), "name": _clean(name)})


def _clip_case(suite: Element, classname: str, entry: ClipEntry) -> Element:
    """A case named as its owner names the clip, with the sample's id as a property where that differs."""
    case = _case(suite, classname, clip_name(entry))
    if entry.sample.source:
        properties = SubElement(case, "properties")
        SubElement(properties, "property", {"name": "sample_id", "value": _clean(entry.sample.sample_id)})
    return case


def _say(case: Element, tag: str, message: str, kind: str) -> None:
    text = _clean(message)
    attributes = {"message": text} if tag == "skipped" else {"message": text, "type": _clean(kind)}
    SubElement(case, tag, attributes).text = text


def _verdict(root: Element, data: ReportData) -> None:
    suite = SubElement(root, "testsuite", {"name": "verdict"})
    case = _case(suite, f"{data.name}.verdict", "verdict")
    verdict = data.verdict
    if verdict.outcome is Outcome.FAILED:
        _say(case, "failure", verdict.reason, "failed")
    elif verdict.outcome is Outcome.NOT_COMPUTED or verdict.exit_code != 0:
        _say(case, "error", verdict.reason, "not computed")


def _gate(suite: Element, run: str, gate: GateResult) -> None:
    case = _case(suite, f"{run}.gates.{gate.group}", f"{gate.gate} [{gate.group}]")
    if gate.outcome is Outcome.PASSED:
        SubElement(case, "system-out").text = _clean(gate.reason)
    elif gate.severity == "warn":
        _say(case, "skipped", f"warning only, {gate.outcome.value}: {gate.reason}", "warning")
    elif gate.outcome is Outcome.FAILED:
        _say(case, "failure", gate.reason, "failed")
    else:
        _say(case, "error", f"not computed: {gate.reason}", "not computed")


def _answer(suite: Element, run: str, entry: ClipEntry) -> None:
    case = _clip_case(suite, f"{run}.clips", entry)
    if entry.publish is None:
        _say(case, "error", "no answer: the clip was not assessed", "not computed")
        return
    reasons = "; ".join(entry.publish.reasons) or "no check found a reason against it"
    if entry.publish.decision == "hold":
        _say(case, "failure", f"hold: {reasons}", "hold")
    elif entry.publish.decision == "review":
        _say(case, "skipped", f"review: {reasons}", "review")
    else:
        SubElement(case, "system-out").text = _clean(f"publish: {reasons}")


def _count(root: Element) -> None:
    """Fill in the counts that readers of the format expect on suites."""
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
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
    for key, n in totals.items():
        root.set(key, str(n))
