"""benchmarks/rewrite.py: shipped networks in a new form, with the numbers that they had."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from degrain import load_model
from degrain.engines.onnx import OnnxEngine
from degrain.train.data import Pack, load
from degrain.train.onnx_file import read_weights
from degrain.zoo.card import ModelCard, read_card
from degrain.zoo.store import int8_partner
from pictures import write_random

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "rewrite.py"


@pytest.fixture
def copy(tmp_path: Path) -> ModelCard:
    """The smallest shipped network in a folder of its own, with a card that says something else."""
    folder = shutil.copytree(load_model("degrain-gray-fast").path.parent, tmp_path / "zoo")
    sheet = folder / "card.toml"
    text = sheet.read_text(encoding="utf-8")
    sheet.write_text(
        text.replace('"gaussian:25" = 0.0', '"gaussian:25" = 9.0', 1), encoding="utf-8"
    )
    return load_model(str(folder / "model.onnx"))


@pytest.fixture
def held_out(tmp_path: Path) -> Pack:
    return load([write_random(tmp_path / "pictures", "ab", shape=(40, 48))])


def contents(card: ModelCard) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in card.path.parent.iterdir()}


def test_all_numbers_are_kept_and_the_card_is_measured(copy: ModelCard, held_out: Pack) -> None:
    before, weights = contents(copy), read_weights(copy.path)
    x = np.random.default_rng(0).random((1, 1, 61, 45), dtype=np.float32)
    answers = [OnnxEngine(path).run(x) for path in (copy.path, int8_partner(copy))]

    moved = runpy.run_path(str(SCRIPT))["rewrite"](copy, held_out)
    card = read_card(copy.path.with_name("card.toml"))
    assert contents(copy).keys() == before.keys()
    assert moved["most"] <= 1e-5
    np.testing.assert_allclose(OnnxEngine(card.path).run(x), answers[0], atol=1e-5)
    # Partners are opened by their hashes on the card.
    np.testing.assert_allclose(OnnxEngine(int8_partner(card)).run(x), answers[1], atol=0.02)
    for name, tensor in read_weights(card.path).items():
        if "." in name:
            assert tensor.equal(weights[name])
    assert load_model(str(card.path)).sha256 == card.sha256
    assert copy.int8_loss["gaussian:25"] > 9 > card.int8_loss["gaussian:25"]
    assert card.quality == copy.quality


def test_a_network_that_answers_otherwise_replaces_nothing(copy: ModelCard, held_out: Pack) -> None:
    before = contents(copy)
    rewrite: Any = runpy.run_path(str(SCRIPT))["rewrite"]
    rewrite.__globals__["MOST"] = -1.0
    with pytest.raises(SystemExit, match="has changed"):
        rewrite(copy, held_out)
    assert contents(copy) == before
