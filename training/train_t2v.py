"""Trains ``storyworld-t2v``: a text-to-video diffusion pipeline for the storyworld, saved as a diffusers folder.

    python training/train_vae.py --data work/drawn --held-out work/held-out-drawn --out work/vae --compile
    python training/train_t2v.py --data work/drawn --vae work/vae --out work/t2v --compile

Flow matching on latents that are computed once (each clip and its mirror image), with captions in eight wordings
each; the text encoder learns along. A tenth of the captions is empty, for guidance. The same command goes on from the
last checkpoint. Runs on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from block_code import BlockCode
from clip_texts import scene_of
from optimizers import optimizers_of
from storyworld_clips import load
from train_clip import write_tokenizer
from train_vae import CHANNELS, COMPRESSION, LATENT, code_of, pixels

from vgaudit.storyworld.scene import Scene, caption

TOKENS = 32
"""Length of texts, filled up: ``max_sequence_length`` of the pipeline has to be the same, since its encoder sees the
filling."""
FRAME_RATE = 8
WORDINGS = 8
"""Captions of each clip."""
WITHOUT_TEXT = 0.1
WITHOUT_COLOUR = 0.15
READ_AS = {
    "woods": "forest", "mountains": "mountain", "spinning": "rotating", "jacket": "shirt", "wearing": "in",
    "beside": "by", "near": "by", "over": "across", "under": "across", "shows": "showing", "are": "is",
    "clip": "", "colored": "", "coloured": "", "it": "", "its": "", "street": "", "then": "", "thing": "", "to": "",
    "video": "", "while": "", "with": "",
}  # fmt: skip
"""Words of the grammar that prompts say and no caption, so that nothing is learnt of them -> the words that they are
read as, none for those that say nothing here."""
OUTER = ("table", "shared", "embed", "bias", "proj_in", "proj_out")
WIDTH, TEXT_WIDTH = 192, 96


def text_encoder(vocabulary: int) -> Any:
    """A small T5 encoder."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=TEXT_WIDTH,
            d_kv=24,
            d_ff=192,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def transformer() -> Any:
    """The denoising network."""
    from diffusers import LTXVideoTransformer3DModel

    return LTXVideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=6,
        attention_head_dim=WIDTH // 6,
        cross_attention_dim=WIDTH,
        num_layers=6,
        caption_channels=TEXT_WIDTH,
    )


def captions_of(
    scenes: Sequence[Scene], wordings: int, seed: int, without_text: float = WITHOUT_TEXT
) -> list[str]:
    """Texts for clips of these scenes, ``wordings`` each: captions, now and then without the colour, or nothing."""
    rng = np.random.default_rng([seed, 1])
    texts = []
    for scene in (scene for scene in scenes for _ in range(wordings)):
        shown = replace(scene, colour=None) if rng.random() < WITHOUT_COLOUR else scene
        texts.append("" if rng.random() < without_text else caption(shown, int(rng.integers(2**31))))
    return texts


