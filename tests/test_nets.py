"""One contract for all networks: shape, any size, gradients, scale, receptive field."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional

from degrain.engines.measure import measure
from degrain.engines.torch import TorchEngine
from degrain.nets import NETS
from degrain.nets.divakar_babu_2017 import KERNELS, WIDTHS
from degrain.nets.unet import WINDOW, UNet, local_mean, pad_to_multiple, pooled_mean
from degrain.train.recipes import RECIPES

SMALL = {
    "mean-field": {"maps": 6, "iterations": 3},
    "multiscale-damped": {"kernels": (1, 3, 5), "widths": (3, 4, 5), "hidden": (8, 6)},
    "unet": {"widths": (8, 12), "encoder": (1,), "decoder": (1,), "middle": 1},
    "jain-seung-2008": {"hidden": 2, "maps": 6, "fan_in": 3},
}
SIZES = [(1, 1), (1, 37), (7, 3), (16, 16), (33, 50)]


def build(name: str, channels: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return NETS[name](channels=channels, **SMALL[name]).eval()


def test_every_net_has_a_small_version_here() -> None:
    assert set(SMALL) == set(NETS)


@pytest.mark.parametrize(
    ("name", "channels", "size"), list(itertools.product(NETS, (1, 3), SIZES)), ids=str
)
def test_shape_is_kept_at_any_size(name: str, channels: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, channels, *size)
    with torch.no_grad():
        y = build(name, channels)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


@pytest.mark.parametrize("name", NETS)
def test_every_weight_gets_a_gradient(name: str) -> None:
    net = build(name, 1).train()
    net(torch.rand(2, 1, 32, 40)).square().mean().backward()
    for weight_name, weight in net.named_parameters():
        assert weight.grad is not None, weight_name
        assert weight.grad.abs().max() > 0, weight_name


def test_unet_scales_with_its_input() -> None:
    net = build("unet", 1)
    x = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(net(3.5 * x), 3.5 * net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 3])
def test_unet_reaches_as_far_as_its_layers_say(blocks: int) -> None:
    torch.manual_seed(0)
    net = NETS["unet"](channels=1, widths=(8,), middle=blocks).eval()
    halo, multiple_of = measure(TorchEngine(net, channels=1), side=160)
    assert multiple_of == net.multiple_of == 2
    window, head, tail = 8, 1, 1
    assert halo == 2 * (window + head + 2 * blocks + tail) + 1


def test_unet_follows_the_brightness_of_the_picture() -> None:
    net = build("unet", 3)
    x = torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(net(x + 0.7), net(x) + 0.7, rtol=1e-4, atol=1e-5)


def test_unet_refuses_lists_that_do_not_match() -> None:
    with pytest.raises(ValueError, match="one encoder"):
        NETS["unet"](widths=(8, 8), encoder=(1, 1), decoder=(1,))


def test_divakar_babu_has_the_papers_number_of_weights() -> None:
    with torch.device("meta"):
        net = NETS["multiscale-damped"]()
    features = sum(width * side**2 + width for width, side in zip(WIDTHS, KERNELS, strict=True))
    damping = 3 * (240 * 240 + 240)
    reconstruction = (240 * 128 + 128) + (128 * 128 + 128) + (128 + 1)
    assert sum(WIDTHS) == 240
    assert sum(weight.numel() for weight in net.parameters()) == 230_769
    assert features + damping + reconstruction == 230_769


@pytest.mark.parametrize(
    ("options", "reach"),
    [({}, 4), ({"damping_kernel": 3}, 7), ({"kernels": (3, 5, 7, 9, 11)}, 5)],
    ids=str,
)
def test_divakar_babu_reaches_as_far_as_its_filters(options: dict[str, Any], reach: int) -> None:
    torch.manual_seed(0)
    net = NETS["multiscale-damped"](widths=(2, 2, 2, 2, 2), hidden=(4, 4), **options).eval()
    assert measure(TorchEngine(net, channels=1), side=96) == (reach, 1)


def test_damping_lets_between_nothing_and_all_of_a_feature_through() -> None:
    net = build("multiscale-damped", 1)
    features = net.extract(torch.rand(1, 1, 20, 20))
    damped = net.damp(features)
    assert (features >= 0).all()
    assert ((damped >= 0) & (damped <= features)).all()
    assert (damped < features).any()


def test_without_damping_all_features_pass() -> None:
    net = NETS["multiscale-damped"](damping=False, **SMALL["multiscale-damped"])
    features = net.extract(torch.rand(1, 1, 9, 9))
    assert torch.equal(net.damp(features), features)


def test_fast_damping_changes_little_and_only_training() -> None:
    net = build("multiscale-damped", 1)
    x = torch.rand(1, 1, 24, 24)
    with torch.no_grad():
        exact = net(x)
        net.fast_damping = True
        assert torch.equal(net(x), exact)
        fast = net.train()(x)
    assert not torch.equal(fast, exact)
    torch.testing.assert_close(fast, exact, rtol=0.05, atol=1e-3)


def test_divakar_babu_refuses_even_kernels() -> None:
    with pytest.raises(ValueError, match="odd kernels"):
        NETS["multiscale-damped"](kernels=(2,), widths=(8,))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_its_net(name: str) -> None:
    recipe = RECIPES[name]()
    with torch.device("meta"):
        net = NETS[recipe.net](**recipe.options)
    assert sum(weight.numel() for weight in net.parameters()) > 1000


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (17, 16), (33, 50)])
def test_the_local_mean_is_that_of_the_window_inside_the_picture(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    reach = WINDOW // 2
    rows = functional.avg_pool2d(x, (WINDOW, 1), 1, (reach, 0), count_include_pad=False)
    expected = functional.avg_pool2d(rows, (1, WINDOW), 1, (0, reach), count_include_pad=False)
    torch.testing.assert_close(local_mean(x), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(pooled_mean(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (17, 16), (33, 50)])
def test_the_form_for_export_computes_the_same(channels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = UNet(channels=channels, widths=(8, 12), encoder=(1,), decoder=(1,), middle=1)
    x = torch.rand(2, channels, *size)
    with torch.no_grad():
        torch.testing.assert_close(net.for_export()(x), net(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(9, 17), (16, 8), (13, 11), (8, 23)])
def test_edges_are_mirrored_to_a_multiple(size: tuple[int, int]) -> None:
    x = torch.rand(1, 2, *size)
    more = (0, -size[1] % 8, 0, -size[0] % 8)
    assert torch.equal(pad_to_multiple(x, 8), functional.pad(x, more, mode="reflect"))


def test_the_smallest_pictures_are_mirrored_back_and_forth() -> None:
    row = torch.tensor([0.0, 1.0, 2.0]).expand(1, 1, 1, 3)
    assert pad_to_multiple(row, 8)[0, 0, 7].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
