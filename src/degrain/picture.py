"""Picture: what a file holds, between reading and writing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""H×W×C array; C is 1 (gray) or 3 (RGB); dtype uint8, uint16 or float32."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The pages of one picture file with everything needed to write it back.

    Pixels stay in the file's own depth; the denoiser converts one tile at a time, so that a
    100-megapixel picture is never held as floats.

    Attributes:
        pages: one H×W×C array a page (C 1 or 3, no alpha), uint8, uint16 or float32. All
            pages have the same shape and dtype. Most files have a single page. Pages may be
            views (a turned picture, or one with alpha), so not contiguous.
        alphas: one H×W×1 array a page in the dtype of `pages`, or None without transparency.
        metadata: libvips header fields to write back verbatim (ICC profile, EXIF, XMP,
            resolution, page height and delay ...).
        origin: facts about the file that steer writing (`file`, `format`, JPEG `quality`,
            TIFF `compression` ...), never shown to a network.
    """

    pages: tuple[Pixels, ...]
    alphas: tuple[Pixels, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The sample type: uint8, uint16 or float32."""
        return self.pages[0].dtype

    @property
    def channels(self) -> int:
        """Color channels without alpha: 1 or 3."""
        return int(self.pages[0].shape[2])

    @property
    def megapixels(self) -> float:
        """Pixels of all pages, in millions."""
        return float(sum(page.shape[0] * page.shape[1] for page in self.pages)) / 1e6

    def with_pages(self, pages: tuple[Pixels, ...]) -> Picture:
        """The same picture (metadata, alpha, origin) with other pixels."""
        return replace(self, pages=pages)
