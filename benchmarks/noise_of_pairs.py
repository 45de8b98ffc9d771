"""What real noise is like beside edges, and what JPEG has left of its color.

    python benchmarks/noise_of_pairs.py --pairs NOISY CLEAN

Noise is the noisy picture less the clean one: of brightness, and of color (blue less brightness).

First table: its standard deviation by the distance to the next steep edge (a gradient of the clean
picture of more than 12 of 255 per pixel), in dark, middle and bright parts that are even
themselves, divided by that of the same part far from edges; medians over the pairs.

Second table: how much color noise changes from one column or row to the next, inside pairs of
columns or rows over between them (mean squares; medians over the pairs). Noise that JPEG has not
touched has 1; where two columns share a color, as in 4:2:2 and 4:2:0, it is well below. Blocks of
eight end between pairs, so rows that share none have somewhat less than 1 too.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from degrain.bench.report import markdown_table
from degrain.camera_stages import LUMA
from degrain.train.data import read_pairs

Floats = NDArray[np.floating]
STEEP, EVEN = 12, 4
"""Gradients, of 255 per pixel."""
DISTANCES = (0, 1.2, 2.2, 3.2, 4.2, 6, 9)
"""Of the classes; the last one has no end and is the unit."""
PARTS = {"dark, below 64": (0, 64), "middle, 64 to 128": (64, 128), "bright, from 140": (140, 256)}
KINDS = ("brightness", "color")
FEWEST = 150
"""Pixels of a class that count."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, nargs=2, required=True, metavar=("NOISY", "CLEAN"))
    options = parser.parse_args()
    noisy, clean = (pack.pictures for pack in read_pairs(*options.pairs))
    found = np.array([by_distance(n, c) for n, c in zip(noisy, clean, strict=True)])
    medians = np.nanmedian(found / found[..., -1:], axis=0)
    rows = [
        [part, kind, *(f"{ratio:.2f}" for ratio in medians[i, j])]
        for i, part in enumerate(PARTS)
        for j, kind in enumerate(KINDS)
    ]
    classes = [*(f"{a:g} to {b:g} px" for a, b in pairwise(DISTANCES)), f"{DISTANCES[-1]} px on"]
    print(markdown_table(["part", "noise of", *classes], rows))
    steps = np.array([inside_over_between(n, c) for n, c in zip(noisy, clean, strict=True)])
    columns, down = np.median(steps, axis=0)
    print("\n" + markdown_table(["columns", "rows"], [[f"{columns:.2f}", f"{down:.2f}"]]))


def by_distance(noisy: Floats, clean: Floats) -> Floats:
    """Standard deviations by part, kind and class of distance; not a number for too few pixels."""
    from scipy.ndimage import distance_transform_edt

    gray = clean @ np.array(LUMA)
    gradient = np.hypot(*np.gradient(gray))
    distance = np.digitize(distance_transform_edt(gradient <= STEEP), DISTANCES) - 1
    even = (gradient < EVEN) | (distance == 0)
    return np.array(
        [
            [
                [level(kind[inside & even & (distance == i)]) for i in range(len(DISTANCES))]
                for kind in kinds_of(noisy, clean)
            ]
            for inside in ((gray >= low) & (gray < high) for low, high in PARTS.values())
        ]
    )


def kinds_of(noisy: Floats, clean: Floats) -> tuple[Floats, Floats]:
    """Noise of brightness and of color, H×W."""
    noise = noisy.astype(np.float64) - clean
    brightness = noise @ np.array(LUMA)
    return brightness, noise[..., 2] - brightness


def level(values: Floats) -> float:
    """Standard deviation; not a number where there are too few."""
    return float(values.std()) if values.size >= FEWEST else float("nan")


def inside_over_between(noisy: Floats, clean: Floats) -> tuple[float, float]:
    """For columns and rows: the smaller over the larger of the two ways to pair them."""
    _, color = kinds_of(noisy, clean)
    ratios = []
    for lines in (color.T, color):
        changes = np.square(np.diff(lines, axis=0)).mean(axis=1)
        ways = changes[::2].mean(), changes[1::2].mean()
        ratios.append(float(min(ways) / max(ways)))
    return ratios[0], ratios[1]


if __name__ == "__main__":
    main()
