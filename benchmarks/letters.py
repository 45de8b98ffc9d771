"""How well methods take noise off print: pages of letters.

    python benchmarks/letters.py --method NAME ... [--noise SPEC ...] [--gray]

Data sets of photographs hold next to no print, so pages are made: lines of random letters in one
color on another that differs by at least a quarter of white in brightness, softened by a Gaussian
filter of 0.8 pixels, as a lens or a scanner does. 8 pages of 256×256 pixels for each height of
capital letters, the noise as floats, not clipped, with the number of the page as its seed. Prints
the mean PSNR in dB. None of it is in any training set; training pages differ in all that is drawn.
"""

from __future__ import annotations

import argparse
from statistics import fmean

import numpy as np

from degrain.bench.methods import Floats, Method, open_method
from degrain.bench.report import markdown_table
from degrain.camera_stages import LUMA
from degrain.lettering import text_coverage
from degrain.metrics import psnr
from degrain.noise import add_noise

HEIGHTS_PX = (10, 20, 40)
PAGES, SIDE, SOFTNESS_PX = 8, 256, 0.8
LEAST_CONTRAST = 0.25
NOISES = ("gaussian:10", "gaussian:25", "camera")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", nargs="+", required=True)
    parser.add_argument("--noise", nargs="+", default=NOISES)
    parser.add_argument("--gray", action="store_true")
    options = parser.parse_args()
    methods = [open_method(name, gray=options.gray) for name in options.method]
    rows = []
    for noise in options.noise:
        for method in methods:
            found = [mean_psnr(method, height, noise, options.gray) for height in HEIGHTS_PX]
            rows.append([noise, method.name, *(f"{value:.2f}" for value in found)])
    print(markdown_table(["noise", "method", *(f"{h} pixels" for h in HEIGHTS_PX)], rows))


def mean_psnr(method: Method, height_px: int, noise: str, gray: bool) -> float:
    """Over all pages with letters of one height."""
    ratios = []
    for number in range(PAGES):
        clean = page(height_px, number)
        clean = clean @ np.array(LUMA, np.float32) if gray else clean
        answer = method.run(add_noise(clean, noise, number), noise)[0]
        ratios.append(psnr(clean, answer))
    return fmean(ratios)


def page(height_px: int, number: int) -> Floats:
    """One page, H×W×3 in 0..1."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([height_px, number])
    covered = gaussian_filter(text_coverage(SIDE, SIDE, height_px, rng), SOFTNESS_PX)[..., None]
    paper, ink = colors(rng)
    return (paper + covered * (ink - paper)).astype(np.float32)


def colors(rng: np.random.Generator) -> Floats:
    """Of paper and ink, 2×3."""
    while True:
        drawn: Floats = rng.uniform(0, 1, (2, 3)).astype(np.float32)
        if abs(np.diff(drawn.mean(axis=1))) >= LEAST_CONTRAST:
            return drawn


if __name__ == "__main__":
    main()
