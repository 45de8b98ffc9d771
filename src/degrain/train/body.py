"""The part of a network that can be in 8 bits: found in its ONNX file.

The first convolution sees the picture itself and the last one's answer is the noise: both stay
in floats. So does the *running sum* of the first scale, from the one to the other, to which
every block adds: in bytes it would be rounded again and again. All other convolutions work on
bytes; `degrain.train.qdq` writes them.

A transposed convolution becomes a 1×1 convolution and a shuffle of its outputs, which is the same
and has an operator on bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain import onnx_weights
from degrain.errors import ModelError, UsageError

Floats = NDArray[np.float32]
INPUTS = {"Conv": 2, "Relu": 1, "Add": 2, "DepthToSpace": 1}
"""Operators that the part in 8 bits may consist of, and how many inputs they have (no bias)."""
HEAD = "head.weight"
"""The first kernel of a net whose file computes two of it, see `degrain.nets.unet.StridedUNet`."""


@dataclass(frozen=True, slots=True)
class Body:
    """A network that can be quantized.

    Attributes:
        model: the ONNX model, rewritten so that the rest holds.
        nodes: everything from the first convolution's answer to the last convolution, in order.
        head: name of the first convolution's kernel.
        weights: it and the kernels of these nodes by name, outputs × inputs × height × width.
        signed: the tensors that become bytes, and whether they have negative values.
        running: the tensors that are the running sum; those in `signed` become bytes too.
        updates: the tensors that are added to the running sum.
        shuffled: the tensors that are another one shuffled, and share its scale.
    """

    model: Any
    nodes: tuple[Any, ...]
    head: str
    weights: Mapping[str, Floats]
    signed: Mapping[str, bool]
    running: frozenset[str]
    updates: frozenset[str]
    shuffled: Mapping[str, str]

    @property
    def inner(self) -> tuple[str, ...]:
        """Names of the kernels that become bytes."""
        return _kernels(self.nodes[1:-1])

    @property
    def channels(self) -> dict[str, int]:
        """How many channels each tensor has."""
        counts = {str(self.nodes[0].output[0]): len(self.weights[self.head])}
        for node in self.nodes[1:]:
            source, made = str(node.input[0]), str(node.output[0])
            if node.op_type == "Conv":
                counts[made] = len(self.weights[node.input[1]])
            else:
                counts[made] = counts[source] // (4 if node.op_type == "DepthToSpace" else 1)
        return counts

    def only_shuffled(self, name: str) -> bool:
        """Whether nothing but shuffles reads a tensor."""
        readers = [node.op_type for node in self.nodes if name in node.input]
        return bool(readers) and set(readers) == {"DepthToSpace"}

    def scaled_like(self, name: str) -> str | None:
        """The tensor whose scale a tensor has: itself, or what it is a shuffle of."""
        found = self.shuffled.get(name, name)
        return found if found in self.signed else None


def read_body(path: Path) -> Body:
    """Read an ONNX file and find the part of it that can be in 8 bits.

    Raises:
        UsageError: the file is in 8 bits already.
        ModelError: the file is damaged, or a network that cannot be quantized.
    """
    from onnx import numpy_helper

    try:
        model = onnx_weights.load(path)
    except Exception as error:
        msg = f"{path} is no readable ONNX model ({error}); fetch or export it again."
        raise ModelError(msg) from error
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        msg = f"{path} is in 8 bits already; give the float model that it was made of."
        raise UsageError(msg)
    _rewrite_transposed(model.graph)
    nodes = _chain(model.graph)
    if not nodes:
        msg = (
            f"{path} has other layers than convolutions without biases, ReLUs and sums between "
            "its first and last convolution, so it cannot be put into 8 bits; the nets "
            "degrain-gray, degrain-color and degrain-photo can."
        )
        raise ModelError(msg)
    stored = {item.name: item for item in model.graph.initializer}
    head = str(nodes[0].input[1]) if nodes[0].op_type == "Conv" else HEAD
    running = _running(nodes)
    return Body(
        model,
        nodes,
        head,
        {name: numpy_helper.to_array(stored[name]) for name in (head, *_kernels(nodes[1:]))},
        _signed(nodes, running),
        running,
        _updates(nodes, running),
        {n.output[0]: n.input[0] for n in nodes if n.op_type == "DepthToSpace"},
    )


def read_from_bytes(source: str, reader: str, body: Body) -> bool:
    """Whether a tensor is read as bytes by the node that makes `reader`."""
    onward = reader in body.running or reader == body.nodes[-1].output[0]
    return body.scaled_like(source) is not None and not (onward and source in body.running)


def _rewrite_transposed(graph: Any) -> None:
    """Each 2×2 transposed convolution of stride 2 as a 1×1 convolution and a shuffle."""
    from onnx import helper, numpy_helper

    stored = {item.name: item for item in graph.initializer}
    nodes = []
    for node in graph.node:
        kernel = stored.get(node.input[1]) if node.op_type == "ConvTranspose" else None
        if kernel is None or list(kernel.dims[2:]) != [2, 2] or len(node.input) != 2:
            nodes.append(node)
            continue
        inputs, outputs = kernel.dims[:2]
        # inputs × outputs × row × column to (row, column, output) × inputs, as "DCR" wants it
        moved = numpy_helper.to_array(kernel).transpose(2, 3, 1, 0)
        flat = np.ascontiguousarray(moved).reshape(4 * outputs, inputs, 1, 1)
        kernel.CopyFrom(numpy_helper.from_array(flat, kernel.name))
        deep = f"{node.output[0]}/deep"
        nodes += [
            helper.make_node("Conv", list(node.input), [deep], kernel_shape=[1, 1]),
            helper.make_node("DepthToSpace", [deep], list(node.output), blocksize=2, mode="DCR"),
        ]
    onnx_weights.replace_nodes(graph, nodes)


def _kernels(nodes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(node.input[1]) for node in nodes if node.op_type == "Conv")


def _first(graph: Any, stored: set[str]) -> Any:
    """The first convolution, or the sum of the two whose kernels are computed; None: neither."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    if len(convolutions) < 3:
        return None
    computed = {node.output[0] for node in convolutions if node.input[1] not in stored}
    if not computed:
        return convolutions[0]
    sums = (node for node in graph.node if node.op_type == "Add" and set(node.input) <= computed)
    return next(sums, None) if HEAD in stored else None


