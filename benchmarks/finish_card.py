"""Put measured quality on a model's card: mean PSNR per noise spec from rows of `degrain bench`.

    python benchmarks/finish_card.py CARD.toml RESULTS.jsonl [--set NAME] [--training-data TEXT]

The rows must be those of the model file that the card speaks for, under the card's name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from degrain.bench.tables import ordered
from degrain.zoo.card import read_card, write_card


def main() -> None:
    """Read the rows, write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--set", default="BSD68", help="name of the pictures")
    parser.add_argument("--training-data", help="replaces what the card says")
    parser.add_argument("--recipe", help="replaces what the card says")
    parser.add_argument("--summary", help="replaces what the card says")
    options = parser.parse_args()

    card = read_card(options.card)
    psnr: dict[str, list[float]] = defaultdict(list)
    rules = set()
    for line in options.results.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        same = (row["method"], row["version"]) == (card.name, card.sha256[:12])
        if same and row["status"] == "ok":
            psnr[row["noise"]].append(row["psnr"])
            rules.add(row["rules"])
    if len(rules) != 1:
        sys.exit(f"{options.results} has rows of this model by {len(rules)} sets of rules, not 1")
    measured = {spec: round(fmean(psnr[spec]), 2) for spec in ordered(psnr)}
    quality = {**card.quality, f"{options.set}: {rules.pop()}": measured}
    changes = {
        "training_data": options.training_data,
        "recipe": options.recipe,
        "summary": options.summary,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    write_card(replace(card, quality=quality, **given), options.card)
    print(measured)


if __name__ == "__main__":
    main()
