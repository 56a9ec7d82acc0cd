"""Makes a large run of a small one: its clips over and over, some with hostile prompts."""

from __future__ import annotations

import dataclasses

from tests.reports.synthetic import LONG_PROMPT
from vgaudit.records import Measurement
from vgaudit.reports.data import ClipEntry, PublishDecision, ReportData

HOSTILE = (
    "</script><script>alert(1)</script><!-- \u2028line\u2029 \"two\" 'one' \\ ` ${x} &amp; <b>bold</b> *",
    "\u202eevil\u202c \U0001f415\U0001f469\u200d\U0001f680 \u05e9\u05e7\u05d9\u05e2\u05d4 \ud83d \x00\x1b[31m",
    LONG_PROMPT,
)


def many(data: ReportData, count: int) -> ReportData:
    """The run with its clips over and over: every kind of row, some with hostile prompts."""
    clips = []
    for i in range(count):
        entry = data.clips[i % len(data.clips)]
        prompt = HOSTILE[i % 7] if i % 7 < len(HOSTILE) else f"{entry.sample.prompt} {i}"
        sample = dataclasses.replace(entry.sample, sample_id=f"clip-{i}", prompt_id=f"p{i}", prompt=prompt)
        if i % 11 == 3:
            sample = dataclasses.replace(sample, prompt="")
        plain = {k: Measurement(m.values, {}, m.findings, m.missing) for k, m in entry.measurements.items()}
        publish = entry.publish
        if publish and i % 9 == 0:
            publish = PublishDecision(publish.decision, (*publish.reasons, "two", "three", "four"))
        if publish and i % 13 == 0:
            publish = None
        clips.append(ClipEntry(sample, entry.clip, plain, publish))
    return dataclasses.replace(data, clips=tuple(clips))
