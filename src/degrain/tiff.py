"""TIFF tags: the facts libvips does not tell, and the EXIF data it neither reads nor writes.

The layout is that of TIFF 6.0, section 2, and of BigTIFF: a file is a chain of image file
directories (IFD), one a page; EXIF and GPS data are IFDs that an entry points to.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

COMPRESSION, PHOTOMETRIC, BITS_PER_SAMPLE = 259, 262, 258
IMAGE_WIDTH, IMAGE_LENGTH, DESCRIPTION, SAMPLES_PER_PIXEL = 256, 257, 270, 277
EXTRA_SAMPLES = 338
"""Tag of what channels beyond gray or RGB are: 0 anything, 1 or 2 transparency."""
RESOLUTION = (282, 283, 296)
"""Tags of pixels a unit across, down, and of the unit: 1 none, 2 inch, 3 centimeter."""
TILE_WIDTH, TILE_LENGTH = 322, 323
STRIPS, TILES = (273, 279), (324, 325)
"""Tags of where the pixels lie and how many bytes they take."""
CFA, CIELAB, CMYK, DNG_VERSION = 32803, 8, 5, 50706
"""Values of PHOTOMETRIC, and a tag that only DNG has."""
IPTC = 33723
EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965

EXIF_HEADER = b"Exif\x00\x00"

_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
# ImageDescription, Make, Model, Software, DateTime, Artist, Rating, Copyright and the XP* texts
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 18246, 33432, 40091, 40092, 40093, 40094, 40095)
# DocumentName; GeoTIFF 1.1, annex: where on Earth the picture lies; GDAL's notes
_CARRIED = (269, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
PIXEL_SIZES = (40962, 40963)
"""Tags of width and height inside of EXIF."""
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ITEM_BYTES |= {16: 8, 17: 8, 18: 8}
_UNDEFINED = 7
_MAX_ENTRY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """How numbers are stored: byte order ("<" or ">"), and BigTIFF or classic."""

    order: str
    big: bool

    @property
    def word(self) -> str:
        """Format of an offset, for `struct`."""
        return self.order + ("Q" if self.big else "I")

    @property
    def word_bytes(self) -> int:
        """Bytes of an offset, and of a value that is stored inside its entry."""
        return 8 if self.big else 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: its TIFF type, and its values as stored, in the byte order of `layout`.

    `at` is the place of the values in the file.
    """

    kind: int
    data: bytes
    layout: Layout
    at: int = 0

    def numbers(self) -> tuple[int, ...]:
        """The values of an integer tag; empty for other types."""
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(self.kind)
        if code is None:
            return ()
        count = len(self.data) // _ITEM_BYTES[self.kind]
        return struct.unpack(f"{self.layout.order}{count}{code}", self.data)

    def stored(self, order: str) -> bytes:
        """The values in another byte order."""
        step = 4 if self.kind in (5, 10) else _ITEM_BYTES[self.kind]
        if order == self.layout.order or step == 1:
            return self.data
        items = range(0, len(self.data), step)
        return b"".join(self.data[i : i + step][::-1] for i in items)


