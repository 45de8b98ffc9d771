"""benchmarks/mean_of_answers.py: the mean of two networks' answers to real pairs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import degrain
from degrain import files, metrics
from pictures import write_random

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "mean_of_answers.py"


def test_no_share_is_one_network_and_all_of_it_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, clean = (
        write_random(tmp_path / name, "ab", (40, 48, 3), seed)
        for seed, name in enumerate(("noisy", "clean"))
    )
    given = ["degrain-photo-fast", "degrain-color-fast", "--pairs", str(noisy), str(clean)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given, "--sigma", "30", "--shares", "0", "1"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["told", "share 0", "share 1"]

    names = sorted(path.name for path in noisy.iterdir())
    expected = []
    for told in ({"model": "degrain-photo-fast"}, {"model": "degrain-color-fast", "sigma": 30}):
        pairs = [
            [files.read(folder / name).pages[0] / np.float32(255) for folder in (noisy, clean)]
            for name in names
        ]
        values = [metrics.psnr(b, degrain.denoise(a, **told)) for a, b in pairs]
        expected.append(f"{np.mean(values):.2f}")
    assert rows[2] == ["30", *expected]
    assert expected[0] != expected[1]
