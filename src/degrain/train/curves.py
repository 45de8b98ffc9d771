"""Figures of a three-phase run: the paper's Fig. 5 and 6, and a sheet like its Fig. 3 and 7."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from degrain.metrics import psnr
from degrain.train.journal import Row, read_rows
from degrain.train.stages import PHASES
from degrain.train.three_phase import read_phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from degrain.train.stages import Training

SHEET_NOISE = "gaussian:25"
SHEET_PICTURES = 4


def draw_run(training: Training) -> list[str]:
    """Draw all figures of a run into its folder; tell what was written, or why nothing was."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return ['The figures need matplotlib; pip install "degrain[bench]"']
    run = training.journal.run
    paths = [*draw_curves(run), *draw_sheet(training)]
    return [str(path) for path in paths]


def draw_curves(run: Path) -> list[Path]:
    """Fig. 5, PSNR on held-out pictures, and Fig. 6, the adversarial loss, from metrics.jsonl.

    Returns:
        The files written; a figure without any data is left out.
    """
    drawn = [
        draw_psnr(run, run / "figure-5-psnr.png"),
        draw_adversarial(run, run / "figure-6-adversarial.png"),
    ]
    return [path for path in drawn if path is not None]


def draw_psnr(run: Path, path: Path) -> Path | None:
    """Fig. 5; None if the run has validated nothing yet."""
    noisy = [row for row in read_rows(run) if row["phase"] in ("2", "3")]
    return _save(_psnr_figure(noisy), path) if noisy else None


def draw_adversarial(run: Path, path: Path) -> Path | None:
    """Fig. 6; None if the run has not come to phase 3."""
    judged = [row for row in read_rows(run) if "discriminator_accuracy" in row]
    return _save(_adversarial_figure(judged), path) if judged else None


def draw_sheet(training: Training) -> list[Path]:
    """Clean, noisy, and what phases 2 and 3 make of it, on held-out pictures (Fig. 3 and 7)."""
    run = training.journal.run
    ended = [phase for phase in PHASES[1:] if (run / f"phase-{phase}.pt").is_file()]
    pairs = next(
        (v.sets[SHEET_NOISE] for v in training.validation.values() if SHEET_NOISE in v.sets), []
    )[:SHEET_PICTURES]
    if not ended or not pairs:
        return []
    columns = {"noisy": [_hwc(noisy) for noisy, _ in pairs]}
    for phase in ended:
        net = read_phase(run, phase, training.recipe)
        with torch.no_grad():
            columns[f"phase {phase}"] = [_hwc(net(noisy)) for noisy, _ in pairs]
    return [_save(sheet([_hwc(clean) for _, clean in pairs], columns), run / "sheet.png")]


def sheet(clean: Sequence[NDArray[Any]], columns: dict[str, list[NDArray[Any]]]) -> Figure:
    """Pictures side by side, one row each, with their PSNR against the clean one.

    Args:
        clean: H×W×1 or H×W×3 in 0..1.
        columns: title -> as many pictures of the same shapes.
    """
    figure = _figure(2.2 * (1 + len(columns)), 2.4 * len(clean))
    axes = figure.subplots(len(clean), 1 + len(columns), squeeze=False)
    for row, original in enumerate(clean):
        _show(axes[row, 0], original, "clean")
        for column, (title, pictures) in enumerate(columns.items(), start=1):
            quality = psnr(original, pictures[row])
            _show(axes[row, column], pictures[row], f"{title}, {quality:.2f} dB")
    return figure


def _psnr_figure(rows: Sequence[Row]) -> Figure:
    figure = _figure(7, 4)
    axes = figure.subplots()
    for spec in rows[0]["psnr"]:
        chosen = [row for row in rows if spec in row["psnr"]]
        places = [row["iteration"] for row in chosen]
        axes.plot(places, [row["psnr"][spec] for row in chosen], label=spec)
    _mark_phases(axes, rows)
    axes.set(xlabel="iteration", ylabel="PSNR on held-out pictures (dB)")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def _adversarial_figure(rows: Sequence[Row]) -> Figure:
    figure = _figure(7, 5)
    upper, lower = figure.subplots(2, sharex=True)
    played = [row for row in rows if "adversarial_loss" in row]
    upper.plot([r["iteration"] for r in played], [r["adversarial_loss"] for r in played])
    upper.set(ylabel="adversarial loss")
    lower.plot([r["iteration"] for r in rows], [r["discriminator_accuracy"] for r in rows])
    lower.axhline(0.95, linestyle=":", color="gray")
    lower.set(xlabel="iteration", ylabel="discriminator accuracy", ylim=(0, 1.02))
    _mark_phases(lower, rows)
    return figure


def _mark_phases(axes: Axes, rows: Iterable[Row]) -> None:
    """A line where a phase begins."""
    before = None
    for row in rows:
        if before is not None and row["phase"] != before["phase"]:
            axes.axvline(before["iteration"], linestyle="--", color="black", linewidth=0.8)
        before = row


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _show(axes: Axes, picture: NDArray[Any], title: str) -> None:
    pixels = np.clip(picture[..., 0] if picture.shape[2] == 1 else picture, 0, 1)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path


def _hwc(picture_nchw: torch.Tensor) -> NDArray[Any]:
    pixels: NDArray[Any] = picture_nchw[0].movedim(0, -1).cpu().numpy()
    return pixels
