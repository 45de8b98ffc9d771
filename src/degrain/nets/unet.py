"""UNet: degrain's own blind denoiser, a residual net at half resolution that scales with its input.

What it is made of, and why:

- The picture is pixel-unshuffled: four half-size maps a channel. Working at half resolution is
  what makes FFDNet (Zhang et al., TIP 2018) cheap.
- No bias anywhere and ReLU units: f(a·x) = a·f(x) for a > 0, which lets the net work at noise
  levels it never saw (Mohan et al., "Robust and interpretable blind image denoising via
  bias-free convolutional neural networks", ICLR 2020).
- The net is told the noise level by the picture itself: the mean absolute diagonal Haar
  coefficient around every pixel (Donoho & Johnstone 1994 estimate the noise from these) joins the
  input as a map of its own. It scales with the picture too, so thresholds can follow the noise
  without a bias.
- The local mean is taken off the input: a net that predicts noise has no use for it, and without
  it the layers are better conditioned (compare Herbreteau et al., "Normalization-equivariant
  neural networks", NeurIPS 2023). The output of the net does not change when the picture gets
  lighter: f(x + c) = f(x) + c.
- Residual learning: the net predicts the noise (Zhang et al., DnCNN, TIP 2017).
- Coarser scales with additive skips where `widths` has more than one entry (Ronneberger et al.
  2015). The shipped nets have three: see benchmarks/LOG.md.

```
noisy ─▶ analyze ─▶ head 3×3 ─▶ blocks ─┬───────────────────▶ + ─▶ blocks ─▶ tail 3×3 ─▶ noise
                                        └▶ down ─▶ … ─▶ up ──┘
```
"""

from __future__ import annotations

import copy
import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MAPS_A_CHANNEL = 5
"""What `analyze` makes of every channel of the picture."""

WINDOW = 17
"""Side of the window of the local mean and of the noise map, in half-resolution pixels."""

DOUBLINGS = (1, 2, 4, 8)
"""Shifts that add up 16 neighbors, one less than the window."""

MEAN_ABSOLUTE_TO_SIGMA = 1.2533
"""sqrt(pi / 2): from the mean absolute value of a Gaussian to its standard deviation."""


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
    """Blind denoiser for gray (1) or color (3) pictures of any size.

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
        widths: tuple[int, ...] = (64,),
        encoder: tuple[int, ...] = (),
        decoder: tuple[int, ...] = (),
        middle: int = 4,
    ) -> None:
        super().__init__()
        if not len(widths) - 1 == len(encoder) == len(decoder):
            msg = "UNet needs one encoder and one decoder entry for each width but the last."
            raise ValueError(msg)
        self.multiple_of = 2 ** len(widths)
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(MAPS_A_CHANNEL * channels, widths[0], 3, padding=1, bias=False)
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
        y = self.enter(pad_to_multiple(noisy_nchw, self.multiple_of))
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
        return noisy_nchw - self.leave(self.tail(y), height, width)

    def enter(self, padded_nchw: Tensor) -> Tensor:
        """The first convolution's answer at half resolution, from a picture of even sides."""
        y: Tensor = self.head(analyze(padded_nchw))
        return y

    def leave(self, noise_nchw: Tensor, height: int, width: int) -> Tensor:
        """The last convolution's four maps a channel as a picture of this size."""
        return functional.pixel_shuffle(noise_nchw, 2)[..., :height, :width]

    def for_export(self) -> StridedUNet:
        """The same network in the form that ONNX Runtime runs fastest, with the same weights."""
        net = copy.deepcopy(self)
        net.__class__ = StridedUNet
        return cast(StridedUNet, net)


