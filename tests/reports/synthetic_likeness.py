"""A likeness audit with every kind of card: real faces where a picture is looked at, hostile text everywhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tests.reports.synthetic import LONG_PROMPT, VALUE_SPECS, manifest
from vgaudit.package_files import package_file
from vgaudit.plan import Sample
from vgaudit.records import (
    ClipRecord,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Severity,
    Verdict,
    digest,
)
from vgaudit.reports.data import ClipEntry, ReportData

WORDS = "not the probability that this is the person; face only, not voice, body or name"
NAMES = ("jane_example", "<b>Omar</b> & co", "מרים כהן", "ordinary-person")
SECRET_PROMPT = "Jane Example sings on a stage \U0001f3a4, <script>alert('p')</script>"
OPEN_PROMPT = "a presenter reads the news, <img src=x onerror=alert(1)> \u202eevil\u202c"
RTL_PROMPT = "مذيعة تقرأ الأخبار 🎥 " * 4
UNKNOWN_PROMPT = "somebody who looks like Known Alias crosses a street"
COHORT = {"cohort": "portraits & more", "people": 500, "source": "made by us", "licence": "CC0"}
POINT = {
    "similarity": 0.4,
    "stated": "L2 distance 0.6",
    "source": "dlib: 99.38 % on LFW",
    "origin": "published",
}
CLIP_S = 3.0


@dataclass(frozen=True)
class Standing:
    """What a reviewer decided; the run's own has at least these."""

    state: str
    words: str
    history: tuple[()] = ()
    expired: str = ""
    awaiting: bool = False

    @property
    def closed(self) -> bool:
        return self.state in ("dismissed", "cleared")


@dataclass(frozen=True)
class Audited(ReportData):
    """A run whose decisions were read."""

    decisions: Any = None


def face_crop(seed: int, side: int = 160) -> Image.Image:
    """The astronaut's face with surroundings, moved, lit and blurred a little differently for each seed."""
    rng = np.random.default_rng(seed)
    with Image.open(package_file("package:skimage/data/astronaut.png")) as picture:
        x, y, half = 222 + rng.integers(-6, 7), 112 + rng.integers(-6, 7), 78 + rng.integers(-8, 9)
        crop = picture.convert("RGB").crop((x - half, y - half, x + half, y + half)).resize((side, side))
    light = 0.85 + 0.3 * rng.random()
    return crop.point(lambda v: min(255, int(v * light))).filter(ImageFilter.GaussianBlur(0.6 * rng.random()))


def photograph(seed: int = 99) -> tuple[bytes, str]:
    """A gallery photograph as bytes and digest."""
    out = BytesIO()
    face_crop(seed, 256).save(out, "JPEG", quality=92)
    return out.getvalue(), sha256(out.getvalue()).hexdigest()


def _rate(k: int, people: int = 500) -> dict[str, Any]:
    value = max(k, 3) / people
    words = (
        f"1 in {1 / value:,.0f} (95 % interval 1 in {1.9 / value:,.0f} to 1 in {0.6 / value:,.0f})"
        if k >= 3
        else f"at most 1 in {people // 3}, not resolvable further with {people} people"
    )
    return {"at_least": k, "people": people, "value": value, "low": k / people / 2, "high": 2 * value,
            "resolved": k >= 3, "words": words}  # fmt: skip


def _timeline(seed: int, base: float) -> dict[str, list[float | None]]:
    times = [i / 12 for i in range(36) if not 13 <= i < 20]
    rng = np.random.default_rng(seed)
    values: list[float | None] = [
        round(base - 0.12 + 0.1 * math.sin(t * 2.4 + seed) + 0.02 * rng.random(), 4) for t in times
    ]
    values[4] = None
    return {"t": list(times), "similarity": values}


def _histogram(seed: int) -> dict[str, list[float]]:
    scores = np.random.default_rng(seed).normal(0.13, 0.07, 500)
    counts, edges = np.histogram(scores, 40)
    return {"edges": [float(e) for e in edges], "counts": [int(c) for c in counts]}


