"""The limit of a receptive field, benchmarks/window.py: against the same sums written out."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "window.py"
SIDE = 3


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def mixture():
    """Two components: one smooth, one rough, over 3×3 patches that have no mean."""
    rng = np.random.default_rng(5)
    without_mean = np.eye(SIDE**2) - 1 / SIDE**2
    smooth = without_mean @ np.outer(np.linspace(-1, 1, 9), np.ones(9)) * 0.1
    rough = without_mean @ rng.normal(0, 0.05, (9, 9))
    factors = np.stack([smooth + 1e-3 * without_mean, rough])
    return np.array([0.7, 0.3]), factors


def written_out(row, sigmas, weights, factors):
    """The middle pixel's mean, with full matrices over the patch less its mean."""
    basis = np.linalg.svd(np.ones((1, SIDE**2)))[2][1:].T
    z = basis.T @ (row - row.mean())
    logs, estimates = [], []
    for weight, factor in zip(weights, factors, strict=True):
        clean = basis.T @ factor @ factor.T @ basis
        for sigma in sigmas:
            noisy = clean + sigma**2 * np.eye(len(z))
            logs.append(
                np.log(weight) - 0.5 * (np.linalg.slogdet(noisy)[1] + z @ np.linalg.solve(noisy, z))
            )
            estimates.append(basis[SIDE**2 // 2] @ clean @ np.linalg.solve(noisy, z))
    shares = np.exp(np.array(logs) - max(logs))
    return row.mean() + shares @ np.array(estimates) / shares.sum()


@pytest.mark.parametrize("sigmas", [[0.05], [0.02, 0.06, 0.2]], ids=["told", "blind"])
def test_the_estimate_is_the_posterior_mean(script, mixture, sigmas):
    rng = np.random.default_rng(1)
    noisy = rng.normal(0.5, 0.1, (6, 7)).astype(np.float32)
    window = script["prepare"](*mixture, SIDE)
    found = script["denoise"](noisy, np.array(sigmas), window)
    padded = np.pad(noisy, 1, mode="reflect").astype(float)
    for y, x in ((0, 0), (2, 3), (5, 6)):
        row = padded[y : y + SIDE, x : x + SIDE].ravel()
        assert found[y, x] == pytest.approx(written_out(row, sigmas, *mixture), abs=2e-5)


def test_a_learned_window_removes_noise_and_is_read_back(script, tmp_path):
    ramp = np.add.outer(np.arange(40), 2 * np.arange(40)) / 120
    rng = np.random.default_rng(0)
    picture = (ramp + 0.1 * rng.random((40, 40)) > 0.5).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE)).reshape(-1, 9)
    mixture = script["epll"].learn(np.ascontiguousarray(patches), 4, 5)
    window = script["prepare"](mixture["weights"], mixture["factors"], SIDE)
    file = tmp_path / "window-3.npz"
    script["save"](window, file)
    told, blind = script["methods"](file, blind=(0.0, 55.0))
    assert script["methods"](file, blind=(10.0, 25.0))[1].name == "window-3-blind-10-25"
    assert [m.name for m in script["methods"](file, blind=None)] == ["window-3"]
    noisy = picture + 0.1 * rng.normal(size=picture.shape).astype(np.float32)
    before = np.mean((noisy - picture) ** 2)
    assert np.mean((told.denoise(noisy, 0.1) - picture) ** 2) < 0.5 * before
    assert np.mean((blind.denoise(noisy, 0.0) - picture) ** 2) < 0.6 * before
    assert (told.name, told.blind, blind.name, blind.blind) == (
        "window-3",
        False,
        "window-3-blind",
        True,
    )
