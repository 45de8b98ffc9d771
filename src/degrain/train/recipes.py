"""Recipes: how each network is trained, as plain functions that return a frozen value.

A recipe is written as JSON into the run folder, so that a run can be understood, resumed and
repeated without this file.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from degrain.errors import UsageError
from degrain.train.three_phase_recipes import THREE_PHASE


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run computes.

    Attributes:
        net: name in `degrain.nets.NETS`.
        options: keyword arguments of the network.
        channels: 1 (gray) or 3 (RGB).
        noise: spec of the noise added to every crop.
        gray: conversion of color pictures for a gray net: `luma` or `average`.
        loss: `rms`, `psnr`, `soft-psnr`, `l1`, `mse`, `charbonnier`, or `patch-sum`: the squared
            error summed over a crop, averaged over crops.
        teacher: empty, or a trained U-Net (name, ONNX file or run folder) whose answers count
            beside the clean pictures, see `train.losses`.
        told_teacher: empty, or a network for white noise whose answers count too where pixels
            share their noise, told its level, see `train.told`.
        told_share: what they count beside the teacher's or the clean pictures, 0..1.
        optimizer: `muon` (kernels inside the net; the ends by AdamW), `soap` (all kernels; for
            small nets), `adamw` or `sgd` (without momentum).
        lr: step length of Muon, or of Soap, AdamW or SGD where that is the optimizer.
        lr_ends: AdamW's step length for the first and last layer beside Muon; SGD's for the last
            layer of a net with two or more hidden layers.
        warmup_steps: steps over which the step length rises from zero.
        schedule: `linear`: the step length then falls to zero at the end of the budget;
            `constant`: it stays.
        batch: crops a step, over all processes.
        distinct: the crops of a step come from as many different pictures.
        crop: side of a crop in pixels.
        enlarge: with the noise `camera`, nine in ten shots of it show parts of crops, enlarged at
            most this many times (`train.camera.photograph`); 1: none.
        leaves: share of the crops that have shapes and letters drawn over them (`train.drawn`).
        uneven: share of the crops whose noise grows with the light or is clipped (`train.uneven`).
        clip: largest gradient norm (AdamW only; Muon's steps have a length of their own).
        ema: decay per step of the averaged weights that are validated and exported.
        layer_shares: empty: the net is trained whole. Else it grows from one hidden layer to as
            many as there are shares, and each share of the budget is spent on one of these nets.
        steps: budget in steps, or
        minutes: budget in minutes of training; exactly one of the two.
        fast: products in bfloat16 on a CPU that has them, and the layout of maps that they want.
            (On a GPU that has bfloat16 it is always used.)
        validate_every: steps between validations.
        validation_noise: specs validated on.
        seed: of initialization, crops and noise.
    """

    net: str
    options: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 1
    noise: str = "gaussian:0-55"
    gray: str = "luma"
    loss: str = "rms"
    teacher: str = ""
    told_teacher: str = ""
    told_share: float = 0.6
    optimizer: str = "muon"
    lr: float = 0.008
    lr_ends: float = 1e-3
    warmup_steps: int = 200
    schedule: str = "linear"
    batch: int = 8
    distinct: bool = False
    crop: int = 64
    enlarge: float = 1.0
    leaves: float = 0.0
    uneven: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    layer_shares: tuple[float, ...] = ()
    steps: int | None = None
    minutes: float | None = 60.0
    fast: bool = False
    validate_every: int = 1000
    validation_noise: tuple[str, ...] = ("gaussian:15", "gaussian:25", "gaussian:50")
    seed: int = 0

    @property
    def is_taught(self) -> bool:
        """Does it learn from other networks, and not from clean pictures alone?"""
        return bool(self.teacher or self.told_teacher)


LAYER_SHARES: Final = (0.1, 0.15, 0.25, 0.5)
"""Budget of the nets with 1, 2, 3 and 4 hidden layers: deeper ones learn more and cost more."""


