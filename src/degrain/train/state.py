"""State: what changes during a run, and what a checkpoint therefore holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(slots=True)
class State:
    """What changes during a run; the checkpoint holds it whole.

    Attributes:
        net, average: the network, and the slowly following average that is kept in the end.
        optimizers: one or two, see `make_optimizers`.
        step, pixels, seconds: since the beginning of the run.
        first_step, first_seconds: where the budget of this net begins (layer-wise training
            gives each of its nets a budget).
    """

    net: nn.Module
    average: nn.Module
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    pixels: int = 0
    seconds: float = 0.0
    first_step: int = 0
    first_seconds: float = 0.0

    def to_dict(self, recipe_fields: dict[str, Any]) -> dict[str, Any]:
        """Tensors and plain values for `checkpoint.save`."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "pixels": self.pixels,
            "seconds": self.seconds,
            "first_step": self.first_step,
            "first_seconds": self.first_seconds,
            "recipe": recipe_fields,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a checkpoint of the same recipe."""
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.step, self.pixels = saved["step"], saved["pixels"]
        self.seconds = saved["seconds"]
        self.first_step = saved.get("first_step", 0)
        self.first_seconds = saved.get("first_seconds", 0.0)
