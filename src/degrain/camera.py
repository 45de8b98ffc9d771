"""The noise `camera`: what the noise of a sensor has become when the picture leaves the camera.

```
clean ─┬─tone, gamma, color, gain: undone──▶ raw ─mosaic─▶ noise ─demosaic─┐
       │                                                            raw + noise
       │                                     gain, color, gamma, tone, clip ◀┘
       │                                               │ minus clean
       │                         along lines, coring ◀─┘
       │                              │
       │                   smoothing, sharpening
       │                              │
       └──────────▶ + ◀──resize── levels by brightness, detail and color
                    └──▶ clip ──▶ JPEG ──▶ noisy
```

The linear stages (demosaicing, smoothing, sharpening, resizing) act on the noise alone: filtering
the sum is the sum of the filtered parts, and what a camera's filters do to the picture is taken to
be in the clean picture, which came out of a camera itself. So without noise the picture comes back
as it was, the clean picture is neither moved nor blurred against the noisy one, and a network
learns to take noise away and not to sharpen. The two stages that follow what they see, smoothing
along lines and coring, look at picture and noise, and act on the noise; the levels look at the
clean picture. The curves act on the sum, where they belong. JPEG acts on the whole, for its damage
is there to be taken away.

Sources: Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019 (the way back to
raw, the ranges of its stages and of the noise); Guo et al., "Toward convolutional blind denoising
of real photographs" (CBDNet), CVPR 2019 (noise through the camera's curve and mosaic, JPEG); Zhang
et al., "Practical blind image denoising via Swin-Conv-UNet and data synthesis" (SCUNet), 2022 (one
net for a random mixture, resizing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from degrain.camera_stages import (
    CORE_MARGIN,
    DEMOSAIC_MARGIN,
    DETAIL_MARGIN,
    LINE_MARGIN,
    LUMA,
    RETOUCH_MARGIN,
    apply_matrix,
    core,
    demosaic,
    dim,
    fade,
    level_by_brightness,
    level_by_detail,
    level_by_saturation,
    linear_from_srgb,
    mosaic,
    resize,
    retouch,
    sensor_noise,
    smooth_along_lines,
    srgb_from_linear,
    tone,
    untone,
)
from degrain.jpeg import through_jpeg
from degrain.shots import Shot, draw_shot

Floats = NDArray[np.float32]

MARGIN: Final = DEMOSAIC_MARGIN + LINE_MARGIN + CORE_MARGIN + RETOUCH_MARGIN


@dataclass(frozen=True, slots=True)
class Camera:
    """Camera noise, white noise or none, drawn per picture; see this module and `draw_shot`."""

    form: ClassVar[str] = "camera"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Take the picture; see `Noise.add`.

        Three channels are RGB. One channel is gray made from a color picture; of any other number
        each is one of its own. Values beyond 0..1 are clipped where there is a sensor or JPEG.
        """
        planes = clean.astype(np.float32, copy=False).reshape(*clean.shape[:2], -1)
        parts = [planes] if planes.shape[2] == 3 else np.split(planes, planes.shape[2], axis=2)
        taken = [take(part, draw_shot(rng), rng) for part in parts]
        return np.concatenate(taken, axis=2).reshape(clean.shape)

    def __str__(self) -> str:
        return self.form


def take(clean: Floats, shot: Shot, rng: np.random.Generator) -> Floats:
    """The picture as this shot shows it, H×W×3 or H×W×1 in 0..1, float32."""
    noisy = clean
    if shot.sigma_255:
        noise = white_noise(clean.shape, shot.color, rng)
        noisy = clean + np.float32(shot.sigma_255 / 255) * noise
    if shot.has_sensor:
        noisy = np.clip(noisy + grain(clean, shot, rng), 0, 1)
    if shot.quality is None:
        return noisy
    return through_jpeg(noisy, shot.quality, shot.subsampling)


def white_noise(shape: tuple[int, ...], color: float, rng: np.random.Generator) -> Floats:
    """Standard normal noise, H×W×C, whose channels correlate by 1 − color²."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if color == 1:
        return noise
    shared = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
    return np.float32(color) * noise + np.float32(np.sqrt(1 - color**2)) * shared


def grain(clean: Floats, shot: Shot, rng: np.random.Generator) -> Floats:
    """What a sensor and its camera add to a picture, the same shape as `clean`.

    Gray is taken as a picture of three equal channels, and its noise is that of their luma.
    """
    height, width, channels = clean.shape
    at_sensor = resize(np.clip(clean, 0, 1), *shot.sensor_size(height, width))
    color = np.broadcast_to(at_sensor, (*at_sensor.shape[:2], 3))
    around = np.pad(color, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    normal = rng.standard_normal(around.shape[:2], dtype=np.float32)
    noise = developed_noise(around, shot, normal)
    if channels == 1:
        noise = noise @ np.array(LUMA, np.float32)[:, None]
    return resize(noise, height, width)


def developed_noise(around: Floats, shot: Shot, normal: Floats) -> Floats:
    """The noise at the sensor's size, H×W×3.

    Args:
        around: clean, with `MARGIN` pixels more on every side, (H+40)×(W+40)×3 in 0..1.
        shot: the parameters.
        normal: standard normal random numbers, (H+40)×(W+40).
    """
    raw = to_raw(around, shot)
    noise = sensor_noise(mosaic(raw, shot.first_red), shot.gain, shot.readout, normal)
    inner = slice(DEMOSAIC_MARGIN, -DEMOSAIC_MARGIN)
    noisy_raw = raw[inner, inner] + demosaic(noise, shot.first_red, shot.correction)
    finished = develop(noisy_raw, shot)
    gray = np.array(LUMA, np.float32)
    noise, picture = finished - around[inner, inner], finished @ gray
    both = smooth_along_lines(np.dstack([noise, picture]), picture, shot.line_px)
    noise = core(both[..., :3], both[..., 3], shot.coring, shot.coring_px, shot.fine_px)
    retouched = retouch(noise, shot.luma_px, shot.chroma_px, shot.sharpening)
    clean = around[MARGIN:-MARGIN, MARGIN:-MARGIN]
    by_color = level_by_saturation(clean, shot.neutral)
    by_luma = (by_color / np.float32(shot.neutral[0])) ** np.float32(shot.neutral_luma)
    level = _level(around @ gray, shot) * by_luma
    return fade(dim(retouched, level), np.float32(shot.color) * by_color)


def _level(gray: Floats, shot: Shot) -> Floats:
    """How strong noise is at each place; `gray` is clean and has `MARGIN` more pixels a side."""
    inner, near = (slice(n, -n) for n in (MARGIN, MARGIN - DETAIL_MARGIN))
    by_brightness = level_by_brightness(gray[inner, inner], shot.dark, shot.bright)
    return by_brightness * level_by_detail(gray[near, near], *shot.detail)


def to_raw(x: Floats, shot: Shot) -> Floats:
    """Back from a finished picture to the sensor's light, all three colors at each pixel.

    Undoes tone curve, gamma, color matrix and gains, in this order (Brooks et al. 2019).
    """
    light = linear_from_srgb(untone(x, shot.contrast, shot.lift))
    return apply_matrix(light, np.array(shot.camera_from_rgb)) / shot.gains


def develop(raw: Floats, shot: Shot) -> Floats:
    """The inverse of `to_raw`; what lies beyond black and white is clipped, as in a camera."""
    rgb_from_camera = np.linalg.inv(np.array(shot.camera_from_rgb))
    light = apply_matrix(raw * shot.gains, rgb_from_camera)
    return tone(srgb_from_linear(light), shot.contrast, shot.lift)
