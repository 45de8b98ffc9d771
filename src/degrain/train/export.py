"""Export: from a run folder to an ONNX file with its card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degrain.errors import UsageError
from degrain.train import checkpoint
from degrain.train.describe import write_described
from degrain.train.export_phases import export_phases
from degrain.train.fit import build_net
from degrain.train.journal import read_rows
from degrain.train.recipes import Recipe, from_json
from degrain.train.repeat import command
from degrain.train.start import stored_weights
from degrain.zoo.card import ModelCard, write_card
from degrain.zoo.store import load_model


def export_run(
    run: Path, output: Path, *others: Path, name: str | None = None, half: bool = False
) -> ModelCard:
    """Write the averaged weights of a run as `output` and its card as `<output stem>.toml`.

    Halo, stride and memory need are measured on the written file.

    Args:
        run: folder of a run that has a checkpoint.
        output: the ONNX file to write.
        others: further runs, or names or files of models, that began with the weights of `run`, or
            it with theirs; the mean of all their weights is written (Izmailov et al., "Averaging
            weights leads to wider optima", UAI 2018). The card's quality is then left to be
            measured.
        name: the model's name; the recipe's by default.
        half: store the weights in half precision: half the file.

    Raises:
        TrainingError: a run has no checkpoint, or the file cannot be written.
        ModelError: a model's file is damaged.
        UsageError: there is no such model, the networks cannot be averaged, or a run in three
            phases halved.
    """
    saved = checkpoint.load(run / "checkpoint.pt")
    config = _read_config(run)
    if "phases" in config:
        if others:
            msg = f"{run} is a run in three phases, which cannot be averaged; export it alone."
            raise UsageError(msg)
        if half:
            raise UsageError(f"{run} is a run in three phases; export it without --half.")
        return export_phases(run, output, name=name)
    # The checkpoint's recipe: a run that grows its net may not have come to the end.
    recipe = from_json(saved["recipe"])
    net = build_net(recipe)
    net.load_state_dict(saved["average"])
    _average_with(net, others)
    card = write_described(net, output, recipe.channels, half=half)
    card = replace(
        card,
        name=name or config.get("name") or run.name,
        summary=card.summary if config["pairs"] else _summary(recipe),
        gray=recipe.gray if recipe.channels == 1 else card.gray,
        noise=recipe.noise if not config["pairs"] else "the pairs it was trained on",
        training_data=_training_data(config),
        recipe="; averaged with ".join(_origin(path) for path in (run, *others)),
        quality={} if others else _quality(run, "the pairs" if config["pairs"] else "float noise"),
    )
    write_card(card, output.with_suffix(".toml"))
    return card


@torch.no_grad()
def _average_with(net: nn.Module, others: Sequence[Path]) -> None:
    """Make the weights of `net` the mean of its own and those of other runs and models."""
    for count, other in enumerate(others, start=2):
        own, weights = net.state_dict(), stored_weights(str(other))
        if not _same_network(own, weights):
            msg = f"{other} is another network; only weights of the same one can be averaged."
            raise UsageError(msg)
        for name, tensor in own.items():
            if tensor.is_floating_point():
                tensor.lerp_(weights[name], 1 / count)


def _same_network(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Whether both have the same tensors; ONNX files also hold constants, named without a dot."""
    learned = {name for name in weights if "." in name or name in own}
    return learned == own.keys() and all(weights[name].shape == own[name].shape for name in own)


def _origin(source: Path) -> str:
    """How a run came about, or which model it is."""
    if source.is_dir():
        return command(_read_config(source))
    card = load_model(str(source))
    return f"{card.name} (its weights of version {card.sha256[:12]})"


def _read_config(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return config


def _training_data(config: dict[str, Any]) -> str:
    names = ", ".join(config["data"] or config["pairs"])
    listed = f" (list {config['ids']['name']})" if config.get("ids") else ""
    return f"{config['pictures']} pictures from {names}{listed}"


def _summary(recipe: Recipe) -> str:
    kind = "gray" if recipe.channels == 1 else "color"
    if re.search(r"\d-", recipe.noise):
        return f"Blind denoiser for {kind} pictures."
    return f"Denoiser for {kind} pictures with noise {recipe.noise}."


def _quality(run: Path, noise: str) -> dict[str, dict[str, float]]:
    """The last validation of the run, under its protocol."""
    rows = read_rows(run)
    if not rows:
        return {}
    return {f"held-out training pictures, 256×256, {noise}, PSNR": rows[-1]["psnr"]}
