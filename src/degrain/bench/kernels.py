"""Kernels: the learned filters of a convolutional model, read from its ONNX file alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain import onnx_weights
from degrain.errors import ModelError

Floats = NDArray[np.float32]
CONVOLUTIONS = ("Conv", "ConvTranspose")
MOST_MAPS = 24
MOST_INPUTS = 8
GAP_PX = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """The filters of one convolution.

    Attributes:
        name: of the initializer.
        filters: K×height×width for each map the layer makes: one filter for each connection
            that exists; filters that are zero throughout are no connections.
    """

    name: str
    filters: tuple[Floats, ...]

    @property
    def count(self) -> int:
        """How many filters there are."""
        return sum(len(of_map) for of_map in self.filters)


def read_layers(path: Path) -> list[Layer]:
    """The convolutions of a model in the order in which they are carried out.

    A layer with sparse wiring may store only the kernels that exist (maps × connections × height
    × width, next to a table of indices): they are taken as they are.

    Args:
        path: an ONNX file; only its initializers and the order of its nodes are read.

    Raises:
        ModelError: it cannot be read, or has no filter larger than 1×1.
    """
    graph = load_graph(path)
    layers = [
        Layer(name, tuple(of_map[of_map.any(axis=(1, 2))] for of_map in weights))
        for name, weights in kernel_tensors(graph).items()
        if max(weights.shape[2:]) > 1
    ]
    if not layers:
        msg = f"{path} has no convolution with filters larger than 1×1; there is nothing to draw."
        raise ModelError(msg)
    return layers


def load_graph(path: Path) -> Any:
    """The graph of an ONNX file.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return onnx_weights.load(path).graph
    except Exception as error:  # onnx and protobuf raise many kinds
        msg = f"{path} is no readable ONNX model ({error}); fetch or export it again."
        raise ModelError(msg) from error


def kernel_tensors(graph: Any) -> Mapping[str, Floats]:
    """Four-axis float initializers that end in a convolution, in the order of their use.

    Between initializer and convolution there may be nodes that rearrange it.
    """
    from onnx import TensorProto, numpy_helper

    stored = {
        item.name: item
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT and len(item.dims) == 4
    }
    makers = {output: node for node in graph.node for output in node.output}
    found: dict[str, Floats] = {}
    for node in graph.node:
        if node.op_type not in CONVOLUTIONS:
            continue
        for name in _origins(node.input[1], makers):
            if name in stored and name not in found:
                weights = numpy_helper.to_array(stored[name])
                if weights.any():  # zeros are what sparse kernels are set into
                    found[name] = weights if node.op_type == "Conv" else weights.swapaxes(0, 1)
    return found


def _origins(name: str, makers: Mapping[str, Any]) -> Iterator[str]:
    """Where a value comes from: names that no node makes."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in makers:
            waiting.extend(makers[name].input)
        else:
            yield name


def mosaic(layer: Layer) -> tuple[Floats, str]:
    """The filters of a layer side by side: one column for each map, one row for each connection.

    Each column is scaled by its largest weight, so 0 stays 0 and the connections of one map can
    be compared. Of a large layer the first 24 maps and the 8 strongest connections of each
    are shown.

    Returns:
        The picture in −1..1, with NaN between the filters; and a sentence on what is shown.
    """
    shown = [_strongest(of_map) for of_map in layer.filters[:MOST_MAPS]]
    height, width = layer.filters[0].shape[1:]
    rows = max(len(of_map) for of_map in shown)
    step_y, step_x = height + GAP_PX, width + GAP_PX
    picture = np.full((rows * step_y - GAP_PX, len(shown) * step_x - GAP_PX), np.nan, np.float32)
    for column, of_map in enumerate(shown):
        scale = max(float(np.abs(of_map).max(initial=0)), np.finfo(np.float32).tiny)
        for row, kernel in enumerate(of_map):
            top, left = row * step_y, column * step_x
            picture[top : top + height, left : left + width] = kernel / scale
    maps = len(layer.filters)
    text = f"{maps} maps, {layer.count} filters of {height}×{width}"
    drawn = sum(len(of_map) for of_map in shown)
    if drawn < layer.count:
        text += f"; the strongest {rows} of each of the first {len(shown)} maps are shown"
    return picture, text


def _strongest(of_map: Floats) -> Floats:
    """At most `MOST_INPUTS` filters, those of largest norm, in their own order."""
    norms = np.sqrt((of_map**2).sum(axis=(1, 2)))
    kept = np.sort(np.argsort(-norms, kind="stable")[:MOST_INPUTS])
    return of_map[kept]
