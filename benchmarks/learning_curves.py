"""Draw how runs of `degrain train` learned: PSNR on held-out pictures over pixels seen.

    python benchmarks/learning_curves.py NAME=RUN ... --data CURVES.json --figure FIGURE.png

Runs for several noise levels may share a name. Of each metrics.jsonl what is drawn is copied into
the JSON file, so that the figure can be drawn again without the runs: give none, then.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FEW = 5
"""Validations of a run below which each is marked."""
COLUMNS = 3
"""Of the legend."""
COLORS = 10
"""That Matplotlib has for lines."""
DEEPEST = 2.5
"""What lies so many dB below the best of a panel is left out."""

Curves = dict[str, dict[str, list[list[float]]]]
"""Label -> noise spec -> [millions of pixels, PSNR in dB]."""


def main() -> None:
    """Collect and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    if options.runs:
        found: Curves = {}
        for text in options.runs:
            name, curves = read_run(text)
            found.setdefault(name, {}).update(curves)
        options.data.write_text(json.dumps(found, indent=None) + "\n", encoding="utf-8")
    draw(json.loads(options.data.read_text(encoding="utf-8")), options.figure)


def read_run(text: str) -> tuple[str, dict[str, list[list[float]]]]:
    """`NAME=RUN` to the name and the curves at the noise levels that the run was trained for."""
    name, _, run = text.partition("=")
    recipe = json.loads((Path(run) / "config.json").read_text(encoding="utf-8"))["recipe"]
    lines = (Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    curves: dict[str, list[list[float]]] = {}
    for row in map(json.loads, lines):
        for spec, psnr in row["psnr"].items():
            if spec == recipe["noise"] or is_mixed(recipe["noise"]):
                curve = curves.setdefault(spec, [])
                # What came after the checkpoint that a resumed run went on from does not count.
                curve[:] = [point for point in curve if point[0] < row["pixels"] / 1e6]
                curve.append([row["pixels"] / 1e6, round(psnr, 3)])
    return name, curves


def is_mixed(noise: str) -> bool:
    """Whether a network trained on this noise learns every level at once."""
    return "-" in noise or noise == "camera"


def draw(curves: Curves, path: Path) -> None:
    """One panel for each noise level, one line for each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    specs = sorted(
        {spec for of_run in curves.values() for spec in of_run},
        key=lambda spec: float(spec.partition(":")[2] or 0),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (len(curves) + COLUMNS - 1) // COLUMNS
    size = (4 * len(specs), 3.2 + 0.25 * rows)
    figure, panels = pyplot.subplots(1, len(specs), figsize=size, squeeze=False)
    for spec, axes in zip(specs, panels[0], strict=True):
        for number, (name, of_run) in enumerate(curves.items()):
            if spec in of_run:
                x, y = zip(*of_run[spec], strict=True)
                axes.plot(x, y, **look(number), marker="." if len(x) < FEW else None, label=name)
        finish(axes, spec)
    lines = {line.get_label(): line for axes in panels[0] for line in axes.lines}
    figure.legend(lines.values(), lines, ncols=COLUMNS, loc="lower center", frameon=False)
    figure.tight_layout(rect=(0, 0.25 * rows / size[1], 1, 1))
    figure.savefig(path, dpi=110, metadata={"Software": ""})


def look(number: int) -> dict[str, str]:
    """Of one line: when the colors are used up they come again, dashed."""
    return {"color": f"C{number}", "linestyle": "--" if number >= COLORS else "-"}


def finish(axes: Any, spec: str) -> None:
    """Titles and a calm frame; the first steps, far below, are left out."""
    level = spec.partition(":")[2]
    axes.set_title(f"σ {level}" if level else spec)
    axes.set_xlabel("million pixels")
    axes.set_ylabel("PSNR in dB, held-out pictures")
    shown = [value for line in axes.lines for value in line.get_ydata()]
    axes.set_ylim(max(max(shown) - DEEPEST, min(shown) - 0.05), max(shown) + 0.05)
    axes.locator_params(axis="x", nbins=5)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
