"""A teacher: a trained U-Net whose answers a smaller or younger one learns, see `losses`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from degrain.errors import ModelError
from degrain.nets.unet import MAPS_A_CHANNEL, UNet
from degrain.train.devices import compile_for
from degrain.train.recipes import Recipe
from degrain.train.start import stored_weights
from degrain.train.told import soften


@dataclass(frozen=True, slots=True)
class Teachers:
    """Whose answers are learned.

    Attributes:
        blind: answers every crop; None: the clean crops are learned.
        told: answers some besides, told the noise level, see `told`; None: nobody does.
        share: what those answers count beside the others.
    """

    blind: nn.Module | None = None
    told: nn.Module | None = None
    share: float = 0.0

    @torch.no_grad()
    def answer(self, noisy_nchw: Tensor, clean_nchw: Tensor, generator: torch.Generator) -> Tensor:
        """What the net shall answer to these crops, as float32, without gradients.

        Args:
            noisy_nchw: what the net is asked about.
            clean_nchw: the same without noise.
            generator: on the device of the crops.
        """
        answers = clean_nchw if self.blind is None else self.blind(noisy_nchw).float()
        if self.told is None:
            return answers
        return soften(answers, noisy_nchw, clean_nchw, self.told, self.share, generator)


def load_teachers(recipe: Recipe, device: torch.device) -> Teachers | None:
    """Those of a recipe, ready to answer on `device`; None if it names none.

    Raises:
        ModelError, TrainingError: as of `load_teacher`.
    """
    if not recipe.is_taught:
        return None
    blind = load_teacher(recipe.teacher, recipe.channels, device) if recipe.teacher else None
    if blind is not None:
        compile_for(blind, device)
    if not recipe.told_teacher:
        return Teachers(blind)
    # Not compiled: it is asked about another number of crops at every step.
    told = load_teacher(recipe.told_teacher, recipe.channels, device)
    return Teachers(blind, told, recipe.told_share)


def load_teacher(model: str, channels: int, device: torch.device) -> UNet:
    """The network of a model on `device`, which never learns.

    Args:
        model: name or ONNX file of a U-Net, or a run folder of one.
        channels: of the pictures that it will be asked about.
        device: where they are.

    Raises:
        ModelError: it is no U-Net, or one for other pictures.
        TrainingError: the run folder has no checkpoint.
    """
    net = unet_of(stored_weights(model), model)
    if net.head.in_channels != MAPS_A_CHANNEL * channels:
        kind = "gray" if channels == 1 else "color"
        msg = f"The teacher {model} is not for {kind} pictures; give one that is."
        raise ModelError(msg)
    return net.to(device).eval().requires_grad_(False)


def unet_of(stored: Mapping[str, Tensor], model: str) -> UNet:
    """The U-Net that these weights belong to; its shape is read off theirs.

    Raises:
        ModelError: they belong to another network.
    """
    downs = sum(name.startswith("down.") for name in stored)
    msg = f"{model} is no U-Net; only the networks named degrain-* can teach."
    head = stored.get("head.weight")
    if head is None or head.ndim != 4 or head.shape[1] % MAPS_A_CHANNEL:
        raise ModelError(msg)
    try:
        steps = [stored[f"down.{scale}.weight"] for scale in range(downs)]
        net = UNet(
            channels=head.shape[1] // MAPS_A_CHANNEL,
            widths=(head.shape[0], *(step.shape[0] for step in steps)),
            encoder=tuple(_blocks(stored, f"encoder.{scale}.") for scale in range(downs)),
            decoder=tuple(_blocks(stored, f"decoder.{scale}.") for scale in range(downs)),
            middle=_blocks(stored, "middle."),
        )
        net.load_state_dict({name: stored[name] for name in net.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise ModelError(msg) from error
    return net


def _blocks(stored: Mapping[str, Tensor], within: str) -> int:
    return sum(name.startswith(within) and name.endswith(".conv0.weight") for name in stored)
