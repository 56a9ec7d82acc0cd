"""What the generators' networks are trained with: Muon for matrices and kernels, AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn


class KernelMuon(torch.optim.Muon):
    """PyTorch's Muon, for kernels of convolutions too: it sees each as a matrix of one row an output channel."""

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        self._kernels = list(kernels)
        flat = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self._kernels]  # the same memory
        super().__init__(flat, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step along the kernels' gradients."""
        for kernel, flat in zip(self._kernels, self.param_groups[0]["params"], strict=True):
            flat.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        found: float | None = super().step(closure)
        return found

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the kernels' gradients."""
        for kernel in self._kernels:
            kernel.grad = None
        super().zero_grad(set_to_none)


def optimizers_of(
    network: nn.Module, lr: float, lr_of_rest: float, weight_decay: float = 0.0, outer: tuple[str, ...] = ()
) -> list[torch.optim.Optimizer]:
    """Muon for every parameter of two or more dimensions, AdamW for the others.

    Args:
        network: Whose parameters; it must be on its device already.
        lr: Rate of Muon, on AdamW's scale.
        lr_of_rest: Rate of AdamW.
        weight_decay: Of both.
        outer: Parts of names of parameters that AdamW takes whatever their shape: embeddings, tables, what leads in
            and out.
    """
    inner = {
        name: p for name, p in network.named_parameters() if p.ndim > 1 and not any(o in name for o in outer)
    }
    rest = [p for name, p in network.named_parameters() if name not in inner]
    return [
        KernelMuon(inner.values(), lr, weight_decay),
        torch.optim.AdamW(rest, lr=lr_of_rest, betas=(0.9, 0.99), weight_decay=weight_decay),
    ]
