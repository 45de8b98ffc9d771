"""Plots of the report as SVG text (matplotlib): Pareto fronts and strips of pictures."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from degrain.bench.figures import COLORS, GRAY, STYLE, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

Points = Mapping[str, tuple[float, float]]
"""Label -> (cost, PSNR in dB)."""
MOST_TICKS = 7
PLACES = (
    *((6, 3, "left", "bottom"), (6, -3, "left", "top"), (-6, 3, "right", "bottom")),
    *((-6, -3, "right", "top"), (0, 7, "center", "bottom"), (0, -7, "center", "top")),
)
"""Where the label of a dot may stand: points to the right and up, and how it is aligned."""
INKS = {
    TEXT: "--ink",
    "#BBBBBB": "--line",
    "#B0B0B0": "--line",
    GRAY: "--faint",
    COLORS[1]: "--front",
}
"""Colors of a plot that follow the color scheme of its page: CSS variables that it may set."""


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
        figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
        edge = [points[name] for name in front]
        axes.step([p[0] for p in edge], [p[1] for p in edge], where="post", color=GRAY, lw=1)
        for number, (name, (x, level)) in enumerate(points.items()):
            color, order = (COLORS[1], 4) if name in front else (GRAY, 3)
            axes.scatter([x], [level], s=30, color=color, zorder=order, gid=f"dot{number}")
        _cost_axis(axes, [x for x, _ in points.values()])
        axes.set_xlabel(f"{cost} (less is better)")
        axes.set_ylabel("PSNR in dB")
        axes.margins(y=0.14)
        axes.grid(alpha=0.35)
        _name_dots(figure, axes, points, front)
        said = [f"{name}: {level:.2f} dB at {plain(x)}" for name, (x, level) in points.items()]
        return _svg(figure, f"PSNR against {cost}. {'; '.join(said)}", said)


def strips(values: Mapping[str, Sequence[float]], what: str) -> str:
    """One dot a picture and one row a method, the mean as a bar; the same order as given."""
    with _style() as pyplot:
        size = (7.6, 0.7 + 0.32 * len(values))
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        means = {name: sum(numbers) / len(numbers) for name, numbers in values.items()}
        for row, (name, numbers) in enumerate(list(values.items())[::-1]):
            places = [row + 0.22 * math.sin(2.4 * i) for i in range(len(numbers))]
            axes.scatter(numbers, places, s=9, color=COLORS[row % len(COLORS)], alpha=0.75, lw=0)
            axes.plot([means[name]] * 2, [row - 0.35, row + 0.35], color=TEXT, lw=1.6)
        axes.set_yticks(range(len(values)), list(values)[::-1])
        axes.set_xlabel(what)
        axes.grid(axis="x", alpha=0.35)
        said = (f"{name}: mean {mean:.2f} dB" for name, mean in means.items())
        return _svg(figure, f"{what}. {'; '.join(said)}")


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers of a logarithmic axis: 1, 2, 5, 10 ..., or powers of ten if those are many.

    Args:
        low: where the axis begins, above 0.
        high: where it ends.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # From text, as 10**-1 * 5 is not always the float nearest to 0.5.
    for digits in ((1, 2, 5), (1,)):
        found = [x for p in powers for d in digits if low <= (x := float(f"{d}e{p}")) <= high]
        if len(found) <= MOST_TICKS:
            break
    return found


def plain(value: float) -> str:
    """A number for reading: 0.05, 20, 1500, then 20 k, 1.5 M."""
    for power, letter in ((9, " G"), (6, " M"), (3, " k")):
        if value >= 10 ** max(power, 4):
            return f"{value / 10**power:.3g}{letter}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic, at least a decade wide so that it has several ticks, with plain numbers."""
    low, high = math.log10(min(costs)), math.log10(max(costs))
    pad = max(0.12 * (high - low), (1 - (high - low)) / 2, 0.1)
    ends = 10 ** (low - pad), 10 ** (high + pad)
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    ticks = log_ticks(*ends)
    axes.set_xticks(ticks, [plain(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def _name_dots(figure: Figure, axes: Axes, points: Points, front: Sequence[str]) -> None:
    """Names beside the dots, the front's first; one that would cover another is left out."""
    figure.draw_without_rendering()  # type: ignore[no-untyped-call, unused-ignore]
    place: Any = axes.transData.transform
    dots = [place(point) for point in points.values()]
    dots += _along([place(points[name]) for name in front])
    taken: list[Any] = []
    for name in sorted(points, key=lambda name: name not in front):
        text = axes.annotate(name, points[name], textcoords="offset points", xytext=(0, 0))
        box = _free_place(text, taken, axes.bbox, dots)
        if box is None:
            text.remove()
        else:
            taken.append(box)


def _along(corners: Sequence[Any]) -> list[tuple[float, float]]:
    """Places on the stairs between these corners, in pixels: labels should not cover them."""
    found = []
    for (x, y), (right, top) in pairwise(corners):
        found += [(x + (right - x) * i / 40, y) for i in range(41)]
        found += [(right, y + (top - y) * i / 40) for i in range(41)]
    return found


def _free_place(
    text: Annotation, taken: Sequence[Any], inside: Any, dots: Sequence[tuple[float, float]]
) -> Any:
    """Put a label where it covers no other and the fewest dots; its box, None if nowhere."""
    found = []
    for number in range(len(PLACES)):
        _align(text, number)
        box = text.get_window_extent()
        clear = not any(box.overlaps(other) for other in taken)
        if clear and inside.x0 <= box.x0 and box.x1 <= inside.x1:
            found.append((sum(box.contains(x, y) for x, y in dots), number, box))
    if not found:
        return None
    _, number, box = min(found, key=lambda item: item[:2])
    _align(text, number)
    return box


def _align(text: Annotation, number: int) -> None:
    right, up, across, along = PLACES[number]
    text.set_position((right, up))
    text.set(ha=across, va=along)


@contextmanager
def _style() -> Iterator[Any]:
    """Matplotlib's pyplot with the style of the other figures, text as text, bytes that repeat."""
    import matplotlib as mpl
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    own: Any = {"svg.fonttype": "none", "svg.hashsalt": "degrain", "text.parse_math": False}
    with mpl.rc_context({**STYLE, **own}):
        yield pyplot


def _svg(figure: Figure, alt: str, hovers: Sequence[str] = ()) -> str:
    """The figure as an `svg` element for a page.

    Args:
        figure: closed here.
        alt: what it shows, for those who cannot see it.
        hovers: what the dots with the ids dot0, dot1 ... say of themselves.
    """
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    pyplot.close(figure)
    svg = re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for number, hover in enumerate(hovers):
        svg = svg.replace(f'<g id="dot{number}">', f"<g><title>{escape(hover)}</title>")
    # Ids of groups would be the same in every plot of the page, and nothing refers to them.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for color, ink in INKS.items():
        svg = re.sub(f"(?i){color}\\b", f"var({ink}, {color.lower()})", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
