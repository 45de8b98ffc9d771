"""benchmarks/other_level.py: a network for one noise level made into one for another."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

from degrain.nets.divakar_babu_2017 import MultiScaleDampedNet

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "other_level.py"


def test_the_weights_work_on_another_contrast() -> None:
    torch.manual_seed(0)
    options = {"kernels": (3, 5), "widths": (4, 4), "hidden": (8, 8), "residual": True}
    net = MultiScaleDampedNet(**options, damping_kernel=3).eval()
    torch.nn.init.normal_(net.reconstruction[-1].weight)
    for name, bias in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    other = MultiScaleDampedNet(**options, damping_kernel=3).eval()
    rescaled = runpy.run_path(str(SCRIPT))["rescaled"]
    other.load_state_dict(rescaled(net.state_dict(), 1.25))
    y = torch.rand(1, 1, 24, 24)
    with torch.no_grad():
        raised = 1.25 * (y - 0.5) + 0.5
        wanted = y - (raised - net(raised)) / 1.25
        inner = (..., slice(6, -6), slice(6, -6))  # beyond the border layers see zeros
        torch.testing.assert_close(other(y)[inner], wanted[inner])
        assert not torch.allclose(other(y), net(y), atol=1e-3)
