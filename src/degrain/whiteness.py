"""Is the noise of a picture white, that is, independent from pixel to pixel?

The noise is estimated twice: at full size, and of the means of 2×2 pixels, times two. White noise
gives the same number both times. Smoothing, demosaicing and JPEG leave coarse noise: a camera's
picture has three to four times as much of it, estimated like that, as fine one. So has one with
hardly any noise, whose texture is coarse too.

In color, networks for white noise know noise that is another one in every channel: the
difference of two channels is as noisy as their sum. Cameras that take color noise off leave noise
that channels share, which the difference has not.

Time and memory do not grow with the picture: of a large one 16 windows are taken.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.depth import white_of
from degrain.estimate import estimate_noise, noise_level_255, rms

WINDOW = 128
"""Side of a window in pixels, an even number."""
WINDOWS = 4
"""Windows along either axis; pictures with no more pixels than all of them are taken whole."""
COARSEST = 1.5
"""Coarse over fine noise up to which noise counts as white: what texture adds, and chance."""
LEAST_APART = 0.48
"""Noise of the difference of two channels, over that of their sum, from which the noise counts as
each channel's own: clipping and texture make less of the 1 that it should be
(benchmarks/LOG.md)."""
FAINT = 0.25
"""Coarse noise below which there is none worth a name, in gray levels."""
FEWEST_PIXELS = 64 * 64
"""Smaller pictures give no answer."""

Windows = list[tuple[slice, slice]]


def noise_is_white(page: NDArray[Any], fine_255: float | None = None) -> bool:
    """Whether the noise is white, as far as can be told; True where nothing speaks against it.

    Args:
        page: H×W×C, integers, or floats where 1.0 is white.
        fine_255: `degrain.estimate.noise_level_255` of it, if known.
    """
    coarse_255 = coarse_noise_255(page)
    if coarse_255 is None:
        return True
    return counts_as_white(noise_level_255(page) if fine_255 is None else fine_255, coarse_255)


def counts_as_white(fine_255: float, coarse_255: float | None) -> bool:
    """Whether noise of these two levels is white, see `noise_is_white`."""
    return coarse_255 is None or coarse_255 <= max(FAINT, COARSEST * fine_255)


def channels_are_independent(page: NDArray[Any]) -> bool:
    """Whether every channel has noise of its own; False where there is none, or no telling.

    Args:
        page: H×W×C with C above 1, integers, or floats where 1.0 is white.
    """
    if page.shape[0] * page.shape[1] < FEWEST_PIXELS:
        return False
    windows = windows_of(*page.shape[:2])
    parts = np.concatenate([page[window].astype(np.float32) for window in windows])
    pairs = list(itertools.combinations(range(parts.shape[2]), 2))
    apart, together = (
        estimate_noise(np.stack([parts[..., a] + sign * parts[..., b] for a, b in pairs], axis=2))
        for sign in (np.float32(-1), np.float32(1))
    )
    return bool((apart > LEAST_APART * together).all())


def coarse_noise_255(page: NDArray[Any]) -> float | None:
    """Coarse noise of a whole page on the 0..255 scale, see `coarse_noise`; None if it is tiny."""
    if page.shape[0] * page.shape[1] < FEWEST_PIXELS:
        return None
    return coarse_noise(page, windows_of(*page.shape[:2]), 255 / white_of(page.dtype))


def coarse_noise(page: NDArray[Any], windows: Windows, unit: float) -> float | None:
    """Noise of the means of 2×2 pixels, times two, the root mean square over channels.

    Args:
        page: H×W×C.
        windows: parts of it, which are looked at one above the other.
        unit: what one step of the picture is in the wanted units.

    Returns:
        None for pictures one pixel high or wide.
    """
    halves = [_half(page[window].astype(np.float32)) for window in windows]
    if halves[0].size == 0:
        return None
    return 2 * rms(estimate_noise(np.concatenate(halves))) * unit


def windows_of(height: int, width: int) -> Windows:
    """The whole picture, or up to 16 windows spread evenly over it."""
    if height * width <= (WINDOW * WINDOWS) ** 2:
        return [(slice(0, height), slice(0, width))]
    return list(itertools.product(_spans(height), _spans(width)))


def _spans(length: int) -> list[slice]:
    side = min(WINDOW, length)
    starts = np.linspace(0, length - side, min(WINDOWS, length // side)).astype(int)
    return [slice(start, start + side) for start in starts]


def _half(x_hwc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2×2 pixels; an odd last row or column is left out."""
    height, width = x_hwc.shape[0] // 2 * 2, x_hwc.shape[1] // 2 * 2
    even = x_hwc[:height, :width]
    mean: NDArray[np.float32] = (
        even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    )
    return mean / np.float32(4)
