"""What a method costs, measured: multiply-accumulates, seconds per megapixel, memory.

Multiply-accumulates are counted in the ONNX graph. Seconds come from `clock`: methods take turns
with a fixed piece of work, and only the ratio to it means something on another machine. Memory is
what the operating system says of a fresh process, less that of one that does all but denoise.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from degrain import onnx_weights
from degrain.bench.clock import clock
from degrain.bench.methods import BASELINES, Floats, open_method
from degrain.bench.provenance import commit, machine, peak_mb, versions
from degrain.errors import DegrainError, ModelError, PictureError
from degrain.metrics import psnr

SIDES = (256, 512, 1024)
THREADS = (1, 2)
SPEC = "gaussian:25"
_COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def scene(side_px: int, *, gray: bool = True) -> Floats:
    """A test picture with edges, slopes and texture; its content matters little for time.

    H×W; in color H×W×3, where the two further channels are its mirror images.
    """
    y, x = np.mgrid[:side_px, :side_px] / 64
    waves = np.sin(x * y / 3) + (np.sin(x) > 0.3) + np.cos(7 * x + 3 * y) * (np.sin(y) > 0)
    plane = np.asarray(0.5 + 0.12 * waves, dtype=np.float32)
    return plane if gray else np.stack([plane, plane[::-1], plane[:, ::-1]], axis=2)


def noisy_scene(side_px: int, *, gray: bool = True) -> Floats:
    """The same with noise of standard deviation 25 of 255, always the same."""
    clean = scene(side_px, gray=gray)
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    return clean + noise * np.float32(25 / 255)


def measure_cost(
    methods: Sequence[str],
    *,
    gray: bool = True,
    sides: Sequence[int] = SIDES,
    threads: Sequence[int] = THREADS,
    runs: int = 3,
    on_run: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Time, memory and multiply-accumulates of methods.

    Args:
        methods: see `degrain.bench.methods`.
        gray: on gray pictures; else in color.
        sides: of the square pictures.
        threads: numbers of threads to try.
        runs: turns of each; medians count.
        on_run: called after each run.

    Returns:
        Plain data for JSON: `time` rows (see `clock`, with `side_px` and `seconds_per_megapixel`),
        `memory` rows and `macs_per_pixel`, `gray`, and where they come from.
    """
    times: list[dict[str, Any]] = []
    for side in sides:
        noisy = noisy_scene(side, gray=gray)
        rows = clock(noisy, SPEC, methods, threads=threads, runs=runs, on_run=on_run)
        for row in rows:
            per = row["seconds"] / row["pixels"] * 1e6
            times.append({**row, "side_px": side, "seconds_per_megapixel": round(per, 4)})
    empty = {side: _peak_of("", side, gray=gray) for side in sides}
    memory = [
        {"method": name, "side_px": side, "peak_mb": peak, "added_mb": round(peak - empty[side], 1)}
        for name in methods
        for side in sides
        for peak in (_peak_of(name, side, gray=gray),)
    ]
    counts = {name: macs_per_pixel(name, gray=gray) for name in methods}
    return {
        "gray": gray,
        "time": times,
        "memory": memory,
        "macs_per_pixel": {name: count for name, count in counts.items() if count is not None},
        "machine": machine(),
        "commit": commit(),
        "versions": dict(versions()),
    }


def macs_per_pixel(method: str, *, gray: bool = True) -> float | None:
    """Multiply-accumulates per picture pixel of a method that is an ONNX network, else None."""
    if not _may_be_network(method):
        return None
    try:
        return count_macs(_onnx_file(method, gray=gray))
    except DegrainError:
        return None


