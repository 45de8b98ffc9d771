"""Total variation (scikit-image's Chambolle); told σ.

Source: Rudin, Osher & Fatemi, Physica D 60, 1992, as minimized by Chambolle, JMIV 20, 2004,
Eq. 9. The weight is chosen per picture by the discrepancy principle (Chambolle, Sec. 4): such
that what is taken off has the standard deviation σ, times 0.92 since the structure that would
be taken off with it is wanted back.
"""

from __future__ import annotations

import numpy as np

from degrain.bench.methods import Floats, Method, package

DISCREPANCY = 0.92
STEPS = 8


def make(*, gray: bool, threads: int | None = None) -> Method:
    """Gray, or color with one total variation for all channels.

    Raises:
        MissingPackageError: the package is missing.
    """
    restoration = package("skimage.restoration", "scikit-image")
    axis = None if gray else 2

    def denoise(noisy: Floats, sigma: float) -> Floats:
        low, high = 0.05 * sigma, 5 * sigma
        clean = noisy
        for _ in range(STEPS):  # bisection: the residual grows with the weight
            weight = (low * high) ** 0.5
            clean = restoration.denoise_tv_chambolle(noisy, weight=weight, channel_axis=axis)
            if np.std(noisy - clean) > DISCREPANCY * sigma:
                high = weight
            else:
                low = weight
        return np.asarray(clean, dtype=np.float32)

    version = str(package("skimage", "scikit-image").__version__)
    return Method("tv", version, blind=False, denoise=denoise)
