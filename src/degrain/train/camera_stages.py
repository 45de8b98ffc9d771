"""The stages of a camera for training batches: the twins of `degrain.camera_stages`.

Pictures are float32, N×3×H×W, unless stated otherwise; every picture of a batch has a shot of its
own. The tests hold each stage against its twin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.camera_stages import (
    BLUR_MARGIN,
    CORE_MARGIN,
    FINE_REACH,
    LINE_MARGIN,
    LINES,
    LUMA,
    REACH,
    RETOUCH_MARGIN,
    demosaic_filters,
    gaussian_taps,
    line_kernels,
)
from degrain.shots import Shot


def linear_from_srgb(x: Tensor) -> Tensor:
    """Light, 0..1, of sRGB values 0..1; values beyond are clipped."""
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: Tensor) -> Tensor:
    """The inverse of `linear_from_srgb`."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def tone(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    """The S-shaped tone curve on 0..1; see `camera_stages.tone`."""
    x = x.clamp(0, 1)  # rounding may lead a little beyond, where powers are not numbers
    lift = each(x, shots, lambda shot: shot.lift)
    return _s_curve(x**lift, each(x, shots, lambda shot: shot.contrast))


def untone(y: Tensor, shots: Sequence[Shot]) -> Tensor:
    """The inverse of `tone`."""
    contrast = each(y, shots, lambda shot: 1 / shot.contrast)
    return _s_curve(y.clamp(0, 1), contrast) ** each(y, shots, lambda shot: 1 / shot.lift)


def _s_curve(x: Tensor, contrast: Tensor) -> Tensor:
    dark = x**contrast
    return dark / (dark + (1 - x) ** contrast)


def apply_matrix(x: Tensor, matrix: Tensor) -> Tensor:
    """Another color space; `matrix` is N×1×3×3."""
    return (matrix[:, 0] @ x.flatten(2)).reshape(x.shape)


def red_places(x: Tensor, shots: Sequence[Shot]) -> tuple[Tensor, Tensor]:
    """Rows (N×1×H×1) and columns (N×1×1×W) of the Bayer patterns that hold red."""
    first = torch.tensor([shot.first_red for shot in shots], device=x.device)
    rows = torch.arange(x.shape[2], device=x.device)[:, None] % 2
    columns = torch.arange(x.shape[3], device=x.device)[None, :] % 2
    return rows == first[:, 0, None, None, None], columns == first[:, 1, None, None, None]


def mosaic(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    """The one color that each pixel of a Bayer sensor measures, N×1×H×W."""
    row, column = red_places(x, shots)
    red, green, blue = x.split(1, dim=1)
    return torch.where(row, torch.where(column, red, green), torch.where(column, green, blue))


def sensor_noise(raw: Tensor, shots: Sequence[Shot], normal: Tensor) -> Tensor:
    """Photon and readout noise of variance gain · raw + readout²."""
    gain = each(raw, shots, lambda shot: shot.gain)
    readout = each(raw, shots, lambda shot: shot.readout)
    return (gain * raw.clamp(min=0) + readout**2).sqrt() * normal


def demosaic(raw: Tensor, shots: Sequence[Shot]) -> Tensor:
    """Colors of the pixels of Bayer sensors but their outer two, N×3×(H-4)×(W-4)."""
    plain = torch.from_numpy(demosaic_filters(0)).to(raw)
    more = torch.from_numpy(demosaic_filters(1)).to(raw) - plain
    correction = each(raw, shots, lambda shot: shot.correction)
    found = F.conv2d(raw, plain[:, None]) + correction * F.conv2d(raw, more[:, None])
    cross, across, down, around = found.split(1, dim=1)
    own = raw[..., 2:-2, 2:-2]
    row, column = red_places(own, shots)
    where = torch.where
    red = where(row, where(column, own, across), where(column, down, around))
    green = where(row == column, cross, own)
    blue = where(row, where(column, around, down), where(column, across, own))
    return torch.cat([red, green, blue], dim=1)


def smooth_along_lines(noise: Tensor, picture: Tensor, shots: Sequence[Shot]) -> Tensor:
    """See `camera_stages.smooth_along_lines`; N×C×H×W and N×1×H×W give N×C×(H-8)×(W-8)."""
    inner = slice(LINE_MARGIN, -LINE_MARGIN)
    cut = noise[..., inner, inner]
    chosen = [i for i, shot in enumerate(shots) if shot.line_px]
    if not chosen:
        return cut
    kernels = torch.from_numpy(np.stack([line_kernels(shots[i].line_px) for i in chosen])).to(noise)
    smooth = cut.clone()
    smooth[chosen] = _along_lines(noise[chosen], picture[chosen], kernels)
    return smooth


def _along_lines(noise: Tensor, picture: Tensor, kernels: Tensor) -> Tensor:
    """With the filters N×4×5×5 of every picture's own.

    By shifts, for half of the time of convolutions, which multiply by the zeros beside the line.
    """
    both = torch.cat([picture, noise], 1)
    height, width = (n - 2 * REACH for n in noise.shape[2:])
    reach = slice(REACH, -REACH)
    smooth = noise[..., LINE_MARGIN:-LINE_MARGIN, LINE_MARGIN:-LINE_MARGIN]
    least = torch.full_like(smooth[:, :1], torch.inf)
    for line, (down, right) in enumerate(LINES):
        along = torch.zeros_like(both[..., reach, reach])
        for step in range(-REACH, REACH + 1):
            row, column = REACH + step * down, REACH + step * right
            weight = kernels[:, line, row, column].reshape(-1, 1, 1, 1)
            along.addcmul_(weight, both[..., row : row + height, column : column + width])
        off_line = (picture[..., reach, reach] - along[:, :1]).square_()
        rough = F.avg_pool2d(off_line, 2 * REACH + 1, 1)
        smooth = torch.where(rough < least, along[:, 1:, reach, reach], smooth)
        least = torch.minimum(rough, least)
    return smooth


def core(noise: Tensor, picture: Tensor, shots: Sequence[Shot]) -> Tensor:
    """See `camera_stages.core`; N×3×H×W and N×1×H×W give N×3×(H-12)×(W-12)."""
    inner = slice(CORE_MARGIN, -CORE_MARGIN)
    chosen = [i for i, shot in enumerate(shots) if shot.coring]
    cored = noise[..., inner, inner]
    if not chosen:
        return cored
    cored = cored.clone()
    cored[chosen] = _cored(noise[chosen], picture[chosen], [shots[i] for i in chosen])
    return cored


def _cored(noise: Tensor, picture: Tensor, shots: Sequence[Shot]) -> Tensor:
    inner, cut = slice(FINE_REACH, -FINE_REACH), slice(REACH, -REACH)
    both = torch.cat([noise, picture], 1)
    smooth = blur(both, [shot.fine_px for shot in shots], FINE_REACH)
    fine = both[..., inner, inner] - smooth
    spread = luma_of(fine[:, :3]).std((1, 2, 3), correction=0, keepdim=True)
    limit = (each(noise, shots, lambda shot: shot.coring) * spread).square()
    strength = blur(fine[:, 3:].square(), [shot.coring_px for shot in shots], REACH)
    kept = strength / (strength + limit + 1e-12)
    return smooth[:, :3, cut, cut] + kept * fine[:, :3, cut, cut]


def level_by_brightness(gray: Tensor, shots: Sequence[Shot]) -> Tensor:
    """How strong noise is at each brightness; see `camera_stages.level_by_brightness`."""
    dark = each(gray, shots, lambda shot: shot.dark)
    bright = each(gray, shots, lambda shot: shot.bright) * gray.new_tensor([1, -1, 1])
    return 1 + _below(gray, dark) + _below(-gray, bright)


def level_by_saturation(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    """How strong color noise is at each color; N×3×H×W gives N×1×H×W; see the twin."""
    saturation = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    return 1 + _below(saturation, each(x, shots, lambda shot: shot.neutral))


def _below(x: Tensor, levels: Tensor) -> Tensor:
    """What makes a level of 1 another one below a place; level, place and width as N×1×1×3."""
    level, place, width = levels.split(1, dim=3)
    below: Tensor = (level - 1) / 2 * (1 + ((place - x) / width).tanh())
    return below


def level_by_detail(gray: Tensor, shots: Sequence[Shot]) -> Tensor:
    """How strong noise is beside edges; N×1×H×W gives N×1×(H-10)×(W-10); see the twin."""
    plain, step, _ = (
        each(gray, shots, lambda shot: shot.detail).reshape(-1, 3, 1, 1).split(1, dim=1)
    )
    down = gray[..., 2:, 1:-1] - gray[..., :-2, 1:-1]
    right = gray[..., 1:-1, 2:] - gray[..., 1:-1, :-2]
    steep = blur((down.square() + right.square()) / 4, [shot.detail[2] for shot in shots])
    level: Tensor = plain + (1 - plain) * steep / (steep + step.square())
    return level


def dim(noise: Tensor, level: Tensor) -> Tensor:
    """Noise whose brightness has this level, N×1×H×W; its color stays."""
    return noise + (level - 1) * luma_of(noise)


def retouch(noise: Tensor, shots: Sequence[Shot]) -> Tensor:
    """What smoothing and sharpening in the camera make of noise; eight pixels less a side."""
    luma = luma_of(noise)
    inner = slice(RETOUCH_MARGIN - BLUR_MARGIN, BLUR_MARGIN - RETOUCH_MARGIN)
    near = luma[..., inner, inner]
    smooth = blur(near, [shot.luma_px for shot in shots])
    amount = each(noise, shots, lambda shot: shot.sharpening)
    wide = blur(near, [float(np.hypot(shot.luma_px, 1)) for shot in shots])
    chroma = blur(noise - luma, [shot.chroma_px for shot in shots], RETOUCH_MARGIN)
    return smooth + amount * (smooth - wide) + chroma


def fade(noise: Tensor, color: Tensor) -> Tensor:
    """Noise with its color taken back to a share of 0 (gray grain) to 1 (as it is), N×1×H×W."""
    luma = luma_of(noise)
    return luma + color * (noise - luma)


def blur(x: Tensor, sigmas_px: Sequence[float], reach: int = BLUR_MARGIN) -> Tensor:
    """A Gaussian filter of 9×9 taps for each picture; N×C×H×W gives N×C×(H-8)×(W-8).

    With another reach it has so many taps on both sides of the middle.
    """
    taps = torch.from_numpy(np.stack([gaussian_taps(sigma, reach) for sigma in sigmas_px])).to(x)
    channels = x.shape[1]
    weights = taps.repeat_interleave(channels, dim=0)
    planes = x.reshape(1, -1, *x.shape[2:])
    rows = F.conv2d(planes, weights[:, None, :, None], groups=len(weights))
    both = F.conv2d(rows, weights[:, None, None, :], groups=len(weights))
    height, width = (n - 2 * reach for n in x.shape[2:])
    return both.reshape(-1, channels, height, width)


Size = tuple[int, int]


def resize(x: Tensor, before: Sequence[Size], after: Sequence[Size]) -> Tensor:
    """Other sizes, by linear interpolation, with a wider triangle where it gets smaller.

    Pictures of several sizes share a tensor: each fills its first rows and columns, and its edge
    is repeated beyond.
    """
    rows = _weights(x, 2, [b[0] for b in before], [a[0] for a in after])
    columns = _weights(x, 3, [b[1] for b in before], [a[1] for a in after])
    return rows[:, None] @ x @ columns[:, None].mT


def _weights(x: Tensor, axis: int, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """What each of the new places takes from each old one, N×new×old."""
    old, new = (torch.tensor(n, device=x.device)[:, None] for n in (before, after))
    ratio = old.double() / new
    places = torch.arange(max(after), device=x.device).expand(len(after), -1).minimum(new - 1)
    centers = (places + 0.5) * ratio - 0.5
    sources = torch.arange(x.shape[axis], device=x.device)
    apart = (centers[..., None] - sources).abs() / ratio.clamp(min=1)[..., None]
    weights = (1 - apart).clamp(min=0) * (sources < old)[:, None]
    return (weights / weights.sum(dim=2, keepdim=True)).to(x.dtype)


def luma_of(x: Tensor) -> Tensor:
    """Gray of RGB, N×1×H×W."""
    weights = x.new_tensor(LUMA)[:, None, None]
    return (x * weights).sum(dim=1, keepdim=True)


def each(x: Tensor, shots: Sequence[Shot], value: Callable[[Shot], object]) -> Tensor:
    """A number or matrix of every shot beside the pictures: N×1×1×1 or N×1×rows×columns."""
    values = np.array([value(shot) for shot in shots], np.float32)
    rows, columns = values.shape[1:] if values.ndim == 3 else (1, values[0].size)
    return torch.from_numpy(values).to(x.device).reshape(len(shots), 1, rows, columns)
