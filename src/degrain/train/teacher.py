"""A teacher: a trained U-Net whose answers a smaller or younger one learns, see `losses`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from degrain.errors import ModelError
from degrain.nets.unet import MAPS_A_CHANNEL, UNet
from degrain.train.devices import compile_for
from degrain.train.start import stored_weights


def load_teacher(model: str, channels: int, device: torch.device) -> UNet:
    """The network of a model, ready to answer on `device`.

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
    net.to(device).eval().requires_grad_(False)
    compile_for(net, device)
    return net


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


def answer(teacher: nn.Module | None, noisy_nchw: Tensor) -> Tensor | None:
    """The teacher's answer as float32, without gradients; None without a teacher."""
    if teacher is None:
        return None
    with torch.no_grad():
        taught: Tensor = teacher(noisy_nchw)
    return taught.float()


def _blocks(stored: Mapping[str, Tensor], within: str) -> int:
    return sum(name.startswith(within) and name.endswith(".conv0.weight") for name in stored)
