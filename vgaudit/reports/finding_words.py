"""What each kind of finding means, in plain words, for readers who see nothing of the report but a list of alerts."""

from __future__ import annotations

from dataclasses import dataclass

from vgaudit.records import Severity


@dataclass(frozen=True)
class KindWords:
    """A kind of finding in words.

    Attributes:
        short: One clause without a full stop, for a list.
        full: What was seen, and how to take it.
        usual: The severity that such findings usually have.
    """

    short: str
    full: str
    usual: Severity


_MINOR, _MAJOR, _REVIEW, _INFO = Severity.MINOR, Severity.MAJOR, Severity.REVIEW, Severity.INFO
_TEMPORAL = "A detector of faults over time saw it in the frames. It may be meant: look at the clip."
_INTEGRITY = "The file itself is not as it should be or as the suite asked."
_KINDS = {
    "integrity.black": ("Black picture", "The picture stays black for a while. " + _INTEGRITY, _MAJOR),
    "integrity.constant": ("Flat picture", "All frames are one flat picture. " + _INTEGRITY, _MAJOR),
    "integrity.damaged": ("Damaged file", "The clip cannot be decoded in full. " + _INTEGRITY, _MAJOR),
    "integrity.fps": ("Wrong frame rate", "The frame rate is not the one asked for. " + _INTEGRITY, _MINOR),
    "integrity.frame_count": ("Wrong number of frames", "More or fewer frames than asked. " + _INTEGRITY, _MINOR),
    "integrity.length": ("Wrong length", "The clip is longer or shorter than asked. " + _INTEGRITY, _MINOR),
    "integrity.size": ("Wrong picture size", "Width or height is not the one asked for. " + _INTEGRITY, _MINOR),
    "likeness.match": (
        "Face resembles somebody in the gallery",
        "A face resembles a protected person more than chance explains, or beyond a published point. It is no proof "
        "of who it is: a person has to look at it and decide.",
        _REVIEW,
    ),
    "likeness.solicited": (
        "Face resembles somebody whom the prompt names",
        "The prompt names a protected person, and a face resembles them. A person has to look at it and decide.",
        _REVIEW,
    ),
    "likeness.consented": (
        "Face of somebody who has consented",
        "A face resembles a person of the gallery who agreed to appear. Told for the record.",
        _INFO,
    ),
    "likeness.unassessable": (
        "Likeness could not be assessed",
        "There are faces, and none could be compared: too small, blurred, turned away, covered. This is not a pass.",
        _REVIEW,
    ),
    "likeness.partly_unassessable": (
        "Some faces could not be compared",
        "Part of the faces were too small, blurred, turned away or covered to be compared. This is not a pass.",
        _REVIEW,
    ),
    "likeness.not_compared": (
        "Faces, and nobody to compare them with",
        "There are faces in the clip, and no gallery of people was given.",
        _INFO,
    ),
    "prompt_alignment.mismatch": (
        "The clip shows something else than the prompt asks for",
        "A description that the suite rules out fits the clip better than the one that it asks for.",
        _MAJOR,
    ),
    "temporal.blur_pulse": ("Picture goes out of focus and back", _TEMPORAL, _MINOR),
    "temporal.colour_shift": ("Colours of the whole picture drift", _TEMPORAL, _MINOR),
    "temporal.colour_swap": ("A part of the picture changes its colour", _TEMPORAL, _MINOR),
    "temporal.dropped_frames": ("Frames seem to be missing", _TEMPORAL, _MINOR),
    "temporal.duplicate_frames": ("Frames repeat: the clip stutters", _TEMPORAL, _MINOR),
    "temporal.exposure_shift": ("Light changes at once within a shot", _TEMPORAL, _MINOR),
    "temporal.flicker": ("Light flickers from frame to frame", _TEMPORAL, _MINOR),
    "temporal.freeze": ("Picture stands still", _TEMPORAL, _MINOR),
    "temporal.ghosting": ("Earlier pictures shine through", _TEMPORAL, _MINOR),
    "temporal.identity_drift": ("A face changes into another during the clip", _TEMPORAL, _MINOR),
    "temporal.jitter": ("Whole picture jumps about", _TEMPORAL, _MINOR),
    "temporal.jump_cut": ("Another shot without having been asked for", _TEMPORAL, _MINOR),
    "temporal.noise_burst": ("Picture is noisy for a while", _TEMPORAL, _MINOR),
    "temporal.popping": ("Something appears and vanishes at once", _TEMPORAL, _MINOR),
    "temporal.subject_swap": ("A large part of the picture is something else for a while", _TEMPORAL, _MINOR),
    "temporal.too_lively": ("More motion than the prompt asks for", _TEMPORAL, _MINOR),
    "temporal.too_still": ("Less motion than the prompt asks for", _TEMPORAL, _MINOR),
    "temporal.warping": ("Shapes bend and swell", _TEMPORAL, _MINOR),
}  # fmt: skip


def kind_words(kind: str) -> KindWords:
    """Words for a kind of finding; those of other people's metrics are made from the kind's name."""
    if kind in _KINDS:
        return KindWords(*_KINDS[kind])
    metric, _, what = kind.rpartition(".")
    words = what.replace("_", " ").strip() or kind or "finding"
    of = f" the metric {metric}" if metric else " a metric"
    return KindWords(
        words[:1].upper() + words[1:],
        f"Found by{of}, which does not come with vgaudit: see its own documentation. Look at the clip.",
        Severity.MAJOR,
    )
