"""How facts read: a mapping inside another stays one thing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest

from vgaudit import registry
from vgaudit.reports.overview import fact_text, title_of


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ({"size": [64, 48], "mean": 0.5}, "size: 64, 48; mean: 0.5"),
        ({"colour": {"rate": 0.5, "n": 2}, "action": {}}, "colour: (rate: 0.5; n: 2); action: none"),
        ([{"is": "a cat", "passed": False}, {"is": "a dog"}], "(is: a cat; passed: no), (is: a dog)"),
        ({}, "none"),
    ],
)
def test_facts_inside_facts_are_kept_apart(fact: Any, text: str) -> None:
    assert fact_text(fact) == text


def test_r_precision_is_spelt_as_people_spell_it() -> None:
    assert title_of("prompt_alignment.r_precision_top5") == "R-precision, top 5"


def test_a_value_s_own_title_stands_before_the_words_of_its_name() -> None:
    assert title_of("fvd.distance", {"title": "Fr\u00e9chet video distance"}) == "Fr\u00e9chet video distance"
    assert (
        title_of("temporal.warp_error", {"title": ""}) == title_of("temporal.warp_error", {}) == "Warp error"
    )


def test_titles_of_all_built_in_values_are_different_and_more_than_a_vague_word() -> None:
    vague = {
        "Distance",
        "Extrapolated",
        "Precision",
        "Recall",
        "Density",
        "Coverage",
        "P value",
        "Quality",
        "Ok rate",
    }
    titles = [
        title_of(f"{name}.{spec.name}", asdict(spec))
        for name in registry.BUILT_IN["metrics"]
        for spec in registry.load("metrics", name).values
    ]
    assert len(titles) > 30
    assert [t for t, n in Counter(titles).items() if n > 1] == []
    assert vague.isdisjoint(titles)