def degrain_gray() -> Recipe:
    """The shipped gray net: blind Gaussian noise, about an hour on two cores."""
    return _unet(1, widths=(48, 96, 128), decoder=(4, 2))


def degrain_color() -> Recipe:
    """The shipped color net: blind Gaussian noise."""
    return _unet(3, widths=(48, 96, 128), decoder=(3, 2))


def degrain_color_shallow() -> Recipe:
    """What `degrain-color` grew from: light enough for photographs of 12 megapixels."""
    return _unet(3, widths=(48, 96, 128))


def degrain_gray_fast() -> Recipe:
    """The small gray net, for a third of the multiplies: blind Gaussian noise."""
    return _unet(1, widths=(32, 64, 96))


def degrain_color_fast() -> Recipe:
    """The small color net: blind Gaussian noise, for many or large photographs."""
    return _unet(3, widths=(32, 64, 96))


def degrain_photo() -> Recipe:
    """The color net for photographs: camera noise, white noise and clean pictures mixed."""
    return _of_photographs(_unet(3, widths=(48, 96, 128), decoder=(2, 1)))


def degrain_photo_fast() -> Recipe:
    """The small color net for photographs, for many or large ones."""
    return _of_photographs(degrain_color_fast())


def _unet(channels: int, widths: tuple[int, ...], decoder: tuple[int, ...] | None = None) -> Recipe:
    """A `UNet` with one residual block at every scale on the way down, and so many on the way up.

    A second one on the way down did nothing: its ReLUs never fired (benchmarks/LOG.md).
    """
    scales = len(widths) - 1
    options = {
        "channels": channels,
        "widths": widths,
        "encoder": (1,) * scales,
        "decoder": decoder or (1,) * scales,
        "middle": 1,
    }
    return Recipe(net="unet", options=options, channels=channels, lr=0.01, fast=True)


def _of_photographs(recipe: Recipe) -> Recipe:
    return dataclasses.replace(
        recipe,
        noise="camera",
        enlarge=8.0,
        leaves=0.4,
        loss="soft-psnr",
        validation_noise=("camera", "gaussian:25", "gaussian:50"),
    )


def jain_seung() -> Recipe:
    """CN1 or CN2 (which of them is decided by the pictures) for one noise level."""
    return Recipe(
        net="jain-seung-2008",
        options={"channels": 1, "hidden": 4},
        noise="gaussian:25",
        gray="average",
        optimizer="soap",
        lr=0.006,
        warmup_steps=100,
        batch=4,
        crop=32,
        fast=True,
        validation_noise=("gaussian:25", "gaussian:50", "gaussian:100"),
    )


def jain_seung_blind() -> Recipe:
    """CNBlind: one hidden layer more, noise of any level up to 100."""
    return dataclasses.replace(
        jain_seung(), options={"channels": 1, "hidden": 5}, noise="gaussian:0-100"
    )


def jain_seung_layerwise() -> Recipe:
    """`jain-seung`, grown layer by layer at the same cost: what does growing buy?"""
    return dataclasses.replace(jain_seung(), layer_shares=LAYER_SHARES)


def jain_seung_faithful() -> Recipe:
    """The procedure of the paper (Sec. 3): plain SGD, six patches a step, layer by layer."""
    return dataclasses.replace(
        jain_seung(),
        loss="patch-sum",
        optimizer="sgd",
        lr=0.1,
        lr_ends=0.001,
        warmup_steps=0,
        schedule="constant",
        batch=6,
        crop=6,
        distinct=True,
        ema=0.0,
        layer_shares=LAYER_SHARES,
        fast=False,
        validate_every=10_000,
    )


def tiny_gray() -> Recipe:
    """A net of a few thousand weights that trains in seconds: for trying things out."""
    options = {"channels": 1, "widths": (8, 8), "encoder": (0,), "decoder": (1,), "middle": 1}
    return Recipe(net="unet", options=options, crop=32, batch=4, minutes=None, steps=500)


