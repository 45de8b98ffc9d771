"""Tables of the page as HTML: what was measured, paired differences, what others published."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from degrain.bench.paired import Difference
from degrain.bench.tables import (
    Comparison,
    Competitor,
    label,
    ordered,
    published,
    published_for,
    quality,
    short_names,
    spec_name,
)

Head = tuple[str, int, str]
"""Text, how many columns it spans, and classes."""


def measured(comparison: Comparison) -> str:
    """Mean PSNR ± standard error and SSIM, published numbers beside them; best in bold."""
    specs, competitors = comparison.specs, comparison.competitors
    known = [s for s in specs if any(published_for(comparison, c[0], s) for c in competitors)]
    costs, count = _costs(comparison), _same_count(comparison)
    best = {spec: _best(comparison, spec) for spec in specs}
    rows = []
    for competitor in competitors:
        cells = [named(comparison, competitor), _td(escape(comparison.told(competitor)), "word")]
        for spec in specs:
            cell = _level(comparison.good(competitor, spec), competitor in best[spec], count)
            cells.append(_td(cell, "level"))
        cells += _published_cells({s: published_for(comparison, competitor[0], s) for s in known})
        texts = [column[competitor] for column in costs.values()]
        cells += [_td(text, "first" if i == 0 else "") for i, text in enumerate(texts)]
        rows.append("".join(cells))
    return _table(_measured_heads(specs, known, list(costs), count), rows)


def _measured_heads(
    specs: Sequence[str], known: Sequence[str], costs: Sequence[str], count: int
) -> list[list[Head]]:
    """Two lines: what the columns have in common, then each.

    Args:
        specs: noise specs.
        known: those with published numbers.
        costs: heads of the columns about cost.
        count: on how many pictures all means were taken; 0 where the cells say it.
    """
    said = "PSNR in dB ± standard error, SSIM below" + (f", n = {count}" if count else "")
    groups = [("", 2, ""), (said, len(specs), "group")]
    groups += [("published PSNR", len(known), "group published first")] if known else []
    heads = [("method", 1, ""), ("noise level", 1, "word"), *_heads(specs)]
    heads += _heads(known, "published")
    heads += [(name, 1, "first" if i == 0 else "") for i, name in enumerate(costs)]
    return [[*groups, ("", len(costs), "first")], heads]


def differences(comparison: Comparison, against: str | None) -> str:
    """How much better or worse than one method, with intervals; nothing without such a method."""
    base = comparison.base(against)
    if base is None:
        return ""
    gaps = {
        c: [comparison.difference(c, base, spec) for spec in comparison.specs]
        for c in comparison.competitors
        if c != base
    }
    counts = {gap.mean.count for own in gaps.values() for gap in own} - {0}
    rows = [
        named(comparison, c) + "".join(_td(_gap(gap, len(counts) == 1)) for gap in own)
        for c, own in gaps.items()
    ]
    name = escape(short_names(comparison.competitors)[base])
    head = f'<h3 title="{escape(label(base))}">Minus {name}, picture by picture</h3>'
    count = f" (n = {counts.pop()})" if len(counts) == 1 else ""
    note = f"Mean difference in dB, its 95 % bootstrap interval over pictures{count}."
    table = _table([[("method", 1, ""), *_heads(comparison.specs)]], rows)
    return f'{head}<p class="note">{note}</p>{table}'


def _gap(gap: Difference, counted: bool) -> str:
    """A difference with its interval; on how many pictures unless that is said elsewhere."""
    if not gap.mean.count:
        return ""
    low, high = (f"{end:+.2f}" for end in (gap.low, gap.high))
    span = "" if math.isnan(gap.low) else f"{low} to {high}"
    below = ", ".join(filter(None, [span, "" if counted else f"n = {gap.mean.count}"]))
    return f"{gap.mean.value:+.2f}<br><small>{below}</small>".replace("-", "−")


def others(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """All published numbers for the sets that were measured: one table a set."""
    floats = [c for c in comparisons if c.rows[0].get("protocol") == "float"]
    for title, gray in dict.fromkeys((c.title, c.gray) for c in floats):
        entries = [e for e in published() if e["set"] == title and e["gray"] is gray]
        if entries:
            kind = "gray" if gray else "color"
            yield f"<h3>{escape(str(title))}, {kind}</h3>{_entries(entries)}"


def named(comparison: Comparison, competitor: Competitor) -> str:
    """The cell with a method's short name; the whole one, with the version, on hovering."""
    name = escape(short_names(comparison.competitors)[competitor])
    name = name.replace("_", "_<wbr>")  # where a narrow page may break it
    return f'<td title="{escape(label(competitor))}">{name}</td>'


