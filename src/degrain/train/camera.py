"""The noise `camera` for training batches: the twin of `degrain.camera`, on the batch's device.

The parameters are drawn by `degrain.camera.draw_shot` on the host, a few numbers per picture; all
that is as large as a picture is drawn and computed on the device. Pictures are float32, N×3×H×W,
unless stated otherwise. The tests hold stage against stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.camera import MARGIN, Camera, Shot, draw_shot
from degrain.camera_stages import (
    BLUR_MARGIN,
    CORE_MARGIN,
    DEMOSAIC_MARGIN,
    FINE_PX,
    LINE_MARGIN,
    LINES,
    LUMA,
    REACH,
    demosaic_filters,
    gaussian_taps,
    line_kernels,
)
from degrain.train.enlarge import enlarge, flatten
from degrain.train.jpeg import through_jpeg
from degrain.train.leaves import scatter_leaves

SOFT_SHARE = 0.9
"""Of the shots with a sensor, see `photograph`."""

SOFTEST_EDGES = 2.5
"""How many times drawn pictures are enlarged at most: more would leave one edge in each."""

SLOW = 49
"""Side in pixels of the window whose mean the noise may move."""


def take(clean_nchw: Tensor, noise: Camera, generator: torch.Generator | None) -> Tensor:
    """Every picture of a batch as a shot of its own; see `Camera.add` about the channels."""
    count, channels, height, width = clean_nchw.shape
    planes = clean_nchw if channels == 3 else clean_nchw.reshape(-1, 1, height, width)
    rng = _host_source(clean_nchw, generator)
    shots = [draw_shot(rng) for _ in range(len(planes))]
    with torch.autocast(clean_nchw.device.type, enabled=False):  # bfloat16 would show as noise
        noisy = take_shots(planes.float(), shots, generator)
    return noisy.to(clean_nchw.dtype).reshape(count, channels, height, width)


@torch.no_grad()
def photograph(
    large_nchw: Tensor, most: float, generator: torch.Generator, leaves: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Camera noise on pictures as a camera delivers them, which are not sharp from pixel to pixel.

    Camera shots are of pictures made smaller by two, since the grain that a clean picture has of
    its own teaches a network to leave grain in. A camera's
    filters act on the picture as on its noise, so the clean picture of a shot has gone through the
    same ones, but for those that follow what they see. Besides, nine in ten shots are of parts of
    crops, enlarged, since lenses blur, and flatter. Some crops have shapes drawn over them, since
    made things are even beside strong edges; these keep their contrast.

    White noise and clean pictures stay as they are: they teach what must not be smeared. So the
    network may learn from the noise what to expect of the picture: coarse grain comes with soft
    edges. Half of the pictures with gray grain are gray themselves. What the noise does to the
    local mean (near black it lifts it) stays in the clean picture, for a network that moved
    brightness would be wrong about the next camera.

    Args:
        large_nchw: N×3×2S×2S or N×1×2S×2S in 0..1.
        most: how many times a part of a crop is enlarged at most, see `train.enlarge`.
        generator: on the batch's device.
        leaves: share of the pictures that get drawn shapes, see `train.leaves`.

    Returns:
        The noisy and the clean pictures, N×C×S×S: of white noise and clean ones the middle.
    """
    rng = _host_source(large_nchw, generator)
    shots = [draw_shot(rng) for _ in range(len(large_nchw))]
    soft = [i for i, shot in enumerate(shots) if shot.has_sensor and rng.random() < SOFT_SHARE]
    taken = [i for i, shot in enumerate(shots) if shot.has_sensor]
    drawn = [i for i in range(len(large_nchw)) if rng.random() < leaves] if leaves else []
    large_nchw = _change(large_nchw, drawn, lambda x: scatter_leaves(x, generator))
    side = large_nchw.shape[-1] // 2
    inner = slice(side // 2, side // 2 + side)
    clean = large_nchw[..., inner, inner].clone()
    if taken:
        clean[taken] = F.avg_pool2d(large_nchw[taken], 2)
    natural, made = ([i for i in soft if (i in drawn) is of] for of in (False, True))
    clean = _change(clean, natural, lambda x: flatten(enlarge(x, most, generator), generator))
    clean = _change(clean, made, lambda x: enlarge(x, min(most, SOFTEST_EDGES), generator))
    clean = _change(clean, taken, lambda x: through_filters(x, [shots[i] for i in taken]))
    if clean.shape[1] == 3:
        gray = [i for i, shot in enumerate(shots) if shot.color == 0 and rng.random() < 0.5]
        clean = _change(clean, gray, _luma)
    noisy = take_shots(clean, shots, generator)
    if taken:
        clean[taken] += local_mean(noisy[taken] - clean[taken])
    return noisy, clean


def _change(x: Tensor, chosen: Sequence[int], change: Callable[[Tensor], Tensor]) -> Tensor:
    """The pictures, of which those chosen are changed; none is changed in place."""
    if not chosen:
        return x
    changed = x.clone()
    changed[chosen] = change(x[chosen])
    return changed


def local_mean(x: Tensor) -> Tensor:
    """Mean over `SLOW` × `SLOW` pixels, at the border over those inside.

    As two products: pooling over so large a window took a seventh of the time of making noise.
    """
    down, right = (_near(size, x) for size in x.shape[-2:])
    return down @ x @ right.mT


def _near(size: int, like: Tensor) -> Tensor:
    """What each of so many pixels in a row takes from each one, size×size."""
    places = torch.arange(size, device=like.device)
    near = ((places[:, None] - places).abs() <= SLOW // 2).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)


def through_filters(clean: Tensor, shots: Sequence[Shot]) -> Tensor:
    """What enlarging, smoothing and sharpening make of the picture itself, the same shape."""
    channels, before = clean.shape[1], [(clean.shape[2], clean.shape[3])] * len(clean)
    # Making a picture smaller loses nothing of what is left of it.
    sizes = [
        shot.sensor_size(*size) if shot.scale > 1 else size
        for shot, size in zip(shots, before, strict=True)
    ]
    larger = sizes != before
    at_sensor = resize(clean, before, sizes) if larger else clean
    around = F.pad(at_sensor.expand(-1, 3, -1, -1), (BLUR_MARGIN,) * 4, mode="replicate")
    filtered = retouch(around, shots)
    if channels == 1:
        filtered = _luma(filtered)
    return (resize(filtered, sizes, before) if larger else filtered).clamp(0, 1)


def take_shots(clean: Tensor, shots: Sequence[Shot], generator: torch.Generator | None) -> Tensor:
    """The pictures as these shots show them, N×3×H×W or N×1×H×W in 0..1."""
    sigma = _each(clean, shots, lambda shot: shot.sigma_255 / 255)
    noisy = clean + sigma * white_noise(clean, shots, generator)
    # Smaller sensors need less work than larger ones, and most need no resizing at all.
    for kind in (_same_size, _from_larger, _from_smaller):
        chosen = [i for i, shot in enumerate(shots) if shot.has_sensor and kind(shot)]
        if chosen:
            added = grain(clean[chosen], [shots[i] for i in chosen], generator)
            noisy[chosen] = (noisy[chosen] + added).clamp(0, 1)
    chosen = [i for i, shot in enumerate(shots) if shot.quality is not None]
    if chosen:
        quality = _each(clean, [shots[i] for i in chosen], lambda shot: shot.quality or 100)
        noisy[chosen] = through_jpeg(noisy[chosen], quality)
    return noisy


def grain(clean: Tensor, shots: Sequence[Shot], generator: torch.Generator | None) -> Tensor:
    """What a sensor and its camera add to each picture, the same shape as `clean`."""
    count, channels, height, width = clean.shape
    sizes = [shot.sensor_size(height, width) for shot in shots]
    resized = any(size != (height, width) for size in sizes)
    at_sensor = clean.clamp(0, 1)
    if resized:
        at_sensor = resize(at_sensor, [(height, width)] * count, sizes)
    around = F.pad(at_sensor.expand(-1, 3, -1, -1), (MARGIN,) * 4, mode="replicate")
    normal = _randn(clean, (count, 1, *around.shape[2:]), generator)
    noise = developed_noise(around, shots, normal)
    if channels == 1:
        noise = _luma(noise)
    return resize(noise, sizes, [(height, width)] * count) if resized else noise


def developed_noise(around: Tensor, shots: Sequence[Shot], normal: Tensor) -> Tensor:
    """The noise at the sensor's size, N×3×H×W.

    Args:
        around: clean, with `MARGIN` pixels more on every side, N×3×(H+28)×(W+28) in 0..1.
        shots: the parameters.
        normal: standard normal random numbers, N×1×(H+28)×(W+28).
    """
    raw = to_raw(around, shots)
    noise = demosaic(sensor_noise(mosaic(raw, shots), shots, normal), shots)
    cut = slice(DEMOSAIC_MARGIN, -DEMOSAIC_MARGIN)
    finished = develop(raw[..., cut, cut] + noise, shots)
    noise, picture = finished - around[..., cut, cut], _luma(finished)
    both = smooth_along_lines(torch.cat([noise, picture], 1), picture, shots)
    noise = core(both[:, :3], both[:, 3:], shots)
    return fade(retouch(noise, shots), shots)


def white_noise(clean: Tensor, shots: Sequence[Shot], generator: torch.Generator | None) -> Tensor:
    """Standard normal noise, whose channels correlate by 1 − color²."""
    color = _each(clean, shots, lambda shot: shot.color)
    shared = _randn(clean, (len(clean), 1, *clean.shape[2:]), generator)
    return color * _randn(clean, clean.shape, generator) + (1 - color**2).sqrt() * shared


def to_raw(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    """Back from finished pictures to the sensor's light, all three colors at each pixel."""
    light = linear_from_srgb(tone(x, _each(x, shots, lambda shot: 1 / shot.contrast)))
    matrix = _each(x, shots, lambda shot: shot.camera_from_rgb)
    return apply_matrix(light, matrix) / _gains(x, shots)


def develop(raw: Tensor, shots: Sequence[Shot]) -> Tensor:
    """The inverse of `to_raw`; what lies beyond black and white is clipped."""
    matrix = _each(raw, shots, lambda shot: np.linalg.inv(np.array(shot.camera_from_rgb)))
    light = apply_matrix(raw * _gains(raw, shots), matrix)
    return tone(srgb_from_linear(light), _each(raw, shots, lambda shot: shot.contrast))


def linear_from_srgb(x: Tensor) -> Tensor:
    """Light, 0..1, of sRGB values 0..1; values beyond are clipped."""
    x = x.clamp(0, 1)
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: Tensor) -> Tensor:
    """The inverse of `linear_from_srgb`."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def tone(x: Tensor, contrast: Tensor) -> Tensor:
    """The S-shaped tone curve on 0..1; `contrast` is N×1×1×1."""
    x = x.clamp(0, 1)  # rounding may lead a little beyond, where powers are not numbers
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
    gain = _each(raw, shots, lambda shot: shot.gain)
    readout = _each(raw, shots, lambda shot: shot.readout)
    return (gain * raw.clamp(min=0) + readout**2).sqrt() * normal


def demosaic(raw: Tensor, shots: Sequence[Shot]) -> Tensor:
    """Colors of the pixels of Bayer sensors but their outer two, N×3×(H-4)×(W-4)."""
    plain = torch.from_numpy(demosaic_filters(0)).to(raw)
    more = torch.from_numpy(demosaic_filters(1)).to(raw) - plain
    correction = _each(raw, shots, lambda shot: shot.correction)
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
    """See `camera_stages.core`; N×3×H×W and N×1×H×W give N×3×(H-8)×(W-8)."""
    inner = slice(CORE_MARGIN, -CORE_MARGIN)
    chosen = [i for i, shot in enumerate(shots) if shot.coring]
    cored = noise[..., inner, inner]
    if not chosen:
        return cored
    cored = cored.clone()
    cored[chosen] = _cored(noise[chosen], picture[chosen], [shots[i] for i in chosen])
    return cored


def _cored(noise: Tensor, picture: Tensor, shots: Sequence[Shot]) -> Tensor:
    cut = slice(REACH, -REACH)
    both = torch.cat([noise, picture], 1)
    smooth = blur(both, [FINE_PX] * len(shots), REACH)
    fine = both[..., cut, cut] - smooth
    spread = _luma(fine[:, :3]).std((1, 2, 3), correction=0, keepdim=True)
    limit = (_each(noise, shots, lambda shot: shot.coring) * spread).square()
    strength = blur(fine[:, 3:].square(), [shot.coring_px for shot in shots], REACH)
    kept = strength / (strength + limit + 1e-12)
    return smooth[:, :3, cut, cut] + kept * fine[:, :3, cut, cut]


def retouch(noise: Tensor, shots: Sequence[Shot]) -> Tensor:
    """What smoothing and sharpening in the camera make of noise; four pixels less on every side."""
    luma = _luma(noise)
    smooth = blur(luma, [shot.luma_px for shot in shots])
    amount = _each(noise, shots, lambda shot: shot.sharpening)
    wide = blur(luma, [float(np.hypot(shot.luma_px, 1)) for shot in shots])
    chroma = blur(noise - luma, [shot.chroma_px for shot in shots])
    return smooth + amount * (smooth - wide) + chroma


def fade(noise: Tensor, shots: Sequence[Shot]) -> Tensor:
    """Noise with its color taken back, to gray grain where the shot's color is 0."""
    luma = _luma(noise)
    return luma + _each(noise, shots, lambda shot: shot.color) * (noise - luma)


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


def _same_size(shot: Shot) -> bool:
    return shot.scale == 1


def _from_larger(shot: Shot) -> bool:
    return shot.scale < 1


def _from_smaller(shot: Shot) -> bool:
    return shot.scale > 1


def _luma(x: Tensor) -> Tensor:
    weights = x.new_tensor(LUMA)[:, None, None]
    return (x * weights).sum(dim=1, keepdim=True)


def _gains(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    return _each(x, shots, lambda shot: shot.gains).reshape(-1, 3, 1, 1)


def _each(x: Tensor, shots: Sequence[Shot], value: Callable[[Shot], object]) -> Tensor:
    """A number or matrix of every shot beside the pictures: N×1×1×1 or N×1×rows×columns."""
    values = np.array([value(shot) for shot in shots], np.float32)
    rows, columns = values.shape[1:] if values.ndim == 3 else (1, values[0].size)
    return torch.from_numpy(values).to(x.device).reshape(len(shots), 1, rows, columns)


def _randn(x: Tensor, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)


def _host_source(x: Tensor, generator: torch.Generator | None) -> np.random.Generator:
    """Random numbers on the host that follow from the device's."""
    seed = torch.randint(2**62, (1,), generator=generator, device=x.device)
    return np.random.default_rng(int(seed))
