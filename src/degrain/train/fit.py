"""fit: the training loop, linear and readable; `train` sets a run up and calls it.

A run folder holds `config.json` (the recipe and the data), `checkpoint.pt` (everything needed
to go on), `metrics.jsonl` (one line per validation), and TensorBoard events where that is
installed. Every step's crops and noise depend only on (seed, step, process), so a resumed run
makes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from degrain.errors import TrainingError
from degrain.nets import NETS
from degrain.nets.jain_seung_2008 import OUTSIDE
from degrain.noise import Camera, Jpeg, Noise, parse_noise
from degrain.train import checkpoint, losses
from degrain.train.ahead import Ahead, threads_for
from degrain.train.averaging import follow
from degrain.train.camera import photograph
from degrain.train.data import CropSource
from degrain.train.degrade import degrade
from degrain.train.devices import Processes, autocast, compile_for, exact
from degrain.train.drawn import draw_over
from degrain.train.muon import Muon
from degrain.train.recipes import Recipe
from degrain.train.seeds import host_source
from degrain.train.soap import Soap
from degrain.train.state import State
from degrain.train.teacher import load_teachers
from degrain.train.uneven import make_uneven
from degrain.train.watch import Validation, Watch

SECONDS_BETWEEN_CHECKPOINTS = 120.0

ENDS: Final = ("head", "tail")
"""Names of the modules at both ends of a net, which Muon leaves to AdamW."""


def build_net(recipe: Recipe) -> nn.Module:
    """The recipe's network with fresh weights from its seed."""
    torch.manual_seed(recipe.seed)
    return NETS[recipe.net](**recipe.options)


def new_state(recipe: Recipe, net: nn.Module) -> State:
    """A fresh state around `net`, which already has its first weights and its device."""
    if recipe.fast:
        # Products in bfloat16 are a third faster with the maps of a pixel side by side. Here, so
        # that nets that grow have the layout of resumed ones: sums in another order differ.
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net).requires_grad_(False)
    return State(net, average, make_optimizers(recipe, net))


def make_optimizers(recipe: Recipe, net: nn.Module) -> list[torch.optim.Optimizer]:
    """AdamW for all; SGD; Soap, and AdamW for biases; or Muon, and AdamW for both ends of a net."""
    if recipe.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=0.0)]
    if recipe.optimizer == "sgd":
        return [_plain_descent(recipe, net)]
    if recipe.optimizer == "soap":
        kernels = [param for param in net.parameters() if param.ndim >= 2]
        biases = [param for param in net.parameters() if param.ndim < 2]
        soap = Soap(kernels, recipe.lr)
        if not biases:
            return [soap]
        betas = soap.defaults["betas"]
        return [soap, torch.optim.AdamW(biases, recipe.lr, betas, weight_decay=0.0)]
    # The ends map pixels to features: orthogonal steps, which weigh all directions alike,
    # suit them badly (Jordan 2024 keeps AdamW for embeddings and heads for the same reason).
    named = dict(net.named_parameters())
    inner = [p for name, p in named.items() if name.split(".")[0] not in ENDS and p.ndim >= 2]
    outer = [p for name, p in named.items() if name.split(".")[0] in ENDS or p.ndim < 2]
    ends = torch.optim.AdamW(outer, recipe.lr_ends, weight_decay=0.0)
    return [Muon(inner, recipe.lr), ends] if inner else [ends]


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
    device = crops.starts.device
    teachers = load_teachers(recipe, device)
    compile_for(state.net, device)
    model = processes.wrap(state.net)
    border = int(getattr(state.net, "border_px", 0))
    given = {"surrounded": True} if border else {}
    first_rates = [group["initial_lr"] for group in _groups(state)]
    threads = threads_for(noise, recipe.leaves, device)
    draw = partial(draw_batch, crops, noise, recipe, processes=processes, border=border)
    # What `exact` sets holds for the process: here, so that no thread turns it off under another.
    with (
        exact_for(noise, device) if threads else contextlib.nullcontext(),
        Ahead(draw, state.step, threads, device) as batches,
    ):
        last_save = started = time.perf_counter()
        seconds_before = state.seconds
        while (progress := spent(recipe, state)) < 1:
            set_rates(state, first_rates, rate(progress, state.step - state.first_step, recipe))
            noisy, clean = batches.take()
            with autocast(device, fast=recipe.fast):
                taught = None
                if teachers is not None:
                    own = step_source(recipe, state.step, processes.rank, device, use=1)
                    taught = teachers.answer(noisy, clean, own)
                loss = losses.loss(recipe.loss, model(noisy, **given).float(), clean, taught)
            descend(loss, state, recipe)
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


def descend(loss: Tensor, state: State, recipe: Recipe) -> None:
    """One step of every optimizer down the loss."""
    for optimizer in state.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.optimizer == "adamw":
        nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip)
    for optimizer in state.optimizers:
        optimizer.step()


