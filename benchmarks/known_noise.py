"""Does a network know the noise of real photographs when it sees it on an even surface?

    python benchmarks/known_noise.py MODEL... --pairs NOISY CLEAN

MODELs are model names, ONNX files or run folders of U-Nets for color. From each pair of pictures
the noise is taken, laid over even gray and denoised; and so is noise of the same spectrum in every
channel, and as alike between them, whose phases are drawn anew, so that it has no structure but its
spectrum. What is printed is the share of the noise's brightness that is left, 0 being best: of real
noise and of the other, mean over the pairs; and of real noise the five pairs with most.

A network that takes off the other noise and leaves the real one does not know how real noise is
made. But near strong edges what pairs differ by is not all noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from degrain.bench.report import markdown_table
from degrain.train.data import Pack, read_pairs
from degrain.train.teacher import load_teacher

GRAY = 0.5
MOST = 5
"""Pairs that are told one by one."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--pairs", type=Path, nargs=2, required=True, metavar=("NOISY", "CLEAN"))
    options = parser.parse_args()
    noises = of_pairs(*read_pairs(*options.pairs))
    others = [with_other_phases(noise) for noise in noises]
    rows = []
    for model in options.models:
        net = load_teacher(model, 3, torch.device("cpu"))
        real, other = ([share_left(net, noise) for noise in kind] for kind in (noises, others))
        most = " ".join(f"{share:.2f}" for share in sorted(real, reverse=True)[:MOST])
        rows.append([model, f"{np.mean(real):.2f}", f"{np.mean(other):.2f}", most])
    print(markdown_table(["network", "real noise", "other phases", "real, most"], rows))


def of_pairs(noisy: Pack, clean: Pack) -> list[NDArray[np.float64]]:
    """Noisy less clean, H×W×3, where white is 1."""
    return [
        (first.astype(np.float64) - second) / np.iinfo(first.dtype).max
        for first, second in zip(noisy.pictures, clean.pictures, strict=True)
    ]


def with_other_phases(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise with the same spectrum in every channel; the same turns in all, so as alike."""
    height, width = noise.shape[:2]
    white = np.random.default_rng(0).standard_normal((height, width))
    turns = np.exp(1j * np.angle(np.fft.rfft2(white)))
    spectrum = np.fft.rfft2(noise, axes=(0, 1)) * turns[..., None]
    return np.asarray(np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1)))


@torch.no_grad()
def share_left(net: nn.Module, noise: NDArray[np.float64]) -> float:
    """How much of the noise's brightness is in the answer, by least squares."""
    noisy = torch.from_numpy((GRAY + noise).astype(np.float32)).permute(2, 0, 1)[None]
    left = net(noisy)[0].numpy().mean(axis=0) - GRAY
    put_in = noise.mean(axis=2)
    return float((left * put_in).mean() / np.square(put_in).mean())


if __name__ == "__main__":
    main()
