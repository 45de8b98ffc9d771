"""How well can a pixel be known from the window around it? The limit of a small receptive field.

    python benchmarks/window.py learn --data BSDS500/train BSDS500/test -o window-9.npz
    python benchmarks/window.py measure window-9.npz --blind --data BSDS500/val --limit 10 \\
        -o benchmarks/results/window/results.jsonl

`learn` fits a Gaussian mixture to clean side×side patches. `measure` takes the mixture for the
truth and computes, at every pixel, the mean of what it may have been given the noisy window around
it: the estimate with the least squared error that any method can make *which sees no more than this
window*, as far as the mixture is right. It does so twice: told σ, and blind, where σ is any number
from 0 to 55 and has to be read off the same window. Such a mixture is among the best known models
of small patches (Zoran & Weiss, ICCV 2011); Levin & Nadler ("Natural Image Denoising: Optimality
and Inherent Bounds", CVPR 2011) ask the same of all patches of many pictures, without a model.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines import epll
from degrain.bench.learning import gray_pictures, random_squares
from degrain.bench.methods import Floats, Method
from degrain.bench.run import run_suite
from degrain.bench.suites import make_suite

LEVELS = tuple(f"gaussian:{sigma}" for sigma in (10, 15, 20, 25))
RANGE_255 = (0.0, 55.0)
"""What the blind estimate knows of σ: the range that the networks were trained on."""
GRID_STEP_255 = 2.0
AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Window:
    """A mixture over side×side patches without their means, ready to use.

    Attributes:
        side: of the patches, odd.
        weights: K.
        bases: K×P×P, P = side² - 1: coordinates of a patch along each component's own axes.
        variances: K×P, along these axes.
        middles: K×P, the middle pixel (less the patch's mean) from the same coordinates.
    """

    side: int
    weights: NDArray[np.float32]
    bases: NDArray[np.float32]
    variances: NDArray[np.float32]
    middles: NDArray[np.float32]


def learn(folders: list[Path], side: int, components: int, count: int, rounds: int) -> Window:
    """A mixture from `count` patches of gray pictures, spread evenly over all of them."""
    rng = np.random.default_rng(0)
    pictures = [picture for folder in folders for picture in gray_pictures(folder, side)]
    each = -(-count // len(pictures))
    patches = np.concatenate([random_squares(picture, side, each, rng) for picture in pictures])
    mixture = epll.learn(patches.reshape(len(patches), -1), components, rounds)
    return prepare(mixture["weights"], mixture["factors"], side)


def prepare(weights: Floats, factors: Floats, side: int) -> Window:
    """Covariances F Fᵀ without the direction of the mean, in their own axes."""
    centered = np.linalg.qr(np.c_[np.ones(side**2), np.eye(side**2)[:, 1:]])[0][:, 1:]
    wide = factors.astype(np.float64)
    covariances = centered.T @ (wide @ wide.transpose(0, 2, 1)) @ centered
    variances, axes = np.linalg.eigh(covariances)
    bases = centered @ axes
    return Window(
        side,
        weights.astype(np.float32),
        bases.astype(np.float32),
        np.maximum(variances, 0).astype(np.float32),
        bases[:, side**2 // 2].astype(np.float32),
    )


def denoise(noisy: Floats, sigmas: NDArray[np.float64], window: Window) -> Floats:
    """Every pixel's mean given its window, all `sigmas` (of 1) being equally likely beforehand."""
    padded = np.pad(noisy, window.side // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window.side, window.side))
    rows = windows.reshape(-1, window.side**2).astype(np.float32)
    parts = [
        middles(rows[i : i + AT_ONCE], sigmas.astype(np.float32), window)
        for i in range(0, len(rows), AT_ONCE)
    ]
    return np.concatenate(parts).reshape(noisy.shape)


def middles(rows: Floats, sigmas: Floats, window: Window) -> Floats:
    """The middle pixels' means, N from N×side²; sums over components and σ as they come."""
    means = rows.mean(axis=1, keepdims=True)
    centered = rows - means
    greatest = np.full((len(rows), len(sigmas)), -np.inf, np.float32)
    total, weighted = np.zeros_like(greatest), np.zeros_like(greatest)
    for weight, basis, variance, middle in zip(
        window.weights, window.bases, window.variances, window.middles, strict=True
    ):
        along = centered @ basis
        both = variance[:, None] + sigmas**2
        constant = np.log(max(weight, 1e-12)) - 0.5 * np.log(both).sum(axis=0)
        logs = constant - 0.5 * (along**2 @ (1 / both))
        estimate = along @ (middle[:, None] * variance[:, None] / both)
        higher = np.maximum(greatest, logs)
        before, now = np.exp(greatest - higher), np.exp(logs - higher)
        total = total * before + now
        weighted = weighted * before + now * estimate
        greatest = higher
    shares = np.exp(greatest - greatest.max(axis=1, keepdims=True))
    found = (weighted * shares).sum(axis=1) / (total * shares).sum(axis=1)
    return np.asarray(means[:, 0] + found, dtype=np.float32)


def save(window: Window, path: Path) -> None:
    """As `.npz`, for `methods`."""
    np.savez(path, **{name: getattr(window, name) for name in Window.__slots__})


def methods(path: Path, *, blind: tuple[float, float] | None) -> list[Method]:
    """The told one and, given the range of its σ (of 255), the blind one."""
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with np.load(path) as content:
        window = Window(int(content["side"]), *(content[name] for name in Window.__slots__[1:]))
    told = Method(
        f"window-{window.side}",
        version,
        blind=False,
        denoise=lambda noisy, sigma: denoise(noisy, np.array([sigma]), window),
    )
    if blind is None:
        return [told]
    grid = np.arange(blind[0] + GRID_STEP_255 / 2, blind[1], GRID_STEP_255) / 255
    known = "" if blind == RANGE_255 else f"-{blind[0]:g}-{blind[1]:g}"
    untold = Method(
        f"window-{window.side}-blind{known}",
        version,
        blind=True,
        denoise=lambda noisy, _: denoise(noisy, grid, window),
    )
    return [told, untold]


def main() -> None:
    """Learn a mixture, or measure some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    learning = verbs.add_parser("learn")
    learning.add_argument("--data", type=Path, nargs="+", required=True, help="clean pictures")
    learning.add_argument("--side", type=int, default=9, help="of the window, odd")
    learning.add_argument("--components", type=int, default=200)
    learning.add_argument("--patches", type=int, default=300_000)
    learning.add_argument("--rounds", type=int, default=15)
    learning.add_argument("-o", "--output", type=Path, required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("windows", type=Path, nargs="+")
    measuring.add_argument("--data", type=Path, required=True, help="clean pictures")
    measuring.add_argument("--limit", type=int, help="take the first so many")
    measuring.add_argument("--noise", nargs="+", default=list(LEVELS))
    measuring.add_argument("--blind", action="store_true", help="the blind estimate too")
    measuring.add_argument("--range", type=float, nargs=2, default=RANGE_255, help="of its σ")
    measuring.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.verb == "learn":
        window = learn(
            options.data, options.side, options.components, options.patches, options.rounds
        )
        save(window, options.output)
        return
    suite = make_suite(options.data, noise=options.noise, gray=True, limit=options.limit)
    blind = tuple(options.range) if options.blind else None
    own = [m for path in options.windows for m in methods(path, blind=blind)]
    run_suite(suite, own, options.output)


if __name__ == "__main__":
    main()
