"""Ctrl-C, and being told to end (SIGTERM, or SIGHUP when a terminal closes), in order."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that tell a program to end; its exit code is then 128 and the signal's number."""


def end_in_order() -> None:
    """Let `ENDING` end this program by an exception, so that no half-written file stays behind."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Within this context Ctrl-C waits until the function it yields is called, and so do `ENDING`.

    Python raises KeyboardInterrupt wherever it happens to be. In a callback from a C library
    (libvips calls one for every message it logs) the exception is printed and lost, and the work
    goes on as if nobody had asked. A second Ctrl-C does not wait.

    Yields:
        A function that raises KeyboardInterrupt if Ctrl-C was pressed, and SystemExit if one of
        `ENDING` came and `end_in_order` was called before. Where signals are ignored or handled
        otherwise, or outside of the main thread, nothing is changed.
    """
    usual = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(ENDING, _end)}
    ours = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    asked: list[int] = []

    def stop_if_asked() -> None:
        if asked:
            usual[signal.Signals(asked[0])](asked[0], None)

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            usual[signal.Signals(number)](number, frame)
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, handle)
    try:
        yield stop_if_asked
    finally:
        for number in ours:
            signal.signal(number, usual[number])
