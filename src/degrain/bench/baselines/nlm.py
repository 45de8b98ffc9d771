"""Non-local means of OpenCV: 8 bits, default windows (7 and 21), strength h = σ; told σ.

Source: Buades, Coll & Morel, CVPR 2005.
"""

from __future__ import annotations

import numpy as np

from degrain.bench.methods import Floats, Method, package


def make(*, gray: bool, threads: int | None = None) -> Method:
    """Gray, or color in Lab as OpenCV does it.

    Raises:
        MissingPackageError: the package is missing.
    """
    cv2 = package("cv2", "opencv-python-headless")
    function = cv2.fastNlMeansDenoising if gray else cv2.fastNlMeansDenoisingColored

    def denoise(noisy: Floats, sigma: float) -> Floats:
        pixels = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
        strengths = (255 * sigma,) if gray else (255 * sigma, 255 * sigma)
        cv2.setNumThreads(threads or -1)
        return np.asarray(function(pixels, None, *strengths), dtype=np.float32) / np.float32(255)

    return Method("nlm", str(cv2.__version__), blind=False, denoise=denoise)
