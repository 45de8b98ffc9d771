"""JPEG compression and decompression in memory, as something that happens to a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrain.errors import PictureError


def through_jpeg(picture: NDArray[Any], quality: int) -> NDArray[np.float32]:
    """The picture after 8-bit JPEG compression (ITU-T T.81) by libjpeg, color at 4:2:0.

    Args:
        picture: H×W or H×W×C in 0..1; clipped and rounded to 8 bits first. Three channels are
            compressed as RGB; any other number as gray pictures, one by one.
        quality: libjpeg's 1..100.

    Raises:
        PictureError: JPEG cannot hold a picture so large.
    """
    scaled = np.clip(np.asarray(picture, dtype=np.float32), 0, 1) * np.float32(255)
    decoded = _coded(np.rint(scaled).astype(np.uint8), quality).reshape(picture.shape)
    return decoded.astype(np.float32) / np.float32(255)


def _coded(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress H×W or H×W×C in memory and decode again."""
    import pyvips

    height, width = pixels.shape[:2]
    planes = pixels.reshape(height, width, -1)
    if planes.shape[2] not in (1, 3):
        parts = [_coded(planes[:, :, i], quality) for i in range(planes.shape[2])]
        return np.stack([part[:, :, 0] for part in parts], axis=2)
    bands = planes.shape[2]
    picture = pyvips.Image.new_from_memory(
        np.ascontiguousarray(planes).tobytes(), width, height, bands, "uchar"
    ).copy(interpretation="srgb" if bands == 3 else "b-w")
    try:
        data = picture.jpegsave_buffer(Q=quality, subsample_mode="on")
        decoded = pyvips.Image.jpegload_buffer(data)
    except pyvips.Error as error:
        reason = str(error).strip().splitlines()[-1]
        msg = f"A {width}×{height} picture cannot be compressed as JPEG ({reason}); crop it first."
        raise PictureError(msg) from error
    return np.frombuffer(decoded.write_to_memory(), np.uint8).reshape(height, width, bands)
