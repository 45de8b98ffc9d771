"""Golden vectors: a shipped model answers today as on the day it was shipped."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from degrain.noise import Gaussian, parse_noise
from degrain.zoo.card import ModelCard, read_card
from degrain.zoo.store import SHIPPED

GOLDEN = Path(__file__).with_name("golden")
NAMES = sorted(path.parent.name for path in SHIPPED.glob("*/card.toml"))


def load_maker():
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_shipped_model_has_a_golden_vector() -> None:
    assert {"degrain-color", "degrain-gray"} <= set(NAMES)
    assert sorted(path.stem for path in GOLDEN.glob("*.npz")) == NAMES


def made_for_it(card: ModelCard) -> bool:
    """Whether the model knows noise as strong as the picture's, σ 22 of 255, within a third."""
    noise = parse_noise(card.noise)
    return not isinstance(noise, Gaussian) or noise.sigma_255.high > 22 * 2 / 3


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_golden_vector(name: str, monkeypatch) -> None:
    monkeypatch.delenv("DEGRAIN_MODELS", raising=False)
    maker = load_maker()
    card = read_card(SHIPPED / name / "card.toml")
    given, fresh = maker.fixed_picture(card.channels), maker.answers(card)
    with np.load(GOLDEN / f"{name}.npz") as stored:
        assert set(stored) == set(fresh)
        for end, answer in fresh.items():
            # Processors round differently in the last digits; a changed weight shows far above.
            np.testing.assert_allclose(answer, stored[end], atol=2e-5)
            assert np.abs(answer - given).mean() > (0.03 if made_for_it(card) else 0.003)


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_vector_is_less_noisy_than_its_picture(name: str) -> None:
    card = read_card(SHIPPED / name / "card.toml")
    if not made_for_it(card):
        pytest.skip("made for weaker noise, which it takes this for a picture of")
    channels = card.channels
    flat = np.s_[36:44, 5:55]  # a ramp without edges
    given = load_maker().fixed_picture(channels)[flat]
    with np.load(GOLDEN / f"{name}.npz") as stored:
        denoised = stored["answer"][flat]
    ramp = np.linspace(0.2 + 5 / 200, 0.2 + 54 / 200, 50)[None, :, None]
    assert np.abs(denoised - ramp).mean() < 0.4 * np.abs(given - ramp).mean()
