"""Pictures of the page: plots of quality against cost, and windows to look at."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from degrain.bench.cost import carded_macs
from degrain.bench.crops import RULE
from degrain.bench.plots import Points, pareto, strips
from degrain.bench.rows import Row
from degrain.bench.tables import Comparison, Competitor, decibels, label, short_names, spec_name

NOISY = "noisy"
"""The method that does nothing; it would squeeze the scale of every plot."""


def plots(comparison: Comparison) -> Iterator[str]:
    """At the middle noise level: quality against cost, and every picture as a dot."""
    spec = comparison.specs[len(comparison.specs) // 2]
    names = short_names(comparison.competitors)
    levels = {
        c: list(comparison.finite(c, spec).values())
        for c in comparison.competitors
        if c[0] != NOISY
    }
    means = {c: sum(values) / len(values) for c, values in levels.items() if values}
    left_out = " Not shown: the noisy pictures." if len(levels) < len(names) else ""
    drawn = [pareto(points, cost) for cost, points in _against_cost(comparison, means).items()]
    if drawn:
        yield f"<h3>Quality against cost at {escape(spec_name(spec))}</h3>"
        yield (
            '<p class="note">Blue: no other method is both better and cheaper. A dot tells its '
            "name and numbers on hovering, also where there was no room for its name."
            f"{left_out}</p>"
        )
        yield f'<div class="plots">{"".join(f"<figure>{svg}</figure>" for svg in drawn)}</div>'
    if means:
        best_first = sorted(means, key=lambda c: -means[c])
        svg = strips({names[c]: levels[c] for c in best_first}, f"PSNR in dB at {spec_name(spec)}")
        yield f"<h3>Every picture at {escape(spec_name(spec))}</h3>"
        yield f'<p class="note">One dot a picture; the bar is their mean.{left_out}</p>'
        yield f"<figure>{svg}</figure>"


def _against_cost(comparison: Comparison, means: dict[Competitor, float]) -> dict[str, Points]:
    """What the Pareto plots show, by the name of the cost; none of fewer than two methods."""
    names = short_names(comparison.competitors)
    costs = {
        "seconds per megapixel": {c: comparison.seconds_per_megapixel(c) for c in means},
        "multiply-accumulates per pixel": {
            # Rows written before they said so themselves: the card still knows.
            c: comparison.macs_per_pixel(c) or carded_macs(*c) or 0.0
            for c in means
        },
    }
    found = {
        cost: {names[c]: (x, means[c]) for c, x in values.items() if x > 0}
        for cost, values in costs.items()
    }
    return {cost: points for cost, points in found.items() if len(points) > 1}


def windows(comparison: Comparison, folder: Path) -> Iterator[str]:
    """The same window of the same picture for every method, by picture and noise level."""
    shown = [r for r in comparison.rows if _is_there(r, "crop", folder)]
    if not shown:
        return
    yield "<h3>Look for yourself</h3>"
    yield (
        f'<p class="note">Shown, by rule: {RULE}. PSNR is that of the whole picture; the best '
        "comes first.</p>"
    )
    names = short_names(comparison.competitors)
    for picture in dict.fromkeys(row["picture"] for row in shown):
        yield f"<h4>{escape(picture)}</h4>"
        for spec in comparison.specs:
            own = [r for r in shown if (r["picture"], r["noise"]) == (picture, spec)]
            if own:
                figures = "".join(_figures(own, names, folder))
                yield f'<div class="crops"><b>{escape(spec_name(spec))}</b>{figures}</div>'


def _figures(rows: Sequence[Row], names: dict[Competitor, str], folder: Path) -> Iterator[str]:
    """The clean window, the noisy one, then every method's by falling PSNR.

    Args:
        rows: of one picture and noise spec. Old ones name neither the clean nor the noisy window;
            then the method `noisy` serves, if it was measured.
        names: short ones.
        folder: of the windows.
    """
    where = f"{rows[0]['picture']} at {spec_name(rows[0]['noise'])}"
    clean = next((r for r in rows if _is_there(r, "crop_clean", folder)), None)
    noisy = next((r for r in rows if _is_there(r, "crop_noisy", folder)), None)
    if clean is not None:
        yield _figure(folder / clean["crop_clean"], "clean", "", where)
    if noisy is not None:
        level = _decibels(decibels({"psnr": noisy["noisy_psnr"]}))
        yield _figure(folder / noisy["crop_noisy"], "noisy", level, where)
    undone = [] if noisy else [row for row in rows if row["method"] == NOISY]
    done = [row for row in rows if row["method"] != NOISY]
    for row in [*undone, *sorted(done, key=decibels, reverse=True)]:
        competitor = row["method"], row["version"]
        level = _decibels(decibels(row))
        name, whole = names[competitor], label(competitor)
        yield _figure(folder / row["crop"], name, level, where, whole)


def _figure(file: Path, name: str, level: str, where: str, whole: str = "") -> str:
    """One window.

    Args:
        file: the PNG, which becomes part of the page.
        name: the method's, or what else it shows.
        level: PSNR as text, or nothing.
        where: picture and noise.
        whole: the method's name with its version, for hovering.
    """
    data = base64.b64encode(file.read_bytes()).decode()
    said = f"{name}, {level}" if level else name
    image = f'<img alt="{escape(f"{where}: {said}")}" src="data:image/png;base64,{data}">'
    caption = f"{escape(name)}<br>{level}"
    title = f' title="{escape(whole)}"' if whole else ""
    return f"<figure{title}>{image}<figcaption>{caption}</figcaption></figure>"


def _decibels(level: float) -> str:
    return f"{level:.2f} dB" if math.isfinite(level) else "identical"


def _is_there(row: Row, field: str, folder: Path) -> bool:
    return bool(row.get(field)) and (folder / row[field]).is_file()