@dataclass(slots=True)
class Directory:
    """An IFD: its tags, the directories they point to, and where the next page's IFD lies."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)
    following: int = 0


def first_directory(file: BinaryIO) -> tuple[Layout, Directory]:
    """Read the tags of the first page.

    Raises:
        ValueError: not a TIFF, or its first directory is cut off.
    """
    try:
        file.seek(0)
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        layout = Layout(order, big)
        (offset,) = struct.unpack_from(layout.word, head, 8 if big else 4)
        return layout, _read(file, layout, offset, depth=0)
    except (KeyError, struct.error, OverflowError) as error:
        msg = "the first page's tags are cut off"
        raise ValueError(msg) from error


def directories(file: BinaryIO) -> Iterator[Directory]:
    """The tags of all pages, those of EXIF only for the first.

    Raises:
        ValueError: a directory is cut off.
    """
    layout, directory = first_directory(file)
    seen: set[int] = set()
    yield directory
    while directory.following and directory.following not in seen:
        seen.add(directory.following)
        try:
            # depth 3: without EXIF
            directory = _read(file, layout, directory.following, depth=3)
        except (struct.error, OverflowError) as error:
            msg = "a page's tags are cut off"
            raise ValueError(msg) from error
        yield directory


def is_complete(file: BinaryIO, pages: Iterable[Directory]) -> bool:
    """Whether the pixels of all pages lie inside the file; libtiff is lenient about it."""
    size = file.seek(0, os.SEEK_END)
    return all(_end_of_pixels(page) <= size for page in pages)


def planes_named(first: Directory) -> int:
    """How many planes the description speaks of: 1 unless it is by ImageJ or tifffile.

    Both write large stacks with a single directory, behind which all planes follow; readers
    that do not know it, libtiff too, see the first one only.
    """
    text = first.entries[DESCRIPTION].data if DESCRIPTION in first.entries else b""
    if text.startswith(b"ImageJ="):
        found = re.search(rb"^images=(\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 1
    if not text.startswith(b'{"shape":'):
        return 1
    try:
        samples: int = math.prod(json.loads(text.rstrip(b"\x00"))["shape"])
    except (ValueError, TypeError, KeyError):
        return 1
    tags = (IMAGE_WIDTH, IMAGE_LENGTH, SAMPLES_PER_PIXEL)
    sizes = [first.entries[tag].numbers()[0] if tag in first.entries else 1 for tag in tags]
    return max(1, samples // max(1, math.prod(sizes)))


def has_other_channel(first: Directory) -> bool:
    """Whether a second or fourth channel is neither color nor transparency, as far as is said."""
    count, photometric = (
        first.entries[tag].numbers()[0] if tag in first.entries else 1
        for tag in (SAMPLES_PER_PIXEL, PHOTOMETRIC)
    )
    if count not in (2, 4) or photometric == CMYK:
        return False
    extra = first.entries[EXTRA_SAMPLES].numbers() if EXTRA_SAMPLES in first.entries else ()
    return not extra or extra[-1] not in (1, 2)


def carried(first: Directory) -> dict[int, Entry]:
    """The entries of `_CARRIED` that the first page has."""
    return {tag: first.entries[tag] for tag in _CARRIED if tag in first.entries}


def resolution_of(page: Directory) -> dict[int, Entry]:
    """The entries of `RESOLUTION` that a page has."""
    return {tag: page.entries[tag] for tag in RESOLUTION if tag in page.entries}


def turned(resolution: Mapping[int, Entry]) -> dict[int, Entry]:
    """The resolution of a picture whose rows have become columns."""
    across, down, unit = RESOLUTION
    places = {across: down, down: across, unit: unit}
    return {places[tag]: entry for tag, entry in resolution.items()}


def set_resolution(file: BinaryIO, resolutions: Sequence[Mapping[int, Entry]]) -> None:
    """Write the resolution of every page over the one that is there, in place.

    Args:
        file: open for reading and writing; its pages have all three tags.
        resolutions: of the pages, see `resolution_of`; the last one is that of all that follow.
    """
    for number, page in enumerate(list(directories(file))):
        for tag, entry in resolutions[min(number, len(resolutions) - 1)].items():
            there = page.entries.get(tag)
            if there is not None and (there.kind, len(there.data)) == (entry.kind, len(entry.data)):
                file.seek(there.at)
                file.write(entry.stored(there.layout.order))


def _end_of_pixels(directory: Directory) -> int:
    """The file offset behind the last strip or tile of a page."""
    ends = [0]
    for tags in (STRIPS, TILES):
        starts, sizes = (
            directory.entries[tag].numbers() if tag in directory.entries else () for tag in tags
        )
        ends += [start + size for start, size in zip(starts, sizes, strict=False)]
    return max(ends)


def _read(file: BinaryIO, layout: Layout, offset: int, *, depth: int) -> Directory:
    """One directory and, to a small depth, those it points to."""
    word, size = layout.word, layout.word_bytes
    file.seek(offset)
    count_code = layout.order + ("Q" if layout.big else "H")
    (count,) = struct.unpack(count_code, file.read(struct.calcsize(count_code)))
    start = file.tell()
    table = file.read(min(count, 4096) * (4 + 2 * size) + size)
    directory = Directory()
    for i in range(min(count, 4096)):
        at = i * (4 + 2 * size)
        tag, kind = struct.unpack_from(layout.order + "HH", table, at)
        (items,) = struct.unpack_from(word, table, at + 4)
        inside = table[at + 4 + size : at + 4 + 2 * size]
        data = _value(file, layout, inside, kind, items)
        if data is None:
            continue
        is_inside = len(data) <= size
        place = start + at + 4 + size if is_inside else struct.unpack(word, inside)[0]
        directory.entries[tag] = Entry(kind, data, layout, place)
        if tag in _POINTERS and depth < 3:
            _follow(file, layout, directory, tag, depth)
    if count <= 4096:
        (directory.following,) = struct.unpack_from(word, table, count * (4 + 2 * size))
    return directory


def _follow(file: BinaryIO, layout: Layout, directory: Directory, tag: int, depth: int) -> None:
    """Read the directory an entry points to; a broken one is left out."""
    (target,) = directory.entries.pop(tag).numbers()[:1] or (0,)
    try:
        directory.children[tag] = _read(file, layout, target, depth=depth + 1)
    except (struct.error, OverflowError):
        return


def _value(file: BinaryIO, layout: Layout, inside: bytes, kind: int, items: int) -> bytes | None:
    """The bytes of an entry; None if they cannot be had."""
    length = items * _ITEM_BYTES.get(kind, _MAX_ENTRY_BYTES + 1)
    if length <= len(inside):
        return inside[:length]
    if length > _MAX_ENTRY_BYTES:
        return None
    file.seek(struct.unpack(layout.word, inside)[0])
    data = file.read(length)
    return data if len(data) == length else None


def exif_of(directory: Directory) -> bytes | None:
    """The EXIF block of a TIFF as JPEG files hold it, with "Exif" in front; None without any.

    Offsets inside a camera's MakerNote are not adapted: nobody but the maker knows them.
    """
    kept = Directory(
        {tag: directory.entries[tag] for tag in _DESCRIPTIVE if tag in directory.entries},
        dict(directory.children),
    )
    if not kept.entries and not kept.children:
        return None
    layout = Layout("<", big=False)
    return EXIF_HEADER + b"II*\x00" + struct.pack("<I", 8) + _pack(kept, layout, 8)


def without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block whose second directory, the thumbnail, is cut off the chain."""
    start = len(EXIF_HEADER) if exif.startswith(EXIF_HEADER) else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + first)
    except struct.error:
        return exif
    pointer = start + first + 2 + 12 * count
    return exif[:pointer] + bytes(4) + exif[pointer + 4 :] if pointer + 4 <= len(exif) else exif


