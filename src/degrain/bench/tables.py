"""What a report shows, as numbers: means, standard errors, common pictures, paired differences."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from degrain.bench.datasets import list_hash, title_of
from degrain.bench.paired import Difference, Mean, mean_of, paired
from degrain.bench.rows import Row, latest_rows, results_file
from degrain.bench.suites import PART, REAL, read_ids
from degrain.errors import UsageError

Competitor = tuple[str, str]
"""Method and version."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows measured by one set of rules; rows of other rules never come near them.

    Attributes:
        rules: the protocol string.
        rows: the last row of each measurement.
        part: `list_hash` of the pictures looked at, where that is a part of those measured.
    """

    rules: str
    rows: tuple[Row, ...]
    part: str = ""

    @property
    def gray(self) -> bool:
        """Were gray pictures judged?"""
        return bool(self.rows[0].get("gray"))

    @property
    def title(self) -> str | None:
        """What papers call these pictures; None if they are unknown here, or only parts judged."""
        if PART in self.rules:
            return None
        return title_of(str(self.rows[0].get("data")), gray=self.gray, part=self.part)

    @property
    def specs(self) -> list[str]:
        """Noise specs, by model and then by number."""
        return ordered(row["noise"] for row in self.rows)

    @property
    def competitors(self) -> list[Competitor]:
        """Methods with their versions, as they came."""
        return list(dict.fromkeys((row["method"], row["version"]) for row in self.rows))

    def good(self, competitor: Competitor, spec: str | None = None) -> list[Row]:
        """The rows of one competitor that did not fail."""
        return [
            row
            for row in self.rows
            if (row["method"], row["version"]) == competitor
            and row["status"] == "ok"
            and spec in (None, row["noise"])
        ]

    def failed(self, competitor: Competitor) -> int:
        """How many of its rows failed."""
        own = [row for row in self.rows if (row["method"], row["version"]) == competitor]
        return len(own) - len(self.good(competitor))

    def psnr(self, competitor: Competitor, spec: str) -> dict[str, float]:
        """PSNR in dB by picture; infinite for identical pictures."""
        return {row["picture"]: decibels(row) for row in self.good(competitor, spec)}

    def finite(self, competitor: Competitor, spec: str) -> dict[str, float]:
        """The same without identical pictures, of which no difference can be taken."""
        found = self.psnr(competitor, spec)
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def seconds_per_megapixel(self, competitor: Competitor) -> float:
        """Median over pictures; NaN if all failed."""
        good = self.good(competitor)
        return median([row["seconds"] / row["megapixels"] for row in good]) if good else math.nan

    @property
    def machines(self) -> tuple[str, ...]:
        """Where the rows were measured, in the order of their first appearance."""
        good = (row for row in self.rows if row["status"] == "ok")
        return tuple(dict.fromkeys(str(row.get("machine", "")) for row in good))

    def told(self, competitor: Competitor) -> str:
        """How the method knew the noise level."""
        return ", ".join(dict.fromkeys(row["sigma"] for row in self.good(competitor)))

    def peak_mb(self, competitor: Competitor) -> float:
        """Largest peak memory; NaN where it was not measured."""
        known = [row["peak_mb"] for row in self.good(competitor) if row.get("peak_mb")]
        return max(known, default=math.nan)

    def macs_per_pixel(self, competitor: Competitor) -> float | None:
        """Multiply-accumulates as its rows say; None if they do not, or it is no network."""
        known = (row.get("macs_per_pixel") for row in self.good(competitor))
        return next((float(count) for count in known if count), None)

    def common(self) -> Comparison | None:
        """At each noise level the pictures that every competitor has there; None if that is all.

        A competitor that has none at a level, or failed everywhere, does not count there.
        """
        kept = tuple(row for spec in self.specs for row in self._shared(spec))
        if not kept or len(kept) == sum(len(self.good(c)) for c in self.competitors):
            return None
        return replace(self, rows=kept)

    def _shared(self, spec: str) -> list[Row]:
        """The good rows at one noise level, of the pictures that all have there."""
        rows = [row for c in self.competitors for row in self.good(c, spec)]
        found: dict[Competitor, set[str]] = {}
        for row in rows:
            found.setdefault((row["method"], row["version"]), set()).add(row["picture"])
        shared = set.intersection(*found.values()) if found else set()
        return [row for row in rows if row["picture"] in shared]

    def base(self, against: str | None) -> Competitor | None:
        """Whom the others are compared with: as asked for, else the best on the common pictures."""
        if against is not None:
            return next((c for c in self.competitors if c[0] == against), None)
        same = self.common() or self
        spec = same.specs[len(same.specs) // 2]
        means = {c: mean_of(same.finite(c, spec).values()).value for c in same.competitors}
        known = {c: value for c, value in means.items() if not math.isnan(value)}
        return max(known, key=lambda c: known[c]) if len(known) > 1 else None

    def difference(self, first: Competitor, second: Competitor, spec: str) -> Difference:
        """First minus second, on the pictures that both have; infinite values are left out."""
        return paired(self.finite(first, spec), self.finite(second, spec))


def read_comparisons(results: Path, ids: Path | None = None) -> list[Comparison]:
    """The rows of a results file, by their rules.

    Args:
        results: what was given to `run`.
        ids: list of the pictures to look at; None: all that were measured.

    Raises:
        UsageError: there are none, or the file is no results file.
    """
    file = results_file(results)
    by_rules: dict[str, list[Row]] = {}
    for row in latest_rows(file):
        by_rules.setdefault(row["rules"], []).append(row)
    if not by_rules:
        msg = f"There are no results in {file}; run the bench first."
        raise UsageError(msg)
    found = [Comparison(rules, tuple(rows)) for rules, rows in by_rules.items()]
    return found if ids is None else _parts(found, ids)


def _parts(found: Sequence[Comparison], ids: Path) -> list[Comparison]:
    """The same, of the listed pictures only."""
    wanted = read_ids(ids)
    parts = []
    for whole in found:
        rows = tuple(row for row in whole.rows if Path(row["picture"]).stem in wanted)
        if rows:
            rules = f"{whole.rules}; of these the {len(wanted)} in the list {ids.name}"
            parts.append(Comparison(rules, rows, list_hash(wanted)))
    if not parts:
        msg = f"None of the pictures in {ids} was measured; give the list of some that were."
        raise UsageError(msg)
    return parts


def decibels(row: Row) -> float:
    """PSNR of a row; JSON has no infinity."""
    return math.inf if row["psnr"] is None else float(row["psnr"])


def quality(rows: Sequence[Row]) -> tuple[Mean, Mean]:
    """Mean PSNR and SSIM of rows with their standard errors."""
    values = [decibels(row) for row in rows]
    level = Mean(math.inf, math.nan, len(values)) if math.inf in values else mean_of(values)
    return level, mean_of(row["ssim"] for row in rows if row["ssim"] is not None)


def published() -> list[Mapping[str, Any]]:
    """Other people's numbers, each with its source."""
    text = files("degrain.bench").joinpath("published.toml").read_text(encoding="utf-8")
    entries: list[Mapping[str, Any]] = tomllib.loads(text)["entry"]
    return entries


