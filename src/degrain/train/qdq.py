"""Writing eight-bit ONNX files, of the part of a network that `degrain.train.body` found.

- Every tensor has one scale: unsigned bytes behind a ReLU, else bytes around 128;
- what is added to the running sum may have one scale for each channel when it becomes floats;
- every kernel has one scale for each of its outputs, signed bytes;

stated as pairs of QuantizeLinear and DequantizeLinear (QDQ), which ONNX Runtime melts with the
operators between them into operators on bytes.

ONNX Runtime moves layouts about as it sees fit, and its convolutions on bytes have the maps of a
pixel side by side. Two things are written so that it does not spend more time on moving than on
computing (benchmarks/LOG.md): see `_shuffle` and `_flat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.train.body import Body, Floats, read_from_bytes
from degrain.train.whole import whole_file

LEVELS = 127
"""A kernel's bytes go from -127 to 127: symmetric."""
ZERO = {True: 128, False: 0}
"""The byte that means zero, for tensors with and without negative values."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a network in 8 bits consists of, beside its nodes.

    Attributes:
        weights: kernels by their names, in place of those in the model.
        kernel_scales: for each kernel in `Body.inner` one number an output.
        scales: of the tensors in `Body.signed`.
        gains: what the channels of the tensors in `Body.updates` are multiplied by when they are
            added to the running sum.
    """

    weights: Mapping[str, Floats]
    kernel_scales: Mapping[str, Floats]
    scales: Mapping[str, float]
    gains: Mapping[str, Floats]


def quantize_kernel(kernel: Floats, scales: Floats) -> NDArray[np.int8]:
    """Signed bytes of a kernel, outputs first, with one scale for each output."""
    steps = np.rint(kernel / scales.reshape(-1, 1, 1, 1))
    quantized: NDArray[np.int8] = np.clip(steps, -LEVELS, LEVELS).astype(np.int8)
    return quantized


def write_qdq(body: Body, numbers: Numbers, output: Path) -> None:
    """Write the network in 8 bits; the file appears whole or not at all.

    Args:
        body: from `read_body`; its model is used up.
        numbers: kernels and scales.
        output: the file.

    Raises:
        TrainingError: the file cannot be written.
    """
    import onnx
    from onnx import numpy_helper

    graph = body.model.graph
    outer = numbers.weights.keys() - set(body.inner)
    constants: dict[str, Any] = {name: numbers.weights[name] for name in outer}
    nodes = _quantized_nodes(body, numbers, constants)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used - constants.keys()]
    made = [numpy_helper.from_array(constants[name], name) for name in sorted(constants)]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *made])
    with whole_file(output, "model") as partial:
        onnx.save(body.model, str(partial))


def _quantized_nodes(body: Body, numbers: Numbers, constants: dict[str, Any]) -> list[Any]:
    """All nodes of the graph, with the pairs; their numbers are added to the constants."""
    chain = {node.output[0] for node in body.nodes[1:]}
    nodes: list[Any] = []
    for node in body.model.graph.node:
        made = str(node.output[0])
        kernel = str(node.input[1]) if node.op_type == "Conv" else ""
        if kernel in body.inner:
            scale = numbers.kernel_scales[kernel]
            nodes.append(_kernel_node(kernel, numbers.weights[kernel], scale, constants))
        if made in chain:
            for place, source in enumerate(node.input):
                of_kernel = source == kernel and kernel in body.inner
                if of_kernel or read_from_bytes(source, made, body):
                    node.input[place] = f"{source}/floats"
        if made in body.shuffled:
            nodes += _shuffle(body.shuffled[made], made, constants)
        else:
            nodes.append(node)
        if body.scaled_like(made):
            nodes += _to_bytes_and_back(made, body, numbers, constants)
    return nodes


def _to_bytes_and_back(
    made: str, body: Body, numbers: Numbers, constants: dict[str, Any]
) -> list[Any]:
    """The pair behind a tensor; only its half where it is bytes already, or only shuffled."""
    origin = body.scaled_like(made)
    assert origin is not None
    zero = np.array(ZERO[body.signed[origin]], np.uint8)
    scale = np.array(numbers.scales[origin], np.float32)
    nodes = [] if made in body.shuffled else [_to_bytes(made, scale, zero, constants)]
    if made in body.updates:
        nodes += _flat(made, scale * numbers.gains[made], zero, constants)
    elif not body.only_shuffled(made):
        nodes.append(_to_floats(f"{made}/bytes", f"{made}/floats", scale, zero, constants))
    return nodes


