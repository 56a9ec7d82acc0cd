"""Named protocols of Frechet video distances: which network sees which frames, and what becomes of its features.

A number is comparable only within one protocol, so everything that could differ stands in one row of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.zoo.catalogue import BUNDLED_VIDEO, I3D_RGB, WEIGHTS

I3D = "i3d-kinetics400-styleganv"
AUTO = "auto"
"""In place of a protocol: the bundled network's, for clips declared to be of its domain."""


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of frames before a network that takes them ready (:mod:`vgaudit.extractors.video_input` does it).

    Attributes:
        size: Pixels of the short side after the resize, and of both sides after the crop.
        low: What 0 becomes.
        high: What 255 becomes.
    """

    size: int
    low: float
    high: float

    @property
    def resize(self) -> str:
        """The resize in words."""
        return (
            f"short side to {self.size}, long side rounded up; bilinear, antialias off, align_corners False, "
            "in float32"
        )

    @property
    def crop(self) -> str:
        """The crop in words."""
        return f"centre, {self.size} x {self.size}; an odd margin has its smaller half above and to the left"

    @property
    def value_range(self) -> str:
        """The values in words."""
        return f"[{self.low:g}, {self.high:g}] (0 to 255 before)"


@dataclass(frozen=True)
class VideoProtocol:
    """One protocol.

    Attributes:
        name: As suites and reports say it.
        weights: Its network.
        window: Consecutive frames that the network sees at once, at the clip's own rate; from the first frame on.
        random_reference: Reference clips of the same run are seen in a window at a random offset instead.
        features: What a row of features is.
        ddof: Covariances are divided by ``N - ddof``.
        clips: Clips on each side in published numbers; ``None`` where none are published.
        preprocessing: What is done to frames; ``None`` where the network takes uint8 of any size and does it itself.
        unsigned_reference: A file of statistics that does not say which network made it is taken, with a note.
    """

    name: str
    weights: str
    window: int
    random_reference: bool
    features: str
    ddof: int
    clips: int | None = None
    preprocessing: Preprocessing | None = None
    unsigned_reference: bool = False

    @property
    def bundled(self) -> bool:
        """Whether its own network ships along: whatever stands in for it is then held to the same small world."""
        return bool(WEIGHTS[self.weights].bundled)

    @property
    def covariance(self) -> str:
        """How covariances are normalised, in words."""
        return "divided by N - 1" if self.ddof else "divided by N"

    @property
    def pinned(self) -> dict[str, str]:
        """What moves the number beside network and window, in words: ``resize``, ``crop``, ``value_range``,
        ``features``, ``covariance``.
        """
        how = self.preprocessing
        itself = "by the network itself"
        return {
            "resize": how.resize if how else itself,
            "crop": how.crop if how else itself,
            "value_range": how.value_range if how else itself,
            "features": self.features,
            "covariance": self.covariance,
        }


STYLEGANV = VideoProtocol(
    "fvd@styleganv", I3D, 16, True, "logits of I3D (Kinetics-400)", 0, 2048, unsigned_reference=True
)
VIDEOGPT = VideoProtocol(
    "fvd@videogpt", I3D_RGB, 16, True, "400 logits of InceptionI3d (Kinetics-400)", 1, 256,
    Preprocessing(size=224, low=-1.0, high=1.0),
)  # fmt: skip
STORYWORLD = VideoProtocol("fvd@storyworld", BUNDLED_VIDEO, 16, False, "features of storyworld-video", 1)

PROTOCOLS: Mapping[str, VideoProtocol] = {p.name: p for p in (STYLEGANV, VIDEOGPT, STORYWORLD)}
"""What is implemented."""


def protocol_of(name: str) -> VideoProtocol:
    """The protocol of that name, or the bundled network's for ``auto``."""
    return STORYWORLD if name == AUTO else PROTOCOLS[name]


def completed(options: Any) -> Any:
    """Options as given, with the protocol and the weights that they leave out.

    A protocol left out is that of the named weights, else the published one; weights left out are the protocol's.

    Raises:
        ValueError: The weights are another protocol's, or go with no named protocol.
    """
    if not isinstance(options, dict):
        return options
    weights = options.get("weights")
    owner = next((p for p in PROTOCOLS.values() if p.weights == weights), None)
    protocol = options.get("protocol") or (owner or STYLEGANV).name
    if protocol == AUTO and weights not in (None, STORYWORLD.weights):
        raise ValueError(
            f"protocol {AUTO} takes its own network: leave `weights` out, or name the protocol "
            f"({', '.join(PROTOCOLS)})"
        )
    if protocol not in (AUTO, *PROTOCOLS):
        return options  # the field says what is wrong
    if owner and owner != protocol_of(protocol):
        raise ValueError(
            f"{weights} is the network of {owner.name}, not of {protocol}: change one of the two"
        )
    return {**options, "protocol": protocol, "weights": weights or protocol_of(protocol).weights}
