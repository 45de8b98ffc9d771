"""A blind net told the noise level, by noise: it obeys, and it pays where it should."""

from __future__ import annotations

import numpy as np
import pytest

import degrain
from degrain import files
from degrain.cli import main
from degrain.denoise import Denoiser
from degrain.engines.onnx import OnnxEngine
from degrain.errors import UsageError
from degrain.estimate import noise_level_255
from degrain.picture import Picture
from degrain.steering import PERIOD_PX, steer, unit_noise
from degrain.tiling import Window
from degrain.zoo.store import load_model

NETS = {"degrain-gray": 1, "degrain-color": 3, "degrain-photo": 3, "degrain-gray-fast": 1}


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.delenv("DEGRAIN_MODELS", raising=False)


def step(channels, size=(96, 110)):
    """A ramp, a step and a little texture, 0..1."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    plane = 0.3 + x / 400 + 0.3 * (y > x) + 0.02 * np.sin(x) * np.sin(y)
    return np.repeat(plane[..., None], channels, axis=2)


def grainy(clean, sigma_255, seed=0):
    """Noise that neighbors share: each pixel is the mean of 2 by 2 white ones, to scale."""
    white = np.random.default_rng(seed).standard_normal(
        (clean.shape[0] + 1, clean.shape[1] + 1, clean.shape[2])
    )
    noise = (white[1:, 1:] + white[1:, :-1] + white[:-1, 1:] + white[:-1, :-1]) / 2
    return (clean + sigma_255 / 255 * noise).astype(np.float32)


def error_255(picture, clean):
    return 255 * float(np.sqrt(np.mean((picture - clean) ** 2)))


@pytest.mark.parametrize(("name", "channels"), NETS.items())
def test_scaling_the_picture_does_nothing_so_this_needs_another_way(name, channels):
    engine = OnnxEngine(load_model(name).path, threads=1)
    x = grainy(step(channels), 25).transpose(2, 0, 1)[None].copy()
    answer = engine.run(x)
    np.testing.assert_allclose(engine.run(x / 4) * 4, answer, atol=2e-6)
    np.testing.assert_allclose(engine.run(x + np.float32(0.5)) - 0.5, answer, atol=2e-6)


def test_the_noise_is_white_and_belongs_to_the_place():
    size = 2 * PERIOD_PX
    whole = unit_noise(Window(0, size, 0, size), 3)
    assert whole.shape == (1, 3, size, size)
    assert whole.std() == pytest.approx(1, abs=0.01)
    assert abs(whole.mean()) < 0.005
    flat = whole[0, 0].ravel()
    assert abs(np.mean(flat[1:] * flat[:-1])) < 0.01
    assert abs(np.mean(whole[0, 0] * whole[0, 1])) < 0.01
    part = unit_noise(Window(500, 530, 40, 700), 3)
    np.testing.assert_array_equal(part, whole[:, :, 500:530, 40:700])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_only_what_lacks_is_added(dtype):
    white = np.random.default_rng(0).normal(0.5, 12 / 255, (200, 200, 1))
    unit = 1 if dtype == np.float32 else np.iinfo(dtype).max
    own = noise_level_255((np.rint(white * unit) if unit > 1 else white).astype(dtype))
    assert 255 * steer(own, 20).added == pytest.approx(16, rel=0.03)
    assert steer(own, 20).share == 1
    assert steer(own, 6).added == 0
    assert steer(own, 6).share == pytest.approx(0.5, rel=0.03)


def test_both_signs_of_the_noise_are_heard():
    """A network that only looks at the picture's brightness would be wrong with either alone."""

    class Squares:
        channels, needs_sigma = 1, False

        def run(self, x_nchw, sigma=None):
            return x_nchw + x_nchw**2

    page, window = np.full((64, 64, 1), 0.25, np.float32), Window(0, 64, 0, 64)
    told = steer(0, 25.5)
    answer = told.run(Squares(), page.reshape(1, 1, 64, 64), window)
    noise = told.added * unit_noise(window, 1)
    np.testing.assert_allclose(answer, 0.25 + 0.25**2 + noise**2, rtol=1e-5)


def test_a_net_that_took_grain_for_detail_takes_it_out_when_told():
    clean = step(1)
    noisy = grainy(clean, 20)
    denoiser = Denoiser("degrain-gray", threads=1)
    blind, told = error_255(denoiser(noisy), clean), error_255(denoiser(noisy, sigma=20), clean)
    assert blind > 12
    assert told < 0.75 * blind
    more = error_255(denoiser(noisy, sigma=40), clean)
    assert more < told


