"""Wavelet thresholding by BayesShrink, averaged over shifts; told σ.

Source: Chang, Yu & Vetterli, IEEE TIP 9(9), 2000, Eq. 10-13 (soft thresholds σ² / σ_x, one a
subband), as in scikit-image; averaged over 4 × 4 shifts ("cycle spinning", Coifman & Donoho,
1995). Wavelet: sym8, up to five levels. Color is transformed to YCbCr first.
"""

from __future__ import annotations

import numpy as np

from degrain.bench.methods import Floats, Method, package

WAVELET, LEVELS, SHIFTS = "sym8", 5, 4


def make(*, gray: bool, threads: int | None = None) -> Method:
    """Gray, or color in YCbCr.

    Raises:
        MissingPackageError: a package is missing.
    """
    restoration = package("skimage.restoration", "scikit-image")
    pywt = package("pywt", "PyWavelets")
    axis = None if gray else 2
    options = {
        "method": "BayesShrink",
        "mode": "soft",
        "wavelet": WAVELET,
        "rescale_sigma": True,
        "convert2ycbcr": not gray,
        "channel_axis": axis,
    }

    def denoise(noisy: Floats, sigma: float) -> Floats:
        most = pywt.dwtn_max_level(noisy.shape[:2], WAVELET)
        levels = max(1, min(LEVELS, most))
        total = np.zeros(noisy.shape, np.float64)
        for shift in np.ndindex(SHIFTS, SHIFTS):
            moved = np.roll(noisy, shift, axis=(0, 1))
            clean = restoration.denoise_wavelet(
                moved, sigma=sigma, wavelet_levels=levels, **options
            )
            total += np.roll(clean, (-shift[0], -shift[1]), axis=(0, 1))
        return (total / SHIFTS**2).astype(np.float32)

    version = str(package("skimage", "scikit-image").__version__)
    return Method("wavelet", version, blind=False, denoise=denoise)
