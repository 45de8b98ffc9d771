"""Drawn training pictures: shapes over some pictures of a batch, and letters over half of these.

What people make is even beside strong edges and close strokes, and data sets of photographs hold
next to none of it; see `train.leaves` and `train.letters`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from degrain.train.leaves import scatter_leaves
from degrain.train.letters import print_letters

LETTERED_SHARE: Final = 0.5
"""Of the drawn pictures."""


def draw_over(
    pictures_nchw: Tensor, share: float, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, list[int]]:
    """A batch with shapes and letters over a share of its pictures, and which ones these are.

    Args:
        pictures_nchw: N×3×S×S or N×1×S×S in 0..1; they stay as they are.
        share: chance of each picture to be drawn over, 0..1.
        rng: decides which ones.
        generator: decides what is drawn, on the pictures' device.
    """
    drawn = [i for i in range(len(pictures_nchw)) if rng.random() < share] if share else []
    lettered = [i for i in drawn if rng.random() < LETTERED_SHARE]
    pictures_nchw = change(pictures_nchw, drawn, lambda x: scatter_leaves(x, generator))
    return change(pictures_nchw, lettered, lambda x: print_letters(x, generator)), drawn


def change(x: Tensor, chosen: Sequence[int], function: Callable[[Tensor], Tensor]) -> Tensor:
    """The pictures, of which those chosen are changed; none is changed in place."""
    if not chosen:
        return x
    changed = x.clone()
    changed[chosen] = function(x[chosen])
    return changed
