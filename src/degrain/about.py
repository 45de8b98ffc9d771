"""What degrain says about itself: `degrain models` and `degrain info`."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from degrain.errors import DegrainError, ModelError

if TYPE_CHECKING:
    from degrain.zoo.card import ModelCard

PACKAGES = ("numpy", "onnxruntime", "pyvips", "pyvips-binary", "tqdm", "tyro", "torch", "onnx")


def show_models(name: str | None, *, as_json: bool) -> int:
    """Print one card, or a line for each model; the body of `degrain models`."""
    from degrain.zoo.store import list_models, load_model

    damaged: list[ModelError] = []
    cards = list_models(damaged.append) if name is None else [load_model(name)]
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
    for error in damaged:
        print(f"degrain: {error}", file=sys.stderr)
    return 1 if damaged else 0


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
