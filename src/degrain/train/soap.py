"""Soap: Adam along the eigenvectors of the gradients' covariance, one basis for each map.

Source: N. Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024), one-sided. It
has one basis for a whole matrix of weights; here each output map has its own unless they shall
`share` one: in a sparsely wired layer the maps see different maps, and a matrix of all their
weights has no common columns.

Made for small nets of logistic units: what the kernels of one map see are a few strongly correlated
maps, and neighboring pixels of them, so that plain steps mostly change the mean. The trials are in
`benchmarks/LOG.md`. Memory is two matrices of (inputs·h·w)² numbers for each map, or for the layer
where its maps share them: wide layers must.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

FIRST_BASES = (10, 25, 50, 100)
"""Steps after which the basis is computed for the first times; none is taken before the first."""


class Soap(torch.optim.Optimizer):
    """Adam in the eigenbasis of each map's gradient covariance.

    Args:
        params: kernels, outputs × inputs × h × w.
        lr: step length, as Adam's.
        betas: decay of the averages of gradients and of their squares in the eigenbasis.
        memory: decay of the covariance per observation.
        observe_every: steps between two gradients that enter the covariance.
        basis_every: steps between two computations of the eigenvectors, later on.
        share: one basis for all output maps of a kernel, which then have to see the same inputs.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.005,
        betas: tuple[float, float] = (0.95, 0.98),
        memory: float = 0.98,
        observe_every: int = 2,
        basis_every: int = 100,
        share: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "memory": memory,
            "observe_every": observe_every,
            "basis_every": basis_every,
            "share": share,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; the first few only observe."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._step_one(param, group)
        return loss

    def _step_one(self, param: Tensor, group: dict[str, Any]) -> None:
        assert param.grad is not None
        rows = param.grad.flatten(1).contiguous()
        state = self.state[param]
        if not state:
            _begin(state, rows, 1 if group["share"] else len(rows))
        state["step"] += 1
        step, (first, second) = state["step"], group["betas"]
        if step <= FIRST_BASES[0] or step % group["observe_every"] == 0:
            _observe(state, rows, group["memory"])
        if step in FIRST_BASES or step % group["basis_every"] == 0:
            _turn(state, 1 - second**step)
        state["mean"].lerp_(rows, 1 - first)
        state["squares"].lerp_(_into(rows, state["basis"]).square(), 1 - second)
        if step < FIRST_BASES[0]:
            return
        mean = _into(state["mean"], state["basis"]) / (1 - first**step)
        size = (state["squares"] / (1 - second**step)).sqrt() + 1e-8
        # A fresh basis takes directions for still that it has not observed: without a bound the
        # first gradient along one of them throws the net off.
        moves = (mean / size).clamp(-1, 1)
        update = _into(moves, state["basis"].mT)
        param.sub_(update.view_as(param), alpha=group["lr"])


def _begin(state: dict[str, Any], rows: Tensor, bases: int) -> None:
    weights = rows.shape[1]
    state["step"] = 0
    state["mean"] = torch.zeros_like(rows)
    state["squares"] = torch.zeros_like(rows)
    state["covariance"] = rows.new_zeros(bases, weights, weights)
    state["observed"] = 0.0
    state["basis"] = torch.eye(weights, dtype=rows.dtype, device=rows.device).repeat(bases, 1, 1)


def _observe(state: dict[str, Any], rows: Tensor, memory: float) -> None:
    """Let a gradient into the covariance; `observed` is the weight of all so far."""
    grouped = rows.view(len(state["covariance"]), -1, rows.shape[1])
    state["covariance"].lerp_(grouped.mT @ grouped, 1 - memory)
    state["observed"] = memory * state["observed"] + 1 - memory


def _turn(state: dict[str, Any], weight: float) -> None:
    """Compute the basis anew.

    The squares along it are read off the covariance; where maps share that, each has its own sum of
    squares, and they begin to spread alike.
    """
    values, state["basis"] = _eigenvectors(state["covariance"] / state["observed"])
    squares = values.clamp_min(0) * weight
    if len(squares) < len(state["squares"]):
        own = state["squares"].sum(1, keepdim=True)
        squares = own * squares / squares.sum().clamp_min(1e-30)
    state["squares"] = squares


def _eigenvectors(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, in double precision where single does not get there.

    The first gradients of a large kernel span few of its directions, and with so many eigenvalues
    of zero the single-precision routine may give up or return what are no numbers.
    """
    with contextlib.suppress(RuntimeError):  # what giving up is
        values, basis = torch.linalg.eigh(covariance)
        if bool(basis.isfinite().all()):
            return values, basis
    values, basis = torch.linalg.eigh(covariance.double())
    return values.to(covariance.dtype), basis.to(covariance.dtype)


def _into(rows: Tensor, basis: Tensor) -> Tensor:
    """Each row in its own basis, or all in one; the vectors of a basis are its columns."""
    if len(basis) == 1:
        return rows @ basis[0]
    return torch.bmm(rows[:, None, :], basis)[:, 0]
