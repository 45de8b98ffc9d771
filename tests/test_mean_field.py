"""Jain & Seung 2008, Sec. 4: the random field against definitions, and the net against both."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from degrain.engines.measure import measure
from degrain.engines.onnx import OnnxEngine
from degrain.nets.markov_field import MarkovField, symmetric
from degrain.nets.mean_field import MeanFieldNet
from degrain.train.onnx_file import read_weights, write_onnx

SIGMA = 0.4


def make_field(
    seed: int, *, maps: int = 2, channels: int = 1, coupling: float = 0.3, rest: float = 0.0
) -> MarkovField:
    """Random weights in double precision, kernels 3×3."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return MarkovField(
        filters=SIGMA * 0.4 * normal(maps, channels, 3, 3),
        couplings=symmetric(coupling * normal(maps, maps, 3, 3)),
        bias=0.3 * normal(maps),
        sigma=SIGMA,
        offset=0.5,
        rest=rest,
    )


def make_picture(seed: int, height: int, width: int, channels: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed + 1000)
    return torch.rand(1, channels, height, width, generator=g, dtype=torch.float64)


def energy_by_loops(field: MarkovField, v: Tensor, h: Tensor) -> float:
    """Eq. 2 written out, place by place."""
    _, channels, height, width = v.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    maps, s2 = len(field.bias), field.sigma**2
    v, t = v[0] - field.offset, h[0] - field.rest
    total = float((v**2).sum()) / (2 * s2)
    for y, x in places:
        for a in range(maps):
            total -= float(field.bias[a] * h[0, a, y, x])
            for y2, x2 in places:
                if max(abs(y2 - y), abs(x2 - x)) > 1:
                    continue
                dy, dx = y2 - y + 1, x2 - x + 1
                for c in range(channels):
                    w = field.filters[a, c, dy, dx]
                    total -= float(t[a, y, x] * w * v[c, y2, x2]) / s2
                for b in range(maps):
                    w = field.couplings[a, b, dy, dx]
                    total -= float(t[a, y, x] * w * t[b, y2, x2]) / 2
    return total


@pytest.mark.parametrize(("rest", "channels"), [(0.0, 1), (0.5, 3)])
def test_energy_is_equation_2(rest: float, channels: int) -> None:
    field = make_field(0, channels=channels, rest=rest)
    v = make_picture(0, 3, 4, channels)
    h = (make_picture(5, 3, 4, 2) > 0.5).double()
    assert float(field.energy(v, h)) == pytest.approx(energy_by_loops(field, v, h), rel=1e-9)


@pytest.mark.parametrize("rest", [0.0, 0.5])
def test_visible_given_hidden_is_equation_3(rest: float) -> None:
    """Integrate exp(−E) over both pixels of a 1×2 picture on a fine grid."""
    field = make_field(1, rest=rest)
    h = torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]]]], dtype=torch.float64)
    mean = field.conditional_mean(h)[0, 0, 0]
    # Eight deviations either way hold all but 1e-15 of the mass; the sum over a grid with steps
    # of a sixth of the deviation is exact for a Gaussian to rounding.
    axis = torch.linspace(-8 * SIGMA, 8 * SIGMA, 97, dtype=torch.float64)
    grid = torch.cartesian_prod(axis + 0.4, axis + 0.6)
    energies = field.energy(grid[:, None, None, :], h.expand(len(grid), -1, -1, -1))
    weight = (-energies).softmax(0)
    found = (weight[:, None] * grid).sum(0)
    torch.testing.assert_close(found, mean, rtol=0, atol=1e-9)
    deviations = grid - found
    covariance = (weight[:, None] * deviations).T @ deviations
    expected = field.conditional_variance() * torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e-9)


def test_hidden_given_visible_and_the_rest_is_logistic() -> None:
    """The local field is the energy difference of a unit's two states."""
    field = make_field(2, rest=0.5)
    v, h = make_picture(2, 3, 3), (make_picture(3, 3, 3, 2) > 0.5).double()
    local = field.evidence(v) + field.interaction(h)
    for a, y, x in [(0, 0, 0), (1, 1, 1), (1, 2, 0)]:
        on, off = h.clone(), h.clone()
        on[0, a, y, x], off[0, a, y, x] = 1, 0
        difference = float(field.energy(v, off) - field.energy(v, on))
        assert float(local[0, a, y, x]) == pytest.approx(difference, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), coupling=st.floats(0, 2), rest=st.sampled_from([0.0, 0.5]))
