"""What a self-test of the likeness audit was asked for, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vgaudit.errors import ExitCode, UsageError
from vgaudit.estimates import clopper_pearson
from vgaudit.likeness.recall import CONFIDENCE, KINDS, PASTED, Recall, Trial, recalls

VERSION = 1
CRFS = (18, 20, 23, 26, 28)
WINDOW_S = 2.0
"""Seconds of a clip that a planting is made of: as densely examined as a clip of any length."""

SPAN_S = (0.8, 1.2)
"""Seconds that a planted face is seen."""


@dataclass(frozen=True)
class SelftestSettings:
    """What a self-test does.

    Attributes:
        sizes: Widths of planted faces in pixels of the clip.
        plantings: Plantings of each size; ``counts`` overrides it for some.
        counts: Size to number of plantings.
        seed: Of everything drawn.
        max_yaw_deg: Largest turn of a head.
        crfs: Rate factors of the encoder, each as likely.
        options: Options of the likeness metric besides the gallery: embedder, threshold and whatever else.
        min_recall: What the lower bound of each size's recall must reach; ``None`` asks for nothing.
        untouched: Whether the clips are audited as they are, too.
        workers: Plantings at the same time.
    """

    sizes: tuple[int, ...] = (32, 48, 64, 96)
    plantings: int = 300
    counts: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    max_yaw_deg: float = 20.0
    crfs: tuple[int, ...] = CRFS
    options: Mapping[str, Any] = field(default_factory=dict)
    min_recall: float | None = None
    untouched: bool = True
    workers: int = 2

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: A number is out of range.
        """
        if not self.sizes or min(self.sizes) < 12 or len(set(self.sizes)) < len(self.sizes):
            raise UsageError(f"sizes {self.sizes}: expected different widths of faces from 12 px on")
        if self.plantings < 1 or self.workers < 1:
            raise UsageError("expected at least one planting of each size, and one worker")
        if self.min_recall is not None and not 0 < self.min_recall <= 1:
            raise UsageError(f"a recall of {self.min_recall:g} was asked for; expected above 0 and up to 1")
        if "gallery" in self.options:
            raise UsageError("the gallery is an argument of its own, not an option")


@dataclass(frozen=True)
class Untouched:
    """What the audit says of one clip as it is.

    Attributes:
        clip: Its name.
        faces: Faces seen on its examined frames.
        raised: Entries raised in it.
        assessed: Whether all faces could be compared.
        error: Why it could not be audited; empty if it was.
    """

    clip: str
    faces: int = 0
    raised: tuple[str, ...] = ()
    assessed: bool = True
    error: str = ""


@dataclass(frozen=True)
class SelftestResult:
    """What a self-test found.

    Attributes:
        settings: What was asked.
        trials: The plantings.
        untouched: The clips as they are.
        notes: What a reader must know.
        not_computed: Sizes without an answer, and why.
        photographs: Entry to number of planted pictures.
        embedder: Its name.
    """

    settings: SelftestSettings
    trials: tuple[Trial, ...]
    untouched: tuple[Untouched, ...]
    notes: tuple[str, ...]
    not_computed: Mapping[int, str]
    photographs: Mapping[str, int]
    embedder: str

    def by_size(self) -> list[Recall]:
        """Recall of each size, smallest first."""
        return [
            Recall.of(f"{size} px", [t for t in self.trials if t.width_px == size])
            for size in sorted(self.settings.sizes)
        ]

    @property
    def exit_code(self) -> ExitCode:
        """3 if the lower bound of a size falls short of ``min_recall``, 4 if a size has no answer, else 0."""
        wanted = self.settings.min_recall
        if wanted is not None and any(r.low is not None and r.low < wanted for r in self.by_size()):
            return ExitCode.GATE_FAILED
        return ExitCode.NOT_COMPUTED if self.not_computed else ExitCode.OK

    def untouched_summary(self) -> dict[str, Any]:
        """Counts over the untouched clips; ``raised_high`` is the exact upper 95 % bound of the share raised."""
        audited = [u for u in self.untouched if not u.error]
        faces = [u for u in audited if u.faces]
        raised = [u for u in faces if u.raised]
        high = clopper_pearson(len(raised), len(faces), CONFIDENCE)[1] if faces else None
        return {
            "clips": len(self.untouched),
            "failed": len(self.untouched) - len(audited),
            "with_faces": len(faces),
            "assessed": sum(u.assessed for u in faces),
            "raised": len(raised),
            "raised_high": high,
            "raised_clips": {u.clip: list(u.raised) for u in raised},
        }

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; no picture, no template and no path of the gallery is in it."""
        sizes = sorted(self.settings.sizes)
        return {
            "selftest": "likeness",
            "version": VERSION,
            "recall_is": PASTED,
            "settings": {
                **asdict(self.settings),
                "counts": {str(k): v for k, v in self.settings.counts.items()},
                "window_s": WINDOW_S,
                "span_s": list(SPAN_S),
            },
            "embedder": self.embedder,
            "photographs": dict(self.photographs),
            "sizes": [
                {"width_px": s, **r.to_json(), "not_computed": self.not_computed.get(s, "")}
                for s, r in zip(sizes, self.by_size(), strict=True)
            ],
            "by": {
                kind: {
                    str(s): [r.to_json() for r in recalls((t for t in self.trials if t.width_px == s), of)]
                    for s in sizes
                }
                for kind, of in KINDS.items()
            },
            "untouched": self.untouched_summary() if self.settings.untouched else None,
            "notes": list(self.notes),
            "exit_code": int(self.exit_code),
        }
