"""The stages of a three-phase run: loop, checkpoints, validation.

Every step's crops, noise and dropout depend only on (seed, stage, step), so a resumed run makes the
same steps as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from degrain.errors import TrainingError
from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.noise import Noise, parse_noise
from degrain.train import checkpoint, phases
from degrain.train.data import CropSource
from degrain.train.degrade import degrade
from degrain.train.devices import exact
from degrain.train.journal import Journal
from degrain.train.phases import STAGES, Batch, Players
from degrain.train.regularizer import survivors
from degrain.train.three_phase_recipes import ThreePhaseRecipe
from degrain.train.watch import Validation

PHASES: Final = ("1", "2", "3")
SECONDS_BETWEEN_CHECKPOINTS = 120.0
MEMORY_OF_MEANS: Final = 0.98
"""Decay per step of the running means of losses and accuracy."""
FEWEST_COLD_STEPS: Final = 100


@dataclass(slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: the stage that is running; empty between stages.
        done: stages that are finished.
        step, seconds: inside the stage.
        iteration, pixels: since the beginning of the run.
        means: running means of what the stage reports.
    """

    stage: str = ""
    done: tuple[str, ...] = ()
    step: int = 0
    seconds: float = 0.0
    iteration: int = 0
    pixels: int = 0
    means: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Training:
    """Everything a stage needs."""

    recipe: ThreePhaseRecipe
    stages: tuple[str, ...]
    players: Players
    progress: Progress
    crops: CropSource
    validation: dict[str, Validation]
    journal: Journal


def run_stage(training: Training, stage: str) -> None:
    """Train one stage until its budget is spent, from where the training stands.

    Raises:
        TrainingError: the loss is no longer a number; the last good checkpoint stays.
    """
    progress, recipe = training.progress, training.recipe
    if progress.stage != stage:
        training.progress = progress = dataclasses.replace(
            progress, stage=stage, step=0, seconds=0.0, means={}
        )
        phases.begin(training.players, recipe, stage)
    training.journal.open_stage(stage)
    noise = parse_noise(recipe.noise)
    started = last_save = time.perf_counter()
    before = progress.seconds
    while not _over(training):
        _set_rates(training)
        batch = _draw(training, noise)
        report = phases.STEPS[stage](training.players, recipe, batch)
        _count(training, report, before + time.perf_counter() - started)
        if progress.step % recipe.validate_every == 0:
            _validate(training)
        if time.perf_counter() - last_save > SECONDS_BETWEEN_CHECKPOINTS:
            save(training)
            last_save = time.perf_counter()
    phases.finish(training.players)
    _validate(training)
    if stage in PHASES:
        _keep(training, stage)  # before the checkpoint says that the phase is done
    progress.stage, progress.done = "", (*progress.done, stage)
    save(training)


