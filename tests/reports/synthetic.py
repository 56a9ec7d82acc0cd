"""Builds a small but complete ReportData on disk: five groups, twenty samples, real media, hostile text."""

from __future__ import annotations

import math
from pathlib import Path

import av
import cv2
import numpy as np

from vgaudit.plan import Sample, make_sample_id
from vgaudit.records import (
    ClipRecord,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Series,
    Severity,
    Verdict,
    digest,
)
from vgaudit.reports.data import ClipEntry, PublishDecision, ReportData

WIDTH, HEIGHT, FPS, FRAMES = 96, 64, 10, 16
GROUPS = ("cogvideo", "text2video-zero", "videofusion", "zeroscope", "<img src=x onerror=alert(1)>|`real`")
PROMPTS = {
    "beach": "a dog walking along the beach at sunset",
    "kite": "two children fly a red kite over a wheat field, wide shot",
    "hostile": "</title><script>alert('x')</script> \"quoted\" 'single' & | `tick` **bold** [a](javascript:alert(1))"
    "\n# heading\n<b>@someone</b> \x00\x07\x1b[31m \u202eevil\u202c \ud83d \U0001f415 http://example.invalid/x",
    "rtl": "كلب يمشي على الشاطئ عند الغروب 🐕 " + "שקיעה על הים " * 3,
}
NO_SHOT = (
    "all of the pictures are in shots of fewer than 10 different <pictures>, too few to look for what lasts"
)
LONG_PROMPT = "very long prompt " * 600  # 10,200 characters

VALUE_SPECS = {
    "temporal.warp_error": {
        "unit": "mean absolute difference",
        "higher_is_better": False,
        "description": "Photometric error between a frame and its neighbour warped by optical flow.",
        "low": 0.0,
        "high": 1.0,
        "per_clip": True,
    },
    "temporal.motion": {
        "unit": "short sides per second",
        "higher_is_better": None,
        "description": "Mean of the five per cent largest flow vectors.",
        "low": 0.0,
        "high": None,
        "per_clip": True,
    },
    "prompt_alignment.clip_score": {
        "unit": "100 x cosine",
        "higher_is_better": True,
        "description": "Mean over frames of 100 times the cosine of frame and prompt embedding, at least 0.",
        "low": 0.0,
        "high": 100.0,
        "per_clip": True,
    },
    "likeness.best_similarity": {
        "unit": "1 - L2",
        "higher_is_better": False,
        "description": "Similarity of the most alike pair of a face in the clip and a person in the gallery.",
        "low": None,
        "high": 1.0,
        "per_clip": True,
    },
    "fvd.distance": {
        "unit": "I3D distance squared",
        "higher_is_better": False,
        "description": "Frechet distance of video features to the reference clips, protocol fvd@styleganv.",
        "low": 0.0,
        "high": None,
        "per_clip": False,
    },
}


def write_media(run_dir: Path, stem: str, shade: int, frames: int = FRAMES) -> tuple[str, str]:
    """Encode a moving square and save its first frame; returns paths relative to the run directory."""
    (run_dir / "clips").mkdir(parents=True, exist_ok=True)
    clip, poster = f"clips/{stem}.mp4", f"clips/{stem}.jpg"
    with av.open(str(run_dir / clip), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "20", "threads": "1"}
        ramp = np.linspace(0, 90, WIDTH, dtype=np.uint8)
        for i in range(frames):
            frame = np.full((HEIGHT, WIDTH, 3), (shade, 110, 255 - shade), np.uint8)
            frame[:, :, 1] += ramp
            left = 6 + 4 * i
            frame[24:40, left : left + 16] = (245, 240, 225)
            if i == 0:
                cv2.imwrite(str(run_dir / poster), frame[:, :, ::-1])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return clip, poster


