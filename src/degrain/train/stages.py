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
class Session:
    """Everything a stage needs."""

    recipe: ThreePhaseRecipe
    stages: tuple[str, ...]
    players: Players
    progress: Progress
    crops: CropSource
    validation: dict[str, Validation]
    journal: Journal


def run_stage(session: Session, stage: str) -> None:
    """Train one stage until its budget is spent, from where the session stands.

    Raises:
        TrainingError: the loss is no longer a number; the last good checkpoint stays.
    """
    progress, recipe = session.progress, session.recipe
    if progress.stage != stage:
        session.progress = progress = dataclasses.replace(
            progress, stage=stage, step=0, seconds=0.0, means={}
        )
        phases.begin(session.players, recipe, stage)
    session.journal.open_stage(stage)
    noise = parse_noise(recipe.noise)
    started = last_save = time.perf_counter()
    before = progress.seconds
    while not _over(session):
        _set_rates(session)
        batch = _draw(session, noise)
        report = phases.STEPS[stage](session.players, recipe, batch)
        _count(session, report, before + time.perf_counter() - started)
        if progress.step % recipe.validate_every == 0:
            _validate(session)
        if time.perf_counter() - last_save > SECONDS_BETWEEN_CHECKPOINTS:
            save(session)
            last_save = time.perf_counter()
    phases.finish(session.players)
    _validate(session)
    progress.stage, progress.done = "", (*progress.done, stage)
    save(session)
    if stage in PHASES:
        _keep(session, stage)


def restore(session: Session, saved: Mapping[str, Any]) -> None:
    """Continue from a checkpoint of the same run."""
    players = session.players
    session.progress = Progress(**{**saved["progress"], "done": tuple(saved["progress"]["done"])})
    players.net.load_state_dict(saved["net"])
    players.average.load_state_dict(saved["average"])
    if players.discriminator is not None and saved["discriminator"]:
        players.discriminator.restore(saved["discriminator"])
    if session.progress.stage:
        phases.begin(players, session.recipe, session.progress.stage)
        for optimizer, values in zip(players.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
    session.journal.forget_after(session.progress.iteration)


def save(session: Session) -> None:
    """Write the checkpoint, unless a weight is no longer a number.

    Raises:
        TrainingError: one is; the checkpoint before stays.
    """
    players, progress = session.players, session.progress
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
    checkpoint.save(state, session.journal.run / "checkpoint.pt")


def _budget_share(session: Session) -> float:
    """The running stage's part of the whole budget."""
    shares = session.recipe.shares
    return shares[session.progress.stage] / sum(shares[stage] for stage in session.stages)


def _spent(session: Session) -> float:
    """Share of the running stage's budget that is used, 0..1 and beyond."""
    recipe, progress = session.recipe, session.progress
    if recipe.steps is not None:
        return progress.step / _stage_steps(session, recipe.steps)
    assert recipe.minutes is not None
    return progress.seconds / (60 * recipe.minutes * _budget_share(session))


def _stage_steps(session: Session, steps: int) -> int:
    """The running stage's part of a budget in steps."""
    return max(1, round(steps * _budget_share(session)))


def _total(session: Session) -> float:
    """How many steps the running stage will make; with a budget in minutes as far as known."""
    recipe, spent = session.recipe, _spent(session)
    if recipe.steps is not None:
        return _stage_steps(session, recipe.steps)
    return session.progress.step / spent if spent > 0 else float("inf")


def _over(session: Session) -> bool:
    progress = session.progress
    if progress.stage == "cold" and progress.step >= FEWEST_COLD_STEPS:
        convinced = progress.means["discriminator_accuracy"] >= session.recipe.cold_accuracy
        return convinced or _spent(session) >= 1
    return _spent(session) >= 1


def _set_rates(session: Session) -> None:
    """Phases 1 and 2: up over the first steps, then straight to zero. Phase 3: constant."""
    recipe, progress = session.recipe, session.progress
    if progress.stage not in ("1", "2"):
        return
    warmup = min(1.0, (progress.step + 1) / max(1, recipe.warmup_steps))
    for optimizer in session.players.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * warmup * max(0.0, 1.0 - _spent(session))


def _draw(session: Session, noise: Noise) -> Batch:
    recipe, progress = session.recipe, session.progress
    device = session.crops.starts.device
    generator = torch.Generator(device)
    place = (recipe.seed, STAGES.index(progress.stage), progress.step)
    generator.manual_seed(hash(place) & 0x7FFFFFFF)
    (clean,) = session.crops.draw(recipe.batch, generator)
    noisy: Tensor = clean if progress.stage == "1" else degrade(clean, noise, generator)
    weight = phases.adversarial_weight(progress.step, _total(session), recipe.s)
    return Batch(clean.contiguous(), noisy.contiguous(), generator, weight, progress.step)


def _count(session: Session, report: Mapping[str, float], seconds: float) -> None:
    """Take a step into the books; stop when the loss is no longer a number."""
    progress, recipe = session.progress, session.recipe
    for name, value in report.items():
        if value != value or abs(value) == float("inf"):
            raise TrainingError(_diverged(f"The {name.replace('_', ' ')}", progress))
        before = progress.means.get(name, value)
        progress.means[name] = MEMORY_OF_MEANS * before + (1 - MEMORY_OF_MEANS) * value
    progress.step += 1
    progress.iteration += 1
    progress.pixels += recipe.batch * recipe.crop**2
    progress.seconds = seconds
    session.journal.progress(_spent(session), progress.iteration, progress.means)


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


def _validate(session: Session) -> None:
    """One row of the journal."""
    progress, players = session.progress, session.players
    stage = progress.stage
    net: nn.Module = _Rebuilder(players.average) if stage == "1" else players.average
    row: dict[str, Any] = {
        "phase": stage,
        "step": progress.step,
        "iteration": progress.iteration,
        "pixels": progress.pixels,
        "seconds": round(progress.seconds, 1),
        **{name: round(value, 6) for name, value in progress.means.items()},
        "psnr": {k: round(v, 4) for k, v in session.validation[stage].psnr(net).items()},
    }
    if stage in ("2", "3"):
        layers = survivors(phases.regularized(players.average))
        row["survivors"] = dict(zip(("layer 5", "layer 6"), layers, strict=True))
    session.journal.write(row)


def _keep(session: Session, stage: str) -> None:
    """Write the weights that a phase ended with, and in phase 3 its discriminator."""
    players = session.players
    kept: dict[str, Any] = {"net": players.average.state_dict()}
    if stage == "3" and players.discriminator is not None:
        kept["discriminator"] = players.discriminator.learned()
    checkpoint.save(kept, session.journal.run / f"phase-{stage}.pt")


class _Rebuilder(nn.Module):
    """Phase 1 in use: features and reconstruction, the damping left out."""

    def __init__(self, net: MultiScaleDampedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_nchw: Tensor) -> Tensor:
        return self.net.rebuild(self.net.extract(x_nchw))
