"""What the experiment `jain-seung` has measured, ready to be drawn and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from degrain.bench import paired
from degrain.bench.rows import Row
from degrain.bench.suites import Suite

SIGMAS = (25, 50, 100)
LABELS: Mapping[str, str] = {"bm3d": "BM3D", "nlm": "NLM"}
SHOWN_SIGMA = 50
"""Noise of Fig. 3 and of the random layers."""
CLOCK_SIDE_PX = 512


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything measured, ready to be drawn and told.

    Attributes:
        suite: pictures and rules.
        networks: label -> {σ: model name}, as far as models are there.
        references: methods that they are compared with; the first is the base of differences.
        rows: all rows measured by these rules.
        missing: what was left out and why, one sentence each.
    """

    suite: Suite
    networks: Mapping[str, Mapping[int, str]]
    references: tuple[str, ...]
    rows: Sequence[Row]
    missing: tuple[str, ...]

    def psnr(self, method: str, sigma: int) -> dict[str, float]:
        """PSNR in dB by picture."""
        return paired.psnr_by_picture(self.rows, method, noise_spec(sigma))

    def means(self, sigma: int) -> dict[str, paired.Mean]:
        """Mean PSNR by label, networks first; methods without a picture are left out."""
        names = {label: models.get(sigma, "") for label, models in self.networks.items()}
        names |= {reference_label(name): name for name in self.references}
        found = {label: self.psnr(name, sigma) for label, name in names.items()}
        return {label: paired.mean_of(values.values()) for label, values in found.items() if values}

    def differences(self, sigma: int) -> dict[str, paired.Difference]:
        """Networks minus the first reference, by label."""
        base = self.psnr(self.references[0], sigma) if self.references else {}
        found = {
            label: paired.paired(self.psnr(models.get(sigma, ""), sigma), base)
            for label, models in self.networks.items()
        }
        return {label: value for label, value in found.items() if value.mean.count}


def noise_spec(sigma: int) -> str:
    """The spec of Gaussian noise of this standard deviation (0..255)."""
    return f"gaussian:{sigma}"


def reference_label(name: str) -> str:
    """What a method is called in figures and tables."""
    return LABELS.get(name, name)
