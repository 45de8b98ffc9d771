"""PNG chunks that libvips neither reads nor writes, or not byte for byte.

The layout is that of the PNG specification (W3C, third edition), sections 5 and 11: behind eight
bytes of signature a row of chunks, each with its length, type, data and check sum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

Chunk = tuple[bytes, bytes]
"""Type and data."""

SIGNATURE_BYTES = 8
AFTER_HEADER = 33
"""Where the chunk behind IHDR begins, which is always the first."""
COLOR = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI")
"""How the numbers become light, where no profile says it."""
TEXT = (b"tEXt", b"zTXt", b"iTXt")
XMP = b"XML:com.adobe.xmp\x00"
"""The keyword of the text that libvips takes for XMP."""
ANIMATION = b"acTL"

_MOST_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 1 << 20


def kept_chunks(file: BinaryIO) -> tuple[Chunk, ...]:
    """Color information and texts of a file, as they are there; nothing behind a damaged chunk."""
    return tuple(
        (kind, data) for kind, data in _chunks(file, (*COLOR, *TEXT)) if not data.startswith(XMP)
    )


def is_animated(file: BinaryIO) -> bool:
    """Whether there are more frames than the one that viewers without animation show."""
    return any(True for _ in _chunks(file, (ANIMATION,)))


def insert_chunks(file: BinaryIO, chunks: Sequence[Chunk]) -> None:
    """Put chunks behind the header of a file, in place.

    Args:
        file: open for reading and writing.
        chunks: of kinds that may stand before the pixels.
    """
    data = b"".join(packed(kind, data) for kind, data in chunks)
    _make_room(file, AFTER_HEADER, len(data))
    file.seek(AFTER_HEADER)
    file.write(data)


def packed(kind: bytes, data: bytes) -> bytes:
    """A chunk as it lies in the file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(file: BinaryIO, wanted: Sequence[bytes]) -> Iterator[Chunk]:
    """The chunks of these types, before and behind the pixels."""
    file.seek(SIGNATURE_BYTES)
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind not in wanted or size > _MOST_BYTES:
            file.seek(size + 4, 1)
            continue
        data, checked = file.read(size), file.read(4)
        if checked != struct.pack(">I", zlib.crc32(kind + data)):
            return
        yield kind, data


def _make_room(file: BinaryIO, at: int, count: int) -> None:
    """Move what lies behind a place towards the end, block by block from there."""
    end = file.seek(0, 2)
    while end > at:
        start = max(at, end - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(end - start)
        file.seek(start + count)
        file.write(block)
        end = start
