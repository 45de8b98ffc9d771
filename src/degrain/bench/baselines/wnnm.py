"""Weighted nuclear norm minimization of groups of similar patches; told σ; slow.

Source: Gu, Zhang, Zuo & Feng, CVPR 2014 (Algorithm 1 and 2, Eq. 9-11 with c = 2√2 for the
variance of the noise), with the closed form of the weighted shrinkage from Gu et al., IJCV 2017,
Eq. 19. Settings for each noise level (Sec. 4 of the CVPR paper): patch size, group size, rounds
and the factor λ of the remaining noise; δ = 0.1, search radius 30, groups anew in every second
round with ten patches fewer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from degrain.bench.baselines.patches import patch_method, patches_of, summed
from degrain.bench.methods import Floats, Method

DELTA, C, RADIUS, RENEW, FEWER = 0.1, 2**1.5, 30, 2, 10
SETTINGS = ((20, 6, 70, 8, 0.54), (40, 7, 90, 12, 0.56), (60, 8, 120, 14, 0.58))
LARGEST = (9, 140, 14, 0.58)
"""(σ_255 up to, patch side, patches a group, rounds, λ)."""
KEYS = 1024
"""Groups worked on at a time."""
LEAST = 16
"""Pictures are mirrored out to this size."""


def make(*, gray: bool, threads: int | None = None) -> Method:
    """WNNM for gray pictures.

    Raises:
        UsageError: color.
    """
    return patch_method("wnnm", wnnm, LEAST, gray=gray)


def wnnm(noisy: Floats, sigma: float) -> Floats:
    """Algorithm 2: rounds of grouping, shrinking and averaging, with noise fed back.

    Args:
        noisy: H×W in 0..1.
        sigma: noise standard deviation in 0..1.
    """
    side, most, rounds, share = next((s[1:] for s in SETTINGS if 255 * sigma <= s[0]), LARGEST)
    keys = _key_patches(noisy.shape, side)
    original = patches_of(noisy, side)
    clean, groups = noisy, np.zeros((0, 0), np.intp)
    for turn in range(rounds):
        clean = clean + DELTA * (noisy - clean)
        patches = patches_of(clean, side)
        removed = ((original - patches) ** 2).mean(axis=1)
        left = share * np.sqrt(np.abs(sigma**2 - removed))
        if turn % RENEW == 0:
            most -= FEWER
            groups = _alike(clean, side, keys, most)
        if turn == 0:
            left[:] = sigma
        clean = _average(patches, groups, left[keys], noisy.shape, side)
    return clean


def _key_patches(shape: tuple[int, ...], side: int) -> NDArray[np.intp]:
    """Numbers of the patches that groups form around: every second one or so, and the last."""
    step = max(1, side // 2 - 1)
    ends = [n - side for n in shape]
    rows, columns = (np.unique(np.append(np.arange(0, end, step), end)) for end in ends)
    keys: NDArray[np.intp] = (rows[:, None] * (ends[1] + 1) + columns).ravel()
    return keys


def _alike(image: Floats, side: int, keys: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """For each key patch the `most` nearest patches within the search window: keys × most."""
    rows, columns = (n - side + 1 for n in image.shape)
    width = 2 * RADIUS + 1
    most = min(most, min(RADIUS + 1, rows) * min(RADIUS + 1, columns))
    found = np.empty((len(keys), most), np.intp)
    per_band = max(1, 24_000_000 // (width**2 * columns))  # bounds the table of distances
    y, x = keys // columns, keys % columns
    for top in range(0, rows, per_band):
        own = np.flatnonzero((y >= top) & (y < top + per_band))
        if len(own) == 0:
            continue
        distances = np.full((len(own), width**2), np.inf, np.float32)
        for number, (dy, dx, table) in enumerate(_shifted(image, side, top, per_band)):
            inside = (y[own] + dy >= 0) & (y[own] + dy < rows)
            inside &= (x[own] + dx >= 0) & (x[own] + dx < columns)
            kept = own[inside]
            distances[inside, number] = table[y[kept] - top, x[kept]]
        nearest = np.argpartition(distances, most - 1, axis=1)[:, :most]
        down, right = np.divmod(nearest, width)
        found[own] = (y[own, None] + down - RADIUS) * columns + x[own, None] + right - RADIUS
    return found


def _shifted(
    image: Floats, side: int, top: int, rows: int
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Squared distance of the patches in a band of rows to those at each offset."""
    band = image[top : top + rows + side - 1]
    padded = np.pad(image, RADIUS)
    for dy in range(2 * RADIUS + 1):
        for dx in range(2 * RADIUS + 1):
            there = padded[top + dy : top + dy + len(band), dx : dx + image.shape[1]]
            squares = (band - there) ** 2
            yield dy - RADIUS, dx - RADIUS, _boxes(_boxes(squares, side).T, side).T


def _boxes(table: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Sums of `side` rows."""
    rows = len(table) - side + 1
    total = table[:rows].copy()
    for i in range(1, side):
        total += table[i : i + rows]
    return total


def _average(
    patches: Floats, groups: NDArray[np.intp], left: Floats, shape: tuple[int, ...], side: int
) -> Floats:
    """Shrink every group and average all patches where they lie."""
    total = np.zeros(patches.shape, np.float32)
    times = np.zeros(len(patches), np.float32)
    for start in range(0, len(groups), KEYS):
        members = groups[start : start + KEYS]
        restored = shrink(patches[members], left[start : start + KEYS])
        flat = members.ravel()
        order = np.argsort(flat, kind="stable")
        numbers, firsts = np.unique(flat[order], return_index=True)
        rows = restored.reshape(len(flat), -1)[order]
        total[numbers] += np.add.reduceat(rows, firsts, axis=0)
        times += np.bincount(flat, minlength=len(times)).astype(np.float32)
    ones = np.repeat(times[:, None], patches.shape[1], axis=1)
    size = (int(shape[0]), int(shape[1]))
    counts = np.maximum(summed(ones, size, side), np.float32(1e-6))
    return np.asarray(summed(total, size, side) / counts, dtype=np.float32)


def shrink(groups: Floats, left: Floats) -> Floats:
    """Algorithm 1 in closed form: singular values s become (c1 + √c2) / 2 or zero.

    Args:
        groups: G×M×D, M patches each.
        left: noise standard deviation that is still in each group.
    """
    means = groups.mean(axis=1, keepdims=True)
    centered = groups - means
    # D×D is smaller than M×D: its eigenvectors are the right singular vectors
    squares, vectors = np.linalg.eigh(centered.transpose(0, 2, 1) @ centered)
    values = np.sqrt(np.maximum(squares, 0))
    weight = C * np.sqrt(groups.shape[1]) * (left**2)[:, None]
    inner = values**2 - 4 * weight
    kept = np.where(inner > 0, (values + np.sqrt(np.maximum(inner, 0))) / 2, 0)
    gains = kept / np.maximum(values, 1e-12)
    restored = (centered @ (vectors * gains[:, None, :])) @ vectors.transpose(0, 2, 1)
    return np.asarray(restored + means, dtype=np.float32)