def _kernel_node(name: str, kernel: Floats, scales: Floats, constants: dict[str, Any]) -> Any:
    """The node that makes floats of a kernel in bytes."""
    from onnx import helper

    constants[f"{name}/bytes"] = quantize_kernel(kernel, scales)
    constants[f"{name}/scale"] = scales
    constants[f"{name}/zero"] = np.zeros(len(scales), np.int8)
    inputs = [f"{name}/bytes", f"{name}/scale", f"{name}/zero"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}/floats"], axis=0)


def _to_bytes(made: str, scale: Floats, zero: NDArray[np.uint8], constants: dict[str, Any]) -> Any:
    """The node that makes bytes of a tensor."""
    from onnx import helper

    constants |= {f"{made}/scale": scale, f"{made}/zero": zero}
    inputs = [made, f"{made}/scale", f"{made}/zero"]
    return helper.make_node("QuantizeLinear", inputs, [f"{made}/bytes"])


def _to_floats(
    source: str, made: str, scale: Floats, zero: NDArray[np.uint8], constants: dict[str, Any]
) -> Any:
    """The node that makes floats of bytes; `scale` may be one for each channel."""
    from onnx import helper

    constants |= {f"{made}/scale": scale, f"{made}/zero": np.broadcast_to(zero, scale.shape).copy()}
    inputs = [source, f"{made}/scale", f"{made}/zero"]
    return helper.make_node("DequantizeLinear", inputs, [made], axis=1)


def _flat(
    name: str, scale: Floats, zero: NDArray[np.uint8], constants: dict[str, Any]
) -> list[Any]:
    """From bytes to floats with a scale for each channel, all pixels of a channel in one row.

    In rows, since ONNX Runtime would else have the maps of a pixel side by side here too, where
    each number has another scale than the one before it: that took seven times as long.
    """
    from onnx import helper

    constants["rows"] = np.array([0, 0, -1])  # 0: as it was
    source, rows = f"{name}/bytes", f"{name}/rows"
    return [
        helper.make_node("Reshape", [source, "rows"], [f"{rows}/bytes"]),
        _to_floats(f"{rows}/bytes", f"{rows}/floats", scale, zero, constants),
        helper.make_node("Shape", [source], [f"{name}/shape"]),
        helper.make_node("Reshape", [f"{rows}/floats", f"{name}/shape"], [f"{name}/floats"]),
    ]


def _shuffle(source: str, made: str, constants: dict[str, Any]) -> list[Any]:
    """Bytes of N×4C×H×W as N×C×2H×2W, where the first axis is row, column, channel ("DCR").

    By way of maps that lie side by side at each pixel, as the convolution before leaves them:
    there the two columns of a row of maps are one run of memory, and only runs are moved. ONNX
    Runtime's own operator moves byte by byte and took four times as long.
    """
    from onnx import helper

    constants |= {
        "shuffle/rows": np.array([0, 0, 0, 2, -1]),
        "shuffle/times": np.array([1, 2, 2, 1]),
        "shuffle/parts": np.array([1, 1, 1, 4]),
    }
    deep, size = f"{made}/before", f"{made}/size"
    return [
        helper.make_node("Transpose", [f"{source}/bytes"], [deep], perm=[0, 2, 3, 1]),
        helper.make_node("Shape", [deep], [f"{deep}/size"]),
        helper.make_node("Mul", [f"{deep}/size", "shuffle/times"], [f"{size}/times"]),
        helper.make_node("Div", [f"{size}/times", "shuffle/parts"], [size]),
        helper.make_node("Reshape", [deep, "shuffle/rows"], [f"{deep}/rows"]),
        helper.make_node("Transpose", [f"{deep}/rows"], [f"{made}/lines"], perm=[0, 1, 3, 2, 4]),
        helper.make_node("Reshape", [f"{made}/lines", size], [f"{made}/large"]),
        helper.make_node("Transpose", [f"{made}/large"], [f"{made}/bytes"], perm=[0, 3, 1, 2]),
    ]
