"""The report as one HTML page that needs nothing else: tables, plots, crops."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from degrain.bench.cost import macs_per_pixel
from degrain.bench.crops import RULE
from degrain.bench.plots import pareto, strips
from degrain.bench.rows import results_file
from degrain.bench.tables import (
    Comparison,
    Competitor,
    label,
    published,
    published_for,
    quality,
    read_comparisons,
)

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 64rem; margin: 2rem auto 6rem; padding: 0 1.2rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { margin-top: 3.2rem; font-size: 1.35rem; }
h3 { margin-top: 2rem; font-size: 1.05rem; } .rules, figcaption, small { color: #666; }
.rules { font-size: .88rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .32rem .8rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid #222; vertical-align: bottom; }
tbody tr:nth-child(even) td { background: #f6f7f9; } td.best { font-weight: 700; }
td.published, th.published { color: #8a5a00; border-left: 1px solid #e2d6bf; }
td.source { text-align: left; white-space: normal; min-width: 18rem; color: #666; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
.crops { display: flex; flex-wrap: wrap; gap: .8rem; } .crops figure { margin: 0; }
.crops img { width: 192px; height: auto; image-rendering: pixelated; display: block; }
figcaption { font-size: .82rem; max-width: 192px; overflow-wrap: anywhere; }
nav a { margin-right: 1rem; }
"""
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>degrain bench</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head><body>
<h1>How good, and at what cost?</h1>
<p>Every number in black was measured by <code>degrain bench</code>, on the same noisy pixels for
all methods of a table. <span style="color:#8a5a00">Published</span> numbers stand in columns of
their own. ± is the standard error of the mean over pictures.</p>
"""


def page(results: Path, *, against: str | None = None, ids: Path | None = None) -> str:
    """The page for a results file; crops are taken from the folder beside it.

    Args:
        results: what was given to `run`.
        against: the method that paired differences are taken to; None: the best.
        ids: list of the pictures to look at; None: all that were measured.

    Raises:
        UsageError: there are no results.
    """
    comparisons = read_comparisons(results, ids)
    crops = results_file(results).with_suffix(".crops")
    parts = [HEAD.replace("{style}", STYLE), _contents(comparisons)]
    for number, comparison in enumerate(comparisons):
        parts.extend(_section(number, comparison, crops, against))
    parts += [_sources(comparisons), "</body></html>\n"]
    return "\n".join(parts)


def _contents(comparisons: Sequence[Comparison]) -> str:
    links = (f'<a href="#c{i}">{_name(c)}</a>' for i, c in enumerate(comparisons))
    return f"<nav>{' '.join(links)}</nav>"


def _name(comparison: Comparison) -> str:
    kind = "gray" if comparison.gray else "color"
    return escape(comparison.title or f"Pictures {comparison.rows[0].get('data', '')}, {kind}")


def _section(
    number: int, comparison: Comparison, crops: Path, against: str | None
) -> Iterator[str]:
    """One set of rules: tables, plots, crops."""
    yield f'<h2 id="c{number}">{_name(comparison)}</h2>'
    yield f'<p class="rules">{escape(comparison.rules)}.</p>'
    yield _means(comparison)
    same = comparison.common()
    if same is not None:
        count = len({row["picture"] for row in same.rows})
        yield f"<h3>On the {count} pictures that all methods have</h3>"
        yield "<p>Slow methods ran on a seeded subset; only here all means may be compared.</p>"
        yield _means(same)
    yield _differences(comparison, against)
    yield from _plots(same or comparison)
    yield from _crops(comparison, crops)


def _means(comparison: Comparison) -> str:
    """Mean PSNR ± standard error and SSIM, published numbers beside them; best in bold."""
    heads = ["method", "σ", *comparison.specs, "s / megapixel", "peak MB", "failed"]
    rows = []
    known = any(
        published_for(comparison, c[0], spec) is not None
        for c in comparison.competitors
        for spec in comparison.specs
    )
    best = {spec: _best(comparison, spec) for spec in comparison.specs}
    for competitor in comparison.competitors:
        cells = [f"<td>{escape(label(competitor))}</td><td>{comparison.told(competitor)}</td>"]
        for spec in comparison.specs:
            strong = ' class="best"' if competitor == best[spec] else ""
            cells.append(f"<td{strong}>{_level(comparison, competitor, spec)}</td>")
        speed = comparison.seconds_per_megapixel(competitor)
        memory = comparison.peak_mb(competitor)
        cells += [f"<td>{_number(speed, '.3g')}</td>", f"<td>{_number(memory, '.0f')}</td>"]
        cells.append(f"<td>{comparison.failed(competitor)}</td>")
        if known:
            found = [published_for(comparison, competitor[0], s) for s in comparison.specs]
            cells += [
                f'<td class="published">{"" if x is None else f"{x:.2f}"}</td>' for x in found
            ]
        rows.append("".join(cells))
    marks = [f"published {spec}" for spec in comparison.specs] if known else []
    return _table(heads, rows, marks)


def _best(comparison: Comparison, spec: str) -> Competitor | None:
    """The highest mean, if all were judged on the same pictures."""
    means = {}
    for competitor in comparison.competitors:
        rows = comparison.good(competitor, spec)
        if rows:
            means[competitor] = quality(rows)[0]
    if len({mean.count for mean in means.values()}) != 1:
        return None
    return max(means, key=lambda c: means[c].value)


def _level(comparison: Comparison, competitor: Competitor, spec: str) -> str:
    rows = comparison.good(competitor, spec)
    if not rows:
        return ""
    level, likeness = quality(rows)
    error = "" if math.isnan(level.error) else f" <small>± {level.error:.2f}</small>"
    similar = f"SSIM {likeness.value:.4f}, " if likeness.count else ""
    return f"{level.value:.2f}{error}<br><small>{similar}n = {len(rows)}</small>"


def _differences(comparison: Comparison, against: str | None) -> str:
    """Sentences would be long: "better by", as a table with intervals."""
    base = comparison.base(against)
    if base is None:
        return ""
    rows = []
    for competitor in comparison.competitors:
        if competitor == base:
            continue
        cells = [f"<td>{escape(label(competitor))}</td>"]
        for spec in comparison.specs:
            gap = comparison.difference(competitor, base, spec)
            text = f"{gap.mean.value:+.2f} <small>[{gap.low:+.2f}, {gap.high:+.2f}]</small>"
            note = f"<br><small>n = {gap.mean.count}</small>"
            cells.append(f"<td>{text + note if gap.mean.count else ''}</td>")
        rows.append("".join(cells))
    head = f"<h3>Minus {escape(label(base))}, picture by picture</h3>"
    note = "<p>Mean difference in dB with its 95 % bootstrap interval over pictures.</p>"
    return head + note + _table(["method", *comparison.specs], rows, [])


def _plots(comparison: Comparison) -> Iterator[str]:
    """At the middle noise level: quality against cost, and every picture as a dot."""
    spec = comparison.specs[len(comparison.specs) // 2]
    means = {}
    for competitor in comparison.competitors:
        level = quality(comparison.good(competitor, spec))[0]
        if level.count and math.isfinite(level.value):
            means[competitor] = level.value
    speeds = {c: comparison.seconds_per_megapixel(c) for c in means}
    timed = {_short(c): (speeds[c], means[c]) for c in means if c[0] != "noisy"}
    counts = {c: macs_per_pixel(c[0]) for c in means}
    counted = {_short(c): (float(count), means[c]) for c, count in counts.items() if count}
    yield f"<h3>Quality against cost at {escape(spec)}</h3>"
    for points, cost in (
        ({k: p for k, p in timed.items() if p[0] > 0}, "seconds per megapixel"),
        (counted, "multiply-accumulates per pixel"),
    ):
        if points:
            yield f"<figure>{pareto(points, cost)}</figure>"
    values = {_short(c): list(comparison.finite(c, spec).values()) for c in means}
    yield f"<h3>Every picture at {escape(spec)}</h3>"
    yield f"<figure>{strips(values, 'PSNR in dB, one dot a picture; the bar is the mean')}</figure>"


def _short(competitor: Competitor) -> str:
    return label((competitor[0], "")).removeprefix("onnx:").removeprefix("python:")


def _crops(comparison: Comparison, folder: Path) -> Iterator[str]:
    """The same region of the same picture for every method, side by side."""
    shown = [r for r in comparison.rows if "crop" in r and (folder / r["crop"]).is_file()]
    if not shown:
        return
    yield "<h3>Look for yourself</h3>"
    yield f"<p>Shown, by rule: {RULE}.</p>"
    for picture, spec in dict.fromkeys((row["picture"], row["noise"]) for row in shown):
        yield f"<p>{escape(picture)}, {escape(spec)}</p>"
        figures = [
            _crop(row, folder) for row in shown if (row["picture"], row["noise"]) == (picture, spec)
        ]
        yield f'<div class="crops">{"".join(figures)}</div>'


def _crop(row: dict[str, object], folder: Path) -> str:
    data = base64.b64encode((folder / str(row["crop"])).read_bytes()).decode()
    level = "" if row["psnr"] is None else f", {row['psnr']:.2f} dB"
    name = escape(_short((str(row["method"]), "")))
    image = f'<img alt="{name}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{name}{level}</figcaption></figure>"


def _sources(comparisons: Sequence[Comparison]) -> str:
    """All published numbers for the known sets, each with its source."""
    titles = {comparison.title for comparison in comparisons}
    rows = []
    for entry in published():
        if entry["set"] in titles:
            levels = ", ".join(f"{spec} {level:.2f}" for spec, level in entry["psnr"].items())
            told = "blind" if entry["blind"] else "told σ"
            cells = (entry["set"], entry["method"], told, levels)
            text = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            rows.append(f'{text}<td class="source">{escape(entry["source"])}</td>')
    if not rows:
        return ""
    heads = ["set", "method", "σ", "PSNR in dB", "source"]
    note = "<p>Not measured here. Noisy pictures as floats, not clipped.</p>"
    return f"<h2>Published</h2>{note}{_table(heads, rows, [])}"


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def _table(heads: Sequence[str], rows: Sequence[str], marks: Sequence[str]) -> str:
    """Heads are escaped here; rows are cells of HTML; `marks` are heads of published columns."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    top += "".join(f'<th class="published">{escape(mark)}</th>' for mark in marks)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )
