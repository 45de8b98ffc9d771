"""Measuring what the tiling must know about a network: stride and reach.

Neither is typed in by hope. The *reach* is found by changing all pixels on one side of a line
and looking how far beyond it the output changes; with one and the same input size every kernel
computes untouched pixels bit for bit as before, so the answer is exact. The changed pixels are
huge, so that even the faintest path through trained weights shows above the rounding. The
*stride* is the smallest power of two by which the picture can be moved without changing the
output.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from degrain.engines.protocol import Engine
from degrain.errors import ModelError

SIDE_PX = 384
"""Length of the random strip; the reach must stay below a third of it."""
_STRIP_PX = 32
HUGE = np.float32(1e12)
"""Scale of the changed pixels, far above that of a picture and far below overflow."""
_STRIDES = (1, 2, 4, 8, 16, 32)


def measure(engine: Engine, side: int = SIDE_PX) -> tuple[int, int]:
    """Measure a network on a vertical and a horizontal strip of noise.

    Args:
        engine: the network, blind.
        side: length in pixels of the strips.

    Returns:
        (halo, multiple_of): the receptive radius in pixels (the largest over all directions and
        all positions relative to the stride), and the total stride.

    Raises:
        ModelError: outputs depend on pixels too far away, or no stride up to 32 fits; such a
            network cannot be tiled exactly.
    """
    rng = np.random.default_rng(0)
    multiple_of, halo = 1, 0
    for axis, size in ((2, (side, _STRIP_PX)), (3, (_STRIP_PX, side))):
        strip = rng.random((1, engine.channels, *size), dtype=np.float32)
        huge = HUGE * rng.standard_normal(strip.shape, dtype=np.float32)
        stride = _stride(engine, strip, axis)
        halo = max(halo, _reach(engine, strip, huge, axis, stride))
        multiple_of = max(multiple_of, stride)
    if halo > side // 3:
        msg = "The model's output depends on pixels far away, so it cannot work tile by tile."
        raise ModelError(msg)
    return halo, multiple_of


def _stride(engine: Engine, strip: NDArray[np.float32], axis: int) -> int:
    """The smallest shift that the network follows."""
    side = strip.shape[axis]
    whole = _middle(engine.run(strip), axis, side // 2)
    for step in _STRIDES:
        try:
            moved = engine.run(strip.take(range(step, side), axis))
        except ModelError:  # takes multiples of its stride only
            continue
        if np.abs(_middle(moved, axis, side // 2 - step) - whole).max() < 1e-5:
            return step
    msg = "The model does not follow a moved picture, so it cannot work tile by tile."
    raise ModelError(msg)


def _middle(answer: NDArray[np.float32], axis: int, position: int) -> NDArray[np.float32]:
    """The 32 rows or columns around a position."""
    return answer.take(range(position - 16, position + 16), axis)


def _reach(
    engine: Engine,
    strip: NDArray[np.float32],
    huge: NDArray[np.float32],
    axis: int,
    stride: int,
) -> int:
    """How far a change on one side of a line is felt beyond it, for all lines of one stride."""
    unchanged = engine.run(strip)
    across = tuple(a for a in range(4) if a != axis)
    along = np.arange(strip.shape[axis]).reshape([-1 if a == axis else 1 for a in range(4)])
    reach = 0
    for line in range(strip.shape[axis] // 2, strip.shape[axis] // 2 + stride):
        before = engine.run(np.where(along < line, huge, strip))
        behind = engine.run(np.where(along >= line, huge, strip))
        # Up to where, seen from the line, the answer differs from that to the untouched strip.
        forth = np.flatnonzero((before != unchanged).any(axis=across)).max(initial=0) - (line - 1)
        back = line - np.flatnonzero((behind != unchanged).any(axis=across)).min(initial=line)
        reach = max(reach, int(forth), int(back))
    return reach