def save(state: State, recipe: Recipe, watch: Watch) -> None:
    """Write the checkpoint of this run, unless a weight is no longer a number.

    Raises:
        TrainingError: one is; the checkpoint before stays.
    """
    if not all(bool(weight.isfinite().all()) for weight in state.net.parameters()):
        raise TrainingError(_diverged("A weight", state.step))
    checkpoint.save(state.to_dict(asdict(recipe)), watch.run / "checkpoint.pt")


def spent(recipe: Recipe, state: State) -> float:
    """Share of the budget used, 0..1 and beyond."""
    if recipe.steps is not None:
        return (state.step - state.first_step) / recipe.steps
    assert recipe.minutes is not None
    return (state.seconds - state.first_seconds) / (60 * recipe.minutes)


def rate(progress: float, step: int, recipe: Recipe) -> float:
    """Multiplier of the step lengths: up over the first steps, then straight to zero or level."""
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    return warmup * (max(0.0, 1.0 - progress) if recipe.schedule == "linear" else 1.0)


def set_rates(state: State, first_rates: list[float], multiplier: float) -> None:
    """Scale every group's step length from its first value."""
    for group, first in zip(_groups(state), first_rates, strict=True):
        group["lr"] = first * multiplier


def draw_batch(
    crops: CropSource,
    noise: Noise,
    recipe: Recipe,
    step: int,
    processes: Processes,
    border: int = 0,
) -> tuple[Tensor, Tensor]:
    """The noisy and clean crops of one step, N×C×S×S, made on the device.

    With a border the noisy ones are larger by that many pixels on every side, for a network that
    wants its surroundings: noisy too, or `OUTSIDE` where the picture ends.
    """
    generator = step_source(recipe, step, processes.rank, crops.starts.device)
    count = max(1, recipe.batch // processes.count)
    drawn, inside = crops.draw_surrounded(count, generator, border)
    clean = drawn[-1]
    with exact_for(noise, clean.device):
        if len(drawn) == 2:
            noisy = drawn[0]
        elif takes_photographs(recipe, noise):
            noisy, clean = photograph(clean, recipe.enlarge, generator, recipe.leaves)
        else:
            if recipe.leaves:
                rng = host_source(clean, generator)
                clean, _ = draw_over(clean, recipe.leaves, rng, generator)
            noisy = degrade(clean, noise, generator)
            if recipe.uneven:
                lots = torch.rand(len(clean), 3, generator=generator, device=clean.device)
                noisy = make_uneven(noisy, clean, recipe.uneven, lots)
    if border:
        noisy = noisy.masked_fill(~inside, OUTSIDE)
        clean = clean[..., border:-border, border:-border]
    return noisy, clean


def exact_for(noise: Noise, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Full float32 for noise that is made by products; beside other noise the net stays fast."""
    return exact(device) if isinstance(noise, Camera | Jpeg) else contextlib.nullcontext()


def step_source(
    recipe: Recipe, step: int, rank: int, device: torch.device, use: int | None = None
) -> torch.Generator:
    """Random numbers that depend on the step, not on those before it; others for another use."""
    key = (recipe.seed, step, rank) if use is None else (recipe.seed, step, rank, use)
    return torch.Generator(device).manual_seed(hash(key) & 0x7FFFFFFF)


def takes_photographs(recipe: Recipe, noise: Noise) -> bool:
    """Whether crops become soft photographs; they are drawn twice as large then."""
    return isinstance(noise, Camera) and recipe.enlarge > 1


def update_average(state: State, decay: float) -> None:
    """Move the averaged weights towards the current ones; faster while this net is young."""
    steps = state.step - state.first_step
    follow(state.average, state.net, min(decay, (1 + steps) / (10 + steps)))


def check_loss(loss: float, step: int) -> None:
    """Stop as soon as the loss is no longer a number."""
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise TrainingError(_diverged("The loss", step))


def _diverged(what: str, step: int) -> str:
    return (
        f"{what} is no longer a number at step {step}; the last checkpoint is kept. Begin again "
        "with a smaller step length (--lr), or with the weights of that checkpoint (--start)."
    )


def _plain_descent(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Jain & Seung's step lengths: a small one for the last layer, if it is not the only other."""
    last = [p for name, p in net.named_parameters() if name.split(".")[0] == ENDS[1]]
    rest = [p for name, p in net.named_parameters() if name.split(".")[0] != ENDS[1]]
    deep = any(name.split(".")[0] not in ENDS for name, _ in net.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": rest},
        {"params": last, "lr": recipe.lr_ends if deep else recipe.lr},
    ]
    return torch.optim.SGD(groups, recipe.lr)


def _groups(state: State) -> Iterator[dict[str, Any]]:
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            yield group
