"""The command that repeats a training run, as its card tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from degrain.train.recipes import RECIPES
from degrain.train.three_phase_recipes import THREE_PHASE

OPTIONS = (
    "noise",
    "loss",
    "teacher",
    "told_teacher",
    "told_share",
    "leaves",
    "uneven",
    "lr",
    "batch",
    "crop",
    "seed",
)
PHASE_OPTIONS = ("noise", "lp_weight", "lp_power", "discriminator", "lr", "batch", "crop", "seed")
"""Fields of the recipes, one-phase and three-phase, that `degrain train` has options for."""

_FLAGS = {"leaves": "drawn"}
"""Options that have another name than their field."""


def command(config: Mapping[str, Any]) -> str:
    """The command of a run, with every option that it had instead of its recipe's.

    Args:
        config: what `config.json` of the run folder holds.
    """
    name, recipe = config.get("name", "RECIPE"), config["recipe"]
    recipes: Mapping[str, Callable[[], Any]] = THREE_PHASE if "phases" in config else RECIPES
    options = PHASE_OPTIONS if "phases" in config else OPTIONS
    known = name in recipes
    usual = dataclasses.asdict(recipes[name]()) if known else {}
    words = [
        f"degrain train {name}",
        f"--pairs {' '.join(config['pairs'])}" if config.get("pairs") else "--data DIR",
        f"--ids {config['ids']['name']}" if config.get("ids") else "",
        *_changed(recipe, usual, options if known else ("noise",)),
        "-o RUN",
        _phases(config),
        _budget(recipe),
        f"--start {config['start']}" if config.get("start") else "",
    ]
    later = [f"--resume {_phases(wish)} {_budget(wish)}" for wish in config.get("later", ())]
    return ", then ".join([" ".join(filter(None, words)), *later])


def _phases(wish: Mapping[str, Any]) -> str:
    return f"--phases {','.join(wish['phases'])}" if "phases" in wish else ""


def _budget(wish: Mapping[str, Any]) -> str:
    return f"--steps {wish['steps']}" if wish["steps"] else f"--minutes {wish['minutes']:g}"


def _changed(
    recipe: Mapping[str, Any], usual: Mapping[str, Any], options: Sequence[str]
) -> list[str]:
    return [
        f"--{_FLAGS.get(option, option).replace('_', '-')} {_without_folder(recipe[option])}"
        for option in options
        if recipe.get(option, usual.get(option)) != usual.get(option)
    ]


def _without_folder(value: Any) -> Any:
    """A file's name without the folders it lies in; anything else as it is."""
    return Path(value).name if isinstance(value, str) else value
