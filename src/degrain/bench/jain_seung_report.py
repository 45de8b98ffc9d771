"""The report of the experiment `jain-seung`: its tables as Markdown, recomputed from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from degrain.bench import paired
from degrain.bench.clock import REFERENCE
from degrain.bench.jain_seung_findings import (
    CLOCK_SIDE_PX,
    SHOWN_SIGMA,
    SIGMAS,
    Findings,
    noise_spec,
    reference_label,
)
from degrain.bench.randomize import PARTS
from degrain.bench.report import markdown_table

PAPER_SECONDS = 38.86
"""CN1 and CN2 on a 512×512 picture: Jain & Seung, NIPS 2008, Sec. 5."""
SOURCES: Mapping[str, str] = {
    "bm3d": "BM3D: Dabov, Foi, Katkovnik & Egiazarian, IEEE TIP 16(8), 2007; package `bm3d` by "
    "Mäkinen, Azzari & Foi (IEEE TIP 29, 2020), free for non-commercial use only. It is told σ.",
}


def write_report(
    findings: Findings,
    folder: Path,
    *,
    times: Sequence[Mapping[str, Any]],
    shown: str,
    random_model: str | None,
) -> None:
    """Write `report.md`: one block for each table, between comments that name it."""
    blocks = {"fig2": _quality(findings), "fig2-paired": _paired(findings)}
    blocks["fig3"] = _shown(findings, shown)
    if random_model:
        blocks["random"] = _random(findings, random_model, shown)
    blocks["clock"] = _times(times)
    parts = ["# Jain & Seung 2008, measured", f"{findings.suite.rules}."]
    parts += findings.missing
    for name, text in blocks.items():
        parts.append(f"<!-- block {name} -->\n{text}\n<!-- end {name} -->")
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _quality(findings: Findings) -> str:
    """Fig. 2 as a table."""
    found = {sigma: findings.means(sigma) for sigma in SIGMAS}
    noisy = {sigma: paired.mean_of(findings.psnr("noisy", sigma).values()) for sigma in SIGMAS}
    labels = list(dict.fromkeys(label for means in found.values() for label in means))
    lines = [["noisy", *(_mean(noisy[sigma]) for sigma in SIGMAS)]]
    for label in labels:
        cells = [_mean(found[s][label]) if label in found[s] else "-" for s in SIGMAS]
        lines.append([label, *cells])
    table = markdown_table(["PSNR in dB", *(f"σ {sigma}" for sigma in SIGMAS)], lines)
    notes = [SOURCES[name] for name in findings.references if name in SOURCES]
    legend = "Mean ± standard error over pictures (how many)."
    return "\n\n".join([table, " ".join([legend, *notes])])


def _paired(findings: Findings) -> str:
    """Networks against the first reference, on the same noisy pictures."""
    if not findings.references:
        return "No reference could be measured, so there are no paired differences."
    found = {sigma: findings.differences(sigma) for sigma in SIGMAS}
    lines = [
        [label, *(_difference(found[s][label]) if label in found[s] else "-" for s in SIGMAS)]
        for label in findings.networks
    ]
    base = reference_label(findings.references[0])
    table = markdown_table([f"minus {base}, in dB", *(f"σ {s}" for s in SIGMAS)], lines)
    legend = (
        "Mean difference ± standard error, and the 95 % bootstrap interval of the mean "
        f"({paired.RESAMPLES} resamples of pictures)."
    )
    return f"{table}\n\n{legend}"


def _shown(findings: Findings, shown: str) -> str:
    """What Fig. 3 shows and why."""
    return (
        f"Picture {Path(shown).stem}, σ {SHOWN_SIGMA}: the one with the median PSNR of CN2 among "
        f"{len(findings.suite.names)}. The outlined square is the one with the most detail. "
        "PSNR is that of the whole picture."
    )


def _random(findings: Findings, model: str, shown: str) -> str:
    """Sec. 5: what is left with random layers, on the picture of Fig. 3 and on all."""
    methods = {row["method"] for row in findings.rows}
    lines = [["noisy", *_over_draws(findings, ["noisy"], shown)]]
    lines.append([f"{model}, as trained", *_over_draws(findings, [model], shown)])
    for part in PARTS.values():
        draws = sorted(name for name in methods if name.startswith(f"{model}, {part}, draw "))
        lines.append([f"{part} ({len(draws)} draws)", *_over_draws(findings, draws, shown)])
    table = markdown_table(["PSNR in dB", f"picture {Path(shown).stem}", "all pictures"], lines)
    legend = (
        f"σ {SHOWN_SIGMA}. For random layers the mean over draws, and in brackets the worst and "
        "the best draw."
    )
    return f"{table}\n\n{legend}"


def _over_draws(findings: Findings, methods: Sequence[str], shown: str) -> list[str]:
    """PSNR of the shown picture and mean PSNR: means over draws and their range."""
    spec = noise_spec(SHOWN_SIGMA)
    found = [paired.psnr_by_picture(findings.rows, name, spec) for name in methods]
    columns = [
        [values[shown] for values in found if shown in values],
        [paired.mean_of(values.values()).value for values in found if values],
    ]
    cells = []
    for values in columns:
        text = f"{paired.mean_of(values).value:.2f}" if values else "-"
        if len(values) > 1:
            text += f" ({min(values):.2f} … {max(values):.2f})"
        cells.append(text)
    return cells


def _times(times: Sequence[Mapping[str, Any]]) -> str:
    """Seconds and ratios to the fixed reference."""
    lines = [
        [
            row["method"] if row["method"] == REFERENCE else reference_label(row["method"]),
            str(row["threads"]),
            f"{row['seconds']:.3f}",
            f"{row['fastest']:.3f} … {row['slowest']:.3f} ({row['runs']})",
            f"{row['ratio']:.2f}",
            "-" if row["method"] == REFERENCE else f"{PAPER_SECONDS / row['seconds']:.0f}",
        ]
        for row in times
    ]
    heads = [
        "method",
        "threads",
        "seconds",
        "range (runs)",
        "ratio to the reference",
        "paper's / ours",
    ]
    legend = (
        f"One picture of {CLOCK_SIDE_PX}×{CLOCK_SIDE_PX} pixels, median of runs "
        f"in turns, on {times[0]['machine']}. The reference is an FFT of 2048×2048 doubles. "
        f"The paper's CN1 and CN2 took {PAPER_SECONDS} s in 2008."
    )
    return f"{markdown_table(heads, lines)}\n\n{legend}"


def _mean(mean: paired.Mean) -> str:
    if not mean.count:
        return "-"
    error = f" ± {mean.error:.2f}" if mean.count > 1 else ""
    return f"{mean.value:.2f}{error} ({mean.count})"


def _difference(difference: paired.Difference) -> str:
    mean = difference.mean
    if mean.count < 2:
        return f"{mean.value:+.2f} ({mean.count})"
    ends = f"[{difference.low:+.2f}, {difference.high:+.2f}]"
    return f"{mean.value:+.2f} ± {mean.error:.2f} {ends}"
