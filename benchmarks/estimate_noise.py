"""How good is `degrain.estimate_noise`? White noise of known level on a folder of clean pictures.

python benchmarks/estimate_noise.py --data FOLDER [--every N]

Prints, per noise level and protocol (float; clipped and rounded to 8 bits), the mean ratio of the
estimate to the noise added, its spread, and the share of pictures whose estimate is within 10 %.

"Clean" photographs hold noise of their own: film grain, or a sensor's. The last column counts it
in: there the truth is the root of the sum of both variances, the picture's own as estimated before
any is added (which takes some of its finest texture for noise).
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


def ratios(path: Path, sigma: int, own: np.ndarray, *, clip: bool) -> np.ndarray:
    """Estimate over the noise added, and over that with the picture's own; both per channel."""
    clean = read(path)
    rng = np.random.default_rng([sigma, *path.stem.encode()])
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    if clip:
        noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    found = estimate_noise(noisy)
    return np.array([found / sigma, found / np.hypot(sigma, own)])


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
    print(
        "| noise | protocol | mean ratio | spread | lowest | highest | channels | pictures | own |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    own = [estimate_noise(read(path)) for path in paths]
    for clip in (False, True):
        for sigma in SIGMAS:
            both = [
                ratios(path, sigma, held, clip=clip) for path, held in zip(paths, own, strict=True)
            ]
            found, with_own = np.swapaxes(both, 0, 1)
            good, good_with_own = np.abs(found - 1) < 0.1, np.abs(with_own - 1) < 0.1
            print(
                f"| {sigma} | {'clip8' if clip else 'float'} | {found.mean():.3f} "
                f"| {found.std():.3f} | {found.min():.2f} | {found.max():.2f} "
                f"| {good.mean():.1%} of channels | {good.all(axis=1).mean():.1%} "
                f"| {good_with_own.all(axis=1).mean():.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
