"""benchmarks/beside_edges.py: how much grain is left on even surfaces."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "beside_edges.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


class Known(nn.Module):
    """Gives back the clean checkerboard, and so much of the noise."""

    def __init__(self, clean: torch.Tensor, left: float) -> None:
        super().__init__()
        self.clean, self.left = clean, left

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return self.clean + self.left * (noisy - self.clean)


@pytest.mark.parametrize("left", [0.0, 0.25, 1.0])
def test_it_is_the_share_of_the_grain(script: dict[str, Any], left: float) -> None:
    clean = torch.from_numpy(script["checkerboard"](0.4))
    assert script["share_left"](Known(clean, left), 0.4, 0.7) == pytest.approx(left, abs=1e-4)


def test_errors_at_the_edges_do_not_count(script: dict[str, Any]) -> None:
    class AtEdges(nn.Module):
        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            clean = torch.from_numpy(script["checkerboard"](0.4))
            number = torch.arange(script["SIDE"]) % script["SQUARE"]
            edge = (number < 10) | (number > 37)
            return torch.where(edge[:, None] | edge, noisy + 1, clean)

    assert script["share_left"](AtEdges(), 0.4, 0.7) == pytest.approx(0.0, abs=1e-6)


def test_the_squares_are_as_far_apart_as_said_and_grain_as_strong(script: dict[str, Any]) -> None:
    board, inside = script["checkerboard"](0.4), script["middles"]()
    assert sorted({round(float(x), 3) for x in board[inside]}) == [0.3, 0.7]
    assert inside.sum() == (script["SIDE"] // script["SQUARE"] * script["MIDDLE"]) ** 2
    assert script["grain"](1.0).std() == pytest.approx(script["SIGMA"])


def test_the_table_has_a_row_for_each_grain(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(script["main"].__globals__, "CONTRASTS", (0.0,))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "degrain-color-fast"])
    script["main"]()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(script["SMOOTHING_PX"])
    assert rows[2].startswith("| degrain-color-fast | 0.5 | 0.9"), "white noise is all it knows"
