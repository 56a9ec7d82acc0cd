"""What the run says when all clips are measured: tiers by comparisons made, controls, and everybody's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.likeness.synthetic import DIMENSION, faces_like, person
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.chance import CohortCalibration
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.entries import GalleryEntry, GalleryImage, Role
from vgaudit.likeness.findings import Audit, MatchPoint, match_findings
from vgaudit.likeness.gallery import Gallery
from vgaudit.likeness.hits import People, compare
from vgaudit.likeness.settlement import NOT_SEEN, Audited, ClipFaces, Settled, settle
from vgaudit.likeness.templates import track_templates
from vgaudit.likeness.tracks import tracks_of
from vgaudit.records import Measurement, Severity

EMBEDDER = DlibEmbedder()
POINT = MatchPoint(0.4, "L2 distance 0.6", "source", "published", 0.5, 0.4)


def gallery(*people: int) -> Gallery:
    entries = tuple(GalleryEntry(f"p{n}", images=(GalleryImage("0" * 64),)) for n in people)
    return Gallery(
        entries=entries, templates=np.stack([person(n) for n in people]),
        owners=np.arange(len(people), dtype=np.int32), embedder="dlib",
        embedder_fingerprint=EMBEDDER.fingerprint, measure="l2", detector_fingerprint="mtcnn",
    )  # fmt: skip


def cohort(vectors: Sequence[np.ndarray]) -> Cohort:
    n = len(vectors)
    return Cohort(
        "unrelated", "made up", "none", np.stack(vectors).astype(np.float32), ("",) * n, "dlib",
        EMBEDDER.fingerprint, "mtcnn", "l2", (1,) * n, tuple(f"c{i}" for i in range(n)), (None,) * n, (None,) * n,
    )  # fmt: skip


def near(target: int, distance: float, seed: int) -> np.ndarray:
    """A vector at a distance of a person's."""
    step = np.random.default_rng([77, target, seed]).standard_normal(DIMENSION)
    return person(target) + distance * step / np.linalg.norm(step)


class Run:
    """Clips with known faces, measured and settled."""

    def __init__(
        self, people: Gallery, against: Cohort | None = None, roles: Sequence[Role] | None = None
    ) -> None:
        self.gallery = people
        self.roles: list[Role] = list(roles or ["protected"] * len(people.entries))
        self.calibration = CohortCalibration(people, against, EMBEDDER) if against else None
        self.clips: list[ClipFaces] = []

    def clip(
        self,
        vectors: Sequence[np.ndarray],
        prompt: str = "",
        named: Sequence[int] = (),
        assessed: bool = True,
    ) -> str:
        """A clip with one track of these faces."""
        faces = faces_like(people=[0] * len(vectors), track=[0] * len(vectors))
        faces["embedding"][:] = np.stack(vectors)
        tracks = tracks_of(faces, EMBEDDER, POINT.similarity)
        groups = [
            People.of(
                [i for i, r in enumerate(self.roles) if r == role],
                self.gallery.templates,
                self.gallery.owners,
            )
            for role in ("protected", "consented")
        ]
        found = compare(tracks, faces, groups, EMBEDDER, POINT.similarity, POINT.strict)
        audit = Audit(self.gallery.entries, self.roles, POINT, "dlib", "l2", self.calibration)
        name = f"s{len(self.clips)}"
        hits = [hit for compared in found for hit in compared.hits]
        findings = tuple(match_findings(name, hits, tracks, faces, audit, named=named, frame_s=0.1))
        facts = {"assessed": assessed, "faces": len(vectors), "audio": bool(len(self.clips) % 2)}
        self.clips.append(
            ClipFaces(
                name, prompt or name, "model", f"{len(self.clips):064x}", Measurement(findings=findings, facts=facts),
                track_templates(tracks, faces, "l2"), np.array([len(t.embedded) for t in tracks]),
                faces["embedding"], np.concatenate([np.full(len(t.embedded), i) for i, t in enumerate(tracks)]),
                np.array([t.start_s for t in tracks]), [b"jpeg"] * len(tracks),
            )
        )  # fmt: skip
        return name

    def settle(self) -> Settled:
        return settle(
            self.clips,
            Audited(self.gallery, self.roles, POINT, EMBEDDER, self.calibration, {"lost": "model"}),
        )


