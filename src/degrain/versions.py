"""The versions of a denoiser's models: loaded once, when the first picture needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from degrain.engines.gain import GainEngine, gain_for
from degrain.engines.precision import check_range, choose_precision, may_be_int8
from degrain.engines.protocol import Engine
from degrain.errors import ModelError
from degrain.estimate import noise_level_255
from degrain.whiteness import channels_are_independent, noise_is_white
from degrain.zoo import store
from degrain.zoo.card import ModelCard


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one size, of which a picture gets the one that fits it.

    Attributes:
        gray, color: know white noise only, another one in every channel, and take that off best.
        photo: knows the noise of cameras too; sees a gray picture three times.
    """

    gray: str
    color: str
    photo: str

    def usual(self, channels: int) -> str:
        """The one for this many channels, without a look at the picture."""
        return self.gray if channels == 1 else self.photo

    def for_white(self, channels: int) -> str:
        """The one for white noise, and for levels that are told, see `degrain.steering`."""
        return self.gray if channels == 1 else self.color

    def seen(self, page: NDArray[Any], noise_sigma_255: float | None) -> str:
        """The one for a page, from the looks of its noise."""
        channels = page.shape[2]
        known = noise_is_white(page, noise_sigma_255)
        if known and (channels == 1 or channels_are_independent(page)):
            return self.for_white(channels)
        return self.photo


FAMILIES: Final = {
    "auto": Family("degrain-gray", "degrain-color", "degrain-photo"),
    "fast": Family("degrain-gray-fast", "degrain-color-fast", "degrain-photo-fast"),
}
"""Words for the model."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What works on a page.

    Attributes:
        model: the network's name.
        card: its card.
        precision: "float" or "int8": which version of it.
        key: what it is loaded by.
        noise_sigma_255: the noise of the page, if it is known.
        gain: what the page is multiplied by on its way through (`degrain.engines.gain`).
    """

    model: str
    card: ModelCard
    precision: str
    key: str | Path
    noise_sigma_255: float | None = None
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class _Opened:
    """An engine, and the threads that it was opened for; None: it is the caller's own."""

    engine: Engine
    threads: int | None = None


class Versions:
    """Finds what works on a picture: which model, in floats or in 8 bits, and its engine.

    Safe to use from several threads.

    Args:
        model, detail, precision: as for `degrain.Denoiser`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        detail: float | None = None,
        precision: str = "auto",
    ) -> None:
        self._model = model
        self._detail, self._precision = detail, precision
        self._lock = threading.Lock()
        self._cards: dict[str | Path, ModelCard] = {}
        self._engines: dict[tuple[str | Path, str], _Opened] = {}

    def add(self, card: ModelCard, engine: Engine) -> None:
        """Use an engine of the caller's own under its card's name."""
        self._cards[card.name] = card
        self._engines[card.name, "float"] = _Opened(_matching(card, engine))

    def key(self, channels: int) -> str | Path:
        """What to load for this many color channels."""
        family = FAMILIES.get(str(self._model))
        return self._model if family is None else family.usual(channels)

    def name(self, key: str | Path) -> str:
        """The name of the model that is loaded by this key."""
        if isinstance(key, str) and store.has_model(key):
            return key
        return self.card(key).name

    def choose(
        self, page: NDArray[Any], sigma: float | None, noise_sigma_255: float | None
    ) -> Choice:
        """See `degrain.Denoiser.choose`."""
        key = self._key_for(page, sigma, noise_sigma_255)
        card = self.card(key)
        own = noise_sigma_255
        if own is None and self._asks_level(card, page):
            own = noise_level_255(page)
        # Told more than it has, it gets that much before the network sees it.
        level = own if own is None or sigma is None else max(own, sigma)
        precision = self._precision_for(card, page, level)
        in_bytes = precision == "int8" or _only_bytes(card)
        gain = gain_for(level, card.int8_sigma) if in_bytes and level is not None else 1.0
        return Choice(self.name(key), card, precision, key, own, gain)

    def card(self, key: str | Path) -> ModelCard:
        """The card of what is loaded by this key, read once."""
        with self._lock:
            if key not in self._cards:
                card = store.load_model(key)
                self._cards[key] = card if self._detail is None else _mixed(card, self._detail)
            return self._cards[key]

    def engine(self, choice: Choice, threads: int) -> Engine:
        """What runs the network that was chosen, opened once however many threads ask.

        Args:
            choice: from `choose`.
            threads: how many one run may use; an engine for another number is put away first,
                since it keeps its working memory.
        """
        place = choice.key, choice.precision
        with self._lock:
            opened = self._engines.get(place)
            if opened is None or opened.threads not in (None, threads):
                self._engines.pop(place, None)
                engine = _matching(choice.card, self._open(choice, threads))
                opened = self._engines[place] = _Opened(engine, threads)
        return opened.engine if choice.gain == 1.0 else GainEngine(opened.engine, choice.gain)

    def _key_for(
        self, page: NDArray[Any], sigma: float | None, noise_sigma_255: float | None
    ) -> str | Path:
        family = FAMILIES.get(str(self._model))
        if family is None:
            return self._model
        if sigma is not None:
            return family.for_white(page.shape[2])
        return family.seen(page, noise_sigma_255)

    def _asks_level(self, card: ModelCard, page: NDArray[Any]) -> bool:
        """Whether the page's noise has a say in how it goes through the model."""
        if self._precision == "auto" and not _only_bytes(card):
            return self._detail is None and may_be_int8(card, page)
        return bool(card.int8_sigma) and (self._precision == "int8" or _only_bytes(card))

    def _precision_for(self, card: ModelCard, page: NDArray[Any], level: float | None) -> str:
        if self._precision == "auto":
            return "float" if level is None else choose_precision(card, page, level)
        if self._precision == "int8":
            check_range(page)
        return self._precision

    def _open(self, choice: Choice, threads: int) -> Engine:
        from degrain.engines.onnx import OnnxEngine

        if choice.precision == "int8":
            return OnnxEngine(store.int8_partner(choice.card), threads=threads)
        if not self._detail:
            return OnnxEngine(choice.card.path, threads=threads)
        partner = OnnxEngine(store.detail_partner(choice.card), threads=threads)
        if self._detail == 1.0:
            return partner
        from degrain.engines.blend import BlendEngine

        engine = OnnxEngine(choice.card.path, threads=threads)
        return BlendEngine(engine, partner, self._detail)


def _only_bytes(card: ModelCard) -> bool:
    """Whether the model was given as the file of its 8-bit version."""
    return bool(card.int8_sigma) and not card.int8_model


def _mixed(card: ModelCard, detail: float) -> ModelCard:
    """The card for a place between the two ends of a model; it must have two."""
    store.detail_partner(card)
    if detail in (0.0, 1.0):
        return card
    # Both engines keep their working memory.
    return replace(card, memory_bytes_per_pixel=2 * card.memory_bytes_per_pixel)


def _matching(card: ModelCard, engine: Engine) -> Engine:
    """The engine, if it is what its card says."""
    if engine.channels != card.channels:
        msg = (
            f"The card of {card.name} says {card.channels} channels but the model has "
            f"{engine.channels}; export the model again."
        )
        raise ModelError(msg)
    if engine.needs_sigma:
        msg = f"The model {card.name} must be told the noise level; choose a blind one."
        raise ModelError(msg)
    return engine