def _entries(entries: Sequence[Mapping[str, Any]]) -> str:
    """One set: methods down, the best at the level that most have first."""
    specs = ordered(spec for entry in entries for spec in entry["psnr"])
    usual = max(specs, key=lambda spec: sum(spec in entry["psnr"] for entry in entries))
    rows = []
    for entry in sorted(entries, key=lambda entry: -entry["psnr"].get(usual, -math.inf)):
        cells = [_td(escape(entry["method"])), _td("blind" if entry["blind"] else "told", "word")]
        cells += _published_cells({spec: entry["psnr"].get(spec) for spec in specs})
        rows.append("".join([*cells, _td(escape(entry["source"]), "source")]))
    heads = [("method", 1, ""), ("noise level", 1, "word"), *_heads(specs, "published")]
    return _table([[*heads, ("source", 1, "word")]], rows)


def _costs(comparison: Comparison) -> dict[str, dict[Competitor, str]]:
    """Columns about cost by their heads, without those that would say nothing."""
    own = comparison.competitors
    failed = {c: comparison.failed(c) for c in own}
    columns = {
        "s / megapixel": {c: _number(comparison.seconds_per_megapixel(c), ".3g") for c in own},
        "peak MB": {c: _number(comparison.peak_mb(c), ".0f") for c in own},
        "failed": {c: str(count or "") for c, count in failed.items()},
    }
    return {head: column for head, column in columns.items() if any(column.values())}


def _same_count(comparison: Comparison) -> int:
    """On how many pictures each mean was taken; 0 if that differs, and each must say it."""
    lengths = {
        len(comparison.good(competitor, spec))
        for competitor in comparison.competitors
        for spec in comparison.specs
    } - {0}
    return lengths.pop() if len(lengths) == 1 else 0


def _best(comparison: Comparison, spec: str) -> list[Competitor]:
    """Those with the highest mean as it is shown, if all were judged on the same pictures."""
    means = {}
    for competitor in comparison.competitors:
        rows = comparison.good(competitor, spec)
        if rows:
            means[competitor] = quality(rows)[0]
    if len({mean.count for mean in means.values()}) != 1:
        return []
    highest = round(max(mean.value for mean in means.values()), 2)
    return [competitor for competitor, mean in means.items() if round(mean.value, 2) == highest]


def _level(rows: Sequence[dict[str, Any]], best: bool, count: int) -> str:
    """A mean; on how many pictures only where that is not said above."""
    if not rows:
        return ""
    level, likeness = quality(rows)
    value = f'<b class="best">{level.value:.2f}</b>' if best else f"{level.value:.2f}"
    error = "" if math.isnan(level.error) else f" <small>± {level.error:.2f}</small>"
    below = [f"{likeness.value:.4f}"] if likeness.count else []
    below += [] if count else [f"n = {len(rows)}"]
    return f"{value}{error}<br><small>{', '.join(below)}</small>"


def _published_cells(levels: Mapping[str, float | None]) -> list[str]:
    """PSNR in dB by noise spec, as cells in the color of what was not measured here."""
    texts = ("" if level is None else f"{level:.2f}" for level in levels.values())
    return [_td(text, f"published{' first' if i == 0 else ''}") for i, text in enumerate(texts)]


def _heads(specs: Sequence[str], kind: str = "") -> list[Head]:
    return [
        (spec_name(spec), 1, f"{kind} first" if kind and i == 0 else kind)
        for i, spec in enumerate(specs)
    ]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def _td(content: str, kind: str = "") -> str:
    """A cell of HTML."""
    return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"


def _table(heads: Sequence[Sequence[Head]], rows: Sequence[str]) -> str:
    """Heads are escaped here; rows are cells of HTML."""
    top = "".join(f"<tr>{''.join(_th(*head) for head in line)}</tr>" for line in heads)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><thead>{top}</thead><tbody>\n{body}\n</tbody></table></div>'


def _th(text: str, columns: int, kind: str) -> str:
    spans = f' colspan="{columns}"' if columns > 1 else ""
    classes = f' class="{kind}"' if kind else ""
    return f"<th{spans}{classes}>{escape(text)}</th>"
