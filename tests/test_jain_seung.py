"""Jain & Seung's network: numbers of the paper, wiring, border, receptive field."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from degrain.engines.onnx import OnnxEngine
from degrain.nets.jain_seung_2008 import ConvolutionalNetwork, SparseLogisticLayer
from degrain.train.describe import describe
from degrain.train.onnx_file import read_weights, write_onnx
from degrain.zoo.card import ModelCard


def parameters(net: torch.nn.Module) -> int:
    return sum(param.numel() for param in net.parameters())


def trained(net: ConvolutionalNetwork, steps: int = 3) -> ConvolutionalNetwork:
    """A few steps towards the identity, so that every weight has moved."""
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for seed in range(steps):
        x = torch.rand(1, net.channels, 24, 24, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, tuple[ConvolutionalNetwork, Path, ModelCard]]:
    folder = tmp_path_factory.mktemp("exported")
    result = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("degrain.train.describe.measure_memory", lambda *_: 64)  # takes seconds
        for hidden in (4, 5):
            torch.manual_seed(0)
            net, path = trained(ConvolutionalNetwork(hidden=hidden)), folder / f"{hidden}.onnx"
            write_onnx(net, path, 1)
            result[hidden] = (net, path, describe(net, path, 1))
    return result


def test_the_papers_numbers() -> None:
    assert parameters(ConvolutionalNetwork()) == 15_697
    assert ConvolutionalNetwork().convolutions == 624
    assert parameters(ConvolutionalNetwork(hidden=5)) == 15_697 + 24 * 8 * 25 + 24
    color = ConvolutionalNetwork(channels=3)
    assert parameters(color) == 15_697 + 2 * (24 * 25) + 2 * (24 * 25 + 1)


def test_every_map_sees_eight_different_ones() -> None:
    for layer in ConvolutionalNetwork().inner:
        seen = [set(row) for row in layer.index.tolist()]
        assert all(len(maps) == 8 and maps <= set(range(24)) for maps in seen)
        kernel = layer.kernel()
        assert kernel.shape == (24, 24, 5, 5)
        for row, maps in zip(kernel.abs().sum((2, 3)), seen, strict=True):
            assert set(row.nonzero().flatten().tolist()) == maps


def test_the_seed_decides_the_wiring_and_depth_does_not() -> None:
    four, five, other = (
        ConvolutionalNetwork(**options) for options in ({}, {"hidden": 5}, {"seed": 1})
    )
    for a, b, c in zip(four.inner, five.inner, other.inner, strict=False):
        assert torch.equal(a.index, b.index)
        assert not torch.equal(a.index, c.index)
    assert not torch.equal(four.inner[0].index, four.inner[1].index)


def test_training_keeps_the_wiring() -> None:
    net = ConvolutionalNetwork()
    before = [layer.kernel().detach().clone() for layer in net.inner]
    wiring = [layer.index.clone() for layer in net.inner]
    trained(net)
    for layer, kernel, index in zip(net.inner, before, wiring, strict=True):
        assert torch.equal(layer.index, index)
        assert torch.equal(layer.kernel() != 0, kernel != 0)
        assert not torch.equal(layer.kernel(), kernel)


def test_a_unit_is_logistic_of_a_sum_over_its_maps() -> None:
    """One unit of the second layer by hand."""
    torch.manual_seed(0)
    layer = ConvolutionalNetwork().inner[0]
    assert isinstance(layer, SparseLogisticLayer)
    y = torch.rand(1, 24, 5, 5)
    unit = 7
    total = layer.bias[unit] + sum(
        (layer.weight[unit, k] * y[0, source]).sum()
        for k, source in enumerate(layer.index[unit].tolist())
    )
    torch.testing.assert_close(layer(y)[0, unit, 0, 0], torch.sigmoid(total))


def test_first_sums_lie_where_the_units_are_nearly_linear() -> None:
    """Input like a picture's: smooth, 0..1. No map may be stuck at 0 or 1."""
    torch.manual_seed(0)
    y = functional.interpolate(torch.rand(4, 1, 12, 12), scale_factor=6, mode="bilinear")
    with torch.no_grad():
        for layer in ConvolutionalNetwork().layers[:-1]:
            y = layer(y)
            assert ((y > 0.02) & (y < 0.98)).float().mean() > 0.99
            assert 0.05 < y.std() < 0.35