def embed(file: BinaryIO, exif: bytes | None, tags: Mapping[int, Entry]) -> None:
    """Write an EXIF block and further tags into the first page of a TIFF, in place.

    A new first directory with all tags is appended and the header pointed to it; neither the
    pixels nor the other pages move. Tags the file has already are kept as they are.

    Args:
        file: open for reading and writing.
        exif: block as in JPEG files, with or without "Exif" in front. A broken one is ignored.
        tags: entries to add.
    """
    source = _exif_directory(exif)
    if not source.entries and not source.children and not tags:
        return
    layout, directory = first_directory(file)
    described = {tag: source.entries[tag] for tag in _DESCRIPTIVE if tag in source.entries}
    directory.entries = {**described, **tags, **directory.entries}
    # The rotated picture has other sizes; those of the TIFF tags hold.
    for child in source.children.values():
        for tag in PIXEL_SIZES:
            child.entries.pop(tag, None)
    directory.children |= source.children
    start = file.seek(0, os.SEEK_END)
    file.write(b"\x00" * (start % 2))
    start += start % 2
    file.write(_pack(directory, layout, start))
    file.seek(8 if layout.big else 4)
    file.write(struct.pack(layout.word, start))


def opaque_entry(data: bytes) -> Entry:
    """An entry of bytes that mean nothing to TIFF."""
    return Entry(_UNDEFINED, data, Layout("<", big=False))


def _exif_directory(exif: bytes | None) -> Directory:
    """What an EXIF block holds; nothing if it is broken or there is none."""
    try:
        return first_directory(BytesIO((exif or b"").removeprefix(EXIF_HEADER)))[1]
    except ValueError:
        return Directory()


def _pack(directory: Directory, layout: Layout, at: int) -> bytes:
    """A directory, its values and its children, to be put at file offset `at`."""
    size = layout.word_bytes
    entries: Mapping[int, Entry] = directory.entries
    tags = sorted({*entries, *directory.children})
    head = struct.pack(layout.order + ("Q" if layout.big else "H"), len(tags))
    tail_at = at + len(head) + len(tags) * (4 + 2 * size) + size
    tail = b""
    for tag in tags:
        place = tail_at + len(tail)
        if tag in directory.children:
            kind, data, items = 4, struct.pack(layout.order + "I", place), 1
            tail += _pack(directory.children[tag], layout, place)
        else:
            entry = entries[tag]
            kind, data = entry.kind, entry.stored(layout.order)
            items = len(data) // _ITEM_BYTES[kind]
            if len(data) > size:
                tail += data
                data = struct.pack(layout.word, place)
        tail += b"\x00" * (len(tail) % 2)
        head += struct.pack(layout.order + "HH", tag, kind) + struct.pack(layout.word, items)
        head += data.ljust(size, b"\x00")
    return head + struct.pack(layout.word, directory.following) + tail
