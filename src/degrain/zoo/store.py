"""The models on this machine: those shipped with degrain and those in a folder of the user's.

Layout of both: `<model>/card.toml` beside `<model>/model.onnx`. The environment variable
DEGRAIN_MODELS names the user's folder; a model there comes before a shipped one of its name.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from degrain.errors import ModelError, UsageError
from degrain.zoo.card import ModelCard, card_from_mapping, read_card

SHIPPED = Path(__file__).parent
FOREIGN_BYTES_PER_PIXEL = 2048
"""Working memory assumed for a model without a card: 64 maps at full resolution fit twice."""

_Stamp = tuple[str, int, int]
_digests: dict[_Stamp, str] = {}
_foreign: dict[_Stamp, ModelCard] = {}


def list_models(on_damaged: Callable[[ModelError], None] | None = None) -> list[ModelCard]:
    """The cards of all models found, by name; their files are not checked.

    Args:
        on_damaged: called for a card that cannot be read, which is then left out.

    Raises:
        ModelError: a card cannot be read, and nobody is to be called for it.
    """
    paths = {path.parent.name: path for folder in reversed(_folders()) for path in _cards(folder)}
    cards = []
    for name in sorted(paths):
        try:
            cards.append(read_card(paths[name]))
        except ModelError as error:
            if on_damaged is None:
                raise
            on_damaged(error)
    return cards


def has_model(name: str) -> bool:
    """Whether `load_model(name)` would find a model of this name."""
    return _find(name) is not None


def load_model(name_or_path: str | Path) -> ModelCard:
    """Find a model and verify its file.

    Args:
        name_or_path: a model's name, or the path of an ONNX file. A card is looked for beside
            the file (`<stem>.toml`, `card.toml`); without one its facts are measured.

    Raises:
        UsageError: there is no such model or file.
        ModelError: the file is damaged, does not belong to its card, or is no denoiser.
    """
    if isinstance(name_or_path, Path) or _looks_like_path(name_or_path):
        return _load_file(Path(name_or_path))
    found = _find(name_or_path)
    if found is None:
        raise UsageError(_unknown(name_or_path))
    return _verified(read_card(found))


def detail_partner(card: ModelCard) -> Path:
    """The file with the other end of `detail`, verified.

    Raises:
        UsageError: the model has none.
        ModelError: the file is missing or damaged.
    """
    if not card.detail_model:
        able = ", ".join(other.name for other in list_models() if other.detail_model)
        msg = (
            f"The model {card.name} has one end only, so there is no detail to choose; leave that "
            f"out or take a model that has both ({able or 'none is installed'})."
        )
        raise UsageError(msg)
    return _partner(card, card.detail_model, card.detail_sha256, "detail")


def int8_partner(card: ModelCard) -> Path:
    """The file with the same network in 8 bits, verified.

    Raises:
        UsageError: the model has none.
        ModelError: the file is missing or damaged.
    """
    if not card.int8_model:
        able = ", ".join(other.name for other in list_models() if other.int8_model)
        msg = (
            f"The model {card.name} has no 8-bit version; use float, a model that has one "
            f"({able or 'none is installed'}), or make it with `degrain quantize`."
        )
        raise UsageError(msg)
    return _partner(card, card.int8_model, card.int8_sha256, "8-bit work")


def card_file(card: ModelCard) -> Path:
    """Where the card of a model file is stored.

    Raises:
        UsageError: the model has no card.
    """
    own, shared = card.path.with_suffix(".toml"), card.path.with_name("card.toml")
    found = own if own.is_file() else shared
    if not found.is_file() or read_card(found).sha256 != card.sha256:
        msg = f"The model {card.path} has no card; `degrain export` writes both."
        raise UsageError(msg)
    return found


def _partner(card: ModelCard, name: str, digest: str, purpose: str) -> Path:
    """Another file of the same model, verified."""
    path = card.path.with_name(name)
    if not path.is_file() or _digest(path) != digest.lower():
        msg = (
            f"The file {path}, which {card.name} needs for {purpose}, is missing or damaged; "
            "reinstall degrain or export the model again."
        )
        raise ModelError(msg)
    return path


def _folders() -> list[Path]:
    """Where models are looked for, first come first served."""
    users = os.environ.get("DEGRAIN_MODELS")
    # Path.expanduser raises where there is no such user.
    return [Path(os.path.expanduser(users)), SHIPPED] if users else [SHIPPED]  # noqa: PTH111


def _cards(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*/card.toml"))


def _find(name: str) -> Path | None:
    """The card of a model of this name."""
    if not name or name in (".", "..") or Path(name).name != name:
        return None
    paths = (folder / name / "card.toml" for folder in _folders())
    return next((path for path in paths if path.is_file()), None)


def _looks_like_path(name: str) -> bool:
    separators = ("/", os.sep, os.altsep or os.sep)
    return name.lower().endswith(".onnx") or any(mark in name for mark in separators)


def _unknown(name: str) -> str:
    """What to say about a name nobody knows."""
    names = sorted({path.parent.name for folder in _folders() for path in _cards(folder)})
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    known = f"did you mean {' or '.join(nearest)}" if nearest else "none is installed"
    return f"There is no model named {name!r}; {known}? `degrain models` lists them all."


def _load_file(path: Path) -> ModelCard:
    """The card of an ONNX file given by its path."""
    if not path.is_file():
        msg = f"There is no model file {path}; give the path of an ONNX file or a model's name."
        raise UsageError(msg)
    own, shared = path.with_suffix(".toml"), path.with_name("card.toml")
    if own.is_file():
        return _verified(replace(read_card(own), path=path))
    if shared.is_file():
        card = replace(read_card(shared), path=path)
        # A card.toml speaks for model.onnx; for another file only if it is the same model.
        if path.name == "model.onnx" or card.sha256.lower() == _digest(path):
            return _verified(card)
        if card.int8_sha256.lower() == _digest(path):
            return _as_int8(card)
    return _measured(path)


def _as_int8(card: ModelCard) -> ModelCard:
    """The card of the 8-bit version as a model of its own; its path is that version's."""
    return replace(
        card,
        name=f"{card.name}-int8",
        sha256=card.int8_sha256,
        quality={},
        int8_model="",
        int8_sha256="",
    )


