"""Denoising many files: what is done with each, and the exit code.

A file that fails is reported in one sentence on standard error and the rest goes on.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain import files
from degrain.ends import PIPE, Ends, of_files, of_pipe
from degrain.errors import DegrainError, ModelError, UsageError
from degrain.interrupt import deferred_interrupt
from degrain.outcome import Outcome, Reporter

if TYPE_CHECKING:
    from degrain.cli import Denoise
    from degrain.denoise import Denoiser
    from degrain.files import Job
    from degrain.picture import Picture
    from degrain.zoo.card import ModelCard

FAILED, USAGE = 1, 2


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
    from degrain.versions import FAMILIES

    check_request(options.strength, options.sigma)
    denoiser = Denoiser(
        options.model,
        threads=options.threads,
        memory_mb=options.memory_mb,
        detail=options.detail,
        precision=options.precision,
    )
    if options.model not in FAMILIES:
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
    ends = of_files(job.source, job.target, overwrite=options.overwrite)
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
    source, target, ends = of_pipe(options)
    outcome = Outcome(str(source), str(target), "failed")
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
