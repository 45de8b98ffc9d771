"""Two networks behind one engine: a mixture of their answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from degrain.engines.protocol import Engine
from degrain.errors import ModelError


class BlendEngine:
    """(1 - share) · first + share · second, pixel by pixel.

    Where both networks are tiled exactly, so is the mixture.

    Args:
        first, second: blind engines for the same number of channels.
        share: of the second one, 0..1.

    Raises:
        ModelError: the engines do not fit together.
    """

    def __init__(self, first: Engine, second: Engine, share: float) -> None:
        if first.channels != second.channels or first.needs_sigma or second.needs_sigma:
            msg = "Only blind models for the same channels can be mixed; export them both again."
            raise ModelError(msg)
        self._ends = first, second
        self._share = np.float32(share)

    @property
    def channels(self) -> int:
        """Channels both networks take and give: 1 (gray) or 3 (RGB)."""
        return self._ends[0].channels

    @property
    def needs_sigma(self) -> bool:
        """False: both are blind."""
        return False

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch: float32 N×C×H×W in, the same out, not clipped; sigma is ignored."""
        first, second = (engine.run(x_nchw) for engine in self._ends)
        return first + self._share * (second - first)
