"""Small U-Nets and their exported files, for tests that need a network but not a good one."""

from __future__ import annotations

from pathlib import Path

import torch

from degrain.nets.unet import UNet
from degrain.train.onnx_file import write_onnx

SMALL = {"widths": (8, 12), "encoder": (1,), "decoder": (1,), "middle": 1}


def small(channels: int) -> UNet:
    """A network far from the identity, always the same."""
    torch.manual_seed(channels)
    net = UNet(channels=channels, **SMALL)
    with torch.no_grad():
        net.tail.weight.mul_(10)
    return net.eval()


def export_small(folder: Path) -> dict[int, tuple[UNet, Path]]:
    """Gray and color network, with their ONNX files in `folder`, by channels."""
    found = {}
    for channels in (1, 3):
        net, path = small(channels), folder / f"net{channels}.onnx"
        write_onnx(net, path, channels)
        found[channels] = (net, path)
    return found