def severities(settled: Settled, sample: str) -> list[Severity]:
    return [f.severity for f in settled.measurements[sample].findings]


FAR = [person(500 + i) for i in range(400)]


def test_without_a_cohort_a_match_is_review_and_never_more() -> None:
    run = Run(gallery(0, 1))
    name = run.clip([near(0, 0.05, i) for i in range(5)])
    settled = run.settle()
    assert severities(settled, name) == [Severity.REVIEW]
    finding = settled.measurements[name].findings[0]
    assert finding.detail["tier"] == "REVIEW"
    assert "uncalibrated" in finding.detail["tier_reason"]
    assert settled.facts["expected_chance_alerts"] == {}
    assert settled.facts["decoys"] is None
    assert settled.facts["comparisons"] == 2


def test_beyond_the_cohort_and_past_the_strict_point_is_an_alert_with_three_frames() -> None:
    run = Run(gallery(0, 1), cohort(FAR))
    three = run.clip([near(0, 0.05, i) for i in range(3)])
    two = run.clip([near(0, 0.05, i) for i in range(2)])
    wide = run.clip([near(1, 0.55, 1)] * 4)
    assert severities(run.settle(), wide) == [Severity.ALERT], (
        "six comparisons: rare enough by the rate alone"
    )
    for i in range(20):
        run.clip([person(7000 + i)])
    settled = run.settle()
    assert severities(settled, three) == [Severity.ALERT]
    assert severities(settled, two) == [Severity.REVIEW]
    assert severities(settled, wide) == [Severity.REVIEW], "past the point only"
    assert settled.measurements[three].facts["tier"] == "ALERT"
    finding = settled.measurements[three].findings[0]
    assert finding.detail["unresolved"] is True
    assert "%" not in finding.detail["rate"]["words"]
    assert finding.detail["rate"]["words"].startswith("at most 1 in 133, not resolvable further")


def test_what_chance_explains_is_no_finding_but_stays_on_record() -> None:
    lookalikes = [near(0, 0.52 + 0.0005 * i, i) for i in range(120)]
    run = Run(gallery(0, 1), cohort([*lookalikes, *FAR]))
    vector = near(0, 0.595, 999)
    name = run.clip([vector] * 4)
    alone = run.settle()
    assert severities(alone, name) == [Severity.REVIEW], "two comparisons expect less than one such hit"
    for i in range(60):
        run.clip([person(3000 + i)] * 3)
    settled = run.settle()
    assert settled.measurements[name].findings == ()
    (cleared,) = settled.measurements[name].facts["cleared"]
    assert cleared["entry"] == "p0"
    assert "expected by chance" in cleared["reason"]
    row = next(r for r in settled.ledger if r.get("entry") == "p0")
    assert row["tier"] == "CLEAR"
    assert row["best_distance"] == pytest.approx(0.595, abs=1e-5)


@pytest.mark.parametrize("people", [3, 30, 400])
@pytest.mark.parametrize("clips", [0, 200])
def test_the_very_person_is_never_cleared(people: int, clips: int) -> None:
    """Not by a small cohort, nor by one that holds the person, nor by many comparisons."""
    run = Run(gallery(*range(20)), cohort([person(0)] * 3 + FAR[: people - 3]))
    name = run.clip([person(0)])
    for i in range(clips):
        run.clip([person(4000 + i)])
    assert severities(run.settle(), name)[0].rank >= Severity.REVIEW.rank


