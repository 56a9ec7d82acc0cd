"""What stands beside a result's name: the protocol within which alone it compares; and slices that have no number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from vgaudit.errors import UsageError
from vgaudit.records import COMPUTED, Result

_SHOWN = 3


def protocol(result: Result) -> str:
    """Named protocol that a result was made by, as ``fvd@styleganv``; empty where it knows none."""
    return str(result.detail.get("protocol") or "")


def label(result: Result) -> str:
    """Its name, with the protocol where it has one: ``fvd.distance (fvd@storyworld)``."""
    return f"{result.name} ({protocol(result)})" if protocol(result) else result.name


def size_note(result: Result) -> str:
    """What few clips, or clips that are no evidence, make of a number, in words for beside it; else empty."""
    if accepted := result.detail.get("accepted_small_n"):
        return f"few clips, accepted: {accepted}"
    if result.value is None or not result.detail.get("insufficient"):
        return ""
    if result.detail.get("unvarying_features"):
        return "features do not vary: insufficient"
    if result.detail.get("same_clips", 0) not in (0, "unknown"):
        return "clips on both sides: insufficient"
    return "too few clips: insufficient"


def require_one_protocol(results: Iterable[Result]) -> str:
    """The protocol of results that are to stand side by side.

    Raises:
        UsageError: They have several, or some have none; all are named.
    """
    results = list(results)
    names = dict.fromkeys(protocol(r) for r in results)
    if len(names) > 1:
        each = ", ".join(f"{r.name} of {r.group} by {protocol(r) or 'no named protocol'}" for r in results)
        raise UsageError(
            f"numbers of different protocols do not compare: {each}; compare within one protocol"
        )
    return next(iter(names), "")


def folded(results: Sequence[Result], keep: Collection[str] = ()) -> list[Result]:
    """``results`` with slices of one value and group that have no number in one entry, which counts them.

    Args:
        results: In the order they are shown.
        keep: Names of slices that stay as they are, such as those a gate is about.
    """
    empty: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        base, _, tag = result.name.partition("@")
        if tag and result.status != COMPUTED and result.name not in keep:
            empty.setdefault((base, result.group, result.status), []).append(result)
    out, done = [], set()
    for result in results:
        key = (result.name.partition("@")[0], result.group, result.status)
        group = empty.get(key, [])
        if len(group) < 2 or all(result is not one for one in group):
            out.append(result)
        elif key not in done:
            done.add(key)
            each = [f"{r.name.partition('@')[2]}: {r.reason}" for r in group[:_SHOWN]]
            more = f"; and {len(group) - _SHOWN} more, which results.json has" if len(group) > _SHOWN else ""
            out.append(
                Result(
                    f"{key[0]}@{len(group)} tags", result.group, None, unit=result.unit, status=result.status,
                    higher_is_better=result.higher_is_better, reason="; ".join(each) + more, detail=result.detail,
                )
            )  # fmt: skip
    return out
