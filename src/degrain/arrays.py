"""Which arrays are pictures, and which numbers in them a network can work on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError

LARGEST = 1e15
"""Floats beyond it are no brightness (gaps in maps are often -3.4e38), and squares overflow."""


def check_array(image: NDArray[Any]) -> None:
    """Raise PictureError for an array that is no picture."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
        msg = (
            f"An array of shape {image.shape} is no picture; give H×W, or H×W×C with 1 (gray), "
            "3 (RGB), 2 or 4 (the same with alpha) channels."
        )
        raise PictureError(msg)
    if image.size == 0:
        msg = f"An array of shape {image.shape} has no pixels; give at least one."
        raise PictureError(msg)
    kind = image.dtype.kind + str(image.dtype.itemsize)
    if kind not in ("u1", "u2", "f2", "f4", "f8"):
        msg = (
            f"Arrays of {image.dtype} are not supported, because their range is unknown; convert "
            "to uint8 or uint16 (full range), or to float32 (1.0 is white)."
        )
        raise PictureError(msg)


def check_finite(page: NDArray[Any]) -> None:
    """Raise PictureError for NaN, infinity, or numbers beyond `LARGEST`; block by block."""
    if page.dtype.kind != "f":
        return
    rows = max(1, (1 << 20) // (page.shape[1] * page.shape[2]))
    for top in range(0, page.shape[0], rows):
        with np.errstate(over="ignore"):
            block = page[top : top + rows].astype(np.float32, copy=False)
        if not (np.abs(block) <= LARGEST).all():
            msg = (
                f"The picture holds NaN, infinity or numbers beyond {LARGEST:g}, which would "
                "spread into its surroundings; replace them first (numpy.nan_to_num)."
            )
            raise PictureError(msg)
