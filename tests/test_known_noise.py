"""benchmarks/known_noise.py: how much of a noise is left on even gray."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pictures import write_random

pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "known_noise.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def noise() -> np.ndarray:
    white = np.random.default_rng(1).standard_normal((40, 31, 3))
    return 0.01 * (white + white[:, :, :1])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_is_the_share_of_the_noise(
    script: dict[str, Any], noise: np.ndarray, share: float
) -> None:
    found = script["share_left"](lambda noisy: 0.5 + share * (noisy - 0.5), noise)
    assert found == pytest.approx(share, abs=1e-4)


def test_other_phases_keep_spectrum_and_likeness(script: dict[str, Any], noise: np.ndarray) -> None:
    other = script["with_other_phases"](noise)
    assert other.std(axis=(0, 1)) == pytest.approx(noise.std(axis=(0, 1)), rel=0.05)
    of_both = [np.corrcoef(x.reshape(-1, 3).T)[0, 1] for x in (noise, other)]
    assert of_both[1] == pytest.approx(of_both[0], abs=0.05)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.1


def test_the_table_has_a_row_for_each_network(
    script: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for seed, folder in enumerate(("noisy", "clean")):
        (tmp_path / folder).mkdir()
        write_random(tmp_path / folder, ["a.png"], seed=seed)
    words = ["known_noise.py", "degrain-photo", "--pairs", "noisy", "clean"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.chdir(tmp_path)
    script["main"]()
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert row[1].strip() == "degrain-photo"
    assert all(0 <= float(cell) < 0.3 for cell in row[2:5]), "white noise is well known"
