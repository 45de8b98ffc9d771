"""Extras of the package that a verb may need: `pip install "degrain[NAME]"`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from degrain.errors import UsageError


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Say which extra to install where a package is missing.

    Raises:
        UsageError: instead of the ImportError, for packages other than degrain.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "degrain"):
            raise
        msg = f'{what} needs {package}, which is not installed; pip install "degrain[{extra}]"'
        raise UsageError(msg) from error
