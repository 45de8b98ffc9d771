"""The noise models of `degrain.noise` for training batches, made on the batch's own device.

The formulas are those of `degrain.noise`; the random numbers are not the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from degrain.errors import TrainingError
from degrain.lettering import text_coverage
from degrain.noise import (
    Camera,
    Gaussian,
    Interval,
    Jpeg,
    Mask,
    Noise,
    Poisson,
    PoissonGaussian,
    Text,
)
from degrain.train.camera import take
from degrain.train.jpeg import through_jpeg

Maybe = torch.Generator | None


@torch.no_grad()
def degrade(
    clean_nchw: torch.Tensor, noise: Noise, generator: torch.Generator | None = None
) -> torch.Tensor:
    """A noisy copy of a batch; every picture draws its own noise level from the ranges.

    Args:
        clean_nchw: N×C×H×W, floats in 0..1, on any device.
        noise: from `degrain.noise.parse_noise`.
        generator: on the batch's device; the same state gives the same noise. Default: torch's.

    Returns:
        N×C×H×W, same dtype and device, not clipped.

    Raises:
        TrainingError: the noise model has no version for training.
    """
    try:
        add = _ADD[type(noise)]
    except KeyError as error:
        msg = f"The noise {noise} cannot be made for training; use another, or train on --pairs."
        raise TrainingError(msg) from error
    return add(clean_nchw, noise, generator)


def _draw(interval: Interval, clean: torch.Tensor, generator: Maybe) -> torch.Tensor:
    """One value per picture, N×1×1×1; a fixed number costs no random draw.

    Each is uniform over the range, but together they are spread over it, one in each N-th part
    (stratified): no batch is all noisy or all clean, which steadies the steps.
    """
    count = clean.shape[0]
    shape = (count, 1, 1, 1)
    if interval.low == interval.high:
        return clean.new_full(shape, interval.low)
    part = torch.randperm(count, generator=generator, device=clean.device).to(clean.dtype)
    place = torch.rand(shape, generator=generator, device=clean.device, dtype=clean.dtype)
    return interval.low + (interval.high - interval.low) * (part.view(shape) + place) / count


def _randn(clean: torch.Tensor, generator: Maybe) -> torch.Tensor:
    return torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)


def _gaussian(clean: torch.Tensor, noise: Gaussian, generator: Maybe) -> torch.Tensor:
    sigma = _draw(noise.sigma_255, clean, generator) / 255
    return clean + sigma * _randn(clean, generator)


def _photons(clean: torch.Tensor, peak: torch.Tensor, generator: Maybe) -> torch.Tensor:
    return torch.poisson(clean.clamp(min=0) * peak, generator=generator) / peak


def _poisson(clean: torch.Tensor, noise: Poisson, generator: Maybe) -> torch.Tensor:
    return _photons(clean, _draw(noise.peak, clean, generator), generator)


def _poisson_gaussian(
    clean: torch.Tensor, noise: PoissonGaussian, generator: Maybe
) -> torch.Tensor:
    gain, readout = (_draw(part, clean, generator) for part in (noise.gain, noise.readout))
    return _photons(clean, 1 / gain, generator) + readout * _randn(clean, generator)


def _mask(clean: torch.Tensor, noise: Mask, generator: Maybe) -> torch.Tensor:
    lost = _draw(noise.lost, clean, generator)
    count, _, height, width = clean.shape
    share = torch.rand(
        (count, 1, height, width), generator=generator, device=clean.device, dtype=clean.dtype
    )
    return clean * (share >= lost)


def _text(clean: torch.Tensor, noise: Text, generator: Maybe) -> torch.Tensor:
    sizes = _draw(noise.size_px, clean, generator).flatten().round().int().tolist()
    seeds = torch.randint(2**62, (len(sizes),), generator=generator, device=clean.device).tolist()
    height, width = clean.shape[2:]
    pages = [
        text_coverage(height, width, size, np.random.default_rng(seed))
        for size, seed in zip(sizes, seeds, strict=True)
    ]
    covered = torch.from_numpy(np.stack(pages)[:, None]).to(clean)
    return clean * (1 - covered) + covered


def _jpeg(clean: torch.Tensor, noise: Jpeg, generator: Maybe) -> torch.Tensor:
    return through_jpeg(clean, _draw(noise.quality, clean, generator))


_ADD: Mapping[type, Callable[[torch.Tensor, Any, Maybe], torch.Tensor]] = {
    Gaussian: _gaussian,
    Poisson: _poisson,
    PoissonGaussian: _poisson_gaussian,
    Jpeg: _jpeg,
    Mask: _mask,
    Text: _text,
    Camera: take,
}
