"""benchmarks/held_out.py: a card's figures on held-out pictures, measured anew."""

from __future__ import annotations

import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from degrain import load_model
from degrain.train.data import load, split
from degrain.train.quantize import measure_loss
from degrain.zoo.card import read_card, write_card
from pictures import write_random

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "held_out.py"
HEADING = "held-out training pictures, 256×256, float noise, PSNR"


def test_figures_of_the_card_are_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_random(tmp_path / "pictures", "abcd", shape=(64, 64))
    shipped = load_model("degrain-gray-fast")
    copied = Path(shutil.copytree(shipped.path.parent, tmp_path / "model"))
    sheet = copied / "card.toml"
    wrong = {"gaussian:25": 1.0}
    other = {"elsewhere": {"gaussian:15": 2.0}}
    quality = {HEADING: wrong, **other}
    write_card(replace(read_card(sheet), quality=quality, int8_loss=dict(wrong)), sheet)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(sheet), "--data", str(pictures)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    found = read_card(sheet)
    assert set(found.quality) == set(quality)
    assert found.quality["elsewhere"] == other["elsewhere"]
    assert set(found.quality[HEADING]) == {"gaussian:25"}
    assert 10 < found.quality[HEADING]["gaussian:25"] < 60
    held_out = split(load([pictures]))[1]
    int8 = copied / shipped.int8_model
    assert found.int8_loss == measure_loss(read_card(sheet), int8, held_out, ())
    assert found.sha256 == shipped.sha256
