"""Methods: everything that can be asked to take noise out of a picture.

| name          | what                                                                        |
|---------------|-----------------------------------------------------------------------------|
| a model       | a shipped or installed model, through `Denoiser`                            |
| `onnx:FILE`   | any denoiser as an ONNX file, whole picture at once; told σ if it has to be |
| `python:FILE` | a Python file with a function `denoise(noisy, sigma)`, see `_python`        |
| `noisy`       | nothing is done: the noisy picture itself                                   |
| a baseline    | one of `BASELINES`; what it is stands in its own file                       |
| `NAME:FILE`   | a baseline with learned parameters of your own (`epll`, `foe`)              |
| `NAME@SIGMA`  | any of these that can be told σ, told this one (of 255) whatever the noise  |
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import MissingPackageError, UsageError
from degrain.noise import Gaussian, Noise, estimate_noise, parse_noise

if TYPE_CHECKING:
    from degrain.denoise import Denoiser
    from degrain.zoo.card import ModelCard

Floats = NDArray[np.float32]
Denoise = Callable[[Floats, float], Floats]
"""(noisy H×W or H×W×3 in 0..1, σ on the same scale) -> clean; blind methods ignore σ."""
BASELINES: Mapping[str, str] = {
    "bm3d": "degrain.bench.baselines.bm3d",
    "nlm": "degrain.bench.baselines.nlm",
    "nlm-skimage": "degrain.bench.baselines.nlm_skimage",
    "wavelet": "degrain.bench.baselines.wavelet",
    "tv": "degrain.bench.baselines.tv",
    "ksvd": "degrain.bench.baselines.ksvd",
    "epll": "degrain.bench.baselines.epll",
    "wnnm": "degrain.bench.baselines.wnnm",
    "bls-gsm": "degrain.bench.baselines.bls_gsm",
    "foe": "degrain.bench.baselines.foe",
}
"""Name -> module with `make(*, gray, threads) -> Method`; a new baseline is a file and a line."""
LEARNED = ("epll", "foe")
"""Baselines whose `make` also takes `parameters`, a file that `degrain bench learn` writes."""


@dataclass(frozen=True, slots=True)
class Method:
    """One competitor.

    Attributes:
        name: as asked for.
        version: what distinguishes it from another of that name (hash of the weights ...).
        blind: works without being told the noise level.
        denoise: does it.
        slow: takes minutes a picture, so a run gives it a seeded subset of the pictures.
        told: σ in 0..1 that it is told whatever the noise is; None: that of the noise.
        tell: does it told σ, where a blind method can be told.
    """

    name: str
    version: str
    blind: bool
    denoise: Denoise
    slow: bool = False
    told: float | None = None
    tell: Denoise | None = None

    def run(self, noisy: Floats, spec: str) -> tuple[Floats, str]:
        """The denoised picture, and how σ was known: "blind", "told" or "estimated".

        `spec` is a noise spec, or "real" where nobody knows the noise.
        """
        if self.blind:
            return self.denoise(noisy, 0.0), "blind"
        sigma = known_sigma(spec) if self.told is None else self.told
        if sigma == 0:
            return noisy, "told"  # nothing to take out; most formulas would divide by σ
        if sigma is not None:
            return self.denoise(noisy, sigma), "told"
        return self.denoise(noisy, float(estimate_noise(noisy).mean())), "estimated"


def known_sigma(spec: str) -> float | None:
    """σ in 0..1 if the spec is white Gaussian noise of one level, else None."""
    if spec == "real":
        return None
    noise: Noise = parse_noise(spec)
    if isinstance(noise, Gaussian) and noise.sigma_255.low == noise.sigma_255.high:
        return noise.sigma_255.low / 255
    return None


def open_method(name: str, *, gray: bool, threads: int | None = None) -> Method:
    """Make a method ready for gray (H×W) or color (H×W×3) pictures.

    Raises:
        UsageError: unknown name, or a method for the other kind of picture.
        MissingPackageError: the method needs an optional package.
        ModelError: a damaged model file.
    """
    untold, told = _split_level(name)
    if told is not None:
        return _told(open_method(untold, gray=gray, threads=threads), name, told)
    kind, _, file = name.partition(":")
    if name == "noisy":
        return Method(name, "", blind=True, denoise=lambda noisy, _: noisy)
    if kind == "onnx" and file:
        return _onnx(name, gray=gray, threads=threads)
    if kind == "python" and file:
        return _python(name)
    if name in BASELINES:
        made: Method = import_module(BASELINES[name]).make(gray=gray, threads=threads)
        return made
    if kind in LEARNED and file:
        make = import_module(BASELINES[kind]).make
        own: Method = make(gray=gray, threads=threads, parameters=Path(file))
        return own
    if kind == "detail" and file:
        return _detail(name, gray=gray, threads=threads)
    return _model(name, gray=gray, threads=threads)


def package(module: str, distribution: str = "", remark: str = "") -> Any:
    """An optional package, or the sentence that says how to get it.

    Args:
        module: what to import.
        distribution: what to install, where its name is another.
        remark: what a user should know first, such as a license.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = distribution or module
        note = f" ({remark})" if remark else ""
        msg = f"This method needs the package {name}{note}; pip install {name}."
        raise MissingPackageError(msg) from error


