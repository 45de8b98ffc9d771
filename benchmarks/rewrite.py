"""Write shipped networks anew in the form that `degrain export` gives now, all their numbers kept.

    python benchmarks/rewrite.py NAME... --data PACK.npz

For when that form has become faster: the weights of the float file and the kernels, scales and
gains of the 8-bit one go into new files, the card gets their hashes, the memory that they take and
what 8 bits lose (of the data every 20th picture, as `degrain quantize` measures it). Answers move
by rounding; by how much, on random pictures of odd sizes, is printed. Rows of the bench belong to a
hash, so they have to be measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from degrain import onnx_weights
from degrain.engines.onnx import OnnxEngine
from degrain.train.body import Body, read_body
from degrain.train.data import Pack, load, split
from degrain.train.describe import measure_memory
from degrain.train.fit import build_net
from degrain.train.onnx_file import write_onnx
from degrain.train.qdq import Numbers, write_qdq
from degrain.train.quantize import measure_loss
from degrain.train.recipes import find_recipe
from degrain.train.start import load_weights
from degrain.zoo.card import ModelCard, write_card
from degrain.zoo.store import card_file, int8_partner, load_model

SIZES = ((1, 1), (45, 61), (301, 260))
MOST = 1e-5
"""Floats may move by this much, of pictures of 0 to 1."""


def main() -> None:
    """Rewrite, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    options = parser.parse_args()
    _, held_out = split(load(options.data))
    for name in options.names:
        print(name, rewrite(load_model(name), held_out))


def rewrite(card: ModelCard, held_out: Pack) -> dict[str, float]:
    """Both files and the card; how far the answers moved.

    Raises:
        SystemExit: floats moved by more than rounding. Nothing is replaced then.
    """
    old_8 = int8_partner(card)
    with tempfile.TemporaryDirectory() as folder:
        new, new_8 = Path(folder, "model.onnx"), Path(folder, "model.int8.onnx")
        write_onnx(net_of(card), new, card.channels, half=is_halved(card.path))
        body = read_body(new)
        write_qdq(body, numbers_of(old_8, read_body(card.path), body), new_8)
        moved = differences(card.path, new) | differences(old_8, new_8, "int8 ")
        if moved["most"] > MOST:
            raise SystemExit(f"{card.name} has changed: {moved}")
        renewed = replace(
            card,
            path=new,
            sha256=digest(new),
            int8_sha256=digest(new_8),
            memory_bytes_per_pixel=measure_memory(new, card.channels),
        )
        loss = measure_loss(renewed, new_8, held_out, list(card.int8_loss))
        shutil.copyfile(new, card.path)
        shutil.copyfile(new_8, old_8)
    write_card(replace(renewed, int8_loss=loss), card_file(card))
    return moved


def net_of(card: ModelCard) -> Any:
    """The network with the weights that are shipped."""
    net = build_net(find_recipe(card.name))
    load_weights(net, str(card.path))
    return net


def is_halved(path: Path) -> bool:
    """Whether a file has its weights in half precision."""
    import onnx

    stored = onnx.load(str(path)).graph.initializer
    return any(item.name.endswith(onnx_weights.SUFFIX) for item in stored)


def numbers_of(path: Path, old: Body, new: Body) -> Numbers:
    """What an 8-bit file holds, for a body whose tensors have other names.

    Args:
        path: the file.
        old: of the float file that it was made from.
        new: of the same network in another form.
    """
    import onnx
    from onnx import numpy_helper

    held = {
        item.name: numpy_helper.to_array(item) for item in onnx.load(str(path)).graph.initializer
    }
    names = {a.output[0]: b.output[0] for a, b in zip(old.nodes, new.nodes, strict=True)}
    scales = {kernel: held[f"{kernel}/scale"] for kernel in new.inner}
    kernels = {
        kernel: (
            held[f"{kernel}/bytes"] * scales[kernel].reshape(-1, 1, 1, 1)
            if kernel in scales
            else held[kernel]
        )
        for kernel in new.weights
    }
    of_tensors = {name: float(held[f"{name}/scale"].flat[0]) for name in old.signed}
    gains = {
        names[name]: held[f"{name}/rows/floats/scale"] / of_tensors[old.scaled_like(name) or name]
        for name in old.updates
    }
    renamed = {names[name]: scale for name, scale in of_tensors.items()}
    return Numbers(kernels, scales, renamed, gains)


def differences(old: Path, new: Path, prefix: str = "") -> dict[str, float]:
    """Largest and root mean square difference of two files' answers to random pictures."""
    engines = OnnxEngine(old), OnnxEngine(new)
    rng = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        x_nchw = rng.random((1, engines[0].channels, height, width), dtype=np.float32)
        found.append(np.subtract(*(engine.run(x_nchw) for engine in engines)).ravel())
    moved = np.concatenate(found)
    return {
        f"{prefix}most": float(np.abs(moved).max()),
        f"{prefix}rms": float(np.sqrt(np.square(moved).mean())),
    }


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
