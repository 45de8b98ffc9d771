"""Denoising many files: what happens to each, what is said about it, and the exit code.

A file that fails is reported in one sentence on standard error and the rest goes on.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain.errors import DegrainError, ModelError, PictureError, UsageError
from degrain.interrupt import deferred_interrupt

if TYPE_CHECKING:
    from degrain.cli import Denoise
    from degrain.denoise import Denoiser
    from degrain.files import Job
    from degrain.picture import Picture
    from degrain.zoo.card import ModelCard

PIPE = Path("-")
FAILED, USAGE = 1, 2


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


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a picture comes from and where it goes; whether it fits there is found out first."""

    read: Callable[[], Picture]
    check: Callable[[Picture], None]
    write: Callable[[Picture], None]


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


def denoise_all(options: Denoise) -> int:
    """Denoise files, folders or a pipe; the body of `degrain denoise`.

    Returns:
        Exit code: 0 all good, 1 some failed, 2 some failed because of the request or the model.

    Raises:
        UsageError: the request as a whole makes no sense; nothing was done.
        ModelError: the model cannot be used; nothing was done.
    """
    denoiser = _denoiser(options)
    if PIPE in options.inputs or options.output == str(PIPE):
        return _denoise_pipe(denoiser, options)
    from degrain import files

    jobs = files.plan(
        options.inputs, options.output, recursive=options.recursive, overwrite=options.overwrite
    )
    reporter = Reporter(len(jobs), options)
    try:
        with deferred_interrupt() as stop_if_asked:

            def on_progress(fraction: float) -> None:
                stop_if_asked()
                reporter.progress(fraction)

            for job in jobs:
                stop_if_asked()
                reporter.begin(job.source)
                reporter.end(*_do(job, denoiser, options, on_progress))
            stop_if_asked()
    finally:
        reporter.close()
    return reporter.code


def _denoiser(options: Denoise) -> Denoiser:
    """Check the request before the first picture is read."""
    if not options.inputs:
        msg = "No picture was named; give files or folders, or - to read standard input."
        raise UsageError(msg)
    from degrain.denoise import Denoiser, check_request
    from degrain.versions import BY_CHANNELS

    check_request(options.strength, options.sigma)
    denoiser = Denoiser(
        options.model,
        threads=options.threads,
        memory_mb=options.memory_mb,
        detail=options.detail,
        precision=options.precision,
    )
    if options.model not in BY_CHANNELS:
        from degrain.zoo.store import detail_partner, int8_partner, load_model

        card = load_model(options.model)
        if options.detail is not None:
            detail_partner(card)
        if options.precision == "int8":
            int8_partner(card)
    return denoiser


def _do(
    job: Job, denoiser: Denoiser, options: Denoise, on_progress: Callable[[float], None]
) -> tuple[Outcome, int]:
    """One planned file and its share of the exit code."""
    outcome = Outcome(str(job.source), str(job.target), "failed")
    if job.status == "failed":
        return replace(outcome, error=_about(outcome, job.problem)), FAILED
    if job.status == "done":
        return replace(outcome, status="skipped"), 0
    if options.dry_run:
        return replace(outcome, status="todo"), 0
    from degrain import files

    ends = Ends(
        read=lambda: files.read(job.source),
        check=lambda picture: files.check_fit(picture, job.target),
        write=lambda picture: files.write(picture, job.target, overwrite=options.overwrite),
    )
    return attempt(outcome, lambda: _denoise(outcome, denoiser, options, ends, on_progress))


def attempt(outcome: Outcome, work: Callable[[], Outcome]) -> tuple[Outcome, int]:
    """Turn what goes wrong with one picture into one sentence and an exit code."""
    try:
        return work(), 0
    except (UsageError, ModelError) as error:
        return replace(outcome, error=_about(outcome, str(error))), USAGE
    except DegrainError as error:
        return replace(outcome, error=_about(outcome, str(error))), FAILED
    except BrokenPipeError:
        raise
    except MemoryError:
        problem = "the memory of this machine does not suffice; try a smaller --memory-mb."
        return replace(outcome, error=_about(outcome, problem)), FAILED
    except Exception as error:
        if os.environ.get("DEGRAIN_DEBUG"):
            traceback.print_exc()
        text = " ".join(str(error).split())
        problem = (
            f"{outcome.source}: a defect of degrain ({type(error).__name__}: {text}); please "
            "report it with the output of `degrain info` (DEGRAIN_DEBUG=1 shows where)."
        )
        return replace(outcome, error=problem), FAILED


