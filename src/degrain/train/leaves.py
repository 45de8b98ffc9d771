"""Drawn training pictures: even and gently shaded shapes, one over the other.

Photographs of made things are full of even surfaces beside strong edges: a printed box, a wall, a
screen. Pictures in data sets hold few, and their own grain covers them. A network without biases
takes weak grain for texture where strong edges are near, unless it has seen that what lies beside
an edge may be quite even. Drawn shapes are even by construction.

The model is that of dead leaves (Matheron 1968; Lee, Mumford & Huang, "Occlusion models for natural
images", IJCV 2001), from which denoising networks have been trained whole (Achddou, Gousseau &
Ladjal, "Synthetic images as a regularity prior for image restoration neural networks", SSVM 2021).
Here half of the pictures stay visible between the shapes, so that true texture lies beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

FEWEST, MOST = 4, 32
"""Shapes in a picture, log-uniform."""
SMALLEST, LARGEST = 0.02, 0.4
"""Half of a shape's height, in sides of the picture, log-uniform."""
LONGEST = 8.0
"""Length over height: bars, strokes, wires."""
SHADED = 0.3
"""Most change of brightness over half a side of the picture."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """K shapes for each of N pictures; places and lengths in sides of the picture.

    Attributes:
        row, column: of the middles, N×K.
        half_height, half_length: N×K.
        angle: of the length against the rows, N×K.
        round: ellipses, the others are rectangles, N×K.
        drawn: how many of them are painted, N; a later one covers an earlier one.
        color: N×K×C.
        shade: change of brightness along the length and across it, over a side, N×K×2.
    """

    row: Tensor
    column: Tensor
    half_height: Tensor
    half_length: Tensor
    angle: Tensor
    round: Tensor
    drawn: Tensor
    color: Tensor
    shade: Tensor


def scatter_leaves(ground_nchw: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures with shapes over them; half of the pictures keep what lies between the shapes.

    Args:
        ground_nchw: N×3×S×S or N×1×S×S in 0..1.
        generator: on the pictures' device.

    Returns:
        N×C×S×S in 0..1.
    """
    shapes = draw_shapes(len(ground_nchw), ground_nchw.shape[1], ground_nchw.device, generator)
    return paint(shapes, ground_nchw)


def draw_shapes(
    count: int, channels: int, device: torch.device, generator: torch.Generator
) -> Shapes:
    """Random shapes for so many pictures; in half of them the first one covers everything."""
    lots = torch.rand(count, MOST, 8 + channels, generator=generator, device=device)
    half_height = SMALLEST * (LARGEST / SMALLEST) ** lots[..., 0]
    half_length = half_height * LONGEST ** lots[..., 1].square()
    per_picture = torch.rand(count, 2, generator=generator, device=device)
    drawn = FEWEST * (MOST / FEWEST) ** per_picture[:, 0]
    covered = per_picture[:, 1] < 0.5
    half_height[covered, 0] = half_length[covered, 0] = 2.0
    gray, saturation = lots[..., 7, None], lots[..., 6, None]
    return Shapes(
        row=lots[..., 2],
        column=lots[..., 3],
        half_height=half_height,
        half_length=half_length,
        angle=math.tau * lots[..., 4],
        round=lots[..., 5] < 0.5,
        drawn=drawn.ceil().long(),
        color=tinted(gray, saturation, lots[..., 8:]),
        shade=_draw_shade(count, device, generator),
    )


def tinted(gray: Tensor, saturation: Tensor, color: Tensor) -> Tensor:
    """A color that is gray where its saturation is 0."""
    return gray + saturation * (color - gray)


def paint(shapes: Shapes, ground_nchw: Tensor) -> Tensor:
    """The shapes over the pictures, N×C×S×S in 0..1.

    The k-th shapes of all pictures are painted together; those with most shapes come first, so that
    they are a slice.
    """
    order = shapes.drawn.argsort(descending=True)
    shapes = Shapes(*(getattr(shapes, field.name)[order] for field in fields(Shapes)))
    planes = _planes(shapes)
    painted = ground_nchw[order]
    side = ground_nchw.shape[-1]
    ruler = (torch.arange(side, device=planes.device) + 0.5) / side
    for k, count in enumerate(_counts(shapes.drawn)):
        part = painted[:count]
        across, down, offset = planes[:count, k].unbind(-1)
        rows = down[..., None, None] * ruler[:, None] + offset[..., None, None]
        length, height, shade = (rows + across[..., None, None] * ruler).unbind(1)
        inside = _inside(length, height, shapes.round[:count, k, None, None])
        color = shapes.color[:count, k, :, None, None] + shade[:, None]
        torch.where(inside[:, None], color, part, out=part)
    return painted[order.argsort()].clamp(0, 1)


def _counts(drawn: Tensor) -> list[int]:
    """How many pictures have a first shape, a second one and so on."""
    numbers = drawn.tolist()
    return [sum(number > k for number in numbers) for k in range(max(numbers))]


def _planes(shapes: Shapes) -> Tensor:
    """What rises evenly over the picture, for each shape, N×K×3×3.

    The place along the length, in half lengths; across it, in half heights; and the change of
    brightness: each is a · column + b · row + c, both in sides of the picture. All at once, since
    on a GPU the many small steps took longer than the large ones.
    """
    cos, sin = shapes.angle.cos(), shapes.angle.sin()
    along, across = shapes.shade.unbind(-1)
    slopes = torch.stack(
        [
            torch.stack([cos, sin], -1) / shapes.half_length[..., None],
            torch.stack([-sin, cos], -1) / shapes.half_height[..., None],
            torch.stack([along * cos - across * sin, along * sin + across * cos], -1),
        ],
        dim=2,
    )
    middle = torch.stack([shapes.column, shapes.row], -1)
    offset = -(slopes * middle[:, :, None]).sum(-1, keepdim=True)
    return torch.cat([slopes, offset], -1)


def _inside(length: Tensor, height: Tensor, is_round: Tensor) -> Tensor:
    """Which pixels, N×S×S, lie in the ellipses or rectangles, given places in half sides."""
    length, height = length.square(), height.square()
    return torch.where(is_round, length + height, torch.maximum(length, height)) < 1


def _draw_shade(count: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Half of the shapes are shaded, in any direction, up to `SHADED` over half a side."""
    lots = torch.rand(count, MOST, 2, generator=generator, device=device)
    steepness = 2 * SHADED * (2 * lots[..., 0] - 1).clamp(min=0)
    angle = math.tau * lots[..., 1]
    return steepness[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