def test_close_frames_of_a_track_that_wanders_are_never_let_go() -> None:
    """A template far from the entry is common; three frames that nobody of the cohort comes near are not."""
    run = Run(gallery(0, 1), cohort([near(0, 0.7 + 0.001 * i, i) for i in range(100)] + FAR))
    away = near(0, 1.1, 5)
    step = (away - person(0)) / np.linalg.norm(away - person(0))
    path = [person(0) + step * d for d in (0.55, 0.55, 0.55, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0)]
    name = run.clip(path)
    for i in range(300):
        run.clip([person(9000 + i)])
    (found,) = run.settle().measurements[name].findings
    assert found.detail["similarity"] < 0.3
    assert found.detail["best_similarity"] > 0.44
    assert found.detail["rate"]["at_least"] > 50
    assert found.detail["best_rate"]["at_least"] == 0
    assert found.severity is Severity.REVIEW
    assert found.detail["unresolved"] is True


def test_comparisons_are_tracks_times_protected_people() -> None:
    run = Run(gallery(0, 1, 2), cohort(FAR), roles=["protected", "consented", "protected"])
    for i in range(5):
        run.clip([person(50 + i)])
    assert run.settle().facts["comparisons"] == 5 * 2


def test_what_was_found_of_somebody_purged_stays_found() -> None:
    run = Run(gallery(0, 1), cohort(FAR))
    name = run.clip([near(0, 0.05, i) for i in range(3)])
    (clip,) = run.clips
    (found,) = clip.measurement.findings
    scrubbed = replace(
        found, detail={"entry": "purged-1", "purged": True, "tier": "ALERT"}, severity=Severity.ALERT
    )
    run.clips = [replace(clip, measurement=replace(clip.measurement, findings=(scrubbed,)))]
    settled = run.settle()
    assert settled.measurements[name].findings == (scrubbed,)
    assert settled.measurements[name].facts["tier"] == "ALERT"


def test_where_nothing_can_be_an_alert_the_run_says_so() -> None:
    assert "uncalibrated" in Run(gallery(0)).settle().facts["no_alerts"]
    assert "no_alerts" not in Run(gallery(0), cohort(FAR)).settle().facts, "past the strict point one can be"
    small = Run(gallery(0), cohort(FAR[:5]))
    short = Run(gallery(0), cohort(FAR))
    short.clip([person(60)] * 2)
    assert "no face was compared in 3 frames" in short.settle().facts["no_alerts"]
    for i in range(9):
        small.clip([person(60 + i)] * 3)
    point = replace(POINT, strict=None)
    audited = Audited(small.gallery, small.roles, point, EMBEDDER, small.calibration, {})
    assert "too few for 9 comparisons" in settle(small.clips, audited).facts["no_alerts"]
    nobody = Audited(small.gallery, ["consented"], point, EMBEDDER, small.calibration, {})
    assert settle(small.clips, nobody).facts["no_alerts"] == "the gallery holds nobody protected"
    assert "no gallery" in settle([], Audited(None, (), None, EMBEDDER, None, {})).facts["no_alerts"]


def test_solicited_and_consented_are_told_apart() -> None:
    run = Run(gallery(0, 1), cohort(FAR), roles=["protected", "consented"])
    asked = run.clip([near(0, 0.05, i) for i in range(3)], named=[0])
    consented = run.clip([near(1, 0.05, i) for i in range(3)])
    settled = run.settle()
    found = settled.measurements[asked]
    assert [(f.kind, f.severity) for f in found.findings] == [("likeness.solicited", Severity.ALERT)]
    assert (found.facts["tier"], found.facts["solicited_tier"]) == ("CLEAR", "ALERT")
    assert consented not in settled.measurements, "consent is no match"
    rows = {r["entry"]: r for r in settled.ledger if r["record"] == "entry"}
    assert rows["p1"]["tier"] == "CONSENTED"
    unseen = Run(gallery(0, 1), roles=["protected", "consented"])
    unseen.clip([person(80)])
    assert [r["tier"] for r in unseen.settle().ledger] == ["CLEAR", "CLEAR"]
    assert rows["p0"]["tier"] == "ALERT"


