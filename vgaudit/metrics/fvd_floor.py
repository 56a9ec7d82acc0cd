"""What a Frechet video distance is read against: the distance of the reference set to itself, at the group's size.

The distance of few clips to their own population is far above 0, by about 1/n. So n clips of the reference are held
against all others of it. Those n are independent scenes; clips of one prompt are not. So a group of n clips from
fewer prompts has no one floor: it lies between that of n scenes (if clips of a prompt were independent) and that of
as many scenes as prompts (if they were all alike). Both are given then, and neither stands for the other.

The two parts of the reference have no prompt in common. A group of the reference's own prompts has: what clips of a
prompt have in common is then in no distance, and its floor may lie below the one that is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vgaudit.metrics.frechet import reference_floor
from vgaudit.stats import seed_from_ids


@dataclass(frozen=True)
class Floors:
    """Floors of a group.

    Attributes:
        detail: ``floor``, at the group's number of clips; where it has fewer prompts also ``floor_of_prompts``, at
            their number, and ``floor_reading``, how the two are read.
        note: That reading with its numbers, for the result's reason; empty where there is one floor, or none.
    """

    detail: dict[str, Any]
    note: str = ""


def shared_prompts(prompts: Sequence[str], others: Sequence[str] | None) -> dict[str, int]:
    """``shared_prompts``, how many prompts are on both sides; empty where none is, or nothing is known of them."""
    both = set(prompts) & set(others or ())
    return {"shared_prompts": len(both)} if both else {}


def shared_words(shared: Mapping[str, int]) -> str:
    """How many prompts are on both sides, as :func:`shared_prompts` counts them; empty where there are none."""
    if not (count := shared.get("shared_prompts", 0)):
        return ""
    return f"{count} {'prompt has' if count == 1 else 'prompts have'} the same prompt id on both sides"


def shared_note(shared: Mapping[str, int], detail: Mapping[str, Any]) -> str:
    """The same, with what it makes of the floors in ``detail``, where one was computed."""
    words = shared_words(shared)
    made = any(detail.get(key, {}).get("status") == "computed" for key in ("floor", "floor_of_prompts"))
    if not words or not made:
        return words
    return f"{words}: the floor is of other prompts; of the same ones it may lie lower"


def floors(
    features: ArrayLike | None,
    ids: Sequence[str],
    prompts: Sequence[str],
    ddof: int,
    reference_prompts: Sequence[str] | None = None,
) -> Floors:
    """Floors of a group whose clips have these ``prompts``.

    Args:
        features: Of the reference, ``(N, d)``; ``None`` where it is stored moments only.
        ids: What the seed of the splits is made from.
        prompts: Prompt of each clip of the group.
        ddof: Covariances are divided by the number of clips less ``ddof``.
        reference_prompts: Prompt of each reference clip. Default: each clip is a scene of its own.
    """
    if features is None:
        reason = "the reference is stored statistics, without features"
        return Floors({"floor": {"status": "not computed", "reason": reason}})
    n, distinct = len(prompts), len(set(prompts))
    made = {
        size: _floor(features, size, ids, ddof, reference_prompts) for size in dict.fromkeys((n, distinct))
    }
    if distinct == n:
        return Floors({"floor": made[n]})
    reading = (
        f"{n} clips of {distinct} prompts: their floor lies between `floor` ({n} clips, if those of one prompt were "
        f"independent) and `floor_of_prompts` ({distinct} clips, if those of one prompt were all alike)"
    )
    detail = {"floor": made[n], "floor_of_prompts": made[distinct], "floor_reading": reading}
    low, high = made[n].get("value"), made[distinct].get("value")
    bounds = [f"not below {low:.4g} (were those of one prompt independent)"] if low is not None else []
    bounds += [f"not above {high:.4g} (were those of one prompt all alike)"] if high is not None else []
    note = f"{n} clips of {distinct} prompts: the floor lies {' and '.join(bounds)}" if bounds else ""
    return Floors(detail, note)


def _floor(
    features: ArrayLike, n: int, ids: Sequence[str], ddof: int, clusters: Sequence[str] | None
) -> dict[str, Any]:
    """Floor of ``n`` independent clips: mean and range of the splits, or why there is none."""
    floor = reference_floor(features, n, ddof, seed_from_ids(ids), clusters=clusters)
    sizes = {"n": floor.n, "n_reference": floor.n_rest}
    if floor.reason:
        return {"status": "not computed", "reason": floor.reason, **sizes}
    values = {"value": float(np.mean(floor.values)), "least": min(floor.values), "most": max(floor.values)}
    return {"status": "computed", **values, **sizes, "splits": len(floor.values)}
