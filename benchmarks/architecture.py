"""Short controlled trials of `degrain-gray-fast`: one thing changed at a time, the same budget.

    python benchmarks/architecture.py --data PACK.npz -o trials.jsonl

Every trial trains for the same number of steps with one seed (the base with three, so that the
spread is known) and adds one row: PSNR on the held-out training pictures, multiplies a pixel,
processor seconds a megapixel through ONNX Runtime on one thread, and seconds of training. Rows that
are there are not made again. `--table` prints them as Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.engines.onnx import OnnxEngine
from degrain.nets import NETS
from degrain.nets.unet import ResidualBlock, UNet, analyze, pad_to_multiple
from degrain.train.data import CropSource, Pack, load, split
from degrain.train.describe import count_macs
from degrain.train.devices import Processes, prepare
from degrain.train.fit import build_net, fit, new_state
from degrain.train.onnx_file import write_onnx
from degrain.train.recipes import Recipe, find_recipe
from degrain.train.watch import Validation, Watch

SIDE_PX = 768


def main() -> None:
    """Make the missing rows, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="pack of training pictures")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", nargs="*", help="names of trials; default: all")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    rows = read_rows(options.output)
    if options.table:
        print(table(rows))
        return
    torch.set_num_threads(1)
    prepare(torch.device("cpu"))
    NETS["trial"] = TrialNet
    train_pack, held_out = split(load([options.data]))
    for name, recipe in trials(options.steps).items():
        wanted = not options.only or name in options.only
        if wanted and not any(row["trial"] == name for row in rows):
            row = {"trial": name, "steps": options.steps, **run_trial(recipe, train_pack, held_out)}
            with options.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def trials(steps: int) -> dict[str, Recipe]:
    """Every trial by name; `base` is the recipe `degrain-gray-fast`."""
    base = find_recipe("degrain-gray-fast")
    base = dataclasses.replace(
        base, net="trial", minutes=None, steps=steps, warmup_steps=100, validate_every=10**9
    )

    def changed(**fields: Any) -> Recipe:
        return dataclasses.replace(base, **fields)

    def shaped(**options: Any) -> Recipe:
        return changed(options={**base.options, **options})

    one_scale = {"encoder": (), "decoder": ()}
    two_scales = {"encoder": (1,), "decoder": (1,)}
    return {
        "base": base,
        "base, seed 1": changed(seed=1),
        "base, seed 2": changed(seed=2),
        "widths 24-48-96": shaped(widths=(24, 48, 96)),
        "widths 32-48-64": shaped(widths=(32, 48, 64), middle=2),
        "widths 32-64, middle 2": shaped(widths=(32, 64), middle=2, **two_scales),
        "widths 32-64-96-128": shaped(
            widths=(32, 64, 96, 128), encoder=(1, 1, 1), decoder=(1, 1, 1)
        ),
        "one scale, 48 wide, 2 blocks": shaped(widths=(48,), middle=2, **one_scale),
        "all blocks on the way up": shaped(encoder=(0, 0), decoder=(2, 2)),
        "unshuffled by 4, 64-96": shaped(unshuffle=4, widths=(64, 96), middle=2, **two_scales),
        "unshuffled by 4, 64-128": shaped(unshuffle=4, widths=(64, 128), middle=2, **two_scales),
        "the picture at every scale": shaped(inputs="every scale"),
        "1×1 after a wider 3×3": shaped(block="pointwise"),
        "damping gates": shaped(block="gated"),
        "re-parameterized": shaped(block="merged"),
        "loss l1": changed(loss="l1"),
        "loss mse": changed(loss="mse"),
        "loss charbonnier": changed(loss="charbonnier"),
        "loss psnr": changed(loss="psnr"),
        "AdamW 0.002": changed(optimizer="adamw", lr=0.002),
        "Muon 0.005": changed(lr=0.005),
        "Muon 0.02": changed(lr=0.02),
        "Muon 0.04": changed(lr=0.04),
        "32 crops of 32": changed(crop=32, batch=32),
        "2 crops of 128": changed(crop=128, batch=2),
        "4 crops of 64, twice the steps": changed(batch=4, steps=2 * steps),
        "no averaged weights": changed(ema=0.0),
        # A young average follows faster: 0.99 would be 0.999 up to step 890.
        "averaged weights 0.9": changed(ema=0.9),
        "σ 0 to 100": changed(noise="gaussian:0-100"),
        "σ 5 to 50": changed(noise="gaussian:5-50"),
        "float32": changed(fast=False),
    }


