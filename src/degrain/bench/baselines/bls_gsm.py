"""BLS-GSM: Gaussian scale mixtures of steerable pyramid coefficients; told σ; slow.

Source: Portilla, Strela, Wainwright & Simoncelli, IEEE TIP 12(11), 2003: neighborhoods of 3×3
and the parent (Sec. II-B), noise covariance from the pyramid of an impulse (Sec. III), signal
covariance by Eq. 10 made positive, 13 multipliers ln z = −20.5 .. 3.5 (Sec. III-B,
noninformative prior), estimate by Eq. 5-8. Eight orientations. The pyramid is that of `pyrtools`
(Simoncelli & Freeman, ICIP 1995), so unlike in the paper the high-pass residual is one band
without orientation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.bench.methods import Floats, Method, gray_only, package

Reals = NDArray[np.float64]
ORIENTATIONS = 8
LOG_Z = np.arange(-20.5, 3.51, 2.0)
HIGH = "residual_highpass"
LEAST = 32
"""Pictures are mirrored out to this size, which gives one scale."""


def make(*, gray: bool, threads: int | None = None) -> Method:
    """BLS-GSM for gray pictures.

    Raises:
        UsageError: color.
        MissingPackageError: the package is missing.
    """
    gray_only("bls-gsm", gray=gray)
    pyramid = package("pyrtools").pyramids.SteerablePyramidFreq

    def denoise(noisy: Floats, sigma: float) -> Floats:
        return bls_gsm(noisy, sigma, pyramid)

    return Method("bls-gsm", "1", blind=False, denoise=denoise, slow=True)


def bls_gsm(noisy: Floats, sigma: float, pyramid: Any) -> Floats:
    """Every band by its neighbors, then back; the low-pass residual stays as it is.

    Args:
        noisy: H×W in 0..1.
        sigma: noise standard deviation in 0..1.
        pyramid: `pyrtools.pyramids.SteerablePyramidFreq`.
    """
    scales = max(1, int(np.ceil(np.log2(max(LEAST, min(noisy.shape))))) - 4)
    padded, inside = _padded(noisy.astype(np.float64), 2**scales)
    found = pyramid(padded, height=scales, order=ORIENTATIONS - 1)
    impulse = np.zeros_like(padded)
    impulse[padded.shape[0] // 2, padded.shape[1] // 2] = sigma * np.sqrt(padded.size)
    noise = pyramid(impulse, height=scales, order=ORIENTATIONS - 1)
    bands: dict[Any, Reals] = found.pyr_coeffs
    restored = {
        key: band if key == "residual_lowpass" else _band(bands, noise.pyr_coeffs, key)
        for key, band in bands.items()
    }
    found.pyr_coeffs.update(restored)
    return np.asarray(found.recon_pyr()[inside], dtype=np.float32)


def _padded(image: Reals, multiple: int) -> tuple[Reals, tuple[slice, ...]]:
    """Mirrored out by 16 pixels and to a multiple, without which pyrtools is not exact."""
    widths = []
    for n in image.shape:
        total = max(LEAST, -(-(n + 32) // multiple) * multiple)
        widths.append(((total - n) // 2, total - n - (total - n) // 2))
    padded = np.pad(image, widths, mode="symmetric")
    return padded, tuple(slice(w[0], w[0] + n) for w, n in zip(widths, image.shape, strict=True))


def _band(bands: dict[Any, Reals], noise: dict[Any, Reals], key: Any) -> Reals:
    """The Bayes least-squares estimate of one band."""
    observed, disturbed = _neighborhoods(bands, key), _neighborhoods(noise, key)
    count = observed.shape[1]
    noise_cov = disturbed @ disturbed.T / count
    signal_cov = _positive(observed @ observed.T / count - noise_cov)
    return _estimate(observed, noise_cov, signal_cov).reshape(bands[key].shape)


def _neighborhoods(bands: dict[Any, Reals], key: Any) -> Reals:
    """Each coefficient, its eight neighbors and its parent: 9 or 10 × coefficients."""
    band = bands[key]
    rows, columns = band.shape
    around = np.pad(band, 1, mode="symmetric")
    offsets = [(1, 1)] + [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    parts = [around[i : i + rows, j : j + columns] for i, j in offsets]
    if key != HIGH and (key[0] + 1, key[1]) in bands:
        parts.append(_enlarged(bands[key[0] + 1, key[1]], band.shape))
    return np.stack([part.ravel() for part in parts])


def _enlarged(parent: Reals, shape: tuple[int, ...]) -> Reals:
    """Twice the size by zeros in the Fourier domain."""
    if parent.shape == shape:
        return parent
    spectrum = np.fft.fftshift(np.fft.fft2(parent))
    before = [n // 2 - m // 2 for n, m in zip(shape, parent.shape, strict=True)]
    after = [n - m - b for n, m, b in zip(shape, parent.shape, before, strict=True)]
    wide = np.pad(spectrum, list(zip(before, after, strict=True)))
    larger = np.fft.ifft2(np.fft.ifftshift(wide)).real
    return np.asarray(larger * (np.prod(shape) / parent.size))


def _positive(matrix: Reals) -> Reals:
    """The nearest covariance: negative eigenvalues become 0."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)


def _estimate(observed: Reals, noise_cov: Reals, signal_cov: Reals) -> Reals:
    """E{x_c | y}: a mean of Wiener estimates over z, weighted by p(z | y) (Eq. 5-8).

    With C_w = S Sᵀ and Q Λ Qᵀ the eigenvectors of S⁻¹ C_u S⁻ᵀ, both covariances are diagonal.
    """
    floor = 1e-10 * float(np.trace(noise_cov)) * np.eye(len(noise_cov))
    root = np.linalg.cholesky(noise_cov + floor)
    white = np.linalg.solve(root, signal_cov)
    gains, vectors = np.linalg.eigh(np.linalg.solve(root, white.T))
    gains = np.maximum(gains, 0)
    rotated = vectors.T @ np.linalg.solve(root, observed)
    center = (root @ vectors)[0]
    logs = np.empty((len(LOG_Z), observed.shape[1]))
    means = np.empty_like(logs)
    for i, z in enumerate(np.exp(LOG_Z)):
        spread = z * gains + 1
        logs[i] = -0.5 * ((1 / spread) @ rotated**2 + np.log(spread).sum())
        means[i] = (center * z * gains / spread) @ rotated
    likely = np.exp(logs - logs.max(axis=0))
    return np.asarray((likely * means).sum(axis=0) / likely.sum(axis=0))
