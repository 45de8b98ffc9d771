"""The self-check: numbers that mean what they say, warnings where they belong and only there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from degrain import files
from degrain.check import check, out_of_range
from degrain.cli import main
from degrain.denoise import Denoiser
from degrain.errors import PictureError
from degrain.picture import Picture
from degrain.zoo.card import ModelCard
from degrain.zoo.store import load_model

FIELDS = {
    "noise_before",
    "noise_after",
    "coarse_noise_before",
    "coarse_noise_after",
    "removed",
    "residual_correlation",
}


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.delenv("DEGRAIN_MODELS", raising=False)


def card(noise):
    return ModelCard("some-net", "", 1, 0, 1, "", "", noise=noise)


def scene(channels=1, size=(200, 220)):
    """Flat parts, ramps and edges, 0..255."""
    y, x = np.mgrid[: size[0], : size[1]]
    plane = 70 + x / 4 + 60 * (np.hypot(y - 90, x - 100) < 60)
    return np.repeat(plane[..., None], channels, axis=2)


def white(clean, sigma, seed=0):
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)


def coarse(clean, sigma, seed=0):
    """Noise smoothed with 1 2 1 along rows and columns, then of this level."""
    noise = np.random.default_rng(seed).normal(0, 1, clean.shape)
    for axis in (0, 1):
        noise = np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)
    return clean + sigma * noise / noise.std()


def to_8_bits(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


# ---- the numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "scale"), [("uint8", 1), ("uint16", 257), ("float32", 1 / 255), ("float64", 1 / 255)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_levels_are_gray_levels_at_every_depth(dtype, scale, channels):
    clean = scene(channels)
    before, after = (((p * scale).round() if "int" in dtype else p * scale) for p in
                     (white(clean, 12), white(clean, 2, seed=1)))  # fmt: skip
    found = check(before.astype(dtype), after.astype(dtype))
    assert found.noise_before == pytest.approx([12] * channels, rel=0.1)
    assert found.noise_after == pytest.approx([2] * channels, rel=0.2)
    assert found.coarse_noise_before == pytest.approx(12, rel=0.15)
    assert found.removed == pytest.approx(np.hypot(12, 2), rel=0.03)
    assert found.residual_correlation == pytest.approx(0, abs=0.03)
    assert found.warning is None


def test_correlation_has_a_sign_and_limits():
    flat = np.full((96, 96), 0.5)
    noise = np.random.default_rng(0).normal(0, 0.05, (97, 97))
    mean = (noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]) / 4
    assert check(flat + mean, flat).residual_correlation == pytest.approx(0.5, abs=0.04)
    board = 0.1 * (-1.0) ** np.add.outer(np.arange(96), np.arange(96))
    assert check(flat + board, flat).residual_correlation == pytest.approx(-1, abs=0.02)
    ramp = np.tile(np.linspace(0, 1, 96), (96, 1))
    assert 0.9 < check(flat + ramp, flat).residual_correlation <= 1
    assert check(flat, flat).residual_correlation is None


def test_alpha_is_left_out():
    before, after = to_8_bits(white(scene(3), 15)), to_8_bits(scene(3))
    alphas = [np.random.default_rng(k).integers(0, 256, (200, 220, 1), np.uint8) for k in (1, 2)]
    with_alpha = [
        np.concatenate(pair, axis=2) for pair in zip((before, after), alphas, strict=True)
    ]
    assert check(*with_alpha) == check(before, after)


def test_of_large_pictures_windows_are_taken():
    before = to_8_bits(np.random.default_rng(0).normal(128, 20, (1500, 1600, 1)))
    after = np.full_like(before, 128)
    found = check(before, after)
    assert found.removed == pytest.approx(20, rel=0.02)
    assert found.coarse_noise_before == pytest.approx(20, rel=0.1)
    assert abs(found.residual_correlation) < 0.02


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2, 3), (5, 300000)])
def test_any_size(shape):
    before = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = check(before, before // 2, card=card("gaussian:0-1"))
    assert len(found.noise_before) == (3 if len(shape) == 3 else 1)
    assert (found.coarse_noise_after is None) == (min(shape[:2]) == 1)
    assert (found.residual_correlation is None) == (shape == (1, 1))


def test_what_does_not_belong_together_is_refused():
    image = np.zeros((8, 8), np.uint8)
    for other in (image[:4], image.astype(np.uint16)):
        with pytest.raises(PictureError, match="input and output"):
            check(image, other)
    with pytest.raises(PictureError):
        check(np.zeros(8), np.zeros(8))


# ---- the warnings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "inside", "outside"),
    [
        ("gaussian:0-55", [0, 25, 60], [64, 100]),
        ("gaussian:25", [22, 25, 28], [1, 21, 30]),
        ("camera", [0, 60], [64]),
        ("poisson:30", [0, 200], []),
        ("", [0, 200], []),
    ],
)
def test_the_range_is_that_of_the_card(spec, inside, outside):
    assert [out_of_range(level, (64, 64), card(spec)) for level in inside] == [None] * len(inside)
    for level in outside:
        said = out_of_range(level, (64, 64), card(spec))
        assert f"({level})" in said
        assert "some-net" in said
        assert out_of_range(level, (63, 64), card(spec)) is None


@pytest.mark.parametrize(("name", "channels"), [("degrain-gray", 1), ("degrain-photo", 3)])
@pytest.mark.parametrize("sigma", [0, 5, 25, 50])
def test_ordinary_pictures_do_not_warn(name, channels, sigma):
    noisy = to_8_bits(white(scene(channels), sigma))
    model = load_model(name)
    clean = Denoiser(name, threads=1)(noisy)
    assert check(noisy, clean, card=model).warning is None
    # half a result leaves half of the noise, as it was asked to
    half = Denoiser(name, threads=1)(noisy, strength=0.5)
    assert check(noisy, half, card=model, strength=0.5).warning is None


def test_coarse_noise_that_is_left_warns_until_the_net_is_told():
    noisy = to_8_bits(coarse(scene(), 20))
    denoiser, model = Denoiser("degrain-gray", threads=1), load_model("degrain-gray")
    found = check(noisy, denoiser(noisy), card=model)
    assert "Noise seems to be left" in found.warning
    assert found.coarse_noise_after > 0.5 * found.coarse_noise_before > 8
    assert check(noisy, noisy, card=model, strength=0).warning is None
    told = check(noisy, denoiser(noisy, sigma=40), card=model, sigma=40)
    assert told.coarse_noise_after < 0.5 * found.coarse_noise_after
    assert told.warning is None


@pytest.mark.parametrize("sigma", [0, 0.01, 10])
def test_noise_that_was_to_be_left_is_no_reason_to_warn(sigma):
    noisy = to_8_bits(white(scene(), 25))
    model = load_model("degrain-gray")
    clean = Denoiser("degrain-gray", threads=1)(noisy, sigma=sigma)
    assert check(noisy, clean, card=model, sigma=sigma).warning is None
    assert check(noisy, clean, card=model).warning is not None


def test_structure_that_is_taken_warns_where_only_white_noise_is_known():
    clean = scene()
    noisy = white(clean, 5)
    blurred = sum(np.roll(clean, (i, j), (0, 1)) for i in range(9) for j in range(9)) / 81
    pictures = to_8_bits(noisy), to_8_bits(blurred)
    found = check(*pictures, card=card("gaussian:0-55"))
    assert found.residual_correlation > 0.3
    assert "What was taken out" in found.warning
    assert check(*pictures, card=card("camera")).warning is None


# ---- the command ----------------------------------------------------------------------------


def denoise(path, capsys, *more):
    """Exit code 0, the JSON line and standard error."""
    words = ["denoise", str(path), "--threads", "1", "--json", *more]
    assert main(words) == 0
    said = capsys.readouterr()
    (row,) = map(json.loads, said.out.splitlines())
    return row, said.err


def write(path, *pages):
    files.write(Picture(pages=pages), path)
    return path


def test_json_has_the_check_and_far_noise_warns(tmp_path, capsys):
    path = write(tmp_path / "far.png", to_8_bits(white(scene(3), 120)))
    row, err = denoise(path, capsys)
    assert set(row["check"]) == FIELDS
    assert len(row["check"]["noise_before"]) == 3
    assert min(row["check"]["noise_before"]) > 63
    assert max(row["check"]["noise_after"]) < 5
    assert row["check"]["removed"] > 50
    assert "out of the range of degrain-color" in row["warning"]
    assert err == f"degrain: warning: {path}: {row['warning']}\n"
    row, err = denoise(path, capsys, "--overwrite", "--quiet")
    assert "out of the range" in row["warning"]
    assert err == ""
    row, err = denoise(path, capsys, "--overwrite", "--strength", "0")
    assert (row["warning"], err) == (None, "")
    assert row["check"]["residual_correlation"] is None
    assert row["check"]["removed"] == 0


def test_far_noise_warns_people_too(tmp_path, capsys):
    path = write(tmp_path / "far.png", to_8_bits(white(scene(1), 120)))
    assert main(["denoise", str(path), "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "noise " in said.out
    assert "warning" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("suffix", "pages"),
    [
        (".png", [to_8_bits(white(scene(1), 10))]),
        (".png", [to_8_bits(white(scene(3), 10))]),
        (".png", [to_8_bits(white(scene(3), 10)).astype(np.uint16) * 257]),
        (".tif", [(white(scene(1), 10) / 255).astype(np.float32)]),
        (".tif", [to_8_bits(white(scene(1), 10)), to_8_bits(scene(1))]),
        (".png", [np.full((1, 1, 1), 90, np.uint8)]),
    ],
    ids=["gray", "color", "16 bits", "floats", "two pages", "one pixel"],
)
def test_every_kind_of_picture_has_a_check_and_no_warning(tmp_path, capsys, suffix, pages):
    row, err = denoise(write(tmp_path / f"a{suffix}", *pages), capsys)
    assert set(row["check"]) == FIELDS
    assert (row["warning"], err) == (None, "")
    if pages[0].size > 1:
        assert row["check"]["noise_before"] == pytest.approx([10] * pages[0].shape[2], rel=0.15)
        assert max(row["check"]["noise_after"]) < 2
        assert -0.3 < row["check"]["residual_correlation"] < 0.1


def test_files_that_were_not_denoised_have_none(tmp_path, capsys):
    path = write(tmp_path / "a.png", to_8_bits(scene(1)))
    row, _ = denoise(path, capsys, "--dry-run")
    assert (row["status"], row["check"], row["warning"]) == ("todo", None, None)


def test_without_json_nobody_pays(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("degrain.check.check", fail)
    path = write(tmp_path / "a.png", to_8_bits(scene(1)))
    assert main(["denoise", str(path), "--threads", "1", "--quiet"]) == 0


def test_a_color_network_of_white_noise_is_not_for_gray() -> None:
    color = replace(card("gaussian:0-55"), channels=3)
    gray, camera = replace(color, channels=1), replace(color, noise="camera")
    assert "is for color" in (out_of_range(20, (90, 90, 1), color) or "")
    assert not out_of_range(20, (90, 90, 3), color)
    assert not out_of_range(20, (90, 90, 1), gray)
    assert not out_of_range(20, (90, 90, 1), camera)
