"""What a paper must state: all of it, or an error that names what is not on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.reports.synthetic import build
from vgaudit.errors import UsageError
from vgaudit.metrics.embedded_clips import count_reference
from vgaudit.records import Result
from vgaudit.reports.citation import HEAD, REQUIRED, citation, latex_row, method_sentence

DETAIL: dict[str, Any] = {
    "protocol": "fvd@styleganv", "weights": "i3d.pt", "weights_sha256": "ab" * 32, "resize": "to 224", "crop": "none",
    "value_range": "0 to 255", "features": "400 logits", "covariance": "divided by N", "window": "16 frames from 0",
    "reference": "group real", "reference_window": "16 frames at random", "n_reference": 512,
    "list_sha256": "cd" * 32, "reference_list_sha256": "ef" * 32, "codecs": ["h264"],
    "reference_codecs": ["av1", "vp9"],
    "interval": "grouped jackknife", "interval_target": "expected distance at this n",
    "floor": {"status": "computed", "value": 41.234, "n": 256, "n_reference": 256, "splits": 20},
}  # fmt: skip


def result(**changes: Any) -> Result:
    detail = {**DETAIL, **changes.pop("detail", {})}
    made = Result("fvd.distance", "my_model & co", 523.19, 480.0, 566.4, 0.95, 256, 64, detail=detail)
    return replace(made, **changes)


def test_a_sentence_states_everything() -> None:
    said = method_sentence(result())
    for fact in (
        "fvd@styleganv of my_model & co is 523.2", "95 % interval 480.0 to 566.4",
        "covers the expected distance at this n",
        "400 logits (i3d.pt, sha256 abababababab)", "256 clips of 64 prompts", "16 frames from 0 (list cdcdcdcdcdcd)",
        "against 512 clips of group real, 16 frames at random (list efefefefefef)", "resize: to 224; crop: none",
        "value range: 0 to 255", "covariance divided by N", "codecs h264 against av1, vp9",
        "to itself 41.2 (256 against 256 clips, mean of 20 splits)", "vgaudit 0.",
    ):  # fmt: skip
        assert fact in said, fact


def test_what_was_left_out_is_counted_and_what_must_not_be_compared_says_so() -> None:
    own = {"n_missing": 3, "missing": {"shorter than 16 frames": 3}}
    theirs = {"reference_left_out": 2, "reference_missing": {"features are not finite": 2}}
    left, _ = count_reference(own | theirs, theirs)
    said = method_sentence(result(detail=left | {"out_of_domain": "out of domain: drawings only"}))
    assert "256 clips of 64 prompts (3 more were left out: 3 shorter than 16 frames)" in said
    assert "512 clips of group real (2 more were left out: 2 features are not finite)" in said
    assert "NOT TO BE COMPARED (out of domain: drawings only)" in said
    only_theirs = method_sentence(result(detail=count_reference(theirs, theirs)[0]))
    assert "256 clips of 64 prompts, 16 frames" in only_theirs
    assert "512 clips of group real (2 more were left out: 2 features are not finite)" in only_theirs
    assert only_theirs.count("left out") == 1


def test_clips_on_both_sides_are_not_called_few() -> None:
    same = "2 of 256 clips are on the reference side too, byte for byte"
    said = method_sentence(result(detail={"same_clips": 2, "insufficient": same}))
    assert f"; NOT ENOUGH TO GO BY ({same}); " in said
    assert "FEW CLIPS" not in said
    few = {"small_n": "20 clips are fewer than the 400 dimensions", "accepted_small_n": "all that there are"}
    assert "FEW CLIPS (20 clips are fewer than the 400 dimensions), accepted because: all that there are" in (
        method_sentence(result(detail=few))
    )
    assert "NOT ENOUGH" not in method_sentence(result())


def test_stored_statistics_are_cited_by_their_file() -> None:
    stored = {"reference": "ucf.npz", "reference_sha256": "12" * 32}
    assert "(file 121212121212)" in method_sentence(result(detail=stored))


@pytest.mark.parametrize(
    "floor", [None, {"status": "not computed", "reason": "stored statistics without features"}]
)
def test_no_floor_and_no_interval_are_said(floor: dict[str, str] | None) -> None:
    bare = result(low=None, high=None, confidence=None, detail={"floor": floor})
    said = method_sentence(bare)
    assert "no interval" in said
    assert f"not known: {floor['reason'] if floor else 'not on record'}" in said
    assert latex_row(bare) == r"my\_model \& co & fvd@styleganv & 523.2 & -- & 256 & 512 & -- \\"


def test_a_row_has_as_many_cells_as_the_head() -> None:
    row = latex_row(result())
    assert row == r"my\_model \& co & fvd@styleganv & 523.2 & [480.0, 566.4] & 256 & 512 & 41.2 \\"
    assert row.replace(r"\&", "").count("&") == HEAD.count("&") == 6


@pytest.mark.parametrize("name", REQUIRED)
def test_a_fact_that_is_not_on_record_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"my_model & co cannot be cited: {name} not on record"):
        method_sentence(result(detail={name: None}))


def test_a_run_without_a_distance_has_nothing_to_cite(tmp_path: Path) -> None:
    data = build(tmp_path)
    others = tuple(r for r in data.results if r.name != "fvd.distance")
    with pytest.raises(UsageError, match=r"nothing to cite: .*the suite has no metric fvd"):
        list(citation(replace(data, results=others)))
    absent = Result.not_computed("fvd.distance", "alpha", "too few clips")
    with pytest.raises(UsageError, match="alpha: too few clips"):
        list(citation(replace(data, results=(*others, absent))))
    lines = list(citation(replace(data, results=(*others, absent, result()))))
    assert lines[0].startswith("fvd@styleganv of my_model & co is")
    assert lines[1:] == ["", HEAD, latex_row(result())]
