"""What a prompt asks for, in words, and whether a clip was found to show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.reports.data import ClipEntry


@dataclass(frozen=True)
class ExpectationView:
    """One contrast of a prompt.

    Attributes:
        about: What is contrasted (subject, action ...), or empty.
        wanted: What the clip should show.
        rivals: What it should not be taken for.
        state: ``shown``, ``not shown``, or ``not judged`` where no metric held the clip against it.
        tone: Colour and sign that go with the state.
        detail: The probabilities behind the state in words, or empty.
    """

    about: str
    wanted: str
    rivals: tuple[str, ...]
    state: str = "not judged"
    tone: str = "nc"
    detail: str = ""


def expectations_of(entry: ClipEntry) -> tuple[ExpectationView, ...]:
    """The expectations of a clip's prompt, each with what the run's metrics found."""
    judged: dict[tuple[str, tuple[str, ...]], Mapping[str, Any]] = {}
    for measurement in entry.measurements.values():
        found = measurement.facts.get("expectations")
        for item in found if isinstance(found, (list, tuple)) else ():
            if isinstance(item, Mapping) and isinstance(item.get("passed"), bool):
                judged[_key(item)] = item
    return tuple(_view(raw, judged.get(_key(raw))) for raw in entry.sample.expect)


def _rivals(raw: Mapping[str, Any]) -> tuple[str, ...]:
    rivals = raw.get("not", ())
    return (rivals,) if isinstance(rivals, str) else tuple(str(r) for r in rivals or ())


def _key(raw: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    return str(raw.get("is", "")), _rivals(raw)


def _view(raw: Mapping[str, Any], found: Mapping[str, Any] | None) -> ExpectationView:
    wanted, rivals = _key(raw)
    about = str(raw.get("about") or "")
    if found is None:
        return ExpectationView(about, wanted, rivals)
    passed = bool(found["passed"])
    return ExpectationView(
        about,
        wanted,
        rivals,
        "shown" if passed else "not shown",
        "pass" if passed else "fail",
        _detail(wanted, rivals, found.get("probabilities")),
    )


def _detail(wanted: str, rivals: tuple[str, ...], probabilities: object) -> str:
    if not isinstance(probabilities, Mapping):
        return ""
    known = {
        str(text): p for text, p in probabilities.items() if isinstance(p, (int, float)) and math.isfinite(p)
    }
    others = [(known[text], text) for text in rivals if text in known]
    if wanted not in known or not others:
        return ""
    likeliest, rival = max(others)
    return f"probability {_share(known[wanted])}; likeliest other: {rival}, {_share(likeliest)}"


def _share(p: float) -> str:
    if 0 < p < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < p < 1 else f"{100 * p:.0f} %"
