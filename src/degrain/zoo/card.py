"""ModelCard: what a model is, in data. One `card.toml` beside every `model.onnx`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from degrain.errors import ModelError

REQUIRED = ("name", "summary", "channels", "halo", "multiple_of", "sha256", "license")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts about one model; the tiling and the command rely on them.

    Attributes:
        name: as given to `--model`.
        summary: one line for people.
        channels: 1 (gray) or 3 (RGB): what the network takes and gives.
        halo: pixels of context each output pixel depends on, in every direction
            (the receptive radius, measured on the exported file).
        multiple_of: tile offsets must be multiples of this (the network's total stride).
        sha256: of `model.onnx`, in hex.
        license: SPDX id of the weights.
        parameters: learned numbers.
        macs_per_pixel: multiply-accumulates per picture pixel.
        memory_bytes_per_pixel: peak working memory of the ONNX engine per tile pixel, measured.
        noise: noise spec the model was trained on.
        training_data: what it was trained on, with terms.
        recipe: the command that trains it.
        paper: the source of the architecture.
        gray: how its gray training pictures were made of color: `luma` or `average`.
        detail_model: file beside `model.onnx` with the other end of `--detail`: the same network
            with weights that make up more texture; empty if there is none.
        detail_sha256: of that file, in hex.
        int8_model: file beside `model.onnx` with the same network in 8 bits; empty if there is
            none.
        int8_sha256: of that file, in hex.
        int8_sigma: noise level, 0..255, that pictures are brought towards before they go through
            it (`degrain.engines.gain`); 0: none are.
        int8_loss: noise spec -> decibels of PSNR that it lies below the float network, on
            held-out training pictures, central 256×256, float noise.
        quality: measured results, protocol string -> {noise spec: PSNR in dB}.
        path: where `model.onnx` lies; not part of the file.
    """

    name: str
    summary: str
    channels: int
    halo: int
    multiple_of: int
    sha256: str
    license: str
    parameters: int = 0
    macs_per_pixel: int = 0
    memory_bytes_per_pixel: int = 512
    noise: str = ""
    training_data: str = ""
    recipe: str = ""
    paper: str = ""
    gray: str = "luma"
    detail_model: str = ""
    detail_sha256: str = ""
    int8_model: str = ""
    int8_sha256: str = ""
    int8_sigma: float = 0.0
    int8_loss: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    path: Path = field(default=Path(), compare=False)


def read_card(path: Path) -> ModelCard:
    """Read `card.toml`; `model.onnx` is expected beside it.

    Raises:
        ModelError: the card is missing, not TOML, or lacks a required field.
    """
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"The model card {path} cannot be read ({error}); reinstall degrain or the model."
        raise ModelError(msg) from error
    return card_from_mapping(facts, path.with_name("model.onnx"))


def card_from_mapping(facts: Mapping[str, Any], model_path: Path) -> ModelCard:
    """Build a card from plain data, ignoring fields this version does not know."""
    missing = [name for name in REQUIRED if name not in facts]
    if missing:
        msg = f"The card of {model_path} lacks {', '.join(missing)}; export the model again."
        raise ModelError(msg)
    known = {name: facts[name] for name in ModelCard.__slots__ if name in facts}
    card = ModelCard(**{**known, "path": model_path})
    problem = _problem(card)
    if problem:
        msg = f"The card of {model_path} is wrong: {problem}; export the model again."
        raise ModelError(msg)
    return card


def write_card(card: ModelCard, path: Path) -> None:
    """Write `card.toml`; `read_card` gives the same card back (`path` is not stored).

    Fields at their defaults are left out. The file appears whole or not at all.
    """
    lines = [
        f"{item.name} = {_toml(getattr(card, item.name))}"
        for item in fields(card)
        if item.name not in ("path", "quality", "int8_loss")
        and (item.name in REQUIRED or getattr(card, item.name) != item.default)
    ]
    tables = {f"quality.{_toml(protocol)}": table for protocol, table in card.quality.items()}
    if card.int8_loss:
        tables = {"int8_loss": card.int8_loss, **tables}
    for title, table in tables.items():
        lines += ["", f"[{title}]"]
        lines += [f"{_toml(noise)} = {_toml(float(number))}" for noise, number in table.items()]
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _toml(value: str | int | float) -> str:
    """A TOML string, integer or float."""
    if isinstance(value, str):
        # JSON escapes all that TOML wants escaped, but for the delete character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _problem(card: ModelCard) -> str:
    """What cannot be true about a card; empty if nothing."""
    texts = ("name", "summary", "sha256", "license", "noise", "training_data", "recipe", "paper")
    for name in (*texts, "detail_model", "detail_sha256", "int8_model", "int8_sha256"):
        if not isinstance(getattr(card, name), str):
            return f"{name} is no text"
    for name in ("detail_model", "int8_model"):
        file = getattr(card, name)
        if Path(file).name != file:
            return f"{name} is {file!r} instead of a file name"
    if not isinstance(card.int8_loss, Mapping):
        return "int8_loss is no table"
    if not all(isinstance(loss, int | float) for loss in card.int8_loss.values()):
        return "int8_loss holds something else than numbers"
    least = {"halo": 0, "multiple_of": 1, "memory_bytes_per_pixel": 1}
    for name, low in {**least, "parameters": 0, "macs_per_pixel": 0}.items():
        value = getattr(card, name)
        if not isinstance(value, int) or value < low:
            return f"{name} is {value!r} instead of a whole number from {low}"
    if not isinstance(card.int8_sigma, int | float) or not 0 <= card.int8_sigma <= 255:
        return f"int8_sigma is {card.int8_sigma!r} instead of a number from 0 to 255"
    if card.gray not in ("luma", "average"):
        return f"gray is {card.gray!r} instead of luma or average"
    return "" if card.channels in (1, 3) else f"channels is {card.channels!r} instead of 1 or 3"
