"""``storyworld-gan``: a generator that maps noise and a text's embedding to the latents of a storyworld clip.

Trained adversarially, on latents of the autoencoder of ``storyworld-t2v``; it shares that one's decoder. Backend
``gan`` builds it by :func:`generator` and gives it its weights; ``training/train_gan.py`` trains it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vgaudit.zoo.generators import BUNDLED_T2V, generator_folder

if TYPE_CHECKING:
    import torch

NOISE = 64
"""Length of the noise vector."""
TEXT = 128
"""Length of the embedding of ``storyworld-clip``."""
CHANNELS, LATENT = 96, (5, 4, 4)
"""Of the autoencoder: channels of a latent, and frames, height and width of a clip's latents."""
_TOKENS = LATENT[0] * LATENT[1] * LATENT[2]


def latent_generator(width: int = 144, layers: int = 6) -> torch.nn.Module:
    """The network ``(z (B, 64), embedding (B, 128)) -> latents (B, 80, 96)``, untrained.

    A mixer over the clip's 80 places: every layer mixes places, then channels, each scaled and shifted by what noise
    and text say. Latents are normalised: of mean 0 and spread 1.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.style = nn.Linear(width, 4 * width)
            self.places = nn.Sequential(nn.Linear(_TOKENS, _TOKENS), nn.GELU(), nn.Linear(_TOKENS, _TOKENS))
            self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

        def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            gain, shift, gain2, shift2 = self.style(w)[:, None].chunk(4, dim=-1)
            mixed = functional.rms_norm(x, (width,)) * (1 + gain) + shift
            x = x + self.places(mixed.transpose(1, 2)).transpose(1, 2)
            mixed = functional.rms_norm(x, (width,)) * (1 + gain2) + shift2
            out: torch.Tensor = x + self.channels(mixed)
            return out

    class LatentGenerator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Parameter(torch.randn(_TOKENS, width))
            self.mapping = nn.Sequential(
                nn.Linear(NOISE + TEXT, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
            )
            self.spread = nn.Linear(NOISE + TEXT, 4 * _TOKENS)
            self.place = nn.Linear(4, width, bias=False)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.out = nn.Linear(width, CHANNELS)

        def forward(self, z: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
            said = torch.cat([z, functional.normalize(embedding, dim=-1) * TEXT**0.5], dim=-1)
            w = self.mapping(said)
            x = self.start + self.place(self.spread(said).unflatten(-1, (_TOKENS, 4)))
            for layer in self.layers:
                x = layer(x, w)
            latents: torch.Tensor = self.out(functional.rms_norm(x, (width,)))
            return latents

    return LatentGenerator()


def generator() -> torch.nn.Module:
    """The network with the decoder of ``storyworld-t2v`` behind it, for backend ``gan``.

    Called as ``model(z (B, 64), embedding (B, 128))`` it returns clips ``(B, 3, 17, 64, 64)`` in [-1, 1]. Its state
    is that of the generator alone: the decoder has its weights from the bundled autoencoder.

    Raises:
        Unavailable: The bundled autoencoder is not there, or not the bytes that were pinned.
    """
    import torch
    from diffusers import AutoencoderKLLTXVideo

    vae = AutoencoderKLLTXVideo.from_pretrained(
        generator_folder(BUNDLED_T2V) / "vae", torch_dtype=torch.float32, local_files_only=True
    ).eval()

    class StoryworldGan(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.latents = latent_generator()
            self._vae: tuple[Any, ...] = (vae,)  # in a tuple, so that it is no part of the state

        def forward(self, z: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
            (decoder,) = self._vae
            x = self.latents(z, embedding).transpose(1, 2).unflatten(2, LATENT)
            view = (1, -1, 1, 1, 1)
            x = x * decoder.latents_std.view(view) + decoder.latents_mean.view(view)
            clip: torch.Tensor = decoder.decode(x).sample
            return clip.clamp(-1, 1)

        def _apply(self, fn: Any, recurse: bool = True) -> Any:
            self._vae[0]._apply(fn)
            return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    return StoryworldGan()
