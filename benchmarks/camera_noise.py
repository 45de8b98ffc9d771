"""How strong is the noise `camera`? The table of docs/explanation/camera-noise.md.

python benchmarks/camera_noise.py [--shots N]

Flat gray, camera shots only (neither white noise nor clean pictures), without JPEG. Median, and the
5th and 95th percentile.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from degrain.camera import take
from degrain.shots import draw_camera

SIDE_PX = 48


def measure(clean: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Noise level and offset of 255, correlation of green neighbors in a row; of one shot."""
    noise = take(clean, replace(draw_camera(rng), quality=None), rng) - clean
    green = noise[..., 1] - noise[..., 1].mean()
    alike = (green[:, 1:] * green[:, :-1]).mean() / green.var()
    return 255 * float(noise.std()), float(alike), 255 * float(noise.mean())


def cell(values: np.ndarray, digits: int) -> str:
    """Median (5th to 95th percentile)."""
    found = np.round(np.percentile(values, [5, 50, 95]), digits) + 0.0  # no minus before zero
    low, middle, high = (f"{v:.{digits}f}" for v in found)
    return f"{middle} ({low} to {high})".replace("-", "−")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=1000)
    shots = parser.parse_args().shots
    print("| gray | noise level σ of 255 | correlation of neighbors (green) | offset of 255 |")
    print("|---|---|---|---|")
    for gray in (0.02, 0.1, 0.2, 0.4, 0.7, 0.95):
        rng = np.random.default_rng(0)
        clean = np.full((SIDE_PX, SIDE_PX, 3), gray, np.float32)
        levels, alike, offsets = np.array([measure(clean, rng) for _ in range(shots)]).T
        print(f"| {gray} | {cell(levels, 1)} | {cell(alike, 2)} | {cell(offsets, 1)} |")


if __name__ == "__main__":
    main()
