"""Write the golden vectors: what each shipped model makes of one fixed picture.

Run from the repository root after a model's weights have changed on purpose:
`python tests/golden/make.py`. The test compares fresh answers with these files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from degrain import Denoiser, list_models
from degrain.zoo.card import ModelCard


def fixed_picture(channels: int) -> np.ndarray:
    """A shape with edges and a ramp, under noise from an integer formula: the same for ever."""
    y, x = np.mgrid[:45, :61]
    clean = np.where((x - 30) ** 2 + (y - 20) ** 2 < 150, 0.8, 0.2 + x / 200)
    layers = []
    for channel in range(channels):
        state = (x * 73856093) ^ (y * 19349663) ^ ((channel + 1) * 83492791)
        noise = (state * 2654435761 % 2**32) / 2**32 - 0.5
        layers.append(clean + 0.3 * noise)
    return np.stack(layers, axis=2).astype(np.float32)


def answers(card: ModelCard) -> dict[str, np.ndarray]:
    """The model's outputs on the fixed picture, H×W×C: of both ends if it has two."""
    picture = fixed_picture(card.channels)
    found = {"answer": Denoiser(card.name)(picture)}
    if card.detail_model:
        found["detail"] = Denoiser(card.name, detail=1.0)(picture)
    return found


def main() -> None:
    """Write the vectors of all shipped models."""
    for card in list_models():
        path = Path(__file__).with_name(f"{card.name}.npz")
        np.savez_compressed(path, **answers(card))
        print(path)


if __name__ == "__main__":
    main()
