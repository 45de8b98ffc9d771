"""Export of a three-phase run: one model with two ends, phase 2 and phase 3."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from degrain.train.describe import write_described
from degrain.train.journal import read_rows
from degrain.train.onnx_file import write_onnx
from degrain.train.repeat import command
from degrain.train.three_phase import VALIDATION_SIDE, read_phase, read_run
from degrain.zoo.card import ModelCard, write_card


def export_phases(run: Path, output: Path, *, name: str | None = None) -> ModelCard:
    """Write phase 2 as `output`, phase 3, once it has ended, beside it, and one card for both.

    Halo, stride and memory need are measured on `output`; phase 3 has the same architecture.

    Args:
        run: folder of a three-phase run.
        output: the ONNX file to write; phase 3 becomes `<output stem>.detail.onnx`.
        name: the model's name; the recipe's by default.

    Raises:
        TrainingError: phase 2 has not ended, or a file cannot be written.
    """
    config, recipe = read_run(run)
    net = read_phase(run, "2", recipe)
    card = replace(
        write_described(net, output, recipe.channels),
        name=name or config["name"],
        noise=recipe.noise,
        training_data=f"{config['pictures']} pictures from {', '.join(config['data'])}",
        recipe=command(config),
        quality=_quality(run),
    )
    if (run / "phase-3.pt").is_file():
        partner = output.with_name(f"{output.stem}.detail.onnx")
        write_onnx(read_phase(run, "3", recipe), partner, recipe.channels)
        digest = hashlib.sha256(partner.read_bytes()).hexdigest()
        card = replace(card, detail_model=partner.name, detail_sha256=digest)
    write_card(card, output.with_suffix(".toml"))
    return card


def _quality(run: Path) -> dict[str, dict[str, float]]:
    """The last validations of phases 2 and 3, under their protocol."""
    side = VALIDATION_SIDE
    last = {row["phase"]: row["psnr"] for row in read_rows(run)}
    ends = {"2": "phase 2 (detail 0)", "3": "phase 3 (detail 1)"}
    return {
        f"held-out training pictures, {side}×{side}, float noise, PSNR, {title}": last[phase]
        for phase, title in ends.items()
        if phase in last
    }