def _measurements(sample_id: str, index: int, run_dir: Path, census: bool) -> dict[str, Measurement]:
    rng = np.random.default_rng(index)
    times = tuple(i / FPS for i in range(FRAMES))
    warp = [0.02 + 0.012 * math.sin(t * 5 + index) + 0.004 * rng.random() for t in times]
    findings = []
    if index % 3 == 0:
        warp[8:11] = [0.11, 0.13, 0.10]
        findings.append(
            Finding(
                sample_id,
                "temporal.jump",
                Severity.MAJOR,
                0.8,
                1.1,
                0.13,
                0.06,
                "The picture jumps: the warping error is twice what the clip's own motion explains.",
                detail={"frames": [8, 9, 10], "baseline": 0.021},
            )
        )
    if index % 5 == 1:
        findings.append(
            Finding(
                sample_id,
                "temporal.freeze",
                Severity.MINOR,
                0.2,
                0.5,
                3.0,
                2.0,
                "Three frames repeat exactly.",
            )
        )
    likeness: dict[str, Measurement] = {}
    if index % 7 == 2:
        evidence = f"evidence/{sample_id}.png"
        (run_dir / "evidence").mkdir(exist_ok=True)
        cv2.imwrite(str(run_dir / evidence), np.full((48, 48, 3), 140, np.uint8))
        match = Finding(
            sample_id,
            "likeness.match",
            Severity.ALERT if index % 2 else Severity.REVIEW,
            0.4,
            1.2,
            0.52,
            0.4,
            "A face resembles gallery entry person_a beyond the embedder's published point (uncalibrated).",
            box=(20.0, 12.0, 52.0, 50.0),
            evidence=(evidence,),
            detail={"entry": "person_a", "tier": "REVIEW", "note": "<script>alert(2)</script>"},
        )
        likeness["likeness"] = Measurement(
            values={"best_similarity": 0.52}, findings=(match,), facts={"faces seen": 1, "embedder": "dlib"}
        )
    else:
        likeness["likeness"] = Measurement(missing={"best_similarity": "no usable face in the clip"})
    clip_values: tuple[dict[str, float], dict[str, str]]
    if census:
        clip_values = ({}, {"clip_score": "the prompt of this clip is not known"})
    else:
        clip_values = ({"clip_score": 22.0 + 9 * float(rng.random())}, {})
    gapped = tuple(None if i in (3, 4) else 20.0 + i / 3 for i in range(FRAMES))
    return {
        "temporal": Measurement(
            values={"warp_error": float(np.mean(warp)), "motion": float(0.1 + rng.random())},
            series={
                "warp_error": Series(times, tuple(warp), "mean absolute difference"),
                "motion": Series(
                    times, tuple(0.3 + 0.2 * math.cos(t * 4) for t in times), "short sides per second"
                ),
            },
            findings=tuple(findings),
            facts={"flow": "DIS fast", "pairs": FRAMES - 1},
            unassessed_kinds=dict.fromkeys(("temporal.ghosting", "temporal.colour_drift"), NO_SHOT)
            if index % 4 == 1
            else {},
        ),
        "prompt_alignment": Measurement(
            values=clip_values[0],
            missing=clip_values[1],
            series={
                "clip_score": Series(times, gapped, "100 x cosine"),
                "empty": Series(times, (None,) * FRAMES),
            },
        ),
        **likeness,
    }


