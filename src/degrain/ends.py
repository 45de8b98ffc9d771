"""Where a picture comes from and where it goes: files, or the pipes `-` stands for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degrain import files
from degrain.errors import PictureError, UsageError
from degrain.outcome import unwritable

if TYPE_CHECKING:
    from degrain.cli import Denoise
    from degrain.picture import Picture

PIPE = Path("-")


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a picture comes from and where it goes; whether it fits there is found out first."""

    read: Callable[[], Picture]
    check: Callable[[Picture], None]
    write: Callable[[Picture], None]


def of_files(source: Path, target: Path, *, overwrite: bool) -> Ends:
    """The ends of a picture that goes from one file to another."""
    return Ends(
        read=lambda: files.read(source),
        check=lambda picture: files.check_fit(picture, target),
        write=lambda picture: files.write(picture, target, overwrite=overwrite),
    )


def of_pipe(options: Denoise) -> tuple[Path, Path, Ends]:
    """Source, target and ends of the one picture with a pipe at one end or both.

    Raises:
        UsageError: there are several pictures, a terminal at an end, or the target exists.
    """
    if len(options.inputs) != 1 or options.inputs[0].is_dir():
        msg = "With - there is exactly one picture; name one file, or leave - away."
        raise UsageError(msg)
    source, target = options.inputs[0], Path(options.output or PIPE)
    _check_pipe(source, target, options)
    ends = Ends(
        read=lambda: _read_end(source),
        check=lambda picture: _check_end(picture, target),
        write=lambda picture: _write_end(picture, target, options),
    )
    return source, target, ends


def _check_pipe(source: Path, target: Path, options: Denoise) -> None:
    """Refuse terminals and existing targets before any work."""
    if source == PIPE and sys.stdin.isatty():
        msg = "Nothing is piped in; write `degrain denoise - < photo.jpg`, or name a file."
        raise UsageError(msg)
    if target == PIPE and sys.stdout.isatty() and not options.dry_run:
        msg = "A picture is not shown on a terminal; redirect the output or use -o FILE."
        raise UsageError(msg)
    if target != PIPE and os.path.lexists(target) and not options.overwrite:
        msg = f"{target} exists already; choose another name or add --overwrite."
        raise UsageError(msg)


def _read_end(source: Path) -> Picture:
    return files.read_bytes(sys.stdin.buffer.read()) if source == PIPE else files.read(source)


def _check_end(picture: Picture, target: Path) -> None:
    path = Path(f"the output{files.suffix_of(picture)}") if target == PIPE else target
    files.check_fit(picture, path)


def _write_end(picture: Picture, target: Path, options: Denoise) -> None:
    if target == PIPE:
        # encoded as a whole first: a failure leaves nothing half-written in the pipe
        data = files.write_bytes(picture, files.suffix_of(picture))
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise PictureError(unwritable(error)) from error
    else:
        files.write(picture, target, overwrite=options.overwrite)
