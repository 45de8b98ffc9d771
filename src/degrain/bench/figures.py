"""Figures of the experiments: plain, labeled where the data are, safe for color-blind readers.

Drawn with matplotlib's Agg backend and written without its metadata, so the same numbers give the
same bytes. Colors are those of Okabe & Ito (2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from degrain.bench.kernels import Layer, mosaic
from degrain.bench.paired import Difference, Mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float32]
DPI = 110
BLOCK_PX = 4
COLORS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00")
GRAY = "#8C8C8C"
TEXT = "#333333"
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is there everywhere
    "font.size": 8.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#BBBBBB",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.bottom": False,
    "image.interpolation": "nearest",
}


def palette(networks: Sequence[str], references: Sequence[str]) -> dict[str, str]:
    """One color a label, the same in all figures of an experiment; references are gray."""
    colors = {label: COLORS[number % len(COLORS)] for number, label in enumerate(networks)}
    return colors | {label: GRAY for label in references if label not in colors}


def bars(
    means: Mapping[str, Mapping[str, Mean]],
    floors: Mapping[str, float],
    colors: Mapping[str, str],
    path: Path,
) -> None:
    """Mean PSNR as bars with standard errors, one group per noise.

    Args:
        means: group name -> method label -> mean PSNR in dB.
        floors: group name -> PSNR of the noisy pictures, where the bars begin: their length is
            what a method gains.
        colors: method label -> color, see `palette`.
        path: PNG to write.
    """
    with _drawing(path, 7.2, 3.4) as figure:
        axes = figure.add_subplot()
        place, ticks = 0.0, list[tuple[float, str]]()
        for group, methods in means.items():
            start, floor = place, floors[group]
            for label, mean in methods.items():
                axes.bar(place, mean.value - floor, 0.86, floor, color=colors[label])
                error = 0 if math.isnan(mean.error) else mean.error
                axes.errorbar(place, mean.value, error, color=TEXT, linewidth=1, capsize=2)
                top = mean.value + error + 0.12
                axes.text(place, top, f"{mean.value:.2f}", ha="center", va="bottom", fontsize=7.5)
                ticks.append((place, label))
                place += 1
            axes.plot([start - 0.5, place - 0.5], [floor, floor], color=TEXT, linewidth=0.8)
            middle = (start + place - 1) / 2
            axes.text(
                middle, floor - 0.15, f"noisy {floor:.2f}", ha="center", va="top", fontsize=7.5
            )
            axes.text(middle, 1.0, group, ha="center", transform=axes.get_xaxis_transform())
            place += 0.8
        axes.set_xticks([x for x, _ in ticks], [label for _, label in ticks], fontsize=7.5)
        axes.margins(y=0.1)
        axes.set_ylim(bottom=min(floors.values()) - 1.2)
        axes.set_ylabel("mean PSNR (dB)")


def strips(
    groups: Mapping[str, Mapping[str, Difference]],
    reference: str,
    colors: Mapping[str, str],
    path: Path,
) -> None:
    """Differences picture by picture, with their mean and its 95 % interval.

    Args:
        groups: group name -> method label -> difference to the reference in dB.
        reference: label of what they are compared with.
        colors: method label -> color, see `palette`.
        path: PNG to write.
    """
    with _drawing(path, 7.2, 3.2) as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=TEXT, linewidth=0.8)
        place, ticks = 0.0, list[tuple[float, str]]()
        for group, methods in groups.items():
            start = place
            for label, difference in methods.items():
                _strip(axes, place, difference, colors[label])
                number = f"{difference.mean.value:+.2f}".replace("-", "−")
                ticks.append((place, f"{label}\n{number}"))
                place += 1
            middle = (start + place - 1) / 2
            axes.text(middle, 1.0, group, ha="center", transform=axes.get_xaxis_transform())
            place += 0.6
        axes.text(place - 0.85, 0, reference, va="center", fontsize=7.5)
        axes.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
        axes.set_ylabel(f"PSNR minus {reference}'s (dB)")
        axes.set_xlim(-0.6, place - 0.9)


def panels(
    clean: Floats,
    pictures: Mapping[str, Floats],
    box: tuple[int, int, int],
    path: Path,
    quality: Mapping[str, float],
) -> None:
    """The clean picture with a region outlined, and that region by every method.

    Args:
        clean: H×W in 0..1.
        pictures: label -> H×W; the noisy one and the denoised ones.
        box: top, left and side of the region, in pixels.
        path: PNG to write, in gray.
        quality: label -> PSNR in dB over the whole picture.
    """
    top, left, side = box
    crops = {"clean": clean, **pictures}
    columns = math.ceil(len(crops) / 2)
    whole = 2.6 * clean.shape[1] / clean.shape[0]
    with _drawing(path, whole + 1.4 * columns, 2.9, gray=True) as figure:
        grid = figure.add_gridspec(2, 1 + columns, width_ratios=[whole, *[1.35] * columns])
        axes = figure.add_subplot(grid[:, 0])
        _gray(axes, clean)
        edges_x = [left, left + side, left + side, left, left]
        edges_y = [top, top, top + side, top + side, top]
        for color, width in (("black", 2.4), ("white", 1.2)):
            axes.plot(edges_x, edges_y, color=color, linewidth=width)
        for number, (label, picture) in enumerate(crops.items()):
            axes = figure.add_subplot(grid[number // columns, 1 + number % columns])
            _gray(axes, picture[top : top + side, left : left + side])
            known = f" {quality[label]:.2f} dB" if label in quality else ""
            axes.set_title(label + known, fontsize=7.5, pad=3)


def filters(layers: Sequence[Layer], title: str, path: Path) -> None:
    """The filters of layers, one column per map; orange positive, purple negative, white 0.

    Args:
        layers: see `degrain.bench.kernels.read_layers`.
        title: whose they are.
        path: PNG to write.
    """
    drawn = [(layer.name, *mosaic(layer)) for layer in layers]
    # all in one scale: pixels of the figure per weight
    width = max(picture.shape[1] for _, picture, _ in drawn)
    heights = [7.0 * picture.shape[0] / width for _, picture, _ in drawn]
    with _drawing(path, 7.2, sum(heights) + 0.27 * len(heights) + 0.25) as figure:
        grid = figure.add_gridspec(len(drawn), 1, height_ratios=heights)
        for row, (name, picture, text) in enumerate(drawn):
            axes = figure.add_subplot(grid[row])
            axes.imshow(picture, cmap="PuOr_r", vmin=-1, vmax=1)
            axes.set_xlim(-0.5, width - 0.5)
            axes.set_title(f"{name}: {text}", loc="left", fontsize=7.5, pad=3)
            axes.set_axis_off()
        figure.suptitle(title, fontsize=9, x=0.01, ha="left")


def busiest_box(clean: Floats, side: int) -> tuple[int, int, int]:
    """Where a square of this side holds the most structure: top, left and side.

    Structure is the summed absolute difference of neighbors after averaging over 4×4 pixels, so
    that edges count and fine texture does not.
    """
    side = min(side, *clean.shape)
    block = min(BLOCK_PX, side)
    height, width = (length // block for length in clean.shape)
    coarse = clean[: height * block, : width * block].astype(np.float64)
    coarse = coarse.reshape(height, block, width, block).mean(axis=(1, 3))
    detail = np.zeros(coarse.shape)
    detail[:, 1:] += np.abs(np.diff(coarse, axis=1))
    detail[1:] += np.abs(np.diff(coarse, axis=0))
    sums = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = side // block
    inside = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(row) * block, int(column) * block, side


@contextmanager
def _drawing(path: Path, width: float, height: float, *, gray: bool = False) -> Iterator[Figure]:
    """An empty figure of this size in inches; what is drawn on it becomes a PNG.

    Apart from matplotlib's global state: no window, and settings go back to what they were.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from degrain import files
    from degrain.picture import Picture

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        yield figure
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = pixels[:, :, 1:2] if gray else pixels[:, :, :3]
    files.write(Picture(pages=(kept.copy(),)), path, overwrite=True)


def _strip(axes: Axes, place: float, difference: Difference, color: str) -> None:
    """One column of dots, sorted names spread sideways so that dots do not hide each other."""
    values = list(difference.values.values())
    spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(values))
    axes.scatter(place + spread, values, s=7, color=color, alpha=0.45, linewidths=0)
    mean = difference.mean.value
    if not math.isnan(difference.low):
        axes.plot([place, place], [difference.low, difference.high], color=TEXT, linewidth=3)
    axes.plot([place - 0.33, place + 0.33], [mean, mean], color=TEXT, linewidth=1.2)


def _gray(axes: Axes, picture: Floats) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
