"""What picture formats look like from outside: suffixes, first bytes, encoder settings.

Everything here reads a few header bytes in plain Python; no pixel is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

FORMAT_OF_SUFFIX = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".avif": "avif",
    ".heic": "heic",
    ".heif": "heic",
}
"""Suffix (lower case) -> format, for the suffixes that count as pictures."""

SUFFIX_OF_FORMAT = {
    "jpeg": ".jpg",
    "png": ".png",
    "tiff": ".tif",
    "webp": ".webp",
    "avif": ".avif",
    "heic": ".heic",
}

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl",
    ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
"""Suffixes of sensor data from cameras, which are no pictures yet."""

HEAD_BYTES = 64
_AVIF_HEADERS = 65536
"""Bytes at the beginning of an AVIF in which its properties are looked for."""
_SRGB_PRIMARIES = (1, 2)
"""BT.709, and not told."""
_SRGB_TRANSFERS = (1, 2, 6, 13, 14, 15)
"""BT.709 and its like, not told, sRGB."""
"""How much of a file `sniff` wants to see."""

_OTHER_KINDS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"8BPS", "Photoshop"),
    (b"P5", "PGM"),
    (b"P6", "PPM"),
)
_RAW_HEADS = (b"FUJIFILM", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# ITU-T T.81, Annex K, tables K.1 and K.2, in zigzag order: what quality 50 means to libjpeg.
_LUMA_50 = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
_CHROMA_50 = bytes.fromhex("1112121815182f1a1a2f6342384263").ljust(64, b"\x63")


def is_picture_name(path: Path) -> bool:
    """Whether the suffix promises a picture that degrain reads."""
    return path.suffix.lower() in FORMAT_OF_SUFFIX


def is_raw_name(path: Path) -> bool:
    """Whether the suffix promises sensor data of a camera."""
    return path.suffix.lower() in RAW_SUFFIXES


def sniff(head: bytes) -> str:
    """Name the format by a file's first bytes.

    Returns:
        "jpeg", "png", "tiff", "webp", "avif" or "heic"; "raw" for sensor data; the plain name
        of another kind of picture, such as "GIF"; or "" if nothing is recognized.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "raw" if head[8:10] == b"CR" else "tiff"
    if head[4:8] == b"ftyp":
        return _sniff_heif(head)
    if head.startswith(_RAW_HEADS):
        return "raw"
    return next((kind for magic, kind in _OTHER_KINDS if head.startswith(magic)), "")


def _sniff_heif(head: bytes) -> str:
    """Tell the ISO media files apart by their major and compatible brands."""
    size = int.from_bytes(head[:4], "big")
    brands = head[8 : min(size, HEAD_BYTES)]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    if brands.startswith(b"crx "):
        return "raw"
    return "heic" if any(brand in brands for brand in _HEIF_BRANDS) else ""


def is_image_sequence(head: bytes) -> bool:
    """Whether a file of the AVIF family shows an animation first (ISO/IEC 23000-22)."""
    return head[8:12] == b"avis"


def has_wide_colors(file: BinaryIO) -> bool:
    """Whether an AVIF says by numbers (ITU-T H.273) that its colors are not those of sRGB.

    A profile beside the numbers comes first, and stays with the picture.
    """
    file.seek(0)
    head = file.read(_AVIF_HEADERS)
    place = head.find(b"colrnclx")
    if place < 0 or b"colrprof" in head or b"colrrICC" in head:
        return False
    primaries, transfer = struct.unpack_from(">HH", head + bytes(12), place + 8)
    return primaries not in _SRGB_PRIMARIES or transfer not in _SRGB_TRANSFERS


def jpeg_quality(file: BinaryIO) -> int | None:
    """Estimate the quality (1..100, libjpeg's scale) a JPEG was saved with.

    libjpeg scales the tables of ITU-T T.81, Annex K, by S percent, where S = 200 - 2Q for
    Q >= 50 and 5000/Q below. The answer is the smallest Q whose tables are, summed, no coarser
    than the file's; for files by libjpeg that is the exact Q.

    Returns:
        The quality, or None if the file has no quantization table before its pixels.
    """
    tables = list(_quantization_tables(file))
    if not tables:
        return None
    return max(
        _quality_of(table, standard=_LUMA_50 if i == 0 else _CHROMA_50) for i, table in tables
    )


def _quality_of(table: list[int], *, standard: bytes) -> int:
    total = sum(table)
    for quality in range(1, 100):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        # T.81 allows 1..255 in 8-bit tables
        if sum(min(max((step * scale + 50) // 100, 1), 255) for step in standard) <= total:
            return quality
    return 100


def _quantization_tables(file: BinaryIO) -> Iterator[tuple[int, list[int]]]:
    """Yield (table number, 64 steps) from the DQT segments of a JPEG (T.81, B.2.4.1)."""
    for marker, length in jpeg_segments(file):
        if marker != 0xDB:
            continue
        data = file.read(length)
        while len(data) >= 65:
            wide, number = data[0] >> 4, data[0] & 15
            size = 128 if wide else 64
            steps = data[1 : 1 + size]
            yield (
                number,
                [int.from_bytes(steps[i : i + 2], "big") for i in range(0, size, 2)]
                if wide
                else list(steps),
            )
            data = data[1 + size :]


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield (marker, payload length) up to the pixels; the file stands at each payload."""
    file.seek(2)
    while True:
        byte = file.read(1)
        if byte != b"\xff":
            return
        while byte == b"\xff":  # any number of fill bytes may come before the marker
            byte = file.read(1)
        length = int.from_bytes(file.read(2), "big") - 2
        if not byte or byte[0] in (0xDA, 0xD9) or length < 0:
            return
        start = file.tell()
        yield byte[0], length
        file.seek(start + length)


def webp_is_lossless(file: BinaryIO) -> bool:
    """Whether the (first) picture of a WebP file is in a VP8L chunk."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # an animation frame: 16 bytes of its own, then chunks as outside
        file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    return False
