"""Between a picture's own depth and the floats of a network, a tile at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import ModelError


def white_of(dtype: np.dtype[Any]) -> float:
    """The number that stands for white: 255, 65535 or, for floats, 1."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def unit_floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Float32 in 0..1 of integers; floats are taken as they are."""
    floats: NDArray[np.float32] = pixels.astype(np.float32)
    if pixels.dtype.kind != "f":
        floats /= np.float32(white_of(pixels.dtype))
    return floats


def to_float(tile_hwc: NDArray[Any]) -> NDArray[np.float32]:
    """A crop in its own depth as float32 1×C×H×W, 0..1 for integers; always a copy."""
    x_nchw = np.array(tile_hwc.transpose(2, 0, 1)[np.newaxis], dtype=np.float32, order="C")
    if tile_hwc.dtype.kind != "f":
        x_nchw /= np.float32(white_of(tile_hwc.dtype))
    return x_nchw


def to_dtype(clean_nchw: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Float32 1×C×H×W as H×W×C in the picture's depth; integers are rounded and clipped, once.

    Raises:
        ModelError: there is NaN or infinity in it.
    """
    if not np.isfinite(clean_nchw).all():
        msg = "The model gave NaN or infinity for this picture; use another model."
        raise ModelError(msg)
    pixels: NDArray[Any] = clean_nchw[0].transpose(1, 2, 0)
    if dtype.kind != "f":
        white = np.float32(white_of(dtype))
        pixels = pixels * white
        np.clip(np.rint(pixels, out=pixels), 0, white, out=pixels)
    return pixels.astype(dtype)
