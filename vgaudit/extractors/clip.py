"""CLIP embeddings of frames and of texts, through open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import BUNDLED_CLIP, CLIP_ALIASES
from vgaudit.zoo.clip_models import ClipChoice, ClipModel, check_model_name, load_clip, split_name
from vgaudit.zoo.resolve import is_path

_VERSION = 2
_TEXT_VERSION = 3

AUTO = "auto"
"""In place of a model's name: the network that ships with the package, for clips declared to be of its domain."""


class ClipOptions(BaseModel):
    """Which CLIP, and how frames go through it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        description="open_clip model name or <publisher>/<model> as openai/ViT-B-32; storyworld-clip ships along; "
        "auto: that one, where the backend declares its domain. Default ViT-B-32.",
    )
    pretrained: str | None = Field(
        None, description="open_clip weights tag or path of a checkpoint (.safetensors, .pt); default openai."
    )
    pretrained_tag: str | None = Field(
        None,
        min_length=1,
        description="open_clip tag that a local checkpoint of `model` comes from: it is preprocessed and run alike.",
    )
    config: str | None = Field(None, description="Path of an open_clip JSON config, instead of `model`.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest the checkpoint must have."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    precision: Literal["fp32"] = Field("fp32", description="Arithmetic.")
    batch_size: int = Field(32, ge=1, le=1024, description="Frames of one clip that go through at once.")
    every: int = Field(1, ge=1, description="Embed every n-th frame, from the first on.")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        """Bring all spellings of a model to one, so that they share features."""
        if not isinstance(data, dict):
            return data
        pretrained = data.get("pretrained")
        if data.get("config"):
            if not pretrained:
                raise ValueError("`config` describes a local model: name its checkpoint in `pretrained` too")
            if data.get("model"):
                raise ValueError("`config` and `model` both say which network: keep one")
            if data.get("pretrained_tag"):
                raise ValueError("`config` and `pretrained_tag` both say how the network is run: keep one")
            return data
        named, stated = str(data.get("model") or "ViT-B-32"), data.get("pretrained_tag")
        model, tag = split_name(BUNDLED_CLIP if named == AUTO else named, pretrained)
        if pretrained is None or not is_path(str(pretrained)):
            if stated:
                raise ValueError("`pretrained_tag` is for a checkpoint named by its path in `pretrained`")
        elif named in CLIP_ALIASES and not stated:
            stated = CLIP_ALIASES[named][1]  # the publisher's name in `model` says where the file comes from
        model = AUTO if named == AUTO else model
        return {**data, "model": model, "pretrained": tag, "pretrained_tag": stated}

    @field_validator("model")
    @classmethod
    def _known(cls, model: str | None) -> str | None:
        if model not in (None, AUTO):
            check_model_name(model)
        return model

    @property
    def choice(self) -> ClipChoice:
        """The network; ``auto`` is the bundled one, and whether it may judge a clip is the metric's to say."""
        return ClipChoice(
            BUNDLED_CLIP if self.model == AUTO else self.model or "",
            self.pretrained or "openai",
            self.config,
            self.sha256,
            self.device,
            self.pretrained_tag,
        )


class ClipExtractor:
    """Frames -> unit vectors in CLIP's joint space.

    Arrays: ``embedding`` float32 ``(T, d)``, rows of length 1; ``frame_index`` int64 ``(T,)``; ``pts_s`` float64
    ``(T,)``. Each frame goes through open_clip's evaluation transform (resize, centre crop, normalisation). Batches
    hold consecutive frames of one clip, so no other clip can change a number.
    """

    name: ClassVar[str] = "clip"
    Options: ClassVar[type[BaseModel]] = ClipOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: ClipOptions) -> None:
        self.options = options
        how = {k: getattr(options, k) for k in ("precision", "batch_size", "every")}
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, **options.choice.identity())
        self._model: ClipModel | None = None

    def load(self) -> None:
        """Load the network, or share it with whoever has.

        Raises:
            Unavailable: The weights or open_clip are not there.
        """
        self._model = load_clip(self.options.choice)

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._model is None:
            raise RuntimeError("load() the CLIP extractor before the first clip")
        return _ClipExtraction(self._model, self.options)


