"""Remove a person of the gallery from a run directory; a tombstone stays.

What was found stays found: kind, span, severity and fingerprint of the findings remain, so that no gate starts to
pass, and the chain of reviewers' decisions is not touched. Who it was, how alike, in which pictures, and what
reviewers wrote of it goes. ``docs/decisions.md`` says what stays, and why.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from vgaudit import decisions
from vgaudit.errors import RunDirError
from vgaudit.likeness.purge_words import KEPT, Names, Told
from vgaudit.records import NOT_APPLICABLE, NOT_COMPUTED
from vgaudit.rundir import RunDir, atomic_write, write_json

LEDGER = "likeness_ledger.jsonl"
SHOWN = "likeness_shown.jsonl"
TOMBSTONES = "purged.jsonl"
REMOVED = f"{NOT_APPLICABLE}: removed with a person who was purged from the gallery"
"""Stands in place of a clip's value: it was looked at, so it still counts as assessed."""

MESSAGE = (
    "A face resembles a person who was purged from the gallery since ({label}); how much is no longer kept."
)

_REPORTS = (
    "report",
    "junit.xml",
    "report.sarif",
    "summary.md",
    "samples.parquet",
    "measurements.parquet",
    "findings.parquet",
)
_BEST = ("best_similarity", "best_distance")
_UNCOMPARED = dict.fromkeys(
    ("value", "low", "high", "confidence", "effect", "effect_low", "effect_high", "p", "p_holm")
)
"""What a comparison of groups on one of those loses."""

_OWN_WORDS = ("plan.jsonl", "clips/", "work/")
"""What the suite and its backends said themselves: prompts, names of files. It is not derived from a gallery."""

_NOT_LOOKED_INTO = ("features/", "previews/", "evidence/", f"{decisions.NOTES}/", "report/")
_HANDLED = (
    "manifest.json", "results.json", "measurements/log.jsonl", LEDGER, SHOWN, decisions.FILE, TOMBSTONES, ".lock",
)  # fmt: skip
_TEXTS = frozenset(
    {".json", ".jsonl", ".csv", ".tsv", ".txt", ".md", ".html", ".xml", ".yaml", ".yml", ".sarif"}
)
_LARGEST_TEXT = 256 * 1024 * 1024


@dataclass
class _Found:
    """What the log and the ledger hold of the people."""

    fingerprints: set[str] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    """Pictures that findings about others show as well."""
    tracks: set[str] = field(default_factory=set)
    """Pictures of their tracks on the contact sheet and among recurring faces."""
    clips: set[str] = field(default_factory=set)
    """SHA-256 of the clips they were matched in."""
    best_of: set[str] = field(default_factory=set)
    """Keys of measurements whose best similarity is, or may be, that of one of them."""
    counted: bool = False
    """Whether the stored results were computed with one of those."""


def purge_run(
    run: Path,
    labels: Mapping[str, str],
    *,
    dry_run: bool,
    rewrite: Callable[[Path], object] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
    features: bool = False,
    say: Callable[[Told], object] | None = None,
) -> list[Told]:
    """Remove all that a run directory holds of people of the gallery.

    Safe to do again, also after a kill: every file is replaced at once, and what finds the rest goes last.

    Args:
        run: The run directory.
        labels: Entry id -> the label that takes its place, ``purged-1a2b3c4d``.
        dry_run: Only tell.
        rewrite: Writes the reports again (:func:`vgaudit.pipeline.purging.purge_run_and_report` gives one); without,
            they are deleted, and `vgaudit report RUN` writes them.
        names: Entry id -> further names of the person. Notes that hold one go; prompts that do are told.
        features: Also delete the features of faces of the clips in which somebody was matched: embeddings and small
            pictures of the faces. Scoring the run again then looks at those clips again.
        say: Is told each thing as it happens.

    Returns:
        Each thing that went (or would go), and each that names the person and stays; empty where the run holds
        nothing of them. None names the person.

    Raises:
        RunDirError: No run, one that another process writes, a damaged file, or a damaged chain of decisions while
            there are notes: then nothing is known of whom they are about.
    """
    opened = RunDir.open(run)
    if not labels:
        return []
    purge = _Purge(opened, Names(labels, names), dry_run, features, say or (lambda told: None))
    if dry_run:
        return purge.run(None)
    with opened.lock():
        opened.sweep()
        return purge.run(rewrite)


