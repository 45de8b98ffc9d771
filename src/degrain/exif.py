"""EXIF blocks as they came, in place of what libvips writes of them.

libvips passes EXIF through libexif, which drops the tags it does not know (a photographer's
Rating among them) and moves others, after which a camera's MakerNote may not be read any more. A
block put back as it was keeps both; only orientation and size are set to those of the picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import BinaryIO, Final

from degrain.formats import jpeg_segments
from degrain.png import SIGNATURE_BYTES, packed
from degrain.tiff import EXIF_HEADER, PIXEL_SIZES, Directory, first_directory

ORIENTATION = 274
_MOST_BYTES_IN_JPEG = 65533
_CODES = {3: "H", 4: "I"}


def upright(block: bytes, width: int, height: int) -> bytes:
    """A block that says of a picture that it is upright and of this size; a broken one as it is."""
    header = EXIF_HEADER if block.startswith(EXIF_HEADER) else b""
    body = BytesIO(block[len(header) :])
    try:
        _, first = first_directory(body)
    except ValueError:
        return block
    _set(body, first, ORIENTATION, 1)
    for child in first.children.values():
        for tag, size in zip(PIXEL_SIZES, (width, height), strict=True):
            _set(body, child, tag, size)
    return header + body.getvalue()


def put_back(file: BinaryIO, kind: str, block: bytes) -> None:
    """Replace the EXIF block of a file, in place; where there is none, nothing happens.

    Args:
        file: open for reading and writing.
        kind: its format; of other formats than JPEG, PNG and WebP the block stays.
        block: with or without "Exif" in front.
    """
    replace = _REPLACE.get(kind)
    if replace is None:
        return
    file.seek(0)
    data = file.read()
    changed = replace(data, block.removeprefix(EXIF_HEADER))
    file.seek(0)
    file.write(changed)
    file.truncate()


def _set(body: BinaryIO, directory: Directory, tag: int, number: int) -> None:
    """Overwrite a tag that holds one whole number."""
    entry = directory.entries.get(tag)
    code = _CODES.get(entry.kind) if entry is not None else None
    if entry is None or code is None or len(entry.numbers()) != 1:
        return
    if number < 1 << (8 * struct.calcsize(code)):
        body.seek(entry.at)
        body.write(struct.pack(entry.layout.order + code, number))


def _in_jpeg(data: bytes, block: bytes) -> bytes:
    file = BytesIO(data)
    for marker, length in jpeg_segments(file):
        start = file.tell()
        if marker == 0xE1 and data.startswith(EXIF_HEADER, start):
            payload = EXIF_HEADER + block
            if len(payload) > _MOST_BYTES_IN_JPEG:
                return data
            size = struct.pack(">H", 2 + len(payload))
            return data[: start - 2] + size + payload + data[start + length :]
    return data


def _in_png(data: bytes, block: bytes) -> bytes:
    at = SIGNATURE_BYTES
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        end = at + 12 + size
        if data[at + 4 : at + 8] == b"eXIf":
            return data[:at] + packed(b"eXIf", block) + data[end:]
        at = end
    return data


def _in_webp(data: bytes, block: bytes) -> bytes:
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + size + size % 2
        if data[at : at + 4] == b"EXIF":
            chunk = b"EXIF" + struct.pack("<I", len(block)) + block + bytes(len(block) % 2)
            body = data[8:at] + chunk + data[end:]
            return b"RIFF" + struct.pack("<I", len(body)) + body
        at = end
    return data


_REPLACE: Final[Mapping[str, Callable[[bytes, bytes], bytes]]] = {
    "jpeg": _in_jpeg,
    "png": _in_png,
    "webp": _in_webp,
}
