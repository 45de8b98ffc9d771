"""The report as one HTML page that needs nothing else: tables, plots, windows to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from degrain.bench.page_pictures import plots, windows
from degrain.bench.page_style import HEAD
from degrain.bench.page_tables import differences, measured, others
from degrain.bench.rows import results_file
from degrain.bench.tables import Comparison, read_comparisons


def page(results: Path, *, against: str | None = None, ids: Path | None = None) -> str:
    """The page for a results file; windows are taken from the folder beside it.

    Args:
        results: what was given to `run`.
        against: the method that paired differences are taken to; None: the best.
        ids: list of the pictures to look at; None: all that were measured.

    Raises:
        UsageError: there are no results.
    """
    comparisons = read_comparisons(results, ids)
    folder = results_file(results).with_suffix(".crops")
    names = _names(comparisons)
    published = list(others(comparisons))
    parts = [HEAD, _contents(names, bool(published))]
    for number, (name, comparison) in enumerate(zip(names, comparisons, strict=True)):
        parts.append(f'<section><h2 id="c{number}">{escape(name)}</h2>')
        parts.extend(_section(comparison, folder, against))
        parts.append("</section>")
    if published:
        note = "Not measured here. Noisy pictures as floats, not clipped. PSNR in dB."
        parts.append(f'<h2 id="published">Published</h2><p class="note">{note}</p>')
    return "\n".join([*parts, *published, "</body></html>\n"])


def _contents(names: Sequence[str], published: bool) -> str:
    """Links to the comparisons; a page with one needs none."""
    if len(names) < 2:
        return ""
    links = [f'<a href="#c{number}">{escape(name)}</a>' for number, name in enumerate(names)]
    links += ['<a href="#published">Published</a>'] if published else []
    return f"<nav>{' '.join(links)}</nav>"


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    """What the comparisons are called; those of the same pictures with what tells them apart."""
    names = [_name(comparison) for comparison in comparisons]
    clauses = [comparison.rules.split("; ") for comparison in comparisons]
    apart = []
    for name, own in zip(names, clauses, strict=True):
        same = [other for n, other in zip(names, clauses, strict=True) if n == name]
        special = [clause for clause in own if not all(clause in other for other in same)]
        apart.append(", ".join([name, *special]))
    counts = Counter(apart)
    return [f"{n} ({i})" if counts[n] > 1 else n for i, n in enumerate(apart, start=1)]


def _name(comparison: Comparison) -> str:
    if comparison.title:
        return comparison.title
    count = len({row["picture"] for row in comparison.rows})
    kind = "gray" if comparison.gray else "color"
    return f"{count} {kind} picture{'s' if count > 1 else ''}"


def _section(comparison: Comparison, folder: Path, against: str | None) -> Iterator[str]:
    """One set of rules: tables, plots, windows."""
    yield f'<p class="rules">{escape(comparison.rules)}.</p>'
    yield measured(comparison)
    same = comparison.common()
    if same is not None:
        yield "<h3>On the pictures that all methods have at a noise level</h3>"
        yield (
            '<p class="note">Slow methods ran on a seeded subset; only here all means of a column '
            "may be compared.</p>"
        )
        yield measured(same)
    yield differences(comparison, against)
    yield from plots(same or comparison)
    yield from windows(comparison, folder)
