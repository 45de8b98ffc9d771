"""The small verbs: what they print. Denoising, the large one, is in `degrain.batch`."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrain.batch import PIPE, Outcome, attempt, noise_sigma_255, white_of
from degrain.errors import DegrainError, PictureError, UsageError

if TYPE_CHECKING:
    from degrain.cli import Train
    from degrain.picture import Picture
    from degrain.zoo.card import ModelCard

CHANNEL_NAMES = {1: ("gray",), 3: ("R", "G", "B")}
PACKAGES = ("numpy", "onnxruntime", "pyvips", "pyvips-binary", "tqdm", "tyro", "torch", "onnx")


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
    if target.resolve() == source.resolve():
        msg = f"The output would replace the input {source}; choose another name."
        raise UsageError(msg)
    if target.exists() and not overwrite:
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


def show_models(name: str | None, *, as_json: bool) -> int:
    """Print one card, or a line for each model; the body of `degrain models`."""
    from degrain.zoo.store import list_models, load_model

    cards = list_models() if name is None else [load_model(name)]
    if as_json:
        for card in cards:
            print(json.dumps({**asdict(card), "path": str(card.path)}))
    elif name is not None:
        print(_card_text(cards[0]))
    else:
        width = max((len(card.name) for card in cards), default=0)
        for card in cards:
            kind = "gray " if card.channels == 1 else "color"
            print(f"{card.name:{width}}  {kind}  {card.summary}")
    return 0


def train_run(options: Train) -> int:
    """Train a network; the body of `degrain train`."""
    with needs_extra("train", "Training"):
        from degrain.train.setup import train
        from degrain.train.three_phase_recipes import THREE_PHASE

        if options.recipe in THREE_PHASE:
            return _train_three_phase(options)
        _refuse_three_phase_options(options)
        train(
            options.recipe,
            run=options.run_folder,
            data=options.data,
            pairs=options.pairs,
            resume=options.resume,
            start=options.start,
            ids=options.ids,
            device=options.device,
            steps=options.steps,
            minutes=options.minutes,
            noise=options.noise,
            batch=options.batch,
            crop=options.crop,
            loss=options.loss,
            lr=options.lr,
            seed=options.seed,
        )
    return 0


def _train_three_phase(options: Train) -> int:
    """Train a net of Divakar & Babu 2017, and draw its curves where matplotlib is installed."""
    from degrain.train.curves import draw_run
    from degrain.train.three_phase import train_three_phase

    if options.pairs or options.ids:
        msg = "The three phases train on folders of clean pictures: leave --pairs and --ids out."
        raise UsageError(msg)
    training = train_three_phase(
        options.recipe,
        run=options.run_folder,
        data=options.data,
        phases_wanted=options.phases,
        resume=options.resume,
        start=options.start,
        vgg=options.vgg,
        device=options.device,
        steps=options.steps,
        minutes=options.minutes,
        noise=options.noise,
        batch=options.batch,
        crop=options.crop,
        lr=options.lr,
        seed=options.seed,
        discriminator=options.discriminator,
        lp_weight=options.lp_weight,
        lp_power=options.lp_power,
    )
    for line in draw_run(training):
        print(line)
    return 0


def _refuse_three_phase_options(options: Train) -> None:
    for name in ("phases", "vgg", "discriminator", "lp_weight", "lp_power"):
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            msg = f"--{flag} is for the divakar-babu recipes; leave it out with {options.recipe}."
            raise UsageError(msg)


def pack_folders(folders: Sequence[Path], output: Path, shrink: int = 1) -> int:
    """Pack pictures into one file; the body of `degrain pack`."""
    if not folders or output.suffix != ".npz":
        msg = "Name folders of pictures and an output that ends in .npz."
        raise UsageError(msg)
    if shrink < 1:
        msg = f"Pictures cannot be made {shrink} times smaller; give --shrink 1 or more."
        raise UsageError(msg)
    with needs_extra("train", "Packing"):
        from degrain.train.data import pack

        pack(list(folders), output, shrink)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def export_model(runs: Sequence[Path], output: Path) -> int:
    """Write a run's network as ONNX; the body of `degrain export`."""
    if not runs:
        msg = "Name the run folder to export."
        raise UsageError(msg)
    with needs_extra("train", "Exporting"):
        from degrain.train.export import export_run

        card = export_run(runs[0], output, *runs[1:])
    print(f"{card.path}: {card.name}, halo {card.halo}, {card.parameters} parameters")
    return 0


