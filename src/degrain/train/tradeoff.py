"""Fidelity against detail: what lies between the end of phase 2 and the end of phase 3.

Two ways lead there: mixing the answers of the two networks, which `--detail` does, and mixing their
weights (Wang et al., "Deep network interpolation", CVPR 2019, who find that better).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.errors import ModelError
from degrain.train.discriminator import Discriminator, negative_log_prior
from degrain.train.vgg import Vgg19, perceptual_distance

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
BLUR = (0.25, 0.5, 0.25)
"""One pass of the over-smoothing; `smoothed` makes several."""

Pair = tuple[Tensor, Tensor]
"""A noisy and a clean picture, each 1×C×H×W in 0..1."""


def mix_weights(first: nn.Module, second: nn.Module, share: float) -> nn.Module:
    """A network with the weights (1 - share) · first + share · second.

    Raises:
        ModelError: the two have other architectures.
    """
    ends = first.state_dict(), second.state_dict()
    if {k: v.shape for k, v in ends[0].items()} != {k: v.shape for k, v in ends[1].items()}:
        msg = "Weights of two architectures cannot be mixed; give two phases of one run."
        raise ModelError(msg)
    mixed = copy.deepcopy(first)
    mixed.load_state_dict({name: ends[0][name].lerp(ends[1][name], share) for name in ends[0]})
    return mixed


@torch.no_grad()
def measure_tradeoff(
    ends: tuple[nn.Module, nn.Module],
    pairs: Sequence[Pair],
    vgg: Vgg19,
    shares: Sequence[float] = SHARES,
) -> list[dict[str, Any]]:
    """PSNR and perceptual distance along both ways from the first network to the second.

    Args:
        ends: phase 2 and phase 3.
        pairs: pictures that no training has seen.
        vgg: for the perceptual distance, see `perceptual_distance`.
        shares: of the second network.

    Returns:
        One row for each share and way (`outputs`, `weights`), means over the pictures.
    """
    answers = [[net(noisy) for noisy, _ in pairs] for net in ends]
    rows = []
    for share in shares:
        outputs = [a.lerp(b, share) for a, b in zip(*answers, strict=True)]
        mixed = mix_weights(*ends, share)
        weights = [mixed(noisy) for noisy, _ in pairs]
        for way, pictures in (("outputs", outputs), ("weights", weights)):
            rows.append({"way": way, "detail": share, **_judge(pictures, pairs, vgg)})
    return rows


@torch.no_grad()
def rank_by_prior(
    discriminator: Discriminator, net: nn.Module, pairs: Sequence[Pair]
) -> dict[str, float]:
    """Mean negative log prior of clean, noisy, over-smoothed and denoised pictures, least first.

    See `negative_log_prior`; pictures smaller than a crop are an error there.
    """
    kinds: Mapping[str, Any] = {
        "clean": lambda noisy, clean: clean,
        "noisy": lambda noisy, clean: noisy,
        "over-smoothed": lambda noisy, clean: smoothed(clean),
        "denoised": lambda noisy, clean: net(noisy),
    }
    values = {
        kind: float(
            torch.cat([negative_log_prior(discriminator, make(*pair)) for pair in pairs]).mean()
        )
        for kind, make in kinds.items()
    }
    return dict(sorted(values.items(), key=lambda item: item[1]))


def smoothed(x_nchw: Tensor, passes: int = 8) -> Tensor:
    """A picture with its detail washed out: binomial blur, a standard deviation of 2 pixels."""
    channels = x_nchw.shape[1]
    taps = torch.tensor(BLUR, dtype=x_nchw.dtype, device=x_nchw.device)
    kernel = (taps[:, None] * taps).expand(channels, 1, 3, 3)
    y = x_nchw
    for _ in range(passes):
        y = functional.conv2d(functional.pad(y, (1, 1, 1, 1), "replicate"), kernel, groups=channels)
    return y


def _judge(pictures: Sequence[Tensor], pairs: Sequence[Pair], vgg: Vgg19) -> dict[str, float]:
    errors = [(x - clean).square().mean() for x, (_, clean) in zip(pictures, pairs, strict=True)]
    distances = [
        perceptual_distance(vgg, x, clean) for x, (_, clean) in zip(pictures, pairs, strict=True)
    ]
    return {
        "psnr": float(-10 * torch.stack(errors).log10().mean()),
        "perceptual_distance": float(torch.cat(distances).mean()),
    }
