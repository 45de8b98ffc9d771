"""Parameters that baselines learn: stored as small .npz files, shipped or the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from degrain.errors import UsageError

Arrays = Mapping[str, NDArray[np.float32]]


def load(name: str, parameters: Path | None, wanted: Sequence[str]) -> tuple[Arrays, str]:
    """The arrays of a baseline and the first 12 hex digits of their file's SHA-256.

    Args:
        name: the baseline; `learned/<name>.npz` is what is shipped for it.
        parameters: a file of the user's instead.
        wanted: the arrays that must be there.

    Raises:
        UsageError: the file is missing or is not for this baseline.
    """
    if parameters is not None:
        return _read(name, parameters, wanted)
    with as_file(files("degrain.bench.baselines").joinpath("learned", f"{name}.npz")) as shipped:
        return _read(name, shipped, wanted)


def _read(name: str, path: Path, wanted: Sequence[str]) -> tuple[Arrays, str]:
    try:
        with np.load(path) as content:
            arrays = {key: np.asarray(content[key], dtype=np.float32) for key in wanted}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        msg = (
            f"{path} holds no parameters of {name} ({error}); learn them with "
            f"`degrain bench learn {name} --data FOLDER -o FILE.npz`."
        )
        raise UsageError(msg) from error
    return arrays, digest
