"""What an engine is: something that runs one network on one batch of pictures."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Runs a network; safe to call from several threads at once."""

    @property
    def channels(self) -> int:
        """Channels the network takes and gives: 1 (gray) or 3 (RGB)."""
        ...

    @property
    def needs_sigma(self) -> bool:
        """True for a network that has to be told the noise level."""
        ...

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch.

        Args:
            x_nchw: float32, N×C×H×W, 0..1 for the range from black to white.
            sigma: noise standard deviation on the same scale (0..1), for networks that need it.

        Returns:
            float32, the shape of `x_nchw`, not clipped.

        Raises:
            ModelError: the network cannot work on this input.
        """
        ...
