"""Wall-clock time of methods on one picture, in turns, beside a fixed piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from degrain.bench.methods import Floats, open_method
from degrain.bench.provenance import machine as machine

REFERENCE = "fixed reference (FFT)"
FFT_SIDE = 2048
SLOW_SECONDS = 5.0
"""What takes longer than this is timed in every third turn only."""


def clock(
    noisy: Floats,
    spec: str,
    methods: Sequence[str],
    *,
    threads: Sequence[int],
    runs: int,
    on_run: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Median seconds of each method with each number of threads.

    Methods take turns, so that a machine that is busy for a while slows all of them. In every
    turn a fixed piece of work is timed too, which always uses one thread: the two-dimensional
    FFT of 2048×2048 numbers in double precision. It tells how fast the machine is at the moment;
    between machines neither seconds nor ratios to it can be compared (networks and transforms gain
    differently from another processor: by a factor of two, benchmarks/results/cost-gray.json).

    Args:
        noisy: the picture, H×W or H×W×3 in 0..1.
        spec: its noise.
        methods: see `degrain.bench.methods`; opening them and a first run are not timed.
        threads: numbers of threads to try; BM3D always uses one.
        runs: how often; a third as often what is slow by nature.
        on_run: called after each run.

    Returns:
        One row per method and number of threads: seconds (median), fastest, slowest, ratio to
        the reference, pixels, runs, machine. The reference comes first, with threads 1.
    """
    wanted = [(name, count) for name in methods for count in _threads(name, threads)]
    work: dict[tuple[str, int], Callable[[], object]] = {(REFERENCE, 1): _reference()}
    for name, count in wanted:
        method = open_method(name, gray=noisy.ndim == 2, threads=count)
        work[name, count] = lambda method=method: method.run(noisy, spec)  # type: ignore[misc]
    slow = {key for key, task in work.items() if _seconds(task) > SLOW_SECONDS}
    turns: list[dict[tuple[str, int], float]] = []
    for turn in range(runs):
        turns.append({})
        for key, task in work.items():
            if turn % 3 == 0 or key not in slow:
                turns[-1][key] = _seconds(task)
                on_run()
    return [_row(key, turns, noisy.shape[0] * noisy.shape[1]) for key in work]


def square_picture(clean: Floats, side_px: int) -> Floats:
    """A picture of this side from one of any size: continued by mirroring, then cut."""
    height, width = clean.shape
    below, right = max(0, side_px - height), max(0, side_px - width)
    return np.pad(clean, ((0, below), (0, right)), mode="symmetric")[:side_px, :side_px]


def _threads(name: str, threads: Sequence[int]) -> Sequence[int]:
    return threads[:1] if name == "bm3d" else threads


def _reference() -> Callable[[], object]:
    values = np.random.default_rng(0).standard_normal((FFT_SIDE, FFT_SIDE))
    return lambda: np.fft.rfft2(values)


def _seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _row(
    key: tuple[str, int], turns: Sequence[Mapping[tuple[str, int], float]], pixels: int
) -> dict[str, Any]:
    """Median, range, and the median of the ratios turn by turn."""
    own = [turn[key] for turn in turns if key in turn]
    ratios = [turn[key] / turn[REFERENCE, 1] for turn in turns if key in turn]
    return {
        "method": key[0],
        "threads": key[1],
        "seconds": round(median(own), 5),
        "fastest": round(min(own), 5),
        "slowest": round(max(own), 5),
        "ratio": round(median(ratios), 4),
        "pixels": pixels,
        "runs": len(own),
        "machine": machine(),
    }
