"""Rows of the bench in a file: one JSON object a line, appended, never changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from degrain.errors import UsageError

Row = dict[str, Any]
KEY = ("rules", "method", "version", "picture", "noise")
"""What makes two rows the same measurement."""
FORMAT = 2
"""Of the rows written now: 2 added `format`, `peak_mb`, `commit` and `machine`; 1 had no number.

`macs_per_pixel` and the fields of shown windows (see `degrain.bench.crops`) came later without a
new number: a reader that does not know them reads all the rest as before.
"""


def results_file(results: Path) -> Path:
    """The JSON-lines file meant by `results`: itself, or `results.jsonl` in that folder."""
    return results if results.suffix == ".jsonl" else results / "results.jsonl"


def read_rows(file: Path) -> list[Row]:
    """All rows; a line cut short by a crash is left out, a missing file has none.

    Raises:
        UsageError: the file holds something else, or rows of a later version of degrain.
    """
    rows: list[Row] = []
    if not file.is_file():
        return rows
    broken = 0
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            broken += bool(line.strip())
            continue
        _check(row, file)
        rows.append(row)
    if broken and not rows and broken > 1:
        msg = f"{file} is no results file of degrain bench; give another place for the results."
        raise UsageError(msg)
    return rows


def latest_rows(file: Path) -> list[Row]:
    """One row for each measurement: the last one; in the order of the first."""
    return list({tuple(row[name] for name in KEY): row for row in read_rows(file)}.values())


def _check(row: Any, file: Path) -> None:
    """Refuse what is no row, or one that this version cannot understand."""
    if not isinstance(row, dict) or not all(name in row for name in (*KEY, "status")):
        msg = f"{file} is no results file of degrain bench; give another place for the results."
        raise UsageError(msg)
    if row.get("format", 1) > FORMAT:
        msg = (
            f"{file} was written by a later version of degrain (rows of format {row['format']}, "
            f"known are 1 to {FORMAT}); update degrain, or give another place for the results."
        )
        raise UsageError(msg)


def appending(file: Path) -> TextIO:
    """The results file opened for appending, on a fresh line even after a crash.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        cut = file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n")
        stream = file.open("a", encoding="utf-8")
    except OSError as error:
        msg = f"The results cannot be written to {file} ({error.strerror}); choose another place."
        raise UsageError(msg) from error
    if cut:
        stream.write("\n")
    return stream
