"""The versions of a denoiser's models: loaded once, when the first picture needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from degrain.engines.precision import check_range, choose_precision
from degrain.engines.protocol import Engine
from degrain.errors import ModelError
from degrain.whiteness import noise_is_white
from degrain.zoo import store
from degrain.zoo.card import ModelCard

BY_CHANNELS: Final = {
    "auto": ("degrain-gray", "degrain-photo"),
    "fast": ("degrain-gray-fast", "degrain-color-fast"),
}
"""Words for the model -> the model for gray and the one for color pictures."""
FOR_WHITE_NOISE: Final = ("degrain-gray", "degrain-color")
"""What "auto" takes for a picture that is told its noise level, see `degrain.steering`."""
COARSE_GRAY: Final = "degrain-photo"
"""What "auto" takes for gray pictures whose noise is not white."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What works on a page.

    Attributes:
        model: the network's name.
        card: its card.
        precision: "float" or "int8": which version of it.
        key: what it is loaded by.
        noise_sigma_255: the noise of the page, if it was known already.
    """

    model: str
    card: ModelCard
    precision: str
    key: str | Path
    noise_sigma_255: float | None = None


class Versions:
    """Finds what works on a picture: which model, in floats or in 8 bits, and its engine.

    Safe to use from several threads. The arguments are those of `degrain.Denoiser`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        threads: int | None = None,
        detail: float | None = None,
        precision: str = "auto",
    ) -> None:
        self._model, self._threads = model, threads
        self._detail, self._precision = detail, precision
        self._lock = threading.Lock()
        self._cards: dict[str | Path, ModelCard] = {}
        self._engines: dict[tuple[str | Path, str], Engine] = {}

    def add(self, card: ModelCard, engine: Engine) -> None:
        """Use an engine of the caller's own under its card's name."""
        self._cards[card.name] = card
        self._engines[card.name, "float"] = _matching(card, engine)

    def key(self, channels: int) -> str | Path:
        """What to load for this many color channels."""
        if self._model not in BY_CHANNELS:
            return self._model
        return BY_CHANNELS[str(self._model)][0 if channels == 1 else 1]

    def name(self, key: str | Path) -> str:
        """The name of the model that is loaded by this key."""
        if isinstance(key, str) and store.has_model(key):
            return key
        return self.card(key).name

    def choose(
        self, page: NDArray[Any], sigma: float | None, noise_sigma_255: float | None
    ) -> Choice:
        """See `degrain.Denoiser.choose`."""
        key = self.key(page.shape[2])
        if self._model == "auto" and sigma is not None:
            key = FOR_WHITE_NOISE[0 if page.shape[2] == 1 else 1]
        elif self._model == "auto" and page.shape[2] == 1:
            key = key if noise_is_white(page, noise_sigma_255) else COARSE_GRAY
        card = self.card(key)
        precision = self._precision
        if precision == "auto" and self._detail is not None:
            precision = "float"
        elif precision == "auto":
            level = noise_sigma_255 if sigma is None else sigma
            precision = choose_precision(card, page, level)
        elif precision == "int8":
            check_range(page)
        return Choice(self.name(key), card, precision, key, noise_sigma_255)

    def card(self, key: str | Path) -> ModelCard:
        """The card of what is loaded by this key, read once."""
        with self._lock:
            if key not in self._cards:
                card = store.load_model(key)
                self._cards[key] = card if self._detail is None else _mixed(card, self._detail)
            return self._cards[key]

    def engine(self, choice: Choice) -> Engine:
        """What runs the network that was chosen, opened once however many threads ask."""
        place = choice.key, choice.precision
        with self._lock:
            if place not in self._engines:
                self._engines[place] = _matching(choice.card, self._open(choice))
            return self._engines[place]

    def _open(self, choice: Choice) -> Engine:
        from degrain.engines.onnx import OnnxEngine

        if choice.precision == "int8":
            return OnnxEngine(store.int8_partner(choice.card), threads=self._threads)
        if not self._detail:
            return OnnxEngine(choice.card.path, threads=self._threads)
        partner = OnnxEngine(store.detail_partner(choice.card), threads=self._threads)
        if self._detail == 1.0:
            return partner
        from degrain.engines.blend import BlendEngine

        engine = OnnxEngine(choice.card.path, threads=self._threads)
        return BlendEngine(engine, partner, self._detail)


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
