"""JPEG compression of batches, on their own device."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from degrain.jpeg import CHROMINANCE, LUMINANCE, SUBSAMPLINGS, dct

_ROUNDING = {(1, 1): 0.5, (1, 2): 0.0, (2, 2): 0.25}
"""What libjpeg adds to means in even columns before it rounds down; in odd ones it is a half."""


def through_jpeg(
    x_nchw: torch.Tensor, quality: torch.Tensor, subsampling: str = "4:2:0"
) -> torch.Tensor:
    """Quantized 8×8 DCT of YCbCr, as libjpeg makes and decodes it (fancy upsampling).

    The twin of `degrain.jpeg.through_jpeg` for batches, without a way over the host.

    Args:
        x_nchw: in 0..1; clipped and rounded to 8 bits first. Three channels are compressed as
            RGB, any other number one by one.
        quality: libjpeg's 1..100 for each picture, N×1×1×1; rounded.
        subsampling: of the color, one of `degrain.jpeg.SUBSAMPLINGS`.
    """
    with torch.autocast(x_nchw.device.type, enabled=False):  # bfloat16 would blur the DCT
        quality = quality.float().round()
        pixels = (x_nchw.float().clamp(0, 1) * 255).round()
        if pixels.shape[1] == 3:
            decoded = _color_jpeg(pixels, quality, SUBSAMPLINGS[subsampling])
        else:
            decoded = _code_plane(pixels, _table(LUMINANCE, quality))
        return (decoded.round().clamp(0, 255) / 255).to(x_nchw.dtype)


def _color_jpeg(rgb: torch.Tensor, quality: torch.Tensor, shared: tuple[int, int]) -> torch.Tensor:
    """JFIF's YCbCr with the color averaged over so many pixels; N×3×H×W in 0..255."""
    height, width = rgb.shape[2:]
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    chroma = torch.cat(
        [
            -0.168735892 * red - 0.331264108 * green + 0.5 * blue,
            0.5 * red - 0.418687589 * green - 0.081312411 * blue,
        ],
        dim=1,
    )
    chroma = (chroma.round() + 128).clamp(0, 255)
    even = F.pad(chroma, (0, width % 2, 0, height % 2), mode="replicate")
    means = F.avg_pool2d(even, shared)
    means[..., ::2] += _ROUNDING[shared]
    means[..., 1::2] += 0.5
    coded = _code_plane(means.floor(), _table(CHROMINANCE, quality))
    full = F.interpolate(
        coded.round().clamp(0, 255), scale_factor=shared, mode="bilinear", align_corners=False
    )
    y = _code_plane(luma, _table(LUMINANCE, quality)).round().clamp(0, 255)
    color = full[:, :, :height, :width].round() - 128
    cb, cr = color[:, 0:1], color[:, 1:2]
    return torch.cat(
        [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], dim=1
    )


def _code_plane(plane: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Quantize the DCT of 8×8 blocks; N×C×H×W in 0..255, `table` N×1×1×1×8×8."""
    count, channels, height, width = plane.shape
    padded = F.pad(plane - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = padded.reshape(count, channels, rows, 8, columns, 8).transpose(3, 4)
    basis = torch.from_numpy(dct()).to(plane)
    coefficients = (basis @ blocks @ basis.T / table).round() * table
    decoded = (basis.T @ coefficients @ basis).transpose(3, 4).reshape(padded.shape)
    return decoded[:, :, :height, :width] + 128


def _table(base: tuple[tuple[int, ...], ...], quality: torch.Tensor) -> torch.Tensor:
    """Quantization steps of each picture, N×1×1×1×8×8."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor(base, device=quality.device, dtype=torch.float32)
    return ((steps * percent[..., None, None] + 50) / 100).floor().clamp(1, 255)