def test_sequential_updates_never_raise_the_free_energy(seed, coupling, rest) -> None:
    field = make_field(seed, coupling=coupling, rest=rest)
    v, m = make_picture(seed, 3, 4), make_picture(seed + 1, 3, 4, 2)
    before = field.free_energy(v, m)
    first = before
    for _ in range(4):
        m = field.mean_field_sweep(v, m)
        after = field.free_energy(v, m)
        assert after <= before + 1e-10
        before = after
    assert after < first


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    coupling=st.floats(0, 3),
    slower=st.floats(0, 1),
    rest=st.sampled_from([0.0, 0.5]),
)
def test_damped_parallel_updates_never_raise_the_free_energy(seed, coupling, slower, rest) -> None:
    """At the least safe damping and at any stronger one."""
    field = make_field(seed, maps=3, coupling=coupling, rest=rest)
    v, m = make_picture(seed, 6, 7), make_picture(seed + 1, 6, 7, 3)
    least = field.safe_damping()
    damping = least + slower * (0.99 - least)
    before = field.free_energy(v, m)
    for _ in range(10):
        m = field.mean_field_step(v, m, damping)
        after = field.free_energy(v, m)
        assert after <= before + 1e-9
        before = after


def test_undamped_parallel_updates_of_strong_couplings_do_raise_it() -> None:
    """Why damping is there: two units that forbid each other swap for ever."""
    couplings = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    couplings[0, 0, 1, 0] = couplings[0, 0, 1, 2] = -20
    zero, bias = torch.zeros(1, 1, 3, 3, dtype=torch.float64), torch.full((1,), 10.0).double()
    field = MarkovField(zero, couplings, bias, sigma=1.0)
    v = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    m = torch.tensor([[[[0.9, 0.6]]]], dtype=torch.float64)

    def rises(damping: float) -> bool:
        energies, now = [], m
        for _ in range(30):
            energies.append(float(field.free_energy(v, now)))
            now = field.mean_field_step(v, now, damping)
        return any(b > a + 1e-9 for a, b in itertools.pairwise(energies))

    assert rises(0.0)
    assert field.safe_damping() == pytest.approx(0.9)
    assert not rises(field.safe_damping())


@pytest.mark.parametrize("seed", range(5))
def test_weak_couplings_bring_mean_field_close_to_enumeration(seed: int) -> None:
    """Its error is of second order in the couplings: halving them quarters it.

    Mean field leaves out the correlations of two units, which are w^{ab} Var Var to first order
    and act on the mean through w^{ab} again (the Onsager term of Thouless, Anderson & Palmer
    1977). A unit here has up to 17 couplings of deviation 0.05 and variances of 1/4 at most:
    17 · 0.05² / 4 / 4 ≈ 0.003 in the local field, less in the mean.
    """
    v = make_picture(seed, 2, 4)
    errors = []
    for coupling in (0.05, 0.025):
        field = make_field(seed, coupling=coupling)
        exact = field.enumerate_exactly(v)
        m = field.infer(v, 60)
        errors.append(float((m - exact.marginals).abs().max()))
        assert float(field.free_energy(v, m) - exact.free_energy) >= 0
    assert errors[0] < 0.003
    assert errors[1] < errors[0] / 3


def test_enumeration_is_exact_where_nothing_is_coupled() -> None:
    field = make_field(7, coupling=0.0, rest=0.5)
    v = make_picture(7, 2, 3)
    exact, m = field.enumerate_exactly(v), torch.sigmoid(field.evidence(v))
    torch.testing.assert_close(exact.marginals, m)
    torch.testing.assert_close(exact.free_energy, field.free_energy(v, m)[0])


def test_strong_couplings_and_large_pictures() -> None:
    field = make_field(8, coupling=1.0)
    v = make_picture(8, 2, 4)
    m = field.infer(v, 200, field.safe_damping())
    assert float(field.free_energy(v, m) - field.enumerate_exactly(v).free_energy) > 0.01
    with pytest.raises(ValueError, match="too many"):
        field.enumerate_exactly(make_picture(8, 4, 4))


def test_couplings_without_an_energy_are_refused() -> None:
    field = make_field(9)
    for couplings in (torch.randn_like(field.couplings), torch.ones_like(field.couplings)):
        with pytest.raises(ValueError, match="symmetric"):
            MarkovField(field.filters, couplings, field.bias, SIGMA)


