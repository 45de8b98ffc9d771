"""UNet: degrain's own blind denoiser, a bias-free residual U-Net at half resolution.

What it is made of, and why:

- The picture enters through a 6×6 convolution of stride 2: a 3×3 convolution on the
  pixel-unshuffled picture, written as one operator. Working at half resolution is what makes
  FFDNet (Zhang et al., TIP 2018) cheap.
- No bias anywhere and ReLU units: f(a·x) = a·f(x) for a > 0, which lets the net work at noise
  levels it never saw (Mohan et al., "Robust and interpretable blind image denoising via
  bias-free convolutional neural networks", ICLR 2020).
- Residual learning: the net predicts the noise (Zhang et al., DnCNN, TIP 2017).
- An encoder and a decoder with additive skips (Ronneberger et al. 2015): context is cheap at
  low resolution.

```
noisy ─▶ head 6×6/2 ─▶ blocks ─┬────────────────────▶ + ─▶ blocks ─▶ tail 3×3 ─▶ shuffle ─▶ noise
                               └▶ down ─▶ … ─▶ up ───┘
```
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3×3, no bias; the second convolution starts small."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv0.weight)
        nn.init.kaiming_normal_(self.conv1.weight)
        with torch.no_grad():
            self.conv1.weight.mul_(0.1)

    def forward(self, x_nchw: Tensor) -> Tensor:
        """N×width×H×W in and out."""
        y: Tensor = self.conv1(functional.relu(self.conv0(x_nchw)))
        return x_nchw + y


class UNet(nn.Module):
    """Blind denoiser for grey (1) or color (3) pictures of any size.

    Args:
        channels: picture channels, 1 or 3.
        widths: feature maps per scale, finest (half resolution) first.
        encoder: residual blocks per scale on the way down, one number for each width but the last.
        decoder: the same on the way up.
        middle: residual blocks at the coarsest scale.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        widths: tuple[int, ...] = (64, 96, 128),
        encoder: tuple[int, ...] = (1, 1),
        decoder: tuple[int, ...] = (1, 1),
        middle: int = 2,
    ) -> None:
        super().__init__()
        if not len(widths) - 1 == len(encoder) == len(decoder):
            msg = "UNet needs one encoder and one decoder entry for each width but the last."
            raise ValueError(msg)
        self.multiple_of = 2 ** len(widths)
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(channels, widths[0], 6, stride=2, padding=2, bias=False)
        self.encoder = nn.ModuleList(map(_blocks, widths, encoder))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2, bias=False) for a, b in steps)
        self.middle = _blocks(widths[-1], middle)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2, bias=False) for a, b in steps)
        self.decoder = nn.ModuleList(map(_blocks, widths, decoder))
        self.tail = nn.Conv2d(widths[0], 4 * channels, 3, padding=1, bias=False)
        with torch.no_grad():
            # Start close to the identity: predict almost no noise.
            self.tail.weight.mul_(0.1)

    def forward(self, noisy_nchw: Tensor) -> Tensor:
        """Denoise.

        Args:
            noisy_nchw: N×C×H×W, any H, W ≥ 1, usually 0..1 (the net scales with its input).

        Returns:
            N×C×H×W, neither clipped nor rounded.
        """
        height, width = noisy_nchw.shape[-2:]
        padded = pad_to_multiple(noisy_nchw, self.multiple_of)
        y = self.head(padded)
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            y = blocks(y)
            skips.append(y)
            y = down(y)
        y = self.middle(y)
        for blocks, up, skip in zip(
            reversed(self.decoder), reversed(self.up), reversed(skips), strict=True
        ):
            y = blocks(up(y) + skip)
        noise = functional.pixel_shuffle(self.tail(y), 2)
        return noisy_nchw - noise[..., :height, :width]


def pad_to_multiple(x_nchw: Tensor, multiple_of: int) -> Tensor:
    """Repeat the right and bottom edge until height and width divide by `multiple_of`."""
    height, width = x_nchw.shape[-2:]
    padding = (0, -width % multiple_of, 0, -height % multiple_of)
    return functional.pad(x_nchw, padding, mode="replicate")


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
