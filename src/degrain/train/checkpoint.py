"""Checkpoints: the whole state of a run in one file that is replaced in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from degrain.errors import TrainingError


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` beside `path`, flush it to the disk, then replace `path`.

    A process killed at any moment leaves the previous checkpoint or the new one, never half.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises:
        TrainingError: there is none, or it is damaged.
    """
    if not path.is_file():
        msg = f"There is no checkpoint at {path}; train first (`degrain train` without --resume)."
        raise TrainingError(msg)
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        msg = f"The checkpoint {path} is damaged ({error}); start the run again."
        raise TrainingError(msg) from error
    return state
