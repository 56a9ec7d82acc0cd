"""The work of ``vgaudit gallery purge``: look at everything first, then remove, and tell each thing as it happens."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgaudit.errors import UsageError, VgauditError

_LABEL = re.compile(r"purged-[0-9a-f]{8}")


@dataclass(frozen=True)
class Places:
    """Where to look for the people.

    Attributes:
        galleries: Gallery files and folders.
        photos: Files of photographs.
        cohorts: Cohort files.
        runs: Run directories.
        selftests: Output folders of ``vgaudit selftest``.
    """

    galleries: Sequence[Path] = ()
    photos: Sequence[Path] = ()
    cohorts: Sequence[Path] = ()
    runs: Sequence[Path] = ()
    selftests: Sequence[Path] = ()


class Purge:
    """One purge: :meth:`check` touches nothing, :meth:`carry_out` removes."""

    def __init__(
        self, entries: Sequence[str], places: Places, *, reason: str, labels: Sequence[str], features: bool
    ) -> None:
        """Find out who is meant and what forbids it; nothing is touched.

        Raises:
            UsageError: Nobody of that name, a reason that names somebody, or labels that are none.
            GalleryError: A file that is none, or a legal hold.
        """
        from vgaudit.likeness import removal
        from vgaudit.likeness.purge_words import Names

        self.places, self.features = places, features
        self.entries = list(dict.fromkeys(unicodedata.normalize("NFC", name) for name in entries))
        for option, files in (("--photos", places.photos), ("--cohort", places.cohorts)):
            for path in files:
                if not path.exists():
                    raise UsageError(f"purge: {option} {path}: no such file")
        people: dict[str, Any] = {}
        aliases: dict[str, list[str]] = {name: [] for name in self.entries}
        for path in places.galleries:
            found = removal.purgeable(path)
            removal.refuse_held([found[name] for name in self.entries if name in found], path)
            people |= found
            for name in self.entries:
                aliases[name] += found[name].aliases if name in found else ()
        self._expect_known(list(people))
        self.aliases: Mapping[str, Sequence[str]] = aliases
        stand_ins = dict.fromkeys(self.entries, "somebody")
        if Names(stand_ins, aliases, as_words=True).in_text(reason):
            raise UsageError("--reason names the person; expected a reason that does not, for it stays")
        if labels and (len(labels) != len(self.entries) or not all(map(_LABEL.fullmatch, labels))):
            raise UsageError(
                f"--label: expected the label of an earlier purge for each of {len(self.entries)} people, in their "
                f"order, such as purged-1a2b3c4d; found {', '.join(labels)}"
            )
        given = dict(zip(self.entries, labels, strict=True)) if labels else {}
        self.tombstones = removal.new_tombstones(self.entries, reason, dt.date.today(), given)
        self.labels = {name: self.tombstones[name].label for name in self.entries}
        self.names = Names(self.labels, aliases)

    def check(self, say: Callable[[str], object]) -> int:
        """Look at everything as the purge would; returns how many things it would do.

        Raises:
            VgauditError: Something that would stop the purge half-way.
        """
        count = 0
        for _, look in self._steps(dry_run=True, say=say):
            count += look()
        return count

    def check_writable(self) -> None:
        """Raises :class:`UsageError` where a purge would be stopped by a folder that cannot be written, or a lock."""
        from vgaudit.rundir import RunDir

        p = self.places
        folders = [
            path if path.is_dir() else path.parent
            for path in (*p.galleries, *p.photos, *p.cohorts, *p.runs, *p.selftests)
        ]
        for folder in folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UsageError(f"{folder}: expected a folder that can be written; nothing was removed")
        for run in p.runs:
            with RunDir(run).lock():
                pass

    def folders(self) -> list[str]:
        """What would be deleted of folders of pictures."""
        from vgaudit.likeness import removal

        folders = [path for path in self.places.galleries if path.is_dir()]
        return [line for f in folders for line in removal.purge_gallery(f, self.tombstones, dry_run=True)]

    def carry_out(self, say: Callable[[str], object]) -> int:
        """Remove; returns how many things were done. What stops it is told with what was done and what was not."""
        steps = list(self._steps(dry_run=False, say=say))
        count = 0
        for position, (_, step) in enumerate(steps):
            try:
                count += step()
            except (VgauditError, OSError, KeyboardInterrupt) as error:
                done = [str(path) for path, _ in steps[:position]]
                again = " ".join(f"--label {label}" for label in self.labels.values())
                told = (
                    f"the purge stopped at {steps[position][0]}: {error or type(error).__name__}. Done: "
                    f"{', '.join(done) or 'nothing'}. Not done: "
                    f"{', '.join(str(path) for path, _ in steps[position:])}. The same command with {again} goes on"
                )
                if isinstance(error, KeyboardInterrupt):
                    print(told, file=sys.stderr)
                    raise
                raise UsageError(told) from error
        return count

    def _steps(
        self, *, dry_run: bool, say: Callable[[str], object]
    ) -> Iterator[tuple[Path, Callable[[], int]]]:
        """Each place with what is to be done there; the gallery last, so that the same command can go on."""
        from vgaudit.likeness import removal
        from vgaudit.pipeline import purging

        def run(path: Path) -> int:
            told = purging.purge_run_and_report(
                path, self.labels, dry_run=dry_run, names=self.aliases, features=self.features,
                say=lambda told: say(told.line(path, dry_run=dry_run)),
            )  # fmt: skip
            return len(told)

        def lines(found: list[str]) -> int:
            for line in found:
                say(f"{'would remove' if dry_run else 'removed'} {line}")
            return len(found)

        p = self.places
        for path in p.runs:
            yield path, lambda path=path: run(path)  # type: ignore[misc]
        removers: list[tuple[Sequence[Path], Callable[[Path], list[str]]]] = [
            (p.selftests, lambda path: removal.purge_selftest(path, self.names, dry_run=dry_run)),
            (p.cohorts, lambda path: removal.purge_cohort(path, self.entries, dry_run=dry_run)),
            (p.photos, lambda path: removal.purge_photos(path, self.entries, dry_run=dry_run)),
            (p.galleries, lambda path: removal.purge_gallery(path, self.tombstones, dry_run=dry_run)),
        ]
        for paths, remove in removers:
            for path in paths:
                yield path, lambda path=path, remove=remove: lines(remove(path))  # type: ignore[misc]

    def _expect_known(self, known: list[str]) -> None:
        from vgaudit.likeness.cohort import Cohort
        from vgaudit.likeness.photos import Photos
        from vgaudit.registry import nearest

        everywhere = [
            *known,
            *(n for p in self.places.photos for n in Photos.open(p).people),
            *(n for p in self.places.cohorts for n in Cohort.read(p).ids),
        ]
        for name in self.entries:
            if name not in everywhere:
                hint = nearest(name, everywhere)
                if not self.places.runs and not self.places.selftests:
                    raise UsageError(f"purge: nobody is called {name!r} in what was named{hint}")
                print(
                    f"note: nobody is called {name!r} in the files named{hint}; only the runs are searched",
                    file=sys.stderr,
                )
