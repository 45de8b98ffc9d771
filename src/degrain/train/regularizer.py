"""The lp regularizer of Divakar & Babu 2017 (Sec. 2.1), which shall select few feature maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

SMOOTHING = 1e-3
"""Weights well below this count as zero and feel no force."""

ALIVE = 0.01
"""A connection survives if it is larger than this share of the largest one of its layer."""


def lp_penalty(weights: Iterable[Tensor], p: float = 0.1, smoothing: float = SMOOTHING) -> Tensor:
    """Sum over all weights of (w² + smoothing²)^(p/2), which tends to the sum of |w|^p.

    The derivative of |w|^p grows without bound near zero; smoothed, it is largest near
    w = smoothing (about p · smoothing^(p-1) / 2) and falls to zero at w = 0.

    Args:
        weights: kernels of any shape.
        p: 0.1 in the paper; the smaller, the more it only counts weights.
        smoothing: on the scale of the weights; 0 gives the paper's term and infinite gradients.
    """
    return torch.stack(
        [(weight.square() + smoothing**2).pow(p / 2).sum() for weight in weights]
    ).sum()


@torch.no_grad()
def survivors(layers: Sequence[Tensor], alive: float = ALIVE) -> list[dict[str, int]]:
    """For each layer how many connections, and how many of the maps it reads, are still used.

    Args:
        layers: kernels out×in×h×w.
        alive: see `ALIVE`.
    """
    found = []
    for weight in layers:
        strong = weight.abs() > alive * weight.abs().max()
        found.append(
            {
                "connections": int(strong.sum()),
                "of": weight.numel(),
                "maps": int(strong.any(0).flatten(1).any(1).sum()),
                "of_maps": weight.shape[1],
            }
        )
    return found
