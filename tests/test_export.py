"""Export: torch = ONNX, names kept, weights load back, cards measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from degrain.engines.onnx import OnnxEngine
from degrain.nets.unet import UNet
from degrain.train.describe import count_macs, describe
from degrain.train.onnx_file import read_weights
from degrain.zoo.card import ModelCard, write_card


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
