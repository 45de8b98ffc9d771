"""BM3D and CBM3D by their authors (package `bm3d`); told σ.

Source: Dabov, Foi, Katkovnik & Egiazarian, IEEE TIP 16(8), 2007; color: the same, ICIP 2007.
The package is Mäkinen, Azzari & Foi, IEEE TIP 29, 2020, free for non-commercial use only.
"""

from __future__ import annotations

from importlib import metadata

import numpy as np

from degrain.bench.methods import Floats, Method, package


def make(*, gray: bool, threads: int | None = None) -> Method:
    """BM3D, or CBM3D for color, which takes a minute or two a megapixel.

    Raises:
        MissingPackageError: the package is missing.
    """
    found = package("bm3d", remark="it is free for non-commercial use only")
    function = found.bm3d if gray else found.bm3d_rgb
    profile = found.BM3DProfile()
    # With more threads its sums change their order, and the result its last digits.
    profile.num_threads = 1

    def denoise(noisy: Floats, sigma: float) -> Floats:
        clean = function(noisy, sigma_psd=sigma, profile=profile)
        return np.asarray(clean, dtype=np.float32).reshape(noisy.shape)

    version = metadata.version("bm3d")
    return Method("bm3d", version, blind=False, denoise=denoise, slow=not gray)
