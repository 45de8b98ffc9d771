"""Running a network on a picture with other channels than its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from degrain.engines.protocol import Engine


def run_on_channels(engine: Engine, noisy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a network on 1×C×H×W whatever its own channels are.

    A gray network sees the channels of a color picture one after the other; a color network
    sees a gray picture three times and its answers are averaged.
    """
    channels = noisy.shape[1]
    if engine.channels == channels:
        return engine.run(noisy)
    if engine.channels == 1:
        planes = [engine.run(np.ascontiguousarray(noisy[:, [c]])) for c in range(channels)]
        return np.concatenate(planes, axis=1)
    answers = engine.run(np.repeat(noisy, engine.channels, axis=1))
    average: NDArray[np.float32] = answers.mean(axis=1, keepdims=True)
    return average
