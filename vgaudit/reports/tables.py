"""Samples, measurements and findings as Parquet tables, for analysis in pandas or DuckDB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.rundir import atomic_write


def write_tables(data: ReportData, folder: Path) -> None:
    """Write ``samples.parquet``, ``measurements.parquet`` and ``findings.parquet`` into ``folder``.

    Measurements are in long form: one row per clip and value, with ``value`` null and a ``reason`` where a
    value is missing.
    """
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    samples = [_sample_row(entry) for entry in data.clips]
    _write(
        samples,
        pa.schema(
            [
                ("sample_id", text), ("source", text), ("prompt_id", text), ("prompt", text), ("group", text),
                ("seed", whole),
                ("clip", text), ("sha256", text), ("outcome", text), ("message", text), ("media_error", text),
                ("width", whole), ("height", whole), ("frames", whole), ("fps", number), ("duration_s", number),
                ("decision", text), ("tags", pa.map_(text, text)),
            ]
        ),
        folder / "samples.parquet",
    )  # fmt: skip
    measurements = [
        {"sample_id": entry.sample.sample_id, "metric": f"{metric}.{name}", "value": value, "reason": reason}
        for entry in data.clips
        for metric, measurement in entry.measurements.items()
        for name, value, reason in [
            *((n, v, None) for n, v in measurement.values.items()),
            *((n, None, r) for n, r in measurement.missing.items()),
        ]
    ]
    columns = [("sample_id", text), ("metric", text), ("value", number), ("reason", text)]
    _write(measurements, pa.schema(columns), folder / "measurements.parquet")
    findings = [
        {
            **finding.to_json(),
            "box": list(finding.box) if finding.box else None,
            "detail": json.dumps(dict(finding.detail), sort_keys=True, ensure_ascii=False),
            "state": str(
                data.decisions[finding.fingerprint].state if finding.fingerprint in data.decisions else "open"
            ),
        }
        for entry in data.clips
        for finding in entry.findings
    ]
    _write(
        findings,
        pa.schema(
            [
                ("sample_id", text), ("kind", text), ("severity", text), ("start_s", number), ("end_s", number),
                ("score", number), ("threshold", number), ("box", pa.list_(number)), ("message", text),
                ("evidence", pa.list_(text)), ("fingerprint", text), ("detail", text),
                ("state", text),
            ]
        ),
        folder / "findings.parquet",
    )  # fmt: skip


def _sample_row(entry: ClipEntry) -> dict[str, Any]:
    sample, clip = entry.sample, entry.clip
    info: Mapping[str, Any] = clip.info
    return {
        "sample_id": sample.sample_id,
        "source": sample.source,
        "prompt_id": sample.prompt_id,
        "prompt": sample.prompt,
        "group": sample.group,
        "seed": sample.seed,
        "clip": clip.file,
        "sha256": clip.sha256,
        "outcome": clip.outcome,
        "message": clip.message,
        "media_error": clip.media_error,
        "decision": entry.publish.decision if entry.publish else None,
        "tags": list(sample.tags.items()),
        **{key: info.get(key) for key in ("width", "height", "frames", "fps", "duration_s")},
    }


def _write(rows: list[dict[str, Any]], schema: Any, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_write(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
