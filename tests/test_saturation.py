"""benchmarks/saturation.py: how noise depends on how colorful the picture is."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "saturation.py"
SIDE = 96


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def gray_beside_red() -> np.ndarray:
    """Of the same brightness, side by side, H×2H×3 in 0..255."""
    clean = np.full((SIDE, 2 * SIDE, 3), 90.0)
    clean[:, SIDE:] = (174, 54, 54)
    return clean


def test_noise_of_each_saturation_against_that_of_grays(script: dict[str, Any]) -> None:
    clean = gray_beside_red()
    luma = np.array(script["LUMA"])
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    gray = (noise @ luma)[..., None]
    noise = gray + np.repeat([1.0, 2.0], SIDE)[None, :, None] * (noise - gray)
    levels = script["levels"](clean + noise, clean)
    red = script["CLASSES"].index(105)
    assert levels[:, 0].tolist() == [1, 1]
    assert levels[:, red] == pytest.approx([1, 2], rel=0.05)
    assert np.isnan(levels[:, 1]).all(), "nothing between gray and red"


def test_no_noise_says_nothing(script: dict[str, Any]) -> None:
    clean = gray_beside_red()
    assert np.isnan(script["levels"](clean, clean)).all()


def test_a_shot_is_noisy_and_the_next_one_is_another(script: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    clean = gray_beside_red()
    first, second = script["shot"](clean, rng), script["shot"](clean, rng)
    assert first.shape == clean.shape
    assert 0.1 < (first - clean).std() < 60
    assert not np.array_equal(first, second)


def test_spread_leaves_out_what_is_missing(script: dict[str, Any]) -> None:
    assert script["spread"](np.array([np.nan, 1, 2, 3])) == "2.00 (1.20 to 2.80; 3)"
    assert script["spread"](np.array([np.nan])) == "nan (nan to nan; 0)"
