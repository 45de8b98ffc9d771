"""Plots of the report as SVG text (matplotlib): Pareto fronts and strips of pictures."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from degrain.bench.figures import COLORS, GRAY, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Mapping[str, tuple[float, float]]
"""Label -> (cost, PSNR in dB)."""


def pareto_front(points: Points) -> list[str]:
    """Labels of the points that no other beats in both cost and quality, by rising cost."""
    front: list[str] = []
    best = -math.inf
    for name, (_, level) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if level > best:
            front.append(name)
            best = level
    return front


def pareto(points: Points, cost: str) -> str:
    """PSNR against cost on a logarithmic axis, the front drawn.

    Args:
        points: cost above 0.
        cost: what the axis is called.
    """
    front = pareto_front(points)
    with _style() as pyplot:
        figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
        edge = [points[name] for name in front]
        axes.step([p[0] for p in edge], [p[1] for p in edge], where="post", color=GRAY, lw=1)
        for name, (x, level) in points.items():
            color = COLORS[1] if name in front else GRAY
            axes.scatter([x], [level], s=26, color=color, zorder=3)
            axes.annotate(name, (x, level), xytext=(5, 4), textcoords="offset points")
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.12)
        axes.set_xlabel(f"{cost} (less is better)")
        axes.set_ylabel("PSNR in dB")
        axes.grid(alpha=0.25)
        return _svg(figure)


def strips(values: Mapping[str, Sequence[float]], what: str) -> str:
    """One dot a picture and one row a method, the mean as a bar; the same order as given."""
    with _style() as pyplot:
        size = (6.4, 0.7 + 0.32 * len(values))
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        for row, numbers in enumerate(list(values.values())[::-1]):
            places = [row + 0.22 * math.sin(2.4 * i) for i in range(len(numbers))]
            axes.scatter(numbers, places, s=7, color=COLORS[row % len(COLORS)], alpha=0.6, lw=0)
            mean = sum(numbers) / len(numbers)
            axes.plot([mean, mean], [row - 0.35, row + 0.35], color="#333333", lw=1.6)
        axes.set_yticks(range(len(values)), list(values)[::-1])
        axes.set_xlabel(what)
        axes.grid(axis="x", alpha=0.25)
        return _svg(figure)


@contextmanager
def _style() -> Iterator[Any]:
    """Matplotlib's pyplot with the style of the other figures, text as text, bytes that repeat."""
    import matplotlib as mpl
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    own: Any = {"svg.fonttype": "none", "svg.hashsalt": "degrain", "text.parse_math": False}
    with mpl.rc_context({**STYLE, **own}):
        yield pyplot


def _svg(figure: Figure) -> str:
    """The figure as an `svg` element for a page, its ids unlike those of the others."""
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    pyplot.close(figure)
    svg = text.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL)