class StridedUNet(UNet):
    """A `UNet` that never moves the picture's pixels: its first kernels stride over it instead.

    Unshuffling and a 3×3 convolution are one 6×6 convolution of stride 2. The local mean, which
    `analyze` takes off the picture, is taken off behind it: convolutions are linear. So nothing is
    left to do at full resolution but to put the answer together, where plain copying took a tenth
    of the time (benchmarks/LOG.md). Not for training: in bfloat16 the difference of two large
    answers would drown in rounding.
    """

    computes_kernels = True

    def enter(self, padded_nchw: Tensor) -> Tensor:
        """See `UNet.enter`."""
        channels = padded_nchw.shape[1]
        # Outputs × channels × (four pixels of a block, noise map) × 3 × 3, see `analyze`.
        kernels = self.head.weight.unflatten(1, (channels, MAPS_A_CHANNEL))
        pixels, noise = kernels[:, :, :4], kernels[:, :, 4]
        of_mean = -pixels.sum((1, 2)).unsqueeze(1)
        maps = functional.conv2d(padded_nchw, _block_kernels(padded_nchw), stride=2)
        means, diagonals = maps[:, :1], maps[:, 1:]
        noise_map = MEAN_ABSOLUTE_TO_SIGMA * pooled_mean(diagonals.abs())
        around = torch.cat([pooled_mean(means), noise_map], 1)
        strided = functional.pixel_shuffle(pixels.flatten(1, 2), 2)
        return functional.conv2d(padded_nchw, strided, stride=2, padding=2) + functional.conv2d(
            around, torch.cat([of_mean, noise], 1), padding=1
        )

    def leave(self, noise_nchw: Tensor, height: int, width: int) -> Tensor:
        """See `UNet.leave`: columns first, then rows, which are long runs of memory by then.

        ONNX Runtime's own shuffle takes twice as long. Padding by nothing or less cuts off both
        ends at once.
        """
        batch, maps, rows, columns = noise_nchw.shape
        pairs = noise_nchw.reshape(batch, maps // 2, 2, rows * columns).transpose(2, 3)
        lines = pairs.reshape(batch, maps // 4, 2, rows, 2 * columns).transpose(2, 3)
        picture = lines.reshape(batch, maps // 4, 2 * rows, 2 * columns)
        return functional.pad(picture, (0, width - 2 * columns, 0, height - 2 * rows))


def _block_kernels(x_nchw: Tensor) -> Tensor:
    """Kernels that make, of every 2×2 block, the mean of all channels and each one's diagonal."""
    channels = x_nchw.shape[1]
    mean = x_nchw.new_full((1, channels, 2, 2), 1 / (4 * channels))
    signs = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], device=x_nchw.device)
    diagonals = torch.eye(channels, device=x_nchw.device)[:, :, None, None] * signs
    return torch.cat([mean, diagonals])


def analyze(x_nchw: Tensor) -> Tensor:
    """Unshuffled picture without its local mean, and the noise map: N×5C×(H/2)×(W/2).

    Each channel gives five maps: the four pixels of every 2×2 block, and the noise map.

    Args:
        x_nchw: N×C×H×W with even H and W.
    """
    unshuffled = functional.pixel_unshuffle(x_nchw, 2)
    mean = local_mean(unshuffled.mean(1, keepdim=True))
    # The four pixels of a block, as they lie: a b above c d.
    a, b, c, d = (unshuffled[:, k::4] for k in range(4))
    diagonal = (a - b - c + d) / 2
    noise_map = MEAN_ABSOLUTE_TO_SIGMA * local_mean(diagonal.abs())
    maps = [item - mean for item in (a, b, c, d)] + [noise_map]
    return torch.stack(maps, 2).flatten(1, 2)


def local_mean(x_nchw: Tensor) -> Tensor:
    """Mean over a window around every pixel; at the border over the part inside the picture."""
    height, width = x_nchw.shape[-2:]
    total = _window_sum_along_rows(_window_sum_down_columns(x_nchw))
    rows = _window_sum_down_columns(x_nchw.new_ones(1, 1, height, 1))
    columns = _window_sum_along_rows(x_nchw.new_ones(1, 1, 1, width))
    return total / (rows * columns)


def pooled_mean(x_nchw: Tensor) -> Tensor:
    """The same as `local_mean`, by an operator that ONNX Runtime is faster at than at slices."""
    return functional.avg_pool2d(
        x_nchw, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False
    )


def pad_to_multiple(x_nchw: Tensor, multiple_of: int) -> Tensor:
    """Mirror the right and bottom edge until height and width divide by `multiple_of`.

    Repeating the last row instead would be simpler, but noise in stripes is no noise that the net
    knows: on BSD68 it cost 0.2 dB at σ 15 and 0.6 dB at σ 50 (benchmarks/LOG.md).
    """
    for axis in (-2, -1):
        x_nchw = _mirror_end(x_nchw, axis, multiple_of)
    return x_nchw


def _mirror_end(x_nchw: Tensor, axis: int, multiple_of: int) -> Tensor:
    """One axis of `pad_to_multiple`; back and forth where the picture is too small for one turn.

    Only the few pixels that are added are looked up one by one, which is slow.
    """
    size = x_nchw.shape[axis]
    last = torch.arange(size, device=x_nchw.device)[-1:]  # a tensor: the exporter wants one
    period = (2 * last).clamp(min=1)
    place = torch.arange(size, size + -size % multiple_of, device=x_nchw.device) % period
    added = x_nchw.index_select(axis, torch.minimum(place, period - place))
    return torch.cat([x_nchw, added], axis)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


# Sums over 17 pixels by doubling: 2, 4, 8, 16 and one more: five sliding additions, where PyTorch's
# pooling adds up 289 numbers for every pixel.


def _window_sum_down_columns(x_nchw: Tensor) -> Tensor:
    padded = total = functional.pad(x_nchw, (0, 0, WINDOW // 2, WINDOW // 2))
    for step in DOUBLINGS:
        total = total[..., :-step, :] + total[..., step:, :]
    return total[..., :-1, :] + padded[..., WINDOW - 1 :, :]


def _window_sum_along_rows(x_nchw: Tensor) -> Tensor:
    padded = total = functional.pad(x_nchw, (WINDOW // 2, WINDOW // 2))
    for step in DOUBLINGS:
        total = total[..., :-step] + total[..., step:]
    return total[..., :-1] + padded[..., WINDOW - 1 :]
