"""Noise that is not the same everywhere, for a share of the training crops.

A network that has only seen noise of one level over a whole picture comes to rely on it, the more
the longer it trains: the noise of photons, which grows with the light, and noise that black or
white cuts off, as in any file of integers, then cost it up to a decibel (benchmarks/LOG.md).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

CLIPPED_SHARE: Final = 0.5
"""Of the crops with uneven noise."""

DARKEST: Final = 0.02
"""Brightness that a crop counts as at least, so that a black one divides by no zero."""


def make_uneven(noisy_nchw: Tensor, clean_nchw: Tensor, share: float, lots: Tensor) -> Tensor:
    """Noisy crops, of which a share has noise that grows with the light, half of these clipped.

    The variance of the noise becomes that of a sensor: from the same everywhere (readout alone) to
    proportional to the light (photons alone), the same as before at the crop's mean brightness
    (Foi et al., "Practical Poissonian-Gaussian noise modeling", IEEE TIP 2008, Eq. 3).

    Args:
        noisy_nchw: crops with even noise, N×C×S×S; they stay as they are.
        clean_nchw: the same without, in 0..1.
        share: chance of each crop, 0..1.
        lots: what decides, uniform in 0..1, N×3, on the crops' device.
    """
    chosen, photons, clipped = lots.reshape(-1, 3, 1, 1, 1).unbind(1)
    light = clean_nchw / clean_nchw.mean((1, 2, 3), keepdim=True).clamp(min=DARKEST)
    level = (1 + photons * (light.clamp(min=0) - 1)).sqrt()
    uneven = clean_nchw + level * (noisy_nchw - clean_nchw)
    uneven = torch.where(clipped < CLIPPED_SHARE, uneven.clamp(0, 1), uneven)
    return torch.where(chosen < share, uneven, noisy_nchw)
