"""benchmarks/noise_of_pairs.py: real noise beside edges, and its color after JPEG."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "noise_of_pairs.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_noise_is_told_by_its_distance_to_edges(script: dict[str, Any]) -> None:
    clean = np.full((256, 128, 3), 20.0)
    clean[:, 64:] = 200
    away = np.abs(np.arange(128) - 63.5)
    strength = np.where(away < 3, 6.0, 2.0)[None, :, None]
    gray = np.random.default_rng(0).standard_normal((256, 128, 1)) * strength
    color = np.random.default_rng(1).standard_normal((256, 128, 3)) * np.array([0, 0, 2.0])
    found = script["by_distance"](clean + gray + color, clean)
    assert found.shape == (3, 2, len(script["DISTANCES"]))
    dark, middle, bright = found / found[..., -1:]
    for part in (dark, bright):
        assert part[0, :2] == pytest.approx(3, rel=0.15)
        assert part[0, 3:] == pytest.approx(1, rel=0.15)
        assert part[1] == pytest.approx(1, rel=0.2), "color is as strong everywhere"
    assert np.isnan(middle).all()


@pytest.mark.parametrize("shared", [(1, 1), (1, 2), (2, 2)])
def test_shared_colors_show(script: dict[str, Any], shared: tuple[int, int]) -> None:
    rows, columns = shared
    small = np.random.default_rng(0).standard_normal((64 // rows, 64 // columns, 3))
    noise = np.kron(small, np.ones((rows, columns, 1)))
    clean = np.full((64, 64, 3), 100.0)
    found = script["inside_over_between"](clean + noise, clean)
    assert (found[0] < 0.5) == (columns == 2)
    assert (found[1] < 0.5) == (rows == 2)
    assert all(ratio > 0.85 for ratio, n in zip(found, (columns, rows), strict=True) if n == 1)
