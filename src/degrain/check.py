"""Self-check: did denoising do what it should? Measured on input and output, without the truth.

Three things are looked at:

- The estimated noise before and after, from pixel to pixel (`degrain.estimate`) and coarser: of
  the picture at half size (means of 2×2 pixels), times two, so that white noise gives the same
  number in both. A net that knows white noise only takes coarse noise for detail and leaves it.
- What was taken out (input minus output), its root mean square and its whiteness: the
  correlation of neighboring pixels. In a good result it is like the noise; structure in it was
  part of the picture ("method noise": Buades, Coll & Morel, "A review of image denoising
  algorithms, with a new one", Multiscale Modeling & Simulation 4(2), 2005). Chosen before
  spectral flatness because it has a sign: blurred edges make it positive, and nets that take
  out nothing but the finest grain negative.
- Whether the noise lies in the range that the net was trained on.

The thresholds come from `benchmarks/self_check.py`; the figures are in benchmarks/LOG.md. Time
and memory do not grow with the picture: of a large one 16 windows are taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.arrays import check_array
from degrain.depth import white_of
from degrain.errors import PictureError
from degrain.estimate import estimate_noise, rms
from degrain.whiteness import FEWEST_PIXELS, coarse_noise, windows_of
from degrain.zoo.card import ModelCard

CAMERA_RANGE = (0.0, 55.0)
"""Levels of the white noise within `camera` (see degrain.shots)."""
RANGE_MARGIN = 1.15
"""Estimates within this factor of the range count as inside."""
LEFT_FINE, LEFT_COARSE = 3.0, 8.0
"""Noise after denoising that is worth a word, in gray levels: from pixel to pixel, and coarse."""
LEFT_SHARE = 0.5
"""... if it is also more than this share of the noise before."""
REMOVED = 3.0
"""Root mean square of what was taken out from which its correlation is judged, in gray levels."""
CORRELATED = 0.3
"""Correlation above which it is no white noise."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the self-check found. Levels are on the 0..255 scale whatever the picture's depth.

    Attributes:
        noise_before: estimated noise standard deviation of each channel of the input.
        noise_after: the same of the output.
        coarse_noise_before: root mean square over channels of the estimate at half size, times
            two: equal to `noise_before` for white noise, above it for coarse noise or texture;
            None for pictures one pixel high or wide.
        coarse_noise_after: the same of the output.
        removed: root mean square of input minus output.
        residual_correlation: of neighboring pixels of input minus output, -1..1, mean over
            channels and both directions: 0 for white noise; None if nothing was taken out.
        warning: a sentence if the picture seems out of the network's range.
    """

    noise_before: tuple[float, ...]
    noise_after: tuple[float, ...]
    coarse_noise_before: float | None
    coarse_noise_after: float | None
    removed: float
    residual_correlation: float | None
    warning: str | None = None


def check(
    noisy: NDArray[Any],
    clean: NDArray[Any],
    *,
    card: ModelCard | None = None,
    strength: float = 1,
    sigma: float | None = None,
) -> Check:
    """Judge a result by the picture before and after.

    Args:
        noisy: the input, H×W or H×W×C with 1, 3, 2 or 4 channels (the last two with alpha,
            which is left out); uint8, uint16, or floats where 1.0 is white.
        clean: what denoising made of it, same shape and dtype.
        card: of the model that did it; None: no warning is looked for.
        strength: what it was told, 0..1.
        sigma: the noise level that it was told, if any: then other noise than white is expected,
            and what was taken out may be like it.

    Raises:
        PictureError: no picture, or shapes or dtypes differ.
    """
    check_array(noisy)
    if noisy.shape != clean.shape or noisy.dtype != clean.dtype:
        msg = (
            f"A picture of {noisy.dtype} {noisy.shape} cannot be checked against one of "
            f"{clean.dtype} {clean.shape}; give input and output of one call."
        )
        raise PictureError(msg)
    before, after = _colors(noisy), _colors(clean)
    unit = 255 / white_of(noisy.dtype)
    windows = windows_of(*before.shape[:2])
    taken = [_floats(before[window]) - _floats(after[window]) for window in windows]
    found = Check(
        noise_before=_levels(before, unit),
        noise_after=_levels(after, unit),
        coarse_noise_before=coarse_noise(before, windows, unit),
        coarse_noise_after=coarse_noise(after, windows, unit),
        removed=rms(np.concatenate([part.ravel() for part in taken])) * unit,
        residual_correlation=_correlation(taken),
    )
    if card is None or strength == 0:
        return found
    warning = out_of_range(rms(found.noise_before), before.shape, card)
    if warning is None and _is_large(before.shape):
        asked_for = sigma is not None and sigma < rms(found.noise_before)
        warning = None if asked_for else _noise_left(found, strength)
        if warning is None and sigma is None:
            warning = _structure_taken(found, card)
    return replace(found, warning=warning)


def out_of_range(level: float, shape: tuple[int, ...], card: ModelCard) -> str | None:
    """A sentence if noise is beyond what the model was trained on.

    Args:
        level: estimated noise on the 0..255 scale, root mean square over channels.
        shape: of the picture, H×W×C; None is said of tiny ones.
        card: of the model.
    """
    trained = _trained_on(card.noise)
    if trained is None or not _is_large(shape):
        return None
    if shape[2:] == (1,) and card.channels == 3 and card.noise.startswith("gaussian"):
        return (
            f"{card.name} is for color: it was trained on noise that differs from channel to "
            "channel, and leaves most of a gray picture's; take auto or a network for gray."
        )
    low, high = trained
    if low / RANGE_MARGIN <= level <= high * RANGE_MARGIN:
        return None
    levels = f"{low:g} to {high:g}" if low < high else f"{low:g}"
    return (
        f"The noise ({level:.0f}) is out of the range of {card.name}, which was trained on levels "
        f"of {levels}; look at the result before relying on it."
    )


def _is_large(shape: tuple[int, ...]) -> bool:
    return shape[0] * shape[1] >= FEWEST_PIXELS


def _noise_left(found: Check, strength: float) -> str | None:
    """A sentence if much of the noise that should be gone is still there."""
    share = 1 - (1 - LEFT_SHARE) * strength
    fine = rms(found.noise_after), rms(found.noise_before), LEFT_FINE
    coarse = found.coarse_noise_after or 0.0, found.coarse_noise_before or 0.0, LEFT_COARSE
    for after, before, least in (fine, coarse):
        if after > max(least, share * before):
            return (
                f"Noise seems to be left ({after:.0f} of {before:.0f}): it may be coarser than the "
                "network knows, or fine texture; if it is noise, tell its level with sigma."
            )
    return None


def _structure_taken(found: Check, card: ModelCard) -> str | None:
    """A sentence if what was taken out looks like a picture; for nets of white noise only."""
    correlation = found.residual_correlation
    white = card.noise.startswith("gaussian")
    if not white or correlation is None or found.removed < REMOVED or correlation < CORRELATED:
        return None
    return (
        f"What was taken out is no white noise (neighbors correlate by {correlation:.2f}): detail "
        "may have gone with it; try a lower strength or another model."
    )


def _trained_on(spec: str) -> tuple[float, float] | None:
    """Lowest and highest level of white noise of a card's noise spec."""
    if spec == "camera":
        return CAMERA_RANGE
    found = re.fullmatch(r"gaussian:([\d.]+)(?:-([\d.]+))?", spec)
    return (float(found[1]), float(found[2] or found[1])) if found else None


