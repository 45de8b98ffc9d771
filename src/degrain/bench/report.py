"""The report as Markdown and CSV; published numbers never mix with measured ones."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from degrain.bench.paired import Difference
from degrain.bench.rows import Row
from degrain.bench.tables import (
    Comparison,
    Competitor,
    label,
    ordered,
    published,
    published_for,
    quality,
    read_comparisons,
)
from degrain.errors import UsageError

COLUMNS = (
    *("set", "rules", "method", "version", "sigma", "noise", "pictures"),
    *("psnr_db", "psnr_standard_error", "ssim", "ssim_standard_error"),
    *("seconds_per_megapixel", "peak_mb", "published_psnr_db"),
)


def report(results: Path, *, against: str | None = None, ids: Path | None = None) -> str:
    """Mean PSNR and SSIM per method and noise, one table for each set of rules.

    Args:
        results: what was given to `run`.
        against: the method that paired differences are taken to; None: the best.
        ids: list of the pictures to look at; None: all that were measured.

    Returns:
        Markdown. Rows measured by different rules never share a table.

    Raises:
        UsageError: there are no results, or none of the method `against`.
    """
    comparisons = read_comparisons(results, ids)
    measured = sorted({method for found in comparisons for method, _ in found.competitors})
    if against is not None and against not in measured:
        msg = f"There are no results of {against}; compare with one of {', '.join(measured)}."
        raise UsageError(msg)
    parts = []
    for comparison in comparisons:
        parts.append(_measured(comparison))
        if (same := comparison.common()) is not None:
            parts.append(_common(same))
        parts.extend(_differences(comparison, against))
    for gray in (True, False):
        floats = [c for c in comparisons if c.gray is gray and c.rows[0].get("protocol") == "float"]
        specs = ordered(spec for comparison in floats for spec in comparison.specs)
        parts.extend(_published(floats, specs, gray=gray))
    return "\n\n".join(parts) + "\n"


def report_csv(results: Path, ids: Path | None = None) -> str:
    """The means as CSV, one line per set of rules, method and noise."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for comparison in read_comparisons(results, ids):
        for competitor in comparison.competitors:
            for spec in comparison.specs:
                rows = comparison.good(competitor, spec)
                if not rows:
                    continue
                level, likeness = quality(rows)
                known = published_for(comparison, competitor[0], spec)
                writer.writerow(
                    [
                        comparison.title or "",
                        comparison.rules,
                        *competitor,
                        comparison.told(competitor),
                        spec,
                        level.count,
                        *(_plain(x) for x in (level.value, level.error)),
                        *(_plain(x) for x in (likeness.value, likeness.error)),
                        _plain(comparison.seconds_per_megapixel(competitor)),
                        _plain(comparison.peak_mb(competitor)),
                        "" if known is None else known,
                    ]
                )
    return text.getvalue()


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _measured(comparison: Comparison) -> str:
    """One table: methods down, noise across; published numbers in columns of their own."""
    specs = comparison.specs
    pairs = [(c[0], s) for c in comparison.competitors for s in specs]
    known = [s for s in specs if any(published_for(comparison, *p) for p in pairs if p[1] == s)]
    machines = comparison.machines
    lines = []
    for competitor in comparison.competitors:
        cells = [_cell(comparison.good(competitor, spec)) for spec in specs]
        others = [published_for(comparison, competitor[0], spec) for spec in known]
        lines.append(
            [
                label(competitor),
                comparison.told(competitor),
                *cells,
                *("-" if other is None else f"{other:.2f}" for other in others),
                _seconds(comparison, competitor, machines),
                str(comparison.failed(competitor)),
            ]
        )
    heads = ["method", "noise level", *(f"{spec} dB ± s.e. / SSIM (n)" for spec in specs)]
    heads += [f"published {spec} dB" for spec in known]
    table = markdown_table([*heads, "s per megapixel", "failed"], lines)
    title = f" on {comparison.title}" if comparison.title else ""
    return f"**Measured**{title}: {comparison.rules}.\n\n{table}{_machines_note(machines)}"


