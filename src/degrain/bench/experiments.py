"""Experiments: the figures and tables of a paper from one command, `degrain bench NAME`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from degrain.bench.suites import PRESETS
from degrain.bench.wishes import Wishes
from degrain.errors import UsageError

Experiment = Callable[[Wishes], int]
"""Does everything, writes into the results folder, and returns the exit code."""


def _jain_seung(wishes: Wishes) -> int:
    from degrain.bench.jain_seung import run_jain_seung

    return run_jain_seung(wishes)


def _divakar_babu(wishes: Wishes) -> int:
    """The first of the methods is the network itself, the others are an ablation's."""
    from degrain.bench.divakar_babu import Request, run_divakar_babu

    model, *variants = wishes.references or ("divakar-babu",)
    request = Request(
        wishes.data,
        wishes.results,
        model=model.removeprefix("onnx:"),
        variants=variants,
        runs=wishes.runs,
        voc=wishes.voc,
        voc_ids=wishes.voc_ids,
        ids=wishes.ids,
        limit=wishes.limit,
        seed=wishes.seed,
        threads=wishes.threads,
        processes=wishes.processes,
        quiet=wishes.quiet,
    )
    return run_divakar_babu(request)


EXPERIMENTS: Mapping[str, Experiment] = {
    "divakar-babu": _divakar_babu,
    "jain-seung": _jain_seung,
}
"""By the name that the command takes."""


def find_experiment(name: str) -> Experiment:
    """The experiment of this name.

    Raises:
        UsageError: there is none; the nearest names of suites and experiments are told.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    names = [*PRESETS, *EXPERIMENTS]
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    msg = f"There is no suite or experiment {name!r}; did you mean {' or '.join(nearest)}?"
    raise UsageError(msg)
