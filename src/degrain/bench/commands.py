"""The bodies of `degrain bench report`, `cost` and `learn`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain.errors import MissingPackageError, UsageError
from degrain.outputs import check_writable

if TYPE_CHECKING:
    from degrain.cli_bench import BenchCost, BenchLearn, BenchReport


def bench_learn(options: BenchLearn) -> int:
    """Learn a baseline's parameters; the body of `degrain bench learn`."""
    from degrain.bench.learning import learn

    learn(options.name, options.data, options.output, effort=options.effort, seed=options.seed)
    size = Path(options.output).stat().st_size / 1e3
    print(f"{options.output}: {size:.0f} kB; use it as --method {options.name}:{options.output}")
    return 0


def bench_report(options: BenchReport) -> int:
    """Print the tables and write the files asked for; the body of `degrain bench report`."""
    from degrain.bench.report import report, report_csv

    text = report(options.results, against=options.against, ids=options.ids)
    if options.csv is not None:
        _write(options.csv, report_csv(options.results, options.ids))
    if options.html is not None:
        try:
            from degrain.bench.page import page

            text_of_page = page(options.results, against=options.against, ids=options.ids)
            _write(options.html, text_of_page)
        except ModuleNotFoundError as error:
            msg = (
                f'The page needs {error.name}, which is not installed; pip install "degrain[bench]"'
            )
            raise MissingPackageError(msg) from error
    print(text, end="")
    return 0


def bench_cost(options: BenchCost) -> int:
    """Measure costs and write them as JSON; the body of `degrain bench cost`."""
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    from degrain.bench.cost import measure_cost

    if options.runs < 1 or any(n < 1 for n in (*options.sides, *options.threads)):
        msg = "Sides, threads and runs must be 1 or more."
        raise UsageError(msg)
    check_writable(options.output)
    with tqdm(disable=True if options.quiet else None, file=sys.stderr, unit="run") as bar:
        found = measure_cost(
            options.method,
            gray=not options.color,
            sides=options.sides,
            threads=options.threads,
            runs=options.runs,
            on_run=bar.update,
        )
    _write(options.output, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(cost_table(found), end="")
    return 0


def cost_table(found: dict[str, Any]) -> str:
    """Costs as a Markdown table: ratios first, seconds only for the machine they were taken on."""
    from degrain.bench.clock import REFERENCE
    from degrain.bench.report import markdown_table
    from degrain.bench.tables import label

    added = {(row["method"], row["side_px"]): row["added_mb"] for row in found["memory"]}
    lines = []
    for row in found["time"]:
        macs = found["macs_per_pixel"].get(row["method"])
        memory = added.get((row["method"], row["side_px"]))
        # The reference is the same work whatever the picture.
        per_megapixel = "-" if row["method"] == REFERENCE else f"{row['seconds_per_megapixel']:.3g}"
        lines.append(
            [
                label((row["method"], "")),
                f"{row['side_px']}×{row['side_px']}",
                str(row["threads"]),
                f"{row['ratio']:.3g}",
                per_megapixel,
                "-" if memory is None else f"{memory:.0f}",
                "-" if macs is None else f"{macs:,.0f}",
            ]
        )
    heads = ["method", "picture", "threads", "time / reference", "s per megapixel", "added MB"]
    table = markdown_table([*heads, "multiply-accumulates a pixel"], lines)
    note = "compare numbers of this table with one another only"
    return f"{table}\n\nOn {found['machine']}; {note}.\n"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}); choose another place."
        raise UsageError(msg) from error
