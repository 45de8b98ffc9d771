"""The versions of a denoiser's models: loaded once, when the first picture needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from degrain.engines.precision import choose_precision
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
        self._loaded: dict[str | Path, tuple[ModelCard, Engine]] = {}
        self._int8: dict[str | Path, Engine] = {}

    def add(self, card: ModelCard, engine: Engine) -> None:
        """Use an engine of the caller's own under its card's name."""
        self._loaded[card.name] = (card, _matching(card, engine))

    def key(self, channels: int) -> str | Path:
        """What to load for this many color channels."""
        if self._model not in BY_CHANNELS:
            return self._model
        return BY_CHANNELS[str(self._model)][0 if channels == 1 else 1]

    def name(self, key: str | Path) -> str:
        """The name of the model that is loaded by this key."""
        if isinstance(key, str) and store.has_model(key):
            return key
        return self.load(key)[0].name

    def choose(
        self, page: NDArray[Any], sigma: float | None, noise_sigma_255: float | None
    ) -> Choice:
        """See `degrain.Denoiser.choose`."""
        key = self.key(page.shape[2])
        if self._model == "auto" and sigma is not None:
            key = FOR_WHITE_NOISE[0 if page.shape[2] == 1 else 1]
        elif self._model == "auto" and page.shape[2] == 1:
            key = key if noise_is_white(page, noise_sigma_255) else COARSE_GRAY
        card, _ = self.load(key)
        precision = self._precision
        if precision == "auto" and self._detail is not None:
            precision = "float"
        elif precision == "auto":
            level = noise_sigma_255 if sigma is None else sigma
            precision = choose_precision(card, page, level)
        return Choice(self.name(key), card, precision, key, noise_sigma_255)

    def engine(self, choice: Choice) -> Engine:
        """What runs the network that was chosen."""
        if choice.precision == "int8":
            return self.in_8_bits(choice.key)
        return self.load(choice.key)[1]

    def load(self, key: str | Path) -> tuple[ModelCard, Engine]:
        """Card and engine, loaded once however many threads ask."""
        with self._lock:
            if key not in self._loaded:
                from degrain.engines.onnx import OnnxEngine

                card = store.load_model(key)
                engine: Engine = OnnxEngine(card.path, threads=self._threads)
                if self._detail is not None:
                    card, engine = self._with_detail(card, engine, self._detail)
                self._loaded[key] = (card, _matching(card, engine))
            return self._loaded[key]

    def in_8_bits(self, key: str | Path) -> Engine:
        """The engine of the 8-bit version, loaded once."""
        from degrain.engines.onnx import OnnxEngine

        card, _ = self.load(key)
        with self._lock:
            if key not in self._int8:
                path = store.int8_partner(card)
                self._int8[key] = _matching(card, OnnxEngine(path, threads=self._threads))
            return self._int8[key]

    def _with_detail(
        self, card: ModelCard, engine: Engine, detail: float
    ) -> tuple[ModelCard, Engine]:
        """Card and engine for a place between the two ends of a model."""
        from degrain.engines.blend import BlendEngine
        from degrain.engines.onnx import OnnxEngine

        partner = OnnxEngine(store.detail_partner(card), threads=self._threads)
        if detail in (0.0, 1.0):
            return card, partner if detail else engine
        # Both engines keep their working memory.
        memory = 2 * card.memory_bytes_per_pixel
        return replace(card, memory_bytes_per_pixel=memory), BlendEngine(engine, partner, detail)


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
