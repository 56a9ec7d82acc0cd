"""Do unrelated people raise as many ALERTs as `expected_chance_alerts` says, and does nothing break its bound?

    OMP_NUM_THREADS=2 python benchmarks/likeness_chance.py [--campaigns 1000]

Nobody of the gallery is in any clip, so every ALERT is chance. In each campaign `judge` and `Calibration` of the
package decide on tracks of unrelated people against a gallery, and what they decide is counted. Kinds of worlds:

draws   similarity = effect of the entry (some look like many people) + effect of the person (1 in 500 is generic and
        resembles everybody) + noise, so that what is true is known: the expectation given the cohort, and the rate of
        each hit. Only hits that can be an ALERT are drawn (one short of the strict point that has more of the cohort
        ahead than a rate allows cannot), and of large cohorts only the most alike people, which `TopScores` is for.
faces   vectors on a sphere around a common direction, 1 to 3 templates an entry, cosine; everything past the point is
        judged unless only the strict point can matter.
groups  the same with two groups that lie apart; the same group's rate counts as well.

A world is a gallery with its cohort; each has campaigns with tracks of their own. Columns:
N, n, T     entries, people in the cohort, tracks a campaign
by          what can alert: rates with at most K people ahead, or only the strict point
expected    mean of `expected_chance_alerts` a campaign, and of its interval's ends
true        mean of the true expectation given each world's cohort (draws)
observed    ALERTs a campaign, with 95 % of its error by worlds
covered     worlds whose true expectation lies in the interval (draws)
any         campaigns with an ALERT by rate; the campaign bound says at most 0.05
let go      hits whose true rate times T x N is exactly 1 that were CLEAR by their rate; at most 0.025

Fails where observed differs from expected by more than 3.5 standard errors or lies outside the mean interval, where
fewer than 95 % of worlds are covered (tested at 0.1 %), or where a bound does not hold (likewise).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from vgaudit.extractors.face_embedding import cosine_similarity
from vgaudit.likeness.calibration import Calibration, Expected, last_alerting
from vgaudit.likeness.cohort_scores import TopScores
from vgaudit.likeness.tiers import Match, Tier, judge

GENERIC = 0.002  # share of people who resemble everybody
SHIFT = 1.5
ENTRY_SPREAD = 0.5
POINT, STRICT = 3.1, 4.3  # of draws
DENSE = 200_000  # scores up to which all of a world are drawn
SURE = 0.001


@dataclass
class Tally:
    """What was seen, by world."""

    expected: list[Expected] = field(default_factory=list)
    alerts: list[float] = field(default_factory=list)  # a campaign
    any_by_rate: int = 0
    campaigns: int = 0
    true: list[float] = field(default_factory=list)
    at_bound: int = 0
    let_go: int = 0

    def count(self, campaign: list[int], by_rate: list[bool], campaigns: int) -> None:
        self.alerts.append(len(campaign) / campaigns)
        self.any_by_rate += len({c for c, rate in zip(campaign, by_rate, strict=True) if rate})
        self.campaigns += campaigns


def alerting(
    calibration: Calibration,
    hits: Iterator[tuple[int, int, float]],
    comparisons: int,
    points: tuple[float, float],
) -> tuple[list[int], list[bool]]:
    """The campaigns of the hits (campaign, entry, score) that are an ALERT, and whether by rate."""
    campaign, by_rate = [], []
    for c, entry, score in hits:
        rates = calibration.rate(entry, score)
        match = Match(score, *points, 3 * (score >= points[0]), 3 * (score >= points[1]), rates)
        if judge(match, comparisons).tier is Tier.ALERT:
            campaign.append(c)
            by_rate.append(all(rate.alerts(comparisons) for rate in rates.all))
    return campaign, by_rate


def draw_cohort(
    effects: np.ndarray, n: int, depth: int, rng: np.random.Generator
) -> tuple[Calibration, np.ndarray]:
    """A calibration of a cohort of n people, and the most alike scores (entries, depth)."""
    entries = len(effects)
    generic = int(rng.binomial(n, GENERIC))
    if entries * n <= DENSE:
        scores = effects[:, None] + rng.standard_normal((entries, n))
        scores[:, :generic] += SHIFT
        highest = np.partition(scores, n - depth, axis=1)[:, n - depth :]
        return Calibration.from_scores(scores), -np.sort(-highest, axis=1)
    # The lowest of n' exponentials are sums of independent ones (Renyi), so the highest scores need no others.
    rest = n - generic
    spacings = rng.exponential(size=(entries, depth)) / (rest - np.arange(depth))
    ordinary = effects[:, None] - ndtri(-np.expm1(-np.cumsum(spacings, axis=1)))
    if rest <= 400:
        persons = generic + np.argsort(rng.random((entries, rest)), axis=1)[:, :depth]
    else:
        persons = rng.integers(generic, n, (entries, depth))
        while len(twice := np.flatnonzero((np.diff(np.sort(persons, axis=1), axis=1) == 0).any(axis=1))):
            persons[twice] = rng.integers(generic, n, (len(twice), depth))
    scores = np.concatenate(
        [ordinary, effects[:, None] + SHIFT + rng.standard_normal((entries, generic))], axis=1
    )
    persons = np.concatenate([persons, np.broadcast_to(np.arange(generic), (entries, generic))], axis=1)
    order = np.argsort(-scores, axis=1)[:, :depth]
    top = np.take_along_axis(scores, order, axis=1)
    return Calibration.from_scores(TopScores(top, np.take_along_axis(persons, order, axis=1), n)), top


def draws(entries: int, n: int, tracks: int, worlds: int, campaigns: int, rng: np.random.Generator) -> Tally:
    tally = Tally()
    comparisons = entries * tracks
    last = last_alerting(n, comparisons)
    at_bound = n / comparisons  # people ahead of a hit on the review bound, on average
    depth = min(n, max(32, last + 4, int(at_bound + 9 * at_bound**0.5 + 8)))
    for _ in range(worlds):
        effects = ENTRY_SPREAD * rng.standard_normal(entries)
        calibration, top = draw_cohort(effects, n, depth, rng)
        found = calibration.expected_chance_alerts(tracks, range(entries), comparisons, STRICT, POINT)
        # The score from which on a hit is an ALERT, by the rules as written down, to know what is true.
        least = np.maximum(STRICT, top[:, 2])
        if last >= 0:
            least = np.minimum(least, top[:, last])
        least = np.maximum(least, POINT)
        cut = np.maximum(POINT, least - 0.2)  # hits a little below are judged too, and must not alert
        drawn, true = [], 0.0
        total = tracks * campaigns
        of_kind = (total - (some := int(rng.binomial(total, GENERIC))), some)
        numbers = rng.permutation(total)
        for shift, share, count, who in (
            (0.0, 1 - GENERIC, of_kind[0], numbers[: of_kind[0]]),
            (SHIFT, GENERIC, of_kind[1], numbers[of_kind[0] :]),
        ):
            true += tracks * share * float(ndtr(effects + shift - least).sum())
            tail = ndtr(effects + shift - cut)
            entry = np.repeat(np.arange(entries), rng.binomial(count, tail))
            score = effects[entry] + shift - ndtri(rng.random(len(entry)) * tail[entry])
            campaign = who[rng.integers(0, max(1, count), len(entry))] // tracks if len(entry) else entry
            drawn += list(zip(campaign.tolist(), entry.tolist(), score.tolist(), strict=True))
        tally.expected.append(found)
        tally.true.append(true)
        tally.count(*alerting(calibration, iter(drawn), comparisons, (POINT, STRICT)), campaigns)
        # Hits on the bound: their true rate is 1 in `comparisons`. The strict point is set out of their way.
        bound = rate_score(1 / comparisons)
        for entry in rng.integers(0, entries, max(1, 2000 // worlds)).tolist():
            score = bound + effects[entry]
            rates = calibration.rate(entry, score)
            match = Match(score, score, score + 1, 3, 0, rates)
            tally.at_bound += 1
            tally.let_go += judge(match, comparisons).tier is Tier.CLEAR
    return tally


@cache
def rate_score(rate: float) -> float:
    """The score, beside the entry's effect, that the share ``rate`` of all people reaches."""
    low, high = -10.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        share = (1 - GENERIC) * ndtr(-middle) + GENERIC * ndtr(SHIFT - middle)
        low, high = (middle, high) if share > rate else (low, middle)
    return high


