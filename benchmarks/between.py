"""What lies between two networks of one architecture: PSNR along the mean of their weights.

    python benchmarks/between.py RECIPE FIRST SECOND --data PATH... [--pairs NOISY CLEAN]
                                 [--gray] [--clip] [--write MODEL.onnx]

FIRST and SECOND are model names, ONNX files or run folders. PATHs are the folders or packs of
training pictures, of which every 20th is held out, as training does; their middles of 256×256
pixels count, with noise as floats, not clipped. For each share of SECOND it prints the mean PSNR in
dB, of clean pictures also the worst; and of real pairs where these are given. With --gray pictures
are made gray and a network for color sees them three times, as `degrain denoise` shows them to it.
With --clip noisy pictures and answers are cut to 0..1, as in a file of integers: so it shows how
much a network relies on noise that is the same everywhere. With --write the network of the last
share becomes a file.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from degrain.bench.report import markdown_table
from degrain.train.data import load, read_pairs, split
from degrain.train.describe import write_described
from degrain.train.fit import build_net
from degrain.train.recipes import Recipe, find_recipe
from degrain.train.start import load_weights
from degrain.train.watch import Validation

CLEAN = "gaussian:0"
MOST = 1000
"""More pictures than are held out: all count."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("ends", nargs=2, metavar="MODEL|RUN")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--pairs", type=Path, nargs=2, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--noise", nargs="+", default=["gaussian:15", "gaussian:25", "gaussian:50"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 0.5, 1])
    parser.add_argument("--gray", action="store_true")
    parser.add_argument("--clip", action="store_true")
    parser.add_argument("--write", type=Path, metavar="MODEL.onnx")
    options = parser.parse_args()
    recipe = find_recipe(options.recipe)
    specs = (CLEAN, *options.noise)
    sets = held_out(recipe, options.data, specs, options.pairs, gray=options.gray)
    ends = [weights(recipe, end) for end in options.ends]
    rows = []
    for share in options.shares:
        net = build_net(recipe).eval()
        net.load_state_dict({name: ends[0][name].lerp(ends[1][name], share) for name in ends[0]})
        found = {
            spec: psnrs(net, recipe.channels, pairs, clip=options.clip)
            for spec, pairs in sets.items()
        }
        cells = [f"{fmean(values):.3f}" for values in found.values()]
        rows.append([f"{share:g}", f"{min(found[CLEAN]):.1f}", *cells])
    if options.write:
        write_described(net, options.write, recipe.channels)
    print(markdown_table(["share of the second", "clean, worst", *sets], rows))


def held_out(
    recipe: Recipe,
    data: list[Path],
    specs: tuple[str, ...],
    pairs: list[Path] | None,
    *,
    gray: bool = False,
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Noisy and clean pictures by kind of noise; real pairs are taken whole."""
    cpu = torch.device("cpu")
    given = {
        "channels": 1 if gray else recipe.channels,
        "gray": recipe.gray,
        "device": cpu,
        "most": MOST,
    }
    sets = Validation(split(load(data))[1], specs=specs, **given).sets
    if pairs:
        noisy, clean = read_pairs(*pairs)
        side = max(max(picture.shape) for picture in noisy.pictures)
        sets |= Validation(noisy, specs=(), targets=clean, side=side, **given).sets
    return sets


def weights(recipe: Recipe, end: str) -> dict[str, Tensor]:
    """The weights of a model or run, as the recipe's net has them."""
    net = build_net(recipe)
    load_weights(net, end)
    return dict(net.state_dict())


@torch.no_grad()
def psnrs(
    net: nn.Module, channels: int, pairs: list[tuple[Tensor, Tensor]], *, clip: bool = False
) -> list[float]:
    """PSNR of every picture in dB, peak 1; of gray ones the mean of the channels counts."""
    low, high = (0, 1) if clip else (-math.inf, math.inf)
    errors = []
    for noisy, clean in pairs:
        answer = net(noisy.clamp(low, high).expand(-1, channels, -1, -1))
        if clean.shape[1] < channels:
            answer = answer.mean(1, keepdim=True)
        errors.append(answer.clamp(low, high) - clean)
    return [float(-10 * error.square().mean().log10()) for error in errors]


if __name__ == "__main__":
    main()
