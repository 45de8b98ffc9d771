"""How the nets of Divakar & Babu 2017 are trained; the paper's net, and what is varied."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from degrain.errors import UsageError

LEVELS: Final = ("gaussian:10", "gaussian:15", "gaussian:20", "gaussian:25")
"""Noise of the paper's tables and of Fig. 5."""


@dataclass(frozen=True, slots=True)
class ThreePhaseRecipe:
    """Everything that decides what a three-phase run computes.

    Where the paper gives a value it is the default; the others are ours.

    Attributes:
        net: name in `degrain.nets.NETS`.
        options: keyword arguments of the network.
        channels: 1 (gray) or 3 (RGB).
        noise: of every crop; the paper draws the level at random and does not say from where.
        gray: conversion of color pictures for a gray net.
        crop: side of a crop in pixels (paper: 64); a multiple of 32 for phase 3.
        batch: crops a step.
        dropout: share of the features dropped in phase 1 (paper: 0.7).
        freeze: phase 2 leaves the features alone (paper: yes).
        lp_power: p of the regularizer (paper: 0.1).
        lp_weight: of the regularizer; 0 leaves it out.
        lr, lr_biases: step lengths in phases 1 and 2, of Soap for kernels and AdamW for biases.
        warmup_steps: steps over which these rise; they then fall linearly to zero.
        ema, ema_adversarial: decay per step of the averaged weights; phases 1 and 2, phase 3.
        discriminator: `vgg` (paper) or `scratch`.
        lr_cold: Adam's step length in the cold start of the discriminator.
        cold_accuracy: the cold start ends when the discriminator is right this often.
        lr_denoiser, lr_discriminator: Adam's step lengths in phase 3 (paper: 1e-5, 1e-6).
        s: of Eq. 7 (paper: 0.99).
        adversarial_scale: factor on the adversarial loss (paper: 1).
        steps_phase_1: length of phase 1, outside the budget and short: taken far, its features
            only copy the pixel they stand on.
        shares: of the budget, by stage; those of the stages that run are scaled up to all of it.
        steps: budget in steps, or
        minutes: budget in minutes; exactly one of the two.
        fast: damping in bfloat16 while training.
        validate_every: steps between validations.
        validation_noise: specs validated on.
        seed: of initialization, crops and noise.
    """

    net: str = "multiscale-damped"
    options: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 1
    noise: str = "gaussian:0-55"
    gray: str = "luma"
    crop: int = 64
    batch: int = 2
    dropout: float = 0.7
    freeze: bool = True
    lp_power: float = 0.1
    lp_weight: float = 1e-6
    lr: float = 0.006
    lr_biases: float = 0.005
    warmup_steps: int = 100
    ema: float = 0.998
    ema_adversarial: float = 0.99
    discriminator: Literal["vgg", "scratch"] = "vgg"
    lr_cold: float = 1e-4
    cold_accuracy: float = 0.95
    lr_denoiser: float = 1e-5
    lr_discriminator: float = 1e-6
    s: float = 0.99
    adversarial_scale: float = 1.0
    steps_phase_1: int = 60
    shares: Mapping[str, float] = field(default_factory=lambda: {"2": 0.6, "cold": 0.1, "3": 0.3})
    steps: int | None = None
    minutes: float | None = 120.0
    fast: bool = True
    validate_every: int = 200
    validation_noise: tuple[str, ...] = LEVELS
    seed: int = 0


def _paper() -> ThreePhaseRecipe:
    return ThreePhaseRecipe()


def _varied(**options: Any) -> Callable[[], ThreePhaseRecipe]:
    """The paper's recipe with another net."""
    return lambda: ThreePhaseRecipe(options=options, channels=options.get("channels", 1))


THREE_PHASE: Final[dict[str, Callable[[], ThreePhaseRecipe]]] = {
    "divakar-babu": _paper,
    "divakar-babu-color": _varied(channels=3),
    "divakar-babu-3x3": _varied(damping_kernel=3),
    "divakar-babu-wide": _varied(kernels=(3, 5, 7, 9, 11)),
    "divakar-babu-residual": _varied(residual=True),
    "divakar-babu-no-damping": _varied(damping=False),
    "divakar-babu-one-scale": _varied(kernels=(9,), widths=(240,)),
    "divakar-babu-unfrozen": lambda: dataclasses.replace(_paper(), freeze=False),
    "divakar-babu-no-lp": lambda: dataclasses.replace(_paper(), lp_weight=0.0),
    "divakar-babu-best": lambda: ThreePhaseRecipe(
        options={"damping_kernel": 3, "kernels": (3, 5, 7, 9, 11), "residual": True},
        freeze=False,
        lp_weight=0.0,
    ),
    "tiny-divakar-babu": lambda: ThreePhaseRecipe(
        options={"kernels": (1, 3, 5), "widths": (4, 4, 4), "hidden": (8, 8)},
        batch=4,
        crop=32,
        lr=0.03,
        lr_biases=0.01,
        warmup_steps=10,
        ema=0.98,
        discriminator="scratch",
        steps_phase_1=3,
        minutes=None,
        steps=100,
    ),
}
"""Recipes for `degrain train`: the paper's, its color version, and one change each."""


def from_json(fields: Mapping[str, Any]) -> ThreePhaseRecipe:
    """A recipe from the JSON of a run folder."""
    known = {f.name for f in dataclasses.fields(ThreePhaseRecipe)}
    values = {name: value for name, value in fields.items() if name in known}
    values["validation_noise"] = tuple(values["validation_noise"])
    return ThreePhaseRecipe(**values)


def checked(recipe: ThreePhaseRecipe) -> ThreePhaseRecipe:
    """The recipe, if it makes sense.

    Raises:
        UsageError: a number is out of its range.
    """
    ranges = {
        "dropout": (0, 0.99),
        "lp_power": (0.01, 2),
        "lp_weight": (0, 1),
        "batch": (1, 10**6),
        "crop": (8, 10**5),
    }
    for name, (low, high) in ranges.items():
        if not low <= getattr(recipe, name) <= high:
            msg = f"{name} = {getattr(recipe, name)} is not possible; take {low} to {high}."
            raise UsageError(msg)
    if recipe.discriminator not in ("vgg", "scratch"):
        msg = f"There is no discriminator {recipe.discriminator!r}; use vgg or scratch."
        raise UsageError(msg)
    return recipe
