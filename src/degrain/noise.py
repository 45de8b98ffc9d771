"""Noise models: what may have happened to a clean picture, as values with a spec string.

| spec                         | meaning                                                        |
|------------------------------|----------------------------------------------------------------|
| `gaussian:25`                | white Gaussian noise, standard deviation 25 on the 0..255 scale|
| `gaussian:0-55`              | the same, standard deviation drawn once per picture            |
| `poisson:30`                 | photon noise; white is 30 photons                              |
| `poisson-gaussian:0.01,0.02` | gain 0.01 (white is 100 photons), readout noise 0.02 (of 0..1) |
| `jpeg:40`                    | JPEG compression at quality 40, color halved (4:2:0)           |
| `mask:0.5`                   | half of the pixels are lost (set to 0)                         |
| `text:12`                    | white text is written over it, capitals 12 pixels high         |
| `camera`                     | a camera's noise, white noise, or none: see `degrain.camera`   |

Every number may be a range `low-high`, drawn uniformly once per picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from degrain.camera import Camera
from degrain.errors import PictureError, UsageError
from degrain.estimate import estimate_noise
from degrain.jpeg import through_jpeg
from degrain.lettering import text_coverage

__all__ = [
    "Camera",
    "Gaussian",
    "Interval",
    "Jpeg",
    "Mask",
    "Noise",
    "Poisson",
    "PoissonGaussian",
    "Text",
    "add_noise",
    "estimate_noise",
    "parse_noise",
]

Floats = NDArray[np.float32]

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_INTERVAL = re.compile(rf"({_NUMBER})(?:-({_NUMBER}))?")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, or a range from which one is drawn per picture."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """One value; a fixed number costs no random draw."""
        return self.low if self.low == self.high else float(rng.uniform(self.low, self.high))

    def __str__(self) -> str:
        low, high = (repr(float(end)).removesuffix(".0") for end in (self.low, self.high))
        return low if low == high else f"{low}-{high}"


@runtime_checkable
class Noise(Protocol):
    """What happens to a clean picture; `str(noise)` is its spec."""

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """The noisy picture, float32, not clipped; `clean` is H×W or H×W×C in 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Additive white Gaussian noise, y = x + (σ / 255) n: the denoising papers' standard.

    Attributes:
        sigma_255: standard deviation on the 0..255 scale.
    """

    sigma_255: Interval
    form: ClassVar[str] = "gaussian:SIGMA"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Add the noise; see `Noise.add`."""
        sigma = np.float32(self.sigma_255.draw(rng) / 255)
        noisy: Floats = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy *= sigma
        noisy += clean.astype(np.float32, copy=False)
        return noisy

    def __str__(self) -> str:
        return f"gaussian:{self.sigma_255}"


@dataclass(frozen=True, slots=True)
class Poisson:
    """Photon noise, y = P(peak · x) / peak; its variance is x / peak.

    Source: the usual low-light protocol, e.g. Mäkitalo & Foi, IEEE TIP 20(1), 2011, Sec. II.

    Attributes:
        peak: expected photons at white.
    """

    peak: Interval
    form: ClassVar[str] = "poisson:PEAK"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Add the noise; see `Noise.add`. Negative values count as no light."""
        return _photons(clean, self.peak.draw(rng), rng)

    def __str__(self) -> str:
        return f"poisson:{self.peak}"


@dataclass(frozen=True, slots=True)
class PoissonGaussian:
    """Photon noise behind a gain, plus readout noise: y = a P(x / a) + b n.

    Its variance is a x + b². Source: Foi, Trimeche, Katkovnik & Egiazarian, IEEE TIP 17(10),
    2008, Eq. 1-6 (their b is the variance b² of here).

    Attributes:
        gain: a, the signal one photon makes, of a full scale of 1.
        readout: b, standard deviation of the readout noise, of a full scale of 1.
    """

    gain: Interval
    readout: Interval
    form: ClassVar[str] = "poisson-gaussian:GAIN,READOUT"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Add the noise; see `Noise.add`. Negative values count as no light."""
        gain, readout = self.gain.draw(rng), self.readout.draw(rng)
        noisy = _photons(clean, 1 / gain, rng)
        noisy += np.float32(readout) * rng.standard_normal(clean.shape, dtype=np.float32)
        return noisy

    def __str__(self) -> str:
        return f"poisson-gaussian:{self.gain},{self.readout}"


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The picture after 8-bit JPEG compression (ITU-T T.81) by libjpeg, color at 4:2:0.

    Three channels are compressed as RGB; any other number as gray pictures, one by one.

    Attributes:
        quality: libjpeg's 1..100; a drawn one is rounded.
    """

    quality: Interval
    form: ClassVar[str] = "jpeg:QUALITY"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Compress and decompress; see `Noise.add`. The input is clipped and rounded."""
        return through_jpeg(clean, round(self.quality.draw(rng)))

    def __str__(self) -> str:
        return f"jpeg:{self.quality}"


