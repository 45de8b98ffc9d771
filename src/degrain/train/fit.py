"""fit: the training loop, linear and readable; `train` sets a run up and calls it.

A run folder holds `config.json` (the recipe and the data), `checkpoint.pt` (everything needed
to go on), `metrics.jsonl` (one line per validation), and TensorBoard events where that is
installed. Every step's crops and noise depend only on (seed, step, process), so a resumed run
makes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.errors import TrainingError
from degrain.noise import Noise, parse_noise
from degrain.train import checkpoint
from degrain.train.data import CropSource
from degrain.train.degrade import degrade
from degrain.train.devices import Processes, autocast
from degrain.train.muon import Muon
from degrain.train.recipes import Recipe
from degrain.train.watch import Validation, Watch

SECONDS_BETWEEN_CHECKPOINTS = 120.0

ENDS: Final = ("head", "tail")
"""Names of the modules at both ends of a net, which Muon leaves to AdamW."""


def rms_loss(output_nchw: Tensor, clean_nchw: Tensor) -> Tensor:
    """Root of the mean squared error of each crop, averaged over the crops.

    Squared error, which PSNR is made of, but no crop counts for much more than another: with
    plain MSE the noisiest crops would decide every step.
    """
    return ((output_nchw - clean_nchw).square().mean((1, 2, 3)) + 1e-7).sqrt().mean()


LOSSES: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "rms": rms_loss,
    "l1": functional.l1_loss,
    "mse": functional.mse_loss,
    "charbonnier": lambda a, b: ((a - b).square() + 1e-6).sqrt().mean(),
}


@dataclass(slots=True)
class State:
    """What changes during a run; the checkpoint holds it whole."""

    net: nn.Module
    average: nn.Module
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    pixels: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)

    def to_dict(self, recipe_fields: dict[str, Any]) -> dict[str, Any]:
        """Tensors and plain values for `checkpoint.save`."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "pixels": self.pixels,
            "seconds": self.seconds,
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


def new_state(recipe: Recipe, net: nn.Module) -> State:
    """A fresh state around `net`, which already has its first weights and its device."""
    average = copy.deepcopy(net).requires_grad_(False)
    return State(net, average, make_optimizers(recipe, net))


def make_optimizers(recipe: Recipe, net: nn.Module) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon inside the net and AdamW for its first and last layer."""
    if recipe.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=0.0)]
    # The ends map pixels to features: orthogonal steps, which weigh all directions alike,
    # suit them badly (Jordan 2024 keeps AdamW for embeddings and heads for the same reason).
    named = dict(net.named_parameters())
    inner = [p for name, p in named.items() if name.split(".")[0] not in ENDS and p.ndim >= 2]
    outer = [p for name, p in named.items() if name.split(".")[0] in ENDS or p.ndim < 2]
    return [
        Muon(inner, recipe.lr),
        torch.optim.AdamW(outer, recipe.lr_ends, weight_decay=0.0),
    ]


def fit(
    recipe: Recipe,
    state: State,
    crops: CropSource,
    validation: Validation,
    watch: Watch,
    processes: Processes,
) -> State:
    """Train until the budget is spent; validate, log and save on the way.

    Raises:
        TrainingError: the loss is no longer a number; the last good checkpoint stays.
    """
    noise = parse_noise(recipe.noise)
    loss_of = LOSSES[recipe.loss]
    model = processes.wrap(state.net)
    first_rates = [group["initial_lr"] for group in _groups(state)]
    last_save = started = time.perf_counter()
    seconds_before = state.seconds
    while (progress := spent(recipe, state)) < 1:
        set_rates(state, first_rates, rate(progress, state.step, recipe.warmup_steps))
        noisy, clean = draw_batch(crops, noise, recipe, state.step, processes)
        with autocast(noisy.device):
            loss = loss_of(model(noisy), clean)
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.optimizer == "adamw":
            nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip)
        for optimizer in state.optimizers:
            optimizer.step()
        state.step += 1
        state.pixels += recipe.batch * recipe.crop**2
        state.seconds = seconds_before + processes.agree(time.perf_counter() - started)
        update_average(state, recipe.ema)
        done = spent(recipe, state) >= 1
        if state.step % 50 == 0 or done:
            check_loss(float(loss.detach()), state.step)
            watch.step(state, float(loss.detach()), spent(recipe, state))
        if state.step % recipe.validate_every == 0 or done:
            watch.validated(state, float(loss.detach()), validation.psnr(state.average))
        if processes.first and (
            done or time.perf_counter() - last_save > SECONDS_BETWEEN_CHECKPOINTS
        ):
            save(state, recipe, watch)
            last_save = time.perf_counter()
    return state


def save(state: State, recipe: Recipe, watch: Watch) -> None:
    """Write the checkpoint of this run."""
    from dataclasses import asdict

    checkpoint.save(state.to_dict(asdict(recipe)), watch.run / "checkpoint.pt")


def spent(recipe: Recipe, state: State) -> float:
    """Share of the budget used, 0..1 and beyond."""
    if recipe.steps is not None:
        return state.step / recipe.steps
    assert recipe.minutes is not None
    return state.seconds / (60 * recipe.minutes)


def rate(progress: float, step: int, warmup_steps: int) -> float:
    """Multiplier of the step lengths: up over the first steps, then straight to zero."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * max(0.0, 1.0 - progress)


def set_rates(state: State, first_rates: list[float], multiplier: float) -> None:
    """Scale every group's step length from its first value."""
    for group, first in zip(_groups(state), first_rates, strict=True):
        group["lr"] = first * multiplier


def draw_batch(
    crops: CropSource, noise: Noise, recipe: Recipe, step: int, processes: Processes
) -> tuple[Tensor, Tensor]:
    """The noisy and clean crops of one step, N×C×S×S, made on the device."""
    generator = torch.Generator(crops.starts.device)
    generator.manual_seed(hash((recipe.seed, step, processes.rank)) & 0x7FFFFFFF)
    drawn = crops.draw(max(1, recipe.batch // processes.count), generator)
    if len(drawn) == 2:
        return drawn[0], drawn[1]
    return degrade(drawn[0], noise, generator), drawn[0]


@torch.no_grad()
def update_average(state: State, decay: float) -> None:
    """Move the averaged weights towards the current ones; faster while training is young."""
    keep = min(decay, (1 + state.step) / (10 + state.step))
    pairs = zip(state.average.parameters(), state.net.parameters(), strict=True)
    for average, current in pairs:
        average.lerp_(current, 1 - keep)


def check_loss(loss: float, step: int) -> None:
    """Stop as soon as the loss is no longer a number."""
    if loss != loss or loss in (float("inf"), float("-inf")):
        msg = (
            f"The loss became {loss} at step {step}; the last checkpoint is kept. "
            "Lower the recipe's step length (lr) and use --resume."
        )
        raise TrainingError(msg)


def write_json(fields: dict[str, Any], path: Any) -> None:
    """Write one JSON file, readable for people."""
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _groups(state: State) -> Iterator[dict[str, Any]]:
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            yield group
