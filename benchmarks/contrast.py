"""Where does one method lose to another: on flat parts, texture or strong edges?

    python benchmarks/contrast.py --data PATH... --method NAME ... --against NAME [--color]

PATHs are folders or packs of training pictures, of which every 20th is held out, as training does
(`degrain.train.data.split`): their middles of 256×256 pixels, noise as floats, not clipped. Prints
for each folder the mean PSNR in dB, and for its pixels, sorted by contrast (the standard deviation
of brightness in the 9×9 window around them, in gray levels of 255), how many dB each method's
squared error lies above that of `--against`.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from degrain.bench.methods import Floats, Method, open_method
from degrain.depth import unit_floats
from degrain.metrics import psnr
from degrain.noise import add_noise
from degrain.train.data import load, split, to_channels

SIDE, WINDOW = 256, 9
Picture = NDArray[Any]
CONTRASTS = (0, 2, 5, 15, 30, 256)
"""Ends of the classes of contrast."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--method", nargs="+", required=True)
    parser.add_argument("--against", required=True)
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--color", action="store_true")
    options = parser.parse_args()
    names = [*options.method, options.against]
    methods = [open_method(name, gray=not options.color) for name in names]
    held_out = split(load(options.data))[1]
    for source in sorted(set(held_out.sources)):
        chosen = [
            middle(picture, color=options.color)
            for picture, other in zip(held_out.pictures, held_out.sources, strict=True)
            if other == source
        ]
        print(f"\n{len(chosen)} pictures of folder {source + 1}, {options.noise}\n")
        print(table(chosen, methods, options.noise))


def middle(picture: Picture, *, color: bool) -> Floats:
    """The middle in 0..1: gray (luma) H×W or H×W×3."""
    top, left = ((size - SIDE) // 2 for size in picture.shape[:2])
    part = picture[top : top + SIDE, left : left + SIDE]
    return unit_floats(to_channels(part, 3) if color else to_channels(part, 1)[..., 0])


def contrast(clean: Floats) -> Floats:
    """Standard deviation of brightness in the window around every pixel, gray levels of 255."""
    gray = clean.mean(axis=2) if clean.ndim == 3 else clean
    around = np.pad(255 * gray, WINDOW // 2, mode="symmetric")
    windows: Floats = sliding_window_view(around, (WINDOW, WINDOW)).std(axis=(2, 3))
    return windows


def measure(method: Method, pictures: list[Floats], noise: str) -> tuple[float, Floats]:
    """Mean PSNR in dB, and the squared error of every pixel, N×256×256."""
    ratios, errors = [], []
    for seed, clean in enumerate(pictures):
        answer = method.run(add_noise(clean, noise, seed), noise)[0]
        ratios.append(psnr(clean, answer))
        errors.append(np.square(answer - clean).reshape(SIDE, SIDE, -1).mean(axis=2))
    return fmean(ratios), np.stack(errors)


def table(pictures: list[Floats], methods: list[Method], noise: str) -> str:
    """Rows for the methods: PSNR, and dB by contrast above the last of them."""
    classes = np.stack([np.digitize(contrast(clean), CONTRASTS) for clean in pictures])
    counts = range(1, len(CONTRASTS))
    heads = [f"{low} to {high}" for low, high in pairwise(CONTRASTS)]
    rows = [["contrast", "PSNR", *heads], ["---"] * (len(heads) + 2)]
    rows.append(["pixels", "", *(f"{(classes == k).mean():.0%}" for k in counts)])
    measured = [measure(method, pictures, noise) for method in methods]
    reference = measured[-1][1]
    for method, (ratio, errors) in zip(methods, measured, strict=True):
        above = [errors[classes == k].sum() / reference[classes == k].sum() for k in counts]
        rows.append([method.name, f"{ratio:.2f}", *(f"{10 * np.log10(x):+.2f}" for x in above)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