def macs_for_rows(method: str, version: str) -> float | None:
    """The same for the rows of a run: from the card of the model, else counted.

    Counted in a process of its own: the count keeps all intermediate maps, and what it leaves
    behind would be part of the peak memory of every row of the run.

    Args:
        method: its name, not "auto".
        version: what `Method.version` says; a model of another version has another card.
    """
    known = carded_macs(method, version)
    if known is not None or not _may_be_network(method):
        return known
    try:
        path = _onnx_file(method)
    except DegrainError:
        return None
    words = [sys.executable, "-m", "degrain.bench.cost", "count", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return float(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def carded_macs(method: str, version: str) -> float | None:
    """What the card of a shipped or installed model says, if that is the model of this version."""
    from degrain.zoo.store import load_model

    if not version or ":" in method or not _may_be_network(method):
        return None
    try:
        card = load_model(method)
    except DegrainError:
        return None
    same = card.sha256.startswith(version) and card.macs_per_pixel > 0
    return float(card.macs_per_pixel) if same else None


def _may_be_network(method: str) -> bool:
    return method != "noisy" and method.partition(":")[0] not in (*BASELINES, "python")


def _onnx_file(method: str, *, gray: bool = True) -> Path:
    if method.startswith("onnx:"):
        return Path(method.removeprefix("onnx:"))
    from degrain.denoise import Denoiser
    from degrain.versions import FAMILIES
    from degrain.zoo.store import load_model

    name = Denoiser(method).model_name(1 if gray else 3) if method in FAMILIES else method
    return load_model(name).path


def count_macs(path: Path, side_px: int = 256) -> float:
    """Multiply-accumulates per pixel in the convolutions and matrix products of an ONNX graph.

    The graph runs once on a square picture with all intermediate sizes looked at, so that
    whatever it pads, folds or repeats is counted as it happens.

    Raises:
        ModelError: the file cannot be read or run, or onnx is not installed.
    """
    try:
        import onnx
        import onnxruntime

        model = onnx_weights.load(path)
        nodes = [node for node in model.graph.node if node.op_type in _COUNTED]
        shapes = _shapes(onnx, onnxruntime, model, nodes, side_px)
    except Exception as error:  # onnx and its runtime share no error of their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"The multiplications of {path} cannot be counted ({reason})."
        raise ModelError(msg) from error
    return sum(_macs(node, shapes) for node in nodes) / side_px**2


def _shapes(
    onnx: Any, onnxruntime: Any, model: Any, nodes: Sequence[Any], side_px: int
) -> dict[str, tuple[int, ...]]:
    """Sizes of all weights, inputs and outputs of these nodes."""
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    graph = model.graph
    given = {item.name for item in (*graph.input, *graph.output)}
    names = {name for node in nodes for name in (*node.input[:2], node.output[0])}
    wanted = sorted(names - set(shapes) - {item.name for item in graph.input})
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    inputs = {item.name: _input(item, side_px) for item in session.get_inputs()}
    values = session.run(wanted, inputs)
    shapes |= {name: value.shape for name, value in zip(wanted, values, strict=True)}
    return shapes | {name: value.shape for name, value in inputs.items()}


def _input(item: Any, side_px: int) -> Floats:
    """A picture, or the noise level for an input named sigma."""
    if item.name == "sigma":
        return np.full([n if isinstance(n, int) else 1 for n in item.shape], 0.1, np.float32)
    return np.full((1, item.shape[1], side_px, side_px), 0.5, np.float32)


def _macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Of one node: every output (of a transposed convolution: input) meets its weights once."""
    left, right = (shapes[name] for name in node.input[:2])
    out = shapes[node.output[0]]
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    if node.op_type == "Gemm":
        turned = any(a.name == "transA" and a.i for a in node.attribute)
        return math.prod(out) * left[0 if turned else -1]
    return math.prod(out) * left[-1]


def _peak_of(method: str, side_px: int, *, gray: bool) -> float:
    """Peak memory in 10^6 bytes of a fresh process; without a method, of one that only prepares.

    Raises:
        PictureError: the process failed.
    """
    kind = "gray" if gray else "color"
    words = [sys.executable, "-m", "degrain.bench.cost", "peak", method, str(side_px), kind]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["the process was killed"]
        msg = f"The memory of {method or 'nothing'} cannot be measured ({lines[-1]})."
        raise PictureError(msg)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _in_fresh_process(method: str, side_px: int, *, gray: bool) -> None:
    """The body of that process."""
    noisy = noisy_scene(side_px, gray=gray)
    if method:
        result, _ = open_method(method, gray=gray, threads=1).run(noisy, SPEC)
        psnr(noisy, result)
    print(json.dumps(round(peak_mb(), 1)))


if __name__ == "__main__":
    if sys.argv[1] == "count":
        print(json.dumps(round(count_macs(Path(sys.argv[2])), 1)))
    else:
        _in_fresh_process(sys.argv[2], int(sys.argv[3]), gray=sys.argv[4] == "gray")
