"""The report: rows of the bench as Markdown tables; published numbers have their own tables."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median
from typing import Any

from degrain.bench.run import KEY, Row, read_rows, results_file
from degrain.errors import UsageError


def report(results: Path) -> str:
    """Mean PSNR and SSIM per method and noise, one table for each set of rules.

    Args:
        results: what was given to `run`.

    Returns:
        Markdown. Rows measured by different rules never share a table.

    Raises:
        UsageError: there are no results.
    """
    file = results_file(results)
    latest = {tuple(row[name] for name in KEY): row for row in read_rows(file)}
    if not latest:
        msg = f"There are no results in {file}; run the bench first."
        raise UsageError(msg)
    by_rules: dict[str, list[Row]] = {}
    for row in latest.values():
        by_rules.setdefault(row["rules"], []).append(row)
    parts = [_measured(rules, rows) for rules, rows in by_rules.items()]
    for gray in (True, False):
        specs = _ordered(
            row["noise"]
            for row in latest.values()
            if row.get("gray") is gray and row.get("protocol") == "float"
        )
        parts.extend(_published(gray=gray, specs=specs))
    return "\n\n".join(parts) + "\n"


def _measured(rules: str, rows: Sequence[Row]) -> str:
    """One table: methods down, noise across."""
    specs = _ordered(row["noise"] for row in rows)
    lines = []
    competitors = dict.fromkeys((row["method"], row["version"]) for row in rows)
    for method, version in competitors:
        own = [row for row in rows if (row["method"], row["version"]) == (method, version)]
        good = [row for row in own if row["status"] == "ok"]
        cells = [_cell([row for row in good if row["noise"] == spec]) for spec in specs]
        sigma = ", ".join(dict.fromkeys(row["sigma"] for row in good))
        speed = median([row["seconds"] / row["megapixels"] for row in good]) if good else math.nan
        label = f"{_label(method)} ({version})" if version else method
        lines.append([label, sigma, *cells, f"{speed:.3g}", str(len(own) - len(good))])
    heads = ["method", "noise level", *(f"{spec} dB / SSIM (n)" for spec in specs)]
    table = markdown_table([*heads, "s per megapixel", "failed"], lines)
    return f"**Measured**: {rules}.\n\n{table}"


def _cell(rows: Sequence[Row]) -> str:
    """Means over pictures and how many there were; PSNR of identical pictures is infinite."""
    if not rows:
        return "-"
    quality = fmean(math.inf if row["psnr"] is None else row["psnr"] for row in rows)
    similar = [row["ssim"] for row in rows if row["ssim"] is not None]
    likeness = f"{fmean(similar):.4f}" if similar else "-"
    return f"{quality:.2f} / {likeness} ({len(rows)})"


def _published(*, gray: bool, specs: Sequence[str]) -> list[str]:
    """Tables of other people's numbers for these noise levels, one per data set."""
    text = files("degrain.bench").joinpath("published.toml").read_text(encoding="utf-8")
    entries: list[Mapping[str, Any]] = tomllib.loads(text)["entry"]
    chosen = [e for e in entries if e["gray"] is gray and any(spec in e["psnr"] for spec in specs)]
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


def _ordered(specs: Iterable[str]) -> list[str]:
    """Each once, by model and then by number."""
    return sorted(set(specs), key=lambda spec: (spec.split(":")[0], _numbers(spec), spec))


def _numbers(spec: str) -> list[float]:
    parts = spec.partition(":")[2].replace(",", "-").split("-")
    try:
        return [float(part) for part in parts]
    except ValueError:  # exponents with a minus sign
        return []


def _label(method: str) -> str:
    """`onnx:some/folder/net.onnx` without the folder, which is of no interest to others."""
    return f"onnx:{Path(method[5:]).name}" if method.startswith("onnx:") else method


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells are taken as they are."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
