"""Contrast that suits 8 bits: one number a page, chosen by its noise, undone afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from degrain import Denoiser, load_model
from degrain.engines import gain, precision
from degrain.engines.gain import GainEngine, gain_for
from degrain.engines.onnx import OnnxEngine
from degrain.estimate import noise_level_255
from degrain.versions import Versions
from degrain.zoo.store import int8_partner

MODEL = "degrain-color-fast"


class Spy:
    """An engine that halves its pictures and remembers them."""

    channels, needs_sigma = 3, False

    def __init__(self):
        self.seen = []

    def run(self, x_nchw, sigma=None):
        self.seen.append(x_nchw)
        return x_nchw / 2


@pytest.fixture
def able(monkeypatch):
    """Any processor counts as one that gains by 8 bits."""
    monkeypatch.setattr(precision, "has_byte_products", lambda: True)


def scene(sigma, side=96):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    clean = 0.5 + 0.2 * np.sin(x / 9) + 0.2 * (y > x)
    page = np.repeat(clean[..., None], 3, axis=2).astype(np.float32)
    return page, page + np.float32(sigma / 255) * rng.standard_normal(page.shape, np.float32)


def test_stronger_noise_is_darkened_and_weaker_noise_brightened():
    gains = [gain_for(sigma, 25) for sigma in (0, 1, 5, 15, 25, 35, 50, 255)]
    assert gains == sorted(gains, reverse=True)
    assert (gains[0], gains[-1]) == (gain.MOST, gain.LEAST)
    assert gains[4] == 1.0
    assert gain_for(50, 0) == 1.0


def test_the_contrast_comes_back():
    spy = Spy()
    x = np.random.default_rng(0).random((1, 3, 5, 7), np.float32)
    engine = GainEngine(spy, 1.25)
    clean = engine.run(x)
    assert (engine.channels, engine.needs_sigma, clean.dtype) == (3, False, np.float32)
    np.testing.assert_allclose(spy.seen[0], 1.25 * x, rtol=1e-6)
    np.testing.assert_allclose(clean, x / 2, rtol=1e-6)


@pytest.mark.parametrize("sigma", [5, 60])
def test_it_keeps_8_bits_closer_to_floats(sigma):
    """Judged by an engine that fuses nothing, so on any processor."""
    card = load_model(MODEL)
    floats, int8 = OnnxEngine(card.path), OnnxEngine(int8_partner(card), fused=False)
    x_nchw = np.moveaxis(scene(sigma)[1], 2, 0)[None]
    wanted = floats.run(x_nchw)
    engines = int8, GainEngine(int8, gain_for(sigma, card.int8_sigma))
    plain, helped = (np.square(engine.run(x_nchw) - wanted).mean() for engine in engines)
    assert helped < 0.8 * plain


@pytest.mark.usefixtures("able")
def test_the_page_decides_and_only_in_8_bits():
    _, noisy = scene(50)
    card = load_model(MODEL)
    expected = gain_for(noise_level_255(noisy), card.int8_sigma)
    assert 0.6 < expected < 0.8
    int8, floats = Versions(MODEL, precision="int8"), Versions(MODEL, precision="float")
    assert int8.choose(noisy, None, None).gain == expected
    assert int8.choose(noisy, None, 25.0).gain == 1.0
    assert floats.choose(noisy, None, None).gain == 1.0
    # Told more than it has, it gets more before the network sees it; told less, it keeps it.
    assert int8.choose(noisy, 70.0, 50.0).gain == gain_for(70, card.int8_sigma)
    assert int8.choose(noisy, 20.0, 50.0).gain == gain_for(50, card.int8_sigma)


@pytest.mark.usefixtures("able")
def test_a_card_without_a_level_leaves_pictures_as_they_are():
    versions = Versions(MODEL, precision="int8")
    versions._cards[MODEL] = replace(load_model(MODEL), int8_sigma=0.0)
    assert versions.choose(scene(50)[1], None, None).gain == 1.0


@pytest.mark.skipif(
    precision.has_byte_products() is False, reason="sums of byte products can overflow here"
)
def test_tiles_are_as_exact_as_ever():
    _, noisy = scene(40, 400)
    whole = Denoiser(MODEL, precision="int8", threads=1)
    tiled = Denoiser(MODEL, precision="int8", threads=1, memory_mb=180)
    assert len(tiled._formation(noisy, tiled.card(3)).tiles) > 1
    # a value between two bytes may go either way
    np.testing.assert_allclose(tiled(noisy), whole(noisy), atol=0.02)
    assert np.abs(tiled(noisy) - whole(noisy)).mean() < 1e-4