class _Purge:
    def __init__(
        self, run: RunDir, names: Names, dry_run: bool, features: bool, say: Callable[[Told], object]
    ) -> None:
        self.dir, self.path, self.names, self.dry_run = run, run.path, names, dry_run
        self.features, self.say = features, say
        self.log = self.path / "measurements" / "log.jsonl"
        self.told: list[Told] = []

    def run(self, rewrite: Callable[[Path], object] | None) -> list[Told]:
        found = self._look()
        left = self._left()
        steps = [
            *self._notes(found), *self._pictures(found), *self._features(found),
            *self._lines(self.log, lambda e: self._entry(e, found)),
            *self._json("results.json", lambda v: self._results(v, found)),
            *self._json("manifest.json", self._manifest),
            *self._lines(self.path / LEDGER, self._row),
            *self._lines(self.path / SHOWN, lambda row: None if self.names.person_of(row) else row), *self._others(),
        ]  # fmt: skip
        reports = [n for n in _REPORTS if (self.path / n).exists()]
        reports += sorted(p.name for p in self.path.glob("*.parquet") if p.name not in _REPORTS)
        tombstones = self._tombstones()
        unsaid = self.names.seen - {row.get("label") for row in tombstones}
        if steps or unsaid:
            for name in reports:  # before all else: they hold what the files below hold
                if not self.dry_run:
                    _delete(self.path / name)
                self._tell("removed", name + ("/" if name == "report" else ""))
            for what, step in steps:
                if not self.dry_run:
                    step()
                self._tell("removed", what)
            if not self.dry_run:
                self._conclude(rewrite, tombstones)
        for what in left:
            self._tell("stays", what)
        return self.told

    def _conclude(
        self, rewrite: Callable[[Path], object] | None, tombstones: Sequence[Mapping[str, Any]]
    ) -> None:
        if rewrite is not None and (self.path / "results.json").is_file():
            rewrite(self.path)
            self._tell("written again", "verdict and reports")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        what = [told.what for told in self.told]
        done = [{"label": label, "when": when, "what": what} for label in sorted(self.names.seen)]
        with atomic_write(self.path / TOMBSTONES, "w") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in [*tombstones, *done])

    def _tell(self, kind: Literal["removed", "stays", "written again"], what: str) -> None:
        self.told.append(Told(kind, what))
        self.say(self.told[-1])

    # -- what there is -----------------------------------------------------------------------------

    def _look(self) -> _Found:
        found = _Found()
        ledger = list(_rows(self.path / LEDGER))
        rows = [row for row in ledger if "entry" in row]
        alone = bool(rows) and all(self.names.person_of(row) for row in rows)
        samples = {row.get("sample_id") for row in rows if self.names.person_of(row)} - {None}
        measured: list[tuple[str, str, bool]] = []
        protected = set()
        for entry in _rows(self.log):
            measurement = entry["measurement"]
            gallery = measurement["facts"].get("gallery")
            if entry["metric"] == "likeness":
                removed = REMOVED in measurement["missing"].values()
                measured.append((entry["key"], entry["sample_id"], removed))
                protected.add(gallery.get("protected") if isinstance(gallery, dict) else None)
            for finding in measurement["findings"]:
                pictures = {p for p in finding["evidence"] if _is_picture(p)}
                if self.names.person_of(finding["detail"]):
                    found.fingerprints.add(finding["fingerprint"])
                    found.pictures |= pictures
                    found.best_of.add(entry["key"])
                    if sha := self._clip(entry["sample_id"]):
                        found.clips.add(sha)
                        track = finding["detail"].get("track")
                        found.tracks |= {
                            p.relative_to(self.path).as_posix()
                            for p in self.path.glob(f"evidence/{sha[:24]}-track{track}-*.jpg")
                        }
                else:
                    found.others |= pictures
        alone = alone or (bool(found.fingerprints) and protected == {1})
        found.best_of |= {key for key, sample, removed in measured if alone or sample in samples or removed}
        found.counted = bool(found.best_of & self._current())
        return found

    def _current(self) -> set[str]:
        """Keys of the measurements that the stored results follow from."""
        try:
            return set(self.dir.results()["measurement_keys"].get("likeness", ()))
        except (RunDirError, KeyError):
            return set()

    def _clip(self, sample_id: str) -> str:
        """SHA-256 of a sample's clip; empty where there is no record of it."""
        try:
            record = json.loads(self.dir.clip_path(sample_id, ".json").read_text(encoding="utf-8"))
            return str(record.get("sha256") or "")
        except (OSError, ValueError, AttributeError):
            return ""

    def _features(self, found: _Found) -> list[tuple[str, Callable[[], object]]]:
        files = sorted(self.path.glob("features/faces-*/*.npz")) if self.features else []
        gone = [f for f in files if f.stem in found.clips]
        return [(f.relative_to(self.path).as_posix(), partial(_delete, f)) for f in gone]

    def _notes(self, found: _Found) -> list[tuple[str, Callable[[], object]]]:
        problem = decisions.read_chain(self.path).problem
        if problem and any((self.path / decisions.NOTES).glob("*.txt")):
            raise RunDirError(
                f"{self.path}: {problem}; it cannot be told which notes are about whom: restore the file, or delete "
                f"the folder {decisions.NOTES} by hand"
            )
        if problem:
            return []
        naming = {p.stem for p in (self.path / decisions.NOTES).glob("*.txt") if self.names.in_file(p)}
        if not found.fingerprints and not naming:
            return []
        gone = decisions.notes_about(self.path, found.fingerprints, naming)
        what = f"{decisions.NOTES}/: {len(gone)} notes of decisions"
        step = partial(decisions.remove_notes, self.path, found.fingerprints, naming)
        return [(what, step)] if gone else []

    def _pictures(self, found: _Found) -> list[tuple[str, Callable[[], object]]]:
        gone = sorted(p for p in (found.pictures - found.others) | found.tracks if (self.path / p).is_file())
        return [(p, partial(_delete, self.path / p)) for p in gone]

    def _left(self) -> list[str]:
        """Files that name the person in words that are the suite's own."""
        out = []
        for path, name in self._files():
            if name.startswith(_OWN_WORDS) and path.suffix in _TEXTS and self.names.in_file(path):
                out.append(f"{name} (the suite's or the clips' own words name the person)")
        try:
            text = str(self.dir.manifest()["suite"].get("text") or "")
        except (RunDirError, AttributeError):
            text = ""
        if self.names.in_text(self.names.text(text, ids_only=True)):
            out.append("manifest.json (the suite's text names the person in its own words)")
        return out

    def _others(self) -> list[tuple[str, Callable[[], object]]]:
        """Any other file that names the person: JSON is cut down, other text and archives are deleted."""
        steps: list[tuple[str, Callable[[], object]]] = []
        for path, name in self._files():
            if name in (*_HANDLED, *_REPORTS) or name.startswith((*_OWN_WORDS, *_NOT_LOOKED_INTO)):
                continue
            if path.suffix == ".jsonl":
                steps += self._lines(path, self.names.value)
            elif path.suffix == ".json":
                steps += self._json(name, self.names.value)
            elif (path.suffix in _TEXTS and self.names.in_file(path)) or self._in_archive(path):
                steps.append((name, partial(_delete, path)))
        return steps

    def _files(self) -> Iterator[tuple[Path, str]]:
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path, path.relative_to(self.path).as_posix()

    def _in_archive(self, path: Path) -> bool:
        if path.suffix != ".zip":
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                members = [m for m in archive.infolist() if Path(m.filename).suffix in _TEXTS]
                if sum(m.file_size for m in members) > _LARGEST_TEXT:
                    return True  # not looked into: it may name the person, so it goes
                return any(self.names.in_text(archive.read(m).decode("utf-8", "replace")) for m in members)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
            return True

    # -- what becomes of it ------------------------------------------------------------------------

    def _lines(
        self, path: Path, change: Callable[[dict[str, Any]], Any]
    ) -> list[tuple[str, Callable[[], object]]]:
        """A file with a JSON object a line; a torn last line is cut off."""
        name = path.relative_to(self.path).as_posix()
        if not path.is_file():
            return []
        changed, private = sum(change(row) != row for row in _rows(path)), _is_private(path)
        torn = _is_torn(path)
        if not changed and not torn:
            return []

        def step() -> None:
            with atomic_write(path, "w", private=private) as file:
                for row in filter(None, map(change, _rows(path))):
                    text = json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False)
                    file.write(text + "\n")

        return [(f"{name}: {changed} lines{', and a torn one' if torn else ''}", step)]

    def _json(self, name: str, change: Callable[[Any], Any]) -> list[tuple[str, Callable[[], object]]]:
        path = self.path / name
        if not path.is_file():
            return []
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunDirError(
                f"{path}: cannot be read ({error}); restore or delete it, then purge again"
            ) from error
        scrubbed = change(value)
        return (
            [(name, lambda: write_json(path, scrubbed, private=_is_private(path)))]
            if scrubbed != value
            else []
        )

    def _entry(self, entry: dict[str, Any], found: _Found) -> dict[str, Any]:
        """A line of the measurements' log."""
        measurement = dict(entry["measurement"])
        measurement["findings"] = [self._finding(f) for f in measurement["findings"]]
        measurement["series"] = {k: v for k, v in measurement["series"].items() if self.names.text(k) == k}
        for part in ("missing", "unassessed_kinds"):
            measurement[part] = {k: self.names.text(v) for k, v in measurement.get(part, {}).items()}
        measurement["unassessed"] = self.names.text(measurement.get("unassessed", ""))
        measurement["facts"] = self.names.value(measurement["facts"])
        if entry["metric"] == "likeness" and entry["key"] in found.best_of:
            gone = [n for n in _BEST if n in measurement["values"]]
            measurement["values"] = {k: v for k, v in measurement["values"].items() if k not in _BEST}
            measurement["missing"] |= dict.fromkeys(gone, REMOVED)
            measurement["series"] = {k: v for k, v in measurement["series"].items() if k not in _BEST}
        same = {k: entry["measurement"].get(k, {} if k == "unassessed_kinds" else "") for k in measurement}
        return entry if measurement == same else {**entry, "measurement": measurement}

    def _finding(self, finding: dict[str, Any]) -> dict[str, Any]:
        person = self.names.person_of(finding["detail"])
        detail = self.names.value(finding["detail"])
        if person is None:
            return {**finding, "message": self.names.text(finding["message"]), "detail": detail}
        return {
            **finding,
            "score": finding["threshold"],
            "message": MESSAGE.format(label=person),
            "evidence": [p for p in finding["evidence"] if not _is_picture(p)],
            "detail": {k: v for k, v in detail.items() if k in KEPT},
        }

    def _row(self, row: dict[str, Any]) -> Any:
        return self.names.value(row)

    def _results(self, stored: dict[str, Any], found: _Found) -> dict[str, Any]:
        out = dict(stored)
        for part in ("notes", "settled", "unchecked", "gates", "verdict", "comparisons"):
            if part in out:
                out[part] = self.names.value(out[part])
        likeness = stored.get("settled", {}).get("likeness")
        if isinstance(likeness, dict) and found.tracks:
            told = _without_pictures(out["settled"]["likeness"], found.tracks)
            out["settled"] = {**out["settled"], "likeness": told}
        bests = {f"likeness.{n}" for n in _BEST}
        why = "it was computed with a person who has been purged from the gallery; score the run again"
        if compared := out.get("comparisons"):
            lost = {**_UNCOMPARED, "status": NOT_COMPUTED, "reason": why} if found.counted else {}
            out["comparisons"] = {
                **compared,
                "differences": [
                    {
                        **d,
                        "dropped": {self.names.text(k): n for k, n in d["dropped"].items()},
                        **(lost if d["name"] in bests and d["status"] == "computed" else {}),
                    }
                    for d in compared["differences"]
                ],
            }
        results = []
        for result in stored.get("results", []):
            new = {
                **result,
                "reason": self.names.text(result["reason"]),
                "detail": self.names.value(result["detail"]),
            }
            if result["name"] in bests and found.counted and result["status"] == "computed":
                new |= {"value": None, "low": None, "high": None, "status": NOT_COMPUTED, "reason": why}
                new["detail"].pop("unbounded", None)
            results.append(new)
        return {**out, "results": results} if "results" in stored else out

    def _manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """What only tells of the run, and where the gallery is; not what gates and scoring compute with."""
        out = {**manifest}
        for part in ("notes", "metrics", "extractors"):
            if part in out:
                out[part] = self.names.value(out[part])
        out["suite"] = {
            k: self.names.value(v) if k in ("path", "overrides") else v for k, v in manifest["suite"].items()
        }
        if isinstance(text := manifest["suite"].get("text"), str):  # its prompts are the suite's own words
            out["suite"]["text"] = self.names.text(text, ids_only=True)
        out["backends"] = [
            {**b, "options": self.names.value(b.get("options", {}))} for b in manifest.get("backends", [])
        ]
        metrics = manifest["spec"].get("metrics", {})
        told = {n: {**m, "options": self.names.value(m.get("options", {}))} for n, m in metrics.items()}
        out["spec"] = {**manifest["spec"], "metrics": told} if metrics else manifest["spec"]
        return out if "backends" in manifest else {k: v for k, v in out.items() if k != "backends"}

    def _tombstones(self) -> list[dict[str, Any]]:
        return list(_rows(self.path / TOMBSTONES))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """JSON objects of a file, a line each; a torn last line is left out.

    Raises:
        RunDirError: A line is damaged: what it holds of anybody cannot be told.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise RunDirError(
                    f"{path}:{number}: damaged line ({error}); restore or delete the file, then purge again"
                ) from error
            if not isinstance(row, dict):
                raise RunDirError(f"{path}:{number}: expected a JSON object; restore or delete the file")
            yield row


def _without_pictures(settled: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """Settled facts without the pictures ``gone``: of the contact sheet, and of recurring faces."""
    out = dict(settled)
    if isinstance(faces := settled.get("faces"), list):
        out["faces"] = [{**face, "picture": ""} if face.get("picture") in gone else face for face in faces]
    if isinstance(people := settled.get("people"), list):
        out["people"] = [
            {**one, "pictures": [p for p in one.get("pictures", []) if p not in gone]} for one in people
        ]
    return out


def _is_private(path: Path) -> bool:
    return not path.stat().st_mode & 0o077


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        if not end:
            return False
        file.seek(end - 1)
        return file.read(1) != b"\n"


def _is_picture(path: str) -> bool:
    """Whether a finding's evidence is a picture of its own in the run directory, and not a span of the clip."""
    parts = PurePosixPath(path).parts
    return "#t=" not in path and len(parts) > 1 and parts[0] in ("evidence", "previews") and ".." not in parts


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        (path / ".written").unlink(missing_ok=True)  # first: half a report must not pass for a whole one
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
