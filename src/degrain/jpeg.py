"""JPEG compression and decompression in memory, as something that happens to a picture."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError

Floats = NDArray[np.float32]

SUBSAMPLINGS: Final = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
"""Rows and columns of pixels that share one color."""

# ITU-T T.81 Annex K.1 gives the tables, libjpeg's jcparam.c their scaling by quality.
LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)


def through_jpeg(picture: NDArray[Any], quality: int, subsampling: str = "4:2:0") -> Floats:
    """The picture after 8-bit JPEG compression (ITU-T T.81) by libjpeg.

    Args:
        picture: H×W or H×W×C in 0..1; clipped and rounded to 8 bits first. Three channels are
            compressed as RGB; any other number as gray pictures, one by one.
        quality: libjpeg's 1..100.
        subsampling: of the color, one of `SUBSAMPLINGS`. 4:2:2, which many cameras take and
            libvips does not write, is computed here, equal to libjpeg but for rounding.

    Raises:
        PictureError: JPEG cannot hold a picture so large (but at 4:2:2, where no file is made).
    """
    scaled = np.clip(np.asarray(picture, dtype=np.float32), 0, 1) * np.float32(255)
    pixels = np.rint(scaled).astype(np.uint8)
    shared = SUBSAMPLINGS[subsampling]
    if shared == (1, 2) and picture.shape[2:] == (3,):
        return _halved(pixels, quality) / np.float32(255)
    decoded = _coded(pixels, quality, "off" if shared == (1, 1) else "on")
    return decoded.reshape(picture.shape).astype(np.float32) / np.float32(255)


def _coded(pixels: NDArray[np.uint8], quality: int, subsample: str) -> NDArray[np.uint8]:
    """Compress H×W or H×W×C in memory and decode again."""
    import pyvips

    height, width = pixels.shape[:2]
    planes = pixels.reshape(height, width, -1)
    if planes.shape[2] not in (1, 3):
        parts = [_coded(planes[:, :, i], quality, subsample) for i in range(planes.shape[2])]
        return np.stack([part[:, :, 0] for part in parts], axis=2)
    bands = planes.shape[2]
    picture = pyvips.Image.new_from_memory(
        np.ascontiguousarray(planes).tobytes(), width, height, bands, "uchar"
    ).copy(interpretation="srgb" if bands == 3 else "b-w")
    try:
        data = picture.jpegsave_buffer(Q=quality, subsample_mode=subsample)
        decoded = pyvips.Image.jpegload_buffer(data)
    except pyvips.Error as error:
        reason = str(error).strip().splitlines()[-1]
        msg = f"A {width}×{height} picture cannot be compressed as JPEG ({reason}); crop it first."
        raise PictureError(msg) from error
    return np.frombuffer(decoded.write_to_memory(), np.uint8).reshape(height, width, bands)


def _halved(pixels: NDArray[np.uint8], quality: int) -> Floats:
    """What `_coded` would do with RGB, H×W×3, at 4:2:2: color at half of the columns."""
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    luma = np.rint(0.299 * red + 0.587 * green + 0.114 * blue)
    blueness = np.rint(-0.168735892 * red - 0.331264108 * green + 0.5 * blue)
    redness = np.rint(0.5 * red - 0.418687589 * green - 0.081312411 * blue)
    y = _quantized(luma, LUMINANCE, quality)
    cb, cr = (
        _spread(_quantized(_shared(c + 128), CHROMINANCE, quality)) for c in (blueness, redness)
    )
    cb, cr = (color[:, : pixels.shape[1]] - 128 for color in (cb, cr))
    rgb = [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb]
    decoded: Floats = np.rint(np.stack(rgb, axis=2)).clip(0, 255)
    return decoded


def _shared(plane: Floats) -> Floats:
    """Means of two columns, rounded as libjpeg does: down and up in turn."""
    even = np.pad(plane, ((0, 0), (0, plane.shape[1] % 2)), "edge")
    means = (even[:, ::2] + even[:, 1::2]) / np.float32(2)
    means[:, 1::2] += np.float32(0.5)
    rounded: Floats = np.floor(means)
    return rounded


def _spread(plane: Floats) -> Floats:
    """Libjpeg's fancy upsampling: a place takes three quarters of its nearest, one of the next."""
    near = np.pad(plane, ((0, 0), (1, 1)), "edge")
    both: Floats = np.stack([plane * 3 + near[:, :-2], plane * 3 + near[:, 2:]], axis=2)
    spread: Floats = np.rint(both.reshape(len(plane), -1) / np.float32(4))
    return spread


def _quantized(plane: Floats, table: tuple[tuple[int, ...], ...], quality: int) -> Floats:
    """Round the DCT of 8×8 blocks to steps of the table; H×W in 0..255."""
    height, width = plane.shape
    padded = np.pad(plane - 128, ((0, -height % 8), (0, -width % 8)), "edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, -1, 8).swapaxes(1, 2)
    basis, steps = dct(), _steps(table, quality)
    coefficients = np.rint(basis @ blocks @ basis.T / steps) * steps
    decoded = (basis.T @ coefficients @ basis).swapaxes(1, 2).reshape(padded.shape)
    kept: Floats = np.rint(decoded[:height, :width] + np.float32(128)).clip(0, 255)
    return kept


def dct() -> Floats:
    """The orthonormal 8-point DCT-II, frequency × place (T.81, A.3.3)."""
    place = np.arange(8)
    basis: Floats = np.cos((2 * place + 1) * place[:, None] * (np.pi / 16)).astype(np.float32) / 2
    basis[0] *= np.float32(0.5**0.5)
    return basis


def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Floats:
    """The table at this quality, 8×8."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((np.array(table) * percent + 50) // 100).clip(1, 255).astype(np.float32)
