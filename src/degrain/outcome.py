"""What becomes of each picture, and how it is said: lines or JSON, a bar on a terminal, errors."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain.errors import reason_of

if TYPE_CHECKING:
    from degrain.cli import Denoise


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture; its JSON is a line of `degrain denoise --json`.

    Attributes:
        source: the input, `-` for standard input.
        target: the output, `-` for standard output.
        status: `denoised`, `skipped` (the target exists), `failed`, or `todo` (dry run).
        model: name of the model that was used.
        precision: `float` or `int8`: which version of it worked on the first page.
        noise_sigma_255: estimated noise standard deviation on the 0..255 scale: the root mean
            square over channels, from the input.
        seconds: wall-clock time from before reading to after writing.
        megapixels: of all pages.
        error: what went wrong and what to do.
        check: what the self-check found on the first page (`degrain.check.Check` without its
            warning), only with --json.
        warning: a sentence if the picture seems out of the network's range.
    """

    source: str
    target: str
    status: str
    model: str | None = None
    precision: str | None = None
    noise_sigma_255: float | None = None
    seconds: float | None = None
    megapixels: float | None = None
    error: str | None = None
    check: dict[str, Any] | None = None
    warning: str | None = None

    def __str__(self) -> str:
        if self.status == "denoised":
            version = " (int8)" if self.precision == "int8" else ""
            return (
                f"{self.source} -> {self.target}: {self.model}{version}, "
                f"noise {self.noise_sigma_255:.1f}, {self.seconds:.1f} s"
            )
        if self.status == "todo":
            return f"{self.source} -> {self.target}: would be denoised"
        return f"{self.source} -> {self.target}: skipped, exists already (--overwrite replaces it)"


class Reporter:
    """Says what became of each picture: lines or JSON, a bar on a terminal, errors.

    Args:
        total: number of pictures.
        options: what was asked for.
        to_stderr: results go to standard error, because standard output carries a picture.
    """

    def __init__(self, total: int, options: Denoise, *, to_stderr: bool = False) -> None:
        self._as_json, self._quiet = options.json, options.quiet
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._bar = _bar(total) if not (self._quiet or options.dry_run) else None
        self._started = 0
        self.code = 0

    def begin(self, source: Path | str) -> None:
        """The next picture is being worked on."""
        self._started += 1
        if self._bar is not None:
            self._bar.set_postfix_str(Path(source).name, refresh=True)

    def progress(self, fraction: float) -> None:
        """The picture in work is done by this much, 0..1."""
        if self._bar is not None:
            self._bar.update(self._started - 1 + fraction - self._bar.n)

    def end(self, outcome: Outcome, code: int = 0) -> None:
        """Report a picture that is done or has failed."""
        self.code = max(self.code, code)
        self.progress(1.0)
        if outcome.error is not None:
            self._write(f"degrain: {outcome.error}", sys.stderr)
        if outcome.warning is not None and not self._quiet:
            self._write(f"degrain: warning: {outcome.source}: {outcome.warning}", sys.stderr)
        if self._as_json:
            self._write(json.dumps(asdict(outcome)), self._stream)
        elif outcome.error is None and not self._quiet:
            self._write(str(outcome), self._stream)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()

    def _write(self, line: str, stream: Any) -> None:
        if self._bar is None:
            print(line, file=stream, flush=True)
        else:
            self._bar.write(line, file=stream)
            stream.flush()


def unwritable(error: OSError) -> str:
    """One sentence on a standard output, or a file, that takes no more."""
    what = error.filename or "Standard output"
    return f"{what} cannot be used ({reason_of(error)}); make room, or check its permissions."


def _bar(total: int) -> Any:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    style = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(total=total, bar_format=style, file=sys.stderr, leave=False)
