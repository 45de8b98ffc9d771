"""Torch networks, one paper a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet
from degrain.nets.jain_seung_2008 import ConvolutionalNetwork
from degrain.nets.mean_field import MeanFieldNet
from degrain.nets.unet import UNet

NETS: Final[dict[str, Callable[..., nn.Module]]] = {
    "mean-field": MeanFieldNet,
    "multiscale-damped": MultiScaleDampedNet,
    "unet": UNet,
    "jain-seung-2008": ConvolutionalNetwork,
}
"""Networks by name; a run's config.json names one and holds its keyword arguments."""
