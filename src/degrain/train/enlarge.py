"""Softer and flatter training pictures: what a lens and a sensor deliver before it is made smaller.

Pictures in data sets have been made smaller and are sharp from pixel to pixel; a photograph as it
leaves the camera rarely is, and much of it lies out of focus. A network that has only seen sharp
ones takes the coarse noise of a camera for detail. And much of it is sky, wall or background: a
window of 96×96 pixels of a full-size photograph has a third of the contrast of one of a data set.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 1.5
"""Less blurs hardly at all."""

FLATTEST = 0.15
"""The least contrast that is left of a crop."""


def enlarge(
    clean_nchw: Tensor, most: float, generator: torch.Generator, least: float = LEAST
) -> Tensor:
    """Parts of the crops, each enlarged `least` to `most` times (log-uniform) to a whole, bicubic.

    Args:
        clean_nchw: N×C×S×S, 0..1.
        most: largest factor, at least 1; below `least` it is the only one.
        generator: on the crops' device.
        least: smallest factor.

    Returns:
        N×C×S×S, 0..1.
    """
    lots = torch.rand(len(clean_nchw), 3, generator=generator, device=clean_nchw.device)
    least = min(least, most)
    part = (most / least) ** -lots[:, 0] / least
    # From -1 to 1 is the whole crop; the part's center stays so far inside that it fits.
    center = (1 - part)[:, None] * (2 * lots[:, 1:] - 1)
    scale = torch.eye(2, device=clean_nchw.device) * part[:, None, None]
    grid = functional.affine_grid(
        torch.cat([scale, center[:, :, None]], 2), list(clean_nchw.shape), align_corners=False
    )
    enlarged: Tensor = functional.grid_sample(
        clean_nchw, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return enlarged.clamp(0, 1)


def flatten(clean_nchw: Tensor, generator: torch.Generator) -> Tensor:
    """The crops with `FLATTEST` to all of their contrast (log-uniform), about their own mean."""
    lots = torch.rand(len(clean_nchw), 1, 1, 1, generator=generator, device=clean_nchw.device)
    mean = clean_nchw.mean((2, 3), keepdim=True)
    return mean + FLATTEST**lots * (clean_nchw - mean)