@pytest.mark.parametrize("model", ["auto", "degrain-color", "degrain-color-fast"])
def test_color_nets_obey_too(model):
    clean = step(3)
    noisy = grainy(clean, 10)
    denoiser = Denoiser(model, threads=1)
    errors = [error_255(denoiser(noisy, sigma=sigma), clean) for sigma in (0.1, 10, 20, 30)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.6 * errors[0]


def test_auto_told_a_level_takes_a_network_that_believes_it():
    page = np.rint(255 * np.clip(grainy(step(3), 10), 0, 1)).astype(np.uint8)
    denoiser = Denoiser(threads=1)
    assert denoiser.choose(page).model == "degrain-photo"
    assert denoiser.choose(page, sigma=20).model == "degrain-color"
    assert denoiser.choose(page[..., :1], sigma=20).model == "degrain-gray"
    fast = Denoiser("fast", threads=1)
    assert fast.choose(page).model == "degrain-photo-fast"
    assert fast.choose(page, sigma=20).model == "degrain-color-fast"
    assert fast.choose(page[..., :1], sigma=20).model == "degrain-gray-fast"
    color = Denoiser("degrain-color", threads=1)
    np.testing.assert_array_equal(denoiser(page, sigma=20), color(page, sigma=20))


def test_any_network_can_be_told():
    clean = step(1)
    noisy = grainy(clean, 20)
    cnblind = Denoiser("jain-seung-cnblind", threads=1)
    blind, told = error_255(cnblind(noisy), clean), error_255(cnblind(noisy, sigma=30), clean)
    assert told < 0.95 * blind


def test_the_true_level_of_white_noise_changes_little():
    clean = step(3)
    noisy = clean + np.random.default_rng(1).normal(0, 20 / 255, clean.shape).astype(np.float32)
    denoiser = Denoiser("degrain-photo", threads=1)
    blind = error_255(denoiser(noisy), clean)
    assert error_255(denoiser(noisy, sigma=20), clean) < 1.05 * blind


@pytest.mark.parametrize("name", ["degrain-gray", "degrain-color"])
def test_a_lower_level_makes_more_careful(name):
    clean = step(NETS[name])
    noisy = clean + np.random.default_rng(1).normal(0, 20 / 255, clean.shape).astype(np.float32)
    denoiser = Denoiser(name, threads=1)
    removed = [error_255(noisy, denoiser(noisy, sigma=sigma)) for sigma in (0, 10, 20)]
    assert removed == sorted(removed)
    assert removed[0] < removed[2] - 2


def test_gray_levels_mean_the_same_at_every_depth():
    floats = np.clip(grainy(step(1), 15), 0, 1)
    denoiser = Denoiser("degrain-gray", threads=1)
    expected = denoiser(floats, sigma=15)
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        told = denoiser(np.rint(floats * white).astype(dtype), sigma=15) / white
        assert np.abs(told - np.clip(expected, 0, 1)).mean() < 0.003
    assert np.abs(expected - denoiser(floats)).mean() > 0.01


def test_tiles_stay_exact():
    noisy = grainy(step(1, (500, 610)), 20)
    whole = Denoiser("degrain-gray", threads=1)(noisy, sigma=25)
    steps = []
    tiled = Denoiser("degrain-gray", threads=1, memory_mb=185)(
        noisy, sigma=25, on_progress=steps.append
    )
    assert len(steps) > 3
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_every_way_in_takes_sigma(tmp_path):
    image = np.rint(255 * np.clip(grainy(step(1), 15), 0, 1)).astype(np.uint8)
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    files.write(Picture(pages=(image, image[:, ::-1])), source)
    denoiser = Denoiser("degrain-gray", threads=1)
    expected = degrain.denoise(image, model="degrain-gray", sigma=15, threads=1)
    assert (expected != denoiser(image)).any()
    pages = denoiser.file(source, target, sigma=15).pages
    np.testing.assert_array_equal(pages[0], expected)
    np.testing.assert_array_equal(pages[1], denoiser(image[:, ::-1], sigma=15))
    words = ["denoise", str(source), "-o", str(target), "--overwrite", "--sigma", "15", "--quiet"]
    assert main([*words, "--threads", "1"]) == 0
    np.testing.assert_array_equal(files.read(target).pages[0], expected)
    np.testing.assert_array_equal(denoiser(image, sigma=15, strength=0), image)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7, 3), (1, 50), (61, 45, 4)])
def test_any_size(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    clean = Denoiser(threads=1)(image, sigma=20)
    assert (clean.shape, clean.dtype) == (image.shape, image.dtype)


@pytest.mark.parametrize("sigma", [-1, 256, float("nan"), float("inf")])
def test_impossible_levels(sigma, tmp_path, capsys):
    with pytest.raises(UsageError, match="0 to 255"):
        Denoiser()(np.zeros((4, 4), np.uint8), sigma=sigma)
    files.write(Picture(pages=(np.zeros((4, 4, 1), np.uint8),)), tmp_path / "a.png")
    assert main(["denoise", str(tmp_path / "a.png"), f"--sigma={sigma}"]) == 2
    assert "0 to 255" in capsys.readouterr().err
    assert not (tmp_path / "a.denoised.png").exists()
