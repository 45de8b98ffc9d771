"""A model with two ends, for `--detail`."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from degrain.zoo.card import ModelCard, write_card


def give_partner(first: ModelCard, second: ModelCard) -> ModelCard:
    """Make the weights of `second` the other end of `first`; the new card, written."""
    partner = first.path.with_name("model.detail.onnx")
    partner.write_bytes(second.path.read_bytes())
    digest = hashlib.sha256(partner.read_bytes()).hexdigest()
    card = replace(first, detail_model=partner.name, detail_sha256=digest)
    write_card(card, first.path.with_name("card.toml"))
    return card