def _about(outcome: Outcome, problem: str) -> str:
    """The message, with the name of the picture unless it is in there already."""
    if outcome.source in problem or Path(outcome.source).name in problem:
        return problem
    return f"{outcome.source}: {problem}"


def _denoise(
    outcome: Outcome,
    denoiser: Denoiser,
    options: Denoise,
    ends: Ends,
    on_progress: Callable[[float], None],
) -> Outcome:
    """Read, judge, denoise and write one picture."""
    from degrain.estimate import noise_level_255

    started = time.perf_counter()
    picture = ends.read()
    ends.check(picture)
    sigma = noise_level_255(picture.pages[0])
    choice = denoiser.choose(picture.pages[0], sigma=options.sigma, noise_sigma_255=sigma)
    clean = denoiser.picture(
        picture,
        strength=options.strength,
        sigma=options.sigma,
        on_progress=on_progress,
        first=choice,
    )
    ends.write(clean)
    done = replace(
        outcome,
        status="denoised",
        model=choice.model,
        precision=choice.precision if options.strength > 0 else "float",
        noise_sigma_255=round(sigma, 2),
        seconds=round(time.perf_counter() - started, 3),
        megapixels=round(picture.megapixels, 6),
    )
    return _checked(done, choice.card, options, picture, clean, sigma)


def _checked(
    outcome: Outcome,
    card: ModelCard,
    options: Denoise,
    picture: Picture,
    clean: Picture,
    sigma: float,
) -> Outcome:
    """The outcome with the self-check, or without --json with what costs nothing of it."""
    from degrain.check import check, out_of_range

    page = picture.pages[0]
    if not options.json:
        warning = out_of_range(sigma, page.shape, card) if options.strength > 0 else None
        return replace(outcome, warning=warning)
    result = check(page, clean.pages[0], card=card, strength=options.strength, sigma=options.sigma)
    found = asdict(result)
    warning = found.pop("warning")
    return replace(outcome, check=_rounded(found), warning=warning)


def _rounded(value: Any) -> Any:
    """Numbers with three decimals, also inside of dicts and tuples."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_rounded(inner) for inner in value]
    return value if value is None else round(value, 3)


def _denoise_pipe(denoiser: Denoiser, options: Denoise) -> int:
    """One picture, with standard input or standard output at one end or both."""
    if len(options.inputs) != 1 or options.inputs[0].is_dir():
        msg = "With - there is exactly one picture; name one file, or leave - away."
        raise UsageError(msg)
    source, target = options.inputs[0], Path(options.output or PIPE)
    _check_pipe(source, target, options)
    outcome = Outcome(str(source), str(target), "failed")
    ends = Ends(
        read=lambda: _read_end(source),
        check=lambda picture: _check_end(picture, target),
        write=lambda picture: _write_end(picture, target, options),
    )
    reporter = Reporter(1, options, to_stderr=target == PIPE)
    try:
        reporter.begin(source)
        if options.dry_run:
            reporter.end(replace(outcome, status="todo"))
        else:
            reporter.end(
                *attempt(
                    outcome,
                    lambda: _denoise(outcome, denoiser, options, ends, reporter.progress),
                )
            )
    finally:
        reporter.close()
    return reporter.code


def _check_pipe(source: Path, target: Path, options: Denoise) -> None:
    """Refuse terminals and existing targets before any work."""
    if source == PIPE and sys.stdin.isatty():
        msg = "Nothing is piped in; write `degrain denoise - < photo.jpg`, or name a file."
        raise UsageError(msg)
    if target == PIPE and sys.stdout.isatty() and not options.dry_run:
        msg = "A picture is not shown on a terminal; redirect the output or use -o FILE."
        raise UsageError(msg)
    if target != PIPE and target.exists() and not options.overwrite:
        msg = f"{target} exists already; choose another name or add --overwrite."
        raise UsageError(msg)


def _read_end(source: Path) -> Picture:
    from degrain import files

    return files.read_bytes(sys.stdin.buffer.read()) if source == PIPE else files.read(source)


def _check_end(picture: Picture, target: Path) -> None:
    from degrain import files

    path = Path(f"the output{files.suffix_of(picture)}") if target == PIPE else target
    files.check_fit(picture, path)


def _write_end(picture: Picture, target: Path, options: Denoise) -> None:
    from degrain import files

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


def unwritable(error: OSError) -> str:
    """One sentence on a standard output, or a file, that takes no more."""
    reason = (error.strerror or str(error)).lower()
    what = error.filename or "Standard output"
    return f"{what} cannot be used ({reason}); make room, or check its permissions."


def _bar(total: int) -> Any:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    style = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(total=total, bar_format=style, file=sys.stderr, leave=False)
