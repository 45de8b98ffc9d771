"""Non-local means of scikit-image: floats, patches of 5, windows of 13, h = 0.8 σ; told σ.

Source: Buades, Coll & Morel, CVPR 2005, Eq. 3, with the noise taken off the distances; summed up
fast by Darbon et al., ISBI 2008. Patch, window and h / σ are those of scikit-image's own example.
"""

from __future__ import annotations

import numpy as np

from degrain.bench.methods import Floats, Method, package

PATCH, RADIUS = 5, 6


def make(*, gray: bool, threads: int | None = None) -> Method:
    """Gray, or color with patches of all channels.

    Raises:
        MissingPackageError: the package is missing.
    """
    restoration = package("skimage.restoration", "scikit-image")
    axis = None if gray else 2

    def denoise(noisy: Floats, sigma: float) -> Floats:
        clean = restoration.denoise_nl_means(
            noisy,
            patch_size=PATCH,
            patch_distance=RADIUS,
            h=0.8 * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=axis,
        )
        return np.asarray(clean, dtype=np.float32)

    version = str(package("skimage", "scikit-image").__version__)
    return Method("nlm-skimage", version, blind=False, denoise=denoise)
