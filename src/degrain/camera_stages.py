"""The stages of a camera, each a pure function that can be tried alone.

Pictures are float32, H×W×3, unless stated otherwise; noise has the same layout and no offset.
`degrain.camera` strings them together. A stage with a margin gives a smaller array back: it has no
rule for the border, the caller brings the surroundings along.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Level = tuple[float, float, float]
"""How strong noise is somewhere, and two numbers that say where: see `level_by_…`."""

REACH = 2
"""Half of the filters of 5×5 taps in `smooth_along_lines` and `core`, less the middle."""

FINE_REACH = 4
"""The same of the filter that tells in `core` what is fine, 9×9 taps."""

DEMOSAIC_MARGIN = 2
BLUR_MARGIN = 4
RETOUCH_MARGIN = 2 * BLUR_MARGIN
LINE_MARGIN = 2 * REACH
DETAIL_MARGIN = 1 + BLUR_MARGIN
CORE_MARGIN = FINE_REACH + REACH
"""Pixels lost on every side: half of a filter, or of two one after the other."""

LINES = ((0, 1), (1, 1), (1, 0), (1, -1))
"""The directions of `smooth_along_lines`: rows down and columns to the right."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in gray (ITU-R BT.601)."""


def linear_from_srgb(x: Floats) -> Floats:
    """Light, 0..1, of sRGB values 0..1 (IEC 61966-2-1); values beyond are clipped."""
    x = np.clip(x, 0, 1)
    power: Floats = ((x + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(x <= np.float32(0.04045), x / np.float32(12.92), power)


def srgb_from_linear(light: Floats) -> Floats:
    """The inverse of `linear_from_srgb`; light beyond 0..1 is clipped, as a camera does."""
    light = np.clip(light, 0, 1)
    power = np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= np.float32(0.0031308), light * np.float32(12.92), power)


def tone(x: Floats, contrast: float, lift: float = 1.0) -> Floats:
    """An S-shaped tone curve on 0..1: u^c / (u^c + (1 - u)^c) with u = x^lift.

    With lift = 1 its slope at one half is c and its inverse the same curve with 1 / c. Brooks et
    al. (CVPR 2019) use 3x² - 2x³, which c = 1.5 follows to 0.009; this one can be steeper or
    flatter and still be undone. A lift below 1 makes middle tones lighter and presses light ones
    together, as cameras do to keep highlights.
    """
    x = np.clip(x, 0, 1)  # rounding may lead a little beyond, where powers are not numbers
    return _s_curve(x ** np.float32(lift), contrast)


def untone(y: Floats, contrast: float, lift: float = 1.0) -> Floats:
    """The inverse of `tone`."""
    u: Floats = _s_curve(np.clip(y, 0, 1), 1 / contrast) ** np.float32(1 / lift)
    return u


def _s_curve(x: Floats, contrast: float) -> Floats:
    dark: Floats = np.power(x, np.float32(contrast))
    light: Floats = np.power(np.float32(1) - x, np.float32(contrast))
    return dark / (dark + light)


def apply_matrix(x: Floats, matrix: NDArray[np.floating]) -> Floats:
    """Another color space: `matrix` (3×3) times the color of every pixel."""
    return x @ matrix.T.astype(np.float32)


def red_places(height: int, width: int, first_red: tuple[int, int]) -> tuple[Bools, Bools]:
    """Rows (H×1) and columns (1×W) of a Bayer pattern that hold red; `first_red` is 0 or 1 each."""
    rows = np.arange(height)[:, None] % 2 == first_red[0]
    columns = np.arange(width)[None, :] % 2 == first_red[1]
    return rows, columns


def mosaic(x: Floats, first_red: tuple[int, int]) -> Floats:
    """The one color that each pixel of a Bayer sensor measures, H×W (B. Bayer, US 3971065)."""
    rows, columns = red_places(x.shape[0], x.shape[1], first_red)
    red_or_green = np.where(columns, x[..., 0], x[..., 1])
    green_or_blue = np.where(columns, x[..., 1], x[..., 2])
    return np.where(rows, red_or_green, green_or_blue)


def sensor_noise(raw: Floats, gain: float, readout: float, normal: Floats) -> Floats:
    """Photon and readout noise of variance gain · raw + readout², the same shape as `raw`.

    Source: Foi et al., IEEE TIP 17(10), 2008, with photon counts taken as normally distributed, as
    there and in Brooks et al. 2019: where photons are few, readout noise hides their steps.

    Args:
        raw: light that the sensor measures, full scale 1; less than none counts as none.
        gain: the signal that one photon makes.
        readout: standard deviation of the readout noise.
        normal: standard normal random numbers, the same shape.
    """
    variance = np.float32(gain) * np.maximum(raw, 0) + np.float32(readout**2)
    noise: Floats = np.sqrt(variance, dtype=np.float32) * normal
    return noise


# Malvar, He & Cutler, ICASSP 2004, Fig. 2, times 8: bilinear filters and what corrects them.
_CROSS = ((0, 0, 0, 0, 0), (0, 0, 2, 0, 0), (0, 2, 0, 2, 0), (0, 0, 2, 0, 0), (0, 0, 0, 0, 0))
_ALONG = ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 4, 0, 4, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
_AROUND = ((0, 0, 0, 0, 0), (0, 2, 0, 2, 0), (0, 0, 0, 0, 0), (0, 2, 0, 2, 0), (0, 0, 0, 0, 0))
_CROSS_MORE = (
    (0, 0, -1, 0, 0),
    (0, 0, 0, 0, 0),
    (-1, 0, 4, 0, -1),
    (0, 0, 0, 0, 0),
    (0, 0, -1, 0, 0),
)
_ALONG_MORE = (
    (0, 0, 0.5, 0, 0),
    (0, -1, 0, -1, 0),
    (-1, 0, 5, 0, -1),
    (0, -1, 0, -1, 0),
    (0, 0, 0.5, 0, 0),
)
_AROUND_MORE = (
    (0, 0, -1.5, 0, 0),
    (0, 0, 0, 0, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 0, 0, 0, 0),
    (0, 0, -1.5, 0, 0),
)


def demosaic_filters(correction: float) -> Floats:
    """The four filters of `demosaic`, 4×5×5.

    For green that is missing; for red or blue that is missing between two neighbors in the row,
    between two in the column, between four at the corners.
    """
    plain: Floats = np.array([_CROSS, _ALONG, np.transpose(_ALONG), _AROUND], np.float32)
    more: Floats = np.array(
        [_CROSS_MORE, _ALONG_MORE, np.transpose(_ALONG_MORE), _AROUND_MORE], np.float32
    )
    return np.float32(1 / 8) * (plain + np.float32(correction) * more)


def demosaic(raw: Floats, first_red: tuple[int, int], correction: float) -> Floats:
    """Colors of the pixels of a Bayer sensor but its outer two, (H-4)×(W-4)×3.

    A linear filter, and so what it makes of noise does not depend on the picture. Noise of
    neighbors becomes alike, and so does that of the channels.

    Args:
        raw: H×W.
        first_red: row and column of the first red pixel, 0 or 1 each.
        correction: 0 is bilinear, 1 the gradient-corrected filters of Malvar, He & Cutler
            ("High-quality linear interpolation for demosaicing of Bayer-patterned color images",
            ICASSP 2004); between them a mixture.
    """
    cross, across, down, around = (_filtered(raw, f) for f in demosaic_filters(correction))
    own = raw[2:-2, 2:-2]
    row, column = red_places(
        own.shape[0], own.shape[1], first_red
    )  # a margin of two keeps the pattern
    red = np.where(row, np.where(column, own, across), np.where(column, down, around))
    green = np.where(row == column, cross, own)
    blue = np.where(row, np.where(column, around, down), np.where(column, across, own))
    return np.stack([red, green, blue], axis=2)


def blur(x: Floats, sigma_px: float, reach: int = BLUR_MARGIN) -> Floats:
    """A Gaussian filter of 9×9 taps; H×W×C gives (H-8)×(W-8)×C. σ = 0 only cuts the margin.

    With another reach it has so many taps on both sides of the middle.
    """
    taps = gaussian_taps(sigma_px, reach)
    height, width = (n - 2 * reach for n in x.shape[:2])
    rows = sum(tap * x[i : i + height] for i, tap in enumerate(taps) if tap)
    blurred: Floats = sum(tap * rows[:, i : i + width] for i, tap in enumerate(taps) if tap)
    return blurred


def smooth_along_lines(noise: Floats, picture: Floats, sigma_px: float) -> Floats:
    """Noise, smoothed along the line that changes least there; H×W×C gives (H-8)×(W-8)×C.

    Cameras demosaic along edges and smooth along them, and where there is only noise they find
    edges in the noise. So the grain that is left has streaks, which is what tells it from any
    linearly filtered noise of the same spectrum. (Hirakawa & Parks, "Adaptive
    homogeneity-directed demosaicing algorithm", IEEE TIP 14(3), 2005: of several directions each
    pixel takes the one with the evenest surroundings.)

    Args:
        noise: H×W×C.
        picture: the noisy gray picture that shows the lines, H×W.
        sigma_px: standard deviation of the filter of five taps along the line; 0 only cuts.
    """
    inner = slice(LINE_MARGIN, -LINE_MARGIN)
    if not sigma_px:
        return noise[inner, inner]
    kernels = line_kernels(sigma_px)
    reach = slice(REACH, -REACH)
    window = np.ones((2 * REACH + 1,) * 2, np.float32)
    off_line = [picture[reach, reach] - _filtered(picture, kernel) for kernel in kernels]
    chosen = np.argmin([_filtered(step**2, window) for step in off_line], axis=0)
    smooth: Floats = np.zeros_like(noise[inner, inner])
    for direction, kernel in enumerate(kernels):
        there = chosen == direction
        for channel in range(noise.shape[2]):
            along = _filtered(noise[..., channel], kernel)[reach, reach]
            smooth[..., channel] = np.where(there, along, smooth[..., channel])
    return smooth


def line_kernels(sigma_px: float) -> Floats:
    """Gaussian filters along the four `LINES`, 4×5×5, each with sum 1."""
    kernels = np.zeros((len(LINES), 2 * REACH + 1, 2 * REACH + 1), np.float32)
    for kernel, (down, right) in zip(kernels, LINES, strict=True):
        for step in range(-REACH, REACH + 1):
            distance = step * math.hypot(down, right)
            weight = math.exp(-0.5 * (distance / sigma_px) ** 2)
            kernel[REACH + step * down, REACH + step * right] = weight
        kernel /= kernel.sum()
    return kernels


def core(
    noise: Floats, picture: Floats, coring: float, spread_px: float, fine_px: float = 1.0
) -> Floats:
    """Noise whose faint fine part is smoothed away; H×W×C gives (H-12)×(W-12)×C.

    Cameras take small steps for noise and large ones for the picture ("coring", as old as
    television: J. P. Rossi, "Digital techniques for reducing television noise", SMPTE Journal
    87(3), 1978; as thresholds for wavelets: Donoho & Johnstone 1994). So the grain that is left is
    strong beside edges and weak elsewhere, and where it is weak its strongest specks stand alone.

    Args:
        noise: H×W×C.
        picture: the noisy gray picture in which the camera looks for detail, H×W.
        coring: steps that are halved, in standard deviations of the noise's own; 0 only cuts.
        spread_px: standard deviation of the window of five taps that a step counts for.
        fine_px: what is finer than a Gaussian filter of this standard deviation is smoothed.
    """
    inner, cut = slice(FINE_REACH, -FINE_REACH), slice(REACH, -REACH)
    if not coring:
        return noise[inner, inner][cut, cut]
    smooth = blur(noise, fine_px, FINE_REACH)
    fine = noise[inner, inner] - smooth
    limit = (np.float32(coring) * (fine @ _luma(noise)).std()) ** 2
    step = picture[inner, inner] - blur(picture[..., None], fine_px, FINE_REACH)[..., 0]
    strength = blur(step[..., None] ** 2, spread_px, REACH)
    kept: Floats = strength / (strength + limit + np.float32(1e-12))
    return smooth[cut, cut] + kept * fine[cut, cut]


def level_by_brightness(gray: Floats, dark: Level, bright: Level) -> Floats:
    """How strong noise is at each brightness, against middle tones; the same shape as `gray`.

    Cameras take more noise out of dark and of bright parts than of middle tones, and all of it
    alike: its grain stays as coarse as it is. It is the brightness that counts and not the value
    of the channel. (Measured, see docs/explanation/camera-noise.md.)

    Args:
        gray: the clean picture's brightness in 0..1.
        dark: the level at black, 1 being that of middle tones; the brightness where half of the
            way is gone; and half of the width of the way. A level of 1 changes nothing.
        bright: the same of white.
    """
    return np.asarray(1 + _below(gray, *dark) + _below(-gray, bright[0], -bright[1], bright[2]))


def level_by_saturation(x: Floats, neutral: Level) -> Floats:
    """How strong color noise is at each color, against saturated ones; H×W×3 gives H×W.

    Cameras smooth color most where there is none: beside a saturated color the eye does not see
    false ones, and smoothing would bleed. (Measured, see docs/explanation/camera-noise.md.)

    Args:
        x: the clean picture in 0..1.
        neutral: the level on gray, 1 being that of saturated colors; the saturation (largest
            channel less smallest) where half of the way is gone; and half of the width of the
            way. A level of 1 changes nothing.
    """
    return np.asarray(1 + _below(x.max(axis=-1) - x.min(axis=-1), *neutral))


def _below(x: Floats, level: float, place: float, width: float) -> Floats:
    """What makes a level of 1 this one below a place."""
    return np.asarray((level - 1) / 2 * (1 + np.tanh((place - x) / width)), np.float32)


def level_by_detail(gray: Floats, plain: float, step: float, spread_px: float) -> Floats:
    """How strong noise is beside edges, against even parts; H×W gives (H-10)×(W-10).

    Cameras smooth even parts and spare edges. (Measured, see docs/explanation/camera-noise.md.)

    Args:
        gray: the clean picture's brightness.
        plain: the level on even parts, 1 being that at edges.
        step: gradient of brightness per pixel at which half of the way is gone.
        spread_px: standard deviation of the window of nine taps that a gradient counts for.
    """
    down, right = gray[2:, 1:-1] - gray[:-2, 1:-1], gray[1:-1, 2:] - gray[1:-1, :-2]
    slope: Floats = np.float32(0.25) * (down**2 + right**2)
    steep = blur(slope[..., None], spread_px)[..., 0]
    return np.asarray(plain + (1 - plain) * steep / (steep + np.float32(step**2)), np.float32)


def dim(noise: Floats, level: Floats) -> Floats:
    """Noise, H×W×3, whose brightness has this level, H×W; its color stays."""
    luma: Floats = noise @ np.array(LUMA, np.float32)[:, None]
    return noise + (level[..., None] - 1) * luma


def gaussian_taps(sigma_px: float, reach: int = BLUR_MARGIN) -> Floats:
    """Weights with sum 1: so many on both sides of the middle."""
    places = np.arange(-reach, reach + 1, dtype=np.float32)
    weights = np.exp(-0.5 * (places / np.float32(max(sigma_px, 1e-3))) ** 2)
    taps: Floats = weights / weights.sum()
    return taps


def retouch(noise: Floats, luma_px: float, chroma_px: float, sharpening: float) -> Floats:
    """What smoothing and sharpening in the camera make of noise; eight pixels less a side.

    Brightness and color are smoothed apart, as cameras do, and unsharp masking with a radius of one
    pixel is laid over brightness. All of it is linear.

    Args:
        noise: H×W×3.
        luma_px: standard deviation of the filter for brightness.
        chroma_px: the same for color.
        sharpening: amount of unsharp masking, 0 for none.
    """
    luma = noise @ np.array(LUMA, np.float32)[:, None]
    inner = slice(RETOUCH_MARGIN - BLUR_MARGIN, BLUR_MARGIN - RETOUCH_MARGIN)
    near = luma[inner, inner]
    smooth = blur(near, luma_px)
    if sharpening:
        smooth = smooth + np.float32(sharpening) * (smooth - blur(near, math.hypot(luma_px, 1)))
    return smooth + blur(noise - luma, chroma_px, RETOUCH_MARGIN)


def fade(noise: Floats, color: Floats) -> Floats:
    """Noise, H×W×3, with its color taken back to a share of 0 (gray grain) to 1 (as it is), H×W."""
    luma: Floats = noise @ np.array(LUMA, np.float32)[:, None]
    return luma + color[..., None] * (noise - luma)


def resize(x: Floats, height: int, width: int) -> Floats:
    """Another size, by linear interpolation, with a wider triangle where it gets smaller."""
    return _resize_rows(_resize_rows(x, height).swapaxes(0, 1), width).swapaxes(0, 1)


def _resize_rows(x: Floats, height: int) -> Floats:
    """Resize the first axis."""
    if height == len(x):
        return x
    centers = (np.arange(height) + 0.5) * (len(x) / height) - 0.5
    reach = max(1.0, len(x) / height)
    total: Floats = np.zeros((height, *(1,) * (x.ndim - 1)), np.float32)
    result: Floats = np.zeros((height, *x.shape[1:]), np.float32)
    for offset in range(-math.ceil(reach), math.ceil(reach) + 1):
        places = np.floor(centers).astype(int) + offset
        weights = np.maximum(1 - np.abs(centers - places) / reach, 0)
        weights = np.where((places >= 0) & (places < len(x)), weights, 0).astype(np.float32)
        weights = weights.reshape(total.shape)
        result += weights * x[np.clip(places, 0, len(x) - 1)]
        total += weights
    return result / total


def _luma(x: Floats) -> Floats:
    """Weights that make gray of the channels of `x`: one, or three."""
    return np.array(LUMA if x.shape[-1] == 3 else (1,), np.float32)


def _filtered(x: Floats, weights: Floats) -> Floats:
    """Correlate H×W with a small filter, where it fits."""
    height, width = (n - k + 1 for n, k in zip(x.shape, weights.shape, strict=True))
    result = np.zeros((height, width), np.float32)
    for row, column in np.argwhere(weights):
        result += weights[row, column] * x[row : row + height, column : column + width]
    return result
