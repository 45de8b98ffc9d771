"""The table of 9×9 windows in docs/explanation/divakar-babu-2017.md, from measured rows.

    python benchmarks/window_table.py

Reads the rows of benchmarks/window.py in benchmarks/results/window/ and, for the same noisy
pictures, those of BM3D and of the shipped network in benchmarks/results/divakar-babu/; writes the
table beside the first, as report.md, for benchmarks/fill_page.py.
"""

from __future__ import annotations

from pathlib import Path

from degrain.bench.paired import mean_of, paired, psnr_by_picture
from degrain.bench.rows import Row, latest_rows

RESULTS = Path(__file__).parent / "results"
SPECS = tuple(f"gaussian:{sigma}" for sigma in (10, 15, 20, 25))
BASE = "bm3d"
METHODS = {
    "window-9": "best guess from a 9×9 window, told σ",
    "single": "the paper's network, trained for this σ alone",
    "window-9-blind": "best guess from a 9×9 window, blind",
    "divakar-babu": "the paper's network, blind (shipped, phase 2)",
}
SINGLE = "onnx:single-{}.onnx"


def main() -> None:
    """Write the block."""
    own = latest_rows(RESULTS / "window" / "results.jsonl")
    pictures = {row["picture"] for row in own}
    (data,) = {row["data"] for row in own}
    rows = [row for row in own if row["method"] != BASE]
    rows += [
        row
        for row in latest_rows(RESULTS / "divakar-babu" / "results.jsonl")
        if row["method"] in (BASE, "divakar-babu")
        and row["picture"] in pictures
        and same_noise(row, own[0])
    ]
    lines = [
        f"{protocol(own[0])}; {len(pictures)} pictures, data {data}.",
        "",
        f"| | {' | '.join(spec.replace('gaussian:', 'σ ') for spec in SPECS)} |",
        "|---" * (len(SPECS) + 1) + "|",
        line("BM3D (told σ), dB", [f"{mean(rows, BASE, spec):.2f}" for spec in SPECS]),
        *(line(f"{label}, dB", cells(rows, name)) for name, label in METHODS.items()),
        *(line(f"{label} − BM3D, dB", margins(rows, name)) for name, label in METHODS.items()),
    ]
    text = "\n".join(["<!-- block window -->", *lines, "<!-- end window -->", ""])
    (RESULTS / "window" / "report.md").write_text(text, encoding="utf-8", newline="\n")


def protocol(row: Row) -> str:
    """The rules without the pictures they were applied to."""
    return str(row["rules"]).rpartition("; ")[0]


def same_noise(row: Row, other: Row) -> bool:
    """Noise depends on seed, picture and level; not on which other pictures were measured."""
    return protocol(row) == protocol(other) and row["seed"] == other["seed"]


def by_picture(rows: list[Row], name: str, spec: str) -> dict[str, float]:
    """PSNR of a method; the networks of a single level are a file for each."""
    file = SINGLE.format(spec.partition(":")[2]) if name == "single" else name
    return psnr_by_picture(rows, file, spec)


def mean(rows: list[Row], name: str, spec: str) -> float:
    """Over all pictures."""
    return mean_of(by_picture(rows, name, spec).values()).value


def cells(rows: list[Row], name: str) -> list[str]:
    """PSNR at every level, empty where it was not measured."""
    found = [(spec, by_picture(rows, name, spec)) for spec in SPECS]
    return [f"{mean(rows, name, spec):.2f}" if values else "" for spec, values in found]


def margins(rows: list[Row], name: str) -> list[str]:
    """Less BM3D, with standard errors over the pictures."""
    found = [
        paired(by_picture(rows, name, spec), by_picture(rows, BASE, spec)).mean for spec in SPECS
    ]
    return [f"{gap.value:+.2f} (± {gap.error:.2f})" if gap.count else "" for gap in found]


def line(label: str, values: list[str]) -> str:
    """A row of the table."""
    return f"| {label} | {' | '.join(values)} |"


if __name__ == "__main__":
    main()
