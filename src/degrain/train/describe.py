"""A model's card as far as the exported file itself tells: counted or measured, never stated."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from degrain.engines.measure import measure
from degrain.engines.onnx import OnnxEngine
from degrain.errors import TrainingError
from degrain.train.onnx_file import form_for_export, write_onnx
from degrain.train.whole import whole_file
from degrain.zoo.card import ModelCard

UNMEASURED_BYTES_PER_PIXEL = 2048


def write_described(
    net: nn.Module, output: Path, channels: int, *, half: bool = False
) -> ModelCard:
    """Write a network as ONNX and measure its card; the file appears once that is done.

    With `half` its weights are stored in half precision, see `write_onnx`.

    Raises:
        TrainingError: the file cannot be written or measured.
    """
    with whole_file(output, "model") as partial:
        write_onnx(net, partial, channels, half=half)
        card = describe(net, partial, channels)
    return replace(card, path=output)


def describe(net: nn.Module, path: Path, channels: int) -> ModelCard:
    """A card with everything that can be counted or measured on the exported file."""
    halo, multiple_of = measure(OnnxEngine(path))
    return ModelCard(
        name=path.stem,
        summary=f"Blind denoiser for {'gray' if channels == 1 else 'color'} pictures.",
        channels=channels,
        halo=halo,
        multiple_of=multiple_of,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        license="Apache-2.0",
        parameters=sum(param.numel() for param in net.parameters()),
        macs_per_pixel=count_macs(form_for_export(net), channels),
        memory_bytes_per_pixel=measure_memory(path, channels),
        paper=_first_line(net),
        path=path,
    )


def count_macs(net: nn.Module, channels: int, side: int = 256) -> int:
    """Multiply-accumulates per picture pixel, counted on a `side`×`side` picture."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.rand(1, channels, side, side))
    return round(counter.get_total_flops() / 2 / side**2)


def measure_memory(path: Path, channels: int) -> int:
    """Bytes of working memory per tile pixel: peaks of two fresh processes, subtracted.

    Only Linux tells a process its own peak; elsewhere a cautious figure is assumed.
    """
    if sys.platform != "linux":
        return UNMEASURED_BYTES_PER_PIXEL
    small, large = 512, 1024
    peaks = [_peak_bytes(path, channels, side) for side in (small, large)]
    return max(64, round((peaks[1] - peaks[0]) / (large**2 - small**2)))


def _peak_bytes(path: Path, channels: int, side: int) -> int:
    """Peak memory of a process that runs the model once on a `side`×`side` picture."""
    # Not getrusage: its peak is inherited from the parent, which has torch in it.
    code = (
        "import re, sys, numpy\n"
        "from pathlib import Path\n"
        "from degrain.engines.onnx import OnnxEngine\n"
        "channels, side = int(sys.argv[2]), int(sys.argv[3])\n"
        "OnnxEngine(Path(sys.argv[1])).run(numpy.zeros((1, channels, side, side), 'float32'))\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    arguments = [sys.executable, "-c", code, str(path), str(channels), str(side)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode:
        msg = f"The memory that {path} takes could not be measured: a run of it ended early."
        raise TrainingError(msg)
    return int(result.stdout) * 1024


def _first_line(net: nn.Module) -> str:
    module = sys.modules[type(net).__module__]
    return (module.__doc__ or "").strip().splitlines()[0]
