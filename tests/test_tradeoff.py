"""Between phase 2 and phase 3: both ways agree at the ends; the prior ranks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from degrain.errors import ModelError
from degrain.train.discriminator import Discriminator
from degrain.train.tradeoff import measure_tradeoff, mix_weights, rank_by_prior, smoothed
from degrain.train.vgg import Vgg19


def net(seed: int, width: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))


def pairs() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    clean = torch.rand(2, 1, 1, 32, 32)
    return [(x + 0.1 * torch.randn(x.shape), x) for x in clean]


def test_both_ways_meet_at_the_ends() -> None:
    rows = measure_tradeoff((net(0), net(1)), pairs(), Vgg19(), shares=(0.0, 0.5, 1.0))
    by_way = {way: [r for r in rows if r["way"] == way] for way in ("outputs", "weights")}
    for end in (0, 2):
        first, second = by_way["outputs"][end], by_way["weights"][end]
        assert first["psnr"] == pytest.approx(second["psnr"], abs=1e-4)
        assert first["perceptual_distance"] == pytest.approx(
            second["perceptual_distance"], rel=1e-3
        )
    # Mixed answers err no more than the ends do on average: the square is convex.
    errors = [10 ** (-row["psnr"] / 10) for row in by_way["outputs"]]
    assert errors[1] < (errors[0] + errors[2]) / 2
    assert by_way["outputs"][1]["psnr"] != pytest.approx(by_way["weights"][1]["psnr"], abs=1e-6)


def test_mixing_needs_one_architecture() -> None:
    with pytest.raises(ModelError, match="two architectures"):
        mix_weights(net(0), net(1, width=4), 0.5)


class Roughness(nn.Module):
    """512 equal features: how much neighboring pixels differ."""

    def forward(self, x_nchw: Tensor) -> Tensor:
        rough = (x_nchw[..., 1:] - x_nchw[..., :-1]).abs().mean((1, 2, 3))
        return rough[:, None, None, None].expand(-1, 512, 1, 1)


class FirstFeature(nn.Module):
    """Logits (roughness, 0): the rougher, the less clean."""

    def forward(self, features: Tensor) -> Tensor:
        rough = features[:, 0, 0, 0]
        return torch.stack([rough, torch.zeros_like(rough)], 1)


def test_the_ranking_follows_the_discriminator() -> None:
    judge = Discriminator(Roughness(), 32)
    judge.head = FirstFeature()  # type: ignore[assignment]
    ranked = rank_by_prior(judge, nn.Identity(), pairs())
    assert next(iter(ranked)) == "over-smoothed"
    assert ranked["over-smoothed"] < ranked["clean"] < ranked["noisy"] == ranked["denoised"]


def test_smoothing_keeps_the_mean_and_widens_by_two_pixels() -> None:
    x = torch.zeros(1, 2, 41, 41)
    x[:, :, 20, 20] = 1
    y = smoothed(x)
    assert float(y.sum()) == pytest.approx(2.0, abs=1e-5)
    places = torch.arange(41.0) - 20
    assert float((y[0, 0].sum(0) * places**2).sum()) == pytest.approx(4.0, abs=1e-3)
