"""Divakar & Babu's networks for one noise level each, made blind: the picture tells its level.

    degrain bench gray --data PICTURES --method python:benchmarks/estimated_level.py -o RESULTS

`degrain.estimate_noise` finds σ from all of the picture. Of `divakar-babu-10` to `-25` that network
is taken whose own level is nearest, and the contrast is changed about middle gray until the noise
has that level: (f(F·(y − ½) + ½) − ½) / F + ½ with F = level / σ.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

import degrain

BLIND = True
LEVELS_255 = (10, 15, 20, 25)
MIDDLE = 0.5


def denoise(noisy: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """H×W in 0..1; `sigma` is not looked at."""
    del sigma
    estimated = max(255 * float(degrain.estimate_noise(noisy)[0]), 0.1)
    level = min(LEVELS_255, key=lambda own: abs(math.log(own / estimated)))
    factor = np.float32(level / estimated)
    raised = factor * (noisy - MIDDLE) + MIDDLE
    return (network(level)(raised.astype(np.float32)) - MIDDLE) / factor + MIDDLE


@functools.cache
def network(level: int) -> degrain.Denoiser:
    """The one trained for this level."""
    return degrain.Denoiser(f"divakar-babu-{level}", threads=1)
