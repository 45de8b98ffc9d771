"""degrain takes the noise out of pictures without being told how noisy they are.

Nothing is loaded until it is used: `import degrain` costs a few milliseconds and neither numpy
nor ONNX Runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from degrain.denoise import Denoiser, denoise
    from degrain.errors import DegrainError
    from degrain.noise import estimate_noise
    from degrain.zoo.store import list_models, load_model

    __version__: str

__all__ = [
    "DegrainError",
    "Denoiser",
    "denoise",
    "estimate_noise",
    "list_models",
    "load_model",
]

_HOMES = {
    "DegrainError": "degrain.errors",
    "Denoiser": "degrain.denoise",
    "estimate_noise": "degrain.noise",
    "list_models": "degrain.zoo.store",
    "load_model": "degrain.zoo.store",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name == "denoise":
        # The module is callable: Python binds every submodule to its package, so the name must
        # mean the same thing before and after that has happened.
        return import_module("degrain.denoise")
    if name == "__version__":
        from importlib.metadata import version

        return version("degrain")
    if name not in _HOMES:
        msg = f"module 'degrain' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__, "__version__"})
