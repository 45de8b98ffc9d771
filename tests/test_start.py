"""Starting a network from another's weights: fewer channels, fewer maps, smaller kernels."""

from __future__ import annotations

import pytest
import torch

from degrain.errors import ModelError
from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.nets.unet import UNet
from degrain.train.start import grow_into, load_weights
from small_unet import SMALL, small

WIDER = {"widths": (12, 16), "encoder": (1,), "decoder": (1,), "middle": 1}
LARGER = {"widths": (12, 16), "encoder": (2,), "decoder": (1,), "middle": 2}


def test_weights_load_back_from_the_onnx_file_alone(small_exports) -> None:
    net, path = small_exports[3]
    other = UNet(channels=3, **SMALL)
    load_weights(other, str(path))
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(other(x), net(x))


def test_gray_weights_start_a_color_net() -> None:
    """On a picture whose three channels are alike, both nets do the same."""
    net = small(1)
    color = UNet(channels=3, **SMALL)
    grow_into(color, net.state_dict(), "small")
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(color(x.expand(1, 3, 16, 16))[:, 1:2], net(x))


def test_color_weights_start_a_gray_net() -> None:
    net = small(3)
    gray = UNet(channels=1, **SMALL)
    grow_into(gray, net.state_dict(), "small")
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        same = net(x.expand(1, 3, 16, 16)).mean(1, keepdim=True)
        torch.testing.assert_close(gray(x), same)


def test_a_wider_net_computes_the_same_at_first() -> None:
    net = small(1)
    wider = UNet(channels=1, **WIDER)
    grow_into(wider, net.state_dict(), "small")
    x = torch.rand(1, 1, 24, 16)
    torch.testing.assert_close(wider(x), net(x), atol=1e-6, rtol=0)


def test_a_deeper_net_computes_nearly_the_same_and_learns_with_all_of_it_from_the_first_step() -> (
    None
):
    net = small(1)
    deeper = UNet(channels=1, **LARGER)
    grow_into(deeper, net.state_dict(), "small")
    x = torch.rand(1, 1, 24, 16)
    answer = deeper(x)
    moved = (answer - net(x)).abs().mean()
    assert 0 < moved < 0.3 * (x - net(x)).abs().mean()
    answer.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in deeper.parameters())


def test_a_color_net_starts_a_larger_gray_one() -> None:
    net = small(3)
    gray = UNet(channels=1, **WIDER)
    grow_into(gray, net.state_dict(), "small")
    x = torch.rand(1, 1, 16, 16)
    same = net(x.expand(1, 3, 16, 16)).mean(1, keepdim=True)
    torch.testing.assert_close(gray(x), same, atol=1e-6, rtol=0)


def test_a_smaller_net_is_refused() -> None:
    with pytest.raises(ModelError, match="shape"):
        grow_into(UNet(channels=1, **{**SMALL, "widths": (4, 12)}), small(1).state_dict(), "small")


def test_other_kernels_are_refused() -> None:
    net = UNet(channels=1, **SMALL)
    stored = net.state_dict() | {"head.weight": torch.zeros(8, 5, 5, 5)}
    with pytest.raises(ModelError, match=r"shape \(8, 5, 5, 5\)"):
        grow_into(net, stored, "other")


def test_smaller_kernels_go_into_the_middle_of_larger_ones() -> None:
    """Divakar & Babu's network with wider filters and damping by 3×3 computes the same at first."""
    shape = {"kernels": (1, 3), "widths": (3, 4), "hidden": (5, 5)}
    net = MultiScaleDampedNet(**shape)
    larger = MultiScaleDampedNet(**(shape | {"kernels": (3, 5), "damping_kernel": 3}))
    grow_into(larger, net.state_dict(), "smaller")
    x = torch.rand(1, 1, 16, 12)
    torch.testing.assert_close(larger(x), net(x), atol=1e-6, rtol=0)
    with pytest.raises(ModelError, match=r"shape \(3, 1, 3, 3\), not \(3, 1, 1, 1\)"):
        grow_into(net, larger.state_dict(), "larger")


def test_another_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no weights named head\.weight"):
        grow_into(UNet(channels=1, **SMALL), {"conv.weight": torch.zeros(1)}, "other")
