"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from degrain.errors import TrainingError, reason_of


@contextmanager
def whole_file(output: Path, kind: str) -> Iterator[Path]:
    """Give a path to write to; what is written there becomes `output` when all went well.

    Args:
        output: the file.
        kind: what it is, for the error: `model`, `pack`.

    Raises:
        TrainingError: the file cannot be written.
    """
    partial = output.with_name(f"{output.stem}.partial{output.suffix}")
    try:
        yield partial
        partial.replace(output)
    except OSError as error:
        reason = reason_of(error)
        msg = f"The {kind} {output} cannot be written ({reason}); make room or take another folder."
        raise TrainingError(msg) from error
    finally:
        partial.unlink(missing_ok=True)
