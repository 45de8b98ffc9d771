"""Jain & Seung, "Natural Image Denoising with Convolutional Networks", NIPS 2008.

CN1 and CN2 have four hidden layers, CNBlind has five; all have 24 maps a layer, 5×5 kernels and
logistic units everywhere, in the output too. From the second hidden layer on, a map sees 8 maps of
the layer before, drawn once; the output sees all 24. The border of the picture is made known by
surrounding it with −1, a value that no pixel has.

```
−1 −1 −1 −1                24 maps        24 maps               24 maps
−1  noisy ──▶ 5×5, valid ──▶ σ ──▶ 8 of 24 ──▶ σ ─▶ … ─▶ all 24 ──▶ σ ──▶ clean
−1 −1 −1 −1
```

The first weights are ours, the paper names none: they keep every unit where its slope is near ¼,
see `_first_weights`.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTSIDE = -1.0
"""What surrounds the picture (Sec. 3 of the paper); pixels lie in 0..1."""

MIDDLE = 0.5
"""Value of a logistic unit at rest, and of a pixel in mid-gray."""

SLOPE = 0.25
"""Derivative of the logistic function at rest."""


BLUR = 0.1
"""Amplitude of what comes from beside the middle of a kernel, in the first weights of a layer."""


class LogisticLayer(nn.Module):
    """Maps of logistic units, each with one kernel for each map that it sees; no padding.

    Args:
        inputs: maps of the layer before.
        outputs: maps of this layer.
        kernel: side of the kernels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs))

    @property
    def convolutions(self) -> int:
        """Pictures convolved with a kernel of their own."""
        return self.weight.shape[0] * self.weight.shape[1]

    def kernel(self) -> Tensor:
        """The kernel as convolutions take it: outputs × all inputs × k × k."""
        return self.weight

    def forward(self, y_nchw: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×(H−k+1)×(W−k+1), in 0..1."""
        # PyTorch trains 24 maps a third faster with the maps of a pixel side by side.
        y_nhwc = y_nchw.contiguous(memory_format=torch.channels_last)
        kernel = self.kernel().contiguous(memory_format=torch.channels_last)
        return torch.sigmoid(functional.conv2d(y_nhwc, kernel, self.bias))

    def forward_pairs(self, y_nchw: Tensor) -> Tensor:
        """The same for two pixels at once: N×(2·inputs)×H×W to N×(2·outputs)×(H−k+1)×(W−(k−1)/2).

        A map is two channels here, its even and its odd columns.
        """
        kernel = _columns_to_channels(_for_two_columns(self.kernel()))
        return torch.sigmoid(functional.conv2d(y_nchw, kernel, self.bias.repeat_interleave(2)))

    def forward_to_pairs(self, y_nchw: Tensor) -> Tensor:
        """`forward_pairs` of whole columns, an even number of them."""
        kernel = _for_two_columns(self.kernel())
        bias = self.bias.repeat_interleave(2)
        return torch.sigmoid(functional.conv2d(y_nchw, kernel, bias, stride=(1, 2)))


class SparseLogisticLayer(LogisticLayer):
    """A layer whose maps see only some maps of the layer before.

    The kernels are stored as outputs × fan_in × k × k beside the buffer `index` (outputs ×
    fan_in: which maps they belong to), and set into a kernel with zeros for the convolution:
    libraries run that faster than anything that skips the zeros.
    """

    index: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, index: Tensor) -> None:
        super().__init__(index.shape[1], outputs, kernel)
        self.inputs = inputs
        self.register_buffer("index", index)

    def kernel(self) -> Tensor:
        """The stored kernels, and zeros where a map is not seen."""
        outputs, _, side, _ = self.weight.shape
        # Not `new_zeros`: the exporter turns that into a cast which ONNX Runtime does not fold.
        zeros = torch.zeros(
            outputs, self.inputs, side, side, dtype=self.weight.dtype, device=self.weight.device
        )
        places = self.index[:, :, None, None].expand_as(self.weight)
        return zeros.scatter(1, places, self.weight)


class ConvolutionalNetwork(nn.Module):
    """CN1 and CN2 (`hidden=4`), CNBlind (`hidden=5`).

    Args:
        channels: picture channels: 1 as in the paper, or 3, its "straightforward" extension.
        hidden: layers between picture and output.
        maps: maps of each of them.
        fan_in: maps of the layer before that a map of the second to last hidden layer sees.
        kernel: side of all kernels.
        seed: decides which maps are seen; the layers of a shallower net are those of a deeper one.
    """

    computes_kernels = True
    """For the export: the convolutions' kernels are computed from the weights."""

    def __init__(
        self,
        *,
        channels: int = 1,
        hidden: int = 4,
        maps: int = 24,
        fan_in: int = 8,
        kernel: int = 5,
        seed: int = 2008,
    ) -> None:
        super().__init__()
        if hidden < 1 or kernel % 2 == 0 or not 1 <= fan_in <= maps:
            msg = "ConvolutionalNetwork needs a hidden layer, an odd kernel and fan_in ≤ maps."
            raise ValueError(msg)
        self.channels = channels
        self.border_px = (hidden + 1) * (kernel // 2)
        generator = torch.Generator("cpu").manual_seed(seed)
        self.head = LogisticLayer(channels, maps, kernel)
        self.inner = nn.ModuleList(
            SparseLogisticLayer(maps, maps, kernel, index=_wiring(maps, fan_in, generator))
            for _ in range(hidden - 1)
        )
        self.tail = LogisticLayer(maps, channels, kernel)
        for layer in self.layers:
            _first_weights(layer, sharp=layer is not self.head)

    def for_export(self) -> PairwiseNetwork:
        """The same network in the form that processors run fastest, with the same weights."""
        net = copy.deepcopy(self)
        net.__class__ = PairwiseNetwork
        return cast(PairwiseNetwork, net)

    @property
    def layers(self) -> list[LogisticLayer]:
        """All layers, from the picture to the output."""
        return [cast(LogisticLayer, layer) for layer in (self.head, *self.inner, self.tail)]

    @property
    def convolutions(self) -> int:
        """Convolutions of one map with one kernel: 624 in CN1 and CN2 (Sec. 3)."""
        return sum(layer.convolutions for layer in self.layers)

    def forward(self, noisy_nchw: Tensor, surrounded: bool = False) -> Tensor:
        """Denoise.

        Args:
            noisy_nchw: N×C×H×W, any H, W ≥ 1, usually 0..1.
            surrounded: whether `border_px` pixels on every side are surroundings already: real
                pixels, or −1 outside of the picture.

        Returns:
            N×C×H×W in 0..1, without the surroundings.
        """
        y = noisy_nchw
        if not surrounded:
            y = functional.pad(y, (self.border_px,) * 4, value=OUTSIDE)
        for layer in self.layers:
            y = layer(y)
        return y


class PairwiseNetwork(ConvolutionalNetwork):
    """A `ConvolutionalNetwork` that computes the pixels 2x and 2x + 1 of a row together.

    Processors convolve 16 channels at a time. 24 maps fill that one and a half times; as even and
    odd columns they are 48 channels, which fill it three times, and the kernels become 5×3 with a
    sixth of them zeros. ONNX Runtime is 1.5 times faster for it.
    """

    def forward(self, noisy_nchw: Tensor, surrounded: bool = False) -> Tensor:
        """Denoise, as `ConvolutionalNetwork.forward`."""
        border = 0 if surrounded else self.border_px
        width = noisy_nchw.shape[-1] - 2 * (self.border_px - border)
        odd = noisy_nchw.shape[-1] % 2
        y = functional.pad(noisy_nchw, (border, border + odd, border, border), value=OUTSIDE)
        y = self.head.forward_to_pairs(y)
        for layer in self.layers[1:]:
            y = layer.forward_pairs(y)
        return _join_columns(y)[..., :width]


def _for_two_columns(kernel_oikk: Tensor) -> Tensor:
    """A kernel that gives two neighboring columns: (2·outputs)×inputs×k×(k+1)."""
    outputs, inputs, side, _ = kernel_oikk.shape
    even, odd = functional.pad(kernel_oikk, (0, 1)), functional.pad(kernel_oikk, (1, 0))
    return torch.stack([even, odd], 1).reshape(2 * outputs, inputs, side, side + 1)


def _columns_to_channels(kernel: Tensor) -> Tensor:
    """Even and odd columns of what a kernel sees as two channels, in a kernel half as wide."""
    outputs, inputs, height, width = kernel.shape
    pairs = kernel.reshape(outputs, inputs, height, width // 2, 2).permute(0, 1, 4, 2, 3)
    return pairs.reshape(outputs, 2 * inputs, height, width // 2)


def _join_columns(y_nchw: Tensor) -> Tensor:
    """N×2C×H×W, even and odd columns as channels, to N×C×H×2W."""
    n, channels, height, width = y_nchw.shape
    pairs = y_nchw.reshape(n, channels // 2, 2, height, width).permute(0, 1, 3, 4, 2)
    return pairs.reshape(n, channels // 2, height, 2 * width)


def _wiring(maps: int, fan_in: int, generator: torch.Generator) -> Tensor:
    """For each of `maps` maps, which `fan_in` of as many it sees, in ascending order."""
    draws = [torch.randperm(maps, generator=generator, device="cpu") for _ in range(maps)]
    return torch.stack([draw[:fan_in].sort().values for draw in draws])


@torch.no_grad()
def _first_weights(layer: LogisticLayer, *, sharp: bool) -> None:
    """Normal weights that keep sums near ±1, where the logistic function is nearly linear.

    In a sharp layer those in the middle of a kernel carry all but a hundredth of the signal's
    power, so that detail passes through to the output; kernels that are random all over would blur
    it at each layer, and the net would have to learn to be sharp before it learns to denoise (after
    L. Xiao et al., "Dynamical Isometry and a Mean Field Theory of CNNs", ICML 2018).

    The biases take off what inputs at rest would add, which is as large as the signal.
    """
    _, inputs, side, _ = layer.weight.shape
    gain = 1 / SLOPE / inputs**0.5
    nn.init.normal_(layer.weight, std=(BLUR if sharp else 1) * gain / side)
    if sharp:
        layer.weight[:, :, side // 2, side // 2] += gain * torch.randn(layer.weight.shape[:2])
    layer.bias.copy_(-MIDDLE * layer.weight.sum((1, 2, 3)))
