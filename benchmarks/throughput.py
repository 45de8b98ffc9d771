"""Multiply-accumulates a second of networks, as a share of what a large matrix product reaches.

    python benchmarks/throughput.py MODEL|FILE.onnx ... [--threads 2] [--runs 9] [--out FILE.json]

Float networks through ONNX Runtime on a picture of side × side pixels, and products of two float
matrices (NumPy's BLAS) on as many threads, turn about in one run; medians of wall seconds.
Everything that a network does counts as its time, but only its convolutions as its work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

MATRIX = 3072
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL|FILE.onnx")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    count = str(options.threads)
    if any(os.environ.get(name) != count for name in THREAD_VARIABLES):
        # BLAS reads its number of threads once, when it is loaded.
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, count)
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    result = measure(options)
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rates in 10⁹ multiply-accumulates a second, and shares of the matrix product's."""
    work: dict[str, tuple[float, Callable[[], object]]] = {"matrix product": matrix_product()}
    for name in options.models:
        work[Path(name).stem] = network(name, options.side, options.threads)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(options.runs + 1):
        for name, (_, task) in work.items():
            started = time.perf_counter()
            task()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - started)
    rates = {name: macs / median(seconds[name]) / 1e9 for name, (macs, _) in work.items()}
    return {
        "threads": options.threads,
        "side": options.side,
        "runs": options.runs,
        "giga_macs_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "of_matrix_product": {
            name: round(rate / rates["matrix product"], 3) for name, rate in rates.items()
        },
    }


def matrix_product() -> tuple[float, Callable[[], object]]:
    """Its multiply-accumulates, and the product."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.random((MATRIX, MATRIX), dtype=np.float32) for _ in range(2))
    return MATRIX**3, lambda: a @ b


def network(name: str, side: int, threads: int) -> tuple[float, Callable[[], object]]:
    """The same of a network; the authors' of other projects may want to be told σ."""
    import numpy as np

    from degrain.bench.cost import count_macs
    from degrain.engines.onnx import OnnxEngine
    from degrain.zoo.store import load_model

    path = Path(name) if name.endswith(".onnx") else load_model(name).path
    engine = OnnxEngine(path, threads=threads)
    x = np.random.default_rng(0).random((1, engine.channels, side, side), dtype=np.float32)
    return count_macs(path) * side**2, lambda: engine.run(x, 0.1 if engine.needs_sigma else None)


if __name__ == "__main__":
    main()
