"""Shared fixtures: real, tiny ONNX denoisers and a model folder holding them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers are as many as cores: more threads in each only wait for one another. Set before
    # numpy and torch are loaded, which look at it once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from degrain.zoo.card import ModelCard, write_card

MakeModel = Callable[..., ModelCard]


def _convolution(name: str, data: str, weight: np.ndarray, **attributes: Any) -> tuple[Any, Any]:
    from onnx import helper, numpy_helper

    kind = attributes.pop("kind", "Conv")
    node = helper.make_node(kind, [data, f"{name}.weight"], [name], name=name, **attributes)
    return node, numpy_helper.from_array(weight.astype(np.float32), f"{name}.weight")


def _weight(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)


def tiny_graph(channels: int, stride: int, seed: int = 0) -> Any:
    """noisy − (3×3, relu, stride down, 3×3, up): pads right and bottom by edge replication."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    node, integers = (
        helper.make_node,
        {
            "zeros6": np.zeros(6, np.int64),
            "zeros2": np.zeros(2, np.int64),
            "axes": np.array([2, 3]),
            "stride": np.array([stride]),
        },
    )
    wide = 6
    layers = [
        _convolution("head", "padded", _weight(rng, wide, channels, 3, 3), pads=[1, 1, 1, 1]),
        _convolution(
            "down", "active", _weight(rng, wide, wide, stride, stride), strides=[stride, stride]
        ),
        _convolution("body", "down", _weight(rng, wide, wide, 3, 3), pads=[1, 1, 1, 1]),
        _convolution(
            "up",
            "body",
            0.3 * _weight(rng, wide, channels, stride, stride),
            strides=[stride, stride],
            kind="ConvTranspose",
        ),
    ]
    head, down, body, up = (layer[0] for layer in layers)
    nodes = [
        node("Shape", ["noisy"], ["size"], start=2),
        node("Neg", ["size"], ["negative"]),
        node("Mod", ["negative", "stride"], ["missing"]),
        node("Concat", ["zeros6", "missing"], ["pads"], axis=0),
        node("Pad", ["noisy", "pads"], ["padded"], mode="edge"),
        head,
        node("Relu", ["head"], ["active"]),
        down,
        body,
        up,
        node("Slice", ["up", "zeros2", "size", "axes"], ["noise"]),
        node("Sub", ["noisy", "noise"], ["clean"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name in ("noisy", "clean")
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in integers.items()]
    weights = constants + [layer[1] for layer in layers]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def tiny_halo(stride: int) -> int:
    """Reach of `tiny_graph`: one coarse pixel and the rest of its own, and one at full size."""
    return stride + stride - 1 + 1


def save_model(folder: Path, channels: int, stride: int, seed: int = 0) -> ModelCard:
    """Write `<folder>/model.onnx` and its card."""
    import onnx

    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(tiny_graph(channels, stride, seed), str(path))
    card = ModelCard(
        name=folder.name,
        summary="a tiny net for tests",
        channels=channels,
        halo=tiny_halo(stride),
        multiple_of=stride,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        license="Apache-2.0",
        memory_bytes_per_pixel=200,
        path=path,
    )
    write_card(card, folder / "card.toml")
    return card


@pytest.fixture(scope="session")
def small_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Any, Path]]:
    """A small gray and a small color U-Net with their ONNX files; an export takes 20 seconds."""
    from small_unet import export_small

    return export_small(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Builds a tiny denoiser: make_model(name, channels=1, stride=4, seed=0)."""

    def make(name: str = "tiny", channels: int = 1, stride: int = 4, seed: int = 0) -> ModelCard:
        return save_model(tmp_path / "models" / name, channels, stride, seed)

    return make


@pytest.fixture(scope="session")
def tiny_zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with tiny models under the names that "auto" picks."""
    folder = tmp_path_factory.mktemp("zoo")
    save_model(folder / "degrain-gray", 1, 4)
    save_model(folder / "degrain-color", 3, 4)
    save_model(folder / "degrain-photo", 3, 4)
    save_model(folder / "plain-gray", 1, 1)
    return folder


@pytest.fixture
def tiny_zoo(tiny_zoo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the user's model folder of this test."""
    monkeypatch.setenv("DEGRAIN_MODELS", str(tiny_zoo_folder))
    return tiny_zoo_folder