@dataclass(frozen=True, slots=True)
class Mask:
    """Pixels lost at random places (inpainting): y = m x, m = 0 with probability `lost`.

    A lost pixel is lost in all its channels. Source: Xie, Xu & Chen, NIPS 2012, Sec. 3.2.

    Attributes:
        lost: share of the pixels that is lost, 0..1.
    """

    lost: Interval
    form: ClassVar[str] = "mask:SHARE_LOST"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Set lost pixels to 0; see `Noise.add`."""
        lost = self.lost.draw(rng)
        kept = rng.random(clean.shape[:2], dtype=np.float32) >= lost
        noisy: Floats = clean * kept.reshape(kept.shape + (1,) * (clean.ndim - 2))
        return noisy.astype(np.float32, copy=False)

    def __str__(self) -> str:
        return f"mask:{self.lost}"


@dataclass(frozen=True, slots=True)
class Text:
    """White text written over the picture (blind inpainting): y = (1 - c) x + c.

    c is the coverage of `degrain.lettering`. Source of the task: Xie, Xu & Chen, NIPS 2012,
    Sec. 3.2.

    Attributes:
        size_px: height of capital letters in pixels; a drawn one is rounded.
    """

    size_px: Interval
    form: ClassVar[str] = "text:SIZE"

    def add(self, clean: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Write over it; see `Noise.add`."""
        size = round(self.size_px.draw(rng))
        height, width = clean.shape[:2]
        covered = text_coverage(height, width, size, rng)
        covered = covered.reshape(covered.shape + (1,) * (clean.ndim - 2))
        noisy: Floats = (clean * (1 - covered) + covered).astype(np.float32, copy=False)
        return noisy

    def __str__(self) -> str:
        return f"text:{self.size_px}"


def parse_noise(spec: str) -> Noise:
    """Read a noise spec such as `gaussian:25` or `jpeg:30-90`.

    Raises:
        UsageError: unknown model, wrong number of values, or a value outside its limits.
    """
    name, colon, values = spec.strip().partition(":")
    if name not in _MODELS:
        msg = f"Unknown noise {spec!r}; write one of {_forms()}; a number may be a range LOW-HIGH."
        raise UsageError(msg)
    make, limits = _MODELS[name]
    if colon and not limits:
        msg = f"The noise {spec!r} takes no number; write {make.form}."
        raise UsageError(msg)
    texts = values.split(",") if values else []
    if len(texts) != len(limits):
        wanted = _count(len(limits))
        msg = f"The noise {spec!r} does not have {wanted} after the colon; write {make.form}."
        raise UsageError(msg)
    pairs = zip(texts, limits, strict=True)
    noise: Noise = make(*(_interval(text, low, high, spec) for text, (low, high) in pairs))
    return noise


def add_noise(image: NDArray[Any], spec: str, seed: int = 0) -> NDArray[Any]:
    """The picture with noise, in the dtype it came in.

    Integers count as 0..their maximum and are rounded and clipped at the end; floats count
    as 0..1 and are not clipped (`jpeg` excepted). The same seed gives the same noise.

    Args:
        image: H×W or H×W×C, integers or floats.
        spec: a noise spec, see `parse_noise`.
        seed: seed of NumPy's default generator.

    Raises:
        UsageError: `spec` is no noise spec.
        PictureError: the array is no picture.
    """
    noise, image = parse_noise(spec), np.asarray(image)
    # 64-bit integers mostly hold 0..255 by accident, which their own maximum would turn black
    known = image.dtype.kind == "f" or image.dtype.name in ("uint8", "uint16", "uint32", "int16")
    if image.ndim not in (2, 3) or image.size == 0 or not known:
        msg = (
            f"Noise needs an H×W or H×W×C array of floats or 8- to 32-bit integers, not "
            f"{image.dtype} {image.shape}; convert the picture first."
        )
        raise PictureError(msg)
    if seed < 0:
        msg = f"The seed {seed} is negative; give 0 or more."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    if image.dtype.kind == "f":
        return noise.add(image, rng).astype(image.dtype, copy=False)
    full = np.iinfo(image.dtype).max
    noisy = noise.add(image.astype(np.float32) / np.float32(full), rng)
    # float64: float32 cannot hold the maximum of 32-bit integers, and the cast would wrap
    levels: NDArray[Any] = np.rint(np.clip(noisy.astype(np.float64), 0, 1) * full)
    return levels.astype(image.dtype)


def _photons(clean: NDArray[Any], peak: float, rng: np.random.Generator) -> Floats:
    """Poisson counts at `peak` photons for white, scaled back to 0..1."""
    try:
        counts = rng.poisson(np.maximum(clean, 0).astype(np.float64) * peak)
    except ValueError as error:
        msg = "Photons of NaN, infinity or huge values cannot be counted; give floats around 0..1."
        raise PictureError(msg) from error
    noisy: Floats = (counts / peak).astype(np.float32)
    return noisy


_MODELS: Mapping[str, tuple[Any, tuple[tuple[float, float], ...]]] = {
    "gaussian": (Gaussian, ((0, 1e6),)),
    "poisson": (Poisson, ((1e-3, 1e9),)),
    "poisson-gaussian": (PoissonGaussian, ((1e-9, 1e3), (0, 1e3))),
    "jpeg": (Jpeg, ((1, 100),)),
    "mask": (Mask, ((0, 1),)),
    "text": (Text, ((5, 500),)),
    "camera": (Camera, ()),
}
"""Name -> class and the limits of its numbers."""


def _forms() -> str:
    return ", ".join(make.form for make, _ in _MODELS.values())


def _count(numbers: int) -> str:
    return "one number" if numbers == 1 else "two numbers with a comma between"


def _interval(text: str, low: float, high: float, spec: str) -> Interval:
    """Read `25` or `0-55` and check it against its limits."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} in the noise {spec!r} is no number; write for example 25, or 0-55."
        raise UsageError(msg)
    start = float(found[1])
    end = float(found[2]) if found[2] else start
    if not low <= start <= end <= high:
        msg = f"{text!r} in the noise {spec!r} must rise and stay within {low:g} to {high:g}."
        raise UsageError(msg)
    return Interval(start, end)
