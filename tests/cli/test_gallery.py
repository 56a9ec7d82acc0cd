"""``vgaudit gallery`` as users meet it: texts, exit codes, and that nothing of a purged person stays."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.in_process import vgaudit
from tests.portraits import astronaut, background
from vgaudit.cli import gallery as cli_gallery
from vgaudit.cli.commands import app
from vgaudit.errors import GalleryError, RunDirError, UsageError
from vgaudit.extractors.faces import make_embedder
from vgaudit.likeness import gallery_file
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.gallery import Gallery, describe_gallery, load_gallery
from vgaudit.likeness.photos import Photos
from vgaudit.likeness.purge_words import Told
from vgaudit.pipeline import purging

EMBEDDER = make_embedder("dlib", {})
FACTS = """
role: consented
consent_until: 2999-12-31
consent_scope: [advertising]
purpose: WhyWeKeepHer
legal_basis: ContractNumber17
retain_until: 3000-01-31
aliases: [Eileen Known, StarNickname]
group: GroupOfStars
licence: LicenceOfStar
provenance: ProvenanceOfStar
images: {portrait-of-star.png: {provenance: PictureFromNasa}}
"""


def gallery(*arguments: object) -> None:
    app(["gallery", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def people(tmp_path: Path, shared_data: Path) -> Path:
    """Three people; the third has every fact, a copy and a picture without a face."""
    folder = tmp_path / "people"
    for name in ("person_a", "person_b"):
        (folder / name).mkdir(parents=True)
        shutil.copy(shared_data / "faces" / name / "1.jpg", folder / name / "1.jpg")
    star = folder / "star_entry"
    star.mkdir()
    Image.fromarray(astronaut()[:300, 60:360]).save(star / "portrait-of-star.png")
    Image.fromarray(astronaut()[:310, 60:360]).save(star / "again.jpg", quality=70)
    Image.fromarray(background(1, 200, 200)[0]).save(star / "wall.png")
    (star / "entry.yaml").write_text(FACTS)
    return folder


@pytest.fixture
def built(people: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    gallery("build", people, "-o", people.parent / "g", "--photos", people.parent / "photos", "-q")
    return people.parent / "g"


def test_build_says_what_it_used_and_rejected(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = capsys.readouterr().out
    assert f"{built}: 3 people, 4 pictures used, 1 rejected, dlib (dlib-v" in out
    assert "4 pictures cut to the face, for reviewers" in out
    assert "warning: star_entry/wall.png: no face found" in out
    assert "star_entry/again.jpg and star_entry/portrait-of-star.png are the same picture twice" in out
    Photos.open(built.parent / "photos").check(load_gallery(built, EMBEDDER).entries)


def test_inspect_fits_eighty_columns_and_hides_aliases(
    built: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (built, people):
        gallery("inspect", path, "-q")
        out = capsys.readouterr().out
        table = [line for line in out.splitlines() if not line.startswith(("warning", "star_entry:"))]
        assert max(map(len, table)) <= 80 + len(str(path))
        assert "2 of 3" in out
        assert "protected !" in out
        assert "consent covers advertising, not a use that is not stated: protected" in out
        assert "2999-12-31" in out
        assert "no face found" in out
        assert "Known" not in out
        assert "StarNickname" not in out
    gallery("inspect", built, "--use", "advertising", "--private")
    out = capsys.readouterr().out
    assert "protected !" not in out
    assert "star_entry: aliases Eileen Known, StarNickname" in out
    gallery("inspect", built, "--json")
    shown = json.loads(capsys.readouterr().out)
    star = shown["entries"][2]
    assert (star["role"], star["role_today"], star["aliases"]) == ("consented", "protected", 2)
    assert star["rejected"][0]["reason"] == "no face found"
    assert 0 < star["quality"]["worst"] <= star["quality"]["best"] <= 1
    assert [mixup["kind"] for mixup in shown["mixups"]] == ["copy"]
    assert "Known" not in json.dumps(shown)


def test_inspect_shows_who_cannot_be_used_any_more(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (people / "person_a" / "entry.yaml").write_text("retain_until: 2020-01-01")
    (people / "person_b" / "entry.yaml").write_text("retain_until: 2020-01-01\nlegal_hold: case 17")
    (people / "star_entry" / "entry.yaml").write_text("role: consented\nconsent_until: 2020-01-01")
    with pytest.raises(GalleryError, match="person_a") as caught:
        gallery("build", people, "-o", people.parent / "g", "-q")
    assert caught.value.exit_code == 2
    assert not (people.parent / "g").exists()
    gallery("inspect", people, "-q")
    out = capsys.readouterr().out
    assert "person_a: past retain_until: cannot be used" in out
    assert "person_b: past retain_until, kept under legal hold (case 17)" in out
    assert "star_entry: consent lapsed after 2020-01-01: protected" in out


def test_nothing_else_is_overwritten(built: Path, people: Path) -> None:
    picture = people / "person_a" / "1.jpg"
    before = picture.read_bytes()
    for arguments in (
        ("build", people, "-o", picture),
        ("build", people, "-o", people.parent / "new", "--photos", picture),
        ("build", people, "-o", people.parent / "new", "--photos", people.parent / "new"),
        ("calibrate", people, "-o", built, "--name", "n", "--source", "s", "--licence", "l"),
    ):
        with pytest.raises(UsageError):
            gallery(*arguments, "-q")
    assert picture.read_bytes() == before
    assert not (people.parent / "new").exists()
    assert load_gallery(built, EMBEDDER).entries


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["build", "absent", "-o", "g"], "no such gallery"),
        (["build", "absent", "-o", "g", "--embedder", "dlip"], "dlip"),
        (["build", "absent", "-o", "g", "--embedder-option", "weights"], "expected KEY=VALUE"),
        (["inspect", "absent"], "no such gallery"),
        (["purge", "anna"], "expected --gallery"),
        (["purge", "anna", "--gallery", "absent"], "no such gallery"),
        (["purge", "anna", "--cohort", "absent"], "no such file"),
        (["purge", "anna", "--cohort", "absent", "--label", "x"], "no such file"),
        (["build", "absent", "-o", "/proc/none/g"], "/proc/none/g: cannot be written"),
        (["build", "absent", "-o", "g.PNG"], "another ending than that of a picture"),
        (
            ["calibrate", "absent", "-o", "/proc/none/g", "--name", "n", "--source", "s", "--licence", "l"],
            "cannot be",
        ),
        (["export", "absent", "-o", "x.txt"], "ends in .jsonl or .csv"),
    ],
)
def test_wrong_arguments_exit_with_two(tmp_path: Path, arguments: list[str], text: str) -> None:
    done = vgaudit("gallery", *[tmp_path / a if a == "absent" else a for a in arguments])
    assert done.returncode == 2, done.stdout + done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_targets_are_looked_at_before_anything_is_embedded(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_gallery, "_embedder", lambda *_: pytest.fail("embedded"))
    other = ("--name", "n", "--source", "s", "--licence", "l")
    for arguments in (
        ("build", people, "-o", people / "g"), ("build", people, "-o", people / "star_entry" / "g"),
        ("build", people, "-o", people.parent / "g", "--photos", people / "photos"),
        ("build", people, "-o", people.parent / "g", "--photos", people.parent / "photos.webp"),
        ("build", people, "-o", people.parent), ("calibrate", people, "-o", people / "c", *other),
        ("build", people, "-o", "/proc/none/g"), ("calibrate", people, "-o", "/proc/none/c", *other),
        ("build", people, "-o", people.parent / "g", "--photos", "/proc/none/p"),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            gallery(*arguments, "-q")
    assert [p.name for p in people.parent.iterdir()] == ["people"]


def test_inspect_shows_a_cohort(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = people.parent / "c"
    gallery("calibrate", people, "-o", out, "--name", "n 1", "--source", "at hand", "--licence", "CC0", "-q")
    capsys.readouterr()
    gallery("inspect", out)
    said = capsys.readouterr().out
    for text in ("cohort 'n 1', 3 people, 4 pictures", "source: at hand", "licence: CC0"):
        assert text in said
    gallery("inspect", out, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["people"], shown["licence"]) == ("cohort", 3, "CC0")


def test_broken_yaml_is_named_by_its_line(people: Path) -> None:
    (people / "star_entry" / "entry.yaml").write_text("role: protected\npurpose: a: b\n")
    with pytest.raises(GalleryError, match=r"entry\.yaml:2: not YAML"):
        gallery("inspect", people, "-q")


def test_calibrate_makes_a_cohort(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = people.parent / "c"
    gallery("calibrate", people, "-o", out, "--name", "n", "--source", "s", "--licence", "l", "-q")
    said = capsys.readouterr().out
    assert f"{out}: 3 people, 4 pictures, dlib" in said
    assert "resolves no rate below 1 in 1 (3 of 3 people)" in said
    assert "groups: GroupOfStars (1)" in said
    assert Cohort.load(out, EMBEDDER).n == 3


# -- purge -----------------------------------------------------------------------------------------


class Runs:
    """Stands in for the part that cleans run directories, which has tests of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Path, dict[str, str], bool]] = []
        self.broken = False
        monkeypatch.setattr(purging, "purge_run_and_report", self.purge_run)

    def purge_run(
        self, run: Path, labels: Mapping[str, str], *, dry_run: bool, names: Mapping[str, Sequence[str]],
        features: bool, say: Callable[[Told], object],
    ) -> list[Told]:  # fmt: skip
        self.calls.append((run, dict(labels), dry_run))
        self.names, self.features = names, features
        if self.broken and not dry_run:
            raise RunDirError("the disk is full")
        told = [Told("removed", "1 finding"), Told("stays", "plan.jsonl")]
        for each in told:
            say(each)
        return told


