"""Does the self-check warn where it should, and only there? Known noise on clean pictures.

python benchmarks/self_check.py --data FOLDER [--every N] [--model NAME ...] [--noise SPEC ...]

Middles of 256×256 pixels, 8 bits in and out. Beside noise specs there are `clean` and
`grain:PIXELS,SIGMA`: white noise smoothed by a Gaussian of that many pixels, then of that level.
Prints, per model and noise, the mean of each number with its extremes, and how many warn.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np

from degrain import files
from degrain.check import Check, check
from degrain.denoise import Denoiser
from degrain.noise import add_noise

SPECS = [
    *("clean", *(f"gaussian:{sigma}" for sigma in (2, 5, 10, 25, 50, 75, 100))),
    *("grain:0.5,5", "grain:0.5,10", "grain:0.8,5", "grain:0.8,10", "grain:0.8,25"),
    *("grain:1.2,10", "grain:1.2,25", "camera", "poisson:30", "jpeg:20", "jpeg:60"),
    *("mask:0.1", "text:12"),
]
LUMA = np.array([0.299, 0.587, 0.114])


def middle(path: Path, channels: int) -> np.ndarray:
    """256×256×C pixels in 0..255."""
    page = files.read(path).pages[0]
    top, left = (page.shape[0] - 256) // 2, (page.shape[1] - 256) // 2
    crop = page[top : top + 256, left : left + 256].astype(float)
    return crop if crop.shape[2] == channels else (crop @ LUMA)[..., None]


def smooth(noise: np.ndarray, pixels: float) -> np.ndarray:
    """Smoothed along both axes, end joined to beginning."""
    for axis in (0, 1):
        rate = np.fft.fftfreq(noise.shape[axis])
        window = np.exp(-2 * (np.pi * pixels * rate) ** 2)
        window = window.reshape([-1 if k == axis else 1 for k in range(3)])
        noise = np.fft.ifft(np.fft.fft(noise, axis=axis) * window, axis=axis).real
    return noise / noise.std()


def damaged(clean: np.ndarray, spec: str, seed: int) -> np.ndarray:
    """The picture in 8 bits with this noise."""
    if spec.startswith("grain:"):
        pixels, sigma = map(float, spec.removeprefix("grain:").split(","))
        noise = np.random.default_rng(seed).standard_normal(clean.shape)
        clean = clean + sigma * smooth(noise, pixels)
    picture = np.clip(np.rint(clean), 0, 255).astype(np.uint8)
    if spec == "clean" or spec.startswith("grain:"):
        return picture
    return add_noise(picture, spec, seed)


def line(name: str, spec: str, found: list[Check]) -> str:
    """One row of the table."""
    numbers = {
        "before": [np.mean(c.noise_before) for c in found],
        "after": [np.mean(c.noise_after) for c in found],
        "coarse before": [c.coarse_noise_before for c in found],
        "coarse after": [c.coarse_noise_after for c in found],
        "removed": [c.removed for c in found],
        "correlation": [c.residual_correlation for c in found if c.residual_correlation],
    }
    cells = [
        f"{np.mean(v):.2f} ({min(v):.2f} to {max(v):.2f})" if v else "" for v in numbers.values()
    ]
    said = Counter(c.warning.split()[0] if c.warning else "" for c in found)
    words = {"The": "range", "Noise": "left", "What": "structure"}
    warned = ", ".join(f"{words[k]} {n}" for k, n in said.items() if k) or "none"
    return f"| {name} | {spec} | {' | '.join(cells)} | {warned} of {len(found)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=20, help="take every Nth picture")
    parser.add_argument("--model", nargs="+", default=["degrain-gray", "degrain-photo"])
    parser.add_argument("--noise", nargs="+", default=SPECS)
    options = parser.parse_args()
    paths = sorted(options.data.glob("*.jpg"))[:: options.every]
    print(
        "| model | noise | before | after | coarse before | coarse after | removed "
        "| correlation | warnings |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    spent = [0.0, 0.0]
    for name in options.model:
        denoiser = Denoiser(name, threads=1)
        for spec in options.noise:
            found = []
            for seed, path in enumerate(paths):
                noisy = damaged(middle(path, denoiser.card(3).channels), spec, seed)
                times = [time.process_time()]
                clean = denoiser(noisy)
                times.append(time.process_time())
                found.append(check(noisy, clean, card=denoiser.card(noisy.shape[2])))
                times.append(time.process_time())
                spent = [a + b for a, b in zip(spent, np.diff(times), strict=True)]
            print(line(name, spec, found), flush=True)
    print(f"seconds of the processor: denoising {spent[0]:.1f}, checking {spent[1]:.1f}")


if __name__ == "__main__":
    main()
