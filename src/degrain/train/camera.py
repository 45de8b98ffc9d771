"""The noise `camera` for training batches: the twin of `degrain.camera`, on the batch's device.

The parameters are drawn by `degrain.shots.draw_shot` on the host, a few numbers per picture; all
that is as large as a picture is drawn and computed on the device. Pictures are float32, N×3×H×W,
unless stated otherwise. Each stage alone: `degrain.train.camera_stages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.camera import MARGIN, Camera
from degrain.camera_stages import DEMOSAIC_MARGIN, DETAIL_MARGIN, RETOUCH_MARGIN
from degrain.jpeg import SUBSAMPLINGS
from degrain.shots import Shot, draw_shot
from degrain.train.camera_stages import (
    apply_matrix,
    core,
    demosaic,
    dim,
    each,
    fade,
    level_by_brightness,
    level_by_detail,
    level_by_saturation,
    linear_from_srgb,
    luma_of,
    mosaic,
    resize,
    retouch,
    sensor_noise,
    smooth_along_lines,
    srgb_from_linear,
    tone,
    untone,
)
from degrain.train.drawn import change, draw_over
from degrain.train.enlarge import enlarge, flatten
from degrain.train.jpeg import through_jpeg
from degrain.train.seeds import host_source

SOFT_SHARE = 0.9
"""Of the shots with a sensor, see `photograph`."""

SHARPEST_EDGES, SOFTEST_EDGES = 1.0, 2.5
"""How many times drawn pictures are enlarged: more would leave one edge in each."""

SLOW = 49
"""Side in pixels of the window whose mean the noise may move."""


def take(clean_nchw: Tensor, noise: Camera, generator: torch.Generator | None) -> Tensor:
    """Every picture of a batch as a shot of its own; see `Camera.add` about the channels."""
    count, channels, height, width = clean_nchw.shape
    planes = clean_nchw if channels == 3 else clean_nchw.reshape(-1, 1, height, width)
    rng = host_source(clean_nchw, generator)
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
    made things are even beside strong edges, and half of these letters; they keep their contrast.

    White noise and clean pictures stay as they are: they teach what must not be smeared. So the
    network may learn from the noise what to expect of the picture: coarse grain comes with soft
    edges. Half of the pictures with gray grain are gray themselves. What the noise does to the
    local mean (near black it lifts it) stays in the clean picture, for a network that moved
    brightness would be wrong about the next camera.

    Args:
        large_nchw: N×3×2S×2S or N×1×2S×2S in 0..1.
        most: how many times a part of a crop is enlarged at most, see `train.enlarge`.
        generator: on the batch's device.
        leaves: share of the pictures that get drawn shapes and letters, see `train.drawn`.

    Returns:
        The noisy and the clean pictures, N×C×S×S: of white noise and clean ones the middle.
    """
    rng = host_source(large_nchw, generator)
    shots = [draw_shot(rng) for _ in range(len(large_nchw))]
    soft = [i for i, shot in enumerate(shots) if shot.has_sensor and rng.random() < SOFT_SHARE]
    taken = [i for i, shot in enumerate(shots) if shot.has_sensor]
    large_nchw, drawn = draw_over(large_nchw, leaves, rng, generator)
    side = large_nchw.shape[-1] // 2
    inner = slice(side // 2, side // 2 + side)
    clean = large_nchw[..., inner, inner].clone()
    if taken:
        clean[taken] = F.avg_pool2d(large_nchw[taken], 2)
    natural, made = ([i for i in soft if (i in drawn) is of] for of in (False, True))
    clean = change(clean, natural, lambda x: flatten(enlarge(x, most, generator), generator))
    edges = min(most, SOFTEST_EDGES)
    clean = change(clean, made, lambda x: enlarge(x, edges, generator, SHARPEST_EDGES))
    clean = change(clean, taken, lambda x: through_filters(x, [shots[i] for i in taken]))
    if clean.shape[1] == 3:
        gray = [i for i, shot in enumerate(shots) if shot.color == 0 and rng.random() < 0.5]
        clean = change(clean, gray, luma_of)
    noisy = take_shots(clean, shots, generator)
    if taken:
        clean[taken] += local_mean(noisy[taken] - clean[taken])
    return noisy, clean


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
    """What enlarging, smoothing and sharpening make of the picture itself, the same shape.

    Its color is smoothed like its brightness: what a camera does to color noise spares edges.
    """
    channels, before = clean.shape[1], [(clean.shape[2], clean.shape[3])] * len(clean)
    # Making a picture smaller loses nothing of what is left of it.
    sizes = [
        shot.sensor_size(*size) if shot.scale > 1 else size
        for shot, size in zip(shots, before, strict=True)
    ]
    larger = sizes != before
    at_sensor = resize(clean, before, sizes) if larger else clean
    around = F.pad(at_sensor.expand(-1, 3, -1, -1), (RETOUCH_MARGIN,) * 4, mode="replicate")
    filtered = retouch(around, [replace(shot, chroma_px=shot.luma_px) for shot in shots])
    if channels == 1:
        filtered = luma_of(filtered)
    return (resize(filtered, sizes, before) if larger else filtered).clamp(0, 1)


def take_shots(clean: Tensor, shots: Sequence[Shot], generator: torch.Generator | None) -> Tensor:
    """The pictures as these shots show them, N×3×H×W or N×1×H×W in 0..1."""
    sigma = each(clean, shots, lambda shot: shot.sigma_255 / 255)
    noisy = clean + sigma * white_noise(clean, shots, generator)
    # Smaller sensors need less work than larger ones, and most need no resizing at all.
    for kind in (_same_size, _from_larger, _from_smaller):
        chosen = [i for i, shot in enumerate(shots) if shot.has_sensor and kind(shot)]
        if chosen:
            added = grain(clean[chosen], [shots[i] for i in chosen], generator)
            noisy[chosen] = (noisy[chosen] + added).clamp(0, 1)
    for subsampling in SUBSAMPLINGS:
        chosen = [
            i
            for i, shot in enumerate(shots)
            if shot.quality is not None and shot.subsampling == subsampling
        ]
        if chosen:
            quality = each(clean, [shots[i] for i in chosen], lambda shot: shot.quality or 100)
            noisy[chosen] = through_jpeg(noisy[chosen], quality, subsampling)
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
        noise = luma_of(noise)
    return resize(noise, sizes, [(height, width)] * count) if resized else noise


def developed_noise(around: Tensor, shots: Sequence[Shot], normal: Tensor) -> Tensor:
    """The noise at the sensor's size, N×3×H×W.

    Args:
        around: clean, with `MARGIN` pixels more on every side, N×3×(H+40)×(W+40) in 0..1.
        shots: the parameters.
        normal: standard normal random numbers, N×1×(H+40)×(W+40).
    """
    raw = to_raw(around, shots)
    noise = demosaic(sensor_noise(mosaic(raw, shots), shots, normal), shots)
    cut = slice(DEMOSAIC_MARGIN, -DEMOSAIC_MARGIN)
    finished = develop(raw[..., cut, cut] + noise, shots)
    noise, picture = finished - around[..., cut, cut], luma_of(finished)
    both = smooth_along_lines(torch.cat([noise, picture], 1), picture, shots)
    noise = core(both[:, :3], both[:, 3:], shots)
    clean = around[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    by_color = level_by_saturation(clean, shots)
    on_gray = each(clean, shots, lambda shot: shot.neutral[0])
    share = each(clean, shots, lambda shot: shot.neutral_luma)
    level = _level(luma_of(around), shots) * (by_color / on_gray) ** share
    color = each(clean, shots, lambda shot: shot.color) * by_color
    return fade(dim(retouch(noise, shots), level), color)


def _level(gray: Tensor, shots: Sequence[Shot]) -> Tensor:
    """How strong noise is at each place; `gray` is clean and has `MARGIN` more pixels a side."""
    inner, near = (slice(n, -n) for n in (MARGIN, MARGIN - DETAIL_MARGIN))
    by_brightness = level_by_brightness(gray[..., inner, inner], shots)
    return by_brightness * level_by_detail(gray[..., near, near], shots)


def white_noise(clean: Tensor, shots: Sequence[Shot], generator: torch.Generator | None) -> Tensor:
    """Standard normal noise, whose channels correlate by 1 − color²."""
    color = each(clean, shots, lambda shot: shot.color)
    shared = _randn(clean, (len(clean), 1, *clean.shape[2:]), generator)
    return color * _randn(clean, clean.shape, generator) + (1 - color**2).sqrt() * shared


def to_raw(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    """Back from finished pictures to the sensor's light, all three colors at each pixel."""
    light = linear_from_srgb(untone(x, shots))
    matrix = each(x, shots, lambda shot: shot.camera_from_rgb)
    return apply_matrix(light, matrix) / _gains(x, shots)


def develop(raw: Tensor, shots: Sequence[Shot]) -> Tensor:
    """The inverse of `to_raw`; what lies beyond black and white is clipped."""
    matrix = each(raw, shots, lambda shot: np.linalg.inv(np.array(shot.camera_from_rgb)))
    light = apply_matrix(raw * _gains(raw, shots), matrix)
    return tone(srgb_from_linear(light), shots)


def _same_size(shot: Shot) -> bool:
    return shot.scale == 1


def _from_larger(shot: Shot) -> bool:
    return shot.scale < 1


def _from_smaller(shot: Shot) -> bool:
    return shot.scale > 1


def _gains(x: Tensor, shots: Sequence[Shot]) -> Tensor:
    return each(x, shots, lambda shot: shot.gains).reshape(-1, 3, 1, 1)


def _randn(x: Tensor, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
