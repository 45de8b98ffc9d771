"""A network of Divakar & Babu for one noise level, made into one for another.

    python benchmarks/other_level.py RUN FACTOR -o FOLDER

With f the residual network of RUN, FOLDER holds the weights of y − r(F·(y − ½) + ½) / F, where
r(y) = y − f(y): the picture's contrast is raised by FACTOR, its noise with it, both about middle
gray, and what is found is lowered again. So FACTOR 1.25 makes a network for σ 25 one for σ 20, for
edges look alike at any contrast. `degrain train --start FOLDER` goes on from there. At the border,
where layers see zeros beyond the picture, the two are not quite the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from degrain.train import checkpoint
from degrain.train.three_phase import read_run

MIDDLE = 0.5


def main() -> None:
    """Read, scale and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("factor", type=float)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    _, recipe = read_run(options.run)
    if not recipe.options.get("residual"):
        parser.error(f"{options.run} trained a network that predicts the picture, not the noise.")
    weights = checkpoint.load(options.run / "checkpoint.pt")["average"]
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint.save(
        {"average": rescaled(weights, options.factor)}, options.output / "checkpoint.pt"
    )


@torch.no_grad()
def rescaled(weights: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The weights of the network whose picture has `factor` times the contrast, see above."""
    found = dict(weights)
    first = sorted(name for name in weights if name.startswith("features."))
    for bias, kernel in zip(first[::2], first[1::2], strict=True):
        shift = MIDDLE * (1 - factor) * weights[kernel].sum((1, 2, 3))
        found[bias] = weights[bias] + shift
        found[kernel] = factor * weights[kernel]
    last = sorted(name for name in weights if name.startswith("reconstruction."))[-2:]
    for name in last:
        found[name] = weights[name] / factor
    return found


if __name__ == "__main__":
    main()
