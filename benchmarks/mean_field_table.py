"""The table of mean-field networks in docs/explanation/jain-seung-2008.md, from measured rows.

    python benchmarks/mean_field_table.py

Reads the rows that `degrain bench` wrote to benchmarks/results/mean-field/ (the commands stand in
the page) and CN1's, which were measured by the same rules, and writes the table beside the first,
as report.md, for benchmarks/fill_page.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from degrain.bench.paired import mean_of
from degrain.bench.tables import Comparison, read_comparisons

RESULTS = Path(__file__).parent / "results"
SPECS = ("gaussian:25", "gaussian:50")
NETS = {
    "onnx:mean-field.onnx": "`mean-field`: tied weights, the picture to every layer (Eq. 4)",
    "onnx:mean-field-50.onnx": "`mean-field-50`: the same, for σ 50",
    "onnx:mean-field-untied.onnx": "`mean-field-untied`: each layer has its own weights",
    "onnx:mean-field-first-input.onnx": "`mean-field-first-input`: only the first sees the picture",
    "onnx:mean-field-neither.onnx": "`mean-field-neither`: both of these",
    "onnx:cn1-same-time.onnx": "CN1 (`jain-seung`) after as many minutes",
    "jain-seung-cn1-25": "CN1 as shipped for σ 25",
    "jain-seung-cn1-50": "CN1 as shipped for σ 50",
}


def main() -> None:
    """Write the block."""
    (nets,) = read_comparisons(RESULTS / "mean-field")
    paper = read_comparisons(RESULTS / "jain-seung")
    same = [comparison for comparison in paper if comparison.rules == nets.rules]
    if not same:
        sys.exit("CN1 and the mean-field networks were not measured by the same rules")
    rows = [line(name, label, [nets, *same]) for name, label in NETS.items()]
    table = "\n".join(["| network | σ 25 | σ 50 |", "|---|---|---|", *filter(None, rows)])
    text = f"<!-- block mean-field -->\n{table}\n<!-- end mean-field -->\n"
    (RESULTS / "mean-field" / "report.md").write_text(text, encoding="utf-8", newline="\n")


def line(name: str, label: str, comparisons: list[Comparison]) -> str:
    """A row of the table, empty at noise levels that were not measured; nothing if none was."""
    cells = []
    for spec in SPECS:
        found = [
            value
            for comparison in comparisons
            for who in comparison.competitors
            if Path(who[0]).name == Path(name).name
            for value in comparison.psnr(who, spec).values()
        ]
        cells.append(f"{mean_of(found).value:.2f} dB" if found else "")
    return f"| {label} | {' | '.join(cells)} |" if any(cells) else ""


if __name__ == "__main__":
    main()
