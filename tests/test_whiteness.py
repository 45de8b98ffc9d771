"""White noise or coarse noise, and which network "auto" takes for a gray picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from degrain import Denoiser, files
from degrain.cli import main
from degrain.picture import Picture
from degrain.whiteness import noise_is_white
from pictures import vips_image

SHAPE = (160, 176)


def scene():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 110 + 40 * np.sin(x / 25) + 30 * np.cos(y / 31) + 25 * (x > 90)


def smoothed(pixels):
    """Means of every pixel and its neighbors, weighted 1 : 2 : 1 along both axes."""
    for axis in (0, 1):
        pixels = (np.roll(pixels, 1, axis) + 2 * pixels + np.roll(pixels, -1, axis)) / 4
    return pixels


def noise(sigma, coarse=False, seed=0, shape=SHAPE):
    """Gaussian noise of this standard deviation, white or smoothed."""
    found = np.random.default_rng(seed).standard_normal(shape)
    found = smoothed(found) if coarse else found
    return sigma * found / found.std()


def page(sigma, coarse=False, dtype=np.uint8, seed=0):
    gray = scene() + noise(sigma, coarse, seed)
    if dtype == np.float32:
        return (gray / 255).astype(dtype)[..., None]
    unit = 257 if dtype == np.uint16 else 1
    return np.clip(np.rint(gray * unit), 0, 255 * unit).astype(dtype)[..., None]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("sigma", [3, 10, 40])
def test_white_noise_is_white_and_smoothed_noise_is_not(dtype, sigma):
    assert noise_is_white(page(sigma, dtype=dtype))
    assert not noise_is_white(page(sigma, coarse=True, dtype=dtype))


def test_where_there_is_no_noise_nothing_speaks_against_white():
    assert noise_is_white(np.full((100, 100, 1), 7, np.uint8))
    assert noise_is_white(np.zeros((100, 100, 3), np.float32))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9000, 1), (9000, 1, 1), (30, 40, 1)])
def test_pictures_too_small_or_thin_to_tell_count_as_white(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert noise_is_white(pixels)


def test_large_pictures_are_judged_by_parts():
    for coarse in (False, True):
        grain = noise(9, coarse, shape=(1500, 1400))
        large = np.clip(128 + grain, 0, 255).astype(np.uint8)[..., None]
        assert noise_is_white(large) is not coarse


@pytest.mark.parametrize(("coarse", "model"), [(False, "degrain-gray"), (True, "degrain-photo")])
def test_auto_takes_the_network_that_knows_the_noise_of_a_gray_picture(coarse, model):
    pixels = page(8, coarse)
    denoiser = Denoiser(threads=1)
    assert denoiser.choose(pixels).model == model
    np.testing.assert_array_equal(denoiser(pixels), Denoiser(model, threads=1)(pixels))


def test_coarse_gray_noise_is_taken_out():
    clean, pixels = scene(), page(8, coarse=True)
    left = {model: Denoiser(model, threads=1)(pixels)[..., 0] - clean for model in MODELS}
    assert left["auto"].std() < 0.6 * left["degrain-gray"].std()


MODELS = ("auto", "degrain-gray")


@pytest.mark.parametrize("model", ["degrain-gray", "fast", "degrain-color"])
def test_only_auto_chooses(model):
    wanted = Denoiser(model).model_name(1)
    assert Denoiser(model).choose(page(8, coarse=True)).model == wanted


def test_color_is_not_asked():
    color = np.repeat(page(8), 3, axis=2)
    assert Denoiser().choose(color).model == "degrain-photo"


def test_every_page_gets_its_own_network():
    pages = (page(8), page(8, coarse=True), page(8, seed=1))
    denoised = Denoiser(threads=1).picture(Picture(pages)).pages
    for pixels, found, model in zip(
        pages, denoised, ("degrain-gray", "degrain-photo", "degrain-gray"), strict=True
    ):
        np.testing.assert_array_equal(found, Denoiser(model, threads=1)(pixels))


@pytest.mark.parametrize(("coarse", "model"), [(False, "degrain-gray"), (True, "degrain-photo")])
def test_the_command_says_which_network_it_took(coarse, model, tmp_path, capsys):
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    vips_image(page(8, coarse)[..., 0]).write_to_file(str(source))
    assert main(["denoise", str(source), "-o", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == model
    expected = Denoiser(model)(page(8, coarse))
    np.testing.assert_array_equal(files.read(target).pages[0], expected)