def quantize_model(model: str, data: Sequence[Path], noise: str | None, steps: int | None) -> int:
    """Write the 8-bit version of a model; the body of `degrain quantize`."""
    with needs_extra("train", "Quantizing"):
        from degrain.train.quantize import quantize

        card = quantize(model, data, noise=noise, steps=steps)
    loss = ", ".join(f"{spec} {decibels:.3f}" for spec, decibels in card.int8_loss.items())
    print(f"{card.path.with_name(card.int8_model)}: {card.name} in 8 bits; dB lost: {loss}")
    return 0


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Say which extra to install where a package is missing.

    Raises:
        UsageError: instead of the ImportError, for packages other than degrain.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "degrain"):
            raise
        msg = f'{what} needs {package}, which is not installed; pip install "degrain[{extra}]"'
        raise UsageError(msg) from error


def show_info(*, as_json: bool, only_version: bool = False) -> int:
    """Print what a bug report needs; the body of `degrain info`."""
    versions = _versions()
    if only_version:
        print(f"degrain {versions['degrain']}")
        return 0
    facts = {
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": _threads(),
        "libvips": _libvips(),
        "providers": _providers(),
        "byte_products": _byte_products(),
        "models": _model_paths(),
        "DEGRAIN_MODELS": os.environ.get("DEGRAIN_MODELS"),
    }
    if as_json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        print(f"{key}: {_flat(value)}")
    return 0


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
    picture = _read(path)
    sigmas_255 = noise_sigma_255(picture)
    white = white_of(picture)
    own = [sigma * white / 255 for sigma in sigmas_255]
    if as_json:
        fields = {"source": str(path), "noise_sigma": own, "white": white}
        return json.dumps({**fields, "noise_sigma_255": sigmas_255})
    names = CHANNEL_NAMES[picture.channels]
    line = ", ".join(f"{name} {sigma:.1f}" for name, sigma in zip(names, sigmas_255, strict=True))
    if white == 255:
        return f"{path}: noise {line} (0..255)"
    units = ", ".join(f"{name} {sigma:.4g}" for name, sigma in zip(names, own, strict=True))
    return f"{path}: noise {units} (0..{white:g}), which is {line} on 0..255"


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
    whites = white_of(reference), white_of(other)
    pairs = zip(reference.pages, other.pages, strict=True)
    return [(a / whites[0], b / whites[1]) for a, b in pairs]


def _card_text(card: ModelCard) -> str:
    """Every fact of a card, one a line."""
    lines = [f"{key}: {_flat(value)}" for key, value in asdict(card).items() if value != ""]
    return "\n".join(lines)


def _flat(value: Any) -> str:
    """A value in one line, for people."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_flat(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _versions() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for package in ("degrain", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _threads() -> int:
    """Processors this process may use."""
    from degrain.engines.onnx import available_threads

    return available_threads()


def _byte_products() -> bool | None:
    """Whether the processor gains by 8-bit models; None where that is not known."""
    from degrain.engines.precision import has_byte_products

    return has_byte_products()


def _libvips() -> str:
    """Version of libvips, or why it does not load: then everything else fails too."""
    try:
        import pyvips

        return ".".join(str(pyvips.version(part)) for part in range(3))
    except Exception as error:
        return f"does not load ({error})"


def _providers() -> list[str]:
    try:
        import onnxruntime

        return list(onnxruntime.get_available_providers())
    except Exception as error:
        return [f"does not load ({error})"]


def _model_paths() -> list[str]:
    from degrain.zoo.store import list_models

    try:
        return [f"{card.name} ({card.path.parent})" for card in list_models()]
    except DegrainError as error:
        return [str(error)]
