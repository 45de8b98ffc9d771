"""Methods: everything that can be asked to take noise out of a picture.

| name        | what                                                                          |
|-------------|-------------------------------------------------------------------------------|
| a model     | a shipped or installed model, through `Denoiser`                              |
| `onnx:FILE` | any denoiser as an ONNX file, whole picture at once; told σ if it has to be   |
| `bm3d`      | BM3D by its authors (package `bm3d`, free for non-commercial use only), told σ|
| `nlm`       | OpenCV's non-local means (8-bit), told σ                                      |
| `noisy`     | nothing is done: the noisy picture itself                                     |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import MissingPackageError, UsageError
from degrain.noise import Gaussian, estimate_noise, parse_noise

Floats = NDArray[np.float32]
Denoise = Callable[[Floats, float], Floats]
"""(noisy H×W or H×W×3 in 0..1, σ on the same scale) -> clean; blind methods ignore σ."""


@dataclass(frozen=True, slots=True)
class Method:
    """One competitor.

    Attributes:
        name: as asked for.
        version: what distinguishes it from another of that name (hash of the weights ...).
        blind: works without being told the noise level.
        denoise: does it.
    """

    name: str
    version: str
    blind: bool
    denoise: Denoise

    def run(self, noisy: Floats, spec: str) -> tuple[Floats, str]:
        """The denoised picture, and how σ was known: "blind", "told" or "estimated"."""
        if self.blind:
            return self.denoise(noisy, 0.0), "blind"
        noise = parse_noise(spec)
        if isinstance(noise, Gaussian) and noise.sigma_255.low == noise.sigma_255.high:
            return self.denoise(noisy, noise.sigma_255.low / 255), "told"
        return self.denoise(noisy, float(estimate_noise(noisy).mean())), "estimated"


def open_method(name: str, *, gray: bool, threads: int | None = None) -> Method:
    """Make a method ready for gray (H×W) or color (H×W×3) pictures.

    Raises:
        UsageError: unknown name, or a model for the other kind of picture.
        MissingPackageError: the method needs an optional package.
        ModelError: a damaged model file.
    """
    if name == "noisy":
        return Method(name, "", blind=True, denoise=lambda noisy, _: noisy)
    if name == "bm3d":
        return _bm3d(gray=gray)
    if name == "nlm":
        return _nlm(gray=gray, threads=threads)
    if name.startswith("onnx:"):
        return _onnx(name, gray=gray, threads=threads)
    return _model(name, gray=gray, threads=threads)


def _model(name: str, *, gray: bool, threads: int | None) -> Method:
    """A model of the zoo, tiled as the command does it."""
    from degrain.denoise import Denoiser
    from degrain.zoo.store import load_model

    denoiser = Denoiser(name, threads=threads)
    card = load_model(denoiser.model_name(1 if gray else 3))
    if card.channels == 3 and gray:
        msg = f"The model {card.name} is for color, but gray is judged; take a gray model."
        raise UsageError(msg)

    def denoise(noisy: Floats, _: float) -> Floats:
        return np.asarray(denoiser(noisy), dtype=np.float32)

    return Method(card.name, card.sha256[:12], blind=True, denoise=denoise)


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


def _bm3d(*, gray: bool) -> Method:
    """Dabov et al., IEEE TIP 16(8), 2007; CBM3D (ICIP 2007) for color."""
    package = _package("bm3d", "bm3d", "it is free for non-commercial use only")
    function = package.bm3d if gray else package.bm3d_rgb
    profile = package.BM3DProfile()
    # With more threads its sums change their order, and the result its last digits.
    profile.num_threads = 1

    def denoise(noisy: Floats, sigma: float) -> Floats:
        clean = function(noisy, sigma_psd=sigma, profile=profile)
        return np.asarray(clean, dtype=np.float32).reshape(noisy.shape)

    return Method("bm3d", metadata.version("bm3d"), blind=False, denoise=denoise)


def _nlm(*, gray: bool, threads: int | None) -> Method:
    """Buades, Coll & Morel, CVPR 2005, as in OpenCV with default windows and h = σ."""
    cv2 = _package("cv2", "opencv-python-headless", "")
    function = cv2.fastNlMeansDenoising if gray else cv2.fastNlMeansDenoisingColored

    def denoise(noisy: Floats, sigma: float) -> Floats:
        pixels = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
        strengths = (255 * sigma,) if gray else (255 * sigma, 255 * sigma)
        cv2.setNumThreads(threads or -1)
        return np.asarray(function(pixels, None, *strengths), dtype=np.float32) / np.float32(255)

    return Method("nlm", str(cv2.__version__), blind=False, denoise=denoise)


def _package(module: str, distribution: str, remark: str) -> Any:
    """An optional package, or the sentence that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        note = f" ({remark})" if remark else ""
        msg = f"This method needs the package {distribution}{note}; pip install {distribution}."
        raise MissingPackageError(msg) from error
