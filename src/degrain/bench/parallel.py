"""Many noisy pictures at once, each in a process; a process that dies costs only its own rows."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from degrain.bench.methods import Method, open_method
from degrain.bench.rows import Row
from degrain.bench.suites import Suite

Job = tuple[str, str]
"""Picture and noise."""
Measure = Callable[[Suite, str, str, Sequence[Method]], Iterable[Row]]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIED = "the process died, perhaps for lack of memory"


def measure_at_once(
    suite: Suite,
    jobs: Mapping[Job, Sequence[str]],
    measure: Measure,
    *,
    threads: int,
    processes: int,
) -> Generator[Row]:
    """Rows in the order in which they are ready.

    Each process opens its methods itself, by name: sessions do not travel between processes.
    When a process dies, those that were under way are measured once more, each alone, so that it
    becomes known which one is to blame; its rows are marked failed.

    Args:
        suite: pictures, noise and rules.
        jobs: method names by picture and noise.
        measure: makes the rows of one job; a function of a module, as it travels by name.
        threads: per process; also for numpy's matrix products.
        processes: at once.
    """
    left = dict(jobs)
    while left:
        broke = False
        for job, rows in _pool(suite, left, measure, threads, min(processes, len(left))):
            if rows is None:
                broke = True
            else:
                del left[job]
                yield from rows
        if not broke:
            return
        # The pool works through its jobs in order, so one of the first of the rest broke it.
        for job in list(left)[: processes + 1]:
            for name in left.pop(job):
                yield from _alone(suite, job, name, measure, threads)


def _pool(
    suite: Suite,
    jobs: Mapping[Job, Sequence[str]],
    measure: Measure,
    threads: int,
    processes: int,
) -> Generator[tuple[Job, list[Row] | None]]:
    """Finished jobs; None instead of rows for those that a dying process took with it."""
    # Not forked: the threads of ONNX Runtime do not survive that.
    context = multiprocessing.get_context("spawn")
    with _threads_of_children(threads):
        pool = ProcessPoolExecutor(processes, mp_context=context)
        try:
            futures = {
                pool.submit(_measure_here, suite, job, tuple(names), measure, threads): job
                for job, names in jobs.items()
            }
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    yield futures[future], None
        finally:
            pool.shutdown(cancel_futures=True)


def _alone(suite: Suite, job: Job, name: str, measure: Measure, threads: int) -> list[Row]:
    """One method on one noisy picture; a failed row if that kills the process."""
    for _, rows in _pool(suite, {job: [name]}, measure, threads, 1):
        if rows is not None:
            return rows
    method = open_method(name, gray=suite.gray, threads=threads)
    row = {"method": method.name, "version": method.version, "picture": job[0], "noise": job[1]}
    return [{**row, "status": "failed", "problem": DIED}]


def _measure_here(
    suite: Suite, job: Job, names: Sequence[str], measure: Measure, threads: int
) -> list[Row]:
    """In the child."""
    return list(measure(suite, *job, [_opened(name, suite.gray, threads) for name in names]))


@functools.cache
def _opened(name: str, gray: bool, threads: int) -> Method:
    """A method, opened once a process."""
    return open_method(name, gray=gray, threads=threads)


@contextmanager
def _threads_of_children(threads: int) -> Iterator[None]:
    """Processes started inside count their threads from these variables, once, when they start."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
