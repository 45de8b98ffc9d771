"""Networks for one noise level at another: benchmarks/other_level.py and estimated_level.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import torch

from degrain import Denoiser
from degrain.metrics import psnr
from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_weights_work_on_another_contrast() -> None:
    torch.manual_seed(0)
    options = {"kernels": (3, 5), "widths": (4, 4), "hidden": (8, 8), "residual": True}
    net = MultiScaleDampedNet(**options, damping_kernel=3).eval()
    torch.nn.init.normal_(net.reconstruction[-1].weight)
    for name, bias in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    other = MultiScaleDampedNet(**options, damping_kernel=3).eval()
    rescaled = runpy.run_path(str(BENCHMARKS / "other_level.py"))["rescaled"]
    other.load_state_dict(rescaled(net.state_dict(), 1.25))
    y = torch.rand(1, 1, 24, 24)
    with torch.no_grad():
        raised = 1.25 * (y - 0.5) + 0.5
        wanted = y - (raised - net(raised)) / 1.25
        inner = (..., slice(6, -6), slice(6, -6))  # beyond the border layers see zeros
        torch.testing.assert_close(other(y)[inner], wanted[inner])
        assert not torch.allclose(other(y), net(y), atol=1e-3)


def test_the_estimated_level_serves_beyond_the_networks_own() -> None:
    denoise = runpy.run_path(str(BENCHMARKS / "estimated_level.py"))["denoise"]
    rng = np.random.default_rng(0)
    clean = np.tile(np.linspace(0.2, 0.8, 128, dtype=np.float32), (128, 1))
    noisy = clean + np.float32(40 / 255) * rng.standard_normal(clean.shape, dtype=np.float32)
    nearest = Denoiser("divakar-babu-25")  # takes out too little where the contrast stays
    assert psnr(denoise(noisy, 0.0), clean) > psnr(nearest(noisy), clean) + 3
