"""Fine-tuning an 8-bit network with its rounding, so that rounding does less harm.

The network in 8 bits is computed in floats, every rounding included, and learns to answer as the
network in floats does; gradients pass through the rounding as if it were not there (Bengio et al.,
2013; the scales learn too: Esser et al., "Learned step size quantization", ICLR 2020). So do the
gains of channels, which share the harm between tensors and the kernels that read them: in what
`degrain.train.ranges` begins with they follow from the tensors alone. Only the part between the
first and the last convolution's answer takes part, see `degrain.train.qdq`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.progress import shown
from degrain.train.body import Body, Floats, read_from_bytes
from degrain.train.qdq import LEVELS, ZERO, Numbers
from degrain.train.ranges import gain_groups, with_gains, with_shuffled

STEPS: Final = 400
BATCH: Final = 8
LR_KERNELS: Final = 0.001
"""First step length, as a share of a kernel's root mean square; it falls to zero linearly."""
LR_SCALES: Final = 0.0007
"""The same for the logarithms of the scales."""
LR_GAINS: Final = 0.003
"""The same for the logarithms of the gains."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learned from.

    Attributes:
        heads: answers of the first convolution to noisy crops, N×C×H×W.
        errors: mean squared error of the float network's picture for each crop, N: what is lost
            counts against it, as decibels do.
    """

    heads: Floats
    errors: Floats


