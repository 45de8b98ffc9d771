"""How close is a picture to the clean one? PSNR and SSIM, pinned to scikit-image in the tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError

SIGMA = 1.5
RADIUS = 5
"""Gaussian window of SSIM: 11 taps, as scikit-image cuts it (int(3.5 · 1.5 + 0.5))."""


def psnr(clean: NDArray[Any], other: NDArray[Any], *, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, over all pixels and channels.

    Args:
        clean: H×W or H×W×C.
        other: the same shape.
        data_range: value of white in both arrays (255 for 8-bit arrays).

    Returns:
        10 log10(data_range² / mean squared difference); infinity for identical pictures.

    Raises:
        PictureError: the shapes differ.
    """
    first, second = _comparable(clean, other)
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(clean: NDArray[Any], other: NDArray[Any], *, data_range: float = 1.0) -> float:
    """Structural similarity, the mean over pixels and channels.

    Source: Wang, Bovik, Sheikh & Simoncelli, IEEE TIP 13(4), 2004, with their Gaussian window
    (σ 1.5, 11 pixels wide) and constants (0.01, 0.03). Windows that cross the border do not
    count. The same as scikit-image's `structural_similarity` with `gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False`.

    Args:
        clean: H×W or H×W×C, at least 11 pixels high and wide.
        other: the same shape.
        data_range: value of white in both arrays (255 for 8-bit arrays).

    Raises:
        PictureError: the shapes differ, or the pictures are smaller than the window.
    """
    first, second = _comparable(clean, other)
    width = 2 * RADIUS + 1
    if min(first.shape[:2]) < width:
        height, columns = first.shape[:2]
        msg = f"SSIM needs at least {width}×{width} pixels, not {columns}×{height}; compare PSNR."
        raise PictureError(msg)
    planes = zip(_planes(first), _planes(second), strict=True)
    return float(np.mean([_ssim_plane(x, y, data_range) for x, y in planes]))


def _ssim_plane(x: NDArray[Any], y: NDArray[Any], data_range: float) -> float:
    """SSIM of one channel; names as in the paper's Eq. 13."""
    mu_x, mu_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mu_x * mu_x
    var_y = _window_mean(y * y) - mu_y * mu_y
    cov = _window_mean(x * y) - mu_x * mu_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (2 * mu_x * mu_y + c1) * (2 * cov + c2)
    similarity /= (mu_x * mu_x + mu_y * mu_y + c1) * (var_x + var_y + c2)
    return float(similarity.mean())


def _window_mean(plane: NDArray[Any]) -> NDArray[Any]:
    """Gaussian mean around each pixel whose window lies inside the picture."""
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    height, width = plane.shape[0] - 2 * RADIUS, plane.shape[1] - 2 * RADIUS
    rows = sum(weight * plane[i : i + height] for i, weight in enumerate(weights))
    means: NDArray[Any] = sum(weight * rows[:, i : i + width] for i, weight in enumerate(weights))
    return means


def _planes(image: NDArray[Any]) -> NDArray[Any]:
    """H×W or H×W×C as C×H×W."""
    return np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0)


def _comparable(clean: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as float64; 8-bit differences would wrap around."""
    first, second = np.asarray(clean), np.asarray(other)
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        msg = (
            f"Pictures of shapes {first.shape} and {second.shape} cannot be compared; both must "
            "have the same height, width and channels."
        )
        raise PictureError(msg)
    return first.astype(np.float64), second.astype(np.float64)