def restore(training: Training, saved: Mapping[str, Any]) -> None:
    """Continue from a checkpoint of the same run."""
    players = training.players
    training.progress = Progress(**{**saved["progress"], "done": tuple(saved["progress"]["done"])})
    players.net.load_state_dict(saved["net"])
    players.average.load_state_dict(saved["average"])
    if players.discriminator is not None and saved["discriminator"]:
        players.discriminator.restore(saved["discriminator"])
    if training.progress.stage:
        phases.begin(players, training.recipe, training.progress.stage)
        for optimizer, values in zip(players.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
    training.journal.forget_after(training.progress.iteration)


def save(training: Training) -> None:
    """Write the checkpoint, unless a weight is no longer a number.

    Raises:
        TrainingError: one is; the checkpoint before stays.
    """
    players, progress = training.players, training.progress
    if not all(bool(weight.isfinite().all()) for weight in players.net.parameters()):
        raise TrainingError(_diverged("A weight", progress))
    judge = players.discriminator
    state = {
        "progress": {**dataclasses.asdict(progress), "done": list(progress.done)},
        "net": players.net.state_dict(),
        "average": players.average.state_dict(),
        "discriminator": judge.learned() if judge is not None else {},
        "optimizers": [optimizer.state_dict() for optimizer in players.optimizers],
    }
    checkpoint.save(state, training.journal.run / "checkpoint.pt")


def _budget_share(training: Training) -> float:
    """The running stage's part of the whole budget."""
    shares = training.recipe.shares
    return shares[training.progress.stage] / sum(shares.get(stage, 0) for stage in training.stages)


def _spent(training: Training) -> float:
    """Share of the running stage's budget that is used, 0..1 and beyond."""
    recipe, progress = training.recipe, training.progress
    steps = _stage_steps(training)
    if steps is not None:
        return progress.step / steps
    assert recipe.minutes is not None
    return progress.seconds / (60 * recipe.minutes * _budget_share(training))


def _stage_steps(training: Training) -> int | None:
    """How many steps the running stage makes; None: as many as fit its minutes."""
    recipe = training.recipe
    if training.progress.stage == "1":
        return recipe.steps_phase_1
    if recipe.steps is None:
        return None
    return max(1, round(recipe.steps * _budget_share(training)))


def _total(training: Training) -> float:
    """How many steps the running stage will make; with a budget in minutes as far as known."""
    steps, spent = _stage_steps(training), _spent(training)
    if steps is not None:
        return steps
    return training.progress.step / spent if spent > 0 else float("inf")


def _over(training: Training) -> bool:
    progress = training.progress
    if progress.stage == "cold" and progress.step >= FEWEST_COLD_STEPS:
        convinced = progress.means["discriminator_accuracy"] >= training.recipe.cold_accuracy
        return convinced or _spent(training) >= 1
    return _spent(training) >= 1


def _set_rates(training: Training) -> None:
    """Phases 1 and 2: up over the first steps, then straight to zero. Phase 3: constant."""
    recipe, progress = training.recipe, training.progress
    if progress.stage not in ("1", "2"):
        return
    warmup = min(1.0, (progress.step + 1) / max(1, recipe.warmup_steps))
    for optimizer in training.players.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * warmup * max(0.0, 1.0 - _spent(training))


def _draw(training: Training, noise: Noise) -> Batch:
    recipe, progress = training.recipe, training.progress
    device = training.crops.starts.device
    generator = torch.Generator(device)
    place = (recipe.seed, STAGES.index(progress.stage), progress.step)
    generator.manual_seed(hash(place) & 0x7FFFFFFF)
    (clean,) = training.crops.draw(recipe.batch, generator)
    with exact(device):
        noisy: Tensor = clean if progress.stage == "1" else degrade(clean, noise, generator)
    weight = phases.adversarial_weight(progress.step, _total(training), recipe.s)
    return Batch(clean.contiguous(), noisy.contiguous(), generator, weight, progress.step)


def _count(training: Training, report: Mapping[str, float], seconds: float) -> None:
    """Take a step into the books; stop when the loss is no longer a number."""
    progress, recipe = training.progress, training.recipe
    for name, value in report.items():
        if value != value or abs(value) == float("inf"):
            raise TrainingError(_diverged(f"The {name.replace('_', ' ')}", progress))
        before = progress.means.get(name, value)
        progress.means[name] = MEMORY_OF_MEANS * before + (1 - MEMORY_OF_MEANS) * value
    progress.step += 1
    progress.iteration += 1
    progress.pixels += recipe.batch * recipe.crop**2
    progress.seconds = seconds
    training.journal.progress(_spent(training), progress.iteration, progress.means)


def _diverged(what: str, progress: Progress) -> str:
    advice = {
        "1": "a smaller lr in the recipe",
        "2": "a smaller --lp-weight, a larger --lp-power or a smaller lr in the recipe",
    }.get(progress.stage, "a smaller adversarial_scale in the recipe")
    return (
        f"{what} is no longer a number in stage {progress.stage}, step {progress.step}; the last "
        "good checkpoint is kept. Go on with --resume, and if it happens again start anew with "
        f"{advice}."
    )


def _validate(training: Training) -> None:
    """One row of the journal."""
    progress, players = training.progress, training.players
    stage = progress.stage
    net: nn.Module = _Rebuilder(players.average) if stage == "1" else players.average
    row: dict[str, Any] = {
        "phase": stage,
        "step": progress.step,
        "iteration": progress.iteration,
        "pixels": progress.pixels,
        "seconds": round(progress.seconds, 1),
        **{name: round(value, 6) for name, value in progress.means.items()},
        "psnr": {k: round(v, 4) for k, v in training.validation[stage].psnr(net).items()},
    }
    if stage in ("2", "3"):
        layers = survivors(phases.regularized(players.average))
        row["survivors"] = dict(zip(("layer 5", "layer 6"), layers, strict=True))
    training.journal.write(row)


def _keep(training: Training, stage: str) -> None:
    """Write the weights that a phase ended with, and in phase 3 its discriminator."""
    players = training.players
    kept: dict[str, Any] = {"net": players.average.state_dict()}
    if stage == "3" and players.discriminator is not None:
        kept["discriminator"] = players.discriminator.learned()
    checkpoint.save(kept, training.journal.run / f"phase-{stage}.pt")


class _Rebuilder(nn.Module):
    """Phase 1 in use: features and reconstruction, the damping left out."""

    def __init__(self, net: MultiScaleDampedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_nchw: Tensor) -> Tensor:
        """N×C×H×W in and out."""
        return self.net.rebuild(self.net.extract(x_nchw))
