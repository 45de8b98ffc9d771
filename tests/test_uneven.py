"""Noise that grows with the light, and noise that is clipped, in training crops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from degrain.train.uneven import CLIPPED_SHARE, make_uneven

SIGMA = 0.1


def crops(count: int = 4, side: int = 64) -> tuple[Tensor, Tensor]:
    """Noisy and clean, dark on the left and light on the right."""
    ramp = torch.linspace(0.1, 0.9, side).expand(count, 1, side, side)
    noise = torch.randn(ramp.shape, generator=torch.Generator().manual_seed(0))
    return ramp + SIGMA * noise, ramp.contiguous()


def lots(count: int, chosen: float, photons: float, clipped: float) -> Tensor:
    return torch.tensor([[chosen, photons, clipped]]).expand(count, 3)


def test_all_photons_make_the_variance_proportional_to_the_light():
    noisy, clean = crops(64)
    uneven = make_uneven(noisy, clean, 0.5, lots(64, 0.4, 1.0, 0.9)) - clean
    dark, light = (slice(8, 16), slice(48, 56))
    ratio = float(uneven[..., light].var() / uneven[..., dark].var())
    expected = float(clean[..., light].mean() / clean[..., dark].mean())
    assert ratio == pytest.approx(expected, rel=0.05)
    middle = float(uneven[..., 28:36].std())
    assert middle == pytest.approx(SIGMA, rel=0.03), "as before at the mean brightness"


def test_no_photons_and_no_clipping_change_nothing():
    noisy, clean = crops()
    same = make_uneven(noisy, clean, 0.5, lots(4, 0.4, 0.0, 0.9))
    torch.testing.assert_close(same, noisy)


def test_a_share_is_changed_and_half_of_it_clipped():
    noisy, clean = crops(400, 32)
    drawn = torch.rand(400, 3, generator=torch.Generator().manual_seed(1))
    before = noisy.clone()
    uneven = make_uneven(noisy, clean, 0.3, drawn)
    assert torch.equal(noisy, before), "what it was given stays"
    changed = (uneven != noisy).flatten(1).any(1)
    assert torch.equal(changed, drawn[:, 0] < 0.3)
    inside = ((uneven >= 0) & (uneven <= 1)).flatten(1).all(1)
    clipped = float(inside[changed].float().mean())
    assert clipped == pytest.approx(CLIPPED_SHARE, abs=0.12)
    assert not inside[~changed].any()


def test_a_black_crop_stays_finite_and_nearly_as_it_is():
    clean = torch.zeros(2, 3, 16, 16)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    uneven = make_uneven(noisy, clean, 1.0, lots(2, 0.0, 0.5, 0.9))
    torch.testing.assert_close(uneven, 0.5**0.5 * noisy)
