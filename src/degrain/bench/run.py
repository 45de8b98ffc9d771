"""The bench: every method on every picture with every noise, one row each, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from degrain.bench.cost import macs_for_rows
from degrain.bench.crops import save_windows
from degrain.bench.methods import Floats, Method, open_method
from degrain.bench.parallel import Measure, measure_at_once
from degrain.bench.provenance import commit, forget_peak, machine, peak_mb, versions
from degrain.bench.rows import FORMAT, KEY, Row, appending, read_rows, results_file
from degrain.bench.suites import NOISE, Suite, make_suite
from degrain.engines.onnx import available_threads
from degrain.errors import MissingPackageError, PictureError
from degrain.metrics import RADIUS, psnr, ssim
from degrain.versions import FAMILIES

__all__ = [
    "KEY",
    "METHODS",
    "Row",
    "quick_methods",
    "read_rows",
    "results_file",
    "run",
    "run_suite",
]

QUICK = ("nlm", "nlm-skimage", "wavelet", "tv", "bm3d")
"""Judged by `--quick` besides those, where installed."""
SLOW_PICTURES = 10
"""Pictures that slow methods are judged on, unless more are asked for."""
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
    slow_pictures: int | None = SLOW_PICTURES,
    crops: bool = False,
    quiet: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Measure methods on a suite; see `run`.

    Args:
        suite: pictures, noise and rules.
        methods: names, or methods that are open already.
        results: see `run`.
        threads: per method and process; None: all cores, or with several processes their share.
        processes: how many pictures are worked on at once; more than one needs names.
        slow_pictures: size of the seeded subset for slow methods; None: all pictures.
        crops: keep crops of results for the report, see `degrain.bench.crops`.
        quiet: show no progress bar.
        on_progress: gets the share done, 0..1.

    Returns:
        How many rows failed in this run.
    """
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    cores = available_threads()
    if processes > 1 and threads is None:
        threads = max(1, cores // processes)
    opened = _opened(methods or METHODS, suite, threads)
    file = results_file(results)
    tasks = _tasks(suite, list(opened.values()), file, slow_pictures)
    shots = file.with_suffix(".crops") if crops else None
    measure = partial(measure_picture, shots=shots)
    facts = {**_facts(suite, threads), "processes": processes}
    counts = _counts(opened, tasks)
    rows = _measure(suite, tasks, measure)
    if processes > 1:
        names = {method.name: wish for wish, method in opened.items() if isinstance(wish, str)}
        jobs = _jobs({t: names[t.method.name] for t in tasks})
        rows = measure_at_once(suite, jobs, measure, threads=threads or 1, processes=processes)
    failures = 0
    with appending(file) as stream, contextlib.closing(rows):
        bar = tqdm(total=len(tasks), disable=True if quiet else None, file=sys.stderr, unit="row")
        with bar:
            for number, row in enumerate(rows, start=1):
                whole = {**facts, **row, "macs_per_pixel": counts[row["method"]]}
                stream.write(json.dumps(whole, ensure_ascii=False) + "\n")
                stream.flush()
                if row["status"] == "failed":
                    failures += 1
                    bar.write(_complaint(row), file=sys.stderr)
                bar.update()
                if on_progress:
                    on_progress(number / len(tasks))
    return failures


def quick_methods(*, gray: bool) -> list[str]:
    """The quick ones that are installed: a taste of the field."""
    found = list(METHODS)
    for name in QUICK:
        with contextlib.suppress(MissingPackageError):
            open_method(name, gray=gray)
            found.append(name)
    return found


def _opened(
    methods: Sequence[str | Method], suite: Suite, threads: int | None
) -> dict[str | Method, Method]:
    """Every method once, ready; also one that is wished for under two names."""
    opened: dict[str | Method, Method] = {}
    known = set()
    for wish in dict.fromkeys(methods):
        method = wish
        if not isinstance(method, Method):
            method = open_method(method, gray=suite.gray, threads=threads)
        if (method.name, method.version) not in known:
            opened[wish] = method
        known.add((method.name, method.version))
    return opened


def _counts(
    opened: Mapping[str | Method, Method], tasks: Sequence[Task]
) -> dict[str, float | None]:
    """Multiply-accumulates per pixel by method name, of those with something left to do."""
    wanted = {task.method.name for task in tasks}
    # By the wish: a model file is known by its path, but its method bears the name in its card.
    return {
        method.name: macs_for_rows(
            wish if isinstance(wish, str) and wish not in FAMILIES else method.name,
            method.version,
        )
        for wish, method in opened.items()
        if method.name in wanted
    }


def _complaint(row: Row) -> str:
    """What the user hears of a failed row at once."""
    return f"degrain: {row['method']} failed on {row['picture']} ({row['noise']}): {row['problem']}"


def _tasks(
    suite: Suite, methods: Sequence[Method], file: Path, slow_pictures: int | None
) -> list[Task]:
    """What is not measured yet, picture by picture; slow methods get the seeded subset."""
    done = {tuple(row[name] for name in KEY) for row in read_rows(file) if row["status"] == "ok"}
    subset = set(suite.ranked()[:slow_pictures])
    return [
        Task(picture, noise, method)
        for picture in suite.names
        for noise in suite.noise
        for method in methods
        if (suite.rules, method.name, method.version, picture, noise) not in done
        and (picture in subset or not method.slow)
    ]


def _jobs(tasks: Mapping[Task, str]) -> dict[tuple[str, str], list[str]]:
    """Names of methods by picture and noise; slow ones are jobs of their own by coming first."""
    jobs: dict[tuple[str, str], list[str]] = {}
    for task, name in tasks.items():
        jobs.setdefault((task.picture, task.noise), []).append(name)
    return jobs


def _measure(suite: Suite, tasks: Sequence[Task], measure: Measure) -> Generator[Row]:
    """Rows in the order of the tasks; picture and noise are made once for all methods."""
    for (picture, noise), own in groupby(tasks, key=lambda task: (task.picture, task.noise)):
        yield from measure(suite, picture, noise, [task.method for task in own])


def measure_picture(
    suite: Suite, picture: str, noise: str, methods: Iterable[Method], *, shots: Path | None
) -> Iterator[Row]:
    """A row for each method on one noisy picture; what fails is marked, the others go on.

    Args:
        suite: pictures, noise and rules.
        picture: its name.
        noise: its noise spec.
        methods: judged one after the other.
        shots: folder for crops, or None.
    """
    noisy: tuple[Floats, Floats] | None = None
    for method in methods:
        row: Row = {
            "method": method.name,
            "version": method.version,
            "picture": picture,
            "noise": noise,
        }
        try:
            if noisy is None:
                clean = suite.clean(picture)
                noisy = clean, suite.noisy(clean, picture, noise)
            judged = _judge(method, noise, *noisy)
            result = judged.pop("result")
            if shots is not None:
                named = f"{method.name}\n{method.version}"
                judged |= save_windows(shots, suite, (picture, noise), noisy, result, named)
            yield {**row, "status": "ok", **judged}
        except Exception as error:  # a competitor may fail in any way; the others go on
            problem = f"{type(error).__name__}: {error}"
            yield {**row, "status": "failed", "problem": problem}


def _judge(method: Method, noise: str, clean: Floats, noisy: Floats) -> Row:
    """Denoise and compare; the result itself is among what comes back."""
    own = noisy.copy()  # a method may work in place
    counted = forget_peak()
    start = time.perf_counter()
    result, sigma = method.run(own, noise)
    seconds = time.perf_counter() - start
    memory = round(peak_mb(), 1) if counted else None
    if not np.isfinite(result).all():
        msg = f"The method {method.name} gave NaN or infinity."
        raise PictureError(msg)
    quality = psnr(clean, result)
    large = min(clean.shape[:2]) > 2 * RADIUS
    return {
        "psnr": round(quality, 4) if math.isfinite(quality) else None,  # JSON has no infinity
        "ssim": round(ssim(clean, result), 5) if large else None,
        "seconds": round(seconds, 5),
        "peak_mb": memory,
        "megapixels": clean.shape[0] * clean.shape[1] / 1e6,
        "sigma": sigma,
        "result": result,
    }


def _facts(suite: Suite, threads: int | None) -> Row:
    """What is the same for all rows of one run."""
    cores = available_threads()
    return {
        "format": FORMAT,
        "rules": suite.rules,
        "data": suite.data,
        "gray": suite.gray,
        "protocol": suite.protocol,
        "seed": suite.seed,
        "threads": threads,
        "versions": versions(),
        "machine": f"{machine()}, {cores} core{'s' if cores > 1 else ''}",
        "commit": commit(),
    }
