"""The noise models of `degrain.noise` for training batches, made on the batch's own device.

The formulas are those of `degrain.noise`; the random numbers are not the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.errors import TrainingError
from degrain.lettering import text_coverage
from degrain.noise import (
    Gaussian,
    Interval,
    Jpeg,
    Mask,
    Noise,
    Poisson,
    PoissonGaussian,
    Text,
)

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
    """One value per picture, N×1×1×1; a fixed number costs no random draw."""
    shape = (clean.shape[0], 1, 1, 1)
    if interval.low == interval.high:
        return clean.new_full(shape, interval.low)
    share = torch.rand(shape, generator=generator, device=clean.device, dtype=clean.dtype)
    return interval.low + (interval.high - interval.low) * share


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


# JPEG: ITU-T T.81 Annex K.1 gives the tables, libjpeg's jcparam.c their scaling by quality.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)


def _jpeg(clean: torch.Tensor, noise: Jpeg, generator: Maybe) -> torch.Tensor:
    """Quantized 8×8 DCT of YCbCr 4:2:0, as libjpeg makes and decodes it (fancy upsampling)."""
    quality = _draw(noise.quality, clean, generator).float().round()
    with torch.autocast(clean.device.type, enabled=False):  # bfloat16 would blur the DCT
        pixels = (clean.float().clamp(0, 1) * 255).round()
        if pixels.shape[1] == 3:
            decoded = _color_jpeg(pixels, quality)
        else:
            decoded = _code_plane(pixels, _table(_LUMINANCE, quality))
        return (decoded.round().clamp(0, 255) / 255).to(clean.dtype)


def _color_jpeg(rgb: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """JFIF's YCbCr with the color averaged over 2×2 pixels; N×3×H×W in 0..255."""
    height, width = rgb.shape[2:]
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    chroma = torch.cat(
        [
            -0.168735892 * red - 0.331264108 * green + 0.5 * blue,
            0.5 * red - 0.418687589 * green - 0.081312411 * blue,
        ],
        dim=1,
    )
    chroma = (chroma.round() + 128).clamp(0, 255)
    even = F.pad(chroma, (0, width % 2, 0, height % 2), mode="replicate")
    coded = _code_plane(F.avg_pool2d(even, 2).round(), _table(_CHROMINANCE, quality))
    full = F.interpolate(
        coded.round().clamp(0, 255), scale_factor=2, mode="bilinear", align_corners=False
    )
    y = _code_plane(luma, _table(_LUMINANCE, quality)).round().clamp(0, 255)
    color = full[:, :, :height, :width].round() - 128
    cb, cr = color[:, 0:1], color[:, 1:2]
    return torch.cat(
        [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], dim=1
    )


def _code_plane(plane: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Quantize the DCT of 8×8 blocks; N×C×H×W in 0..255, `table` N×1×1×1×8×8."""
    count, channels, height, width = plane.shape
    padded = F.pad(plane - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.reshape(count, channels, rows, 8, columns, 8).transpose(3, 4)
    basis = _dct(plane)
    coefficients = (basis @ blocks @ basis.T / table).round() * table
    decoded = (basis.T @ coefficients @ basis).transpose(3, 4).reshape(padded.shape)
    return decoded[:, :, :height, :width] + 128


def _dct(like: torch.Tensor) -> torch.Tensor:
    """The orthonormal 8-point DCT-II, frequency × place (T.81, A.3.3)."""
    place = torch.arange(8, device=like.device, dtype=torch.float64)
    basis = torch.cos((2 * place + 1) * place[:, None] * (torch.pi / 16)) / 2
    basis[0] *= 0.5**0.5
    return basis.to(like.dtype)


def _table(base: tuple[tuple[int, ...], ...], quality: torch.Tensor) -> torch.Tensor:
    """Quantization steps of each picture, N×1×1×1×8×8."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor(base, device=quality.device, dtype=torch.float32)
    return ((steps * percent[..., None, None] + 50) / 100).floor().clamp(1, 255)


_ADD: Mapping[type, Callable[[torch.Tensor, Any, Maybe], torch.Tensor]] = {
    Gaussian: _gaussian,
    Poisson: _poisson,
    PoissonGaussian: _poisson_gaussian,
    Jpeg: _jpeg,
    Mask: _mask,
    Text: _text,
}
