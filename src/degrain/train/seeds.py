"""Random numbers on the host that follow from a device's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def host_source(like: Tensor, generator: torch.Generator | None) -> np.random.Generator:
    """A source seeded by one draw from `generator`, which is on the device of `like`."""
    seed = torch.randint(2**62, (1,), generator=generator, device=like.device)
    return np.random.default_rng(int(seed))
