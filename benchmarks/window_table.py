"""The tables of 9×9 windows in docs/explanation/divakar-babu-2017.md, from measured rows.

    python benchmarks/window_table.py

Reads the rows of benchmarks/window.py in benchmarks/results/window/ and, for the same noisy
pictures, those of BM3D and of the networks there and in benchmarks/results/divakar-babu/; writes
the tables beside the first, as report.md, for benchmarks/fill_page.py.
"""

from __future__ import annotations

from pathlib import Path

from degrain.bench.divakar_babu_report import PUBLISHED
from degrain.bench.paired import mean_of, paired, psnr_by_picture
from degrain.bench.rows import Row, latest_rows

RESULTS = Path(__file__).parent / "results"
WINDOWS = RESULTS / "window" / "results.jsonl"
LEVELS = RESULTS / "window" / "levels.jsonl"
PAPER = RESULTS / "divakar-babu" / "results.jsonl"
SPECS = tuple(f"gaussian:{sigma}" for sigma in (10, 15, 20, 25))
BASE = "bm3d"
METHODS = {
    "window-9": "best guess from a 9×9 window, told σ",
    "level": "the paper's network, trained for this σ alone",
    "window-9-blind": "best guess from a 9×9 window, blind",
    "divakar-babu": "the paper's network, blind (shipped, phase 2)",
}
ONE_LEVEL = {"level": "divakar-babu-{}", "best-level": "onnx:best-{}.onnx"}
"""Methods that are another network at every level."""
AGAINST = "that − BM3D, dB (± standard error)"
ESTIMATED = "these networks, blind: σ estimated from the whole picture"
BEST = "the best variant (17×17 window), trained for this σ alone"


def main() -> None:
    """Write both blocks."""
    blocks = {"window": window_block(), "levels": levels_block()}
    text = "\n".join(
        f"<!-- block {name} -->\n{b}\n<!-- end {name} -->" for name, b in blocks.items()
    )
    (RESULTS / "window" / "report.md").write_text(text + "\n", encoding="utf-8", newline="\n")


def window_block() -> str:
    """What the window tells, beside the networks, on the pictures that windows were tried on."""
    own = latest_rows(WINDOWS)
    rows = [*own, *others(own)]
    return table(
        own[0],
        [
            line("BM3D (told σ), dB", cells(rows, BASE)),
            *(line(f"{label}, dB", cells(rows, name)) for name, label in METHODS.items()),
            *(line(f"{label} − BM3D, dB", margins(rows, name)) for name, label in METHODS.items()),
        ],
    )


def levels_block() -> str:
    """A network for each level, on all of the Berkeley pictures, and the paper's margins."""
    own = latest_rows(LEVELS)
    rows = others(own)
    published = [
        line(f"published after {phase} − BM3D (300 pictures)", [f"{v:+.2f}" for v in values])
        for phase, values in PUBLISHED.items()
    ]
    return table(
        own[0],
        [
            line("BM3D (told σ), dB", cells(rows, BASE)),
            line(f"{METHODS['level']}, dB", cells(rows, "level")),
            line(AGAINST, margins(rows, "level")),
            line(f"{ESTIMATED}, dB", cells(rows, "python:benchmarks/estimated_level.py")),
            line(AGAINST, margins(rows, "python:benchmarks/estimated_level.py")),
            line(f"{BEST}, dB", cells(rows, "best-level")),
            line(AGAINST, margins(rows, "best-level")),
            line("shipped, blind, phase 2 − BM3D", margins(rows, "divakar-babu")),
            *published,
        ],
    )


def table(first: Row, lines: list[str]) -> str:
    """The lines under the noise levels, and before them what was measured."""
    heads = " | ".join(spec.replace("gaussian:", "σ ") for spec in SPECS)
    rule = "|---" * (len(SPECS) + 1) + "|"
    return "\n".join([f"{first['rules']}.", "", f"| | {heads} |", rule, *lines])


def others(own: list[Row]) -> list[Row]:
    """BM3D and the networks on the same noisy pictures."""
    pictures = {row["picture"] for row in own}
    return [
        row
        for path in (LEVELS, PAPER)
        for row in latest_rows(path)
        if row["picture"] in pictures and same_noise(row, own[0])
    ]


def protocol(row: Row) -> str:
    """The rules without the pictures they were applied to."""
    return str(row["rules"]).rpartition("; ")[0]


def same_noise(row: Row, other: Row) -> bool:
    """Noise depends on seed, picture and level; not on which other pictures were measured."""
    return protocol(row) == protocol(other) and row["seed"] == other["seed"]


def by_picture(rows: list[Row], name: str, spec: str) -> dict[str, float]:
    """PSNR of a method; of the networks for one level, that of this one."""
    method = ONE_LEVEL.get(name, name).format(spec.partition(":")[2])
    return psnr_by_picture(rows, method, spec)


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
