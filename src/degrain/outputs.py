"""Planning: which picture goes where, before the first one is read."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from degrain import formats
from degrain.errors import UsageError, reason_of

MARK = ".denoised"
"""Goes between stem and suffix of outputs that lie beside their inputs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to denoise.

    Attributes:
        source: the file to read.
        target: the file to write.
        status: "todo"; "done" if the target exists already; "failed" if it cannot be done.
        problem: for failed jobs a sentence: what, why, what to do.
    """

    source: Path
    target: Path
    status: Literal["todo", "done", "failed"]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """A file to work on, its path within the output folder, and the folder it was found in."""

    source: Path
    inside: Path
    problem: str = ""
    top: Path | None = None


def plan(
    inputs: Sequence[Path],
    output: str | Path | None,
    *,
    recursive: bool = False,
    overwrite: bool = False,
) -> list[Job]:
    """Decide what is read and what is written.

    `photo.jpg` becomes `photo.denoised.jpg` beside it, unless an output is given: a file for a
    single picture (its suffix may ask for another format), else a folder, in which the tree of
    an input folder is kept. A path is taken as a folder if it exists as one, ends in a slash,
    or has no suffix, or if there are several inputs. Of folders, pictures are taken by suffix;
    hidden files, and outputs of earlier runs, are left out.

    Args:
        inputs: files and folders.
        output: file or folder; None: beside each input.
        recursive: also take pictures from folders inside of folders.
        overwrite: existing targets are to be replaced rather than skipped.

    Returns:
        A job for each picture, in a stable order.

    Raises:
        UsageError: nothing was found, or the output makes no sense for these inputs.
    """
    paths = [Path(path) for path in inputs]
    folder = _output_folder(paths, output)
    found = [one for path in paths for one in _find(path, recursive, beside=output is None)]
    if folder is not None:
        found = [one for one in found if not _is_output(one, folder)]
    if not found:
        raise UsageError(_nothing_message(paths, recursive))
    jobs = [_job(one, output, folder) for one in dict.fromkeys(found)]
    return _settle(jobs, overwrite)


def check_writable(path: Path) -> None:
    """Find out before long work whether a file can be written; what is in it stays.

    Raises:
        UsageError: it cannot.
    """
    existed = os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        msg = f"{path} cannot be written ({reason_of(error)}); choose another place."
        raise UsageError(msg) from error
    if not existed:
        path.unlink()


def _output_folder(paths: Sequence[Path], output: str | Path | None) -> Path | None:
    """The output as a folder, or None if it is a file or if outputs lie beside inputs."""
    if output is None:
        return None
    path = Path(output)
    many = len(paths) > 1 or any(_is_folder(one) for one in paths)
    if _is_folder(path) or str(output).endswith(("/", os.sep)) or not path.suffix:
        if os.path.lexists(path) and not _is_folder(path):
            msg = f"{path} is a file, not a folder; give a folder, or a name with a suffix."
            raise UsageError(msg)
        return path
    if many and (os.path.lexists(path) or formats.is_picture_name(path)):
        msg = f"{path} is one file, but there are several pictures; give a folder as output."
        raise UsageError(msg)
    if many:
        return path
    if not formats.is_picture_name(path):
        msg = f"{path} has a suffix degrain cannot write; use .jpg, .png, .tif, .webp or .avif."
        raise UsageError(msg)
    if not _is_folder(path.parent):
        msg = f"The folder {path.parent} does not exist; create it or correct the output."
        raise UsageError(msg)
    return None


def _find(path: Path, recursive: bool, *, beside: bool) -> Iterator[_Found]:
    """The files an input stands for."""
    if _is_folder(path):
        yield from _find_in_folder(path, recursive, beside=beside)
        return
    yield _Found(path, Path(path.name), _problem_of(path))


def _problem_of(path: Path) -> str:
    """Why a file that was named cannot be denoised; empty if nothing speaks against it."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return f"{path} does not exist; check the name."
    except OSError as error:
        return f"{path} cannot be read ({reason_of(error)}); check the name and its permissions."
    if not is_file:
        return f"{path} is a pipe or a device, not a file; use - to read standard input."
    if formats.is_raw_name(path):
        return f"{path} is camera raw, which must be developed to a TIFF first."
    if not formats.is_picture_name(path):
        return (
            f"{path} is no picture by its name; rename it if it is one "
            "(.jpg, .png, .tif, .webp or .avif)."
        )
    return ""


