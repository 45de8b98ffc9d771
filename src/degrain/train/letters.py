"""Print on training pictures: lines of letters in one color, at any angle.

Documents, signs, packages and screens are full of letters, and data sets of photographs hold next
to none. A network that has not seen any takes the noise between strong strokes that lie close
together for texture, and leaves it all in.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.lettering import text_coverage
from degrain.train.leaves import tinted
from degrain.train.seeds import host_source

SIZES: Final = (8, 11, 16, 22, 32, 45, 64)
"""Heights of capital letters in pixels, before they are turned and scaled."""

SCALE: Final = 1.2
"""Letters become up to so many times larger or smaller."""

UPRIGHT_SHARE: Final = 0.5
BOLD_SHARE: Final = 0.5


def print_letters(ground_nchw: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures with letters over them, of one size, angle and color in each.

    Args:
        ground_nchw: N×3×S×S or N×1×S×S in 0..1.
        generator: on the pictures' device.

    Returns:
        N×C×S×S in 0..1.
    """
    count, channels = ground_nchw.shape[:2]
    lots = torch.rand(count, 2 + channels, 1, 1, generator=generator, device=ground_nchw.device)
    color = tinted(lots[:, :1], lots[:, 1:2], lots[:, 2:])
    covered = turned(draw_pages(ground_nchw, generator), generator)
    return torch.lerp(ground_nchw, color, covered)


def draw_pages(like_nchw: Tensor, generator: torch.Generator) -> Tensor:
    """Where letters cover so many pictures, N×1×S×S in 0..1; half of them are in bold."""
    rng = host_source(like_nchw, generator)
    height, width = like_nchw.shape[2:]
    pages = [text_coverage(height, width, int(rng.choice(SIZES)), rng) for _ in like_nchw]
    covered = torch.from_numpy(np.stack(pages)[:, None]).to(like_nchw)
    bold = torch.tensor([rng.random() < BOLD_SHARE for _ in like_nchw], device=like_nchw.device)
    return torch.where(bold[:, None, None, None], F.max_pool2d(covered, 3, 1, 1), covered)


def turned(covered: Tensor, generator: torch.Generator) -> Tensor:
    """Pages turned, half of them by any angle, and scaled; mirrored where they end."""
    lots = torch.rand(len(covered), 3, generator=generator, device=covered.device)
    angle = math.tau * lots[:, 0] * (lots[:, 1] >= UPRIGHT_SHARE)
    scale = SCALE ** (2 * lots[:, 2] - 1)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack(row, 1) for row in ((cos, -sin, 0 * cos), (sin, cos, 0 * cos))]
    grid = F.affine_grid(torch.stack(rows, 1), list(covered.shape), align_corners=False)
    return F.grid_sample(covered, grid, padding_mode="reflection", align_corners=False)
