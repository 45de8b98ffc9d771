"""Starting a network from another's weights: fewer channels, fewer maps, smaller kernels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from degrain.errors import ModelError
from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.nets.unet import UNet
from degrain.train.start import grow_into, load_weights
from small_unet import SMALL, export_small

LARGER = {"widths": (12, 16), "encoder": (2,), "decoder": (1,), "middle": 2}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[UNet, Path]]:
    return export_small(tmp_path_factory.mktemp("exported"))


def test_weights_load_back_from_the_onnx_file_alone(exported) -> None:
    net, path = exported[3]
    other = UNet(channels=3, **SMALL)
    load_weights(other, str(path))
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(other(x), net(x))


def test_gray_weights_start_a_color_net(exported) -> None:
    """On a picture whose three channels are alike, both nets do the same."""
    net, path = exported[1]
    color = UNet(channels=3, **SMALL)
    load_weights(color, str(path))
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(color(x.expand(1, 3, 16, 16))[:, 1:2], net(x))


def test_color_weights_start_a_gray_net(exported) -> None:
    net, path = exported[3]
    gray = UNet(channels=1, **SMALL)
    load_weights(gray, str(path))
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        same = net(x.expand(1, 3, 16, 16)).mean(1, keepdim=True)
        torch.testing.assert_close(gray(x), same)


def test_a_larger_net_computes_the_same_at_first_and_then_learns_with_all_of_it(exported) -> None:
    net, path = exported[1]
    larger = UNet(channels=1, **LARGER)
    load_weights(larger, str(path))
    x = torch.rand(1, 1, 24, 16)
    torch.testing.assert_close(larger(x), net(x), atol=1e-6, rtol=0)
    larger(x).square().mean().backward()
    unmoved = [name for name, p in larger.named_parameters() if not p.grad.abs().sum() > 0]
    # A new block's first convolution learns once its second is no longer zero.
    assert unmoved == ["encoder.0.1.conv0.weight", "middle.1.conv0.weight"]


def test_a_color_net_starts_a_larger_gray_one(exported) -> None:
    net, path = exported[3]
    gray = UNet(channels=1, **LARGER)
    load_weights(gray, str(path))
    x = torch.rand(1, 1, 16, 16)
    same = net(x.expand(1, 3, 16, 16)).mean(1, keepdim=True)
    torch.testing.assert_close(gray(x), same, atol=1e-6, rtol=0)


def test_a_smaller_net_is_refused(exported) -> None:
    _, path = exported[1]
    with pytest.raises(ModelError, match="shape"):
        load_weights(UNet(channels=1, **{**SMALL, "widths": (4, 12)}), str(path))


def test_other_kernels_are_refused() -> None:
    net = UNet(channels=1, **SMALL)
    stored = net.state_dict() | {"head.weight": torch.zeros(8, 5, 5, 5)}
    with pytest.raises(ModelError, match=r"shape \(8, 5, 5, 5\)"):
        grow_into(net, stored, "other")


def test_smaller_kernels_go_into_the_middle_of_larger_ones() -> None:
    """Divakar & Babu's network with wider filters and damping by 3×3 computes the same at first."""
    small = {"kernels": (1, 3), "widths": (3, 4), "hidden": (5, 5)}
    net = MultiScaleDampedNet(**small)
    larger = MultiScaleDampedNet(**(small | {"kernels": (3, 5), "damping_kernel": 3}))
    grow_into(larger, net.state_dict(), "smaller")
    x = torch.rand(1, 1, 16, 12)
    torch.testing.assert_close(larger(x), net(x), atol=1e-6, rtol=0)
    with pytest.raises(ModelError, match=r"shape \(3, 1, 3, 3\), not \(3, 1, 1, 1\)"):
        grow_into(net, larger.state_dict(), "larger")


def test_another_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no weights named head\.weight"):
        grow_into(UNet(channels=1, **SMALL), {"conv.weight": torch.zeros(1)}, "other")