def published_for(comparison: Comparison, method: str, spec: str) -> float | None:
    """What was published for this method on these pictures by these rules, if anything."""
    if comparison.title is None or comparison.rows[0].get("protocol") != "float":
        return None
    for entry in published():
        same = entry["set"] == comparison.title and entry["gray"] is comparison.gray
        if same and _same_method(entry, method) and spec in entry["psnr"]:
            return float(entry["psnr"][spec])
    return None


def _same_method(entry: Mapping[str, Any], method: str) -> bool:
    names = entry.get("measured_as", ())
    return method in names or Path(method.removeprefix("onnx:")).name in names


def ordered(specs: Iterable[str]) -> list[str]:
    """Each once, by model and then by number."""
    return sorted(set(specs), key=lambda spec: (spec.split(":")[0], _numbers(spec), spec))


def _numbers(spec: str) -> list[float]:
    parts = spec.partition(":")[2].replace(",", "-").split("-")
    try:
        return [float(part) for part in parts if part]
    except ValueError:  # exponents with a minus sign
        return []


def label(competitor: Competitor) -> str:
    """Name and version; of `onnx:some/folder/net.onnx` without the folder."""
    method, version = competitor
    kind, _, file = method.partition(":")
    name = f"{kind}:{Path(file).name}" if file else method
    return f"{name} ({version})" if version else name


def short_names(competitors: Sequence[Competitor]) -> dict[Competitor, str]:
    """For each the shortest label that no other one of these could bear.

    What tells nothing apart is left out: the kind (`onnx:`), then the version.
    """
    tried = {competitor: _labels(competitor) for competitor in competitors}
    names = {}
    for competitor, own in tried.items():
        others = {text for other, texts in tried.items() if other != competitor for text in texts}
        names[competitor] = next((text for text in own if text not in others), own[-1])
    return names


def _labels(competitor: Competitor) -> list[str]:
    """From the shortest to the one that is like no other."""
    method, version = competitor
    kind = label((method, ""))
    bare = kind.partition(":")[2] or kind
    # Last the whole path, as two folders may hold the same file under the same name.
    return [bare, kind, f"{bare} ({version})", label(competitor), f"{method} ({version})"]


def spec_name(spec: str) -> str:
    """A noise spec for the eye: "σ 25" for `gaussian:25`; other models keep their spec."""
    model, _, numbers = spec.partition(":")
    if spec == REAL:
        return "real noise"
    return f"σ {numbers.replace('-', '–')}" if model == "gaussian" else spec