def fine_tune(body: Body, numbers: Numbers, lessons: Lessons, steps: int = STEPS) -> Numbers:
    """The numbers of an 8-bit network after some steps of learning.

    Args:
        body: the network.
        numbers: kernels, already evened out, and the scales to begin with.
        lessons: what to learn from.
        steps: how many steps of `BATCH` crops.
    """
    net = EightBits(body, numbers)
    heads = torch.from_numpy(lessons.heads) * torch.from_numpy(head_gains(body, numbers))
    weights = torch.from_numpy((1 / lessons.errors).astype(np.float32))
    optimizer = torch.optim.Adam(net.groups())
    first = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        wanted = torch.cat([net.exact(part) for part in heads.split(BATCH)])
    for step in shown(range(steps), "fine-tuning", "step"):
        for group, lr in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = lr * (1 - step / steps)
        chosen = torch.randint(len(heads), (BATCH,), generator=generator)
        error = (net(heads[chosen]) - wanted[chosen]).square().mean((1, 2, 3))
        loss = (error * weights[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.numbers()


class EightBits(nn.Module):
    """The part of a network that is in 8 bits, computed in floats, rounding included.

    Args:
        body: the network.
        numbers: kernels and scales to begin with.
    """

    def __init__(self, body: Body, numbers: Numbers) -> None:
        super().__init__()
        self.body, self.first = body, numbers
        names = [str(node.input[1]) for node in body.nodes[1:] if node.op_type == "Conv"]
        self.kernels = nn.ParameterList(torch.tensor(numbers.weights[name]) for name in names)
        self.kernel_of = dict(zip(names, self.kernels, strict=True))
        self.scales = nn.ParameterList(
            torch.tensor(scale).log()
            for scale in (*numbers.scales.values(), *numbers.kernel_scales.values())
        )
        scaled = (*numbers.scales, *numbers.kernel_scales)
        self.scale_of = dict(zip(scaled, self.scales, strict=True))
        groups = gain_groups(body)
        self.gains = nn.ParameterList(torch.zeros(body.channels[min(g)]) for g in groups)
        self.gain_of = {
            name: gain for group, gain in zip(groups, self.gains, strict=True) for name in group
        }

    def forward(self, heads_nchw: Tensor) -> Tensor:
        """The last convolution's answer to answers of the first."""
        return self._run(heads_nchw, rounded=True)

    def exact(self, heads_nchw: Tensor) -> Tensor:
        """The same in floats."""
        return self._run(heads_nchw, rounded=False)

    def groups(self) -> Iterator[dict[str, Any]]:
        """Parameters with their step lengths, for an optimizer."""
        for kernel in self.kernels:
            size = float(kernel.detach().square().mean().sqrt())
            yield {"params": [kernel], "lr": LR_KERNELS * size}
        yield {"params": list(self.scales), "lr": LR_SCALES}
        yield {"params": list(self.gains), "lr": LR_GAINS}

    def numbers(self) -> Numbers:
        """What it has learned."""
        first, body = self.first, self.body
        learned = {name: _exponential(gain) for name, gain in self.gain_of.items()}
        gains = with_shuffled(body, learned)
        scales = {name: _exponential(scale) for name, scale in self.scale_of.items()}
        kernels = {name: kernel.detach().numpy() for name, kernel in self.kernel_of.items()}
        makers = {str(node.input[1]): node for node in body.nodes if node.op_type == "Conv"}
        total = gains[str(body.nodes[0].output[0])]
        return Numbers(
            with_gains(body, {**first.weights, **kernels}, gains),
            {name: scales[name] * gains[makers[name].output[0]] for name in body.inner},
            {name: float(scales[name]) for name in first.scales},
            {name: gain * total / gains[name] for name, gain in first.gains.items()},
        )

    def _run(self, heads_nchw: Tensor, *, rounded: bool) -> Tensor:
        body = self.body
        known = {str(body.nodes[0].output[0]): heads_nchw}
        for node in body.nodes[1:]:
            made, sources = str(node.output[0]), [str(name) for name in node.input]
            inputs = []
            for name in filter(known.__contains__, sources):  # and not kernels
                x = known[name]
                if rounded and read_from_bytes(name, made, body):
                    x = self._bytes(name, x)
                inputs.append(self._gained(name, x))
            known[made] = self._compute(node, inputs, rounded=rounded)
        return known[str(body.nodes[-1].output[0])]

    def _bytes(self, name: str, x: Tensor) -> Tensor:
        """A tensor after its way to bytes and back."""
        origin = self.body.scaled_like(name)
        assert origin is not None
        scales: Tensor = (self.scale_of[origin] - self._log_gain(name)).exp().view(-1, 1, 1)
        zero = ZERO[self.body.signed[origin]]
        return _rounded(x / scales, -zero, 255 - zero) * scales

    def _log_gain(self, name: str) -> Tensor:
        """Logarithms of a tensor's gains."""
        if name in self.gain_of:
            gain: Tensor = self.gain_of[name]
            return gain
        made = next(made for made, origin in self.body.shuffled.items() if origin == name)
        return self._log_gain(made).tile(4)

    def _gained(self, name: str, x: Tensor) -> Tensor:
        """What is added to the running sum gets its channels' gains on the way."""
        if name not in self.body.updates:
            return x
        return x * torch.from_numpy(self.first.gains[name]).view(1, -1, 1, 1)

    def _compute(self, node: Any, inputs: list[Tensor], *, rounded: bool) -> Tensor:
        if node.op_type == "Relu":
            return functional.relu(inputs[0])
        if node.op_type == "Add":
            return inputs[0] + inputs[1]
        if node.op_type == "DepthToSpace":
            return _depth_to_space(inputs[0])
        name = str(node.input[1])
        kernel = self.kernel_of[name]
        if rounded and name in self.body.inner:
            # kernels are divided by the gains of what they read
            logarithms = self.scale_of[name].view(-1, 1) + self._log_gain(str(node.input[0]))
            scales = logarithms.exp()[..., None, None]
            kernel = _rounded(kernel / scales, -LEVELS, LEVELS) * scales
        given = {item.name: list(item.ints) for item in node.attribute if item.ints}
        top, left, *_ = given.get("pads", [0, 0])
        return functional.conv2d(
            inputs[0], kernel, stride=given.get("strides", [1, 1]), padding=(top, left)
        )


def _exponential(logarithms: Tensor) -> Floats:
    numbers: Floats = logarithms.detach().exp().numpy()
    return numbers


def _rounded(x: Tensor, low: int, high: int) -> Tensor:
    """Whole numbers within a range; the gradient is that of the range's clipping alone."""
    inside = x.clamp(low, high)
    return inside + (inside.round() - inside).detach()


def _depth_to_space(x: Tensor) -> Tensor:
    """4C×H×W to C×2H×2W; the first axis is row, column, channel ("DCR")."""
    count, channels, height, width = x.shape
    parts = x.view(count, 2, 2, channels // 4, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(count, channels // 4, 2 * height, 2 * width)


def head_gains(body: Body, numbers: Numbers) -> Floats:
    """What evening out has multiplied each channel of the first convolution's answer by."""
    sizes = [
        np.sqrt(np.square(weights[body.head]).sum((1, 2, 3)))
        for weights in (body.weights, numbers.weights)
    ]
    gains: Floats = np.where(sizes[0] > 0, sizes[1] / np.maximum(sizes[0], 1e-30), 1)
    return gains.astype(np.float32).reshape(1, -1, 1, 1)
