"""How does noise depend on how colorful the picture is: in real photographs and in `camera`?

    python benchmarks/saturation.py --pairs NOISY CLEAN [--shots N]

On parts whose brightness is even (9×9 pixels that span less than 16 of 255), less what is coarser
than a Gaussian filter of three pixels: the standard deviation of the noise of brightness, and of
blue less brightness, in classes of the clean picture's saturation (largest channel less smallest,
of 255), divided by that of the same picture's grays (below 30). Of the pairs' own noise, and of N
camera shots of each clean picture. Prints the median and where eight tenths lie.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from degrain.bench.report import markdown_table
from degrain.camera import take
from degrain.camera_stages import LUMA
from degrain.shots import draw_camera
from degrain.train.data import read_pairs

Floats = NDArray[np.floating]
CLASSES = (0, 30, 50, 75, 105, 140, 256)
WINDOW, EVEN, COARSE_PX = 9, 16, 3
FEWEST = 400
"""Pixels of a class that count."""
KINDS = ("brightness", "color")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, nargs=2, required=True, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--shots", type=int, default=8, metavar="N")
    options = parser.parse_args()
    noisy, clean = (pack.pictures for pack in read_pairs(*options.pairs))
    real = np.array([levels(n, c) for n, c in zip(noisy, clean, strict=True)])
    rng = np.random.default_rng(0)
    made = np.array([levels(shot(c, rng), c) for c in clean for _ in range(options.shots)])
    rows = [
        [name, kind, *(spread(column) for column in found[:, i].T)]
        for name, found in (("25 real pairs", real), ("`camera`", made))
        for i, kind in enumerate(KINDS)
    ]
    classes = [f"{a} to {b}" for a, b in pairwise(CLASSES)]
    print(markdown_table(["noise", "of", *classes], rows))


def shot(clean: Floats, rng: np.random.Generator) -> Floats:
    """One camera shot of a picture, 0..255."""
    return np.asarray(255 * take(clean.astype(np.float32) / 255, draw_camera(rng), rng))


def levels(noisy: Floats, clean: Floats) -> Floats:
    """Standard deviations against the grays of the same picture, kinds × classes."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    luma = np.array(LUMA)
    noise = noisy - clean.astype(np.float64)
    noise -= gaussian_filter(noise, (COARSE_PX, COARSE_PX, 0))
    smooth = gaussian_filter(clean.astype(np.float64), (1, 1, 0))
    gray, saturation = smooth @ luma, np.ptp(smooth, axis=2)
    even = maximum_filter(gray, WINDOW) - minimum_filter(gray, WINDOW) < EVEN
    kinds = noise @ luma, noise[..., 2] - noise @ luma
    places = [even & (saturation >= a) & (saturation < b) for a, b in pairwise(CLASSES)]
    found = np.array([[level(noise[place]) for place in places] for noise in kinds])
    return found / found[:, :1]


def level(values: Floats) -> float:
    """Standard deviation; not a number where there are too few, or none."""
    return float(values.std()) or float("nan") if values.size >= FEWEST else float("nan")


def spread(values: Floats) -> str:
    """The median, where eight tenths lie, and of how many."""
    with warnings.catch_warnings(action="ignore"):
        low, middle, high = np.nanpercentile(values, [10, 50, 90])
    return f"{middle:.2f} ({low:.2f} to {high:.2f}; {np.isfinite(values).sum()})"


if __name__ == "__main__":
    main()
