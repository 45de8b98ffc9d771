"""Which network for a picture: the one for white noise, or the one for cameras?

    python benchmarks/which_network.py --data PATH... [--pairs NOISY CLEAN] [--color]

PATHs are the folders or packs of training pictures, of which every 20th is held out, as training
does; their middles of 256×256 pixels in gray (with --color: in color) count, with noise, in 8 bits.
Of the pairs the whole pictures count. For each kind of noise it prints how coarse the noise is (see
`degrain.whiteness`), how often it is held for white, and the mean PSNR in dB with `degrain-gray`
(`degrain-color`), with `degrain-photo` and with the one that "auto" takes; then the worst picture
with each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain import Denoiser
from degrain.bench.report import markdown_table
from degrain.estimate import noise_level_255
from degrain.metrics import psnr
from degrain.noise import parse_noise
from degrain.train.data import load, read_pairs, split, to_channels
from degrain.whiteness import coarse_noise_255

SIDE_PX = 256
NOISE = (
    "gaussian:0 gaussian:2 gaussian:5 gaussian:10 gaussian:25 gaussian:50 poisson:1000 poisson:100 "
    "camera jpeg:60"
)
NETWORKS = {1: ("degrain-gray", "degrain-photo"), 3: ("degrain-color", "degrain-photo")}
"""By channels of the pictures."""

Page = NDArray[np.uint8]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--pairs", type=Path, nargs=2, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--noise", nargs="+", default=NOISE.split())
    parser.add_argument("--color", action="store_true")
    options = parser.parse_args()
    channels = 3 if options.color else 1
    sets = damaged(options.data, options.noise, channels)
    if options.pairs:
        noisy, clean = (pages(packed, channels) for packed in read_pairs(*options.pairs))
        sets["real pairs"] = list(zip(noisy, clean, strict=True))
    networks = NETWORKS[channels]
    rows = [[spec, *measure(pairs, networks)] for spec, pairs in sets.items()]
    heads = ["noise", "coarse / fine", "held for white", *networks, "the chosen one"]
    print(markdown_table([*heads, *(f"worst, {name}" for name in (*networks, "chosen"))], rows))


def pages(packed: Any, channels: int) -> list[Page]:
    """The pictures of a pack, H×W×channels."""
    return [to_channels(picture, channels) for picture in packed.pictures]


def damaged(
    data: list[Path], specs: list[str], channels: int
) -> dict[str, list[tuple[Page, Page]]]:
    """Noisy and clean pictures by kind of noise."""
    clean = [middle(picture) for picture in pages(split(load(data))[1], channels)]
    return {spec: [(add(spec, k, part), part) for k, part in enumerate(clean)] for spec in specs}


def middle(picture: Page) -> Page:
    """Its middle square, or what there is of it."""
    top, left = (max(0, (size - SIDE_PX) // 2) for size in picture.shape[:2])
    return picture[top : top + SIDE_PX, left : left + SIDE_PX]


def add(spec: str, seed: int, clean: Page) -> Page:
    """The picture with noise, clipped and rounded to 8 bits."""
    noisy = parse_noise(spec).add(clean / np.float32(255), np.random.default_rng(seed))
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8)


def measure(pairs: list[tuple[Page, Page]], networks: tuple[str, str]) -> list[str]:
    """The cells of a row."""
    auto, denoisers = Denoiser(), [Denoiser(name, precision="float") for name in networks]
    white = np.array([auto.choose(noisy).model == networks[0] for noisy, _ in pairs])
    found = np.array(
        [[min(99.0, psnr(c, d(n), data_range=255)) for d in denoisers] for n, c in pairs]
    )
    chosen = np.where(white, found[:, 0], found[:, 1])
    columns = [*found.T, chosen]
    ratio = np.median([coarseness(noisy) for noisy, _ in pairs])
    means = [f"{column.mean():.2f}" for column in columns]
    return [
        f"{ratio:.2f}",
        f"{white.mean():.0%}",
        *means,
        *(f"{column.min():.1f}" for column in columns),
    ]


def coarseness(page: Page) -> float:
    """Coarse noise over fine noise."""
    return (coarse_noise_255(page) or 0.0) / max(noise_level_255(page), 1e-3)


if __name__ == "__main__":
    main()
