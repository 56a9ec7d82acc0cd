"""Ids that are safe as names, and consent that lapses into protection."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.errors import GalleryError
from vgaudit.likeness.entries import (
    EntryFacts,
    GalleryEntry,
    GalleryImage,
    ImageQuality,
    RejectedImage,
    check_entry_id,
    read_entry_file,
    refuse_expired,
)

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
        ("retain_until: 2027", "retain_until: expected a day as YYYY-MM-DD, such as 2027-03-31; found 2027"),
        ("retain_until: 2027-01-01T10:00:00", "retain_until: expected a day"),
        ("consent_scope: [film]", "consent_scope goes with role consented, not with role protected"),
        (
            "role: consented\nconsent_until: 2030-01-01\nconsent_scope: film",
            "consent_scope: expected a list of one",
        ),
        (
            "role: consented\nconsent_until: 2030-01-01\nconsent_scope: []",
            "consent_scope: expected a list of one",
        ),
        ("purpose: ''", "purpose: expected text that can be read"),
        ("legal_hold: true", "legal_hold: expected text; found True"),
        ("legal_bases: contract", "legal_bases: unknown field; did you mean 'legal_basis'"),
        ("images: {1.jpg: {licens: x}}", "images.1.jpg.licens: unknown field; did you mean 'licence'"),
        ("images: [1.jpg]", "images: "),
        ("group: 3", "group: expected text; found 3"),
        ("aliases: Anna", "aliases: expected a list"),
        ("aliases: [x]", "aliases.0: .*at least 2 characters"),
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


FULL = """
role: consented
consent_until: 2030-01-31
consent_scope: [Advertising, training film]
purpose: our presenter
legal_basis: contract of 2026-02-01
retain_until: 2031-01-31
legal_hold: case 17
aliases: [Anna K., "Zoe\u0308"]
group: group one
licence: CC0
provenance: own studio
images:
  1.jpg: {provenance: press office, licence: CC-BY}
"""


def test_every_fact_of_an_entry_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "entry.yaml"
    path.write_text(FULL)
    facts = read_entry_file(path)
    assert facts.images["1.jpg"].licence == "CC-BY"
    quality = ImageQuality(0.9, 0.05, 0.99, 0.8)
    image = GalleryImage("ab" * 32, 81.5, quality, "press office", "CC-BY", 6)
    entry = GalleryEntry.of("anna", facts, (image,), (RejectedImage("", "0 bytes"),))
    assert entry.aliases == ("Anna K.", "Zoë")
    assert (entry.legal_hold, entry.group, entry.retain_until) == (
        "case 17",
        "group one",
        dt.date(2031, 1, 31),
    )
    assert GalleryEntry.from_json(entry.to_json(), "x") == entry
    assert "Anna K." not in repr(entry)


def test_an_alias_is_never_part_of_a_message(tmp_path: Path) -> None:
    path = tmp_path / "entry.yaml"
    path.write_text("aliases: [secretname" + "x" * 300 + "]")
    with pytest.raises(GalleryError, match="private and not shown") as caught:
        read_entry_file(path)
    assert "secretname" not in str(caught.value)


@pytest.mark.parametrize(
    ("scope", "use", "role"),
    [
        ((), None, "consented"),
        ((), "anything", "consented"),
        (("film",), "Film", "consented"),
        (("film",), "news", "protected"),
        (("film",), None, "protected"),
        (("film",), "", "protected"),
    ],
)
def test_consent_covers_the_uses_it_names(scope: tuple[str, ...], use: str | None, role: str) -> None:
    entry = GalleryEntry("x", "consented", consent_until=dt.date(2030, 1, 1), consent_scope=scope)
    assert entry.effective_role(TODAY, use) == role
    assert entry.effective_role(dt.date(2030, 1, 2), use) == "protected"
    assert bool(entry.consent_gap(TODAY, use)) == (role == "protected")


def test_an_entry_past_its_day_is_refused_by_name_unless_it_is_on_hold() -> None:
    late = [GalleryEntry(name, retain_until=dt.date(2026, 5, 19)) for name in ("anna", "bert")]
    held = GalleryEntry("carl", retain_until=dt.date(2026, 5, 19), legal_hold="case 17")
    last = GalleryEntry("dora", retain_until=TODAY)
    refuse_expired([held, last], "g", TODAY)
    with pytest.raises(GalleryError) as caught:
        refuse_expired([*late, held, last], "g", TODAY)
    text = str(caught.value)
    for part in ("anna (2026-05-19), bert (2026-05-19)", "vgaudit gallery purge anna --gallery g", "extend"):
        assert part in text
    assert "carl" not in text
    assert "dora" not in text


def test_no_facts_are_the_defaults() -> None:
    assert GalleryEntry.of("x", EntryFacts()) == GalleryEntry("x")
