"""What learning is worth: a model with random numbers in place of its last layer, or of all.

Jain & Seung, NIPS 2008, Sec. 5: nothing in the network but the reach of its filters is made for
pictures, so with the last layer at random, denoising fails, and with all layers it fails worse.
Nothing is trained again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain import onnx_weights
from degrain.bench.kernels import kernel_tensors
from degrain.bench.methods import Floats, Method
from degrain.zoo.card import ModelCard

PARTS: Mapping[str, str] = {"last": "last layer random", "all": "all layers random"}


def randomized(card: ModelCard, part: str, draw: int, *, threads: int | None = None) -> Method:
    """The model with random weights and biases in its last layer or in all.

    Each tensor is drawn from a normal distribution of mean 0 with the root mean square of the
    trained tensor, so that random numbers are as large as trained ones. Which maps are connected
    stays as it is.

    Args:
        card: the model; a gray one whose weights carry state-dict names.
        part: "last" or "all".
        draw: number of the draw; decides the random numbers together with the tensor's name.
        threads: for running it.
    """
    from degrain.engines.onnx import OnnxEngine

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "random.onnx")
        file.write_bytes(_random_model(card.path, part, draw))
        engine = OnnxEngine(file, threads=threads)

    def denoise(noisy: Floats, _: float) -> Floats:
        clean: Floats = engine.run(noisy[None, None])[0, 0]
        return clean

    return Method(
        f"{card.name}, {PARTS[part]}, draw {draw}", card.sha256[:12], blind=True, denoise=denoise
    )


def _random_model(path: Path, part: str, draw: int) -> bytes:
    """The ONNX file with other numbers in it."""
    from onnx import numpy_helper

    model = onnx_weights.load(path)
    names = _names(model.graph, part)
    for item in model.graph.initializer:
        if item.name in names:
            values = _draw(numpy_helper.to_array(item), item.name, draw)
            item.CopyFrom(numpy_helper.from_array(values, item.name))
    return bytes(model.SerializeToString())


def _names(graph: Any, part: str) -> set[str]:
    """Initializers to replace: weights, and whatever else their modules have learned."""
    from onnx import TensorProto

    weights = list(kernel_tensors(graph))
    modules = _modules(weights[-1:] if part == "last" else weights)
    return {
        item.name
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT
        and item.name.endswith((".weight", ".bias"))
        and _modules([item.name]) <= modules
    }


def _modules(names: Iterable[str]) -> set[str]:
    """`inner.0.weight` belongs to `inner.0`."""
    return {name.rpartition(".")[0] for name in names}


def _draw(trained: NDArray[Any], name: str, draw: int) -> NDArray[np.float32]:
    """Random numbers of the trained tensor's shape and root mean square."""
    rng = np.random.default_rng([draw, *name.encode()])
    size = float(np.sqrt(np.mean(np.square(trained, dtype=np.float64))))
    return rng.normal(0, size, trained.shape).astype(np.float32)
