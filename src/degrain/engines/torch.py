"""A network that lives in PyTorch behind the same protocol, for training and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import ModelError

if TYPE_CHECKING:
    import torch


class TorchEngine:
    """Runs a torch module that maps N×C×H×W to the same shape.

    Args:
        module: the network; put into evaluation mode and moved to `device`.
        device: where it runs ("cpu", "cuda", "cuda:1").
        channels: 1 or 3; None asks the module's `channels` attribute.

    Raises:
        ModelError: the number of channels is neither given nor known to the module.
    """

    def __init__(
        self, module: torch.nn.Module, device: str = "cpu", *, channels: int | None = None
    ) -> None:
        found: Any = channels if channels is not None else getattr(module, "channels", None)
        if found not in (1, 3):
            msg = "The channels of this torch module are unknown; give channels=1 or channels=3."
            raise ModelError(msg)
        self._channels = int(found)
        self._device = device
        self._module = module.to(device).eval()

    @property
    def channels(self) -> int:
        """Channels the network takes and gives: 1 (gray) or 3 (RGB)."""
        return self._channels

    @property
    def needs_sigma(self) -> bool:
        """False: modules are called with the picture alone."""
        return False

    def run(self, x_nchw: NDArray[np.float32], sigma: float | None = None) -> NDArray[np.float32]:
        """Denoise a batch: float32 N×C×H×W in, the same out, not clipped; sigma is ignored."""
        import torch

        with torch.inference_mode():
            noisy = torch.from_numpy(np.ascontiguousarray(x_nchw)).to(self._device)
            clean = self._module(noisy)
        if clean.shape != noisy.shape:
            msg = f"The torch module gives shape {tuple(clean.shape)} for {tuple(noisy.shape)}."
            raise ModelError(msg)
        return np.asarray(clean.float().cpu().numpy(), dtype=np.float32)
