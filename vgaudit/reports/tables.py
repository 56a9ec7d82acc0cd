"""Samples, measurements, findings and what follows from them as tables: their rows, columns and Parquet schemas.

``write_tables`` puts three of them into the run directory; ``vgaudit export`` (:mod:`vgaudit.reports.export`) writes
all of them in the format that is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.rundir import atomic_write

Kind = Literal["text", "number", "whole", "truth", "numbers", "texts", "pairs"]
"""What a column holds; ``numbers`` and ``texts`` are lists, ``pairs`` are names with a text each."""


@dataclass(frozen=True)
class Column:
    """A column: its name, what it holds, and one sentence on what it means, with the unit."""

    name: str
    kind: Kind
    words: str


SAMPLES = (
    Column("sample_id", "text", "Id of the sample: one prompt, one seed, one group."),
    Column("source", "text", "Path of a clip that was made elsewhere; null where the run made it."),
    Column("prompt_id", "text", "Id of the prompt; samples of one prompt are no independent observations."),
    Column("prompt", "text", "The text asked for; empty where it is not known."),
    Column("group", "text", "Model or backend that the sample counts for."),
    Column("seed", "whole", "Seed of the generation; null where there is none."),
    Column("clip", "text", "File of the clip, relative to the run directory."),
    Column("sha256", "text", "SHA-256 of that file."),
    Column("outcome", "text", "ok, refused_input, refused_output, error, retry_after or pending."),
    Column("message", "text", "Why there is no clip; may be empty."),
    Column("media_error", "text", "Why the clip cannot be decoded; empty where it can."),
    Column("width", "whole", "Width in pixels."),
    Column("height", "whole", "Height in pixels."),
    Column("frames", "whole", "Number of frames."),
    Column("fps", "number", "Frames per second."),
    Column("duration_s", "number", "Length in seconds."),
    Column("decision", "text", "For finished clips publish, review or hold; null in a run of a generator."),
    Column("tags", "pairs", "Tags of the prompt and further columns of the index, name to text."),
)
MEASUREMENTS = (
    Column("sample_id", "text", "The sample that was measured."),
    Column("metric", "text", "<metric>.<value>, e.g. temporal.warp_error; table `values` has its unit."),
    Column("value", "number", "The number; null where there is none."),
    Column("reason", "text", "Why there is no number; null where there is one."),
)
FINDINGS = (
    Column("sample_id", "text", "The sample that it is in."),
    Column("kind", "text", "<metric>.<what>, e.g. temporal.freeze."),
    Column("severity", "text", "info, minor, major, review or alert, from harmless to worst."),
    Column("start_s", "number", "Start in seconds from the clip's first frame."),
    Column("end_s", "number", "End in seconds, exclusive."),
    Column("score", "number", "What the detector measured; scores of different kinds do not compare."),
    Column("threshold", "number", "The value that the score was held against."),
    Column("box", "numbers", "left, top, right, bottom in pixels of the clip; null where there is no place."),
    Column("message", "text", "One sentence. Gallery entries stand in it by their ids."),
    Column(
        "evidence", "texts", "Pictures in the run directory, and spans of clips as clips/x.mp4#t=1.2,1.6."
    ),
    Column("fingerprint", "text", "Digest that decisions are bound to."),
    Column("detail", "text", "Further facts as JSON."),
    Column(
        "state", "text", "open, confirmed, dismissed, cleared or escalated, by the decisions of reviewers."
    ),
)


def plain(text: str | None) -> str | None:
    """``text`` without what no UTF-8 file can hold: lone surrogates become U+FFFD."""
    return None if text is None else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def sample_rows(data: ReportData) -> list[dict[str, Any]]:
    """Rows of :data:`SAMPLES`, in plan order."""
    return [_sample_row(entry) for entry in data.clips]


def measurement_rows(data: ReportData) -> list[dict[str, Any]]:
    """Rows of :data:`MEASUREMENTS`: one per clip and value, with a null and a reason where a value is missing."""
    return [
        {"sample_id": entry.sample.sample_id, "metric": f"{metric}.{name}", "value": value, "reason": reason}
        for entry in data.clips
        for metric, measurement in entry.measurements.items()
        for name, value, reason in [
            *((n, v, None) for n, v in measurement.values.items()),
            *((n, None, r) for n, r in measurement.missing.items()),
        ]
    ]


def finding_rows(data: ReportData) -> list[dict[str, Any]]:
    """Rows of :data:`FINDINGS`, clip by clip, the worst of each clip first."""
    return [
        {
            **finding.to_json(),
            "detail": json.dumps(dict(finding.detail), sort_keys=True, ensure_ascii=False),
            "state": str(
                data.decisions[finding.fingerprint].state if finding.fingerprint in data.decisions else "open"
            ),
        }
        for entry in data.clips
        for finding in entry.findings
    ]


def write_tables(data: ReportData, folder: Path) -> None:
    """Write ``samples.parquet``, ``measurements.parquet`` and ``findings.parquet`` into ``folder``.

    Measurements are in long form: one row per clip and value, with ``value`` null and a ``reason`` where a
    value is missing.
    """
    write_parquet(folder / "samples.parquet", SAMPLES, sample_rows(data))
    write_parquet(folder / "measurements.parquet", MEASUREMENTS, measurement_rows(data))
    write_parquet(folder / "findings.parquet", FINDINGS, finding_rows(data))


def write_parquet(path: Path, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one table as Parquet, atomically. Keys of rows that are no column are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    types = {
        "text": text, "number": number, "whole": pa.int64(), "truth": pa.bool_(), "numbers": pa.list_(number),
        "texts": pa.list_(text), "pairs": pa.map_(text, text),
    }  # fmt: skip
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    cells = [{column.name: _arrow(row.get(column.name), column.kind) for column in columns} for row in rows]
    with atomic_write(path) as file:
        pq.write_table(pa.Table.from_pylist(cells, schema=schema), file)


def _arrow(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "text":
        return plain(str(value))
    if kind == "texts":
        return [plain(str(item)) for item in value]
    if kind == "pairs":
        return [(plain(str(k)), plain(str(v))) for k, v in value.items()]
    return value


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
        "tags": dict(sample.tags),
        **{key: info.get(key) for key in ("width", "height", "frames", "fps", "duration_s")},
    }
