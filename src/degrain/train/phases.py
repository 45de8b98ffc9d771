"""One step of each phase of Divakar & Babu 2017, Sec. 2.2 and Algorithm 1.

| stage  | who learns                         | from                                            |
|--------|------------------------------------|-------------------------------------------------|
| `1`    | features and reconstruction        | clean to clean, dropout, damping left out       |
| `2`    | damping and reconstruction         | noisy to clean, lp penalty on layers 5 and 6    |
| `cold` | the discriminator alone            | denoised against clean crops                    |
| `3`    | the whole net and the discriminator| noisy to clean, and not to be recognized        |
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.train.averaging import follow
from degrain.train.discriminator import Discriminator, adversarial_loss, discrimination_loss
from degrain.train.regularizer import lp_penalty
from degrain.train.soap import Soap
from degrain.train.three_phase_recipes import ThreePhaseRecipe

STAGES: Final = ("1", "2", "cold", "3")
"""In the order of training; the cold start of the discriminator opens phase 3."""

SHOWN: Final = 2
"""How often the discriminator is shown the data of an iteration (Algorithm 1)."""


@dataclass(slots=True)
class Players:
    """Who takes part.

    Attributes:
        net: the denoiser.
        average: its slowly following average, which is validated and kept.
        discriminator: from the cold start on.
        optimizers: of the running stage.
    """

    net: MultiScaleDampedNet
    average: MultiScaleDampedNet
    discriminator: Discriminator | None = None
    optimizers: list[Optimizer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees.

    Attributes:
        clean: crops N×C×S×S.
        noisy: the same with noise.
        generator: for all other random draws of the step.
        weight: of the adversarial loss, see `adversarial_weight`.
        step: number of the step inside its stage.
    """

    clean: Tensor
    noisy: Tensor
    generator: torch.Generator
    weight: float = 0.0
    step: int = 0


Report = dict[str, float]
Step = Callable[[Players, ThreePhaseRecipe, Batch], Report]


def new_players(net: nn.Module, discriminator: Discriminator | None) -> Players:
    """The net, which already has its first weights and its device, and its average."""
    first = cast(MultiScaleDampedNet, net)
    average = copy.deepcopy(first).requires_grad_(False)
    return Players(first, average, discriminator)


def begin(players: Players, recipe: ThreePhaseRecipe, stage: str) -> None:
    """Decide who learns in a stage, and give them fresh optimizers."""
    net, judge = players.net, players.discriminator
    net.requires_grad_(stage != "cold")
    net.damping.requires_grad_(stage in ("2", "3"))
    net.features.requires_grad_(stage in ("1", "3") or (stage == "2" and not recipe.freeze))
    if judge is not None:
        judge.head.requires_grad_(stage in ("cold", "3"))
        judge.backbone.requires_grad_(stage in ("cold", "3") and not judge.frozen)
    players.optimizers = _optimizers(players, recipe, stage)
    for optimizer in players.optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]


def finish(players: Players) -> None:
    """End a stage: the averaged weights are its result, and the next one begins with them."""
    players.net.load_state_dict(players.average.state_dict())


def autoencode(players: Players, recipe: ThreePhaseRecipe, batch: Batch) -> Report:
    """Phase 1: learn features that a picture can be rebuilt from, even from few of them."""
    features = drop(players.net.extract(batch.clean), recipe.dropout, batch.generator)
    loss = rms_loss(players.net.rebuild(features), batch.clean)
    _descend(loss, players.optimizers)
    follow(players.average, players.net, warmed(recipe.ema, batch.step))
    return {"loss": float(loss.detach())}


def remove_noise(players: Players, recipe: ThreePhaseRecipe, batch: Batch) -> Report:
    """Phase 2: learn which features to damp, and to rebuild the picture from the rest."""
    error = rms_loss(players.net(batch.noisy), batch.clean)
    loss = error
    if recipe.lp_weight > 0:
        loss = error + recipe.lp_weight * lp_penalty(regularized(players.net), recipe.lp_power)
    _descend(loss, players.optimizers)
    follow(players.average, players.net, warmed(recipe.ema, batch.step))
    return {"loss": float(error.detach()), "total": float(loss.detach())}


def judge(players: Players, recipe: ThreePhaseRecipe, batch: Batch) -> Report:
    """Cold start: the discriminator learns alone what the phase-2 net's pictures look like."""
    assert players.discriminator is not None
    with torch.no_grad():
        denoised = players.net(batch.noisy)
    return _teach(players, [players.discriminator.backbone(x) for x in (denoised, batch.clean)])


