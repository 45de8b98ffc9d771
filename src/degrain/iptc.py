"""IPTC notes (keywords, author, copyright) in the two wrappings that files have them in.

TIFF holds them bare, JPEG inside of a block of Photoshop's image resources, where they are
number 0x0404 (Adobe Photoshop File Formats Specification, "Image Resource Blocks").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

PHOTOSHOP = b"Photoshop 3.0\x00"
NOTES = 0x0404
THUMBNAILS = (0x0409, 0x040C)
_SIGNATURE = b"8BIM"


def bare(data: bytes) -> bytes:
    """The notes alone, as TIFF holds them; empty if a Photoshop block has none."""
    if not data.startswith(PHOTOSHOP):
        return data
    return b"".join(content for number, content, _ in _resources(data) if number == NOTES)


def in_photoshop_block(data: bytes) -> bytes:
    """The notes as JPEG holds them."""
    if not data or data.startswith(PHOTOSHOP):
        return data
    head = _SIGNATURE + struct.pack(">HHI", NOTES, 0, len(data))
    return PHOTOSHOP + head + data + bytes(len(data) % 2)


def without_thumbnail(data: bytes) -> bytes:
    """A Photoshop block without its thumbnails, which show the noisy picture."""
    if not data.startswith(PHOTOSHOP):
        return data
    kept = [whole for number, _, whole in _resources(data) if number not in THUMBNAILS]
    return PHOTOSHOP + b"".join(kept)


def _resources(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, content and whole of each resource; what is broken ends the list."""
    at = len(PHOTOSHOP)
    while block[at : at + 4] == _SIGNATURE:
        try:
            number, name_length = struct.unpack_from(">HB", block, at + 4)
            start = at + 7 + name_length + (name_length + 1) % 2
            (length,) = struct.unpack_from(">I", block, start)
        except struct.error:
            return
        end = start + 4 + length + length % 2
        yield number, block[start + 4 : start + 4 + length], block[at:end].ljust(end - at, b"\x00")
        at = end
