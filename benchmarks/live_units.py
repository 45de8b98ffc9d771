"""Which ReLUs of a network ever fire? Dead ones cost time and do nothing.

    python benchmarks/live_units.py MODEL ... --data PATH... [--noise SPEC]

MODEL is the name or file of a network that `degrain quantize` can read. PATHs are folders or packs
of pictures; the middles of 24 of them count. Prints for every ReLU, in order, how many of its maps
fire at more than one place in ten thousand, and the share of all places at which it fires.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from degrain.noise import parse_noise
from degrain.train.body import read_body
from degrain.train.data import load
from degrain.train.quantize import Probe, middle
from degrain.zoo.store import load_model

PICTURES = 24
LEAST_SHARE = 1e-4


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--noise", default="gaussian:0-55")
    options = parser.parse_args()
    pictures = load(options.data).pictures
    for name in options.models:
        print(name)
        for relu, shares in firing(name, pictures, options.noise).items():
            live = (shares > LEAST_SHARE).sum()
            print(f"  {relu}: {live} of {len(shares)} maps, {shares.mean():.3f} of all places")


def firing(model: str, pictures: tuple[np.ndarray, ...], spec: str) -> dict[str, np.ndarray]:
    """For every ReLU the share of places at which each of its maps is above zero."""
    card = load_model(model)
    body = read_body(card.path)
    probe = Probe(body, card)
    relus = [str(node.output[0]) for node in body.nodes if node.op_type == "Relu"]
    rng, noise = np.random.default_rng(0), parse_noise(spec)
    found: dict[str, list[np.ndarray]] = {relu: [] for relu in relus}
    for k in rng.permutation(len(pictures))[:PICTURES]:
        noisy = noise.add(probe.pixels(middle(pictures[k])), rng).astype(np.float32)
        for relu, values in zip(relus, probe.ask(noisy, relus), strict=True):
            found[relu].append((values > 0).mean((0, 2, 3)))
    return {relu: np.mean(shares, axis=0) for relu, shares in found.items()}


if __name__ == "__main__":
    main()
