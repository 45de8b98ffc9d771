"""Make docs/images/before-after.png: clean, noisy and denoised, side by side.

Run from the repository root: `python benchmarks/make_readme_pictures.py`. Prints the PSNR of both,
8-bit pictures, clipped and rounded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import degrain
from degrain import files
from degrain.metrics import psnr
from degrain.noise import add_noise
from degrain.picture import Picture

GAP_PX = 8


def main() -> None:
    """Make and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, default=Path("examples/butterfly.jpg"))
    parser.add_argument("--noise", default="gaussian:25")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--output", type=Path, default=Path("docs/images/before-after.png"))
    options = parser.parse_args()

    clean = files.read(options.clean).pages[0]
    noisy = add_noise(clean, options.noise, options.seed)
    denoised = degrain.Denoiser(options.model)(noisy)
    gap = np.full((clean.shape[0], GAP_PX, clean.shape[2]), 255, np.uint8)
    row = np.concatenate([clean, gap, noisy, gap, denoised], axis=1)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    files.write(Picture(pages=(row,)), options.output, overwrite=True)
    for name, picture in (("noisy", noisy), ("denoised", denoised)):
        print(f"{name}: {psnr(clean, picture, data_range=255):.2f} dB")
    print(options.output)


if __name__ == "__main__":
    main()
