"""How much gray grain networks leave on even surfaces that lie beside strong edges.

    python benchmarks/beside_edges.py MODEL...

MODELs are model names, ONNX files or run folders of U-Nets for color. The picture is a checkerboard
of squares of 48 pixels, of rising contrast, softened by a Gaussian filter of one pixel as a lens
does, with grain of σ 3 of 255 that is the same in R, G and B, smoothed over so many pixels.
It prints what share of the grain is left in the middles of the squares, 24×24 pixels: 0 is best, 1
is nothing taken out.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from degrain.bench.report import markdown_table
from degrain.train.teacher import load_teacher

SIDE, SQUARE, MIDDLE = 384, 48, 24
SIGMA = 3 / 255
CONTRASTS = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Of neighboring squares, where white is 1."""
SMOOTHING_PX = (0.5, 0.7, 1.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    rows = []
    for model in parser.parse_args().models:
        net = load_teacher(model, 3, torch.device("cpu"))
        for smoothing_px in SMOOTHING_PX:
            left = [share_left(net, contrast, smoothing_px) for contrast in CONTRASTS]
            rows.append([model, f"{smoothing_px:g}", *(f"{share:.2f}" for share in left)])
    print(markdown_table(["network", "pixels", *(f"contrast {c:g}" for c in CONTRASTS)], rows))


@torch.no_grad()
def share_left(net: nn.Module, contrast: float, smoothing_px: float) -> float:
    """Root mean square error in the middles of the squares, of that of the noisy picture."""
    clean, noise = checkerboard(contrast), grain(smoothing_px)
    noisy = np.repeat((clean + noise)[None, None], 3, axis=1).astype(np.float32)
    error = net(torch.from_numpy(noisy))[0].numpy() - clean
    inside = middles()
    return rms(error[:, inside]) / rms(noise[inside])


def checkerboard(contrast: float) -> NDArray[np.float64]:
    """Soft squares around one half, H×W."""
    number = np.arange(SIDE) // SQUARE
    dark = (number[:, None] + number) % 2
    return smooth(0.5 + contrast * (0.5 - dark), 1.0)


def grain(smoothing_px: float) -> NDArray[np.float64]:
    """Gray grain, H×W."""
    white = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    coarse = smooth(white, smoothing_px)
    return SIGMA * coarse / coarse.std()


def smooth(x: NDArray[np.float64], sigma_px: float) -> NDArray[np.float64]:
    """A Gaussian filter; the picture goes on at its other end."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(x, sigma_px, mode="wrap"))


def middles() -> NDArray[np.bool_]:
    """Where the squares' middles are, H×W."""
    place = np.abs(np.arange(SIDE) % SQUARE - (SQUARE - 1) / 2) < MIDDLE / 2
    return place[:, None] & place


def rms(values: NDArray[np.floating]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