def play(players: Players, recipe: ThreePhaseRecipe, batch: Batch) -> Report:
    """Phase 3, one iteration of Algorithm 1: the discriminator twice, then the denoiser once."""
    discriminator = players.discriminator
    assert discriminator is not None
    denoised = players.net(batch.noisy)
    if discriminator.frozen:
        # One look at the pictures serves all three updates.
        with torch.no_grad():
            seen_clean = discriminator.backbone(batch.clean)
        seen_denoised = discriminator.backbone(denoised)
        for _ in range(SHOWN):
            report = _teach(players, [seen_denoised.detach(), seen_clean])
        logits = discriminator.head(seen_denoised)
    else:
        for _ in range(SHOWN):
            pictures = (denoised.detach(), batch.clean)
            report = _teach(players, [discriminator.backbone(x) for x in pictures])
        logits = discriminator(denoised)
    fidelity = (denoised - batch.clean).square().sum((1, 2, 3)).mean()
    adversarial = adversarial_loss(logits)
    loss = fidelity + recipe.adversarial_scale * batch.weight * adversarial
    _descend(loss, players.optimizers[:1])
    follow(players.average, players.net, recipe.ema_adversarial)
    return {
        **report,
        "loss": float(fidelity.detach()),
        "adversarial_loss": float(adversarial.detach()),
        "total": float(loss.detach()),
    }


STEPS: Final[Mapping[str, Step]] = {
    "1": autoencode,
    "2": remove_noise,
    "cold": judge,
    "3": play,
}


def adversarial_weight(step: int, total: float, s: float) -> float:
    """(1 + s·t) / T of Eq. 7, for t = 0 .. T-1: from 1/T up to almost s.

    The bracket is read as printed, over the whole of it: the game then sets in gently, where
    1 + s·t/T would start with full force; and "s = 0.99" becomes the weight reached at the end.
    """
    return (1 + s * step) / total


def warmed(decay: float, step: int) -> float:
    """The average's decay: smaller while a phase is young and its weights move fast."""
    return min(decay, (1 + step) / (10 + step))


def drop(x_nchw: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout: set this share of all values to zero and scale the others up.

    Its draw depends on `generator` alone, which PyTorch's own does not, so that a resumed run
    repeats it.
    """
    kept = torch.rand(x_nchw.shape, generator=generator, device=x_nchw.device) >= share
    return x_nchw * kept / (1 - share)


def rms_loss(output_nchw: Tensor, clean_nchw: Tensor) -> Tensor:
    """Root of the mean squared error of each crop, averaged over the crops.

    So that crops with much noise do not decide everything, as they would with plain MSE.
    """
    return ((output_nchw - clean_nchw).square().mean((1, 2, 3)) + 1e-7).sqrt().mean()


def regularized(net: MultiScaleDampedNet) -> list[Tensor]:
    """The kernels of layers 5 and 6."""
    return [cast(nn.Conv2d, layer).weight for layer in net.reconstruction[:2]]


def _optimizers(players: Players, recipe: ThreePhaseRecipe, stage: str) -> list[Optimizer]:
    """Soap and AdamW for phases 1 and 2, which the paper leaves open; Adam as stated after."""
    if stage in ("1", "2"):
        return _soap_and_adam(players.net, recipe)
    judge = players.discriminator
    assert judge is not None
    if stage == "cold":
        return [Adam(_learning(judge), recipe.lr_cold)]
    return [
        Adam(_learning(players.net), recipe.lr_denoiser),
        Adam(_learning(judge), recipe.lr_discriminator),
    ]


def _soap_and_adam(net: MultiScaleDampedNet, recipe: ThreePhaseRecipe) -> list[Optimizer]:
    """Soap for the kernels, whose maps all see the same; AdamW for the biases."""
    learning = _learning(net)
    kernels = [weight for weight in learning if weight.dim() > 1]
    biases = [weight for weight in learning if weight.dim() == 1]
    soap = Soap(kernels, recipe.lr, share=True)
    return [soap, AdamW(biases, recipe.lr_biases, soap.defaults["betas"], weight_decay=0.0)]


def _learning(module: nn.Module) -> list[Tensor]:
    return [weight for weight in module.parameters() if weight.requires_grad]


def _teach(players: Players, seen: list[Tensor]) -> Report:
    """One update of the discriminator on features of denoised and clean crops."""
    assert players.discriminator is not None
    head = players.discriminator.head
    loss, accuracy = discrimination_loss(head(seen[0]), head(seen[1]))
    _descend(loss, players.optimizers[-1:])
    return {"discriminator_loss": float(loss.detach()), "discriminator_accuracy": accuracy}


def _descend(loss: Tensor, optimizers: list[Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
