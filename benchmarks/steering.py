"""What does `--sigma` bring? PSNR of the blind network and of the one told the true level.

python benchmarks/steering.py --data FOLDER [--every N] [--model NAME ...] [--noise SPEC ...]

Middles of 256×256 pixels, floats, not clipped; noise as in self_check.py. The true level is the
root mean square of what was added. Prints the mean gain in dB and the extremes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from self_check import middle, smooth

from degrain.denoise import Denoiser
from degrain.estimate import estimate_noise
from degrain.metrics import psnr
from degrain.noise import add_noise

SPECS = [
    *(f"gaussian:{sigma}" for sigma in (2, 10, 25, 75)),
    *("grain:0.5,10", "grain:0.5,25", "grain:0.8,10", "grain:0.8,25", "grain:1.2,10"),
    *("camera", "poisson:30", "jpeg:20"),
]


def damaged(clean: np.ndarray, spec: str, seed: int) -> np.ndarray:
    """The picture with this noise; white is 1."""
    if not spec.startswith("grain:"):
        return add_noise(clean, spec, seed)
    pixels, sigma = map(float, spec.removeprefix("grain:").split(","))
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean + sigma / 255 * smooth(noise, pixels)).astype(np.float32)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=25, help="take every Nth picture")
    models = ["degrain-gray", "degrain-color", "degrain-photo"]
    parser.add_argument("--model", nargs="+", default=models)
    parser.add_argument("--noise", nargs="+", default=SPECS)
    options = parser.parse_args()
    paths = sorted(options.data.glob("*.jpg"))[:: options.every]
    print(f"{len(paths)} pictures")
    print("| model | noise | true level | estimate | blind | told | gain |")
    print("|---|---|---|---|---|---|---|")
    for name in options.model:
        denoiser = Denoiser(name, threads=1)
        for spec in options.noise:
            rows = []
            for seed, path in enumerate(paths):
                clean = (middle(path, denoiser.card(3).channels) / 255).astype(np.float32)
                noisy = damaged(clean, spec, seed)
                level = 255 * float(np.sqrt(np.mean((noisy - clean) ** 2)))
                answers = denoiser(noisy), denoiser(noisy, sigma=level)
                estimate = 255 * float(np.sqrt(np.mean(estimate_noise(noisy) ** 2)))
                rows.append([level, estimate, *(psnr(clean, answer) for answer in answers)])
            mean = np.mean(rows, axis=0)
            gains = [told - blind for _, _, blind, told in rows]
            print(
                f"| {name} | {spec} | {mean[0]:.1f} | {mean[1]:.1f} | {mean[2]:.2f} "
                f"| {mean[3]:.2f} | {np.mean(gains):+.2f} "
                f"({min(gains):+.2f} to {max(gains):+.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
