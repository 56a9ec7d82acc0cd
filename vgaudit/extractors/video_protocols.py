"""Named protocols of Frechet video distances: which network sees which frames, and what becomes of its features.

A number is comparable only within one protocol, so everything that could differ stands in one row of this table. A
suite may write a row of its own (:mod:`vgaudit.extractors.video_own`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vgaudit.extractors.video_preprocessing import Preprocessing
from vgaudit.records import digest
from vgaudit.zoo.catalogue import (
    BUNDLED_VIDEO,
    CLIP_B_32,
    I3D_RGB,
    R3D_18,
    S3D,
    SWIN3D_T,
    VIDEOMAE_BASE,
    VIDEOMAE_G,
    WEIGHTS,
)

I3D = "i3d-kinetics400-styleganv"
AUTO = "auto"
"""In place of a protocol: the bundled network's, for clips declared to be of its domain."""

RESERVED = "fvd@"
"""How names of built-in protocols begin, and no other's."""

FILES = (".yaml", ".yml")
"""How a protocol ends that is meant as a file."""

Loader = Literal["torchscript", "i3d", "torchvision", "videomae", "clip"]


@dataclass(frozen=True)
class VideoProtocol:
    """One protocol.

    Attributes:
        name: As suites and reports say it.
        weights: Its network.
        window: Frames that the network sees at once; from the first frame on.
        random_reference: Reference clips of the same run are seen in a window at a random offset instead.
        features: What a row of features is.
        ddof: Covariances are divided by ``N - ddof``.
        clips: Clips on each side in published numbers; ``None`` where none are published.
        preprocessing: What is done to frames; ``None`` where the network takes uint8 of any size and does it itself.
        unsigned_reference: A file of statistics that does not say which network made it is taken, with a note.
        loader: What builds the network (:data:`vgaudit.extractors.video_networks.LOADERS`).
        model: Which network of that loader.
        stride: A window has every so manieth frame of the clip.
        fps: Frames a second that the clip is brought to first, by nearest time stamps; ``None``: its own rate.
        clips_per_video: Windows that follow one another from the first frame on; features are their mean.
        fewest: Frames that the network needs at least.
        most: Frames that it takes at most; ``None``: any.
        picture: Rows and columns that it takes; ``None``: any.
        itself: Resize, crop and range in words, where the network does them and they are known.
        base: The built-in protocol that a suite's own one is made from; empty for a built-in one.
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
    loader: Loader = "torchscript"
    model: str = ""
    stride: int = 1
    fps: float | None = None
    clips_per_video: int = 1
    fewest: int = 16
    most: int | None = 16
    picture: tuple[int, int] | None = None
    itself: tuple[str, str, str] | None = None
    base: str = ""

    @property
    def label(self) -> str:
        """The name as reports say it: one's own also with the beginning of a digest of all that it pins, so that two
        of one name are told apart.
        """
        return f"{self.name}#{digest(asdict(self))[:8]}" if self.base else self.name

    @property
    def bundled(self) -> bool:
        """Whether its own network ships along: whatever stands in for it is then held to the same small world."""
        return bool(WEIGHTS[self.weights].bundled)

    @property
    def covariance(self) -> str:
        """How covariances are normalised, in words."""
        return "divided by N - 1" if self.ddof else "divided by N"

    @property
    def span(self) -> int:
        """Frames from the first of a window to its last, at the rate that :attr:`fps` says."""
        return (self.window - 1) * self.stride + 1

    @property
    def least(self) -> str:
        """What a clip must have to be seen, in words."""
        rate = f" at {self.fps:g} frames a second" if self.fps else ""
        return f"{self.span * self.clips_per_video} frames{rate}"

    @property
    def _frames(self) -> str:
        each = "consecutive" if self.stride == 1 else f"(every {_ordinal(self.stride)})"
        rate = (
            f" of the clip brought to {self.fps:g} frames a second (nearest time stamps)" if self.fps else ""
        )
        return f"{self.window} {each} frames{rate}"

    @property
    def first_window(self) -> str:
        """Where a clip is seen, in words."""
        if self.clips_per_video == 1:
            return f"{self._frames} from frame 0"
        return f"{self.clips_per_video} times {self._frames}, one after the other from frame 0"

    @property
    def reference_window(self) -> str:
        """Where a clip of a reference group is seen, in words."""
        if not self.random_reference:
            return self.first_window
        return f"{self._frames} at a random offset, seeded by the clip's first frame"

    @property
    def pinned(self) -> dict[str, str]:
        """What moves the number beside network and window, in words: ``resize``, ``crop``, ``value_range``,
        ``features``, ``covariance``, ``frame_rate``, ``windows_per_clip``, ``short_clips``.
        """
        how = self.preprocessing
        itself = self.itself or ("by the network itself",) * 3
        many = self.clips_per_video
        return {
            "resize": how.resize if how else itself[0],
            "crop": how.crop if how else itself[1],
            "value_range": how.value_range if how else itself[2],
            "features": self.features,
            "covariance": self.covariance,
            "frame_rate": f"brought to {self.fps:g} frames a second, by nearest time stamps"
            if self.fps
            else "the clip's own" + (f", every {_ordinal(self.stride)} frame" if self.stride > 1 else ""),
            "windows_per_clip": "1" if many == 1 else f"{many}, and features are their mean",
            "short_clips": f"left out: fewer than {self.least}",
        }

    @property
    def identity(self) -> dict[str, Any]:
        """All that moves features, for fingerprints; what is as it was before it could be chosen is left out."""
        frames = {
            "stride": (self.stride, 1),
            "fps": (self.fps, None),
            "clips_per_video": (self.clips_per_video, 1),
            "base": (self.base, ""),
        }
        own = {"window": self.window} if self.base or self.window != 16 else {}
        return {
            "protocol": self.name,
            **own,
            **{name: value for name, (value, usual) in frames.items() if value != usual},
            **({"preprocessing": self.preprocessing.identity} if self.preprocessing else {}),
        }


def _ordinal(number: int) -> str:
    """``2`` as ``2nd``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _kinetics(size: tuple[int, int] | int, crop: int) -> Preprocessing:
    """Torchvision's preset for clips, with the mean and the deviation of Kinetics-400."""
    return Preprocessing(
        size=crop if isinstance(size, tuple) else size,
        low=0.0,
        high=1.0,
        resize_to=size if isinstance(size, tuple) else None,
        crop_to=(crop, crop),
        long_side="down",
        margin="even",
        whole=True,
        mean=(0.43216, 0.394666, 0.37645),
        std=(0.22803, 0.22145, 0.216989),
    )


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet."""

STYLEGANV = VideoProtocol(
    "fvd@styleganv", I3D, 16, True, "logits of I3D (Kinetics-400)", 0, 2048, unsigned_reference=True
)
VIDEOGPT = VideoProtocol(
    "fvd@videogpt", I3D_RGB, 16, True, "400 logits of InceptionI3d (Kinetics-400)", 1, 256,
    Preprocessing(size=224, low=-1.0, high=1.0), loader="i3d", fewest=9, most=None, picture=(224, 224),
)  # fmt: skip
STORYWORLD = VideoProtocol("fvd@storyworld", BUNDLED_VIDEO, 16, False, "features of storyworld-video", 1)
R3D18 = VideoProtocol(
    "fvd@r3d18", R3D_18, 16, False, "512 features of torchvision's r3d_18 (Kinetics-400), before the classifier", 1,
    preprocessing=_kinetics((128, 171), 112), loader="torchvision", model="r3d_18", fps=15.0, fewest=1, most=None,
)  # fmt: skip
S3D_PROTOCOL = VideoProtocol(
    "fvd@s3d", S3D, 128, False, "1024 features of torchvision's s3d (Kinetics-400), before the classifier", 1,
    preprocessing=_kinetics((256, 256), 224), loader="torchvision", model="s3d", fps=15.0, fewest=14, most=None,
    picture=(224, 224),
)  # fmt: skip
SWIN3D = VideoProtocol(
    "fvd@swin3d-t", SWIN3D_T, 32, False,
    "768 features of torchvision's swin3d_t (Kinetics-400), before the classifier", 1,
    preprocessing=Preprocessing(
        256, 0.0, 1.0, crop_to=(224, 224), long_side="down", margin="even", whole=True, mean=_MEAN, std=_STD,
    ),
    loader="torchvision", model="swin3d_t", fps=15.0, fewest=1, most=None,
)  # fmt: skip
VIDEOMAE = VideoProtocol(
    "fvd@videomae-base", VIDEOMAE_BASE, 16, False,
    "768 features of VideoMAE ViT-B (Kinetics-400): mean over tokens, layer norm", 1,
    preprocessing=Preprocessing(
        224, 0.0, 1.0, long_side="down", antialias=True, whole=True, mean=_MEAN, std=_STD,
    ),
    loader="videomae", model="base", picture=(224, 224),
)  # fmt: skip
CD_VIDEOMAE = VideoProtocol(
    "fvd@cd-videomae", VIDEOMAE_G, 16, True,
    "1408 features of VideoMAE v2 ViT-g (SSv2): mean over tokens, layer norm", 0, 2048,
    preprocessing=Preprocessing(224, 0.0, 1.0, resize_to=(224, 224)),
    loader="videomae", model="giant", picture=(224, 224),
)  # fmt: skip
CLIP = VideoProtocol(
    "fvd@clip-vit-b-32", CLIP_B_32, 16, False,
    "512 features of CLIP ViT-B/32: each frame's vector brought to length 1, then the mean over frames", 1,
    loader="clip", model="ViT-B-32", fewest=1, most=None,
    itself=(
        "short side to 224, bicubic, antialias on, on uint8 (Pillow, by open_clip)",
        "centre, 224 x 224 (torchvision, by open_clip)",
        "[0, 1] (0 to 255 before), less (0.48145466, 0.4578275, 0.40821073), over (0.26862954, 0.26130258, "
        "0.27577711), for red, green, blue",
    ),
)  # fmt: skip

PROTOCOLS: Mapping[str, VideoProtocol] = {
    p.name: p
    for p in (STYLEGANV, VIDEOGPT, STORYWORLD, R3D18, S3D_PROTOCOL, SWIN3D, VIDEOMAE, CD_VIDEOMAE, CLIP)
}
"""What is implemented."""


def protocol_of(name: str) -> VideoProtocol:
    """The protocol of that name, or the bundled network's for ``auto``."""
    return STORYWORLD if name == AUTO else PROTOCOLS[name]


def completed(options: Any) -> Any:
    """Options as given, with the protocol and the weights that they leave out.

    A protocol left out is that of the named weights, else the published one; weights left out are the protocol's, or
    those of the protocol that a suite's own one is made from.

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
    base = protocol.get("base") if isinstance(protocol, dict) else getattr(protocol, "base", protocol)
    if not isinstance(base, str) or base not in (AUTO, *PROTOCOLS):
        return options  # the field says what is wrong, or a file does what is right
    if owner and owner != protocol_of(base):
        raise ValueError(f"{weights} is the network of {owner.name}, not of {base}: change one of the two")
    return {**options, "protocol": protocol, "weights": weights or protocol_of(base).weights}
