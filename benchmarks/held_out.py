"""Measure what a card says about held-out training pictures anew, and write it on the card.

    python benchmarks/held_out.py CARD.toml --data PATH...

`degrain export` takes these figures from the end of the run, `degrain quantize` measures the loss
of the version in 8 bits that it has made. This is for weights that are not the end of a run, and
for cards that are older than a change of the noise. For U-Nets; PATHs are the folders or packs of
training pictures.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from degrain.train.data import Pack, load, split
from degrain.train.quantize import measure_loss
from degrain.train.teacher import load_teacher
from degrain.train.watch import Validation
from degrain.zoo.card import ModelCard, read_card, write_card

TABLE = "held-out training pictures"
"""How the heading of these figures begins."""


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", type=Path)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    card = read_card(options.card)
    held_out = split(load(options.data))[1]
    (heading,) = [name for name in card.quality if name.startswith(TABLE)]
    found = psnr(card, held_out, tuple(card.quality[heading]))
    card = replace(card, quality={**card.quality, heading: found})
    if card.int8_model:
        int8 = card.path.with_name(card.int8_model)
        card = replace(card, int8_loss=measure_loss(card, int8, held_out, tuple(card.int8_loss)))
    write_card(card, options.card)
    print(found, card.int8_loss)


def psnr(card: ModelCard, held_out: Pack, specs: tuple[str, ...]) -> dict[str, float]:
    """Mean PSNR in dB of the float version, as training validates."""
    cpu = torch.device("cpu")
    sets = Validation(held_out, specs=specs, channels=card.channels, gray=card.gray, device=cpu)
    found = sets.psnr(load_teacher(str(card.path), card.channels, cpu))
    return {spec: round(value, 4) for spec, value in found.items()}


if __name__ == "__main__":
    main()
