"""Make docs/images/NAME.png for damage other than Gaussian noise: clean, damaged, repaired.

Run from the repository root, with models made by `degrain export` (a name or a file each):

    python benchmarks/make_noise_pictures.py --model inpainting=inpainting.onnx \
        --model inpainting-text=inpainting-text.onnx --model poisson=poisson.onnx

Prints the PSNR of damaged and repaired picture (8 bits, clipped and rounded) and a row for the
table in docs/how-to/train-on-other-damage.md. A gray model repairs the three channels one by one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import degrain
from degrain import files
from degrain.metrics import psnr
from degrain.noise import add_noise
from degrain.picture import Picture

GAP_PX = 8
DAMAGE = {"inpainting": "mask:0.5", "inpainting-text": "text:12", "poisson": "poisson:30"}
"""What each picture suffers, by the recipe that undoes it."""


def main() -> None:
    """Make and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, metavar="RECIPE=MODEL")
    parser.add_argument("--clean", type=Path, default=Path("examples/butterfly.jpg"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    clean = files.read(options.clean).pages[0]
    options.folder.mkdir(parents=True, exist_ok=True)
    for pair in options.model:
        name, _, model = pair.partition("=")
        if name not in DAMAGE or not model:
            parser.error(f"{pair!r}: write RECIPE=MODEL with one of {', '.join(DAMAGE)}.")
        damaged = add_noise(clean, DAMAGE[name], options.seed)
        repaired = degrain.Denoiser(model)(damaged)
        path = options.folder / f"{name}.png"
        files.write(Picture(pages=(side_by_side(clean, damaged, repaired),)), path, overwrite=True)
        before, after = (psnr(clean, x, data_range=255) for x in (damaged, repaired))
        print(f"| `{name}` | `{DAMAGE[name]}` | {before:.2f} dB | {after:.2f} dB |")


def side_by_side(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures of one size in a row with white gaps."""
    height, _, channels = pictures[0].shape
    gap = np.full((height, GAP_PX, channels), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


if __name__ == "__main__":
    main()
