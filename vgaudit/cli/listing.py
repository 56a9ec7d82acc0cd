"""What ``vgaudit list`` prints."""

from __future__ import annotations

from typing import cast

from vgaudit import registry

KINDS = ("backends", "metrics", "extractors", "embedders", "suites")


def lines(what: str) -> list[str]:
    """One line per name; metrics show their values with unit, direction and definition."""
    if what == "suites":
        return _suites()
    kind = cast(registry.Kind, "face_embedders" if what == "embedders" else what)
    out = []
    for name in registry.names(kind):
        implementation = registry.load(kind, name)
        doc = (implementation.__doc__ or "").strip().splitlines()
        out.append(f"{name:<18} {doc[0] if doc else ''}")
        if kind == "metrics":
            for value in implementation.values:
                direction = {True: "higher is better", False: "lower is better", None: "neither end is good"}
                where = "" if value.per_clip else "; per group only"
                out.append(
                    f"  {name}.{value.name}: {value.description} "
                    f"[{value.unit or 'no unit'}; {direction[value.higher_is_better]}{where}]"
                )
    return out


def _suites() -> list[str]:
    from vgaudit.errors import SuiteError
    from vgaudit.suite import bundled_suites, load_suite

    out = []
    for name, path in bundled_suites().items():
        try:
            loaded = load_suite(path)
            prompts = len(loaded.prompts)
            out.append(f"{name:<18} {prompts} prompts; {loaded.suite.description}")
        except SuiteError as error:
            out.append(f"{name:<18} cannot be loaded: {error.problems[0]}")
    return out
