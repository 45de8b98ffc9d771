"""Checkpoints: the whole state of a run in one file that is replaced in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from degrain.errors import TrainingError
from degrain.train.whole import whole_file


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` beside `path`, flush it to the disk, then replace `path`.

    A process killed at any moment leaves the previous checkpoint or the new one, never half.

    Raises:
        TrainingError: it cannot be written; the previous one stays.
    """
    with whole_file(path, "checkpoint") as partial:
        try:
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(str(error).splitlines()[0]) from error


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