def people(n: int, groups: np.ndarray | None, rng: np.random.Generator, d: int = 24) -> np.ndarray:
    """Directions (n, d) around a common one, so that some are closer to everybody; groups lie apart."""
    drawn = rng.standard_normal((n, d), np.float32)
    drawn[:, 0] += 1.5
    if groups is not None:
        drawn[:, 1] += np.where(groups == 0, -1.5, 1.5)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def faces(
    entries: int,
    n: int,
    tracks: int,
    worlds: int,
    campaigns: int,
    rng: np.random.Generator,
    grouped: bool = False,
) -> Tally:
    def group(count: int) -> np.ndarray | None:
        return rng.integers(0, 2, count) if grouped else None

    some, others = people(4000, group(4000), rng), people(4000, group(4000), rng)
    point, strict = np.quantile(some @ others.T, [1 - 1e-3, 1 - 2e-5]).tolist()
    tally = Tally()
    comparisons = entries * tracks
    cut = strict if last_alerting(n, comparisons) < 0 else point
    for _ in range(worlds):
        owners = np.repeat(np.arange(entries, dtype=np.int32), rng.integers(1, 4, entries))
        of_cohort, of_entries = group(n), group(entries)
        templates = people(entries, of_entries, rng)[owners] + 0.08 * rng.standard_normal((len(owners), 24))
        templates = (templates / np.linalg.norm(templates, axis=1, keepdims=True)).astype(np.float32)
        calibration = Calibration(
            people(n, of_cohort, rng),
            [""] * n if of_cohort is None else [f"group {g}" for g in of_cohort],
            [""] * entries if of_entries is None else [f"group {g}" for g in of_entries],
            templates, owners, cosine_similarity,
        )  # fmt: skip
        tally.expected.append(
            calibration.expected_chance_alerts(tracks, range(entries), comparisons, strict, point)
        )
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        hits: list[tuple[int, int, float]] = []
        step = max(1, 20_000_000 // len(templates))
        for start in range(0, tracks * campaigns, step):
            count = min(step, tracks * campaigns - start)
            scores = templates @ people(count, group(count), rng).T
            row, track = np.nonzero(scores >= cut - 1e-6)
            pair = owners[row].astype(np.int64) * count + track
            for one in np.unique(pair):
                entry, at = divmod(int(one), count)
                score = float(scores[starts[entry] : np.r_[starts, len(owners)][entry + 1], at].max())
                hits.append(((start + at) // tracks, entry, score))
        tally.count(*alerting(calibration, iter(hits), comparisons, (point, strict)), campaigns)
    return tally


def report(name: str, size: tuple[int, int, int], worlds: int, tally: Tally) -> list[str]:
    """Print a row of the table; what is wrong with it."""
    entries, n, tracks = size
    value, low, high = (
        float(np.mean([getattr(e, k) for e in tally.expected])) for k in ("value", "low", "high")
    )
    observed = float(np.mean(tally.alerts))
    differences = np.array(tally.alerts) - [e.value for e in tally.expected]
    # By worlds; but never less than Poisson scatter of what was seen or expected.
    poisson = (max(value, observed) / tally.campaigns) ** 0.5
    error = max(float(differences.std(ddof=1)) / worlds**0.5, poisson) if worlds > 1 else poisson
    last = last_alerting(n, entries * tracks)
    inside = [e.low <= true <= e.high for e, true in zip(tally.expected, tally.true, strict=False)]
    true, covered = (f"{np.mean(tally.true):.4g}", f"{np.mean(inside):.3f}") if inside else ("-", "-")
    share = tally.any_by_rate / tally.campaigns
    let_go = f"{tally.let_go / tally.at_bound:.4f}" if tally.at_bound else "-"
    by = "strict" if last < 0 else f"K = {last}"
    each = f"{worlds} x {tally.campaigns // worlds}"
    print(
        f"{name:<7}{entries:>8,}{n:>10,}{tracks:>5}{by:>8}{each:>12}{value:>10.4g} "
        f"{f'[{low:.3g}, {high:.3g}]':<19}{true:>9}{observed:>9.4g} +- {1.96 * error:<7.2g}{covered:>7}"
        f"{share if last >= 0 else 0:>8.4f}{let_go:>8}",
        flush=True,
    )
    wrong = []
    if abs(observed - value) > 3.5 * error or not low - 3 * poisson <= observed <= high + 3 * poisson:
        wrong.append("observed and expected differ")
    if inside and binom.cdf(sum(inside), worlds, 0.95) < SURE:
        wrong.append("the interval covers too rarely")
    if binom.sf(tally.any_by_rate - 1, tally.campaigns, 0.05) < SURE:
        wrong.append("the campaign bound does not hold")
    if tally.at_bound and binom.sf(tally.let_go - 1, tally.at_bound, 0.025) < SURE:
        wrong.append("the review bound does not hold")
    return [f"{name} {size}: {what}" for what in wrong]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--campaigns", type=int, default=1000)
    options = parser.parse_args()
    begin = time.perf_counter()
    print(
        f"{'':<7}{'N':>8}{'n':>10}{'T':>5}{'by':>8}{'worlds x c.':>12}{'expected':>10} {'[interval]':<19}{'true':>9}"
        f"{'observed':>9}{'':>11}{'covered':>7}{'any':>8}{'let go':>8}"
    )
    failed = []
    plan = (
        # kind, entries, cohort, tracks, most worlds
        ("draws", 10, 100, 1, 1000), ("draws", 10, 1000, 1, 1000), ("draws", 10, 10_000, 1, 1000),
        ("draws", 10, 10_000, 10, 1000), ("draws", 100, 100, 20, 1000), ("draws", 100, 1000, 20, 500),
        ("draws", 100, 10_000, 1, 200), ("draws", 100, 1_000_000, 100, 50), ("draws", 1000, 1000, 100, 100),
        ("draws", 1000, 10_000, 100, 100), ("draws", 10_000, 10_000, 100, 50), ("draws", 100_000, 100, 10, 10),
        ("draws", 100_000, 1000, 10, 10), ("draws", 100_000, 10_000, 10, 10),
        ("faces", 10, 1000, 1, 1000), ("faces", 100, 1000, 10, 500), ("faces", 100, 10_000, 1, 100),
        ("faces", 1000, 1000, 10, 50), ("faces", 100_000, 1000, 1, 4), ("groups", 10, 3000, 1, 500),
    )  # fmt: skip
    for number, (kind, entries, n, tracks, most) in enumerate(plan):
        rng = np.random.default_rng([7, number])
        worlds = min(most, options.campaigns)
        simulate = draws if kind == "draws" else faces
        more = {"grouped": True} if kind == "groups" else {}
        tally = simulate(entries, n, tracks, worlds, options.campaigns // worlds, rng, **more)
        failed += report(kind, (entries, n, tracks), worlds, tally)
    print(f"{time.perf_counter() - begin:.0f} s")
    print("\n".join(failed) if failed else "as many chance alerts as expected, and every bound holds")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