def _verified(card: ModelCard) -> ModelCard:
    """The same card, once its file is known to be the one the card was written for."""
    if _digest(card.path) != card.sha256.lower():
        msg = (
            f"The model file {card.path} is damaged or does not belong to its card (other "
            "SHA-256); reinstall degrain or export the model again."
        )
        raise ModelError(msg)
    return card


def _stamp(path: Path) -> _Stamp:
    """Changes when the file does."""
    facts = path.stat()
    return str(path.resolve()), facts.st_mtime_ns, facts.st_size


def _digest(path: Path) -> str:
    """SHA-256 of a file in hex, computed once a process."""
    try:
        stamp = _stamp(path)
        if stamp not in _digests:
            with path.open("rb") as stream:
                _digests[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"The model file {path} cannot be read ({reason}); reinstall degrain or the model."
        raise ModelError(msg) from error
    return _digests[stamp]


def _measured(path: Path) -> ModelCard:
    """A card for a file that has none; stride and reach are measured, once a process."""
    from degrain.engines.measure import measure
    from degrain.engines.onnx import OnnxEngine

    digest = _digest(path)
    stamp = _stamp(path)
    if stamp not in _foreign:
        engine = OnnxEngine(path)
        if engine.needs_sigma:
            msg = (
                f"The model {path} must be told the noise level; degrain denoises with blind ones."
            )
            raise ModelError(msg)
        halo, multiple_of = measure(engine)
        facts = {
            "name": path.stem,
            "summary": "a model without a card",
            "channels": engine.channels,
            "halo": halo,
            "multiple_of": multiple_of,
            "sha256": digest,
            "license": "unknown",
            "memory_bytes_per_pixel": FOREIGN_BYTES_PER_PIXEL,
        }
        _foreign[stamp] = card_from_mapping(facts, path)
    return _foreign[stamp]