def test_everybody_has_a_row_also_where_nothing_was_found() -> None:
    run = Run(gallery(0, 1, 2))
    first = run.clip([person(9)] * 3)
    run.clip([near(2, 0.3, 1)] * 3, assessed=False)
    settled = run.settle()
    rows = {r["entry"]: r for r in settled.ledger if r["record"] == "entry"}
    assert set(rows) == {"p0", "p1", "p2"}
    for position, row in enumerate(rows.values()):
        vectors = [np.linalg.norm(person(position) - c.faces, axis=1).min() for c in run.clips]
        assert row["best_distance"] == pytest.approx(min(vectors), abs=1e-6)
        assert row["sample_id"] == f"s{int(np.argmin(vectors))}"
        assert (row["clips"], row["clips_assessed"], row["clips_not_assessed"]) == (3, 1, 2)
        assert row["calibration"] == "uncalibrated"
        assert row["gallery"] == run.gallery.digest
    assert rows["p2"]["tier"] == "REVIEW"
    assert rows["p0"]["tier"] == "CLEAR"
    assert first not in settled.measurements


def test_a_run_without_faces_says_so_of_everybody() -> None:
    settled = settle([], Audited(gallery(0, 1), ["protected"] * 2, POINT, EMBEDDER, None, {"lost": "model"}))
    assert [r["tier"] for r in settled.ledger] == [NOT_SEEN] * 2
    assert [r["best_similarity"] for r in settled.ledger] == [None] * 2
    assert settled.facts["tracks"] == 0


def test_chance_alerts_follow_the_tracks_that_can_alert() -> None:
    run = Run(gallery(0, 1), cohort([near(0, 0.3, 1), *FAR]))
    for i in range(4):
        run.clip([person(5000 + i)] * 3)
    run.clip([person(6000)] * 2)
    expected = run.settle().facts["expected_chance_alerts"]["model"]
    assert expected["tracks"] == 4
    assert expected["value"] == pytest.approx(4 / 401)
    assert expected["low"] <= expected["value"] <= expected["high"]


def test_decoys_go_through_the_same_clips() -> None:
    run = Run(gallery(*range(10)), cohort(FAR))
    for i in range(10):
        run.clip([near(i, 0.1, 1)] * 3)
    control = run.settle().facts["decoys"]
    assert (control["people"], control["decoys"], control["hits"], control["decoy_hits"]) == (10, 10, 10, 0)
    assert control["p"] < 0.001
    assert "more than chance explains" in control["words"]
    assert control["expected_hits"]["value"] == 0


def test_faces_that_recur_are_told_with_or_without_a_gallery() -> None:
    run = Run(gallery(0))
    for prompt in ("a", "b", "c"):
        run.clip([near(42, 0.2, ord(prompt))] * 3, prompt=prompt)
    run.clip([person(43)] * 3)
    nobody = Audited(None, (), None, EMBEDDER, None, {})
    for settled in (run.settle(), settle(run.clips, nobody)):
        (face,) = settled.facts["people"]
        assert (face["prompts"], face["clips"], face["label"]) == (3, 3, "face 1")
        assert all(settled.pictures[p.removeprefix("evidence/")] == b"jpeg" for p in face["pictures"])
        assert len(settled.facts["faces"]) == 4
        assert settled.facts["clips_with_audio"] == 2
    assert settled.ledger == []
    assert settled.measurements == {}


def test_settling_twice_gives_the_same(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(gallery(0, 1), cohort(FAR))
    name = run.clip([near(0, 0.05, i) for i in range(3)])
    once = run.settle()
    assert once.measurements[name].to_json() == run.settle().measurements[name].to_json()
    backwards = Run(gallery(0, 1), cohort(FAR))
    backwards.clips = [replace(c) for c in run.clips[::-1]]
    assert backwards.settle().measurements[name].to_json() == once.measurements[name].to_json()
