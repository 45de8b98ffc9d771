"""Lettering: lines of random text as a coverage map, for the noise `text:SIZE`.

The letters are strokes on a grid 4 wide and 6 high, kept here so that training needs no font and
the same seed draws the same text on every machine. All cells of the text are equally wide; each
glyph is rendered once per size, and a text is a table of glyphs.

```
   ┌─ advance ─┐
   │ ▞▚    ▛▀▚ │         coverage 1 inside a stroke, 0 outside,
   │ ▙▟    ▙▄▞ │ size    between over one pixel at its edge
   │ ▌▐    ▌ ▐ │
   │           │ gap to the next line
```
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STROKES: Final[dict[str, str]] = {
    "A": "06 20 46, 14 34",
    "B": "06 00 30 41 42 33 03, 33 44 45 36 06",
    "C": "41 30 10 01 05 16 36 45",
    "D": "06 00 20 42 44 26 06",
    "E": "40 00 06 46, 03 33",
    "F": "40 00 06, 03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06, 40 46, 03 43",
    "I": "10 30, 16 36, 20 26",
    "J": "20 40, 30 35 26 16 05",
    "K": "00 06, 40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10, 24 46",
    "R": "06 00 30 41 42 33 03, 23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40, 20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46, 40 06",
    "Y": "00 23 40, 23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10, 15 31",
    "1": "11 20 26, 16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "01 10 30 41 42 33 23, 33 44 45 36 16 05",
    "4": "36 30 04 44",
    "5": "40 00 03 33 44 45 36 06",
    "6": "40 20 02 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
    "9": "43 13 02 01 10 30 41 44 26 06",
    "-": "13 33",
    "/": "06 40",
}
"""Polylines by glyph: points as two digits, x then y downwards; a comma lifts the pen."""

SPACES = 8
"""Empty cells beside the glyphs to draw from: a word has about five letters."""

WEIGHT = 1 / 7
"""Width of a stroke as a share of the size."""

LINE_HEIGHT = 2.0
"""From line to line, as a share of the size."""


def text_coverage(height: int, width: int, size_px: int, rng: np.random.Generator) -> Floats:
    """Coverage of a picture by random text, H×W in 0..1.

    Lines of text fill the picture, beginning anywhere inside a letter and a line.

    Args:
        height: of the picture, in pixels.
        width: the same.
        size_px: height of a capital letter, 3 or more.
        rng: decides letters and place.
    """
    cells = _cells(size_px)
    cell_height, cell_width = cells.shape[1:]
    rows, columns = height // cell_height + 2, width // cell_width + 2
    table = cells[rng.integers(len(cells), size=(rows, columns))]
    page = table.transpose(0, 2, 1, 3).reshape(rows * cell_height, columns * cell_width)
    top, left = rng.integers(cell_height), rng.integers(cell_width)
    return page[top : top + height, left : left + width]


@lru_cache(maxsize=64)
def _cells(size_px: int) -> Floats:
    """All glyphs and some spaces at one size, with the gaps around them."""
    letters = np.stack([_render(strokes, size_px) for strokes in STROKES.values()])
    return np.concatenate([letters, np.zeros((SPACES, *letters.shape[1:]), np.float32)])


def _render(strokes: str, size_px: int) -> Floats:
    """One glyph: each pixel by its distance from the nearest stroke."""
    half = max(1.0, WEIGHT * size_px) / 2
    grid = (size_px - 2 * half) / 6  # the strokes' outer edges, not their middles, span the size
    shape = (round(LINE_HEIGHT * size_px), round(4 * grid + 2 * half + 0.3 * size_px))
    y, x = np.indices(shape) + 0.5
    nearest = np.full(shape, np.inf)
    for line in strokes.split(","):
        points = [np.array([int(p[0]), int(p[1])]) * grid + half for p in line.split()]
        for start, end in itertools.pairwise(points):
            nearest = np.minimum(nearest, _distance(x, y, start, end))
    return np.clip(half + 0.5 - nearest, 0, 1).astype(np.float32)


def _distance(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Distance of every place from a straight stroke."""
    along = end - start
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along)
    share = np.clip(share, 0, 1)
    distance: NDArray[np.float64] = np.hypot(
        x - start[0] - share * along[0], y - start[1] - share * along[1]
    )
    return distance