def gray_only(name: str, *, gray: bool) -> None:
    """Refuse color for a method that its paper states for gray pictures.

    Raises:
        UsageError: `gray` is false.
    """
    if not gray:
        msg = f"The method {name} is for gray pictures, but color is judged; use a gray suite."
        raise UsageError(msg)


def _split_level(name: str) -> tuple[str, float | None]:
    """`NAME@SIGMA` in its parts; SIGMA of 255. A file's own @ is left alone."""
    untold, _, level = name.rpartition("@")
    try:
        sigma_255 = float(level)
    except ValueError:
        return name, None
    return (untold, sigma_255) if untold else (name, None)


def _told(method: Method, name: str, sigma_255: float) -> Method:
    """The method, told one level."""
    if method.blind and method.tell is None:
        msg = f"The method {method.name} is blind and cannot be told a level; leave @ away."
        raise UsageError(msg)
    if not (math.isfinite(sigma_255) and sigma_255 >= 0):
        msg = f"The level of {name} must be a number from 0 up, of 255."
        raise UsageError(msg)
    denoise = method.tell or method.denoise
    return replace(method, name=name, told=sigma_255 / 255, blind=False, denoise=denoise)


def _model(name: str, *, gray: bool, threads: int | None) -> Method:
    """A model of the zoo, tiled as the command does it."""
    from degrain.denoise import Denoiser
    from degrain.versions import FAMILIES
    from degrain.zoo.store import load_model

    if name in FAMILIES:
        # "auto" looks at the noise of every picture; but a row is of one network.
        name = Denoiser(name).model_name(1 if gray else 3)
    card, denoiser = load_model(name), Denoiser(name, threads=threads)
    # Loaded now: the seconds of the first picture would hold it.
    denoiser(np.zeros((16, 16) if gray else (16, 16, 3), np.float32))
    blindly, told = _blindly(denoiser), _steered(denoiser)
    return Method(card.name, card.sha256[:12], blind=True, denoise=blindly, tell=told)


def _detail(name: str, *, gray: bool, threads: int | None) -> Method:
    """The other end of a model that has two: what `--detail 1` gives."""
    from degrain.denoise import Denoiser
    from degrain.zoo.store import detail_partner, load_model

    card = load_model(name.removeprefix("detail:"))
    _right_channels(card, gray=gray)
    detail_partner(card)  # raises if there is none
    denoiser = Denoiser(name.removeprefix("detail:"), threads=threads, detail=1.0)
    return Method(name, card.detail_sha256[:12], blind=True, denoise=_blindly(denoiser))


def _right_channels(card: ModelCard, *, gray: bool) -> None:
    if card.channels == 3 and gray:
        msg = f"The model {card.name} is for color, but gray is judged; take a gray model."
        raise UsageError(msg)


def _blindly(denoiser: Denoiser) -> Denoise:
    return lambda noisy, _: np.asarray(denoiser(noisy), dtype=np.float32)


def _steered(denoiser: Denoiser) -> Denoise:
    """With `--sigma`, as the command has it."""
    return lambda noisy, sigma: np.asarray(denoiser(noisy, sigma=255 * sigma), dtype=np.float32)


def _onnx(name: str, *, gray: bool, threads: int | None) -> Method:
    """An ONNX file, whole pictures."""
    from degrain.engines.onnx import OnnxEngine

    path = Path(name.removeprefix("onnx:"))
    engine = OnnxEngine(path, threads=threads)
    if (engine.channels == 1) != gray:
        kind = "gray" if engine.channels == 1 else "color"
        msg = f"The model {path} is for {kind} pictures; judge {kind}, or give another model."
        raise UsageError(msg)

    def denoise(noisy: Floats, sigma: float) -> Floats:
        x_nchw = np.moveaxis(noisy.reshape(*noisy.shape[:2], -1), 2, 0)[None]
        clean = engine.run(np.ascontiguousarray(x_nchw), sigma)[0]
        return np.asarray(np.moveaxis(clean, 0, 2).reshape(noisy.shape))

    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Method(name, version, blind=not engine.needs_sigma, denoise=denoise)


def _python(name: str) -> Method:
    """A Python file: `denoise(noisy, sigma)`, and if they differ from here `BLIND`, `SLOW`.

    The file is run; give only files that you trust.
    """
    path = Path(name.removeprefix("python:"))
    try:
        source = path.read_bytes()
        values: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
        exec(compile(source, str(path), "exec"), values)
    except Exception as error:  # it may fail in any way, also with one of its own errors
        msg = f"The method file {path} cannot be used ({type(error).__name__}: {error}); mend it."
        raise UsageError(msg) from error
    function = values.get("denoise")
    if not callable(function):
        msg = f"The method file {path} has no function denoise(noisy, sigma); add one."
        raise UsageError(msg)

    def denoise(noisy: Floats, sigma: float) -> Floats:
        return np.asarray(function(noisy, sigma), dtype=np.float32)

    version = hashlib.sha256(source).hexdigest()[:12]
    blind, slow = bool(values.get("BLIND", False)), bool(values.get("SLOW", False))
    return Method(name, version, blind=blind, denoise=denoise, slow=slow)
