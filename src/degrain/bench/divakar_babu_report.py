"""The report of the experiment `divakar-babu`: its tables as Markdown, recomputed from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from degrain.bench.report import markdown_table
from degrain.bench.rows import Row
from degrain.bench.suites import Suite

NOISE: Final = ("gaussian:10", "gaussian:15", "gaussian:20", "gaussian:25")
PUBLISHED: Final[Mapping[str, tuple[float, ...]]] = {
    "phase 2": (-1.01, -0.41, -0.16, -0.43),
    "phase 3": (0.03, 0.08, 0.06, 0.13),
}
"""The paper's margins over BM3D in dB on its 300 pictures, Tables 1 and 2, for `NOISE`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured by one set of rules.

    Attributes:
        name: of the block, such as `float` or `voc-clip8`.
        title: for the reader.
        suite: the rules.
        reference: method that margins are taken over.
        networks: labels, such as `phase 2` and `phase 3` or those of an ablation, to method names.
        rows: the good rows, the latest of each.
    """

    name: str
    title: str
    suite: Suite
    reference: str
    networks: Mapping[str, str]
    rows: Sequence[Row] = ()

    @property
    def methods(self) -> list[str]:
        """All methods, each once."""
        return list(dict.fromkeys(["noisy", self.reference, *self.networks.values()]))

    def by_picture(self, method: str, spec: str, what: str = "psnr") -> dict[str, float]:
        """One figure of every picture."""
        return {
            row["picture"]: row[what]
            for row in self.rows
            if row["method"] == method and row["noise"] == spec and row[what] is not None
        }


def write_report(
    path: Path, model: str, parts: Sequence[Measured], runs: Mapping[str, Sequence[Row]]
) -> None:
    """Write `report.md`: one block for each table, between comments that name it."""
    text = [f"# Divakar & Babu 2017, measured\n\nModel: {label_of(model)}; blind."]
    for part in parts:
        text.append(_block(part.title, part.name, _table(part)))
    if runs:
        text.append(_block("Training runs", "runs", _runs(runs)))
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")


def label_of(method: str) -> str:
    """A method without the folder of its file."""
    return Path(method.removeprefix("onnx:").removeprefix("detail:")).name


def told(reference: str) -> str:
    """The reference as a reader shall see it."""
    return "BM3D (told σ)" if reference == "bm3d" else label_of(reference)


def _block(title: str, name: str, text: str) -> str:
    return f"## {title}\n\n<!-- block {name} -->\n{text}\n<!-- end {name} -->"


def _table(part: Measured) -> str:
    """Every method at every noise level, and its margins over the reference.

    Tables 1 and 2 of the paper, or an ablation. Only pictures that all methods have count.
    """
    part = _in_common(part)
    base = told(part.reference)
    shown = {"noisy": "noisy", base: part.reference, **part.networks}
    lines = [
        [f"{label}, dB / SSIM", *(_quality(part, method, spec) for spec in NOISE)]
        for label, method in shown.items()
    ]
    for label, method in part.networks.items():
        if method == part.reference:
            continue
        margins = [_margin(part, method, part.reference, spec) for spec in NOISE]
        lines.append([f"{label} − {base}, dB (± standard error)", *margins])
        if label in PUBLISHED:
            published = (f"{value:+.2f}" for value in PUBLISHED[label])
            lines.append([f"{label} − BM3D, published (300 pictures)", *published])
    counts = [str(len(part.by_picture(part.reference, spec))) for spec in NOISE]
    if set(counts) != {str(len(part.suite.names))}:
        lines.append(["pictures that every method has", *counts])
    return f"{part.suite.rules}.\n\n{markdown_table(_heads(''), lines)}"


def _in_common(part: Measured) -> Measured:
    """Without the rows of pictures that some method lacks at that noise level."""
    common = {
        spec: set.intersection(*(set(part.by_picture(name, spec)) for name in part.methods))
        for spec in NOISE
    }
    rows = [row for row in part.rows if row["picture"] in common.get(row["noise"], ())]
    return replace(part, rows=rows)


def _runs(runs: Mapping[str, Sequence[Row]]) -> str:
    """Where phase 2 of every run ended, on its held-out pictures, and what survived."""
    heads = _heads("run")
    heads[1:1] = ["steps", "connections of layers 5 and 6", "maps that these read"]
    return markdown_table(heads, [_run_line(name, rows) for name, rows in runs.items()])


def _run_line(name: str, rows: Sequence[Row]) -> list[str]:
    last: Mapping[str, Any] = [row for row in rows if row["phase"] == "2"][-1]
    fifth, sixth = last["survivors"]["layer 5"], last["survivors"]["layer 6"]
    counts = f"{fifth['connections']} of {fifth['of']}, {sixth['connections']} of {sixth['of']}"
    maps = f"{fifth['maps']} of {fifth['of_maps']}, {sixth['maps']} of {sixth['of_maps']}"
    quality = [f"{last['psnr'][spec]:.2f}" if spec in last["psnr"] else "-" for spec in NOISE]
    return [name, str(last["step"]), counts, maps, *quality]


def _heads(first: str) -> list[str]:
    return [first, *(spec.replace("gaussian:", "σ ") for spec in NOISE)]


def _quality(part: Measured, method: str, spec: str) -> str:
    psnr = part.by_picture(method, spec).values()
    ssim = part.by_picture(method, spec, "ssim").values()
    if not psnr:
        return "-"
    return f"{fmean(psnr):.2f} / {fmean(ssim):.4f}" if ssim else f"{fmean(psnr):.2f} / -"


def _margin(part: Measured, method: str, base: str, spec: str) -> str:
    """Mean difference over the pictures that both have, with its standard error."""
    first, second = (part.by_picture(name, spec) for name in (method, base))
    differences = [first[picture] - second[picture] for picture in first]
    if not differences:
        return "-"
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return f"{fmean(differences):+.2f} (± {error:.2f})"
