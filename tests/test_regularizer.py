"""The smoothed lp term: value, gradient, and that it selects."""

from __future__ import annotations

import pytest
import torch

from degrain.train.regularizer import lp_penalty, survivors


def test_it_nears_the_papers_term() -> None:
    weight = torch.tensor([0.5, -0.2, 0.1])
    wanted = float(weight.abs().pow(0.1).sum())
    assert float(lp_penalty([weight], 0.1, smoothing=1e-8)) == pytest.approx(wanted, rel=1e-6)
    assert float(lp_penalty([weight, weight], 2.0, smoothing=0.0)) == pytest.approx(0.6)


def test_gradients_are_finite_and_zero_at_zero() -> None:
    weight = torch.tensor([0.0, 1e-12, 1e-3, -1.0], requires_grad=True)
    lp_penalty([weight], 0.1).backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert weight.grad[0] == 0
    assert weight.grad[3] < 0 < weight.grad[2]
    sharp = torch.tensor([0.0], requires_grad=True)
    lp_penalty([sharp], 0.1, smoothing=0.0).backward()
    assert sharp.grad is not None
    assert not sharp.grad.isfinite().all()  # why there is a smoothing


@pytest.mark.parametrize(("p", "most"), [(0.1, 1), (2.0, 6)])
def test_small_p_keeps_few_connections_where_p_2_shares(p: float, most: int) -> None:
    """Six equal inputs, one output: any weights with sum 1 fit; p decides how they share."""
    torch.manual_seed(0)
    weight = (torch.rand(1, 6, 1, 1) * 0.2 + 0.05).requires_grad_()
    optimizer = torch.optim.Adam([weight], 0.01)
    for _ in range(1500):
        optimizer.zero_grad()
        loss = (weight.sum() - 1).square() + 0.02 * lp_penalty([weight], p)
        loss.backward()
        optimizer.step()
    (layer,) = survivors([weight.detach()], alive=0.05)
    assert layer["maps"] == layer["connections"] == most
    assert layer["of"] == layer["of_maps"] == 6
