"""Named protocols of Frechet video distances: which network sees which frames, and what becomes of its features.

A number is comparable only within one protocol, so everything that could differ stands in one row of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.zoo.catalogue import BUNDLED_VIDEO, WEIGHTS

I3D = "i3d-kinetics400-styleganv"
AUTO = "auto"
"""In place of a protocol: the bundled network's, for clips declared to be of its domain."""


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
    """

    name: str
    weights: str
    window: int
    random_reference: bool
    features: str
    ddof: int
    clips: int | None = None

    @property
    def bundled(self) -> bool:
        """Whether its own network ships along: whatever stands in for it is then held to the same small world."""
        return bool(WEIGHTS[self.weights].bundled)

    @property
    def covariance(self) -> str:
        """How covariances are normalised, in words."""
        return "divided by N - 1" if self.ddof else "divided by N"


STYLEGANV = VideoProtocol("fvd@styleganv", I3D, 16, True, "logits of I3D (Kinetics-400)", 0, 2048)
STORYWORLD = VideoProtocol("fvd@storyworld", BUNDLED_VIDEO, 16, False, "features of storyworld-video", 1)

PROTOCOLS: Mapping[str, VideoProtocol] = {p.name: p for p in (STYLEGANV, STORYWORLD)}
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
