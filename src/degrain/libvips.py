"""libvips: loaded on use, kept quiet, its errors made readable."""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import Any

_NOBODY = logging.NullHandler()
"""libvips' warnings arrive as log records, which Python prints if nobody listens."""


def load() -> Any:
    """Import pyvips, keep it quiet, and make it forget files it has read."""
    logging.getLogger("pyvips").addHandler(_NOBODY)
    import pyvips

    # Cached operations would hold memory and files, and would miss that a file has changed.
    pyvips.cache_set_max(0)
    return pyvips


def fields_of(image: Any) -> list[str]:
    """The names of all header fields but those that are not UTF-8, at which pyvips gives up."""
    from pyvips import ffi, glib_lib, vips_lib

    names = []
    array = vips_lib.vips_image_get_fields(image.pointer)
    for i in itertools.count():
        if array[i] == ffi.NULL:
            break
        with contextlib.suppress(UnicodeDecodeError):
            names.append(ffi.string(array[i]).decode())
        glib_lib.g_free(array[i])
    glib_lib.g_free(array)
    return names


def reason_of(error: Exception) -> str:
    """The line of a libvips error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines[1:] if "bad seek" not in line] or lines
    return telling[-1].rstrip(".") if telling else "no reason given"
