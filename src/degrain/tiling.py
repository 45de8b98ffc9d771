"""Tiling: cutting a picture so that the stitched tiles equal the whole picture.

A tile is the *inner* window that a network's output is kept for, and the *read* window around
it, which the network sees. They differ by the halo, the distance from which a network's output
can be influenced::

        read.left   inner.left          inner.right  read.right
            |           |                    |           |
    read.top·  ┌─────────────────────────────────────────┐
               │   halo                                  │
    inner.top· │       ┌────────────────────┐            │
               │ halo  │ kept: what the net │    halo    │
               │       │ gives for these    │            │
               │       │ pixels is exact    │            │
               │       └────────────────────┘            │
               │   halo (thrown away)                    │
               └─────────────────────────────────────────┘

At the border of the picture the read window is clipped, so that the network meets the true
border and does there what it would do with the whole picture. A network with stride answers
differently to a picture moved by less than its stride, therefore every edge of every window is
a multiple of `multiple_of`, except at the right and bottom border of the picture. There is no
blending: with a halo no smaller than the receptive radius nothing is left to blend.
"""

from __future__ import annotations

from dataclasses import dataclass

from degrain.errors import UsageError

MINIMUM_TILE_PX = 64
"""No tile is smaller than this unless the picture is: below, nearly all work is halo."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows top..bottom and columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def pixels(self) -> int:
        """Rows times columns."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index for the first two axes of an H×W×C array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of work: see `read`, keep `inner` (both in picture coordinates)."""

    read: Window
    inner: Window

    @property
    def kept(self) -> tuple[slice, slice]:
        """Where `inner` lies inside what was read, as an index for H and W."""
        return Window(
            self.inner.top - self.read.top,
            self.inner.bottom - self.read.top,
            self.inner.left - self.read.left,
            self.inner.right - self.read.left,
        ).slices


def plan(
    height: int, width: int, tile: int | tuple[int, int], halo: int, multiple_of: int = 1
) -> list[Tile]:
    """Cut a picture into tiles whose inner windows cover every pixel exactly once.

    Args:
        height: rows of the picture, at least 1.
        width: columns of the picture, at least 1.
        tile: side of the inner window in pixels, or (rows, columns); rounded down to a multiple
            of `multiple_of`, but never to nothing.
        halo: pixels of context on every side, rounded up to a multiple of `multiple_of`.
        multiple_of: the network's total stride.

    Returns:
        Tiles from top left to bottom right, row by row.
    """
    tile_height, tile_width = (tile, tile) if isinstance(tile, int) else tile
    halo = _round_up(halo, multiple_of)
    columns = _spans(width, _round_down(tile_width, multiple_of), halo)
    return [
        Tile(Window(*read_rows, *read_columns), Window(*inner_rows, *inner_columns))
        for read_rows, inner_rows in _spans(height, _round_down(tile_height, multiple_of), halo)
        for read_columns, inner_columns in columns
    ]


def tile_for_pixels(
    height: int, width: int, halo: int, multiple_of: int, max_pixels: int, *, abreast: int = 1
) -> tuple[int, int] | None:
    """Choose the tile with the least total work whose read window fits into `max_pixels`.

    Squares, strips and everything between are tried; the halo makes few and square-ish tiles
    cheap, a picture that fits as a whole is one tile. Where several go `abreast`, tiles that have
    no company at the end count as if they had.

    Returns:
        (rows, columns) of the inner window, or None if not even the smallest tile fits.
    """
    halo = _round_up(halo, multiple_of)
    best: tuple[float, tuple[int, int]] | None = None
    smallest = _round_up(MINIMUM_TILE_PX, multiple_of)
    for rows in range(1, -(-height // smallest) + 1):
        tile_height = _balanced(height, rows, multiple_of)
        limit = max_pixels // _longest_read(height, tile_height, halo)
        fewest = _fewest_tiles(width, halo, multiple_of, limit)
        if fewest is None:
            continue
        most = max(fewest, min(fewest + abreast - 1, width // smallest))
        for columns in range(fewest, most + 1):
            pixels = (height + 2 * halo * (rows - 1)) * (width + 2 * halo * (columns - 1))
            work = pixels / fullness(rows * columns, abreast)
            if best is None or work < best[0]:
                best = work, (tile_height, _balanced(width, columns, multiple_of))
    return None if best is None else best[1]


def tile_for_memory(
    height: int,
    width: int,
    halo: int,
    multiple_of: int,
    *,
    memory_bytes: int,
    bytes_per_pixel: int,
    abreast: int = 1,
) -> tuple[int, int]:
    """Choose the tile from the memory that working on it may take.

    Args:
        height: rows of the picture.
        width: columns of the picture.
        halo: pixels of context on every side.
        multiple_of: the network's total stride.
        memory_bytes: what the tiles that are worked on at a time may cost.
        bytes_per_pixel: working memory per pixel of the read window.
        abreast: how many tiles are worked on at a time.

    Raises:
        UsageError: not even the smallest tile fits.
    """
    max_pixels = max(0, memory_bytes) // (abreast * bytes_per_pixel)
    tile = tile_for_pixels(height, width, halo, multiple_of, max_pixels, abreast=abreast)
    if tile is None:
        least = least_memory(height, width, halo, multiple_of, bytes_per_pixel=bytes_per_pixel)
        needed = abreast * least
        msg = f"{memory_bytes} bytes are too little for a tile; give {needed} or more."
        raise UsageError(msg)
    return tile


def least_memory(
    height: int, width: int, halo: int, multiple_of: int, *, bytes_per_pixel: int
) -> int:
    """Bytes with which `tile_for_memory` finds a tile; the arguments are the same."""
    smallest = _round_up(MINIMUM_TILE_PX, multiple_of) + 2 * _round_up(halo, multiple_of)
    return min(height, smallest) * min(width, smallest) * bytes_per_pixel


def fullness(count: int, abreast: int) -> float:
    """Share of the places that tiles take if so many go abreast: the last ones may lack company."""
    rounds = -(-count // abreast)
    return count / (rounds * abreast)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _round_down(value: int, step: int) -> int:
    return max(1, value // step) * step


def _balanced(length: int, count: int, step: int) -> int:
    """Side of `count` tiles of nearly equal size that cover `length`."""
    return _round_up(-(-length // count), step)


def _longest_read(length: int, tile: int, halo: int) -> int:
    """The longest read window among tiles of this side; the outermost have one halo only."""
    tiles = -(-length // tile)
    return min(length, tile + halo * min(2, tiles - 1))


def _fewest_tiles(length: int, halo: int, step: int, limit: int) -> int | None:
    """How few tiles cover `length` when no read window may be longer than `limit`."""
    for count in (1, 2):
        if _longest_read(length, _balanced(length, count, step), halo) <= limit:
            return count
    longest = (limit - 2 * halo) // step * step
    if longest < _round_up(MINIMUM_TILE_PX, step):
        return None
    return -(-length // longest)


def _spans(length: int, tile: int, halo: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Read and inner intervals along one axis."""
    starts = range(0, length, tile)
    return [
        (
            (max(0, start - halo), min(length, start + tile + halo)),
            (start, min(length, start + tile)),
        )
        for start in starts
    ]
