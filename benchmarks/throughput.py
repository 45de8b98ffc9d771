"""Multiply-accumulates a second of networks, as a share of what a large matrix product reaches.

    python benchmarks/throughput.py MODEL|FILE.onnx ... [--threads 2] [--runs 9] [--out FILE.json]

Float networks on a picture of side × side pixels, and products of two square float matrices of
several sizes, all through ONNX Runtime on as many threads, turn about in one run; medians of wall
seconds, and the fastest turn of each, which other guests of a machine disturb least. The fastest of
the products is what the networks are measured by. Everything that a network does counts as its
time, but only its convolutions as its work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from degrain.bench.provenance import machine

PAUSE_S = 0.2
"""ONNX Runtime's threads go on spinning for a while when a run is over, in the way of the next."""
LEAST_S = 0.3
MATRICES = (512, 768, 1024, 1536, 2048)


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL|FILE.onnx")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rates in 10⁹ multiply-accumulates a second, and shares of the fastest matrix product's."""
    work: dict[str, tuple[float, Callable[[], object]]] = {
        f"product of {n}×{n} matrices": matrix_product(n, options.threads) for n in MATRICES
    }
    products = list(work)
    for name in options.models:
        work[Path(name).stem] = network(name, options.side, options.threads)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(options.runs + 1):
        for name, (_, task) in work.items():
            time.sleep(PAUSE_S)
            task()  # warms up
            if turn:
                seconds[name].append(timed(task))
    macs = {name: each for name, (each, _) in work.items()}
    return {
        "machine": machine(),
        "threads": options.threads,
        "side": options.side,
        "runs": options.runs,
        **rates(macs, {name: median(turns) for name, turns in seconds.items()}, products),
        "fastest": rates(macs, {name: min(turns) for name, turns in seconds.items()}, products),
    }


def rates(
    macs: dict[str, float], seconds: dict[str, float], products: list[str]
) -> dict[str, dict[str, float]]:
    """Rates, and as shares of the fastest product's."""
    found = {name: macs[name] / seconds[name] / 1e9 for name in macs}
    best = max(found[name] for name in products)
    return {
        "giga_macs_per_second": {name: round(rate, 1) for name, rate in found.items()},
        "of_matrix_product": {name: round(rate / best, 3) for name, rate in found.items()},
    }


def timed(task: Callable[[], object]) -> float:
    """Seconds of one run, as a mean where it is short."""
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < LEAST_S:
        task()
        count += 1
    return (time.perf_counter() - started) / count


def matrix_product(n: int, threads: int) -> tuple[float, Callable[[], object]]:
    """Its multiply-accumulates, and the product."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from degrain.engines.onnx import open_session

    a, b = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["product"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [n, n])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [n, n])],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_session(model.SerializeToString(), Path("product"), threads)
    return n**3, lambda: session.run(None, {"a": a})


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
