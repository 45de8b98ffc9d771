"""Ctrl-C waits for its moment, once."""

from __future__ import annotations

import signal
import threading

import pytest

from degrain.interrupt import deferred_interrupt


@pytest.fixture(autouse=True)
def usual_handler():
    """As in a terminal, even where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_nothing_happens_without_ctrl_c() -> None:
    with deferred_interrupt() as stop_if_asked:
        stop_if_asked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_waits_to_be_asked_for() -> None:
    reached = []

    def work() -> None:
        with deferred_interrupt() as stop_if_asked:
            signal.raise_signal(signal.SIGINT)
            reached.append("here")
            stop_if_asked()
            reached.append("not here")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["here"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait() -> None:
    def work() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        work()


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interrupt() as stop_if_asked:
        signal.raise_signal(signal.SIGINT)
        stop_if_asked()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_change_nothing() -> None:
    def work() -> None:
        with deferred_interrupt() as stop_if_asked:
            stop_if_asked()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