def mean_field(sigma_255: float = 25.0, *, tied: bool = True, direct_input: bool = True) -> Recipe:
    """The unrolled mean-field iteration of Jain & Seung 2008, Sec. 4, for one noise level."""
    noise = f"gaussian:{sigma_255:g}"
    options = {
        "channels": 1,
        "maps": 24,
        "kernel": 5,
        "iterations": 4,
        "sigma_255": sigma_255,
        "tied": tied,
        "direct_input": direct_input,
    }
    return Recipe(
        net="mean-field",
        options=options,
        gray="average",
        noise=noise,
        validation_noise=(noise,),
        optimizer="soap",
        lr=0.006,
        warmup_steps=100,
        batch=4,
        crop=48,
        fast=True,
    )


def inpainting() -> Recipe:
    """Half of the pixels lost at random places, which the net has to find out by itself."""
    return _other_damage("mask:0.5", "mask:0.5")


def inpainting_text() -> Recipe:
    """White text over the picture, of unknown place and size."""
    return _other_damage("text:8-16", "text:12")


def poisson() -> Recipe:
    """Photon noise; white is 30 photons."""
    return _other_damage("poisson:30", "poisson:30")


def _other_damage(noise: str, validation_noise: str) -> Recipe:
    """A small U-Net: after a minute far ahead of the 2008 network, see benchmarks/LOG.md."""
    options = {"channels": 1, "widths": (32, 48), "encoder": (1,), "decoder": (1,), "middle": 1}
    return Recipe(
        net="unet",
        options=options,
        noise=noise,
        validation_noise=(validation_noise,),
        lr=0.01,
        crop=48,
        batch=8,
    )


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "degrain-gray": degrain_gray,
    "degrain-color": degrain_color,
    "degrain-color-shallow": degrain_color_shallow,
    "degrain-gray-fast": degrain_gray_fast,
    "degrain-color-fast": degrain_color_fast,
    "degrain-photo": degrain_photo,
    "degrain-photo-fast": degrain_photo_fast,
    "jain-seung": jain_seung,
    "jain-seung-blind": jain_seung_blind,
    "jain-seung-layerwise": jain_seung_layerwise,
    "jain-seung-faithful": jain_seung_faithful,
    "tiny-gray": tiny_gray,
    "mean-field": mean_field,
    "mean-field-50": partial(mean_field, 50.0),
    # What its ties and the picture's way to every layer are worth, which the paper leaves open.
    "mean-field-untied": partial(mean_field, tied=False),
    "mean-field-first-input": partial(mean_field, direct_input=False),
    "mean-field-neither": partial(mean_field, tied=False, direct_input=False),
    "inpainting": inpainting,
    "inpainting-text": inpainting_text,
    "poisson": poisson,
}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    if name in RECIPES:
        return RECIPES[name]()
    names = sorted([*RECIPES, *THREE_PHASE])
    nearest = difflib.get_close_matches(name, names, n=1) or names
    msg = f"Unknown recipe {name!r}; did you mean {' or '.join(nearest)}?"
    raise UsageError(msg)


def with_budget(recipe: Recipe, steps: int | None, minutes: float | None) -> Recipe:
    """The recipe with another budget; giving both steps and minutes is an error."""
    if steps is not None and minutes is not None:
        msg = "Give --steps or --minutes, not both: either alone sets the budget."
        raise UsageError(msg)
    if (steps is not None and steps < 1) or (minutes is not None and minutes <= 0):
        msg = "The training budget must be positive; give --steps 1 or more."
        raise UsageError(msg)
    if steps is None and minutes is None:
        return recipe
    return dataclasses.replace(recipe, steps=steps, minutes=minutes)


def from_json(fields: Mapping[str, Any]) -> Recipe:
    """A recipe from the JSON of a run folder."""
    known = {f.name for f in dataclasses.fields(Recipe)}
    values = {name: value for name, value in fields.items() if name in known}
    for name in ("validation_noise", "layer_shares"):
        values[name] = tuple(values.get(name, ()))
    return Recipe(**values)
