"""A Markov random field made for denoising, and its mean-field theory (Jain & Seung 2008, Sec. 4).

**The model** (their Eq. 2). Analog visible variables v, the *noisy* picture, and binary hidden
fields h^a of the same size, a = 1 … A; P(v, h) ∝ exp(−E) with

    E(v, h) = 1/(2σ²) Σ_i v_i²  −  1/σ² Σ_{ia} h_i^a (w^a ⊗ v)_i
              −  1/2 Σ_{iab} h_i^a (w^{ab} ⊗ h^b)_i  −  Σ_{ia} c^a h_i^a

where (w ⊗ v)_i = Σ_d w_d v_{i+d}, over places inside the picture. Only the part of w^{ab} with
w^{ab}_d = w^{ba}_{−d} matters in the sum, so this is demanded; and w^{aa}_0 = 0, because
h² = h would turn it into a part of c^a.

**Visible given hidden** (Eq. 3). Collect what has v in it and complete the square; with
w̄_d = w_{−d}, so that Σ h (w ⊗ v) = Σ v (w̄ ⊗ h),

    E = 1/(2σ²) Σ_i (v_i − Σ_a (w̄^a ⊗ h^a)_i)²  +  terms without v:

white Gaussian noise of deviation σ around the picture Σ_a w̄^a ⊗ h^a. So h stands for a clean
picture, v for what the noise made of it, and E[v | h] is the denoised picture.

**Hidden given visible, by mean field** (Eq. 4). For a fixed v the energy is that of an Ising
model in the field x, the local field

    x_i^a = 1/σ² (w^a ⊗ v)_i + Σ_b (w^{ab} ⊗ h^b)_i + c^a .

Among the products of independent units with P(h_i^a = 1) = m_i^a, the nearest to P(h | v) has
the least free energy F(m) = ⟨E⟩ − S(m), where ⟨E⟩ = E(v, m), since no unit meets itself, and
S is the entropy. ∂F/∂m = log(m/(1−m)) − x is zero where m = logistic(x(m)): Eq. 4, iterated.
One unit at a time, each step goes to the minimum along its axis, so F never rises. All at once,
m + η(f − m) with f = logistic(x): without the change of x F falls by η Σ KL(m ‖ f) or more
(convexity), which is at least 2η‖f − m‖² (Pinsker); the change of x costs at most
η²λ/2 ‖f − m‖², where −λ is the lowest eigenvalue of the couplings. So F never rises if
η ≤ 4/λ, and λ ≤ max_a Σ_{bd} |w^{ab}_d|.

**Readings chosen**, from the model as it is remembered in the literature, where more than one is
possible:

- v is fixed to the noisy picture; there is no third variable for the clean one. Were v the clean
  picture and u = v + noise observed, the sum over v would subtract the correlations of the w^a
  from the w^{ab} and make the variance of u larger than σ²; the form of the mean-field equations
  stays, and learning finds the w^{ab} either way.
- c^a is our addition (the weights w^{aa}_0 would amount to it), as are `offset`, the value of a
  picture that v counts from, and `rest`, the value that h counts from: h − rest stands in for h
  in all products. Inside a picture both only move c and the brightness. They matter at the
  border, where nothing is outside: rest = 1/2 means that units there say nothing, rest = 0 (the
  formulas above to the letter) that they are off.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MOST_UNITS = 20
"""Hidden units that exact enumeration takes: a million states."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What enumeration finds for one picture.

    Attributes:
        marginals: P(h = 1 | v), 1×A×H×W.
        free_energy: −log Σ_h exp(−E(v, h)), which no mean-field free energy can fall below.
    """

    marginals: Tensor
    free_energy: Tensor


@dataclass(frozen=True, slots=True)
class MarkovField:
    """The random field of Eq. 2, with all that can be computed from it; see the module.

    Attributes:
        filters: w^a, A×C×k×k with odd k.
        couplings: w^{ab}, A×A×l×l with odd l, symmetric and without self-interaction.
        bias: c^a, A values.
        sigma: σ in units of the picture.
        offset: picture value that counts as v = 0; a number or C×1×1.
        rest: hidden value that counts as nothing.

    Raises:
        ValueError: the couplings are those of no energy.
    """

    filters: Tensor
    couplings: Tensor
    bias: Tensor
    sigma: float
    offset: Tensor | float = 0.0
    rest: float = 0.0

    def __post_init__(self) -> None:
        middle = self.couplings.shape[2] // 2
        itself = self.couplings.diagonal()[middle, middle]
        mirrored = mirror(self.couplings)
        if not torch.allclose(self.couplings, mirrored, atol=1e-6) or itself.abs().max() > 0:
            msg = "Couplings must be symmetric and without self-interaction; see `symmetric`."
            raise ValueError(msg)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h) of Eq. 2 for each of N pictures.

        Args:
            v: N×C×H×W.
            h: N×A×H×W, binary, or means of independent units for the mean energy.
        """
        centered = v - self.offset
        t = h - self.rest
        visible = centered.square().sum((1, 2, 3)) / (2 * self.sigma**2)
        linear = (t * self.evidence(v)).sum((1, 2, 3)) + self.rest * self.bias.sum() * _area(h)
        return visible - linear - (t * self.interaction(h)).sum((1, 2, 3)) / 2

    def conditional_mean(self, h: Tensor) -> Tensor:
        """E[v | h] of Eq. 3: the picture that the hidden fields stand for, N×C×H×W."""
        reach = self.filters.shape[-1] // 2
        drawn = functional.conv_transpose2d(h - self.rest, self.filters, padding=reach)
        return drawn + self.offset

    def conditional_variance(self) -> float:
        """Var[v | h], the same for all pixels and all h."""
        return self.sigma**2

    def evidence(self, v: Tensor) -> Tensor:
        """What the picture tells the units: (w^a ⊗ v) / σ² + c^a, N×A×H×W."""
        reach = self.filters.shape[-1] // 2
        kernel = self.filters / self.sigma**2
        return functional.conv2d(v - self.offset, kernel, self.bias, padding=reach)

    def interaction(self, h: Tensor) -> Tensor:
        """What the units tell each other: Σ_b w^{ab} ⊗ h^b, N×A×H×W."""
        return functional.conv2d(h - self.rest, self.couplings, padding="same")

    def mean_field_step(self, v: Tensor, m: Tensor, damping: float = 0.0) -> Tensor:
        """All units at once, Eq. 4: m ← damping · m + (1 − damping) · logistic(x)."""
        new = torch.sigmoid(self.evidence(v) + self.interaction(m))
        return torch.lerp(new, m, damping)

    def mean_field_sweep(self, v: Tensor, m: Tensor) -> Tensor:
        """One unit after the other, each seeing the others' new means: for small pictures."""
        evidence, side = self.evidence(v), self.couplings.shape[-1]
        reach = side // 2
        t = functional.pad(m - self.rest, (reach,) * 4)
        for a, y, x in itertools.product(*map(range, m.shape[1:])):
            around = t[:, :, y : y + side, x : x + side]
            local = evidence[:, a, y, x] + (around * self.couplings[a]).sum((1, 2, 3))
            t[:, a, y + reach, x + reach] = torch.sigmoid(local) - self.rest
        return t[..., reach : reach + m.shape[2], reach : reach + m.shape[3]] + self.rest

    def safe_damping(self) -> float:
        """The least damping that is sure never to raise the free energy; see the module."""
        strength = float(self.couplings.abs().sum((1, 2, 3)).max())
        return max(0.0, 1 - 4 / strength) if strength > 0 else 0.0

    def infer(self, v: Tensor, iterations: int, damping: float = 0.0) -> Tensor:
        """Means of the hidden units after so many steps from rest, N×A×H×W."""
        m = v.new_full((v.shape[0], len(self.bias), *v.shape[2:]), self.rest)
        for _ in range(iterations):
            m = self.mean_field_step(v, m, damping)
        return m

    def denoise(self, v: Tensor, iterations: int, damping: float = 0.0) -> Tensor:
        """The noisy picture v denoised: E[v | h] at the mean-field means, N×C×H×W."""
        return self.conditional_mean(self.infer(v, iterations, damping))

    def free_energy(self, v: Tensor, m: Tensor) -> Tensor:
        """F = ⟨E⟩ − S of independent units with means m, for each of N pictures."""
        entropy = torch.special.entr(m) + torch.special.entr(1 - m)
        free: Tensor = self.energy(v, m) - entropy.sum((1, 2, 3))
        return free

    def enumerate_exactly(self, v: Tensor) -> Exact:
        """Sum over all states of the hidden units of one tiny picture, 1×C×H×W.

        Raises:
            ValueError: the picture has more than 20 units.
        """
        shape = (len(self.bias), *v.shape[2:])
        units = len(self.bias) * _area(v)
        if units > MOST_UNITS:
            msg = f"{units} hidden units have too many states; take a picture with {MOST_UNITS}."
            raise ValueError(msg)
        bits = torch.arange(2**units)[:, None] >> torch.arange(units) & 1
        states = bits.to(v.dtype).view(-1, *shape)
        minus_energy = -self.energy(v.expand(len(states), -1, -1, -1), states)
        shares = minus_energy.softmax(0)
        marginals = (shares[:, None, None, None] * states).sum(0, keepdim=True)
        return Exact(marginals, -minus_energy.logsumexp(0))


def mirror(kernels: Tensor) -> Tensor:
    """w^{ba}_{−d} for w^{ab}_d: the kernels that pass the same messages the other way."""
    return kernels.transpose(0, 1).flip((2, 3))


def symmetric(kernels: Tensor) -> Tensor:
    """The nearest couplings of an energy: symmetric, and no unit meets itself.

    Args:
        kernels: A×A×l×l with odd l.
    """
    others = no_self(len(kernels), kernels.shape[-1]).to(kernels)
    kept: Tensor = (kernels + mirror(kernels)) / 2 * others
    return kept


def no_self(maps: int, side: int) -> Tensor:
    """Zero where a unit would meet itself, else one; maps×maps×side×side."""
    others = torch.ones(maps, maps, side, side)
    others[:, :, side // 2, side // 2] -= torch.eye(maps)
    return others


def _area(x_nchw: Tensor) -> int:
    return x_nchw.shape[2] * x_nchw.shape[3]
