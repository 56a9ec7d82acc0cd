"""Which prompts name somebody: whole words, whatever case, accents and punctuation."""

from __future__ import annotations

import pytest

from vgaudit.likeness.entries import GalleryEntry
from vgaudit.likeness.naming import names, names_anybody


@pytest.mark.parametrize(
    ("prompt", "alias", "named"),
    [
        ("Mira Novak on a stage", "mira novak", True),
        ("MIRA NOVAK's keynote", "Mira Novak", True),
        ("Mira, Novak & co", "Mira Novak", True),
        ("a portrait of José", "jose", True),
        ("a portrait of Jose", "José", True),
        ("Mira on a stage with Novak", "Mira Novak", False),
        ("miranda novak", "Mira", False),
        ("admiral", "mira", False),
        ("a woman on a stage", "Mira Novak", False),
        ("", "Mira", False),
        ("anything", "...", False),
        ("采访张伟的记者", "张伟", True),
        ("采访李伟的记者", "张伟", False),
        ("김철수가 노래한다", "김철수", True),
        ("Straße mit Müller", "STRASSE", True),
        ("новости: Иван Петров", "иван петров", True),
        ("новости: Иванов", "Иван", False),
    ],
)
def test_names(prompt: str, alias: str, named: bool) -> None:
    assert names(prompt, alias) is named


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("Wanda Orbit on a stage", True),  # by an alias of somebody who consented
        ("a film with jane-doe in it", True),  # by an id
        ("the 7 dwarfs", False),  # a number names nobody
        ("a woman on a stage", False),
    ],
)
def test_whether_anybody_is_named_whatever_the_role(prompt: str, named: bool) -> None:
    entries = [
        GalleryEntry("p1", role="consented", aliases=("Wanda Orbit",)),
        GalleryEntry("Jane_Doe", role="cohort"),
        GalleryEntry("7"),
    ]
    assert names_anybody(prompt, entries) == named