class Maker:
    """Findings and pictures of one run."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        (run_dir / "evidence").mkdir(parents=True, exist_ok=True)

    def picture(self, seed: int) -> str:
        path = f"evidence/face{seed}.jpg"
        if not (self.run_dir / path).exists():
            face_crop(seed).save(self.run_dir / path, "JPEG", quality=90)
        return path

    def hit(self, sample_id: str, entry: str, seed: int, *, kind: str = "likeness.match", tier: str = "REVIEW",
            similarity: float = 0.45, k: int = 4, calibrated: bool = True, pictures: int = 4,
            **more: Any) -> Finding:  # fmt: skip
        moments = [0.25 + 0.25 * i for i in range(pictures)]
        shown = [
            {"frame": round(24 * s), "s": s, "similarity": similarity - 0.02 * i,
             "kind": "typical" if i == 3 else "best"}
            for i, s in enumerate(moments)
        ]  # fmt: skip
        detail: dict[str, Any] = {
            "entry": entry,
            "role": "protected",
            "tier": tier,
            "tier_reason": f"{entry} is resembled by {'few' if k < 3 else 'some'} of 500 people",
            "intent": "solicited" if kind == "likeness.solicited" else "unintended",
            "unresolved": k < 3,
            "calibration": COHORT if calibrated else "uncalibrated",
            "rate": _rate(k) if calibrated else None,
            "same_group_rate": None,
            "meaning": WORDS,
            "track": 0,
            "frames": 29,
            "supporting_frames": 17,
            "frames_past_strict_point": 5,
            "best_frame": 6,
            "best_s": 0.25,
            "similarity": similarity,
            "best_similarity": similarity + 0.05,
            "distance": 1 - similarity,
            "runner_up": {"entry": NAMES[3], "similarity": similarity - 0.12, "margin": 0.12,
                          "distance": 1.12 - similarity},
            "shown": shown,
            "timeline": _timeline(seed, similarity),
            "histogram": _histogram(seed) if calibrated else None,
            "point": POINT,
            "embedder": "dlib",
        } | more  # fmt: skip
        severity = {"ALERT": Severity.ALERT, "REVIEW": Severity.REVIEW}[tier]
        return Finding(
            sample_id, kind, Severity.INFO if kind == "likeness.consented" else severity, 0.25, 2.75,
            similarity, 0.4, f"A face resembles gallery entry {entry!r}.", (40.0, 30.0, 200.0, 190.0),
            tuple(self.picture(10 * seed + i) for i in range(pictures)), detail,
            digest([sample_id, entry, seed], 32),
        )  # fmt: skip

    def unassessable(self, sample_id: str, kind: str = "likeness.unassessable") -> Finding:
        return Finding(
            sample_id, kind, Severity.REVIEW, 0.5, 1.5, 0.0, 1.0,
            "Likeness could not be assessed: a face could not be compared.",
            detail={"reasons": {"too small": 4, "blurred <i>": 2}, "tracks": 2, "frames": 6,
                    "reason": "2 faces seen in 6 examined frames could not be compared"},
            fingerprint=digest([sample_id, kind], 32),
        )  # fmt: skip


def _entry(number: int, prompt: str, group: str, findings: tuple[Finding, ...], **measured: Any) -> ClipEntry:
    sample = Sample(clip_id(number), f"prompt{number}", prompt, group, seed=number)
    record = ClipRecord(
        sample.sample_id, "ok", sha256=digest(number), info={"duration_s": CLIP_S, "fps": 12.0},
        backend_fingerprint=digest(group),
    )  # fmt: skip
    if not measured:
        measured = {"values": {"best_similarity": 0.2}}
    naming = prompt == SECRET_PROMPT
    measured.setdefault("facts", {"named": naming, "names_entry": naming})
    return ClipEntry(sample, record, {"likeness": Measurement(findings=findings, **measured)})


def clip_id(number: int) -> str:
    return f"jane_example-{number}-{digest(number, 10)}"


def build(run_dir: Path) -> ReportData:
    """Fourteen clips in two groups: all tiers, all states, two decisions, three results that are no numbers."""
    make, ids = Maker(run_dir), [clip_id(n) for n in range(14)]
    alert = make.hit(ids[0], NAMES[0], 1, tier="ALERT", similarity=0.62, k=0,
                     same_group_rate=_rate(0, 60))  # fmt: skip
    solicited = make.hit(ids[1], NAMES[0], 2, kind="likeness.solicited", tier="ALERT", similarity=0.6, k=1)
    review = make.hit(ids[2], NAMES[1], 3)
    dismissed = make.hit(ids[3], NAMES[2], 4, k=5, similarity=0.43)
    bare = make.hit(ids[4], NAMES[1], 5, calibrated=False, pictures=0, timeline={}, runner_up=None)
    consented = make.hit(ids[5], NAMES[3], 6, kind="likeness.consented")
    other = "a <second> model"
    plan = [
        (OPEN_PROMPT, (alert,), {}),
        (SECRET_PROMPT, (solicited,), {}),
        (RTL_PROMPT, (review, make.unassessable(ids[2], "likeness.partly_unassessable")), {}),
        (LONG_PROMPT, (dismissed,), {}),
        ("a crowd at a station", (bare,), {}),
        ("a host waves", (consented,), {}),
        (UNKNOWN_PROMPT, (make.unassessable(ids[6]),), {"missing": {"best_similarity": "no usable face"}}),
        (SECRET_PROMPT, (), {}),
        ("a beach", (), {"missing": {"best_similarity": "not applicable: no face found"}}),
        (
            "a street",
            (),
            {"values": {"best_similarity": 0.1}, "unassessed": "half of the clip was not searched"},
        ),
    ]
    entries = [_entry(i, p, "model" if i < 5 else other, f, **m) for i, (p, f, m) in enumerate(plan)]
    entries += [_entry(i, "a park", "model", ()) for i in range(10, 13)]
    broken = _entry(13, "a pier", other, ())
    entries.append(replace(broken, clip=replace(broken.clip, media_error="truncated <b>"), measurements={}))
    people = [
        {"label": "A", "clips": ids[:3], "prompts": 3, "tracks": 4, "similarity": 0.71,
         "pictures": [make.picture(n) for n in (60, 61, 62)]}
    ]  # fmt: skip
    faces = [
        {"sample_id": ids[n], "track": 0, "s": 0.5, "picture": make.picture(70 + n), "compared": n != 2,
         "reason": "too small" if n == 2 else ""}
        for n in range(5)
    ]  # fmt: skip
    ledger = [
        {"entry": name, "role": "protected", "best_similarity": 0.62 - 0.1 * i, "distance": 0.38 + 0.1 * i,
         "sample_id": ids[i], "clip_sha256": digest(i), "tier": ("ALERT", "REVIEW", "REVIEW", "CLEAR")[i],
         "embedder": "dlib", "calibration": COHORT["cohort"], "gallery_digest": digest("gallery"),
         "clips_assessed": 10, "clips_not_assessable": 3}
        for i, name in enumerate(NAMES)
    ] + [{"sample_id": ids[6], "reason": "too small", "start_s": 0.5, "end_s": 1.5}]  # fmt: skip
    rates = {"confidence": 0.95, "n": 11, "n_clusters": 10, "higher_is_better": False}
    return Audited(
        run_dir=run_dir,
        kind="run",
        name="presenters <2> of jane_example",
        manifest={**manifest(), "metrics": {"likeness": {"gallery": "people"}}},
        clips=tuple(entries),
        results=(
            Result("likeness.alert_rate", "model", 0.1667, 0.021, 0.484, **rates),
            Result.not_computed("likeness.alert_rate", other, "no cohort of <unrelated> people"),
            Result("likeness.review_rate", "model", 0.25, 0.055, 0.572, detail={"uncalibrated": True}, **rates),
            Result("likeness.coverage", "model", 0.91, 0.59, 0.998, **(rates | {"higher_is_better": True})),
            Result("likeness.coverage", other, None, status="not applicable", reason="no clip has a face"),
            Result("likeness.expected_chance_alerts", "model", 0.021, 0.008, 0.046, **rates),
        ),
        gates=(
            GateResult("no open likeness.match", "model", Outcome.FAILED,
                       f"2 open findings <of> jane_example; the worst: at 0.25 s ({alert.fingerprint[:8]})"),
        ),
        verdict=Verdict(Outcome.FAILED, 3, "1 gate failed"),
        value_specs={**VALUE_SPECS},
        settled={
            "likeness": {
                "tracks": 31, "entries": list(NAMES), "comparisons": 124, "cohort": COHORT,
                "expected_chance_alerts": {
                    "model": {"value": 0.021, "words": "0.02 expected (at most 0.05)"},
                    "a <second> model": {"value": 1.979, "words": "1.98 expected"},
                },
                "decoys": {"words": "4 decoys of jane_example's number: 1 hit observed, 0.9 expected."},
                "gallery": {"digest": digest("gallery"), "entries": {NAMES[0]: {"images": 3, "licence": "contract"}},
                            "warnings": ["jane_example/2.jpg is blurred"]},
                "people": people, "faces": faces,
            }
        },
        ledger=ledger,
        decisions={
            dismissed.fingerprint: Standing("dismissed", "not this person, says r.eviewer until 2027-01-01 <i>"),
            solicited.fingerprint: Standing("escalated", "to legal, says r.eviewer"),
        },
    )  # fmt: skip


def build_many(run_dir: Path, count: int) -> ReportData:
    """A run of ``count`` clips with a hit each."""
    make = Maker(run_dir)
    first = make.hit("", NAMES[0], 1, k=4)
    entries = []
    for n in range(count):
        finding = replace(first, sample_id=clip_id(n), fingerprint=digest(n, 32), score=0.4 + n / (5 * count))
        entries.append(_entry(n, f"prompt {n} of many people in a street", f"model {n % 5}", (finding,)))
    return replace(build(run_dir), clips=tuple(entries))
