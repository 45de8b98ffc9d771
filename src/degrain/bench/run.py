"""The bench: every method on every picture with every noise, one row each, as JSON lines."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from degrain.bench.methods import Floats, Method, open_method
from degrain.bench.suites import NOISE, Suite, make_suite
from degrain.errors import PictureError, UsageError
from degrain.metrics import RADIUS, psnr, ssim

Row = dict[str, Any]
KEY = ("rules", "method", "version", "picture", "noise")
"""What makes two rows the same measurement."""
METHODS = ("noisy", "auto")
"""Judged when no method is named."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be measured."""

    picture: str
    noise: str
    method: Method


def run(
    data: Path,
    *,
    methods: Sequence[str],
    results: Path,
    gray: bool,
    noise: Sequence[str] = NOISE,
    conversion: str = "luma",
    ids: Path | None = None,
    protocol: str = "float",
    seed: int = 0,
    threads: int | None = None,
    processes: int = 1,
    limit: int | None = None,
    quiet: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Measure methods on a folder of clean pictures; rows already there are not repeated.

    Args:
        data: folder of clean pictures; for this and the other rules see `make_suite`.
        methods: names, see `degrain.bench.methods`; none: `METHODS`.
        results: a `.jsonl` file, or a folder in which `results.jsonl` is kept; appended to.
        gray: judge gray pictures.
        noise: noise specs.
        conversion: how color becomes gray.
        ids: list of the pictures to take.
        protocol: "float" or "clip8".
        seed: of the noise.
        threads: per method; None: as many as there are cores.
        processes: how many pictures are worked on at once.
        limit: take the first so many pictures.
        quiet: show no progress bar.
        on_progress: gets the share done, 0..1.

    Returns:
        How many rows failed in this run; they are marked, and tried again by the next run.

    Raises:
        UsageError: something asked for does not exist.
        ModelError: a damaged model file.
    """
    suite = make_suite(
        data,
        noise=noise,
        gray=gray,
        conversion=conversion,
        ids=ids,
        protocol=protocol,
        seed=seed,
        limit=limit,
    )
    return run_suite(
        suite,
        methods,
        results,
        threads=threads,
        processes=processes,
        quiet=quiet,
        on_progress=on_progress,
    )


def run_suite(
    suite: Suite,
    methods: Sequence[str | Method],
    results: Path,
    *,
    threads: int | None = None,
    processes: int = 1,
    quiet: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Measure methods on a suite; see `run`.

    Args:
        suite: pictures, noise and rules.
        methods: names, or methods that are open already.
        results: see `run`.
        threads: per method and process.
        processes: how many pictures are worked on at once; more than one needs names.
        quiet: show no progress bar.
        on_progress: gets the share done, 0..1.

    Returns:
        How many rows failed in this run.
    """
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    opened = {
        wish: wish
        if isinstance(wish, Method)
        else open_method(wish, gray=suite.gray, threads=threads)
        for wish in dict.fromkeys(methods or METHODS)
    }
    file = results_file(results)
    tasks = _tasks(suite, list(opened.values()), file)
    facts = {**_facts(suite, threads), "processes": processes}
    rows = _measure(suite, tasks)
    if processes > 1:
        names = {method.name: wish for wish, method in opened.items() if isinstance(wish, str)}
        rows = _measure_at_once(suite, tasks, names, threads, processes)
    failures = 0
    with _appending(file) as stream, contextlib.closing(rows):
        bar = tqdm(total=len(tasks), disable=True if quiet else None, file=sys.stderr, unit="row")
        with bar:
            for number, row in enumerate(rows, start=1):
                stream.write(json.dumps({**facts, **row}, ensure_ascii=False) + "\n")
                stream.flush()
                failures += row["status"] == "failed"
                bar.update()
                if on_progress:
                    on_progress(number / len(tasks))
    return failures


def results_file(results: Path) -> Path:
    """The JSON-lines file meant by `results`: itself, or `results.jsonl` in that folder."""
    return results if results.suffix == ".jsonl" else results / "results.jsonl"


def read_rows(file: Path) -> list[Row]:
    """All rows; a line cut short by a crash is left out."""
    rows: list[Row] = []
    if not file.is_file():
        return rows
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and all(name in row for name in (*KEY, "status")):
            rows.append(row)
    return rows


def _tasks(suite: Suite, methods: Sequence[Method], file: Path) -> list[Task]:
    """What is not measured yet, picture by picture."""
    done = {tuple(row[name] for name in KEY) for row in read_rows(file) if row["status"] == "ok"}
    return [
        Task(picture, noise, method)
        for picture in suite.names
        for noise in suite.noise
        for method in methods
        if (suite.rules, method.name, method.version, picture, noise) not in done
    ]


def _measure(suite: Suite, tasks: Sequence[Task]) -> Generator[Row]:
    """Rows in the order of the tasks; picture and noise are made once for all methods."""
    made: tuple[str, str] | None = None
    clean = noisy = np.zeros((0, 0), np.float32)
    for task in tasks:
        row: Row = {
            "method": task.method.name,
            "version": task.method.version,
            "picture": task.picture,
            "noise": task.noise,
        }
        try:
            if made != (task.picture, task.noise):
                clean = suite.clean(task.picture)
                noisy = suite.noisy(clean, task.picture, task.noise)
                made = (task.picture, task.noise)
            yield {**row, "status": "ok", **_judge(task, clean, noisy)}
        except Exception as error:  # a competitor may fail in any way; the others go on
            problem = f"{type(error).__name__}: {error}"
            yield {**row, "status": "failed", "problem": problem}


def _measure_at_once(
    suite: Suite,
    tasks: Sequence[Task],
    names: Mapping[str, str],
    threads: int | None,
    processes: int,
) -> Generator[Row]:
    """The same rows in the order in which they are ready, from several processes.

    Each process opens its methods itself, by name: sessions do not travel between processes.
    """
    jobs: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        jobs.setdefault((task.picture, task.noise), []).append(names[task.method.name])
    # Not forked: the threads of ONNX Runtime do not survive that.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, max(1, len(jobs))), mp_context=context)
    try:
        futures = [
            pool.submit(_measure_one, suite, *job, wanted, threads) for job, wanted in jobs.items()
        ]
        for future in as_completed(futures):
            yield from future.result()
    except BrokenProcessPool as error:
        msg = (
            "A process of the bench died, perhaps for lack of memory; run the same command again "
            "with fewer --processes: finished rows are kept."
        )
        raise PictureError(msg) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _measure_one(
    suite: Suite, picture: str, noise: str, wanted: Sequence[str], threads: int | None
) -> list[Row]:
    """All rows of one noisy picture, in a process of its own."""
    methods = [_opened_here(name, suite.gray, threads) for name in wanted]
    return list(_measure(suite, [Task(picture, noise, method) for method in methods]))


@functools.cache
def _opened_here(name: str, gray: bool, threads: int | None) -> Method:
    """A method, opened once a process."""
    return open_method(name, gray=gray, threads=threads)


def _judge(task: Task, clean: Floats, noisy: Floats) -> Row:
    """Denoise and compare."""
    start = time.perf_counter()
    result, sigma = task.method.run(noisy, task.noise)
    seconds = time.perf_counter() - start
    if not np.isfinite(result).all():
        msg = f"The method {task.method.name} gave NaN or infinity."
        raise PictureError(msg)
    quality = psnr(clean, result)
    large = min(clean.shape[:2]) > 2 * RADIUS
    return {
        "psnr": round(quality, 4) if math.isfinite(quality) else None,  # JSON has no infinity
        "ssim": round(ssim(clean, result), 5) if large else None,
        "seconds": round(seconds, 5),
        "megapixels": clean.shape[0] * clean.shape[1] / 1e6,
        "sigma": sigma,
    }


def _facts(suite: Suite, threads: int | None) -> Row:
    """What is the same for all rows of one run."""
    return {
        "rules": suite.rules,
        "data": suite.data,
        "gray": suite.gray,
        "protocol": suite.protocol,
        "seed": suite.seed,
        "threads": threads,
        "versions": _versions(),
    }


def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for name in ("degrain", "numpy", "onnxruntime"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _appending(file: Path) -> TextIO:
    """The results file opened for appending, on a fresh line even after a crash."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        cut = file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n")
        stream = file.open("a", encoding="utf-8")
    except OSError as error:
        msg = f"The results cannot be written to {file} ({error.strerror}); choose another place."
        raise UsageError(msg) from error
    if cut:
        stream.write("\n")
    return stream
