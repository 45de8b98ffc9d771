"""Tiles side by side: how many at a time, and working on them.

The convolutions of a network share out over threads. What lies between them does not, nor does
making floats of a tile and whole numbers of its answer: one thread works and the others wait. Of
two tiles at a time one can be in its convolutions while the other is not::

    one at a time   ▒█▒█▒ ▒█▒█▒           ▒ one thread works      █ all do
    two abreast     ▒█▒█▒
                     ▒█▒█▒

But each has half of the memory then, so tiles are smaller and more of the work is halo. Whichever
is likely to take less time is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from degrain.tiling import Tile, fullness

ALONE: Final = 0.15
"""Share of the work on a tile that one thread does alone (benchmarks/LOG.md)."""
MOST: Final = 2
"""Tiles at a time. More have not been tried."""


@dataclass(frozen=True, slots=True)
class Formation:
    """Tiles, and how many of them are worked on at a time."""

    tiles: Sequence[Tile]
    abreast: int = 1

    def duration(self, threads: int) -> float:
        """How long it takes on so many threads, in pixels that one thread works through."""
        pixels = sum(tile.read.pixels for tile in self.tiles)
        one_by_one = ALONE + (1 - ALONE) / threads
        share = max(one_by_one / self.abreast, 1 / threads)
        return share * pixels / fullness(len(self.tiles), self.abreast)

    def engine_threads(self, threads: int) -> int:
        """How many threads an engine needs so that all together are `threads`.

        Whoever calls an engine works too. Two callers share the others of one engine.
        """
        return max(1, threads - self.abreast + 1)

    def each(self, work: Callable[[Tile], int]) -> Generator[int, None, None]:
        """Do something with every tile; what it gives comes in the tiles' order.

        Args:
            work: may run in other threads, for several tiles at once. What it raises is raised
                here, and tiles that were not begun are left out.
        """
        if self.abreast == 1:
            yield from map(work, self.tiles)
            return
        with ThreadPoolExecutor(self.abreast, thread_name_prefix="tile") as pool:
            yield from pool.map(work, self.tiles)


def fastest(formations: Sequence[Formation], threads: int) -> Formation:
    """The formation that takes least time on so many threads; of equal ones the first."""
    return min(formations, key=lambda formation: formation.duration(threads))
