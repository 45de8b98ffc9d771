"""How does noise depend on brightness: in real photographs and in the noise `camera`?

    python benchmarks/tones.py --pairs NOISY CLEAN [--shots N]

Of each pair the noise of brightness, less what is coarser than a Gaussian filter of two pixels, in
classes of the clean picture's brightness: on flat parts (9×9 pixels that span less than 10 of 255)
and at edges (more than 40). And of camera shots without JPEG of a strip of flat grays, one in the
middle of each class. Prints the median over pairs or shots of the noise's standard deviation,
divided by that of the class 64 to 96 of the same picture, and between which eight tenths lie.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
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
CLASSES = (0, 16, 32, 48, 64, 96, 128, 160, 200, 256)
UNIT = CLASSES.index(64)
WINDOW, FLAT, EDGE = 9, 10, 40
FEWEST = 500
"""Pixels of a class that count."""
SIDE, EDGES = 64, slice(8, -8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, nargs=2, required=True, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--shots", type=int, default=200)
    options = parser.parse_args()
    noisy, clean = (pack.pictures for pack in read_pairs(*options.pairs))
    found = np.array([of_pair(n, c) for n, c in zip(noisy, clean, strict=True)])
    rng = np.random.default_rng(0)
    shots = np.array([of_shot(rng) for _ in range(options.shots)])
    rows = [
        ["real, flat parts", *ratios(found[:, :-1], found[:, :-1])],
        ["`camera`, flat grays", *ratios(shots, shots)],
    ]
    print(markdown_table(["noise", *(f"{a} to {b}" for a, b in pairwise(CLASSES))], rows))
    at_edges = found[:, -1] / np.nanmax(found[:, :-1], axis=1)
    print(f"\nReal, at edges, over the noisiest flat class: {spread(at_edges)}")


def of_pair(noisy: Floats, clean: Floats) -> Floats:
    """Standard deviation of brightness noise in every class on flat parts, then at edges."""
    from scipy.ndimage import maximum_filter, minimum_filter

    gray = clean @ np.array(LUMA)
    noise = fine(noisy @ np.array(LUMA) - gray)
    span = maximum_filter(gray, WINDOW) - minimum_filter(gray, WINDOW)
    kinds = [(span < FLAT) & (gray >= a) & (gray < b) for a, b in pairwise(CLASSES)]
    return np.array([level(noise[kind]) for kind in [*kinds, span > EDGE]])


def of_shot(rng: np.random.Generator) -> Floats:
    """The same of one camera shot of a strip of flat grays, one in the middle of each class."""
    grays = np.array([(low + high) / 2 / 255 for low, high in pairwise(CLASSES)], np.float32)
    clean = np.broadcast_to(np.repeat(grays, SIDE)[None, :, None], (SIDE, SIDE * len(grays), 3))
    noisy = take(clean, replace(draw_camera(rng), quality=None), rng)
    noise = fine(255 * (noisy - clean) @ np.array(LUMA))
    return np.array([level(part[EDGES, EDGES]) for part in np.split(noise, len(grays), axis=1)])


def fine(noise: Floats) -> Floats:
    """Noise without its coarse part."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(noise - gaussian_filter(noise, 2))


def level(values: Floats) -> float:
    """Standard deviation; not a number where there are too few."""
    return float(values.std()) if values.size >= FEWEST else float("nan")


def ratios(levels: Floats, units: Floats) -> list[str]:
    """Medians over pictures, of those that have the class and the unit."""
    return [spread(column / units[:, UNIT]) for column in levels.T]


def spread(values: Floats) -> str:
    """The median, and where eight tenths lie."""
    low, middle, high = np.nanpercentile(values, [10, 50, 90])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
