"""Crops for looking: the same region of the same pictures for every method, by a fixed rule.

The rule: the first two pictures in the suite's seeded order (`Suite.ranked`), and in each the
96×96 window, at steps of 16, with the largest mean absolute difference of neighboring clean pixels.
Neither depends on what any method does.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from degrain.bench.methods import Floats
from degrain.bench.suites import Suite
from degrain.metrics import psnr

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


def save_windows(
    folder: Path,
    suite: Suite,
    shown: tuple[str, str],
    pair: tuple[Floats, Floats],
    result: Floats,
    method: str,
) -> dict[str, Any]:
    """Write the windows of a result and of what it came from, if its picture is one of those shown.

    Args:
        folder: where the windows go; made if needed.
        suite: decides which pictures are shown.
        shown: the picture and its noise spec.
        pair: the clean picture, which decides the window, and the noisy one.
        result: what the method made of it, of the same shape.
        method: its name and version: they decide the file's name.

    Returns:
        What the row says about it: nothing, or the file names `crop`, `crop_clean` and
        `crop_noisy`, and `noisy_psnr` in dB over the whole picture.
    """
    name, noise = shown
    if name not in suite.ranked()[:SHOWN]:
        return {}
    clean, noisy = pair
    window = busiest_window(clean)
    start = f"{suite.rules}\n{name}\n"
    level = psnr(clean, noisy)
    return {
        "crop": _save(folder, result[window], f"{start}{method}\n{noise}"),
        # Of no method, so the same files for all of them.
        "crop_clean": _save(folder, clean[window], f"{start}clean"),
        "crop_noisy": _save(folder, noisy[window], f"{start}noisy\n{noise}"),
        "noisy_psnr": round(level, 4) if math.isfinite(level) else None,
    }


def _save(folder: Path, part: Floats, label: str) -> str:
    """Write H×W or H×W×3 as PNG, clipped and rounded to 8 bits for the eye; its file name."""
    import pyvips

    pixels = np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    file = f"{hashlib.sha256(label.encode()).hexdigest()[:16]}.png"
    kind = "b-w" if part.ndim == 2 else "srgb"
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    image.copy(interpretation=kind).pngsave(str(folder / file))
    return file
