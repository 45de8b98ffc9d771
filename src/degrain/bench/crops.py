"""Crops for looking: the same region of the same pictures for every method, by a fixed rule.

The rule: the first two pictures in the suite's seeded order (`Suite.ranked`), and in each the
96×96 window, at steps of 16, with the largest mean absolute difference of neighboring clean pixels.
Neither depends on what any method does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from degrain.bench.methods import Floats
from degrain.bench.suites import Suite

SHOWN, SIDE, STEP = 2, 96, 16
RULE = (
    f"the {SIDE}×{SIDE} window with the largest mean absolute difference of neighboring clean "
    f"pixels, in the first {SHOWN} pictures of the suite's seeded order"
)


def busiest_window(clean: Floats) -> tuple[slice, slice]:
    """The window of the rule; the whole side where the picture is smaller."""
    gray = clean if clean.ndim == 2 else clean.mean(axis=2)
    change = np.zeros(gray.shape)
    change[:, 1:] += np.abs(np.diff(gray, axis=1))
    change[1:] += np.abs(np.diff(gray, axis=0))
    sums = np.pad(change, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    rows, columns = (min(SIDE, n) for n in gray.shape)
    box = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns]
    box = (box + sums[:-rows, :-columns])[::STEP, ::STEP]
    top, left = (STEP * int(i) for i in np.unravel_index(box.argmax(), box.shape))
    return slice(top, top + rows), slice(left, left + columns)


def save_crop(
    folder: Path, suite: Suite, name: str, clean: Floats, result: Floats, label: str
) -> dict[str, Any]:
    """Write the crop of a result if its picture is one of those shown.

    Args:
        folder: where crops go; made if needed.
        suite: decides which pictures are shown.
        name: of the picture.
        clean: decides the window.
        result: what is cut; clipped and rounded to 8 bits for the eye.
        label: method, version and noise: decides the file's name.

    Returns:
        What the row says about it: nothing, or {"crop": file name}.
    """
    if name not in suite.ranked()[:SHOWN]:
        return {}
    import pyvips

    window = busiest_window(clean)
    pixels = np.rint(np.clip(result[window], 0, 1) * 255).astype(np.uint8)
    digest = hashlib.sha256(f"{suite.rules}\n{name}\n{label}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    kind = "b-w" if clean.ndim == 2 else "srgb"
    image.copy(interpretation=kind).pngsave(str(folder / f"{digest}.png"))
    return {"crop": f"{digest}.png"}
