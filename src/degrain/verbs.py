"""The small verbs on pictures: what they print. Denoising, the large one, is in `batch`."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain.batch import attempt
from degrain.ends import PIPE
from degrain.errors import PictureError, UsageError
from degrain.outcome import Outcome

if TYPE_CHECKING:
    from degrain.picture import Picture

CHANNEL_NAMES = {1: ("gray",), 3: ("R", "G", "B")}


def estimate_all(inputs: Sequence[Path], *, as_json: bool) -> int:
    """Print the noise level of each picture; the body of `degrain estimate`."""
    _needs_some(inputs)
    return _each(inputs, lambda path: _estimate_line(path, as_json))


def add_noise_to_file(source: Path, target: Path, spec: str, seed: int, overwrite: bool) -> int:
    """Write a noisy copy of a picture; the body of `degrain add-noise`.

    Page i is drawn with the seed plus i.

    Raises:
        UsageError: no such noise, or the target exists.
        PictureError: the picture cannot be read or written.
    """
    from degrain import files
    from degrain.noise import add_noise, parse_noise

    noise = parse_noise(spec)
    if os.path.realpath(target) == os.path.realpath(source):
        msg = f"The output would replace the input {source}; choose another name."
        raise UsageError(msg)
    if os.path.lexists(target) and not overwrite:
        msg = f"{target} exists already; choose another name or add --overwrite."
        raise UsageError(msg)
    picture = files.read(source)
    noisy = tuple(add_noise(page, spec, seed + i) for i, page in enumerate(picture.pages))
    files.write(picture.with_pages(noisy), target, overwrite=overwrite)
    print(f"{source} -> {target}: {noise}, seed {seed}")
    return 0


def compare_all(clean: Path, others: Sequence[Path], *, as_json: bool) -> int:
    """Print PSNR and SSIM of each picture; the body of `degrain compare`.

    Raises:
        PictureError: the clean picture cannot be read.
    """
    from degrain import files

    _needs_some(others)
    reference = files.read(clean)
    return _each(others, lambda path: _compare_line(reference, path, as_json))


def _each(paths: Sequence[Path], line_of: Callable[[Path], str]) -> int:
    """Print a line for each picture; a bad one is reported and the rest goes on."""
    code = 0
    for path in paths:
        lines: list[str] = []

        def work(path: Path = path, lines: list[str] = lines) -> Outcome:
            lines.append(line_of(path))
            return Outcome(str(path), "", "denoised")

        outcome, one_code = attempt(Outcome(str(path), "", "failed"), work)
        if outcome.error is not None:
            print(f"degrain: {outcome.error}", file=sys.stderr)
        for line in lines:
            print(line, flush=True)
        code = max(code, one_code)
    return code


def _needs_some(paths: Sequence[Path]) -> None:
    if not paths:
        msg = "No picture was named; give at least one file."
        raise UsageError(msg)


def _read(path: Path) -> Picture:
    from degrain import files

    return files.read_bytes(sys.stdin.buffer.read()) if path == PIPE else files.read(path)


def _estimate_line(path: Path, as_json: bool) -> str:
    from degrain.depth import white_of
    from degrain.estimate import noise_levels_255, rms
    from degrain.whiteness import channels_are_independent, coarse_noise_255, counts_as_white

    picture = _read(path)
    page = picture.pages[0]
    sigmas_255 = noise_levels_255(page).tolist()
    white = white_of(page.dtype)
    own = [sigma * white / 255 for sigma in sigmas_255]
    coarse_255 = coarse_noise_255(page)
    is_white = counts_as_white(rms(sigmas_255), coarse_255)
    if as_json:
        fields = {"source": str(path), "noise_sigma": own, "white": white}
        more = {
            "coarse_noise_sigma_255": coarse_255,
            "noise_is_white": is_white,
            "channels_are_independent": channels_are_independent(page) if len(own) > 1 else None,
        }
        return json.dumps({**fields, "noise_sigma_255": sigmas_255, **more})
    coarse = "" if is_white else f"; coarse noise or texture: {coarse_255:.1f}"
    names = CHANNEL_NAMES[picture.channels]
    line = ", ".join(f"{name} {sigma:.1f}" for name, sigma in zip(names, sigmas_255, strict=True))
    if white == 255:
        return f"{path}: noise {line} (0..255){coarse}"
    units = ", ".join(f"{name} {sigma:.4g}" for name, sigma in zip(names, own, strict=True))
    return f"{path}: noise {units} (0..{white:g}), which is {line} on 0..255{coarse}"


def _compare_line(reference: Picture, path: Path, as_json: bool) -> str:
    """PSNR and SSIM of one picture; depths may differ, sizes may not."""
    from degrain.metrics import psnr, ssim

    pairs = _same_shape(reference, _read(path), path)
    error = sum(10 ** (-psnr(a, b) / 10) for a, b in pairs) / len(pairs)
    decibels = math.inf if error == 0 else -10 * math.log10(error)
    try:
        similarity = sum(ssim(a, b) for a, b in pairs) / len(pairs)
    except PictureError:
        similarity = math.nan  # smaller than the window of SSIM
    if as_json:
        # JSON knows neither infinity nor NaN
        numbers = [value if math.isfinite(value) else None for value in (decibels, similarity)]
        return json.dumps({"source": str(path), "psnr": numbers[0], "ssim": numbers[1]})
    known = "SSIM none (under 11 pixels)" if math.isnan(similarity) else f"SSIM {similarity:.4f}"
    return f"{path}: PSNR {decibels:.2f} dB, {known}"


def _same_shape(reference: Picture, other: Picture, path: Path) -> list[tuple[Any, Any]]:
    """Pages of both, 0..1.

    Raises:
        PictureError: pages, size or channels differ.
    """
    shapes = [(len(p.pages), *p.pages[0].shape) for p in (reference, other)]
    if shapes[0] != shapes[1]:
        (n, h, w, c), (m, i, k, d) = shapes
        msg = (
            f"{path} has {m} page(s) of {k}x{i} pixels and {d} channel(s), but the clean picture "
            f"{n} of {w}x{h} and {c}; compare pictures of the same size and kind."
        )
        raise PictureError(msg)
    from degrain.depth import white_of

    whites = white_of(reference.dtype), white_of(other.dtype)
    pairs = zip(reference.pages, other.pages, strict=True)
    return [(a / whites[0], b / whites[1]) for a, b in pairs]
