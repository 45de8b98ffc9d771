"""MultiScaleDampedNet: Divakar & Babu, "Image Denoising via CNNs: An Adversarial Approach" (2017).

The picture is filtered at five scales at once, every feature is damped by a factor between 0 and
1 that the features themselves decide, and a per-pixel network rebuilds the picture from what is
left (Sec. 2.1, Fig. 1 of the paper, CVPR Workshops 2017):

```
         1. features                  2.-4. damping                    5.-7. reconstruction
noisy ─▶ 1×1…9×9, 240 maps ─┬─▶ 240 ─▶ 240 ─▶ 240, sigmoid ─▶ × ─▶ 1×1, 128 ─▶ 128 ─▶ 1 ─▶ clean
                            └──────────────────────────────────┘
```

Where the paper is silent or contradicts itself there is an option or a choice, all of them told in
docs/explanation/divakar-babu-2017.md. Feature, damping and reconstruction layers are numbered as in
the paper: 1; 2, 3, 4; 5, 6, 7.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

KERNELS = (1, 3, 5, 7, 9)
WIDTHS = (32, 40, 48, 56, 64)

OPEN_GATE = 2.0
"""First bias of the damping: sigmoid(2) = 0.88, so that damping starts by letting most through."""


class MultiScaleDampedNet(nn.Module):
    """Blind denoiser for gray (1) or color (3) pictures of any size.

    Args:
        channels: picture channels, 1 or 3.
        kernels: sides of the filters of the first layer, odd.
        widths: maps for each of them; the paper's add up to 240.
        damping: False leaves the damping layers out (an ablation of ours).
        damping_kernel: 1 (the text, Sec. 2.1) or 3 (a label in Fig. 1).
        hidden: maps of layers 5 and 6.
        residual: the net predicts the noise instead of the picture (an option of ours).

    Attributes:
        fast_damping: while training, compute the damping factors in bfloat16. They are three
            quarters of the work and only need to be right to a percent.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        kernels: tuple[int, ...] = KERNELS,
        widths: tuple[int, ...] = WIDTHS,
        damping: bool = True,
        damping_kernel: int = 1,
        hidden: tuple[int, int] = (128, 128),
        residual: bool = False,
    ) -> None:
        super().__init__()
        if len(kernels) != len(widths) or any(side % 2 == 0 for side in (*kernels, damping_kernel)):
            msg = "MultiScaleDampedNet needs odd kernels, and one width for each of them."
            raise ValueError(msg)
        total = sum(widths)
        self.residual = residual
        self.fast_damping = False
        self.features = nn.ModuleList(
            nn.Conv2d(channels, width, side, padding=side // 2)
            for side, width in zip(kernels, widths, strict=True)
        )
        self.damping = nn.ModuleList(
            nn.Conv2d(total, total, damping_kernel, padding=damping_kernel // 2)
            for _ in range(3 if damping else 0)
        )
        sides = (total, *hidden, channels)
        self.reconstruction = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in itertools.pairwise(sides)
        )
        self._initialize()

    def forward(self, noisy_nchw: Tensor) -> Tensor:
        """Denoise.

        Args:
            noisy_nchw: N×C×H×W, any H, W ≥ 1, 0..1 from black to white.

        Returns:
            N×C×H×W, neither clipped nor rounded.
        """
        features = self.extract(noisy_nchw)
        rebuilt = self.rebuild(self.damp(features))
        return noisy_nchw - rebuilt if self.residual else rebuilt

    def extract(self, x_nchw: Tensor) -> Tensor:
        """Layer 1: N×240×H×W, all scales side by side, after ReLU."""
        maps = [layer(x_nchw) for layer in self.features]
        if self.fast_damping and self.training:
            # PyTorch lays out the 1×1 filters' maps in the other order, and all would follow.
            maps = [part.contiguous(memory_format=torch.channels_last) for part in maps]
        return functional.relu(torch.cat(maps, 1))

    def damp(self, features_nchw: Tensor) -> Tensor:
        """Layers 2 to 4: every feature times its own factor between 0 and 1."""
        if len(self.damping) == 0:
            return features_nchw
        device = features_nchw.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.fast_damping and self.training):
            y = features_nchw
            for layer in self.damping[:-1]:
                y = functional.relu(layer(y))
            y = self.damping[-1](y)
        return features_nchw * torch.sigmoid(y.to(features_nchw.dtype))

    def rebuild(self, features_nchw: Tensor) -> Tensor:
        """Layers 5 to 7: the picture (or with `residual` the noise), pixel by pixel."""
        y = features_nchw
        for layer in self.reconstruction[:-1]:
            y = functional.relu(layer(y))
        picture: Tensor = self.reconstruction[-1](y)
        return picture

    def _initialize(self) -> None:
        """He et al. (ICCV 2015) for the weights; the damping starts open."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            cast(nn.Conv2d, self.reconstruction[-1]).weight.mul_(0.1)
            if len(self.damping):
                gate = cast(nn.Conv2d, self.damping[-1])
                gate.weight.mul_(0.1)
                nn.init.constant_(cast(Tensor, gate.bias), OPEN_GATE)
