"""The versions of a denoiser's models: loaded once, when the first picture needs them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

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


class Versions:
    """Finds the engine for a picture: the model's own, or in 8 bits.

    Safe to use from several threads. The arguments are those of `degrain.Denoiser`.
    """

    def __init__(
        self, model: str | Path, *, threads: int | None = None, detail: float | None = None
    ) -> None:
        self._model, self._threads, self._detail = model, threads, detail
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

    def key_for(self, page: NDArray[Any], *, told: bool = False) -> str | Path:
        """What to load for this page, H×W×C, which is told its noise level or not."""
        gray = page.shape[2] == 1
        if self._model == "auto" and told:
            return FOR_WHITE_NOISE[0 if gray else 1]
        if self._model == "auto" and gray and not noise_is_white(page):
            return COARSE_GRAY
        return self.key(page.shape[2])

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