def _colors(image: NDArray[Any]) -> NDArray[Any]:
    """H×W×1 or H×W×3, without alpha."""
    pixels = image[..., np.newaxis] if image.ndim == 2 else image
    return pixels[..., : 1 if pixels.shape[2] <= 2 else 3]


def _levels(page: NDArray[Any], unit: float) -> tuple[float, ...]:
    return tuple(float(sigma) * unit for sigma in estimate_noise(page))


def _floats(crop: NDArray[Any]) -> NDArray[np.float32]:
    return crop.astype(np.float32)


def _correlation(residuals: list[NDArray[np.float32]]) -> float | None:
    """Correlation of neighbors, the mean over channels and both directions."""
    mean = np.mean([part.mean(axis=(0, 1)) for part in residuals], axis=0)
    parts = [part - mean for part in residuals]
    power = np.mean([(part * part).mean(axis=(0, 1)) for part in parts], axis=0)
    found = []
    for axis, length in enumerate(parts[0].shape[:2]):
        if length > 1:
            pairs = [np.split(part, [1], axis)[1] * np.split(part, [-1], axis)[0] for part in parts]
            products = np.mean([pair.mean(axis=(0, 1)) for pair in pairs], axis=0)
            found += [float(p / v) for p, v in zip(products, power, strict=True) if v > 0]
    return float(np.clip(np.mean(found), -1, 1)) if found else None
