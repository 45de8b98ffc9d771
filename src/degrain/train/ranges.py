"""Which numbers the bytes of an 8-bit network stand for: scales with the least squared error.

Before the scales are chosen, channels are evened out. A tensor has one scale for all of its
channels, so a channel of small values would get few of its steps. Multiplying the kernels that
make a channel and dividing those that read it leaves a network of convolutions, ReLUs and sums
as it is (Nagel et al., "Data-free quantization through weight equalization and bias
correction", ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from degrain.train.body import Body, Floats
from degrain.train.qdq import LEVELS, ZERO

CUTS = np.linspace(0.15, 1.0, 35, dtype=np.float32)
"""Shares of the largest value that are tried as the end of the bytes' range."""
KERNEL_CUTS = np.linspace(0.6, 1.0, 21, dtype=np.float32)
LEAST_VALUE = 1e-10
"""Stands for the largest value of a row where that is zero, as behind a ReLU that never fires."""
MOST_GAIN = 8.0
"""No channel counts as smaller than the largest by more than this factor."""
EVENNESS = 0.5
"""0: channels stay as they are; 1: they all need the same scale. Halfway, because what tensors gain
the kernels that read them lose: their inputs come to differ (benchmarks/LOG.md). Where fine-tuning
begins: it learns how far (`degrain.train.aware`)."""


def even_out(
    body: Body, samples: Mapping[str, Floats]
) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
    """The same network with channels that use their bytes alike.

    Args:
        body: the network.
        samples: for each tensor in `body.signed` values C×K.

    Returns:
        New kernels by their names; what the samples would have been with them; and for each
        tensor in `body.updates` the factors, C, that take it to the running sum's gains.
    """
    gains = _gains(body, samples)
    total = gains[body.nodes[0].output[0]]
    even = {name: values * gains[name][:, None] for name, values in samples.items()}
    updates = {name: total / gains[name] for name in body.updates}
    return with_gains(body, body.weights, gains), even, updates


def with_gains(
    body: Body, weights: Mapping[str, Floats], gains: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Kernels of the same network with its tensors' channels multiplied.

    Args:
        body: the network.
        weights: its kernels by their names.
        gains: for each tensor a factor for each of its channels; none for the last.
    """
    made = {body.head: _scaled(weights[body.head], outputs=gains[body.nodes[0].output[0]])}
    for node in body.nodes[1:]:
        if node.op_type == "Conv":
            source, name = node.input
            made[name] = _scaled(
                weights[name], outputs=gains.get(node.output[0]), inputs=gains.get(source)
            )
    return made


def with_shuffled(body: Body, gains: Mapping[str, Floats]) -> dict[str, Floats]:
    """Gains of tensors, and of those that they are shuffles of."""
    return {**gains, **{origin: np.tile(gains[name], 4) for name, origin in body.shuffled.items()}}


def gain_groups(body: Body) -> list[set[str]]:
    """Tensors that must have the same gains: those that are summed, or made by a ReLU."""
    groups = {str(node.output[0]): {str(node.output[0])} for node in body.nodes[:-1]}
    for node in body.nodes[1:-1]:
        if node.op_type in ("Add", "Relu"):
            # what is added to the running sum gets its gains on the way there
            bound = {*node.input, *node.output} - body.updates
            joined = set().union(*(groups[name] for name in bound))
            groups |= dict.fromkeys(joined, joined)
    origins = set(body.shuffled.values())
    unique = {id(group): group for group in groups.values()}.values()
    return [group for group in unique if group.isdisjoint(origins)]


def _scaled(kernel: Floats, *, outputs: Floats | None, inputs: Floats | None = None) -> Floats:
    """A kernel whose outputs are multiplied and whose inputs have been."""
    if outputs is not None:
        kernel = kernel * outputs.reshape(-1, 1, 1, 1)
    if inputs is not None:
        kernel = kernel / inputs.reshape(1, -1, 1, 1)
    return np.ascontiguousarray(kernel, dtype=np.float32)


def tensor_scale(values: Floats, *, signed: bool) -> float:
    """The scale with the least squared error over all values of a tensor."""
    return float(_best(values.reshape(1, -1), CUTS, -ZERO[signed], 255 - ZERO[signed])[0])


def kernel_scales(kernel: Floats) -> Floats:
    """For each output of a kernel the scale with the least squared error."""
    return _best(kernel.reshape(len(kernel), -1), KERNEL_CUTS, -LEVELS, LEVELS)


def _gains(body: Body, samples: Mapping[str, Floats]) -> dict[str, Floats]:
    """A factor for each channel of each tensor; tensors that are summed share theirs."""
    shuffled = {name: _shuffle(samples[origin]) for name, origin in body.shuffled.items()}
    known = {**samples, **shuffled}
    gains: dict[str, Floats] = {}
    for group in gain_groups(body):
        if group.isdisjoint(known):
            continue
        shares = []
        for name in sorted(group & known.keys()):
            zero = ZERO[body.signed[body.scaled_like(name) or name]]
            scales = _best(known[name], CUTS, -zero, 255 - zero)
            shares.append(scales / scales.max())
        needed = np.mean(shares, axis=0)
        gain = (np.maximum(needed, 1 / MOST_GAIN) ** -EVENNESS).astype(np.float32)
        gains |= dict.fromkeys(group, gain)
    return with_shuffled(body, gains)


def _shuffle(values: Floats) -> Floats:
    """Samples 4C×K, the first axis (row, column, channel), as C×4K."""
    parts = values.reshape(4, len(values) // 4, -1)
    return np.ascontiguousarray(parts.transpose(1, 0, 2)).reshape(parts.shape[1], -1)


def _best(rows: Floats, cuts: NDArray[np.float32], low: int, high: int) -> Floats:
    """For each row the scale with the least squared error, of `cuts` of its largest value."""
    full = np.maximum(np.abs(rows).max(axis=1), LEAST_VALUE) / high
    best, least = full.copy(), np.full(len(rows), np.inf)
    for cut in cuts:
        scale = (cut * full)[:, None]
        error = np.square(np.clip(np.rint(rows / scale), low, high) * scale - rows).sum(axis=1)
        best = np.where(error < least, cut * full, best)
        least = np.minimum(error, least)
    scales: Floats = best.astype(np.float32)
    return scales
