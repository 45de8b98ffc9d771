"""A blind net told the noise level: the same file, one input more, and it pays where it should."""

from __future__ import annotations

import numpy as np
import pytest

import degrain
from degrain import files
from degrain.cli import main
from degrain.denoise import Denoiser
from degrain.engines.onnx import OnnxEngine
from degrain.engines.steering import EXCESS, steered, with_excess
from degrain.errors import UsageError
from degrain.picture import Picture
from degrain.zoo.store import load_model

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
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


@pytest.mark.parametrize(("name", "channels"), NETS.items())
def test_the_steered_file_is_a_valid_model_and_excess_zero_changes_nothing(name, channels):
    card = load_model(name)
    model = onnx.load_from_string(with_excess(card.path.read_bytes()))
    onnx.checker.check_model(model)
    assert [item.name for item in model.graph.input][1:] == [EXCESS]
    before = onnx.load(str(card.path)).graph
    assert model.graph.initializer == before.initializer
    assert len(model.graph.node) == len(before.node) + 4
    x = grainy(step(channels), 25).transpose(2, 0, 1)[None].copy()
    blind = OnnxEngine(card.path, threads=1).run(x)
    engine = steered(card, threads=1)
    assert (engine.channels, engine.needs_sigma, engine.excess) == (channels, False, 0.0)
    np.testing.assert_allclose(engine.run(x), blind, atol=1e-6)


def test_a_net_that_took_grain_for_detail_takes_it_out_when_told():
    clean = step(1)
    noisy = grainy(clean, 20)
    denoiser = Denoiser("degrain-gray", threads=1)
    blind, told = error_255(denoiser(noisy), clean), error_255(denoiser(noisy, sigma=20), clean)
    assert blind > 12
    assert told < 0.8 * blind


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


def test_models_without_a_map_of_the_noise_are_refused():
    noisy = np.zeros((8, 8), np.float32)
    with pytest.raises(UsageError, match=r"jain-seung-cnblind cannot be told.*degrain-gray"):
        Denoiser("jain-seung-cnblind")(noisy, sigma=20)

    class Engine:
        channels, needs_sigma = 1, False

        def run(self, x_nchw, sigma=None):
            return x_nchw

    denoiser = Denoiser.from_engine(load_model("degrain-gray"), Engine())
    with pytest.raises(UsageError, match="cannot be told"):
        denoiser(noisy, sigma=20)


@pytest.mark.parametrize("typed", [False, True])
def test_the_factor_is_found_however_it_is_stored(typed):
    """As raw bytes or as a list of floats; and not if two nodes could be meant."""
    factor = (
        helper.make_tensor("f", onnx.TensorProto.FLOAT, [], [1.2533])
        if typed
        else numpy_helper.from_array(np.float32(1.2533), "f")
    )
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "xy"]
    nodes = [helper.make_node("Mul", ["x", "f"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [factor])
    assert with_excess(helper.make_model(graph).SerializeToString()) is not None
    twice = [helper.make_node("Mul", ["x", "f"], ["z"]), helper.make_node("Mul", ["z", "f"], ["y"])]
    graph = helper.make_graph(twice, "g", ends[:1], ends[1:], [factor])
    assert with_excess(helper.make_model(graph).SerializeToString()) is None
