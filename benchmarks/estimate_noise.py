"""How good is `degrain.estimate_noise`? White noise of known level on a folder of clean pictures.

python benchmarks/estimate_noise.py --data FOLDER [--every N]

Prints, per noise level and protocol (float; clipped and rounded to 8 bits), the mean ratio of the
estimate to the truth, its spread, and the share of pictures whose estimate is within 10 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from degrain.estimate import estimate_noise

SIGMAS = (5, 10, 15, 25, 35, 50)


def read(path: Path) -> np.ndarray:
    """One picture as floats in 0..1."""
    import pyvips

    return np.asarray(pyvips.Image.new_from_file(str(path)).numpy())


def ratios(path: Path, sigma: int, *, clip: bool) -> np.ndarray:
    """Estimate over truth for each channel of one picture."""
    clean = read(path)
    rng = np.random.default_rng([sigma, *path.stem.encode()])
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    if clip:
        noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return estimate_noise(noisy) / sigma


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, nargs="+")
    parser.add_argument("--every", type=int, default=1, help="take every Nth picture")
    options = parser.parse_args()
    paths = sorted(
        path
        for folder in options.data
        for path in folder.iterdir()
        if path.suffix.lower() in {".jpg", ".png", ".tif", ".tiff"}
    )[:: options.every]
    print(f"{len(paths)} pictures, seed: sigma and file name")
    print("| noise | protocol | mean ratio | spread | lowest | highest | within 10 % | pictures |")
    print("|---|---|---|---|---|---|---|---|")
    for clip in (False, True):
        for sigma in SIGMAS:
            found = np.array([ratios(path, sigma, clip=clip) for path in paths])
            good = np.abs(found - 1) < 0.1
            print(
                f"| {sigma} | {'clip8' if clip else 'float'} | {found.mean():.3f} "
                f"| {found.std():.3f} | {found.min():.2f} | {found.max():.2f} "
                f"| {good.mean():.1%} of channels | {good.all(axis=1).mean():.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
