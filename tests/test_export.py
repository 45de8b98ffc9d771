"""Export: torch = ONNX, names kept, weights load back, cards measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from degrain.bench import cost as bench_cost
from degrain.bench.kernels import kernel_tensors, load_graph
from degrain.engines.onnx import OnnxEngine
from degrain.nets.unet import UNet
from degrain.train.body import read_body
from degrain.train.describe import count_macs, describe
from degrain.train.onnx_file import read_weights, rounded, write_onnx
from degrain.zoo.card import ModelCard, write_card
from small_unet import small


@pytest.fixture(scope="module")
def exported(small_exports) -> dict[int, tuple[UNet, Path, ModelCard]]:
    result = {}
    for channels, (net, path) in small_exports.items():
        card = describe(net, path, channels)
        write_card(card, path.with_suffix(".toml"))
        result[channels] = (net, path, card)
    return result


def test_the_file_does_not_tell_where_its_code_came_from(exported) -> None:
    _, path, _ = exported[1]
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 3), (1, 1, 50), (3, 32, 48), (1, 61, 45)])
def test_torch_equals_onnx(exported, channels: int, shape: tuple[int, int, int]) -> None:
    net, path, _ = exported[channels]
    x = np.random.default_rng(0).random((shape[0], channels, *shape[1:]), dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    if x.size > 100:
        assert np.abs(expected - x).max() > 1e-3
    np.testing.assert_allclose(OnnxEngine(path).run(x), expected, atol=2e-6)


def test_initializers_carry_the_state_dict(exported) -> None:
    net, path, _ = exported[1]
    stored = read_weights(path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(stored[name], tensor)


@pytest.fixture(scope="module")
def halved(tmp_path_factory) -> tuple[UNet, Path, Path]:
    """A color net, its file, and its file in half precision."""
    net, folder = small(3), tmp_path_factory.mktemp("halved")
    paths = folder / "whole.onnx", folder / "half.onnx"
    for path, half in zip(paths, (False, True), strict=True):
        write_onnx(net, path, 3, half=half)
    return net, *paths


def test_half_precision_takes_half_the_file(halved) -> None:
    net, whole, half = halved
    saved = whole.stat().st_size - half.stat().st_size
    weights = sum(weight.numel() for weight in net.parameters())
    assert saved == pytest.approx(2 * weights, rel=0.15)  # the nodes that widen take some bytes


def test_weights_of_half_precision_are_read_as_floats(halved) -> None:
    net, _, half = halved
    stored = read_weights(half)
    for name, tensor in net.state_dict().items():
        assert torch.equal(stored[name], tensor.half().float())
        assert stored[name].dtype == torch.float32


def test_half_precision_computes_in_floats_with_rounded_weights(halved) -> None:
    net, whole, half = halved
    x = np.random.default_rng(0).random((1, 3, 61, 45), dtype=np.float32)
    with torch.no_grad():
        expected = rounded(net)(torch.from_numpy(x)).numpy()
    for fused in (True, False):
        found = OnnxEngine(half, fused=fused).run(x)
        np.testing.assert_allclose(found, expected, atol=2e-6)
    change = np.abs(expected - OnnxEngine(whole).run(x)).max()
    assert 0 < change < 1e-2 * np.abs(expected - x).max()


def test_half_precision_is_counted_drawn_and_quantized_like_floats(halved) -> None:
    net, whole, half = halved
    assert bench_cost.count_macs(half) == bench_cost.count_macs(whole)
    kernels = [kernel_tensors(load_graph(path)) for path in (whole, half)]
    assert kernels[0].keys() == kernels[1].keys()
    for name in kernels[0].keys() & net.state_dict().keys():
        np.testing.assert_array_equal(kernels[1][name], kernels[0][name].astype(np.float16))
    bodies = [read_body(path) for path in (whole, half)]
    assert bodies[0].weights.keys() == bodies[1].weights.keys()
    assert bodies[0].inner == bodies[1].inner


def test_the_file_has_what_onnx_runtime_is_fast_at(exported) -> None:
    """Its quick average pooling serves ONNX up to 18, and its own shuffle is slow at full size."""
    import onnx

    model = onnx.load(str(exported[1][1]))
    assert [item.version for item in model.opset_import if not item.domain] == [18]
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("AveragePool") == 2
    assert kinds.count("DepthToSpace") == 1  # of the first kernel, once on loading


def test_card_is_measured(exported) -> None:
    net, _, card = exported[1]
    assert card.multiple_of == 4
    # Half resolution: window, head, encoder, decoder, tail; then the quarter; then the 2×2 grids.
    assert card.halo == 2 * (8 + 1 + 2 + 2 + 1) + 4 * 2 + 1 + 2
    assert card.parameters == sum(weight.numel() for weight in net.parameters())
    # Reach-free layers by hand: head and tail at half resolution, blocks at their own.
    by_hand = (9 * 5 * 8 + 9 * 8 * 4) / 4 + 4 * 9 * 64 / 4 + 2 * (4 * 8 * 12 + 9 * 144) / 16
    assert count_macs(net, 1) == round(by_hand)
    assert card.memory_bytes_per_pixel >= 64