def build(run_dir: Path, kind: str = "run", groups: tuple[str, ...] = GROUPS) -> ReportData:
    """A whole run. ``kind`` is ``run`` or ``census``; sample 7 failed, sample 13 cannot be decoded."""
    census = kind == "census"
    groups = ("clips",) if census else groups
    prompts = [*PROMPTS.items()]
    entries = []
    for index in range(20):
        prompt_id, prompt = prompts[index % 4]
        group = groups[(index // 4) % len(groups)]
        if index == 5:
            prompt_id, prompt = "long", LONG_PROMPT
        seed = None if index == 9 else index // 4
        sample_id = make_sample_id(prompt_id, seed, {"group": group, "index": index})
        sample = Sample(
            sample_id,
            prompt_id,
            prompt,
            group,
            seed=seed,
            tags={"category": "people & <animals>"},
            source=f"in/<b>{index}</b>.mp4" if census else None,
        )
        if index == 7:
            failed = ClipRecord(sample_id, "error", message="CUDA out of memory \x1b[0m <while> sampling")
            publish = PublishDecision("hold", ("there is no clip to publish",)) if census else None
            entries.append(ClipEntry(sample, failed, publish=publish))
            continue
        clip, poster = write_media(run_dir, sample_id, 12 * index)
        info = {
            "width": WIDTH,
            "height": HEIGHT,
            "fps": float(FPS),
            "frames": FRAMES,
            "duration_s": FRAMES / FPS,
        }
        record = ClipRecord(
            sample_id,
            "ok",
            file=clip,
            playable=clip,
            poster=poster,
            sha256=digest((run_dir / clip).read_bytes()),
            media_error="truncated: 3 of 16 frames" if index == 13 else "",
            info=info if index != 13 else {},
            backend_fingerprint=digest(group),
            seconds=1.5,
            facts={"index_row": index},
        )
        measurements = {} if index == 13 else _measurements(sample_id, index, run_dir, census)
        entry = ClipEntry(sample, record, measurements)
        if census:
            answer = ("publish", "review", "hold")[0 if not entry.findings else 1 if index % 2 else 2]
            reasons = tuple(f.message for f in entry.findings) or ("no check found a reason against it",)
            entry = ClipEntry(sample, record, measurements, PublishDecision(answer, reasons))
        entries.append(entry)
    return ReportData(
        run_dir=run_dir,
        kind="census" if census else "run",
        name="publish check" if census else 'fetv <five groups> & "quotes"',
        manifest=manifest(),
        clips=tuple(entries),
        results=() if census else _results(groups),
        gates=() if census else _gates(groups),
        verdict=Verdict(Outcome.FAILED, 3, "2 of 9 gates failed and 2 could not be computed.")
        if not census
        else Verdict(Outcome.FAILED, 3, "8 to publish, 5 to review, 7 on hold"),
        notes=(
            "Likeness was assessed with an uncalibrated embedder: scores carry no rate.",
            "1 clip changed on disk after it was scored <b>not bold</b>.",
        ),
        value_specs=VALUE_SPECS,
    )


def manifest() -> dict[str, object]:
    """A manifest with every key that reports rely on."""
    return {
        "schema_version": 1,
        "suite": {
            "name": "fetv",
            "text": "name: fetv\nprompts:\n  - </pre><script>alert(3)</script>\nmetrics:\n  temporal: {}\n",
            "digest": digest("suite"),
            "path": "benchmarks/fetv.yaml",
        },
        "plan_digest": digest("plan"),
        "provenance": {
            "vgaudit": "0.1.0",
            "python": "3.11.9",
            "packages": {"torch": "2.5.1", "numpy": "2.1.0", "av": "14.0.1"},
            "git": {"commit": "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e", "dirty": True},
            "platform": "Linux x86_64",
            "device": "cpu",
        },
        "backends": [
            {
                "name": "files",
                "type": "files",
                "fingerprint": digest("b"),
                "options": {"root": "clips", "index": "index.csv"},
            }
        ],
        "extractors": {"faces": {"fingerprint": digest("e"), "options": {"embedder": "dlib", "stride": 2}}},
        "metrics": {"temporal": {}, "likeness": {"gallery": "people"}},
        "timings": {"generate": 0.0, "score": 73.4, "summarize": 4.123},
        "created": "2025-01-02T03:04:05Z",
        "decodes": 19,
    }


def _results(groups: tuple[str, ...]) -> tuple[Result, ...]:
    out = []
    for i, group in enumerate(groups):
        centre = (0.0312, 0.0482, 0.0497, 0.0667, 0.0751)[i]
        common = {"confidence": 0.95, "n": 18, "n_clusters": 18}
        out.append(
            Result(
                "temporal.warp_error",
                group,
                centre,
                centre - 0.0042 - 0.001 * i,
                centre + 0.0051 + 0.001 * i,
                unit="mean absolute difference",
                higher_is_better=False,
                **common,
            )
        )
        out.append(
            Result(
                "temporal.motion",
                group,
                0.4 + 0.3 * i,
                0.3 + 0.28 * i,
                0.55 + 0.33 * i,
                higher_is_better=None,
                **common,
            )
        )
        score = 29.1 - 0.8 * i
        out.append(
            Result(
                "prompt_alignment.clip_score",
                group,
                score,
                score - 0.9,
                score + 0.8,
                unit="100 x cosine",
                higher_is_better=True,
                detail={"model": "openai/ViT-B-32", "weights": digest("clip", 16)},
                **common,
            )
        )
        if i == 2:
            network = "i3d-kinetics400-styleganv"
            reason = f"weights {network} are not here; run `vgaudit models pull {network}`"
            out.append(Result.not_computed("fvd.distance", group, reason, higher_is_better=False))
        else:
            out.append(
                Result(
                    "fvd.distance",
                    group,
                    523.19 + 140 * i,
                    410.0 + 120 * i if i != 3 else -math.inf,
                    690.5 + 160 * i,
                    unit="I3D distance squared",
                    higher_is_better=False,
                    reason="expected distance at n = 18" if i == 0 else "",
                    detail={"protocol": "fvd@styleganv", "n_reference": 18, "floor": 305.2},
                    **common,
                )
            )
    out.append(
        Result(
            "likeness.best_similarity",
            groups[0],
            0.41,
            n=3,
            n_clusters=3,
            higher_is_better=False,
            reason="too few prompts for an interval",
        )
    )
    out.append(Result.not_computed("likeness.best_similarity", groups[-1], "no clip has a usable face"))
    return tuple(out)


def _gates(groups: tuple[str, ...]) -> tuple[GateResult, ...]:
    gate = "temporal.warp_error <= 0.05"
    outcomes = (Outcome.PASSED, Outcome.NOT_COMPUTED, Outcome.NOT_COMPUTED, Outcome.FAILED, Outcome.FAILED)
    reasons = {
        Outcome.PASSED: "the whole interval lies at or below 0.05",
        Outcome.NOT_COMPUTED: "insufficient evidence: the interval reaches to both sides of 0.05",
        Outcome.FAILED: "the whole interval lies above 0.05",
    }
    out = [GateResult(gate, g, outcomes[i % 5], reasons[outcomes[i % 5]]) for i, g in enumerate(groups)]
    out += [
        GateResult(
            "prompt_alignment.clip_score >= 24", g, Outcome.PASSED, "the whole interval lies at or above 24"
        )
        for g in groups[:4]
    ]
    out.append(
        GateResult(
            "fvd.distance <= 600", groups[-1], Outcome.FAILED, "1083 lies above <600>", severity="warn"
        )
    )
    return tuple(out)
