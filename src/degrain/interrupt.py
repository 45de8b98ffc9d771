"""Ctrl-C at a moment of our choosing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Within this context Ctrl-C waits until the function it yields is called.

    Python raises KeyboardInterrupt wherever it happens to be. In a callback from a C library
    (libvips calls one for every message it logs) the exception is printed and lost, and the work
    goes on as if nobody had asked. A second Ctrl-C does not wait.

    Yields:
        A function that raises KeyboardInterrupt if Ctrl-C was pressed. Where signals are ignored,
        or outside of the main thread, nothing is changed.
    """
    asked = threading.Event()

    def stop_if_asked() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
