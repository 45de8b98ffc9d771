"""benchmarks/between.py: PSNR along the mean of two networks' weights."""

from __future__ import annotations

import math
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from degrain.engines.onnx import OnnxEngine
from degrain.train import checkpoint
from degrain.train.fit import build_net
from degrain.train.recipes import find_recipe
from degrain.train.setup import train
from pictures import write_random

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "between.py"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_random(tmp_path / "pictures", "abc", shape=(40, 48))


def last_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *given: str
) -> tuple[dict[str, Any], list[str]]:
    """The script after its run, and the cells of the last row that it printed."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given])
    script = runpy.run_path(str(SCRIPT))
    script["main"]()
    return script, capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")


def test_the_ends_are_the_networks_and_the_middle_their_mean(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = [tmp_path / name for name in ("first", "second")]
    for seed, run in enumerate(runs):
        train("tiny-gray", run=run, data=[pictures], steps=2, seed=seed, quiet=True)
    given = ["tiny-gray", *map(str, runs), "--data", str(pictures), "--noise", "gaussian:25"]
    written = tmp_path / "mean.onnx"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given, "--write", str(written)])
    script = runpy.run_path(str(SCRIPT))
    script["main"]()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["share of the second", "clean, worst", "gaussian:0", "gaussian:25"]
    assert [row[0] for row in rows[2:]] == ["0", "0.5", "1"]

    recipe = find_recipe("tiny-gray")
    sets = script["held_out"](recipe, [pictures], ("gaussian:25",), None)
    ends = [checkpoint.load(run / "checkpoint.pt")["average"] for run in runs]
    for row, share in zip(rows[2:], (0, 0.5, 1), strict=True):
        net = build_net(recipe)
        mixed = {name: (1 - share) * ends[0][name] + share * ends[1][name] for name in ends[0]}
        net.load_state_dict(mixed)
        with torch.no_grad():
            (noisy, clean), *others = sets["gaussian:25"]
            error = (net(noisy) - clean).square().mean()
            answer = net(noisy).numpy()
        assert not others
        assert float(row[3]) == pytest.approx(float(-10 * error.log10()), abs=0.006)
    assert OnnxEngine(written).run(noisy.numpy()) == pytest.approx(answer, abs=1e-5), "the last"


def test_clipping_cuts_the_noisy_picture_and_the_answer() -> None:
    script = runpy.run_path(str(SCRIPT))
    dark, bright = torch.full((1, 1, 4, 4), -0.5), torch.full((1, 1, 4, 4), 1.5)
    clean = torch.full((1, 1, 4, 4), 0.9)
    doubled = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(doubled.weight, 2.0)
    given = [(dark, clean), (bright, clean)]
    assert script["psnrs"](doubled, 1, given, clip=True) == pytest.approx(
        [-20 * math.log10(0.9), 20.0], abs=1e-4
    )
    assert script["psnrs"](doubled, 1, given) == pytest.approx(
        [-20 * math.log10(1.9), -20 * math.log10(2.1)], abs=1e-4
    )


def test_the_option_clips(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "degrain-gray-fast"
    given = [name, name, name, "--data", str(pictures), "--shares", "0", "--noise", "gaussian:150"]
    script, row = last_row(monkeypatch, capsys, *given, "--clip")
    recipe = find_recipe(name)
    net = build_net(recipe)
    net.load_state_dict(script["weights"](recipe, name))
    pairs = script["held_out"](recipe, [pictures], ("gaussian:150",), None)["gaussian:150"]
    clipped, free = (script["psnrs"](net, 1, pairs, clip=clip)[0] for clip in (True, False))
    assert abs(clipped - free) > 0.01
    assert float(row[3]) == pytest.approx(clipped, abs=0.001)


def test_a_network_for_color_sees_gray_pictures_three_times(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "degrain-color-fast"
    given = [name, name, name, "--data", str(pictures), "--shares", "0", "--gray"]
    script, row = last_row(monkeypatch, capsys, *given, "--noise", "gaussian:25")
    recipe = find_recipe(name)
    net = build_net(recipe)
    net.load_state_dict(script["weights"](recipe, name))
    sets = script["held_out"](recipe, [pictures], ("gaussian:25",), None, gray=True)
    noisy, clean = sets["gaussian:25"][0]
    assert noisy.shape[1] == clean.shape[1] == 1
    with torch.no_grad():
        error = (net(torch.cat([noisy] * 3, 1)).mean(1, keepdim=True) - clean).square().mean()
    assert float(row[3]) == pytest.approx(float(-10 * error.log10()), abs=0.006)
