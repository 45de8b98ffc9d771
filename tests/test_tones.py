"""benchmarks/tones.py: how noise depends on brightness."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "tones.py"
SIDE = 64


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def strip(grays: tuple[int, ...]) -> np.ndarray:
    """Flat gray fields side by side, H×W×3."""
    row = np.repeat(np.array(grays, np.float64), SIDE)
    return np.broadcast_to(row[None, :, None], (SIDE, row.size, 3))


def test_a_pair_tells_the_level_of_each_class_and_of_edges(script: dict[str, Any]) -> None:
    clean = strip((24, 80, 180))
    strength = np.repeat([2.0, 4.0, 1.0], SIDE)[None, :, None]
    noise = strength * np.random.default_rng(0).standard_normal((*clean.shape[:2], 1))
    levels = script["of_pair"](clean + noise, clean)
    low, middle, high = (script["CLASSES"].index(x) for x in (16, 64, 160))
    assert levels[low] / levels[middle] == pytest.approx(0.5, rel=0.06)
    assert levels[high] / levels[middle] == pytest.approx(0.25, rel=0.06)
    assert np.isnan(levels[0]), "no pixel so dark"
    assert levels[high] < levels[-1] < levels[middle], "at edges a mixture of their sides"


def test_coarse_changes_of_brightness_are_no_noise(script: dict[str, Any]) -> None:
    clean = strip((80, 80, 80))
    slow = 5 * np.sin(np.arange(clean.shape[1]) / 25)[None, :, None]
    unit = script["CLASSES"].index(64)
    assert script["of_pair"](clean + slow, clean)[unit] < 0.1


def test_a_shot_has_a_level_in_every_class(script: dict[str, Any]) -> None:
    levels = script["of_shot"](np.random.default_rng(0))
    assert len(levels) == len(script["CLASSES"]) - 1
    assert (levels > 0).all()


def test_medians_leave_out_what_is_missing(script: dict[str, Any]) -> None:
    levels = np.array([[1.0, np.nan], [1.0, 0.5], [1.0, 0.7]])
    levels = np.pad(levels, ((0, 0), (script["UNIT"], 0)), constant_values=np.nan)
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        found = script["ratios"](levels, levels)
    assert found[-2:] == ["1.00 (1.00 to 1.00)", "0.60 (0.52 to 0.68)"]