def secrets(people: Path, built: Path) -> dict[str, bytes]:
    """Whatever must be nowhere after a purge of ``star_entry``."""
    stored = gallery_file.read(built)
    position = [entry.entry_id for entry in stored.entries].index("star_entry")
    cohort = Cohort.read(built.parent / "c")
    out = {
        f"fact {word}": word.encode()
        for word in (
            "star_entry", "Eileen Known", "StarNickname", "WhyWeKeepHer", "ContractNumber17", "GroupOfStars",
            "LicenceOfStar", "ProvenanceOfStar", "PictureFromNasa", "portrait-of-star", "3000-01-31",
        )
    }  # fmt: skip
    for i, template in enumerate(stored.templates[stored.owners == position]):
        out[f"template {i}"] = template.tobytes()[:32]
    out["cohort template"] = cohort.templates[cohort.ids.index("star_entry")].tobytes()[:32]
    for i, (jpeg, sha256) in enumerate(Photos.open(built.parent / "photos").pictures("star_entry")):
        out[f"photograph {i}"] = jpeg[len(jpeg) // 2 :][:64]  # past the tables that all of them share
        out[f"photograph {i} by digest"] = sha256.encode()
    for file in (people / "star_entry").iterdir():
        data = file.read_bytes()
        out[f"bytes of {file.name}"] = data[len(data) // 2 :][:64]
        if file.suffix != ".yaml":
            out[f"digest of {file.name}"] = hashlib.sha256(data).hexdigest().encode()
    return out


def found_in(root: Path, wanted: Mapping[str, bytes]) -> set[str]:
    hits = set()
    for path in root.rglob("*"):
        content = (
            str(path.relative_to(root)).encode() + b"\0" + (path.read_bytes() if path.is_file() else b"")
        )
        hits |= {name for name, needle in wanted.items() if needle in content}
    return hits


def test_a_purge_leaves_nothing_but_a_tombstone(
    built: Path, people: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = built.parent
    gallery("calibrate", people, "-o", root / "c", "--name", "n", "--source", "s", "--licence", "l", "-q")
    (root / f".{built.name}.x.unfinished").write_bytes(built.read_bytes())  # of a build that was killed
    wanted = secrets(people, built)
    assert found_in(root, wanted) == set(wanted), "the test looks for something that was never there"
    runs = Runs(monkeypatch)
    run = root / "reports" / "run"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    where = ["--gallery", built, "--gallery", people, "--photos", root / "photos", "--cohort", root / "c"]
    purge = ["purge", "star_entry", *where, "--runs", root / "reports", "--reason", "asked by letter"]

    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    gallery(*purge, "--dry-run")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert runs.calls[0][2] is True
    would = capsys.readouterr().out
    assert "nothing was removed (--dry-run)" in would
    with pytest.raises(UsageError, match=r"say --yes(.|\n)*star_entry: the folder with 4 files"):
        gallery(*purge)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert not any(path.stat().st_size for path in root.rglob(".lock"))
    assert [dry for _, _, dry in runs.calls] == [True, True]

    kept = gallery_file.read(built)
    gallery(*purge, "--yes")
    said = capsys.readouterr().out
    assert found_in(root, wanted) == set()
    assert [line for line in would.splitlines() if line.startswith("would")] == [
        line.replace("removed ", "would remove ", 1)
        for line in said.splitlines()
        if line.startswith("removed ")
    ]
    assert "backups, snapshots and copies elsewhere are yours to remove" in said

    (_, labels, dry_run) = runs.calls[-1]
    assert dry_run is False
    assert runs.names == {"star_entry": ["Eileen Known", "StarNickname"] * 2}
    assert f"stays {run}: plan.jsonl" in would
    assert f"stays {run}: plan.jsonl" in said
    left = gallery_file.read(built)
    (tombstone,) = left.purged
    assert labels == {"star_entry": tombstone.label}
    assert (tombstone.when, tombstone.reason) == (dt.date.today().isoformat(), "asked by letter")
    assert json.loads((people / "purged.json").read_text())["purged"] == [vars(tombstone)]
    assert [entry.entry_id for entry in left.entries] == ["person_a", "person_b"]
    np.testing.assert_array_equal(left.templates, kept.templates[:2])
    assert left.entries == kept.entries[:2]
    assert Photos.open(root / "photos").people.keys() == {"person_a", "person_b"}
    assert Cohort.read(root / "c").ids == ("person_a", "person_b")
    assert load_gallery(built, EMBEDDER).entries
    for path in (built, root / "photos", root / "c"):
        assert path.stat().st_mode & 0o777 == 0o600

    gallery("build", people, "-o", built, "-q")  # the tombstone outlives the file
    assert gallery_file.read(built).purged == (tombstone,)
    gallery("inspect", built)
    assert "purged: 1, the last on" in capsys.readouterr().out


def test_a_legal_hold_forbids_the_purge_before_anything_is_removed(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    (people / "star_entry" / "entry.yaml").write_text("legal_hold: case 17")
    gallery("build", people, "-o", people.parent / "g", "-q")
    gallery(
        "calibrate", people, "-o", people.parent / "c", "--name", "n", "--source", "s", "--licence", "l", "-q"
    )
    (people.parent / "run").mkdir()
    (people.parent / "run" / "manifest.json").write_text("{}")
    before = {path: path.read_bytes() for path in people.parent.rglob("*") if path.is_file()}
    for where in (
        ("--gallery", people.parent / "g"), ("--gallery", people), ("--cohort", people.parent / "c"),
    ):  # fmt: skip
        also = ("--runs", people.parent) if "--gallery" in where else ()
        with pytest.raises(GalleryError, match=r"under legal hold .*star_entry \(case 17\)") as caught:
            gallery("purge", "person_a", "star_entry", *where, *also, "--yes")
        assert caught.value.exit_code == 2
    assert runs.calls == []
    assert {path: path.read_bytes() for path in people.parent.rglob("*") if path.is_file()} == before


def test_a_gallery_of_which_everybody_was_purged_cannot_be_audited_with(built: Path) -> None:
    gallery("purge", "star_entry", "person_a", "person_b", "--gallery", built)
    assert len(gallery_file.read(built).purged) == 3
    assert describe_gallery(built).entries == ()
    with pytest.raises(GalleryError, match="nobody is left in it"):
        load_gallery(built, EMBEDDER)


def test_who_is_purged_must_exist_and_is_not_named_in_the_reason(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"'star_entri'.*did you mean 'star_entry'"):
        gallery("purge", "star_entri", "--gallery", built)
    for reason in ("letter of Eileen KNOWN", "star_entry asked", "Star Entry asked", "for eileen-known"):
        with pytest.raises(UsageError, match="names the person"):
            gallery("purge", "star_entry", "--gallery", built, "--reason", reason)
    with pytest.raises(UsageError, match="expected a run directory"):
        gallery("purge", "star_entry", "--gallery", built, "--runs", built.parent / "people")
    runs = Runs(monkeypatch)
    run = built.parent / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    gallery("purge", "gone_before", "--gallery", built, "--runs", run)
    assert runs.calls[0][1].keys() == {"gone_before"}
    assert "only the runs are searched" in capsys.readouterr().err
    assert len(gallery_file.read(built).entries) == 3


def test_a_purge_that_was_stopped_says_what_was_done_and_goes_on_with_its_label(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(monkeypatch)
    run = built.parent / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    before = built.read_bytes()
    purge = ["purge", "star_entry", "--gallery", built, "--runs", run]
    runs.broken = True
    with pytest.raises(
        UsageError, match=r"the disk is full\. Done: nothing\. Not done: .*run, .*/g\. "
    ) as caught:
        gallery(*purge)
    assert built.read_bytes() == before
    (_, labels, _) = runs.calls[-1]
    label = labels["star_entry"]
    assert f"tombstone: {label}" in capsys.readouterr().out
    assert f"--label {label}" in str(caught.value)
    runs.broken = False
    for odd in (["--label", "purged-xyz"], ["--label", label, "--label", label]):
        with pytest.raises(UsageError, match="expected the label of an earlier purge"):
            gallery(*purge, *odd)
    gallery(*purge, "--label", label, "--features")
    assert runs.calls[-1][1] == {"star_entry": label}
    assert runs.features is True
    assert [tombstone.label for tombstone in gallery_file.read(built).purged] == [label]
    said = capsys.readouterr().out
    assert "no folder of pictures was named" in said
    assert "no file of photographs was named" in said


def test_nothing_is_touched_if_one_run_is_damaged(built: Path, likeness_run_dir: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(likeness_run_dir, built.parent / "runs" / name)
    log = built.parent / "runs" / "b" / "measurements" / "log.jsonl"
    log.write_bytes(b"{\n" + log.read_bytes())
    before = {p: p.read_bytes() for p in built.parent.rglob("*") if p.is_file()}
    with pytest.raises(RunDirError, match="damaged line"):
        gallery(
            "purge", "client-0042", "star_entry", "--gallery", built, "--runs", built.parent / "runs", "--yes"
        )
    assert {p: p.read_bytes() for p in built.parent.rglob("*") if p.is_file()} == before


def test_the_output_of_a_self_test_is_purged(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = built.parent / "selftest"
    out.mkdir()
    row = {"key": "k", "photograph": "d1" * 32, "host": "a.mp4", "missed": "", "wrong": []}
    rows = [
        {**row, "entry": "star_entry"},
        {**row, "entry": "person_a", "wrong": ["star_entry"]},
        {**row, "entry": "person_b"},
    ]
    text = "".join(json.dumps(r) + "\n" for r in rows)
    (out / "plantings.jsonl").write_text(text + '{"entry": "star')
    (out / "selftest.json").write_text(json.dumps({"photographs": {"star_entry": 2}}))
    purge = ["purge", "star_entry", "--gallery", built, "--selftest", out]
    gallery(*purge, "--dry-run")
    assert (out / "plantings.jsonl").read_text().startswith(text)
    gallery(*purge)
    left = (out / "plantings.jsonl").read_text()
    assert "star" not in left
    label = gallery_file.read(built).purged[0].label
    assert [json.loads(line) for line in left.splitlines()] == [{**rows[1], "wrong": [label]}, rows[2]]
    assert (out / "plantings.jsonl").stat().st_mode & 0o777 == 0o600
    assert not (out / "selftest.json").exists()
    with pytest.raises(GalleryError, match="expected the output of `vgaudit selftest`"):
        gallery("purge", "person_a", "--gallery", built, "--selftest", built.parent)


# -- export ----------------------------------------------------------------------------------------


def test_export_gives_facts_without_templates_and_aliases(
    people: Path, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = Gallery.load(built, EMBEDDER)
    for suffix in ("jsonl", "csv"):
        out = built.parent / f"facts.{suffix}"
        gallery("export", built, "-o", out)
        content = out.read_bytes()
        assert b"WhyWeKeepHer" in content
        assert b"Known" not in content
        assert all(template.tobytes()[:32] not in content for template in stored.templates)
        assert out.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO((built.parent / "facts.csv").read_text())))
    assert [(row["entry_id"], row["used"], row["reason"]) for row in rows][-3:] == [
        ("star_entry", "yes", ""), ("star_entry", "yes", ""), ("star_entry", "no", "no face found"),
    ]  # fmt: skip
    assert {row["provenance"] for row in rows[2:4]} == {"ProvenanceOfStar", "PictureFromNasa"}
    assert not (built.parent / "facts.npz").exists()
    capsys.readouterr()
    before = (built.parent / "facts.csv").read_bytes()
    with pytest.raises(UsageError, match="is there already; remove it first"):
        gallery("export", built, "-o", built.parent / "facts.csv", "--private")
    assert (built.parent / "facts.csv").read_bytes() == before
    (built.parent / "facts.csv").unlink()
    gallery("export", built, "-o", built.parent / "facts.csv", "--templates", "--private")
    assert "Warning: biometric data" in capsys.readouterr().err
    assert "Eileen Known; StarNickname" in (built.parent / "facts.csv").read_text()
    with np.load(built.parent / "facts.npz") as arrays:
        np.testing.assert_array_equal(arrays["templates"], stored.templates)
        assert arrays["entry_id"].tolist()[-1] == "star_entry"
        assert arrays["image_sha256"].tolist() == [i.sha256 for e in stored.entries for i in e.images]


def test_a_cell_is_never_a_formula(people: Path) -> None:
    (people / "star_entry" / "entry.yaml").write_text("purpose: '=HYPERLINK(1)'")
    gallery("build", people, "-o", people.parent / "g", "-q")
    gallery("export", people.parent / "g", "-o", people.parent / "x.csv")
    rows = list(csv.DictReader(io.StringIO((people.parent / "x.csv").read_text())))
    assert rows[-1]["purpose"] == "'=HYPERLINK(1)"
