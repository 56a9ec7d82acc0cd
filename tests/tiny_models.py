"""Real generators built tiny with random weights and saved to disk, for tests of backends and of whole runs.

Nothing is downloaded: vocabularies are written here. Weights come from a fixed seed.
"""

from __future__ import annotations

import json
import string
import warnings
from pathlib import Path
from typing import Any

import torch

_WORDS = ("a", "dog", "cat", "on", "the", "beach", "at", "sunset", "walking", "red", "runs", "in", "rain")


def save_tiny_text_to_video_sd(path: Path) -> Path:
    """A ``TextToVideoSDPipeline`` (U-Net, latent diffusion) of about 0.1 M parameters, 32 x 32 pixels by default."""
    from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet3DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D", "DownEncoderBlock2D"],
        up_block_types=["UpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        norm_num_groups=2,
        sample_size=32,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            hidden_size=16,
            intermediate_size=24,
            num_attention_heads=2,
            num_hidden_layers=2,
            vocab_size=400,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
    )
    pipeline = TextToVideoSDPipeline(
        unet=unet, vae=vae, text_encoder=text_encoder, tokenizer=_clip_tokenizer(path), scheduler=scheduler
    )
    pipeline.save_pretrained(path)
    return path


def _clip_tokenizer(path: Path) -> Any:
    from transformers import CLIPTokenizer

    folder = path.parent / f"{path.name}-vocabulary"
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits + ".,!?-"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")  # every letter stays a token of its own
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=48)


def save_tiny_wan(path: Path) -> Path:
    """A ``WanPipeline`` (diffusion transformer, causal 3D VAE, UMT5) of about 0.04 M parameters."""
    from diffusers import (
        AutoencoderKLWan,
        FlowMatchEulerDiscreteScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=64,
        ffn_dim=32,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, is_encoder_decoder=False
        )
    )
    pipeline = WanPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=text_encoder,
        tokenizer=_t5_tokenizer(),
    )
    pipeline.save_pretrained(path)
    return path


def _t5_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {t: i for i, t in enumerate(["<pad>", "</s>", "<unk>", *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=32,
    )


class TinyGenerator(torch.nn.Module):
    """``z (B, 8) -> (B, 3, 6, 32, 32)`` in [-1, 1]; with ``classes``, also takes a class index."""

    def __init__(self, classes: int = 0, z_dim: int = 8) -> None:
        super().__init__()
        self.label = torch.nn.Embedding(max(classes, 1), z_dim)
        self.spread = torch.nn.Linear(z_dim, 8 * 3 * 8 * 8)
        self.paint = torch.nn.ConvTranspose3d(8, 3, kernel_size=(2, 4, 4), stride=(2, 4, 4))

    def forward(self, z: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        if label is not None:
            z = z + self.label(label)
        return torch.tanh(self.paint(self.spread(z).view(-1, 8, 3, 8, 8)))


class TinyEmbeddingGenerator(torch.nn.Module):
    """``z (B, 8), text embedding (B, 8) -> (B, 1, 4, 16, 16)`` in [-1, 1], grey."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = torch.nn.Linear(16, 4 * 16 * 16)

    def forward(self, z: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.spread(torch.cat([z, embedding], dim=1))).view(-1, 1, 4, 16, 16)


def tiny_generator(classes: int = 0) -> TinyGenerator:
    """The generator with weights of seed 0."""
    torch.manual_seed(0)
    return TinyGenerator(classes).eval()


def save_tiny_gan_torchscript(path: Path, classes: int = 0) -> Path:
    """The generator as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated for writing, and still what people have
        torch.jit.script(tiny_generator(classes)).save(str(path))
    return path


def save_tiny_gan_export(path: Path, batch: int | None = None) -> Path:
    """The generator as ``torch.export`` archive, with any batch size or a fixed one."""
    shapes = None if batch else ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(tiny_generator(), (torch.zeros(batch or 2, 8),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path
