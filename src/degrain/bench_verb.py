"""The verb `bench`: suites, experiments and drawings of filters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from degrain.errors import UsageError
from degrain.extras import needs_extra

if TYPE_CHECKING:
    from degrain.cli_bench import Bench


def bench_suite(options: Bench) -> int:
    """Measure denoisers and print the tables; the body of `degrain bench`."""
    from degrain.bench.report import report
    from degrain.bench.run import quick_methods, run_suite
    from degrain.bench.suites import PRESETS, named_suite

    _check_counts(options)
    if options.suite not in PRESETS:
        return _bench_experiment(options)
    suite = named_suite(
        options.suite,
        options.data,
        noise=options.noise,
        ids=options.ids,
        quick=options.quick,
        limit=options.limit,
        noisy=options.noisy,
        conversion=options.conversion,
        protocol=options.protocol,
        seed=options.seed,
    )
    failures = run_suite(
        suite,
        options.method or (quick_methods(gray=suite.gray) if options.quick else ()),
        options.output,
        threads=options.threads,
        processes=options.processes,
        slow_pictures=options.slow_pictures or None,
        crops=True,
        quiet=options.quiet,
    )
    print(report(options.output), end="")
    return 1 if failures else 0


def _check_counts(options: Bench) -> None:
    """Raise UsageError for numbers of pictures, processes or threads that make no sense."""
    least = {"limit": 1, "processes": 1, "threads": 1, "slow_pictures": 0}
    for name, low in least.items():
        value = getattr(options, name)
        if value is not None and value < low:
            flag = name.replace("_", "-")
            msg = f"--{flag} {value} makes no sense; give {low} or more."
            raise UsageError(msg)


def _limit(options: Bench) -> int | None:
    """How many pictures at most."""
    from degrain.bench.suites import QUICK_PICTURES

    quick = QUICK_PICTURES if options.quick else None
    return quick if options.limit is None else options.limit


def _bench_experiment(options: Bench) -> int:
    """An experiment, which has its own noise and rules.

    Raises:
        UsageError: there is no such experiment, or the options would change its rules.
    """
    from degrain.bench.experiments import find_experiment
    from degrain.bench.wishes import Wishes

    experiment = find_experiment(options.suite)
    wrong = {
        "--noise": options.noise != (),
        "--noisy": options.noisy is not None,
        "--conversion": options.conversion != "luma",
        "--protocol": options.protocol != "float",
    }
    named = " and ".join(name for name, given in wrong.items() if given)
    if named:
        msg = f"The experiment {options.suite} has rules of its own; leave out {named}."
        raise UsageError(msg)
    wishes = Wishes(
        data=options.data,
        results=options.output,
        references=options.method,
        ids=options.ids,
        limit=_limit(options),
        quick=options.quick,
        seed=options.seed,
        threads=options.threads,
        processes=options.processes,
        voc=options.voc,
        voc_ids=options.voc_ids,
        runs=options.runs,
        quiet=options.quiet,
    )
    with needs_extra("bench", "The experiment"):
        return experiment(wishes)


def bench_filters(model: str, output: Path, layers: int) -> int:
    """Draw the first filters of a model; the body of `degrain bench filters`."""
    from degrain.zoo.store import load_model

    if output.suffix.lower() != ".png" or layers < 1:
        msg = "Name an output that ends in .png, and at least one layer."
        raise UsageError(msg)
    card = load_model(model)
    with needs_extra("bench", "Drawing filters"):
        from degrain.bench import figures, kernels

        drawn = kernels.read_layers(card.path)[:layers]
        figures.filters(drawn, f"{card.name}: learned filters", output)
    print(f"{output}: {', '.join(f'{layer.name} {layer.count}' for layer in drawn)}")
    return 0
