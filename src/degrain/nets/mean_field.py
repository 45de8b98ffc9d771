"""Mean-field network: the unrolled mean-field iteration of Jain & Seung 2008 (NIPS), Sec. 4.

`nets/markov_field.py` has the random field and where its equations come from. A fixed number of
its mean-field steps is a convolutional network of a special kind,

```
        ┌──────────────┬──────────────┬─ … ────────┐       (dropped by direct_input=False)
        │ w^a          │ w^a          │            │ w^a
noisy ──┴─▶ logistic ──┴─▶ logistic ──┴─ … ─▶ logistic ── w̄^a ─▶ clean
                      w^{ab}         w^{ab}
```

all of whose layers have the same weights and see the picture, and whose last weights are the
first ones mirrored. It is trained as any network, by back-propagation through the steps. What
sets it apart from the paper's convolutional networks (Eq. 1) can be taken away: `tied=False`
gives every layer weights of its own, `direct_input=False` shows the picture to the first layer
only.

Inside, the picture is (noisy − offset) / σ, so that w^a is σ times the parameter `filters`, and
hidden units count from 1/2. The picture is continued beyond its border by its edge, as far as
the units reach that take part in it.

Logistic units learn only where they are not saturated, so the net starts as nearly the identity
in their linear range: logistic(x) ≈ 1/2 + x/4, and orthogonal filters with Σ_a w̄^a ⊗ w^a ≈ 4 δ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrain.nets.markov_field import MarkovField, mirror, no_self

SLOPE = 0.25
"""Slope of the logistic function in the middle."""


class MeanFieldNet(nn.Module):
    """The denoiser that a number of mean-field steps make; knows its noise level.

    Args:
        channels: picture channels, 1 or 3.
        maps: hidden fields.
        kernel: side of all filters, odd.
        iterations: mean-field steps, which are hidden layers.
        sigma_255: standard deviation of the noise in Eq. 2, on the 0..255 scale.
        damping: share of the old means that each step keeps, 0..1.
        tied: the same weights in all steps; False gives each its own.
        direct_input: every step sees the picture; False shows it to the first only.

    Raises:
        ValueError: an even kernel, no iterations, or damping outside 0..1.
    """

    others: Tensor

    def __init__(
        self,
        *,
        channels: int = 1,
        maps: int = 24,
        kernel: int = 5,
        iterations: int = 4,
        sigma_255: float = 25.0,
        damping: float = 0.0,
        tied: bool = True,
        direct_input: bool = True,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or iterations < 1 or not 0 <= damping < 1:
            msg = "MeanFieldNet needs an odd kernel, an iteration or more, and damping in [0, 1)."
            raise ValueError(msg)
        self.channels, self.kernel, self.iterations = channels, kernel, iterations
        self.sigma, self.damping = sigma_255 / 255, damping
        self.tied, self.direct_input = tied, direct_input
        self.computes_kernels = tied  # from the weights, to make them symmetric
        own = 1 if tied else iterations
        first = first_filters(maps, channels, kernel)
        seeing = own if direct_input else 1
        self.filters = nn.ParameterList(jittered(first) for _ in range(seeing))
        links = own if tied else own - 1
        self.couplings = nn.ParameterList(
            first_couplings(maps, kernel, alone=not direct_input)
            for _ in range(links if iterations > 1 else 0)
        )
        self.biases = nn.ParameterList(
            nn.init.normal_(torch.empty(maps), std=0.01) for _ in range(own)
        )
        self.output = None if tied else nn.Parameter(jittered(first))
        self.offset = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.register_buffer("others", no_self(maps, kernel), persistent=False)

    def forward(self, noisy_nchw: Tensor) -> Tensor:
        """Denoise.

        Args:
            noisy_nchw: N×C×H×W, any H, W ≥ 1, in 0..1 plus noise of the net's own σ.

        Returns:
            N×C×H×W, neither clipped nor rounded.
        """
        margin = self.kernel - 1
        v = (noisy_nchw - self.offset) / self.sigma
        clean = self._draw(self._infer(functional.pad(v, (margin,) * 4, mode="replicate")))
        return clean[..., margin:-margin, margin:-margin] if margin else clean

    def field(self) -> MarkovField:
        """The random field whose mean-field iteration this net is.

        Raises:
            ValueError: it is none's, being untied or without direct input.
        """
        if not (self.tied and self.direct_input and self.couplings):
            msg = "Only a tied net with direct input and two or more iterations has an energy."
            raise ValueError(msg)
        return MarkovField(
            filters=self.filters[0] * self.sigma,
            couplings=self._coupling(1),
            bias=self.biases[0],
            sigma=self.sigma,
            offset=self.offset,
            rest=0.5,
        )

    def _infer(self, v: Tensor) -> Tensor:
        """Hidden means less 1/2 after all steps, for a picture in units of σ."""
        evidence = self._see(v, 0)
        t = (1 - self.damping) * (torch.sigmoid(evidence) - 0.5)
        reach = self.kernel // 2
        for k in range(1, self.iterations):
            if self.direct_input:
                x = evidence if self.tied else self._see(v, k)
                x = x + functional.conv2d(t, self._coupling(k), padding=reach)
            else:
                bias = self.biases[0 if self.tied else k]
                x = functional.conv2d(t, self._coupling(k), bias, padding=reach)
            new = torch.sigmoid(x) - 0.5
            t = new if self.damping == 0 else torch.lerp(new, t, self.damping)
        return t

    def _see(self, v: Tensor, step: int) -> Tensor:
        """What the picture tells the units of a step."""
        k = 0 if self.tied else step
        return functional.conv2d(v, self.filters[k], self.biases[k], padding=self.kernel // 2)

    def _coupling(self, step: int) -> Tensor:
        """The kernels between the units of two steps."""
        if not self.tied:
            coupling: Tensor = self.couplings[step - 1]
            return coupling
        raw = self.couplings[0]
        # Without the picture the couplings are those of no energy, and a map may read itself.
        coupling = (raw + mirror(raw)) / 2
        return coupling * self.others if self.direct_input else coupling

    def _draw(self, t: Tensor) -> Tensor:
        """The picture that the hidden means stand for, Eq. 3."""
        kernel = self.filters[0] if self.output is None else self.output
        drawn = functional.conv_transpose2d(t, kernel, padding=self.kernel // 2)
        return self.offset + self.sigma * drawn


def first_filters(maps: int, channels: int, kernel: int) -> Tensor:
    """Orthogonal filters, maps×channels×kernel×kernel, for the identity at first."""
    rows = torch.empty(maps, channels * kernel**2)
    nn.init.orthogonal_(rows)
    power = rows.square().sum() / channels
    return (rows / (SLOPE * power).sqrt()).view(maps, channels, kernel, kernel)


def jittered(kernels: Tensor) -> Tensor:
    """A copy that is one percent off: layers that start equal shall not be taken for one."""
    return kernels * (1 + 0.01 * torch.randn_like(kernels))


def first_couplings(maps: int, kernel: int, *, alone: bool) -> Tensor:
    """Weak random kernels; `alone`, where units hear nothing else, they pass maps on."""
    kernels = torch.empty(maps, maps, kernel, kernel)
    nn.init.normal_(kernels, std=0.02)
    if alone:
        middle = kernel // 2
        kernels[:, :, middle, middle] += torch.eye(maps) / SLOPE
    return kernels
