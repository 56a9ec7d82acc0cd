"""Exact search in a million templates: time, memory, and whether it equals a comparison of all pairs in float64.

    OMP_NUM_THREADS=2 python benchmarks/likeness_search.py [--templates 1000000] [--tracks 1000] [--check 1000]

Two galleries: 512-d of unit norm compared by cosine (ArcFace-like, point 0.408), and 128-d with norms of 1.38 to 1.45
compared by L2 (dlib, point 0.4). One to six templates an entry. Some tracks are noisy copies of templates, some lie
within rounding of the point, and some templates stand under two entries. ``--check`` tracks are compared with all
templates in float64, chunk by chunk. Fails where a search takes more than 60 s or more than 1 GiB beside the gallery,
or where best entry, runner-up, or the list of those past the point differs, or a score by more than 1e-6.
Seconds depend on what else the machine does; threads are BLAS's: OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from vgaudit.likeness.search import Found, search

MOST_SECONDS = 60.0
MOST_BESIDE = 2**30
CHUNK = 20_000


def peak_bytes() -> int:
    """Most resident memory so far, of the kernel's account (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    """Let the peak start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def gallery(n: int, d: int, measure: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Templates (n, d) and owners: people are directions, pictures lie around them."""
    sizes = rng.integers(1, 7, n)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1]
    sizes[-1] -= sizes.sum() - n
    owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    templates = np.empty((n, d), np.float32)
    person = np.zeros(d, np.float32)
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        own = owners[rows]
        people = rng.standard_normal((own[-1] - own[0] + 1, d), np.float32)
        if start and owners[start - 1] == own[0]:
            people[0] = person
        person = people[-1]
        templates[rows] = people[own - own[0]] + 0.8 * rng.standard_normal((len(own), d), np.float32)
        templates[rows] /= np.linalg.norm(templates[rows], axis=1, keepdims=True)
        if measure == "l2":
            templates[rows] *= rng.uniform(1.38, 1.45, (len(own), 1)).astype(np.float32)
    for twin in rng.integers(0, n, 50):
        templates[rng.integers(0, n)] = templates[twin]
    return templates, owners


