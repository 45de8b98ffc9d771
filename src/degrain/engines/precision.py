"""Floats or 8 bits: which of the two versions of a network a picture gets.

"auto" takes 8 bits where three things come together:

- the processor multiplies bytes fast (x86 with VNNI, where it was measured; elsewhere nobody
  has, and on older x86 ONNX Runtime's sums of byte products can overflow);
- the picture has 8 bits itself, so nobody asked for more;
- its noise is of a level at which the card says that at most `MOST_LOSS_DB` are lost. In weak
  noise the rounding inside of the network is not small beside it.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from degrain.errors import UsageError
from degrain.zoo.card import ModelCard

PRECISIONS: Final = ("auto", "float", "int8")
MOST_LOSS_DB = 0.05
FAINTEST, BRIGHTEST = 0.1, 4.0
"""Largest values of float pictures that 8 bits may be asked for."""
CPU_INFO = Path("/proc/cpuinfo")
BYTE_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni"})
"""What Linux calls the instructions that add up products of bytes."""
X86: Final = ("x86_64", "AMD64", "i386", "i686")


def check_precision(precision: str) -> None:
    """Raise UsageError for a word that is no precision, or 8 bits where they would be wrong."""
    if precision not in PRECISIONS:
        msg = f"There is no precision {precision!r}; give auto, float or int8."
        raise UsageError(msg)
    if precision == "int8" and has_byte_products() is False:
        msg = (
            "This processor has no instructions for products of bytes (VNNI), without which 8 bits "
            "are no faster and their sums can overflow; leave precision at auto or float."
        )
        raise UsageError(msg)


def check_range(page: NDArray[np.generic]) -> None:
    """Raise UsageError for floats that 8 bits, whose ranges are fixed, were not made for."""
    if page.dtype.kind != "f":
        return
    largest = float(np.abs(page).max())
    if largest and not FAINTEST <= largest <= BRIGHTEST:
        msg = (
            f"8 bits are for pictures of 0 to 1, and this one reaches {largest:.3g}; take the "
            "precision float, which works in any range."
        )
        raise UsageError(msg)


def may_be_int8(card: ModelCard, page: NDArray[np.generic]) -> bool:
    """Whether "auto" would take 8 bits for a page (H×W×C) of the right noise."""
    right = page.dtype == np.uint8 and good_levels(card) is not None
    return right and bool(has_byte_products())


def choose_precision(card: ModelCard, page: NDArray[np.generic], sigma_255: float) -> str:
    """What "auto" means for a page: "float" or "int8".

    Args:
        card: of the model.
        page: H×W×C.
        sigma_255: its noise level, root mean square over channels.
    """
    levels = good_levels(card)
    if levels is None or not may_be_int8(card, page):
        return "float"
    return "int8" if levels[0] <= sigma_255 <= levels[1] else "float"


def good_levels(card: ModelCard) -> tuple[float, float] | None:
    """Weakest and strongest Gaussian noise between which 8 bits lose little, or None.

    Between the levels of the card the loss counts as a straight line. It is less than that: towards
    weak noise and beyond the ranges of the bytes it grows faster and faster.
    """
    losses = [(_level(spec), loss) for spec, loss in card.int8_loss.items()]
    points = sorted(point for point in losses if point[0] >= 0)
    good = [place for place, (_, loss) in enumerate(points) if loss <= MOST_LOSS_DB]
    if not card.int8_model or not good:
        return None
    first = last = good[0]
    while last + 1 in good:
        last += 1
    return _limit(points, first, first - 1), _limit(points, last, last + 1)


def _limit(points: list[tuple[float, float]], good: int, beyond: int) -> float:
    """Where the loss reaches the limit between a point and one beyond, if there is one."""
    level, loss = points[good]
    if not 0 <= beyond < len(points):
        return level
    far, more = points[beyond]
    return level + (far - level) * (MOST_LOSS_DB - loss) / (more - loss)


@functools.cache
def has_byte_products() -> bool | None:
    """Whether this processor adds up products of bytes fast; None where that is not known."""
    if platform.machine() not in X86:
        return None
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BYTE_PRODUCTS.isdisjoint(flags.split())


def _level(spec: str) -> float:
    """The level of a spec of Gaussian noise, else -1."""
    kind, _, level = spec.partition(":")
    try:
        return float(level) if kind == "gaussian" else -1.0
    except ValueError:
        return -1.0
