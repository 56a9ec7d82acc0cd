"""Baseline files: small, the same bytes every time, and refused with a reason where they are not what was saved."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compare.snapshots import snapshot, spec, with_kind, written
from vgaudit.compare import baseline
from vgaudit.compare.baseline import BaselineError, baseline_bytes, open_side, read_baseline
from vgaudit.compare.from_run import without_paths
from vgaudit.compare.snapshot import Clip, Snapshot
from vgaudit.errors import UsageError
from vgaudit.records import digest

MADE = with_kind(
    snapshot({f"p{i}": [0.1 + 1e-17 * i, None if i == 2 else 1 / 3] for i in range(7)}), "temporal.freeze", [3], [4]
)  # fmt: skip


@pytest.mark.parametrize("packed", [True, False])
def test_what_was_saved_is_read(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(baseline_bytes(MADE, packed=packed))
    found = read_baseline(path)
    assert found == MADE
    assert found.digest == MADE.digest
    assert baseline_bytes(found, packed=packed) == path.read_bytes()


def changed(**facts: Any) -> bytes:
    whole = json.loads(baseline_bytes(MADE, packed=False))
    return json.dumps({**whole, **facts}).encode()


def content(**facts: Any) -> bytes:
    """A file whose digest is right and whose content is not."""
    inner = {**MADE.to_json(), **facts}
    return changed(content=inner, sha256=digest(inner))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(version=2), "a baseline of version 2, this vgaudit reads up to 1; update vgaudit"),
        (changed(version="1"), "damaged: its version is '1'"),
        (changed(version=True), "damaged: its version"),
        (changed(format="other"), "found other JSON"),
        (b"[]", "found other JSON"),
        (b"", "damaged, or no JSON"),
        (b"\xff\xfe", "damaged, or no JSON"),
        (b"[" * 200_000, "damaged, or no JSON"),
        (baseline_bytes(MADE, packed=True)[:-20], "the file is cut"),
        (baseline_bytes(MADE, packed=True) + b"x", "something follows its end"),
        (changed(content={**MADE.to_json(), "name": "edited"}), "damaged or edited"),
        (changed(content=None), "damaged or edited"),
        (content(groups=[]), "damaged"),
        (content(values={"temporal.warp_error": [0.1]}), "damaged"),
        (content(values={"temporal.warp_error": ["x"] * 14}), "damaged"),
        (content(prompts=[]), "damaged"),
        (content(clips={}), "damaged"),
        (content(kinds={"a.b": {"counts": {"99": 1}, "unseen": []}}), "damaged"),
        (content(results=[{}]), "damaged"),
    ],
)
def test_any_other_file_is_told(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(data)
    with pytest.raises(BaselineError, match=message) as refused:
        open_side(path)
    assert str(path) in str(refused.value)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    data = baseline_bytes(MADE, packed=True)
    path = tmp_path / "a.json.gz"
    for i in range(0, len(data), 37):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :])
        try:
            found = read_baseline(path)
        except BaselineError:
            continue
        assert found == MADE  # a byte of the header that says nothing of the content


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST_BYTES", 1000)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b" " * 5000))
    with pytest.raises(BaselineError, match="unpacks to more than 1,000 bytes"):
        read_baseline(path)


def test_neither_run_nor_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found a folder without a run"):
        open_side(tmp_path)
    with pytest.raises(UsageError, match="found nothing"):
        open_side(tmp_path / "absent")


def test_a_thousand_clips_of_twenty_values_are_less_than_a_megabyte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = tuple(
        Clip(
            f"prompt-{i // 2:04d}-{i % 2}-{digest(i, 10)}",
            f"prompt-{i // 2:04d}",
            "model",
            i % 2,
            "ok",
            digest(i, 16),
        )
        for i in range(1000)
    )
    names = [f"metric.value{i}" for i in range(20)]
    large = Snapshot(
        **{
            **{f: getattr(MADE, f) for f in Snapshot.__dataclass_fields__},
            "clips": clips, "prompts": {c.prompt_id: {"text": digest(c.prompt_id, 24), "asked": ""} for c in clips},
            "value_specs": {n: spec() for n in names}, "results": (), "kinds": {},
            "values": {n: tuple(map(float, rng.random(1000))) for n in names},
            "missing": dict.fromkeys(names, ("",) * 1000),
        }
    )  # fmt: skip
    path = written(large, tmp_path / "large.json.gz")
    assert path.stat().st_size < 1_000_000
    assert read_baseline(path) == large  # to the last digit


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open /home/ann/people/bob.jpg: no such file", "cannot open (path): no such file"),
        (r"C:\Users\ann\x.npz is damaged", "(path) is damaged"),
        ("~/clips/a.mp4 and ../b/c.mp4", "(path) and (path)"),
        ("12 of 16 clips/prompts have no value", "12 of 16 clips/prompts have no value"),
        ("1/3 of it", "1/3 of it"),
    ],
)
def test_reasons_lose_their_paths(text: str, clean: str) -> None:
    assert without_paths(text) == clean
