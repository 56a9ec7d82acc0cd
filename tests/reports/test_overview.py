"""How facts read: a mapping inside another stays one thing."""

from __future__ import annotations

from typing import Any

import pytest

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