def draw_tracks(
    templates: np.ndarray, t: int, measure: str, point: float, rng: np.random.Generator
) -> np.ndarray:
    """A third are noisy copies of templates, 50 are copies, 100 lie within 1e-7 of the point to some template."""
    d = templates.shape[1]
    scale = 1.0 if measure == "cosine" else 1.41
    tracks = rng.standard_normal((t, d))
    tracks /= np.linalg.norm(tracks, axis=1, keepdims=True)
    planted = templates[rng.integers(0, len(templates), t)].astype(np.float64)
    for i in range(0, t // 3):
        tracks[i] = planted[i] / np.linalg.norm(planted[i]) + rng.uniform(0.3, 2.0) * tracks[i]
    tracks *= scale / np.linalg.norm(tracks, axis=1, keepdims=True)
    tracks[t // 3 : t // 3 + 50] = planted[t // 3 : t // 3 + 50]
    for i in range(t // 2, t // 2 + min(100, t // 2)):
        wanted = point + rng.uniform(-1e-7, 1e-7)
        y = planted[i]
        if measure == "cosine":
            side = tracks[i] - (tracks[i] @ y) * y / (y @ y)
            tracks[i] = wanted * y / (y @ y) + np.sqrt(1 - wanted**2 / (y @ y)) * side / np.linalg.norm(side)
        else:
            tracks[i] = y + (1 - wanted) * tracks[i] / np.linalg.norm(tracks[i])
    return tracks.astype(np.float32)


def truth(tracks: np.ndarray, templates: np.ndarray, owners: np.ndarray, measure: str, point: float) -> tuple:
    """Best and second entry and score of each track, all pairs past the point, and each entry's best track."""
    x = tracks.astype(np.float64)
    ends = np.r_[np.flatnonzero(owners[1:] != owners[:-1]) + 1, len(owners)]
    best, score = np.full((len(x), 2), -1), np.full((len(x), 2), -np.inf)
    of_entries = []
    past, first, low = [], 0, 0
    while low < len(owners):
        last = max(first + 1, int(np.searchsorted(ends, low + CHUNK, "right")))
        rows = slice(low, int(ends[last - 1]))
        y = templates[rows].astype(np.float64)
        s = y @ x.T
        if measure == "l2":
            s = 1 - np.sqrt(np.maximum((y**2).sum(1)[:, None] + (x**2).sum(1) - 2 * s, 0))
        s = np.maximum.reduceat(s, np.r_[low, ends[first : last - 1]] - low, axis=0)
        past += [(t, e + first, v) for e, t, v in zip(*np.nonzero(s >= point), s[s >= point], strict=True)]
        of_entries.append(np.stack([s.argmax(1), s.max(1)]))
        for _ in range(2):
            top = s.argmax(0)
            value = s[top, np.arange(len(x))]
            s[top, np.arange(len(x))] = -np.inf
            better, second = value > score[:, 0] + 1e-12, value > score[:, 1] + 1e-12
            best[:, 1] = np.where(better, best[:, 0], np.where(second, top + first, best[:, 1]))
            score[:, 1] = np.where(better, score[:, 0], np.where(second, value, score[:, 1]))
            best[:, 0], score[:, 0] = (
                np.where(better, top + first, best[:, 0]),
                np.where(better, value, score[:, 0]),
            )
        first, low = last, rows.stop
    return best, score, sorted(past), np.concatenate(of_entries, axis=1)


def compare(
    found: Found, best: np.ndarray, score: np.ndarray, past: list, of_entries: np.ndarray
) -> list[str]:
    """What of the first tracks differs, and of the entries if all tracks were compared."""
    n = len(best)
    wrong = []
    for name, ours, theirs, ours_score, theirs_score in (
        ("best", found.best, best[:, 0], found.best_score, score[:, 0]),
        ("second", found.second, best[:, 1], found.second_score, score[:, 1]),
    ):
        off = np.abs(ours_score[:n] - theirs_score).max()
        if (differ := np.count_nonzero(ours[:n] != theirs)) or off > 1e-6:
            wrong.append(f"{name}: {differ} entries differ, scores by up to {off:.1e}")
        print(f"    {name}: {n} tracks, largest difference of scores {off:.1e}")
    ours_past = [p for p in found.past if p.track < n]
    if [(p.track, p.entry) for p in ours_past] != [(t, e) for t, e, _ in past]:
        wrong.append(f"past: {len(ours_past)} here, {len(past)} in float64, or others")
    print(f"    past the point: {len(ours_past)} here, {len(past)} in float64")
    if n == len(found.best):
        differ, off = (
            (found.entry_track != of_entries[0]).sum(),
            np.abs(found.entry_best - of_entries[1]).max(),
        )
        print(
            f"    best track: {len(found.entry_best):,} entries, {differ} differ, scores by up to {off:.1e}"
        )
        if differ or off > 1e-6:
            wrong.append(f"best track of {differ} entries differs, scores by up to {off:.1e}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--templates", type=int, default=1_000_000)
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--check", type=int, default=1000, help="tracks that are compared in float64 as well")
    options = parser.parse_args()
    failed = []
    for d, measure, point in ((512, "cosine", 0.408), (128, "l2", 0.4)):
        rng = np.random.default_rng(d)
        templates, owners = gallery(options.templates, d, measure, rng)
        tracks = draw_tracks(templates, options.tracks, measure, point, rng)
        forget_peak()
        before = resident_bytes()
        begin = time.perf_counter()
        found = search(tracks, templates, owners, measure, point)
        took = time.perf_counter() - begin
        beside = peak_bytes() - before
        print(
            f"{len(templates):,} templates of {d} ({templates.nbytes / 2**30:.2f} GiB) in "
            f"{owners[-1] + 1:,} entries, {measure}, {len(tracks):,} tracks: {took:.1f} s, "
            f"{beside / 2**20:.0f} MiB beside the gallery (peak {peak_bytes() / 2**30:.2f} GiB in all), "
            f"{len(found.past)} pairs past {point}",
            flush=True,
        )
        some = tracks[: options.check]
        wrong = compare(found, *truth(some, templates, owners, measure, point))
        if took > MOST_SECONDS:
            wrong.append(f"{took:.1f} s, more than {MOST_SECONDS:g}")
        if beside > MOST_BESIDE:
            wrong.append(f"{beside / 2**20:.0f} MiB beside the gallery, more than 1024")
        failed += [f"{measure}: {what}" for what in wrong]
        del templates
    print("\n".join(failed) if failed else "as fast, as small and as exact as it must be")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