def run_trial(recipe: Recipe, train_pack: Pack, held_out: Pack) -> dict[str, Any]:
    """Train once and measure."""
    device = torch.device("cpu")
    crops = CropSource(train_pack, channels=recipe.channels, crop=recipe.crop)
    validation = Validation(
        held_out,
        specs=recipe.validation_noise,
        channels=recipe.channels,
        gray=recipe.gray,
        device=device,
    )
    net = build_net(recipe)
    if recipe.fast:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        started = time.process_time()
        state = fit(
            recipe, new_state(recipe, net), crops, validation, Watch(run, True), Processes()
        )
        seconds = time.process_time() - started
        average = state.average.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        merge(average)
        write_onnx(average, run / "trial.onnx", recipe.channels)
        return {
            "psnr": {spec: round(value, 3) for spec, value in validation.psnr(average).items()},
            "macs_per_pixel": count_macs(average, recipe.channels),
            "parameters": sum(param.numel() for param in average.parameters()),
            "seconds_per_megapixel": round(clock(run / "trial.onnx", recipe.channels), 3),
            "training_seconds": round(seconds, 1),
        }


def clock(path: Path, channels: int) -> float:
    """Processor seconds a megapixel on one thread, the least of five."""
    engine = OnnxEngine(path, threads=1)
    x = np.random.default_rng(0).random((1, channels, SIDE_PX, SIDE_PX), dtype=np.float32)
    engine.run(x)
    times = []
    for _ in range(5):
        started = time.process_time()
        engine.run(x)
        times.append(time.process_time() - started)
    return min(times) / (SIDE_PX**2 / 1e6)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows made so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown, in the order in which they were made."""
    specs = list(rows[0]["psnr"])
    levels = [spec.removeprefix("gaussian:") for spec in specs]
    lines = [
        f"| trial | k MAC | s a megapixel | training s | {' | '.join(levels)} |",
        "|---" * (4 + len(specs)) + "|",
    ]
    for row in rows:
        psnr = " | ".join(f"{row['psnr'][spec]:.2f}" for spec in specs)
        lines.append(
            f"| {row['trial']} | {row['macs_per_pixel'] / 1000:.1f} | "
            f"{row['seconds_per_megapixel']:.2f} | {row['training_seconds']:.0f} | {psnr} |"
        )
    return "\n".join(lines)


class TrialNet(UNet):
    """`UNet` with what the trials change.

    Args:
        block: `residual`, or one of `BLOCKS`.
        inputs: `finest`, or `every scale`: what the first layer sees is shrunk for the others.
        unshuffle: 2, or 4: then the finest scale is a quarter.
        options: those of `UNet`.
    """

    def __init__(
        self, *, block: str = "residual", inputs: str = "finest", unshuffle: int = 2, **options: Any
    ) -> None:
        super().__init__(**options)
        channels, widths = options["channels"], options["widths"]
        self.further = unshuffle // 2
        if self.further > 1:
            maps = self.further**2
            self.multiple_of *= self.further
            self.head = nn.Conv2d(5 * channels * maps, widths[0], 3, padding=1, bias=False)
            self.tail = nn.Conv2d(widths[0], 4 * channels * maps, 3, padding=1, bias=False)
            with torch.no_grad():
                self.tail.weight.mul_(0.1)
        coarser = widths[1:] if inputs == "every scale" else ()
        self.entries = nn.ModuleList(
            nn.Conv2d(5 * channels, width, 1, bias=False) for width in coarser
        )
        if block != "residual":
            for blocks in (*self.encoder, self.middle, *self.decoder):
                for place, old in enumerate(blocks):
                    blocks[place] = BLOCKS[block](old.conv0.in_channels)

    def for_export(self) -> UNet:
        """The strided form knows plain inputs only."""
        plain = self.further == 1 and not len(self.entries)
        return super().for_export() if plain else self

    def forward(self, noisy_nchw: Tensor) -> Tensor:
        """As in `UNet`."""
        height, width = noisy_nchw.shape[-2:]
        x = analyze(pad_to_multiple(noisy_nchw, self.multiple_of))
        y = self.head(functional.pixel_unshuffle(x, self.further))
        skips = []
        for depth, (blocks, down) in enumerate(zip(self.encoder, self.down, strict=True)):
            y = blocks(y)
            skips.append(y)
            y = down(y)
            if len(self.entries):
                x = functional.avg_pool2d(x, 2)
                y = y + self.entries[depth](x)
        y = self.middle(y)
        for blocks, up, skip in zip(
            reversed(self.decoder), reversed(self.up), reversed(skips), strict=True
        ):
            y = blocks(up(y) + skip)
        noise = functional.pixel_shuffle(self.tail(y), 2 * self.further)
        return noisy_nchw - noise[..., :height, :width]


class Pointwise(nn.Module):
    """x + 1×1(relu(3×3(x))), 1.8 times as wide inside: as many multiplies as two of 3×3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inside = round(1.8 * width / 8) * 8
        self.conv0 = nn.Conv2d(width, inside, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        _start(self.conv0, self.conv1)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """N×width×H×W in and out."""
        y: Tensor = self.conv1(functional.relu(self.conv0(x_nchw)))
        return x_nchw + y


class Gated(nn.Module):
    """x + g · conv(relu(conv(x))) with gates 0..1, a / (a + b), which do not see the scale of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(width, 2 * width, 1, bias=False)
        _start(self.conv0, self.conv1)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """N×width×H×W in and out."""
        a, b = self.gate(x_nchw).abs().chunk(2, 1)
        y: Tensor = self.conv1(functional.relu(self.conv0(x_nchw)))
        return x_nchw + y * (a / (a + b + 1e-6))


class Merged(nn.Module):
    """A residual block whose kernels are sums of 3×3, 1×1 and a wide pair, merged for use."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        _start(self.conv0, self.conv1)
        self.wide = nn.ParameterList(0.02 * torch.randn(2 * width, width, 3, 3) for _ in range(2))
        self.back = nn.ParameterList(0.02 * torch.randn(width, 2 * width) for _ in range(2))
        self.point = nn.ParameterList(torch.zeros(width, width, 1, 1) for _ in range(2))

    def forward(self, x_nchw: Tensor) -> Tensor:
        """N×width×H×W in and out."""
        y = functional.relu(functional.conv2d(x_nchw, self.kernel(0), padding=1))
        return x_nchw + functional.conv2d(y, self.kernel(1), padding=1)

    def kernel(self, place: int) -> Tensor:
        """The single kernel that the parts amount to."""
        pair = torch.einsum("om,mihw->oihw", self.back[place], self.wide[place])
        own: Tensor = (self.conv0, self.conv1)[place].weight
        return own + pair + functional.pad(self.point[place], (1, 1, 1, 1))


def merge(net: nn.Module) -> None:
    """Put plain residual blocks in the place of `Merged` ones."""
    for parent in list(net.modules()):
        for name, block in list(parent.named_children()):
            if isinstance(block, Merged):
                plain = ResidualBlock(block.conv0.in_channels)
                with torch.no_grad():
                    plain.conv0.weight.copy_(block.kernel(0))
                    plain.conv1.weight.copy_(block.kernel(1))
                setattr(parent, name, plain)


def _start(first: nn.Conv2d, second: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(first.weight)
    nn.init.kaiming_normal_(second.weight)
    with torch.no_grad():
        second.weight.mul_(0.1)


BLOCKS = {"pointwise": Pointwise, "gated": Gated, "merged": Merged}


if __name__ == "__main__":
    main()
