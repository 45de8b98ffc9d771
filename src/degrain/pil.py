"""PIL images in and out, without importing PIL: who has one has imported it."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError

MODES: Final = ("L", "LA", "RGB", "RGBA", "I;16", "F")


def is_pil(image: Any) -> bool:
    """Whether this is a PIL image."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def pixels_of(image: Any) -> NDArray[Any]:
    """The pixels of a PIL image: H×W or H×W×C.

    Raises:
        PictureError: its mode is none of `MODES`, or one of its colors stands for transparency.
    """
    if image.mode not in MODES:
        msg = (
            f"PIL images of mode {image.mode} are not supported; give this one as "
            f"{_way_out(image.mode)}."
        )
        raise PictureError(msg)
    if "transparency" in image.info:
        msg = (
            "A PIL image whose transparency is one of its colors would lose it; give this one "
            f"as image.convert({'LA' if image.mode == 'L' else 'RGBA'!r})."
        )
        raise PictureError(msg)
    return np.asarray(image)


def like(image: Any, pixels: NDArray[Any]) -> Any:
    """A PIL image of other pixels; its info (profile, EXIF) is that of `image`."""
    result = sys.modules["PIL.Image"].fromarray(pixels)
    result.info = dict(image.info)
    return result


def _way_out(mode: str) -> str:
    """What to make of a PIL image first, in Python."""
    if mode.startswith("I"):
        return 'numpy.asarray(image).astype("uint16")'  # convert() would clip at 255
    targets = {"1": "L", "La": "LA", "P": "RGBA", "PA": "RGBA", "RGBa": "RGBA"}
    return f"image.convert({targets.get(mode, 'RGB')!r})"
