"""Telling a blind network the noise level, by noise.

A blind network believes the noise that it sees from pixel to pixel. Grain that several pixels
share hides from it as detail. So white noise n is added until the picture has the level σ that the
user names, and the network takes off that noise and, since it cannot tell the two apart, the grain
beneath it. It does so twice, with n and with −n, and the mean of both answers counts: what is left
of n itself mostly cancels (antithetic variates: Hammersley & Morton, "A new Monte Carlo technique",
1956; compare randomized smoothing: Cohen, Rosenfeld & Kolter, ICML 2019).

It works with any network and costs its time twice. Scaling the input does nothing to networks
without biases, f(a·x) = a·f(x); moving the map of the noise that joins degrain's own nets inside
worked for some weights and not for others (benchmarks/LOG.md).

Of a level below the picture's own, only as much noise is taken out as it says: a mixture with the
input.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from degrain.engines.channels import run_on_channels
from degrain.engines.protocol import Engine
from degrain.tiling import Window

PERIOD_PX = 512
"""The noise repeats after so many pixels, far beyond what a network sees at once. It belongs to a
place in the picture, not to a tile, so tiles are as exact as without it."""
SEED = 2008
LEAST = 0.25 / 255
"""Weaker noise need not be added; 1 is white."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Steering:
    """What to do so that a page counts as having the level named.

    Attributes:
        added: standard deviation of the noise to add, where white is 1; 0: none.
        share: of what the network takes out, 0..1.
    """

    added: float = 0.0
    share: float = 1.0

    def run(self, engine: Engine, noisy_nchw: Floats, window: Window) -> Floats:
        """The network's answer to a part of the page, all of what it takes out.

        Args:
            engine: runs the network.
            noisy_nchw: 1×C×H×W.
            window: where in the page it lies.
        """
        if self.added == 0.0:
            return run_on_channels(engine, noisy_nchw)
        noise = self.added * unit_noise(window, noisy_nchw.shape[1])
        first = run_on_channels(engine, noisy_nchw + noise)
        second = run_on_channels(engine, noisy_nchw - noise)
        return (first + second) * np.float32(0.5)


def steer(own_255: float, sigma_255: float) -> Steering:
    """How to make a page count as having another noise level.

    Args:
        own_255: the noise that it has, see `degrain.estimate.noise_level_255`.
        sigma_255: what it shall have, on the same scale.
    """
    wanted, own = sigma_255 / 255, own_255 / 255
    if wanted < own:
        return Steering(share=wanted / own)
    added = math.sqrt(wanted**2 - own**2)
    return Steering(added if added >= LEAST else 0.0)


def unit_noise(window: Window, channels: int) -> Floats:
    """White noise of standard deviation 1 for a part of a page, 1×C×H×W."""
    rows, columns = (
        np.arange(start, end) % PERIOD_PX
        for start, end in ((window.top, window.bottom), (window.left, window.right))
    )
    return _pattern()[None, :channels, rows[:, None], columns]


@functools.cache
def _pattern() -> Floats:
    rng = np.random.default_rng(SEED)
    return rng.standard_normal((3, PERIOD_PX, PERIOD_PX), dtype=np.float32)
