"""Ids that are safe as names, and consent that lapses into protection."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.errors import GalleryError
from vgaudit.likeness.entries import GalleryEntry, check_entry_id, read_entry_file

TODAY = dt.date(2026, 5, 20)


@pytest.mark.parametrize("name", ["person_a", "7", "Zoë", "O'Neil-2", "Dr. No", "王芳"])
def test_names_people_use_are_ids(name: str) -> None:
    assert check_entry_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".git",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "-rf",
        "_x",
        "a..b",
        "a.",
        "a ",
        "x" * 65,
        "a\u202eb",
        "<b>",
    ],
)
def test_names_that_could_be_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the id of an entry"):
        check_entry_id(name)


@given(st.text(max_size=70))
def test_an_id_is_never_a_path(text: str) -> None:
    try:
        name = check_entry_id(text)
    except ValueError:
        return
    path = Path("root") / name
    assert path.parent == Path("root")
    assert path.name == name
    assert name.isprintable()


def test_decomposed_and_composed_accents_are_one_id() -> None:
    assert check_entry_id("Zoe\u0308") == "Zoë"


@given(st.dates(), st.dates())
def test_consent_protects_again_after_its_last_day(until: dt.date, today: dt.date) -> None:
    entry = GalleryEntry("x", "consented", consent_until=until)
    assert entry.effective_role(today) == ("consented" if today <= until else "protected")


def test_consent_without_an_end_is_no_consent() -> None:
    assert GalleryEntry("x", "consented").effective_role(TODAY) == "protected"
    assert GalleryEntry("x", "cohort").effective_role(TODAY) == "cohort"
    assert GalleryEntry("x").effective_role(TODAY) == "protected"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("role: friend", "role: .*'protected', 'consented' or 'cohort'"),
        ("roll: consented", "roll: unknown field; did you mean 'role'"),
        ("role: consented", "needs consent_until"),
        ("role: protected\nconsent_until: 2030-01-01", "goes with role consented"),
        ("consent_until: tomorrow\nrole: consented", "consent_until: "),
        ("- protected", "dictionary"),
        ("role: [", "not YAML"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("a: &a [*a]\nrole: protected", "a: unknown field"),
        ("#" * 70_000, "larger than"),
    ],
)
def test_a_wrong_entry_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "entry.yaml"
    path.write_text(text)
    with pytest.raises(GalleryError, match=message) as caught:
        read_entry_file(path)
    assert str(path) in str(caught.value)


def test_entry_files(tmp_path: Path) -> None:
    path = tmp_path / "entry.yaml"
    assert read_entry_file(path).role == "protected"
    path.write_text("# nothing\n")
    assert read_entry_file(path).role == "protected"
    path.write_text("role: consented\nconsent_until: 2030-01-31\n")
    assert read_entry_file(path).consent_until == dt.date(2030, 1, 31)
    path.write_bytes(b"role: \xff\xfe")
    with pytest.raises(GalleryError, match="not YAML"):
        read_entry_file(path)