def test_the_picture_is_surrounded_by_minus_one() -> None:
    net = ConvolutionalNetwork(hidden=2).eval()
    x = torch.rand(1, 1, 9, 11)
    with torch.no_grad():
        by_hand = {
            value: net(functional.pad(x, (6,) * 4, value=value), surrounded=True)
            for value in (-1.0, 0.0)
        }
        assert torch.equal(net(x), by_hand[-1.0])
        assert (net(x) - by_hand[0.0]).abs().max() > 1e-3


@pytest.mark.parametrize("surrounded", [False, True])
@pytest.mark.parametrize(("height", "width"), [(41, 33), (30, 34), (21, 22)])
@pytest.mark.parametrize(("channels", "hidden"), [(1, 4), (3, 5), (1, 1)])
def test_the_exported_form_is_the_same_function(
    channels: int, hidden: int, height: int, width: int, surrounded: bool
) -> None:
    """Two columns at once, also where their number is odd."""
    net = ConvolutionalNetwork(channels=channels, hidden=hidden).eval()
    margin = 2 * net.border_px if surrounded else 0
    x = torch.rand(2, channels, height + margin, width + margin)
    with torch.no_grad():
        whole, pairs = net(x, surrounded), net.for_export()(x, surrounded)
    assert pairs.shape == (2, channels, height, width)
    torch.testing.assert_close(pairs, whole, atol=5e-6, rtol=0)


@pytest.mark.parametrize(("hidden", "reach"), [(4, 10), (5, 12)])
def test_receptive_field_measured_on_the_exported_file(exported, hidden: int, reach: int) -> None:
    """21×21 pixels for CN1 and CN2, 25×25 for CNBlind."""
    net, _, card = exported[hidden]
    assert net.border_px == reach
    assert (card.halo, card.multiple_of) == (reach, 1)


def test_export_keeps_wiring_and_weights(exported) -> None:
    net, path, _ = exported[4]
    stored = read_weights(path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(stored[name], tensor), name
    assert stored["inner.0.index"].shape == (24, 8)


@pytest.mark.parametrize("shape", [(1, 1), (7, 30), (48, 33)])
def test_exported_file_computes_the_same(exported, shape: tuple[int, int]) -> None:
    net, path, _ = exported[4]
    x = torch.rand(2, 1, *shape)
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(OnnxEngine(path).run(x.numpy()), expected, atol=2e-6)


def test_loading_folds_the_kernels_to_624_dense_convolutions(exported, tmp_path: Path) -> None:
    """What ONNX Runtime runs is five plain convolutions; nothing is left of scattering kernels.

    Of two columns at once: a map is two channels, so each kernel stands there four times, those
    that see the picture, which is not divided, twice.
    """
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    _, path, _ = exported[4]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "folded.onnx").graph
    counts = Counter(node.op_type for node in graph.node)
    assert (counts["Conv"], counts["Pad"], counts["Sigmoid"]) == (5, 1, 5)
    held = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    kernels = [held[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    first, *others = [int(np.any(kernel, axis=(2, 3)).sum()) for kernel in kernels]
    assert first / 2 + sum(others) / 4 == 624
    pad = next(node for node in graph.node if node.op_type == "Pad")
    assert held[pad.input[2]] == -1.0


def test_card_says_what_the_net_is(exported) -> None:
    card = exported[4][2]
    assert card.parameters == 15_697
    assert card.paper.startswith("Jain & Seung")
    assert dataclasses.replace(card, gray="average").gray == "average"


@pytest.mark.parametrize("options", [{"hidden": 0}, {"kernel": 4}, {"fan_in": 30}])
def test_impossible_nets_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="fan_in ≤ maps"):
        ConvolutionalNetwork(**options)
