"""All overlapping patches of a picture as rows, and back: what patch methods share."""

from __future__ import annotations

import numpy as np

from degrain.bench.methods import Denoise, Floats, Method, gray_only


def patch_method(name: str, denoise: Denoise, least: int, *, gray: bool) -> Method:
    """A slow method for gray pictures that is told σ and needs pictures of a least size.

    Args:
        name: as asked for.
        denoise: for pictures of at least `least`×`least` pixels; smaller ones are mirrored out.
        least: this size.
        gray: are gray pictures judged?

    Raises:
        UsageError: color.
    """
    gray_only(name, gray=gray)

    def run(noisy: Floats, sigma: float) -> Floats:
        padded, inside = at_least(noisy, least)
        return denoise(padded, sigma)[inside]

    return Method(name, "1", blind=False, denoise=run, slow=True)


def patches_of(image: Floats, side: int) -> Floats:
    """Every side×side patch of an H×W picture, row by row: N×side², float32, a copy.

    N = (H − side + 1) (W − side + 1).
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side))
    return np.array(windows, dtype=np.float32, order="C").reshape(-1, side * side)


def summed(patches: Floats, shape: tuple[int, int], side: int) -> Floats:
    """Put patches back where `patches_of` took them, adding up where they overlap."""
    rows, columns = shape[0] - side + 1, shape[1] - side + 1
    total = np.zeros(shape, np.float32)
    grid = patches.reshape(rows, columns, side, side)
    for i in range(side):
        for j in range(side):
            total[i : i + rows, j : j + columns] += grid[:, :, i, j]
    return total


def coverage(shape: tuple[int, int], side: int) -> Floats:
    """How many patches cover each pixel."""
    along = [np.convolve(np.ones(n - side + 1), np.ones(side)) for n in shape]
    return np.outer(*along).astype(np.float32)


def at_least(noisy: Floats, side: int) -> tuple[Floats, tuple[slice, slice]]:
    """A picture mirrored out to at least side×side, and the part that is the picture."""
    missing = [max(0, side - n) for n in noisy.shape]
    padded = np.pad(noisy, [(0, n) for n in missing], mode="symmetric")
    return padded, (slice(0, noisy.shape[0]), slice(0, noisy.shape[1]))