class _ClipExtraction:
    """One clip: gathers preprocessed frames into batches of fixed size, whatever the blocks pushed."""

    def __init__(self, model: ClipModel, options: ClipOptions) -> None:
        self._model = model
        self._options = options
        self._waiting: list[Any] = []
        self._embedded: list[NDArray[np.float32]] = []
        self._index: list[int] = []
        self._pts: list[float] = []

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        from PIL import Image

        for i in range(len(frames)):
            if (frames.start + i) % self._options.every:
                continue
            self._waiting.append(self._model.preprocess(Image.fromarray(frames.rgb[i])))
            self._index.append(frames.start + i)
            self._pts.append(float(frames.pts_s[i]))
            if len(self._waiting) == self._options.batch_size:
                self._embed()

    def finish(self) -> Features:
        """Features of all frames pushed."""
        self._embed()
        width = int(self._model.network.visual.output_dim)
        rows = np.concatenate(self._embedded) if self._embedded else np.zeros((0, width), np.float32)
        arrays: dict[str, NDArray[Any]] = {
            "embedding": rows,
            "frame_index": np.array(self._index, dtype=np.int64),
            "pts_s": np.array(self._pts, dtype=np.float64),
        }
        return Features(arrays, {**self._model.facts, "every": self._options.every})

    def _embed(self) -> None:
        import torch

        if not self._waiting:
            return
        batch = torch.stack(self._waiting).to(self._model.device)
        self._waiting.clear()
        with torch.inference_mode():
            self._embedded.append(_rows(self._model.network.encode_image(batch, normalize=True)))


class ClipTextExtractor:
    """Texts -> unit vectors in CLIP's joint space.

    Arrays: ``embedding`` float32 ``(n, d)``, rows of length 1; ``token_count`` int64 ``(n,)``: tokens of the whole
    text with its start and end token; ``truncated`` bool ``(n,)``: whether the text tower saw less than that;
    ``unknown_count`` int64 ``(n,)``: words the tokenizer does not know, 0 where it spells by byte pairs. Facts:
    ``context_length``, ``logit_scale`` (factor on cosines before a softmax), ``unknown_words`` (those of each text).
    Texts go through one by one, so that which other texts are asked for cannot change a number.
    """

    name: ClassVar[str] = "clip_text"
    Options: ClassVar[type[BaseModel]] = ClipOptions
    unit: ClassVar[Unit] = "text"

    def __init__(self, options: ClipOptions) -> None:
        self.options = options
        how = {"precision": options.precision}
        self.fingerprint = make_fingerprint(self.name, _TEXT_VERSION, how, **options.choice.identity())
        self._model: ClipModel | None = None

    def load(self) -> None:
        """As :meth:`ClipExtractor.load`."""
        self._model = load_clip(self.options.choice)

    def extract_texts(self, texts: Sequence[str]) -> Features:
        """Features of ``texts``, in order."""
        import torch

        if self._model is None:
            raise RuntimeError("load() the CLIP text extractor before the first text")
        model = self._model
        rows, counts = [], [model.count_tokens(text) for text in texts]
        unknown = [list(model.unknown_words(text)) for text in texts]
        with torch.inference_mode():
            for text in texts:
                tokens = model.tokenize([text]).to(model.device)
                rows.append(_rows(model.network.encode_text(tokens, normalize=True)))
            scale = float(model.network.logit_scale.exp())
        token_count = np.array(counts, dtype=np.int64)
        width = int(model.network.visual.output_dim)
        arrays: dict[str, NDArray[Any]] = {
            "embedding": np.concatenate(rows) if rows else np.zeros((0, width), np.float32),
            "token_count": token_count,
            "truncated": token_count > model.context_length,
            "unknown_count": np.array([len(words) for words in unknown], dtype=np.int64),
        }
        facts = {"context_length": model.context_length, "logit_scale": scale, "unknown_words": unknown}
        return Features(arrays, {**model.facts, **facts})


def _rows(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float32)
