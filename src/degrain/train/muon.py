"""Muon: momentum whose update is made orthogonal, for convolution kernels.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
PyTorch's own `torch.optim.Muon` takes matrices only; here a kernel of shape out×in×h×w is seen
as the matrix out×(in·h·w). In the trials recorded in `benchmarks/LOG.md` it was worth about
1 dB over AdamW after 35 million pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Stochastic descent with Nesterov momentum and orthogonalized updates.

    Args:
        params: kernels with two or more dimensions.
        lr: step length; every update has singular values near one, times `lr`.
        momentum: share of the old direction kept at each step.
        iterations: Newton-Schulz iterations.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        iterations: int = 4,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "iterations": iterations})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; kernels of one shape are orthogonalized together."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            same_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for param in group["params"]:
                if param.grad is not None:
                    same_shape[param.shape].append(param)
            for params in same_shape.values():
                self._step_together(params, group)
        return loss

    def _step_together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        directions = []
        for param in params:
            state = self.state[param]
            if not state:
                state["momentum"] = torch.zeros_like(param)
            grad = param.grad
            assert grad is not None
            state["momentum"].lerp_(grad, 1 - momentum)
            directions.append(grad.lerp(state["momentum"], momentum).flatten(1))
        updates = orthogonalize(torch.stack(directions), group["iterations"])
        rows, columns = updates.shape[1:]
        length = group["lr"] * max(1.0, rows / columns) ** 0.5
        for param, update in zip(params, updates, strict=True):
            param.sub_(update.view_as(param), alpha=length)


def orthogonalize(batch_bmn: Tensor, iterations: int) -> Tensor:
    """Replace every B×M×N matrix by one with the same singular vectors and values near one.

    Quintic Newton-Schulz iteration with Jordan's coefficients: singular values end between
    about 0.7 and 1.2, which is near enough for a direction. Each iteration multiplies X by a
    polynomial in its Gram matrix X·Xᵀ, so all of them are done on that small square matrix and X
    itself, nine times as wide for 3×3 kernels, is multiplied once, at the end.
    """
    tall = batch_bmn.shape[1] > batch_bmn.shape[2]
    x = batch_bmn.mT if tall else batch_bmn
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    product = identity.expand_as(gram)
    for _ in range(iterations):
        factor = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    result: Tensor = x.mT if tall else x
    return result
