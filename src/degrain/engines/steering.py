"""Telling a blind network the noise level: its own map of the noise gets another level.

Scaling the input of a network without biases does nothing: f(a·x) = a·f(x), and degrain's nets
also keep f(x + c) = f(x) + c. But they read the noise level off the picture as a map m that joins
their input (`degrain.nets.unet`), and that map can be scaled apart from the picture:

    m' = sqrt(max(m² + excess, 0)),   excess = σ² − s²

where σ is what the user says and s what `degrain.estimate_noise` finds. What the picture's
texture adds to m² stays. It acts pixel by pixel, so tiles are as exact as before.

The ONNX file stays as it is. When it is loaded, four nodes are set in behind the map: the node
whose output is mean · sqrt(π / 2), that is, the factor from a Gaussian's mean absolute value to
its standard deviation. A network without that node cannot be told anything. Protocol buffers
are nested lists of numbered fields, so no package is needed to read them:
https://protobuf.dev/programming-guides/encoding and the numbers in onnx.proto3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.engines.onnx import available_threads, open_session
from degrain.errors import ModelError, UsageError
from degrain.zoo.card import ModelCard

EXCESS = "noise_excess"
"""The input that a network gets: a scalar, squared units of the picture."""
MEAN_ABSOLUTE_TO_SIGMA = math.sqrt(math.pi / 2)

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT = 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND = 1, 2, 4
_FLOATS, _TENSOR_NAME, _RAW = 4, 8, 9
_BYTES = 2
"""Wire type of texts, bytes and messages: their length comes first."""
_SCALAR_BYTES = 200
"""No tensor of one number takes more than this, its name included."""


@dataclass(frozen=True, slots=True)
class SteeredEngine:
    """A network whose map of the noise is moved by a fixed excess.

    Attributes:
        channels: channels it takes and gives, 1 (gray) or 3 (RGB).
        excess: added to the square of the map, in squared units of the picture (0..1).
    """

    channels: int
    session: Any
    excess: float

    @property
    def needs_sigma(self) -> bool:
        """False: it has been told already."""
        return False

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch: float32 N×C×H×W in, the same out, not clipped; sigma is ignored."""
        excess = np.array(self.excess, np.float32)
        inputs = {self.session.get_inputs()[0].name: x_nchw, EXCESS: excess}
        try:
            (clean,) = self.session.run(None, inputs)
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            msg = f"The model fails when it is told the noise level ({error}); leave sigma away."
            raise ModelError(msg) from error
        return np.asarray(clean, dtype=np.float32)


def steered(card: ModelCard, *, threads: int | None = None) -> SteeredEngine:
    """Open a network so that it can be told the noise level; its excess is 0 at first.

    Args:
        card: of a model whose file is known to be a denoiser.
        threads: how many threads one run may use; None: as many as this process may use.

    Raises:
        UsageError: the network has no map of the noise.
        ModelError: the file is damaged.
    """
    model = with_excess(card.path.read_bytes())
    if model is None:
        raise no_map(card.name)
    session = open_session(model, card.path, threads or available_threads())
    return SteeredEngine(card.channels, session, 0.0)


def no_map(name: str) -> UsageError:
    """What to say about a model that cannot be told a noise level."""
    return UsageError(
        f"The model {name} cannot be told a noise level, because it has no map of the noise "
        "inside; leave sigma away, or use degrain-gray, degrain-color or degrain-photo."
    )


def with_excess(model: bytes) -> bytes | None:
    """The ONNX model with one input more, `noise_excess`; None if it has no map of the noise."""
    for graph in _fields(model, 0, len(model)):
        if graph.number == _GRAPH:
            steered_graph = _graph_with_excess(model, graph)
            if steered_graph is None:
                return None
            return model[: graph.start] + _field(_GRAPH, steered_graph) + model[graph.end :]
    return None


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message: the bytes start..end hold it, value..end what it says."""

    number: int
    kind: int
    start: int
    value: int
    end: int


def _graph_with_excess(model: bytes, graph: _Field) -> bytes | None:
    """The graph with the nodes and the input, if exactly one node makes a map of the noise."""
    parts = list(_fields(model, graph.value, graph.end))
    factors = {
        name
        for part in parts
        if part.number == _INITIALIZER and part.end - part.start < _SCALAR_BYTES
        for name in _name_of_factor(model, part)
    }
    makers = [part for part in parts if part.number == _NODE and _scales(model, part, factors)]
    if len(makers) != 1:
        return None
    (maker,) = makers
    nodes = b"".join(_field(_NODE, node) for node in _steering_nodes(model, maker))
    # a tensor of floats (element type 1) with an empty shape
    scalar = _field(1, _varint(1 << 3) + _varint(1) + _field(2, b""))
    described = _field(1, EXCESS.encode()) + _field(2, scalar)
    return b"".join(
        [
            model[graph.value : maker.start],
            nodes,
            model[maker.end : graph.end],
            _field(_INPUT, described),
        ]
    )


def _name_of_factor(model: bytes, tensor: _Field) -> list[bytes]:
    """The name of a tensor that is one number, sqrt(π / 2)."""
    texts = _texts(model, tensor)
    data = [*texts.get(_RAW, []), *texts.get(_FLOATS, [])]
    if len(data) != 1 or len(data[0]) != 4:
        return []
    (number,) = struct.unpack("<f", data[0])
    return texts.get(_TENSOR_NAME, []) if abs(number / MEAN_ABSOLUTE_TO_SIGMA - 1) < 1e-3 else []


def _scales(model: bytes, node: _Field, factors: set[bytes]) -> bool:
    """Whether a node multiplies by one of these numbers."""
    if not factors:
        return False
    texts = _texts(model, node)
    return texts.get(_NODE_KIND) == [b"Mul"] and not factors.isdisjoint(texts[_NODE_INPUT])


def _steering_nodes(model: bytes, maker: _Field) -> list[bytes]:
    """The node that makes the map, under another name, and those that make the moved map of it."""
    texts = _texts(model, maker)
    (moved,) = texts[_NODE_OUTPUT]
    blind, square, total, positive = (
        moved + end for end in (b"/blind", b"/square", b"/total", b"/positive")
    )
    return [
        _node(b"Mul", texts[_NODE_INPUT], blind),
        _node(b"Mul", [blind, blind], square),
        _node(b"Add", [square, EXCESS.encode()], total),
        _node(b"Relu", [total], positive),
        _node(b"Sqrt", [positive], moved),
    ]


def _node(kind: bytes, inputs: list[bytes], output: bytes) -> bytes:
    names = b"".join(_field(_NODE_INPUT, name) for name in inputs)
    return names + _field(_NODE_OUTPUT, output) + _field(_NODE_KIND, kind)


def _texts(data: bytes, message: _Field) -> dict[int, list[bytes]]:
    """What the fields of a message say that have a length, by their numbers."""
    found: dict[int, list[bytes]] = {}
    for part in _fields(data, message.value, message.end):
        if part.kind == _BYTES:
            found.setdefault(part.number, []).append(data[part.value : part.end])
    return found


def _fields(data: bytes, start: int, end: int) -> Iterator[_Field]:
    """The fields of the message that lies in start..end."""
    while start < end:
        key, value = _read_varint(data, start)
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            length, value = _read_varint(data, value)
        elif kind == 0:
            length = _read_varint(data, value)[1] - value
        else:
            length = {1: 8, 5: 4}[kind]
        yield _Field(number, kind, start, value, value + length)
        start = value + length


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and the place behind it."""
    number, shift = 0, 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: bytes) -> bytes:
    """A field with a length, ready to be put into a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
