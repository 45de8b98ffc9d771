"""Drawn training pictures: what is painted where, and that they are even and reproducible."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from degrain.train.camera import photograph
from degrain.train.leaves import Shapes, paint, scatter_leaves

SIDE = 40


def one_shape(**changes: Any) -> Shapes:
    """A rectangle in the middle, half as long and a quarter as high as the picture."""
    values: dict[str, Any] = {
        "row": 0.5,
        "column": 0.5,
        "half_height": 0.125,
        "half_length": 0.25,
        "angle": 0.0,
        "round": False,
    }
    values |= changes
    plain = {name: torch.tensor([[value]]) for name, value in values.items()}
    drawn = torch.tensor([1])
    return Shapes(
        **plain, drawn=drawn, color=torch.full((1, 1, 3), 0.8), shade=torch.zeros(1, 1, 2)
    )


def values(shapes: Shapes) -> list[Tensor]:
    return [getattr(shapes, field.name) for field in fields(Shapes)]


def ground() -> Tensor:
    return torch.full((1, 3, SIDE, SIDE), 0.2)


def painted(shapes: Shapes) -> Tensor:
    """Where the picture has changed, S×S."""
    drawn = paint(shapes, ground())
    assert ((drawn - 0.2).abs().minimum((drawn - 0.8).abs()) < 1e-6).all()
    return drawn[0, 0] > 0.5


def test_a_rectangle_lies_where_it_should() -> None:
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    expected[15:25, 10:30] = True
    assert torch.equal(painted(one_shape()), expected)
    assert torch.equal(painted(one_shape(angle=math.pi / 2)), expected.T)


def test_an_ellipse_has_its_area_and_moves_with_its_middle() -> None:
    area = math.pi * 0.125 * 0.25 * SIDE**2
    assert abs(int(painted(one_shape(round=True)).sum()) - area) < 0.05 * area
    moved = painted(one_shape(round=True, row=0.25)).nonzero().float().mean(0)
    assert torch.allclose(moved, torch.tensor([9.5, 19.5]))


def test_only_so_many_shapes_are_painted() -> None:
    none, one = (replace(one_shape(), drawn=torch.tensor([number])) for number in (0, 1))
    both = Shapes(*(torch.cat(pair) for pair in zip(values(none), values(one), strict=True)))
    drawn = paint(both, torch.cat([ground(), ground()]))
    assert (drawn[0] == 0.2).all()
    assert torch.equal(drawn[1], paint(one, ground())[0])


def test_the_later_shape_is_on_top() -> None:
    one = one_shape()
    pair = Shapes(*(torch.cat([v, v], 1) if v.ndim > 1 else v + 1 for v in values(one)))
    colors = torch.stack([torch.full((1, 3), 0.4), torch.full((1, 3), 0.9)], 1)
    drawn = paint(replace(pair, color=colors), ground())
    assert torch.allclose(drawn[0, :, 20, 20], torch.tensor(0.9))


def test_a_shaded_shape_is_a_ramp_along_its_length() -> None:
    shaded = replace(one_shape(), shade=torch.tensor([[[0.4, 0.0]]]))
    row = paint(shaded, ground())[0, 0, 20, 10:30]
    assert torch.allclose(row.diff(), torch.tensor(0.4 / SIDE), atol=1e-6)
    assert abs(float(row.mean()) - 0.8) < 1e-5
    turned = paint(replace(shaded, angle=torch.tensor([[math.pi / 2]])), ground())
    assert torch.allclose(turned[0, 0, 10:30, 20], row, atol=1e-6)


def test_half_of_the_pictures_keep_some_of_their_texture() -> None:
    texture = torch.rand(200, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    drawn = scatter_leaves(texture, torch.Generator().manual_seed(2))
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    kept = (drawn == texture).all(1).float().mean((1, 2))
    assert 0.3 < float((kept > 0).float().mean()) < 0.6
    assert float(kept.max()) > 0.5
    steps = drawn[kept == 0].diff(dim=-1).abs()
    assert float((steps < 0.05).float().mean()) > 0.85, "even, but for edges"


def test_same_seed_same_shapes_other_seed_others() -> None:
    texture = torch.rand(4, 1, 32, 32)
    first, second, other = (
        scatter_leaves(texture, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_share_of_photographs_that_are_drawn() -> None:
    gray = torch.full((64, 3, 64, 64), 0.5)
    drawn = []
    for leaves in (0.0, 0.25, 1.0):
        _, clean = photograph(gray, 1.5, torch.Generator().manual_seed(5), leaves)
        # What noise does to the local mean stays below.
        drawn.append(int(((clean - 0.5).abs().amax((1, 2, 3)) > 0.1).sum()))
    assert drawn[0] == 0
    assert 6 <= drawn[1] <= 28
    assert drawn[2] >= 58
    assert (gray == 0.5).all(), "what goes in stays as it is"
