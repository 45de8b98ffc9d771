"""EPLL with a Gaussian mixture as the prior of 8×8 patches; told σ; slow.

Source: Zoran & Weiss, ICCV 2011: half-quadratic splitting (Eq. 3-6) with their schedule
β = (1, 4, 8, 16, 32) / σ², each patch by the Wiener filter of its likeliest component
(Sec. 4.2). The mixture (200 components, zero mean, full covariances, patches without their
mean) is learned by EM on training pictures, see `learn`; theirs was learned on other patches. λ,
which they set to 64 / σ² by hand, is fitted on training pictures too, see `fit_fidelity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines.learned import Arrays, load
from degrain.bench.baselines.patches import at_least, coverage, patches_of, summed
from degrain.bench.methods import Floats, Method, gray_only

SIDE = 8
PARAMETERS = ("weights", "factors", "fidelity")
FIDELITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BETAS = (1, 4, 8, 16, 32)
KEPT_BITS = 11
"""Of the factors; with all 24 the answers differ by less than 0.001 dB (benchmarks/LOG.md)."""
CHUNK = 16384
"""Patches worked on at a time."""


def make(*, gray: bool, threads: int | None = None, parameters: Path | None = None) -> Method:
    """EPLL with the shipped mixture, or with one of the user's own.

    Raises:
        UsageError: color, or no such file.
    """
    gray_only("epll", gray=gray)
    mixture, version = load("epll", parameters, PARAMETERS)

    def denoise(noisy: Floats, sigma: float) -> Floats:
        padded, inside = at_least(noisy, SIDE)
        return epll(padded, sigma, mixture)[inside]

    name = f"epll:{parameters}" if parameters else "epll"
    return Method(name, version, blind=False, denoise=denoise, slow=True)


def epll(noisy: Floats, sigma: float, mixture: Arrays) -> Floats:
    """Eq. 4 and 5 in turn: Z given X, X given Z.

    Args:
        noisy: H×W in 0..1, both at least 8.
        sigma: noise standard deviation in 0..1.
        mixture: `weights` (K), `factors` (K×64×64, covariance = F Fᵀ) and `fidelity`.
    """
    covariances = mixture["factors"] @ mixture["factors"].transpose(0, 2, 1)
    counts = coverage(noisy.shape, SIDE)
    clean = noisy
    fidelity = float(mixture["fidelity"])
    for step in BETAS:
        patches = patches_of(clean, SIDE)
        restored = wiener(patches, mixture["weights"], covariances, sigma**2 / step)
        averaged = summed(restored, noisy.shape, SIDE) / counts
        # Eq. 4 as if 64 patches covered every pixel, like the authors' program: the 7 rows and
        # columns along the border have fewer, and with their true number they keep their noise
        share = fidelity / (fidelity + step)
        clean = np.asarray(averaged + share * (noisy - averaged), dtype=np.float32)
    return clean


def wiener(
    patches: Floats, weights: Floats, covariances: NDArray[np.float32], variance: float
) -> Floats:
    """Each patch by the Wiener filter of its likeliest component (Sec. 4.2 of the paper)."""
    means = patches.mean(axis=1, keepdims=True)
    centered = patches - means
    noise = variance * np.eye(SIDE**2, dtype=np.float32)
    chosen = likeliest(centered, weights, covariances + noise)
    for k in np.unique(chosen):
        own = np.flatnonzero(chosen == k)
        gain = np.linalg.solve(covariances[k] + noise, covariances[k])
        centered[own] = centered[own] @ gain
    return np.asarray(centered + means, dtype=np.float32)


def likeliest(
    centered: Floats, weights: Floats, covariances: NDArray[np.float32]
) -> NDArray[np.intp]:
    """The component with the largest posterior probability, for each patch."""
    parts = range(0, len(centered), CHUNK)
    factors = _whitening(weights, covariances)
    return np.concatenate(
        [log_likelihoods(centered[i : i + CHUNK], factors).argmax(axis=0) for i in parts]
    )


def log_likelihoods(
    centered: Floats, factors: Sequence[tuple[Floats, float]]
) -> NDArray[np.float32]:
    """Logarithms of w_k N(z; 0, Σ_k) up to a constant: K×N."""
    found = np.empty((len(factors), len(centered)), np.float32)
    for k, (factor, constant) in enumerate(factors):
        white = centered @ factor
        found[k] = constant - 0.5 * np.einsum("ij,ij->i", white, white)
    return found


def _whitening(weights: Floats, covariances: NDArray[np.float32]) -> list[tuple[Floats, float]]:
    """For each component a factor F with Σ⁻¹ = F Fᵀ, and log w − ½ log det Σ."""
    lower = np.linalg.cholesky(covariances.astype(np.float64))
    inverse = np.linalg.inv(lower).transpose(0, 2, 1).astype(np.float32)
    halves = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    constants = np.log(np.maximum(weights, 1e-12)) - halves
    return [(inverse[k], float(constants[k])) for k in range(len(weights))]


def learn(
    patches: Floats, components: int, rounds: int, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """A zero-mean mixture by expectation maximization (Zoran & Weiss, Sec. 4.1).

    Begins with clusters of like energy and direction; responsibilities below 0.001 are left out
    of the sums.

    Args:
        patches: N×P, of any side though `epll` wants P = 64; their means are taken off here.
        components: how many; patches should be at least P times as many.
        rounds: of expectation and maximization.
        seed: of the patches around which the first clusters form.

    Returns:
        `weights` and `factors` as `epll` takes them.
    """
    centered = np.asarray(patches - patches.mean(axis=1, keepdims=True), dtype=np.float32)
    sure = np.zeros((components, len(centered)), np.float32)
    sure[_first_clusters(centered, components, seed), np.arange(len(centered))] = 1
    weights, covariances = _maximize(centered, sure)
    for _ in range(rounds):
        sure = log_likelihoods(centered, _whitening(weights, covariances))
        sure = np.exp(sure - sure.max(axis=0))
        weights, covariances = _maximize(centered, sure / sure.sum(axis=0))
    factors = np.linalg.cholesky(covariances.astype(np.float64))
    return {"weights": weights, "factors": shortened(factors)}


def shortened(numbers: NDArray[np.floating]) -> NDArray[np.float32]:
    """Numbers with `KEPT_BITS` significant bits, which a compressed file keeps in less space.

    Not 16-bit floats, which have as many but not the range.
    """
    shares, exponents = np.frexp(numbers)
    steps = np.rint(np.ldexp(shares, KEPT_BITS))
    return np.asarray(np.ldexp(steps, exponents - KEPT_BITS), dtype=np.float32)


def fit_fidelity(crops: Floats, mixture: Arrays, sigma: float, seed: int = 0) -> float:
    """λ σ² / 64 with the least squared error on training crops (N×H×W, sides above 16).

    A whole picture has few pixels that fewer than 64 patches cover, so these are not judged.
    """
    inner = (..., slice(SIDE, -SIDE), slice(SIDE, -SIDE))
    rng = np.random.default_rng(seed)
    noisy = crops + np.float32(sigma) * rng.standard_normal(crops.shape, dtype=np.float32)
    errors: dict[float, float] = {}
    for share in FIDELITIES:
        model = {**mixture, "fidelity": np.asarray(share, dtype=np.float32)}
        cleaned = np.stack([epll(y, sigma, model) for y in noisy])
        errors[share] = float(((cleaned - crops)[inner] ** 2).sum())
    return min(errors, key=lambda share: errors[share])


def _first_clusters(centered: Floats, components: int, seed: int) -> NDArray[np.intp]:
    """Levels of energy, each split by the direction of up to eight of its patches."""
    rng = np.random.default_rng(seed)
    found = np.zeros(len(centered), np.intp)
    levels = max(1, components // 8)
    starts = np.linspace(0, components, levels + 1).astype(int)
    for level, own in enumerate(np.array_split(np.argsort((centered**2).sum(axis=1)), levels)):
        first, last = starts[level], starts[level + 1]
        heads = centered[rng.choice(own, last - first, replace=False)]
        heads = heads / np.maximum(np.linalg.norm(heads, axis=1, keepdims=True), 1e-6)
        found[own] = first + np.abs(centered[own] @ heads.T).argmax(axis=1)
    return found


def _maximize(centered: Floats, sure: Floats) -> tuple[Floats, NDArray[np.float32]]:
    """Weights and covariances from responsibilities K×N."""
    pixels = centered.shape[1]
    covariances = np.empty((len(sure), pixels, pixels), np.float32)
    for k, row in enumerate(sure):
        own = np.flatnonzero(row > 1e-3)
        part = centered[own]
        covariances[k] = (part * row[own, None]).T @ part / max(float(row[own].sum()), 1.0)
    # flat skies have no variance at all, but a component must have an inverse
    covariances += 1e-6 * np.eye(pixels, dtype=np.float32)
    weights = sure.mean(axis=1)
    return np.asarray(weights / weights.sum(), dtype=np.float32), covariances
