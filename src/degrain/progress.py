"""A bar on standard error while something takes minutes; where nobody looks, none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def shown(items: Iterable[Item], what: str, unit: str) -> Iterator[Item]:
    """The items one by one, with a bar that says how many of them are done.

    Args:
        items: of known number.
        what: is done with them.
        unit: what one of them is called.
    """
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    yield from tqdm(items, desc=what, unit=unit, disable=None, leave=False, file=sys.stderr)
