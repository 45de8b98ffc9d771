"""ONNX files whose weights are stored in half precision: half the file, the same network.

A weight stored so is followed by a node that widens it to the float of its own name; ONNX Runtime
does that once, on loading. Everything here that looks into a file reads it by `load`, which puts
the floats back in place, so that no reader has to know.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

SUFFIX: Final = "/half"
"""Of the name of a weight as it is stored."""


def load(path: Path) -> Any:
    """The model in an ONNX file, with all of its weights as floats under their own names.

    Errors are those of onnx and protobuf, which are many: it is the caller who knows what to say.
    """
    import onnx

    model = onnx.load(str(path))
    _widen(model.graph)
    return model


def halve(path: Path, names: Container[str]) -> None:
    """Store these weights of an ONNX file in half precision; they must be representable in it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    widening = []
    for item in model.graph.initializer:
        if item.name in names and item.data_type == TensorProto.FLOAT:
            name = item.name
            half = numpy_helper.to_array(item).astype(np.float16)
            item.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
            node = helper.make_node("Cast", [name + SUFFIX], [name], to=TensorProto.FLOAT)
            widening.append(node)
    replace_nodes(model.graph, [*widening, *model.graph.node])
    onnx.save(model, str(path))


def _widen(graph: Any) -> None:
    """Undo `halve`."""
    from onnx import TensorProto, numpy_helper

    halves = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT16}
    others = []
    for node in graph.node:
        item = halves.get(node.input[0]) if node.op_type == "Cast" else None
        if item is None:
            others.append(node)
        else:
            wide = numpy_helper.to_array(item).astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(wide, node.output[0]))
    replace_nodes(graph, others)


def replace_nodes(graph: Any, nodes: Sequence[Any]) -> None:
    """Give a graph these nodes, some of which may be its own, instead of those that it has."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
