"""Read from finished runs what planning the next one needs: how values vary between prompts and between seeds."""

from __future__ import annotations

from collections.abc import Mapping

from vgaudit.errors import UsageError
from vgaudit.power import Components, components
from vgaudit.registry import nearest
from vgaudit.reports.data import ReportData


def values_of(data: ReportData, name: str, group: str) -> dict[tuple[str, int | None], list[float]]:
    """Values of a group's clips by prompt and seed; clips without one are left out."""
    metric, _, short = name.partition(".")
    found: dict[tuple[str, int | None], list[float]] = {}
    for entry in data.clips:
        measured = entry.measurements.get(metric)
        if entry.sample.group == group and measured is not None and short in measured.values:
            found.setdefault((entry.sample.prompt_id, entry.sample.seed), []).append(measured.values[short])
    return found


def per_clip_values(specs: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Names of the values that clips have and groups have a mean of."""
    return [n for n, s in specs.items() if s.get("per_clip", True) and s.get("per_group", True)]


def spread_of(
    data: ReportData, name: str, groups: tuple[str, ...], *, paired: bool
) -> tuple[Components, str]:
    """Variance components for a comparison or a gate, and in words what they rest on.

    Args:
        data: A finished run.
        name: ``<metric>.<value>``, one that clips have.
        groups: One group, or for a comparison two whose differences are taken prompt by prompt and seed by seed.
        paired: Whether a comparison is planned. From one group alone its seeds are taken to vary as much on both
            sides, and prompts to be as hard for the candidate: their part then cancels, which is the best case.

    Raises:
        UsageError: No such value or group, or too little in the run.
    """
    known = per_clip_values(data.value_specs)
    if name not in known:
        raise UsageError(
            f"{data.run_dir}: expected a value that clips have, found {name!r}{nearest(name, known)} "
            f"(there are: {', '.join(known) or 'none'})"
        )
    present = list(dict.fromkeys(e.sample.group for e in data.clips))
    for group in groups:
        if group not in present:
            raise UsageError(
                f"{data.run_dir}: expected a group of the run ({', '.join(present)}), found {group!r}"
            )
    if paired and len(groups) == 2:
        first, second = (values_of(data, name, g) for g in groups)
        common = [k for k in first if k in second and k[1] is not None]
        pairs = [(k[0], sum(first[k]) / len(first[k]) - sum(second[k]) / len(second[k])) for k in common]
        return components(
            pairs
        ), f"differences of {groups[0]} and {groups[1]}, prompt by prompt and seed by seed"
    own = components(
        [(prompt, v) for (prompt, _), vs in values_of(data, name, groups[0]).items() for v in vs]
    )
    if not paired:
        return own, f"values of {groups[0]}"
    if not own.seeds_known:
        raise UsageError(
            f"{data.run_dir}: expected several seeds of a prompt, found one each: what a paired difference would "
            "vary by cannot be told; give a run with two groups or more seeds, or --sd-prompt and --sd-seed"
        )
    twice = Components(0.0, own.seed * 2**0.5, own.n_prompts, own.n_values)
    least = "a candidate that finds other prompts hard varies more, so this is the least"
    return twice, f"seeds of {groups[0]} alone, twice; {least}"
