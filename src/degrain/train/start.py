"""Beginning a network with the weights of another: of its own kind, or of a smaller one.

A smaller network is set into the corner of a larger one so that the larger one computes the
same at first (Chen, Goodfellow & Shlens, "Net2Net", ICLR 2016): new maps read their fresh weights,
but nothing old listens to them yet. New blocks are heard a little from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.errors import ModelError
from degrain.nets.unet import MAPS_A_CHANNEL
from degrain.train import checkpoint
from degrain.train.onnx_file import read_weights
from degrain.zoo.store import load_model

BLOCK: Final = ("conv0.weight", "conv1.weight")
"""What a new residual block brings. Its last kernels begin small and not at zero: behind zeros the
first ones have no gradient, and Muon walked them, at full length, to where no ReLU ever fired."""


def load_weights(net: nn.Module, model: str) -> None:
    """Start `net` from a model of the same architecture, by name, ONNX file or run folder.

    The model may have fewer maps a layer than `net`, fewer residual blocks, and kernels that are
    smaller by an even number of pixels, which go into the middle of larger ones. A gray model may
    start a color net: its first kernels are spread over the three channels, its last ones
    repeated; and a color model a gray net, by the reverse.

    Raises:
        ModelError: a tensor is missing or does not fit.
        TrainingError: the run folder has no checkpoint.
    """
    grow_into(net, stored_weights(model), model)


def stored_weights(model: str) -> Mapping[str, Tensor]:
    """The weights of a model, by name, ONNX file or run folder.

    Raises:
        UsageError: there is no such model.
        ModelError: its file is damaged.
        TrainingError: the run folder has no checkpoint.
    """
    if Path(model).is_dir():
        average: Mapping[str, Tensor] = checkpoint.load(Path(model) / "checkpoint.pt")["average"]
        return average
    return read_weights(load_model(model).path)


def grow_into(net: nn.Module, stored: Mapping[str, Tensor], model: str) -> None:
    """Set the weights `stored` of a network no larger than `net` into it."""
    transposed = {
        f"{name}.weight" for name, m in net.named_modules() if isinstance(m, nn.ConvTranspose2d)
    }
    fitted = {}
    for name, fresh in net.state_dict().items():
        if name in stored:
            outputs = 1 if name in transposed else 0
            fitted[name] = _set_in(_fit_channels(stored[name], fresh), fresh, outputs, name)
        elif name.endswith(BLOCK):
            fitted[name] = fresh
        else:
            msg = f"The model {model} has no weights named {name}; it is another architecture."
            raise ModelError(msg)
    net.load_state_dict(fitted)


def _fit_channels(stored: Tensor, wanted: Tensor) -> Tensor:
    """Adapt the kernel of a first or last layer to another number of picture channels.

    Such a kernel is known by its inputs (five maps a channel) or outputs (four a channel).
    """
    if stored.ndim != 4 or stored.shape[2:] != wanted.shape[2:]:
        return stored
    (outputs, inputs), (wanted_outputs, wanted_inputs) = stored.shape[:2], wanted.shape[:2]
    if wanted_inputs == 3 * inputs and inputs == MAPS_A_CHANNEL:
        return stored.repeat(1, 3, 1, 1) / 3
    if wanted_outputs == 3 * outputs and outputs == 4:
        return stored.repeat(3, 1, 1, 1)
    if inputs == 3 * wanted_inputs and wanted_inputs == MAPS_A_CHANNEL:
        return stored.view(outputs, 3, -1, *stored.shape[2:]).sum(1)
    if outputs == 3 * wanted_outputs and wanted_outputs == 4:
        return stored.view(3, -1, *stored.shape[1:]).mean(0)
    return stored


def _set_in(stored: Tensor, fresh: Tensor, outputs: int, name: str) -> Tensor:
    """`stored` in the first corner of `fresh`; old outputs do not read new inputs.

    `outputs` is the axis of the output maps, 0 or 1; the other of the two is the input maps'.
    """
    if stored.shape == fresh.shape:
        return stored
    if not _fits_into(stored.shape, fresh.shape):
        msg = f"The weights {name} have shape {tuple(stored.shape)}, not {tuple(fresh.shape)}."
        raise ModelError(msg)
    grown = fresh.clone()
    grown.narrow(outputs, 0, stored.shape[outputs]).zero_()
    down, across = (
        (new - old) // 2 for new, old in zip(fresh.shape[2:], stored.shape[2:], strict=True)
    )
    centered = functional.pad(stored, (across, across, down, down))
    grown[: stored.shape[0], : stored.shape[1]] = centered
    return grown


def _fits_into(stored: torch.Size, fresh: torch.Size) -> bool:
    """Whether both are kernels, the first nowhere larger, and their middles the same pixel."""
    if not len(stored) == len(fresh) == 4:
        return False
    grows = [new - old for new, old in zip(fresh, stored, strict=True)]
    return min(grows) >= 0 and grows[2] % 2 == grows[3] % 2 == 0
