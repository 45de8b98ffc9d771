"""Soap: turns into the eigenvectors of the gradients, and gets where plain Adam crawls."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from degrain.train.soap import FIRST_BASES, Soap

TRUTH = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(1))


def correlated_inputs(count: int, generator: torch.Generator) -> Tensor:
    """Eight inputs that are nearly the same, as neighboring pixels are."""
    common = torch.randn(count, 1, generator=generator)
    return common + 0.05 * torch.randn(count, 8, generator=generator)


def error(weight: Tensor) -> Tensor:
    return (weight - TRUTH).square().mean()


def descend(make: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int) -> Tensor:
    """Learn TRUTH from noisy gradients of a badly conditioned regression."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.zeros(3, 2, 2, 2, requires_grad=True)
    optimizer = make([weight])
    for _ in range(steps):
        x = correlated_inputs(16, generator)
        loss = (x @ (weight - TRUTH).flatten(1).T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach()


def test_learns_what_correlated_inputs_hide() -> None:
    ours = descend(lambda p: Soap(p, lr=0.02), steps=400)
    adam = descend(lambda p: torch.optim.Adam(p, lr=0.02), steps=400)
    assert error(ours) < 0.1 * error(adam)


def test_maps_that_see_the_same_can_share_a_basis() -> None:
    optimizers = []

    def make(params: list[Tensor]) -> Soap:
        optimizers.append(Soap(params, lr=0.02, share=True))
        return optimizers[0]

    shared = descend(make, steps=400)
    adam = descend(lambda p: torch.optim.Adam(p, lr=0.02), steps=400)
    assert error(shared) < 0.1 * error(adam)
    (state,) = optimizers[0].state.values()
    assert state["basis"].shape == (1, 8, 8)
    assert state["squares"].shape == (3, 8)


def test_the_first_steps_only_observe() -> None:
    assert not descend(lambda p: Soap(p, lr=0.02), steps=FIRST_BASES[0] - 1).any()
    assert descend(lambda p: Soap(p, lr=0.02), steps=FIRST_BASES[0]).any()


def test_the_basis_turns_into_the_eigenvectors_of_each_map() -> None:
    optimizers = []

    def make(params: list[Tensor]) -> Soap:
        optimizers.append(Soap(params, lr=0.01, memory=0.9, basis_every=60, observe_every=1))
        return optimizers[0]

    descend(make, steps=60)
    (state,) = optimizers[0].state.values()
    basis, covariance = state["basis"], state["covariance"]
    torch.testing.assert_close(basis.mT @ basis, torch.eye(8).expand(3, 8, 8), atol=1e-5, rtol=0)
    diagonal = basis.mT @ covariance @ basis
    rest = diagonal - torch.diag_embed(diagonal.diagonal(dim1=1, dim2=2))
    assert rest.abs().max() < 1e-4 * diagonal.abs().max()


def test_saved_and_restored_goes_on_alike() -> None:
    target = torch.arange(6.0).view(2, 3)

    def steps(optimizer: Soap, weight: Tensor, first: int, last: int) -> None:
        for step in range(first, last):
            weight.grad = (weight.detach() - target) * (1 + step % 3)
            optimizer.step()

    whole = torch.zeros(2, 3, requires_grad=True)
    optimizer = Soap([whole], basis_every=7)
    steps(optimizer, whole, 0, 20)
    saved, middle = copy.deepcopy(optimizer.state_dict()), whole.detach().clone().requires_grad_()
    steps(optimizer, whole, 20, 40)
    other = Soap([middle], basis_every=7)
    other.load_state_dict(saved)
    steps(other, middle, 20, 40)
    assert torch.equal(whole, middle)


def test_a_basis_that_single_precision_does_not_find_comes_from_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = descend(lambda params: Soap(params, 0.02), 400)
    eigh = torch.linalg.eigh

    def gives_up(matrices: Tensor) -> tuple[Tensor, Tensor]:
        if matrices.dtype == torch.float32:
            msg = "linalg.eigh: The algorithm failed to converge"
            raise torch.linalg.LinAlgError(msg)
        return eigh(matrices)

    def no_numbers(matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, basis = eigh(matrices)
        return values, basis * (float("nan") if matrices.dtype == torch.float32 else 1)

    for broken in (gives_up, no_numbers):
        monkeypatch.setattr(torch.linalg, "eigh", broken)
        weight = descend(lambda params: Soap(params, 0.02), 400)
        # Not the same weights: bases of what was seen too little to tell are any.
        assert error(weight) < 2 * error(plain)
