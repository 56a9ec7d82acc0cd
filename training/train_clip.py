"""Trains ``storyworld-clip``: an open_clip network for captions and frames of the storyworld.

    python training/storyworld_clips.py --out work/pictures --clips 20000 --side 96 --every 2 --clean
    python training/train_clip.py --data work/pictures --out work/clip

The output folder is what open_clip loads as ``local-dir:``. The same command goes on from the last checkpoint. Runs
on CPU and GPU (``--device``).

A clip's logit with a text is the network's scale times the mean cosine of its frames with the text, as the audit
computes it. The loss is contrastive over the batch (texts that are true of another clip too are left out), plus the
same over texts that differ in one aspect, captions and short phrases. Linear heads on the mean embedding are asked
the four aspects besides, which speeds up what single frames hardly show (actions). Frames are of 96 pixels although
the storyworld draws 64: at 64 the network's first layers lose what tells a step from a stand.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from clip_texts import ASPECTS, contrast, scene_of, words
from storyworld_clips import load

from vgaudit.storyworld.scene import caption
from vgaudit.storyworld.vocabulary import ACTIONS, COLOURS, SETTINGS, SUBJECTS

CONTEXT = 28
MEAN, STD = 0.5, 0.25
SIDE = 96
FRAMES_SEEN = 4
ASKED = {"subject": (1.0, 3), "action": (1.0, 4), "colour": (0.2, 2), "setting": (0.1, 2)}
"""Of which share of the clips an aspect is asked at a step, among how many others: what is told apart last, most."""


def config(vocabulary: int) -> dict[str, Any]:
    """open_clip's config of the network."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": SIDE, "layers": [1, 2, 2, 1], "width": 20, "head_width": 64},
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": vocabulary,
                "hf_tokenizer_name": "storyworld-clip",
                "width": 128,
                "heads": 4,
                "layers": 2,
            },
        },
        "preprocess_cfg": {
            "size": [SIDE, SIDE],
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def write_tokenizer(folder: Path, read_as: Mapping[str, str] | None = None) -> int:
    """A word-level tokenizer of the grammar's words; the size of its vocabulary.

    Args:
        folder: Where ``tokenizer.json`` and its settings go.
        read_as: Words -> the words that they are read as; empty where a word is passed over.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    # The end token has the largest number: open_clip reads the text's embedding at the argmax.
    tokens = ["[PAD]", "[UNK]", *words(), "[BOS]", "[EOS]"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[^\p{L}\p{N}]+"), " "),
            *(normalizers.Replace(Regex(rf"\b{word}\b"), other) for word, other in (read_as or {}).items()),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[BOS]", vocabulary["[BOS]"]), ("[EOS]", vocabulary["[EOS]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=ends)
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[BOS]", "[EOS]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "bos_token": "[BOS]",
        "eos_token": "[EOS]",
        "model_max_length": CONTEXT,
        "padding_side": "right",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    return len(tokens)


def build(folder: Path) -> tuple[nn.Module, Any]:
    """The untrained network of ``folder``'s config, and its tokenizer."""
    import open_clip

    vocabulary = write_tokenizer(folder)
    (folder / "open_clip_config.json").write_text(json.dumps(config(vocabulary), indent=1) + "\n", "utf-8")
    source = f"local-dir:{folder}"
    network = open_clip.create_model(source, load_weights=False, precision="fp32")
    return network, open_clip.get_tokenizer(source)


def frames_of(clean: NDArray[np.uint8], chosen: NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
    """Clips ``(B, K, 3, 96, 96)`` in [0, 1], changed as generators change pictures."""
    clips = []
    for i in chosen:
        edges = np.linspace(0, clean.shape[1], FRAMES_SEEN + 1)
        clip = clean[i][[int(rng.uniform(a, b)) for a, b in pairwise(edges)]]
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        dx, dy = (int(v) for v in rng.integers(0, 9, 2))
        clips.append(
            np.pad(clip, ((0, 0), (4, 4), (4, 4), (0, 0)), "edge")[:, dy : dy + SIDE, dx : dx + SIDE]
        )
    batch = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).float() / 255
    count = len(chosen)
    some = torch.from_numpy(rng.random((3, count)))
    strength = torch.from_numpy(
        rng.uniform((0.9, -0.04, 0.3, 0.0), (1.1, 0.04, 1.0, 0.04), (count, 4))
    ).float()
    gain, lift, blur, noise = strength.T[..., None, None, None, None]
    batch = (batch - 0.5) * gain + 0.5 + lift
    flicker = some[2] < 0.1
    batch[flicker] += torch.from_numpy(
        rng.normal(0, 0.06, (int(flicker.sum()), FRAMES_SEEN, 1, 1, 1))
    ).float()
    soft = some[0] < 0.2
    small = functional.avg_pool2d(batch[soft].flatten(0, 1), 2)
    wide = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    batch[soft] = batch[soft].lerp(wide.view_as(batch[soft]), blur[soft])
    rough = some[1] < 0.3
    grain = torch.Generator().manual_seed(int(rng.integers(2**31)))
    batch[rough] += torch.randn(batch[rough].shape, generator=grain) * noise[rough]
    return batch.clamp_(0, 1)


class Texts:
    """Token ids by text, each tokenized once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, torch.Tensor] = {}

    def __call__(self, texts: list[str]) -> torch.Tensor:
        new = [t for t in dict.fromkeys(texts) if t not in self._known]
        if new:
            self._known |= dict(zip(new, self._tokenizer(new), strict=True))
        return torch.stack([self._known[t] for t in texts])


class Heads(nn.Module):
    """What a clip's mean embedding is asked besides: the four aspects, by name. Thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        values = (SUBJECTS, COLOURS, ACTIONS, SETTINGS)
        self.names = {a: list(v) for a, v in zip(ASPECTS, values, strict=True)}
        self.aspects = nn.ModuleDict({a: nn.Linear(width, len(v)) for a, v in self.names.items()})

    def loss(self, images: torch.Tensor, labels: list[dict[str, Any]]) -> torch.Tensor:
        """Cross entropy of the aspects of clips ``(B, d)``, summed."""
        # Mean embeddings are of length 1 at most; the factor gives the logits room.
        return sum(
            functional.cross_entropy(
                self.aspects[a](8.0 * images),
                torch.tensor([v.index(label["scene"][a]) for label in labels], device=images.device),
            )
            for a, v in self.names.items()
        )


def step_loss(
    network: Any,
    heads: Heads,
    texts: Texts,
    clips: torch.Tensor,
    labels: list[dict[str, Any]],
    rng: np.random.Generator,
    device: str,
) -> torch.Tensor:
    """The loss of one batch."""
    scenes = [scene_of(label) for label in labels]
    captions = [caption(s, int(rng.integers(2**31))) for s in scenes]
    pairs = [
        (row, *contrast(scene, aspect, others, rng, short=0.85, far=0.3))
        for row, scene in enumerate(scenes)
        for aspect, (share, others) in ASKED.items()
        if rng.random() < share
    ]
    said = list(dict.fromkeys([*captions, *(t for _, true, others in pairs for t in (true, *others))]))
    place = {text: i for i, text in enumerate(said)}
    flat = clips.flatten(0, 1).to(device, memory_format=torch.channels_last)
    with torch.autocast(device, torch.bfloat16):
        images = network.encode_image((flat - MEAN) / STD, normalize=False)
        words_ = network.encode_text(texts(said).to(device), normalize=False)
    images = functional.normalize(images.float(), dim=-1).unflatten(0, clips.shape[:2]).mean(1)
    words_ = functional.normalize(words_.float(), dim=-1)
    logits = network.logit_scale.exp().clamp(max=100) * images @ words_.T
    # Texts that say what another clip of the batch shows as well are no negatives of it.
    alike = [(s.subject, s.colour, s.action, s.setting) for s in scenes]
    same = torch.tensor([[a == b for b in alike] for a in alike], device=device)
    same.fill_diagonal_(False)
    full = logits[:, [place[c] for c in captions]].masked_fill(same, -1e4)
    target = torch.arange(len(clips), device=device)
    loss = functional.cross_entropy(full, target) + functional.cross_entropy(full.T, target)
    local = [
        functional.cross_entropy(logits[row, [place[t] for t in (true, *others)]][None], target[:1])
        for row, true, others in pairs
        if others
    ]
    return loss / 2 + 1.5 * torch.stack(local).mean() + 0.5 * heads.loss(images, labels)


@torch.no_grad()
def held_out(network: Any, texts: Texts, folder: Path, device: str) -> dict[str, float]:
    """Accuracy on scenes that were kept from training: top-1 of 64 captions, and each contrast."""
    clean, labels = load(folder)
    network.eval()
    rows = []
    for clip in clean:
        frames = torch.from_numpy(clip.copy()).permute(0, 3, 1, 2).float().to(device) / 255
        rows.append(network.encode_image((frames - MEAN) / STD, normalize=True).mean(0))
    images, rng = torch.stack(rows), np.random.default_rng(0)
    scenes = [scene_of(label) for label in labels]

    def embedded(said: list[str]) -> torch.Tensor:
        return network.encode_text(texts(said).to(device), normalize=True)

    captions = embedded([caption(s, i) for i, s in enumerate(scenes)])
    right: dict[str, list[bool]] = {"top1_of_64": []}
    for i, scene in enumerate(scenes):
        others = [j for j in rng.permutation(len(scenes)) if j != i and scenes[j] != scene][:63]
        cosines = captions[[i, *others]] @ images[i]
        right["top1_of_64"].append(bool(cosines[0] > cosines[1:].max()))
        for aspect in ASPECTS:
            true, false = contrast(scene, aspect, 3, rng)
            if false:
                cosines = embedded([true, *false]) @ images[i]
                right.setdefault(aspect, []).append(bool(cosines[0] > cosines[1:].max()))
    network.train()
    return {name: round(float(np.mean(found)), 4) for name, found in right.items()}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    network, tokenizer = build(args.out)
    network = network.to(args.device, memory_format=torch.channels_last).train()
    clean, labels = load(args.data)
    if clean.shape[2:4] != (SIDE, SIDE):
        sys.exit(
            f"{args.data}: frames are {clean.shape[3]}x{clean.shape[2]}, not {SIDE}x{SIDE}; draw with --side"
        )
    heads = Heads(config(0)["model_cfg"]["embed_dim"]).to(args.device)
    texts = Texts(tokenizer)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in network.parameters() if p.ndim <= 1]},
            {"params": heads.parameters(), "lr": 4e-3},
        ],
        lr=args.lr,
        betas=(0.9, 0.98),
        weight_decay=0.0,
    )

    def update(rng: np.random.Generator) -> dict[str, float]:
        chosen = rng.choice(len(labels), args.batch, replace=False)
        clips = frames_of(clean, chosen, rng)
        # The fused kernel's way back is the slowest part of a step on CPU.
        with sdpa_kernel([SDPBackend.MATH]):
            loss = step_loss(network, heads, texts, clips, [labels[int(i)] for i in chosen], rng, args.device)
            loop.descend(loss, optimizer)
        return {"loss": float(loss.detach())}

    loop.train(
        args,
        {"network": network, "heads": heads},
        [optimizer],
        update,
        measure=(lambda: held_out(network, texts, args.held_out, args.device)) if args.held_out else None,
        write=lambda: write_weights(network, args.out),
    )


def write_weights(network: nn.Module, folder: Path) -> None:
    """Weights in half precision, as they ship."""
    from safetensors.torch import save_file

    network.logit_scale.data.clamp_(max=math.log(100))  # as in the loss
    state = {
        k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in network.state_dict().items()
    }
    save_file(state, folder / "open_clip_model.safetensors")


if __name__ == "__main__":
    train(loop.arguments(__doc__, steps=3_000, lr=1.5e-3, batch=64).parse_args())
