"""Make docs/images/divakar-babu-2017/detail.png: from faithful to more texture, on squares.

    python benchmarks/detail_pictures.py --part photos/a.jpg:620,10 --part photos/b.jpg:40,300 ...

Each row is a square of one picture, named by its left and top corner: clean, with white noise, and
denoised by `--detail` 0, 0.5 and 1. The whole part is denoised, not the square alone. Prints PSNR
in dB (8 bits, clipped and rounded) and the perceptual distance of the square, if --vgg is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import degrain
from degrain import files
from degrain.bench.suites import to_gray
from degrain.metrics import psnr
from degrain.noise import add_noise
from degrain.picture import Picture

Gray = NDArray[np.uint8]
"""H×W×1."""

MARGIN_PX = 32
GAP_PX = 6
DETAILS = (0.0, 0.5, 1.0)
FIGURE = Path("docs/images/divakar-babu-2017/detail.png")


def main() -> None:
    """Make and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", required=True, metavar="FILE:LEFT,TOP")
    parser.add_argument("--model", default="divakar-babu")
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--zoom", type=int, default=2)
    parser.add_argument("--vgg", help="weights of VGG19, for the perceptual distance")
    parser.add_argument(
        "--output", type=Path, default=Path("docs/images/divakar-babu-2017/detail.png")
    )
    options = parser.parse_args()
    distance = measure(options.vgg)
    rows = []
    for text in options.part:
        clean, noisy = part(text, options.side, options.noise)
        row = [clean, noisy]
        row += [degrain.Denoiser(options.model, detail=detail)(noisy) for detail in DETAILS]
        squares = [square[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] for square in row]
        rows.append(np.concatenate([with_gap(zoomed(s, options.zoom)) for s in squares], axis=1))
        told = [
            quality(squares[0], square) + distance(squares[0], square) for square in squares[1:]
        ]
        print(f"| {Path(text.partition(':')[0]).name} | {' | '.join(told)} |")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure = np.concatenate(rows)[:-GAP_PX, :-GAP_PX]
    files.write(Picture(pages=(figure,)), options.output, overwrite=True)


def part(text: str, side: int, noise: str) -> tuple[Gray, Gray]:
    """The square of `FILE:LEFT,TOP` in gray with a margin around it, clean and noisy."""
    name, _, place = text.rpartition(":")
    left, top = (int(number) - MARGIN_PX for number in place.split(","))
    pixels = files.read(Path(name)).pages[0].astype(np.float32) / 255
    length = side + 2 * MARGIN_PX
    gray = to_gray(pixels, "luma").reshape(pixels.shape[0], pixels.shape[1], 1)
    clean = np.rint(255 * gray[top : top + length, left : left + length]).astype(np.uint8)
    if left < 0 or top < 0 or clean.shape[:2] != (length, length):
        raise SystemExit(f"{text}: the square and {MARGIN_PX} pixels around it must lie inside.")
    return clean, add_noise(clean, noise, seed=0)


def quality(clean: Gray, other: Gray) -> str:
    """PSNR as text."""
    return f"{psnr(clean, other, data_range=255):.2f} dB"


def measure(vgg_file: str | None) -> Callable[[Gray, Gray], str]:
    """The perceptual distance as text; without VGG19's weights nothing."""
    if vgg_file is None:
        return lambda clean, other: ""
    import torch

    from degrain.train.vgg import load_vgg, perceptual_distance

    vgg = load_vgg(vgg_file)

    def tensor(picture: Gray) -> torch.Tensor:
        return torch.from_numpy(picture.astype(np.float32) / 255).movedim(-1, 0)[None]

    def distance(clean: Gray, other: Gray) -> str:
        with torch.no_grad():
            return f", {float(perceptual_distance(vgg, tensor(other), tensor(clean))):.3f}"

    return distance


def zoomed(picture: Gray, times: int) -> Gray:
    """Every pixel as a square."""
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def with_gap(picture: Gray) -> Gray:
    """White to the right and below."""
    return np.pad(picture, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
