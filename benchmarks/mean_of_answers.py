"""Real pairs: the mean of a blind network's answer and one of a network that is told a level.

    python benchmarks/mean_of_answers.py BLIND TOLD --pairs NOISY CLEAN
                                         [--sigma N...] [--shares X...]

BLIND and TOLD are model names or ONNX files, N levels of 255 that TOLD is told as by
`degrain denoise --sigma`, X what its answer counts in the mean. Pictures are floats; prints the
mean PSNR in dB over the pairs. Where the mean is better than either, one network can learn it by
`degrain train --told-teacher`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import degrain
from degrain.bench.report import markdown_table
from degrain.depth import unit_floats
from degrain.train.data import read_pairs

Floats = NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blind", metavar="BLIND")
    parser.add_argument("told", metavar="TOLD")
    parser.add_argument("--pairs", type=Path, nargs=2, required=True, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--sigma", type=float, nargs="+", default=[10, 15, 20, 25])
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 0.25, 0.5, 1])
    options = parser.parse_args()
    noisy, clean = (
        [unit_floats(picture) for picture in pack.pictures] for pack in read_pairs(*options.pairs)
    )
    blind = [degrain.denoise(picture, model=options.blind) for picture in noisy]
    rows = []
    for sigma in options.sigma:
        told = [degrain.denoise(picture, model=options.told, sigma=sigma) for picture in noisy]
        means = [mean_psnr(blind, told, clean, share) for share in options.shares]
        rows.append([f"{sigma:g}", *(f"{mean:.2f}" for mean in means)])
    print(markdown_table(["told", *(f"share {share:g}" for share in options.shares)], rows))


def mean_psnr(blind: list[Floats], told: list[Floats], clean: list[Floats], share: float) -> float:
    """PSNR of the means of two answers in dB, peak 1, averaged over the pictures."""
    errors = [
        np.square((1 - share) * a + share * b - c, dtype=np.float64).mean()
        for a, b, c in zip(blind, told, clean, strict=True)
    ]
    return float(-10 * np.log10(errors).mean())


if __name__ == "__main__":
    main()
