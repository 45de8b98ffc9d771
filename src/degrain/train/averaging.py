"""The average of a network's weights over its last steps, which is what a run keeps in the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged weights a step towards the net's.

    All of them at once: weight by weight a GPU would wait longer for the calls than it works.

    Args:
        average: the network that is moved.
        net: the network in training, of the same architecture.
        decay: share of the average that stays, 0..1.
    """
    averages: list[Tensor] = list(average.parameters())
    current: list[Tensor] = list(net.parameters())
    torch._foreach_lerp_(averages, current, 1 - decay)