def _chain(graph: Any) -> tuple[Any, ...]:
    """The nodes from the first to the last convolution; empty if others are among them."""
    stored = {item.name for item in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    first = _first(graph, stored)
    if first is None:
        return ()
    chain, made = [first], set(first.output)
    for node in graph.node:
        if made.isdisjoint(node.input) or node is chain[0]:
            continue
        sources = [name for name in node.input if name in made or name in stored]
        if not INPUTS.get(node.op_type) == len(node.input) == len(sources) or _other_shuffle(node):
            return ()
        chain.append(node)
        made.update(node.output)
        if node.output == convolutions[-1].output:
            return tuple(chain)
    return ()


def _other_shuffle(node: Any) -> bool:
    """Whether it shuffles otherwise than `_rewrite_transposed` does."""
    given = {item.name: item.i or item.s for item in node.attribute}
    wanted = {"blocksize": 2, "mode": b"DCR"}
    return node.op_type == "DepthToSpace" and {"mode": b"DCR"} | given != wanted


def _running(nodes: tuple[Any, ...]) -> frozenset[str]:
    """What the chain begins with, and the sums of the same size."""
    side = {nodes[0].output[0]: 1.0}
    for node in nodes[1:]:
        steps = next((item.ints[0] for item in node.attribute if item.name == "strides"), 1)
        change = 2.0 if node.op_type == "DepthToSpace" else 1 / steps
        side[node.output[0]] = side[node.input[0]] * change
    sums = (node.output[0] for node in nodes if node.op_type == "Add")
    return frozenset([nodes[0].output[0], *(name for name in sums if side[name] == 1)])


def _updates(nodes: tuple[Any, ...], running: frozenset[str]) -> frozenset[str]:
    """What is added to the running sum and read by nothing else."""
    sums = [node for node in nodes[1:] if node.op_type == "Add" and node.output[0] in running]
    added = {str(name) for node in sums for name in node.input} - running
    return frozenset(
        name for name in added if sum(list(node.input).count(name) for node in nodes) == 1
    )


def _signed(nodes: tuple[Any, ...], running: frozenset[str]) -> dict[str, bool]:
    """The tensors that become bytes, and whether they have negative values.

    Of a convolution and its ReLU only what the ReLU makes does, of a shuffle what it shuffles, and
    the running sum only where a convolution in 8 bits reads it.
    """
    found = {}
    for node in nodes[:-1]:
        made = str(node.output[0])
        readers = [other for other in nodes if made in other.input]
        kinds = [other.op_type for other in readers]
        inside = [other for other in readers if other.output != nodes[-1].output]
        alone = made in running and all(other.op_type != "Conv" for other in inside)
        if node.op_type != "DepthToSpace" and kinds != ["Relu"] and not alone:
            found[made] = node.op_type != "Relu"
    return found