def _find_in_folder(top: Path, recursive: bool, *, beside: bool) -> Iterator[_Found]:
    """Pictures in a folder, sorted; folders that cannot be listed are told."""
    troubles: list[OSError] = []
    for here, folders, names in os.walk(top, onerror=troubles.append):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            output = beside and path.stem.endswith(MARK)
            if name.startswith(".") or output or not formats.is_picture_name(path):
                continue
            if not _waits(path):
                yield _Found(path, path.relative_to(top), top=top)
    for trouble in troubles:
        path = Path(str(trouble.filename or top))
        problem = (
            f"The folder {path} cannot be listed ({reason_of(trouble)}); check its permissions."
        )
        yield _Found(path, Path(path.name), problem)


def _waits(path: Path) -> bool:
    """Whether reading would wait for another program: pipes and devices are no pictures."""
    with contextlib.suppress(OSError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def _job(found: _Found, output: str | Path | None, folder: Path | None) -> Job:
    """Name the target; not yet looked at what is there."""
    source = found.source
    if output is None:
        target = source.with_name(f"{source.stem}{MARK}{source.suffix}")
    elif folder is None:
        target = Path(output)
    else:
        target = folder / found.inside
    return Job(source, target, "failed" if found.problem else "todo", found.problem)


def _settle(jobs: Sequence[Job], overwrite: bool) -> list[Job]:
    """Find targets that exist, are inputs, or are wanted twice."""
    sources = {_key(job.source): job.source for job in jobs}
    owners: dict[str, Path] = {}
    settled = []
    for job in dict.fromkeys(jobs):
        if job.status == "failed":
            settled.append(job)
            continue
        key = _key(job.target)
        owner = owners.setdefault(key, job.source)
        if _key(owner) == _key(job.source) and owner != job.source:
            continue
        settled.append(_judge(job, owner, sources.get(key), overwrite))
    return settled


def _judge(job: Job, owner: Path, clash: Path | None, overwrite: bool) -> Job:
    """The status of one job. `clash`: an input that is also this job's target."""
    if owner != job.source:
        problem = (
            f"{job.source} and {owner} would both be written to {job.target}; "
            "denoise them into different folders."
        )
        return replace(job, status="failed", problem=problem)
    if (clash is not None and _key(clash) == _key(job.source)) or _same_file(job):
        problem = f"{job.source} would be written onto itself; give another output."
        return replace(job, status="failed", problem=problem)
    if _is_folder(job.target):
        problem = f"{job.target} is a folder, so {job.source} cannot be written there; rename it."
        return replace(job, status="failed", problem=problem)
    try:
        job.target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return job
    except OSError as error:
        problem = f"{job.target} cannot be written ({reason_of(error)}); give another output."
        return replace(job, status="failed", problem=problem)
    if not overwrite:
        return replace(job, status="done")
    if clash is not None:
        problem = f"{job.target} is itself an input and is not overwritten; give another output."
        return replace(job, status="failed", problem=problem)
    return job


def _key(path: Path) -> str:
    """The same for two names of one file, as far as names can tell."""
    name = os.path.realpath(path)
    return name.casefold() if sys.platform in ("darwin", "win32") else name


def _same_file(job: Job) -> bool:
    """Whether source and target are one file, be it by hard link."""
    with contextlib.suppress(OSError):
        return job.target.samefile(job.source)
    return False


def _is_output(found: _Found, folder: Path) -> bool:
    """Whether a file lies in the output folder, where that is inside of the input folder."""
    if found.top is None:
        return False
    top, output, source = (Path(os.path.realpath(p)) for p in (found.top, folder, found.source))
    return output != top and output.is_relative_to(top) and source.is_relative_to(output)


def _is_folder(path: Path) -> bool:
    """Whether it is one, as far as may be known."""
    with contextlib.suppress(OSError):
        return path.is_dir()
    return False


def _nothing_message(paths: Sequence[Path], recursive: bool) -> str:
    if not paths:
        return "No picture was named; give files or folders."
    names = ", ".join(str(path) for path in paths)
    hint = "check the folder" if recursive else "add --recursive to look into folders inside"
    return f"No pictures were found in {names} (.jpg, .png, .tif, .webp, .avif); {hint}."