def make_net(**options: object) -> MeanFieldNet:
    """A net with strong enough weights for every layer to matter."""
    torch.manual_seed(0)
    net = MeanFieldNet(**{"maps": 20, "sigma_255": 40.0, **options}).eval()
    with torch.no_grad():
        for coupling in net.couplings:
            coupling.add_(0.08 * torch.randn_like(coupling))
        for bias in net.biases:
            bias.add_(0.5 * torch.randn_like(bias))
        net.offset.add_(0.07)
    return net


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("iterations", [2, 4, 7])
def test_unrolled_iteration_is_a_tied_network_that_sees_the_picture(channels, iterations) -> None:
    """Built here from convolutions alone: layer k reads layer k − 1 and the picture."""
    net = make_net(channels=channels, iterations=iterations)
    w, raw, bias = net.filters[0], net.couplings[0], net.biases[0]
    tied = (raw + raw.transpose(0, 1).flip((2, 3))) / 2
    tied = tied - torch.diag_embed(tied[:, :, 2, 2].diagonal()).reshape(
        20, 20, 1, 1
    ) * functional.pad(torch.ones(1, 1), (2, 2, 2, 2))
    layer = torch.cat([tied, w], dim=1)  # one kernel for hidden maps and picture together
    picture = torch.rand(2, channels, 21, 17)
    seen = functional.pad(picture, (4, 4, 4, 4), mode="replicate")
    seen = (seen - net.offset) / (40 / 255)
    hidden = torch.zeros(2, 20, 29, 25)
    for _ in range(iterations):
        hidden = functional.conv2d(torch.cat([hidden, seen], dim=1), layer, bias, padding=2)
        hidden = torch.tanh(hidden / 2) / 2  # logistic less 1/2
    last = w.transpose(0, 1).flip((2, 3))
    clean = functional.conv2d(hidden, last, padding=2)[..., 4:-4, 4:-4] * 40 / 255 + net.offset
    with torch.no_grad():
        torch.testing.assert_close(net(picture), clean, rtol=1e-4, atol=1e-5)
        assert (net(picture) - picture).abs().max() > 0.02


@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_net_is_the_mean_field_iteration_of_its_field(damping: float) -> None:
    net = make_net(damping=damping)
    picture = torch.rand(1, 1, 12, 9)
    padded = functional.pad(picture, (4, 4, 4, 4), mode="replicate")
    with torch.no_grad():
        expected = net.field().denoise(padded, 4, damping)[..., 4:-4, 4:-4]
        torch.testing.assert_close(net(picture), expected, rtol=1e-4, atol=1e-5)


def test_direct_input_and_ties_can_be_taken_away() -> None:
    """Without both it is a plain convolutional network (Eq. 1)."""
    net = make_net(tied=False, direct_input=False)
    assert [len(part) for part in (net.filters, net.couplings, net.biases)] == [1, 3, 4]
    picture = torch.rand(1, 1, 20, 20)
    x = functional.pad(picture, (4, 4, 4, 4), mode="replicate")
    x = (x - net.offset) / (40 / 255)
    for kernel, bias in zip([net.filters[0], *net.couplings], net.biases, strict=True):
        x = torch.sigmoid(functional.conv2d(x, kernel, bias, padding=2)) - 0.5
    last = net.output.transpose(0, 1).flip((2, 3))
    clean = functional.conv2d(x, last, padding=2)[..., 4:-4, 4:-4] * 40 / 255 + net.offset
    with torch.no_grad():
        torch.testing.assert_close(net(picture), clean, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="energy"):
        net.field()


def count(net: MeanFieldNet) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_size_is_that_of_cn1() -> None:
    assert count(MeanFieldNet()) == 24 * 25 + 24 * 24 * 25 + 24 + 1  # CN1 has 15,697
    assert count(MeanFieldNet(tied=False)) == 5 * 24 * 25 + 3 * 24 * 24 * 25 + 4 * 24 + 1


@pytest.mark.parametrize("options", [{"kernel": 4}, {"iterations": 0}, {"damping": 1.0}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        MeanFieldNet(**options)


def test_fresh_net_is_nearly_the_identity_and_not_saturated() -> None:
    torch.manual_seed(0)
    net = MeanFieldNet()
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 1, 64, 64)
    noisy = ramp + 25 / 255 * torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert (net(noisy) - noisy).square().mean().sqrt() < 0.08
        means = net.field().infer(noisy, 4)
    assert ((means > 0.1) & (means < 0.9)).float().mean() > 0.9


@pytest.mark.parametrize(("tied", "direct_input"), [(True, True), (False, False)])
def test_export_keeps_weights_and_output_and_reach(tmp_path: Path, tied, direct_input) -> None:
    net = make_net(maps=8, tied=tied, direct_input=direct_input, iterations=3)
    path = tmp_path / "net.onnx"
    write_onnx(net, path, 1)
    stored = read_weights(path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(stored[name], tensor), name
    engine = OnnxEngine(path)
    for size in ((1, 1), (1, 9), (23, 18)):
        picture = torch.rand(2, 1, *size)
        with torch.no_grad():
            expected = net(picture)
        torch.testing.assert_close(torch.from_numpy(engine.run(picture.numpy())), expected)
    # The picture reaches the output through all layers: 2 pixels each.
    assert measure(engine, side=96) == (2 * (3 + 1), 1)
