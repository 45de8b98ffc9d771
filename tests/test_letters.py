"""Print on training pictures, and the benchmark of pages."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from degrain.cli import main
from degrain.train.camera import photograph
from degrain.train.letters import draw_pages, print_letters, turned

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "letters.py"
SIDE = 96


def source(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ground(count: int, channels: int = 3) -> torch.Tensor:
    return torch.full((count, channels, SIDE, SIDE), 0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_letters_cover_some_of_the_picture_in_one_color(channels: int) -> None:
    before = ground(6, channels)
    printed = print_letters(before, source())
    assert printed.shape == before.shape
    assert printed.min() >= 0
    assert printed.max() <= 1
    assert (before == 0.5).all(), "what goes in stays as it is"
    changed = (printed - 0.5).abs().amax(1) > 0.02
    assert 0.05 < float(changed.float().mean()) < 0.6
    for picture in printed:
        # All changes point from the ground to one color.
        _, *minor = torch.linalg.svdvals((picture - 0.5).flatten(1))
        assert all(float(value) < 1e-4 for value in minor)


def test_same_seed_same_letters_other_seed_others() -> None:
    first, second, other = (print_letters(ground(3), source(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_pages_differ_and_half_of_them_are_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {}
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr("degrain.train.letters.BOLD_SHARE", share)
        pages[share] = draw_pages(ground(200, 1), source())
    assert pages[0.5].shape == (200, 1, SIDE, SIDE)
    assert (pages[1.0] >= pages[0.0]).all()
    assert pages[1.0].mean() > 1.5 * pages[0.0].mean()
    bold = (pages[0.5] == pages[1.0]).all(dim=3).all(dim=2)
    assert float(bold.float().mean()) == pytest.approx(0.5, abs=0.12)
    assert not torch.equal(pages[0.0][0], pages[0.0][1])


def test_half_of_the_pages_stay_upright() -> None:
    rows = torch.zeros(200, 1, SIDE, SIDE)
    rows[:, :, ::8] = 1
    found = turned(rows, source())
    upright = found.std(dim=3).amax((1, 2)) < 1e-3
    assert float(upright.float().mean()) == pytest.approx(0.5, abs=0.12)


def test_some_photographs_get_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def count(x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        counts.append(len(x))
        return x

    monkeypatch.setattr("degrain.train.drawn.print_letters", count)
    photograph(torch.rand(100, 3, 32, 32), 2.0, source(), leaves=0.4)
    assert 8 <= sum(counts) <= 34, "one in two of two in five"
    counts.clear()
    photograph(torch.rand(100, 3, 32, 32), 2.0, source())
    assert not counts


def test_drawn_pictures_stay_as_sharp_as_they_are_or_get_softer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factors: dict[float, float] = {}

    def noted(x: torch.Tensor, most: float, _: torch.Generator, least: float = 1.5) -> torch.Tensor:
        factors[least] = most
        return x

    monkeypatch.setattr("degrain.train.camera.enlarge", noted)
    photograph(torch.rand(60, 3, 32, 32), 8.0, source(), leaves=0.5)
    assert factors == {1.0: 2.5, 1.5: 8.0}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_pages_of_the_benchmark_are_paper_and_ink(script: dict[str, Any]) -> None:
    first, again, other = (script["page"](20, number) for number in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    gray = first.mean(axis=2)
    paper = np.median(gray)
    assert float((np.abs(gray - paper) < 0.02).mean()) > 0.4
    assert float(np.abs(gray - paper).max()) > 0.9 * script["LEAST_CONTRAST"]


@pytest.mark.parametrize("gray", [False, True])
def test_the_table_has_a_row_for_each_noise_and_method(
    gray: bool,
    script: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = {"PAGES": 1, "SIDE": 48, "HEIGHTS_PX": (20,), "NOISES": ("gaussian:20",)}
    for name, value in changes.items():
        monkeypatch.setitem(script["main"].__globals__, name, value)
    given = ["--method", "noisy", "--noise", "gaussian:25.5", *(["--gray"] if gray else [])]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given])
    script["main"]()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3
    name, value = rows[2].strip("| ").split(" | ")[1:]
    assert name == "noisy"
    assert float(value) == pytest.approx(20, abs=0.15), "σ of a tenth of white"


def test_the_command_takes_a_share_and_three_phases_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "divakar-babu", "--data", str(tmp_path), "-o", str(tmp_path / "run")]
    for option in ("--drawn", "--uneven"):
        assert main([*command, option, "0.5"]) == 2
        assert "leave --drawn and --uneven out" in capsys.readouterr().err