def ids_of(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Texts as numbers of words, ``(N, 32)``; 0 is filling."""
    known = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    found = tokenizer(
        [*known], padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids.short()
    return found[[known[text] for text in texts]]


def latents_of(code: BlockCode, folder: Path, out: Path, device: str) -> torch.Tensor:
    """Latents of all clips and of their mirror images, half precision ``(N, 2, C, 5, 4, 4)``; computed once."""
    clean, _ = load(folder)
    of = hashlib.sha256(code.axes.numpy().tobytes() + (folder / "recipe.json").read_bytes()).hexdigest()
    if out.exists():
        stored = torch.load(out, weights_only=True)
        if stored["of"] != of:
            sys.exit(
                f"{out} holds latents of another code or of other clips; remove it, or name another --vae"
            )
        return stored["latents"].to(device)
    code = code.to(device)
    latents = torch.empty((len(clean), 2, CHANNELS, *LATENT), dtype=torch.float16)
    for first in range(0, len(clean), 100):
        clips = pixels(clean[first : first + 100], device)
        for side in (0, 1):
            latents[first : first + len(clips), side] = code.encode(clips.flip(3) if side else clips).half()
    torch.save({"of": of, "latents": latents}, out.with_suffix(".part"))
    out.with_suffix(".part").replace(out)
    return latents.to(device)


def loss_of(
    network: Any,
    encoder: Any,
    latents: torch.Tensor,
    noise: torch.Tensor,
    share: torch.Tensor,
    ids: torch.Tensor,
) -> torch.Tensor:
    """Flow matching: the network tells noise from picture at a random mixture of both.

    Args:
        network: The denoising network.
        encoder: The text encoder. It sees the filling too, because the pipeline shows it.
        latents: Of the clips, normalised, ``(B, tokens, C)``.
        noise: Of the same shape.
        share: Of noise in each mixture, ``(B,)``.
        ids: Texts, ``(B, length)``; 0 is filling.
    """
    mixed = torch.lerp(latents, noise, share[:, None, None])
    with torch.autocast(latents.device.type, torch.bfloat16):
        found = network(
            hidden_states=mixed,
            encoder_hidden_states=encoder(ids)[0],
            timestep=share * 1000,
            encoder_attention_mask=ids != 0,
            num_frames=LATENT[0],
            height=LATENT[1],
            width=LATENT[2],
            rope_interpolation_scale=(COMPRESSION[0] / FRAME_RATE, *COMPRESSION[1:]),
            return_dict=False,
        )[0]
    return functional.mse_loss(found.float(), noise - latents)


def train(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKLLTXVideo
    from transformers import PreTrainedTokenizerFast

    torch.manual_seed(args.seed)
    folder = args.out / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    encoder = text_encoder(write_tokenizer(folder, READ_AS)).to(args.device).train()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    network = transformer().to(args.device).train()
    vae = AutoencoderKLLTXVideo.from_pretrained(args.vae / "vae").eval()
    clips, labels = load(args.data)
    code = code_of(clips, args.vae / "code.pt")
    latents = latents_of(code, args.data, args.vae / "latents.pt", args.device)
    scale = vae.latents_std.float().view(1, -1, 1, 1, 1).to(args.device)
    texts = ids_of(tokenizer, captions_of([scene_of(label) for label in labels], WORDINGS, args.seed))
    texts = texts.unflatten(0, (-1, WORDINGS)).to(args.device)

    both = nn.ModuleDict({"network": network, "encoder": encoder})
    optimizers = optimizers_of(both, args.lr, args.lr / 2, 0.01, OUTER)
    mean = loop.averaged(both, 0.999)
    step = loop.compiled(lambda *given: loss_of(network, encoder, *given), args)

    def update(rng: np.random.Generator) -> dict[str, torch.Tensor]:
        chosen, side, wording = (
            torch.from_numpy(rng.integers(count, size=args.batch)).to(args.device)
            for count in (len(texts), 2, WORDINGS)
        )
        x = (latents[chosen, side].float() / scale).flatten(2).transpose(1, 2).contiguous()
        # Logit-normal: the middle of the way is learnt most, as in Stable Diffusion 3 (Esser et al. 2024).
        share = torch.sigmoid(torch.randn(args.batch, device=args.device) + 0.4)
        loss = step(x, torch.randn_like(x), share, texts[chosen, wording].long())
        loop.descend(loss, *optimizers)
        mean.update_parameters(both)
        return {"loss": loss.detach()}

    def write() -> None:
        save(args.out / "pipeline", vae, tokenizer, mean.module["encoder"], mean.module["network"])

    loop.train(args, {"both": both, "mean": mean}, optimizers, update, warm=300, write=write)


def save(out: Path, vae: Any, tokenizer: Any, encoder: Any, network: Any) -> None:
    """The pipeline as a diffusers folder, in half precision."""
    import copy

    from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline

    parts = [copy.deepcopy(part).half() for part in (vae, encoder, network)]
    pipeline = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=parts[0],
        text_encoder=parts[1],
        tokenizer=tokenizer,
        transformer=parts[2],
    )
    pipeline.save_pretrained(out)


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=4_000, lr=2e-3, batch=1024)
    arguments.add_argument("--vae", type=Path, required=True, help="folder that train_vae.py wrote")
    train(arguments.parse_args())
