"""Pictures brought to the contrast at which 8 bits lose least, and back.

A network without biases scales with its input, f(a·x) = a·f(x). In 8 bits it does so no longer,
since its bytes have fixed ranges: strong noise is cut off at their ends, weak noise falls between
two steps. So a page is multiplied by one number on its way in and divided by it on its way out.
Being one number a page, it leaves tiles as exact as they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from degrain.engines.protocol import Engine

POWER: Final = 0.5
"""Of the ratio of two noise levels. 1 would bring all noise to one level, but what is no noise
must fit into the bytes as well."""
LEAST, MOST = 0.6, 1.6
FAINT_255 = 1e-3
"""Weaker noise counts as this strong."""


def gain_for(sigma_255: float, suits_255: float) -> float:
    """What to multiply a page by before it goes through a network in 8 bits.

    Args:
        sigma_255: its noise, root mean square over channels, on the 0..255 scale.
        suits_255: the noise that is left as it is, `ModelCard.int8_sigma`; 0: every noise.
    """
    if suits_255 <= 0:
        return 1.0
    ratio = suits_255 / max(sigma_255, FAINT_255)
    return float(np.clip(ratio**POWER, LEAST, MOST))


class GainEngine:
    """A blind network that meets its pictures with another contrast, and gives the old one back.

    Args:
        engine: runs the network.
        gain: the factor, above 0.
    """

    def __init__(self, engine: Engine, gain: float) -> None:
        self._engine, self._gain = engine, np.float32(gain)

    @property
    def channels(self) -> int:
        """Channels the network takes and gives: 1 (gray) or 3 (RGB)."""
        return self._engine.channels

    @property
    def needs_sigma(self) -> bool:
        """As of the engine within."""
        return self._engine.needs_sigma

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch: float32 N×C×H×W in, the same out, not clipped."""
        clean: NDArray[np.float32] = self._engine.run(x_nchw * self._gain, sigma) / self._gain
        return clean
