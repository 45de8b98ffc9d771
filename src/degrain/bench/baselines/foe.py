"""Fields of Experts: a random field of 24 filters of 5×5 with Student-t experts; told σ; slow.

Source: Roth & Black, IJCV 82(2), 2009: the model (Eq. 9-11) and denoising as the most likely
picture (Eq. 19-20), with a weight of the data term for each noise level found on training
pictures (Sec. 5.2). Filters and experts are learned here, on training pictures, by denoising
score matching (Vincent, Neural Computation 23(7), 2011; score matching for this model: Köster,
Lindgren & Hyvärinen, ICA 2009) instead of contrastive divergence. The minimum is found by
L-BFGS (SciPy) instead of gradient descent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines.learned import Arrays, load
from degrain.bench.baselines.patches import at_least
from degrain.bench.methods import Floats, Method, gray_only, package

SIDE, FILTERS = 5, 24
STEPS = 100
"""Of L-BFGS; more change PSNR by less than 0.01 dB."""
PARAMETERS = ("filters", "alphas", "sigmas_255", "weights")


def make(*, gray: bool, threads: int | None = None, parameters: Path | None = None) -> Method:
    """FoE with the shipped filters, or with those of the user.

    Raises:
        UsageError: color, or no such file.
        MissingPackageError: SciPy is missing.
    """
    gray_only("foe", gray=gray)
    optimize = package("scipy.optimize", "scipy")
    model, version = load("foe", parameters, PARAMETERS)

    def denoise(noisy: Floats, sigma: float) -> Floats:
        weight = np.interp(255 * sigma, model["sigmas_255"], model["weights"])
        padded, inside = at_least(noisy, SIDE)
        return most_likely(padded, sigma, float(weight), model, optimize)[inside]

    name = f"foe:{parameters}" if parameters else "foe"
    return Method(name, version, blind=False, denoise=denoise, slow=True)


def most_likely(noisy: Floats, sigma: float, weight: float, model: Arrays, optimize: Any) -> Floats:
    """Minimize weight (255 |x − y|)² / (2 σ_255²) + energy(x) (Eq. 20).

    Args:
        noisy: H×W in 0..1.
        sigma: noise standard deviation in 0..1.
        weight: of the data term.
        model: `filters` (25×24 for pictures in 0..255) and `alphas` (24).
        optimize: `scipy.optimize`.
    """
    y = 255 * noisy.astype(np.float64)
    trust = weight / (255 * sigma) ** 2

    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = x.reshape(y.shape) - y
        value, slope = energy(x.reshape(y.shape), model)
        return value + 0.5 * trust * float((away**2).sum()), (slope + trust * away).ravel()

    options = {"maxiter": STEPS, "maxcor": 6}
    found = optimize.minimize(cost, y.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(y.shape) / 255, dtype=np.float32)


def energy(x: NDArray[np.float64], model: Arrays) -> tuple[float, NDArray[np.float64]]:
    """Σ α log(1 + (J * x)² / 2) over filters and all positions (Eq. 9-11), and its gradient.

    The picture is mirrored at its border, so that every pixel lies under all positions of
    every filter.
    """
    rim = SIDE // 2
    wide = np.pad(x, rim, mode="symmetric").astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (SIDE, SIDE))
    answers = windows.reshape(-1, SIDE**2) @ model["filters"]
    inner = 1 + 0.5 * answers**2
    value = float((np.log(inner).sum(axis=0, dtype=np.float64) * model["alphas"]).sum())
    back = (model["alphas"] * answers / inner) @ model["filters"].T
    slope = np.zeros(wide.shape, np.float64)
    grid = back.reshape(*x.shape, SIDE, SIDE)
    for i in range(SIDE):
        for j in range(SIDE):
            slope[i : i + x.shape[0], j : j + x.shape[1]] += grid[:, :, i, j]
    return value, _folded(_folded(slope, rim).T, rim).T


def _folded(table: NDArray[np.float64], rim: int) -> NDArray[np.float64]:
    """The transpose of mirroring `rim` rows out at both ends."""
    inner = table[rim:-rim].copy()
    inner[:rim] += table[:rim][::-1]
    inner[-rim:] += table[-rim:][::-1]
    return inner


def learn(crops: Floats, steps: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Filters and experts by denoising score matching at σ_255 from 5 to 25.

    Args:
        crops: N×S×S in 0..1, S at least 16.
        steps: of Adam, on 32 crops each.
        seed: of the first filters, the choice of crops and the noise.

    Returns:
        `filters` and `alphas`; `fit_weights` finds the rest.

    Raises:
        MissingPackageError: PyTorch is missing.
    """
    torch = package("torch")
    draw = torch.Generator().manual_seed(seed)
    basis = torch.from_numpy(_whitening_basis(crops))
    mix = torch.randn(FILTERS, FILTERS, generator=draw).div_(FILTERS**0.5).requires_grad_()
    logs = torch.full((FILTERS,), -2.0).requires_grad_()
    optimizer = torch.optim.Adam([mix, logs], lr=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)
    data = torch.from_numpy(255 * crops[:, None])
    for _ in range(steps):
        clean = data[torch.randint(len(data), (32,), generator=draw)]
        sigma = 5 + 20 * torch.rand(32, 1, 1, 1, generator=draw)
        noise = sigma * torch.randn(clean.shape, generator=draw)
        filters = (basis @ mix).T.reshape(FILTERS, 1, SIDE, SIDE)
        guess = sigma**2 * _slope(clean + noise, filters, logs.exp(), torch)
        rim = SIDE - 1  # pixels that not all filters see are no fair judges
        loss = (((guess - noise) / sigma)[..., rim:-rim, rim:-rim] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    filters = (basis @ mix).detach().numpy().astype(np.float32)
    return {"filters": filters, "alphas": logs.exp().detach().numpy()}


def _slope(noisy: Any, filters: Any, alphas: Any, torch: Any) -> Any:
    """The gradient of the energy for a batch, as operations that can be learned through."""
    answers = torch.nn.functional.conv2d(noisy, filters)
    back = alphas[:, None, None] * answers / (1 + 0.5 * answers**2)
    return torch.nn.functional.conv_transpose2d(back, filters)


def _whitening_basis(crops: Floats) -> NDArray[np.float32]:
    """25×24: directions of 5×5 patches without their mean, scaled to variance 1 at 0..255."""
    windows = np.lib.stride_tricks.sliding_window_view(crops[:, :16, :16], (SIDE, SIDE), (1, 2))
    patches = 255 * windows.reshape(-1, SIDE**2).astype(np.float64)
    patches -= patches.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    scaled = vectors[:, 1:] / np.sqrt(np.maximum(values[1:], 1e-3))
    return np.asarray(scaled, dtype=np.float32)


def fit_weights(
    crops: Floats, model: Arrays, sigmas_255: tuple[float, ...], seed: int = 0
) -> NDArray[np.float32]:
    """The data weight with the least squared error on training crops, for each noise level."""
    optimize = package("scipy.optimize", "scipy")
    candidates = np.geomspace(0.25, 8, 11)
    best = []
    for sigma_255 in sigmas_255:
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(crops.shape, dtype=np.float32) * np.float32(sigma_255 / 255)
        errors = [
            sum(
                float(((most_likely(x + n, sigma_255 / 255, w, model, optimize) - x) ** 2).sum())
                for x, n in zip(crops, noise, strict=True)
            )
            for w in candidates
        ]
        best.append(candidates[int(np.argmin(errors))])
    return np.array(best, np.float32)
