"""Make docs/images/photographs.png: real photographs as they are, and denoised below them.

    python benchmarks/make_readme_pictures.py FOLDER

FOLDER holds the photographs named in `WINDOWS`, of drewnoakes/metadata-extractor-images on GitHub
("free to use these media files however you wish"), made smaller to at most 1152 pixels. The last
window shows a failure: texture as fine as noise goes with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import degrain
from degrain import files
from degrain.picture import Picture

WINDOWS = (("cam_0202.jpg", 0, 855), ("cam_0202.jpg", 475, 570), ("cam_0120.jpg", 380, 475))
"""File, row and column of the corner."""
SIDE_PX = 190
SCALE = 2
GAP_PX = 8


def main() -> None:
    """Denoise whole photographs, cut the windows out and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--output", type=Path, default=Path("docs/images/photographs.png"))
    options = parser.parse_args()

    denoiser = degrain.Denoiser(options.model)
    columns = []
    for name, row, column in WINDOWS:
        noisy = files.read(options.folder / name).pages[0]
        pair = [window(picture, row, column) for picture in (noisy, denoiser(noisy))]
        columns.append(side_by_side(pair, axis=0))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet = Picture(pages=(side_by_side(columns, axis=1),))
    files.write(sheet, options.output, overwrite=True)
    print(options.output)


def window(picture: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """A part of the picture, every pixel as a square of pixels."""
    part = picture[row : row + SIDE_PX, column : column + SIDE_PX]
    return part.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def side_by_side(parts: list[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Joined along an axis with white between them."""
    shape = list(parts[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    joined = [item for part in parts for item in (gap, part)][1:]
    return np.concatenate(joined, axis=axis)


if __name__ == "__main__":
    main()
