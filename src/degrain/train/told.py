"""A teacher that is told a level: what to take for noise where a camera's noise looks like detail.

A network that learns from made camera noise leaves of real one what might be detail: beside edges
and in print, where the noise of cameras looks like texture. A network for white noise that is told
several times the level (`degrain.steering`) takes it off, with fine texture. On real pairs the
mean of both answers is better than either (benchmarks/LOG.md), but takes the time of three
networks. So one learns the mean: on crops whose noise pixels share with their neighbors. White
noise and clean pictures are taught by the blind teacher alone, or by the clean crops, which have
the same mean as a blind teacher that is right.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

TIMES: Final = 6.5
"""Level of the noise that tells it, in noise levels of the crop."""
MOST_255: Final = 40.0
"""Level above which it is told no more."""
SHARED: Final = 0.15
"""Correlation of noise between pixels side by side from which they share it; white noise has 0."""
FAINTEST_255, STRONGEST_255 = 0.7, 12.0
"""Levels between which the mean is learned: below there is little to take off, and above, the
first teacher knows it for noise."""


def shared_level(noise_nchw: Tensor) -> Tensor:
    """Level of the noise of each crop that pixels share with their neighbors, of shape N.

    Args:
        noise_nchw: noisy crops less the clean ones, where white is 1.

    Returns:
        Standard deviations; 0 where the noise is white, fainter or stronger than is learned.
    """
    noise = noise_nchw - noise_nchw.mean((2, 3), keepdim=True)
    variance = noise.square().mean((1, 2, 3))
    across = (noise[..., 1:] * noise[..., :-1]).mean((1, 2, 3))
    level = variance.sqrt()
    learned = (level > FAINTEST_255 / 255) & (level < STRONGEST_255 / 255)
    return level * (learned & (across > SHARED * variance))


def soften(
    blind_nchw: Tensor,
    noisy_nchw: Tensor,
    clean_nchw: Tensor,
    told: nn.Module,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    """What is learned, moved towards a told teacher's answers where pixels share their noise.

    Args:
        blind_nchw: answers of a blind teacher, or the clean crops.
        noisy_nchw: what it was asked about.
        clean_nchw: the same without noise.
        told: a network for white noise.
        share: what its answers count in the mean, 0..1.
        generator: on the device of the crops, for the noise that tells it the level.
    """
    level = shared_level(noisy_nchw - clean_nchw)
    chosen = level.nonzero()[:, 0]
    if not len(chosen):
        return blind_nchw
    added = (TIMES * level[chosen]).clamp(max=MOST_255 / 255)
    answer = answer_when_told(told, noisy_nchw[chosen], added, generator)
    softened = blind_nchw.clone()
    softened[chosen] = blind_nchw[chosen].lerp(answer, share)
    return softened


def answer_when_told(
    net: nn.Module, noisy_nchw: Tensor, added: Tensor, generator: torch.Generator
) -> Tensor:
    """The network's answer to crops and white noise, the mean of both signs (`degrain.steering`).

    Args:
        net: takes and gives N×C×H×W.
        noisy_nchw: crops.
        added: level of the noise to add to each, of shape N, where white is 1.
        generator: on the device of the crops.
    """
    drawn = torch.empty_like(noisy_nchw).normal_(generator=generator)
    noise = drawn * added[:, None, None, None]
    both: Tensor = net(torch.cat([noisy_nchw + noise, noisy_nchw - noise])).float()
    first, second = both.chunk(2)
    return (first + second) / 2
