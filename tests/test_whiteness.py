"""White noise or coarse noise, and which network "auto" takes for a gray picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from degrain import Denoiser, files
from degrain.cli import main
from degrain.picture import Picture
from degrain.whiteness import channels_are_independent, noise_is_white
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


@pytest.mark.parametrize("model", ["degrain-gray", "degrain-color"])
def test_a_network_that_is_named_is_taken(model):
    assert Denoiser(model).choose(page(8, coarse=True)).model == model


def test_the_small_ones_are_chosen_alike():
    fast = Denoiser("fast")
    assert fast.choose(page(8)).model == "degrain-gray-fast"
    assert fast.choose(page(8, coarse=True)).model == "degrain-photo-fast"


def in_color(sigma, coarse=False, seeds=(0, 1, 2), dtype=np.uint8):
    """A color picture; channels of the same seed have the same noise."""
    return np.concatenate([page(sigma, coarse, dtype, seed) for seed in seeds], axis=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("sigma", [3, 10, 40])
def test_noise_of_every_channels_own_is_told_from_shared_noise(dtype, sigma):
    assert channels_are_independent(in_color(sigma, dtype=dtype))
    assert not channels_are_independent(in_color(sigma, seeds=(0, 1, 1), dtype=dtype))


def test_large_pictures_are_asked_by_parts():
    grain = [noise(9, seed=seed, shape=(1500, 1400)) for seed in range(3)]
    for layers in (grain, [grain[0]] * 3):
        large = np.clip(128 + np.stack(layers, axis=2), 0, 255).astype(np.uint8)
        assert channels_are_independent(large) is (layers is grain)


@pytest.mark.parametrize("shape", [(1, 1, 3), (30, 40, 3)])
def test_where_nothing_can_be_told_a_color_picture_is_a_photograph(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for picture in (pixels, np.full((100, 100, 3), 7, np.uint8)):
        assert not channels_are_independent(picture)
        assert Denoiser().choose(picture).model == "degrain-photo"


@pytest.mark.parametrize(
    ("coarse", "seeds", "kind"),
    [(False, (0, 1, 2), "color"), (True, (0, 1, 2), "photo"), (False, (0, 0, 0), "photo")],
)
def test_white_noise_in_color_goes_to_the_network_that_knows_no_other(coarse, seeds, kind):
    pixels = in_color(8, coarse, seeds)
    assert Denoiser().choose(pixels).model == f"degrain-{kind}"
    assert Denoiser("fast").choose(pixels).model == f"degrain-{kind}-fast"


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
