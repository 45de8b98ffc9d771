"""Paired comparison: two methods on the same noisy pictures, difference by difference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from degrain.bench.run import Row

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over pictures.

    Attributes:
        value: the mean, in dB.
        error: its standard error, in dB; NaN for one picture.
        count: how many pictures.
    """

    value: float
    error: float
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One method minus another on the same pictures.

    Attributes:
        mean: of the differences.
        low: lower end of the 95 % bootstrap interval of the mean, in dB.
        high: its upper end.
        values: the differences in dB, by picture.
    """

    mean: Mean
    low: float
    high: float
    values: Mapping[str, float]


def mean_of(values: Iterable[float]) -> Mean:
    """Mean and standard error (sample standard deviation over the root of the count)."""
    array = np.asarray(list(values), dtype=np.float64)
    if not array.size:
        return Mean(math.nan, math.nan, 0)
    error = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else math.nan
    return Mean(float(array.mean()), error, array.size)


def of_latest_versions(rows: Iterable[Row]) -> list[Row]:
    """The rows of the version of every method that was measured last."""
    kept = list(rows)
    latest = {row["method"]: row.get("version") for row in kept}
    return [row for row in kept if row.get("version") == latest[row["method"]]]


def psnr_by_picture(rows: Iterable[Row], method: str, noise: str) -> dict[str, float]:
    """PSNR in dB of one method, in its latest version, at one noise.

    Failed pictures are left out; the last row of each counts.
    """
    return {
        row["picture"]: math.inf if row["psnr"] is None else row["psnr"]
        for row in of_latest_versions(row for row in rows if row["method"] == method)
        if (row["noise"], row["status"]) == (noise, "ok")
    }


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> Difference:
    """First minus second, on the pictures that both have.

    The interval is the percentile bootstrap (Efron & Tibshirani, 1993, ch. 13) over pictures:
    10,000 resamples from a fixed seed, so that the same rows give the same interval.
    """
    common = sorted(first.keys() & second.keys())
    values = {name: first[name] - second[name] for name in common}
    low, high = _interval(np.asarray(list(values.values()), dtype=np.float64))
    return Difference(mean_of(values.values()), low, high, values)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of the bootstrap interval of the mean; NaN for fewer than two values."""
    if values.size < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(0).integers(0, values.size, (RESAMPLES, values.size))
    tail = (1 - LEVEL) / 2
    ends: Sequence[float] = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail]).tolist()
    return ends[0], ends[1]
