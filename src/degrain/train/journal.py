"""A run's config.json and journal, metrics.jsonl; of a three-phase run with a bar as well."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degrain.train.whole import whole_file

Row = dict[str, Any]


@dataclass(slots=True)
class Journal:
    """Writes rows and shows progress.

    Attributes:
        run: the run folder.
        quiet: show nothing.
    """

    run: Path
    quiet: bool = False
    bar: Any = None

    def open_stage(self, stage: str) -> None:
        """Begin a new bar, in percent of the stage's budget."""
        from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

        self.close()
        title = "cold start" if stage == "cold" else f"phase {stage}"
        form = "{desc} {percentage:3.0f}% |{bar}| {elapsed} {remaining} left{postfix}"
        self.bar = tqdm(
            total=100.0,
            desc=title,
            bar_format=form,
            file=sys.stderr,
            disable=True if self.quiet else None,
        )

    def progress(self, share: float, iteration: int, means: dict[str, float]) -> None:
        """Move the bar."""
        self.bar.update(min(100.0, 100 * share) - self.bar.n)
        told = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.bar.set_postfix_str(f"{iteration} iterations, {told}", refresh=False)

    def write(self, row: Row) -> None:
        """Append one row."""
        with (self.run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_after(self, iteration: int) -> None:
        """Take out rows that a resumed run will write again."""
        forget_after(self.run, "iteration", iteration)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def forget_after(run: Path, counter: str, last: int) -> None:
    """Take out the rows that a run resumed from its checkpoint will write again.

    Args:
        run: the run folder.
        counter: the field that counts steps.
        last: what it is in the checkpoint.
    """
    journal = run / "metrics.jsonl"
    kept = [row for row in read_rows(run) if row[counter] <= last]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    if journal.is_file() and journal.read_text(encoding="utf-8") == text:
        return
    with whole_file(journal, "journal") as partial:
        partial.write_text(text, encoding="utf-8")


def write_config(config: Mapping[str, Any], run: Path) -> None:
    """Write what a run was asked for, `config.json`, into its folder, which is made here."""
    run.mkdir(parents=True, exist_ok=True)
    with whole_file(run / "config.json", "configuration") as partial:
        partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_rows(run: Path) -> list[Row]:
    """All rows of a run; one that a crash cut short is left out."""
    path = run / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
