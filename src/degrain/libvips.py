"""libvips: loaded on use, kept quiet, its errors made readable."""

from __future__ import annotations

import logging
from typing import Any


def load() -> Any:
    """Import pyvips, keep it quiet, and make it forget files it has read."""
    # libvips' warnings arrive as log records, which Python prints if nobody listens
    logging.getLogger("pyvips").addHandler(logging.NullHandler())
    import pyvips

    # Cached operations would hold memory and files, and would miss that a file has changed.
    pyvips.cache_set_max(0)
    return pyvips


def reason_of(error: Exception) -> str:
    """The line of a libvips error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines[1:] if "bad seek" not in line] or lines
    return telling[-1].rstrip(".") if telling else "no reason given"