def _seconds(comparison: Comparison, competitor: Competitor, machines: Sequence[str]) -> str:
    """Seconds a megapixel, with the numbers of the machines where there are several."""
    seconds = f"{comparison.seconds_per_megapixel(competitor):.3g}"
    if len(machines) < 2:
        return seconds
    used = {str(row.get("machine", "")) for row in comparison.good(competitor)}
    places = [str(k) for k, name in enumerate(machines, start=1) if name in used]
    return f"{seconds} [{','.join(places)}]"


def _machines_note(machines: Sequence[str]) -> str:
    if len(machines) < 2:
        return ""
    named = "; ".join(f"[{k}] {name or 'unknown'}" for k, name in enumerate(machines, start=1))
    return f"\n\nSeconds compare only among rows of the same machine: {named}."


def _common(same: Comparison) -> str:
    """The slow methods were judged on fewer pictures; here all are judged on theirs."""
    lines = [
        [label(c), *(_cell(same.good(c, spec)) for spec in same.specs)]
        for c in same.competitors
        if same.good(c)
    ]
    table = markdown_table(["method", *(f"{s} dB ± s.e. / SSIM (n)" for s in same.specs)], lines)
    return (
        "**The same on the pictures that all methods have at a noise level** (n). Only here may "
        f"all means of a column be compared.\n\n{table}"
    )


def _differences(comparison: Comparison, against: str | None) -> list[str]:
    """Paired differences to one method with their bootstrap intervals."""
    base = comparison.base(against)
    if base is None:
        return []
    lines = [
        [label(c), *(_gap(comparison.difference(c, base, spec)) for spec in comparison.specs)]
        for c in comparison.competitors
        if c != base
    ]
    table = markdown_table(["method", *(f"{spec} dB" for spec in comparison.specs)], lines)
    return [
        f"**Minus {label(base)}**, picture by picture: mean [95 % bootstrap interval] "
        f"(pictures).\n\n{table}"
    ]


def _gap(difference: Difference) -> str:
    mean = difference.mean
    if mean.count == 0:
        return "-"
    if math.isnan(difference.low):  # one picture has no spread
        return f"{mean.value:+.2f} ({mean.count})"
    return f"{mean.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}] ({mean.count})"


def _cell(rows: Sequence[Row]) -> str:
    """Means over pictures and how many there were; PSNR of identical pictures is infinite."""
    if not rows:
        return "-"
    level, likeness = quality(rows)
    error = "" if math.isnan(level.error) else f" ± {level.error:.2f}"
    similar = f"{likeness.value:.4f}" if likeness.count else "-"
    return f"{level.value:.2f}{error} / {similar} ({len(rows)})"


def _published(comparisons: Sequence[Comparison], specs: Sequence[str], *, gray: bool) -> list[str]:
    """Tables of other people's numbers for these noise levels, one per data set.

    Where all pictures are of known sets, only those sets.
    """
    chosen = [
        e for e in published() if e["gray"] is gray and any(spec in e["psnr"] for spec in specs)
    ]
    titles = {comparison.title for comparison in comparisons}
    if None not in titles:
        chosen = [entry for entry in chosen if entry["set"] in titles]
    parts = []
    for name in dict.fromkeys(entry["set"] for entry in chosen):
        lines = []
        for entry in (e for e in chosen if e["set"] == name):
            cells = [
                f"{entry['psnr'][spec]:.2f}" if spec in entry["psnr"] else "-" for spec in specs
            ]
            known = "blind" if entry["blind"] else "told"
            lines.append([entry["method"], known, *cells, entry["source"]])
        heads = ["method", "noise level", *(f"{spec} dB" for spec in specs), "source"]
        kind = "gray" if gray else "RGB"
        parts.append(
            f"**Published** on {name} ({kind}, noisy picture as floats), not measured here.\n\n"
            + markdown_table(heads, lines)
        )
    return parts


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells are taken as they are."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
