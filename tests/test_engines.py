"""The ONNX engine takes denoisers and nothing else; measuring finds stride and reach."""

from __future__ import annotations

import numpy as np
import pytest

from degrain.engines import onnx as onnx_engine
from degrain.engines.measure import measure
from degrain.engines.onnx import OnnxEngine
from degrain.engines.torch import TorchEngine
from degrain.errors import ModelError
from degrain.zoo.store import load_model


def save(path, inputs, outputs, nodes):
    """An ONNX file from (name, shape) pairs and (operator, inputs, outputs) triples."""
    import onnx
    from onnx import TensorProto, helper

    def ends(pairs):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in pairs]

    graph = helper.make_graph(
        [helper.make_node(*node) for node in nodes], "g", ends(inputs), ends(outputs)
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return path


GREY = ["n", 1, "h", "w"]
NO_DENOISERS = {
    "two pictures": ([("noisy", GREY), ("other", GREY)], [("y", GREY)], "inputs are noisy, other"),
    "three inputs": (
        [("noisy", GREY), ("sigma", [1]), ("c", [1])],
        [("y", GREY)],
        "inputs are noisy, sigma, c",
    ),
    "rank 2": ([("noisy", ["n", "k"])], [("y", ["n", "k"])], "2 axes"),
    "five channels": ([("noisy", ["n", 5, "h", "w"])], [("y", ["n", 5, "h", "w"])], "5"),
    "free channels": ([("noisy", ["n", "c", "h", "w"])], [("y", ["n", "c", "h", "w"])], "channels"),
    "fixed size": ([("noisy", ["n", 1, 64, 64])], [("y", ["n", 1, 64, 64])], "64×64 pixels only"),
    "two outputs": ([("noisy", GREY)], [("y", GREY), ("z", GREY)], "2 outputs"),
}


@pytest.mark.parametrize("case", NO_DENOISERS)
def test_no_denoiser(tmp_path, case, capfd):
    inputs, outputs, match = NO_DENOISERS[case]
    nodes = [("Identity", ["noisy"], [name]) for name, _ in outputs]
    path = save(tmp_path / "x.onnx", inputs, outputs, nodes)
    with pytest.raises(ModelError, match=match) as caught:
        OnnxEngine(path)
    assert "no denoiser" in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "missing"])
def test_damaged_files(tmp_path, make_model, damage, capfd):
    whole = make_model().path.read_bytes()
    path = tmp_path / "damaged.onnx"
    contents = {"empty": b"", "text": b"no model at all\n" * 9, "cut": whole[: len(whole) // 2]}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ModelError, match=r"damaged\.onnx") as caught:
        OnnxEngine(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert capfd.readouterr() == ("", "")


def test_an_output_of_another_size(tmp_path):
    path = save(
        tmp_path / "x.onnx",
        [("noisy", GREY)],
        [("y", ["n", 1, "a", "b"])],
        [("GlobalAveragePool", ["noisy"], ["y"])],
    )
    with pytest.raises(ModelError, match="no denoiser"):
        OnnxEngine(path).run(np.zeros((1, 1, 8, 8), np.float32))


def test_a_wrong_batch_is_a_model_error(make_model):
    with pytest.raises(ModelError, match=r"shape \(1, 3, 8, 8\)"):
        OnnxEngine(make_model().path).run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("sigma_shape", [[1], ["n", 1, 1, 1]])
def test_a_second_input_sigma(tmp_path, sigma_shape):
    path = save(
        tmp_path / "x.onnx",
        [("noisy", GREY), ("sigma", sigma_shape)],
        [("y", GREY)],
        [("Sub", ["noisy", "sigma"], ["y"])],
    )
    engine = OnnxEngine(path)
    assert engine.needs_sigma
    x = np.random.default_rng(0).random((2, 1, 5, 7), dtype=np.float32)
    np.testing.assert_allclose(engine.run(x, 0.25), x - 0.25, atol=1e-6)
    with pytest.raises(ModelError, match="noise level"):
        engine.run(x)


@pytest.mark.parametrize(("stride", "halo"), [(1, 2), (2, 4), (4, 8), (8, 16)])
def test_measuring(make_model, stride, halo):
    # By hand: 3×3 after a stride s reaches one coarse pixel (s) plus the rest of its own (s - 1);
    # the 3×3 before it adds 1.
    assert measure(OnnxEngine(make_model(stride=stride).path, threads=1)) == (halo, stride)


class GlobalEngine:
    channels, needs_sigma = 1, False

    def run(self, x_nchw, sigma=None):
        return x_nchw - x_nchw.mean(dtype=np.float64).astype(np.float32)


def test_what_sees_everything_cannot_be_tiled():
    with pytest.raises(ModelError, match="tile by tile"):
        measure(GlobalEngine())


def test_torch_engine_equals_its_module():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Conv2d(3, 3, 3, padding=1)
    engine = TorchEngine(module, channels=3)
    x = np.random.default_rng(0).random((2, 3, 9, 8), dtype=np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(engine.run(x), expected, atol=1e-6)
    assert not module.training
    assert measure(engine, 96) == (1, 1)
    with pytest.raises(ModelError, match="channels"):
        TorchEngine(torch.nn.ReLU())
    with pytest.raises(ModelError, match="shape"):
        TorchEngine(torch.nn.MaxPool2d(2), channels=1).run(np.zeros((1, 1, 4, 4), np.float32))


def test_more_threads_than_cores_count_as_all(monkeypatch):
    asked = []
    opened = onnx_engine.open_session

    def open_session(model, path, threads, **options):
        asked.append(threads)
        return opened(model, path, threads, **options)

    monkeypatch.setattr(onnx_engine, "open_session", open_session)
    path = load_model("degrain-gray-fast").path
    for threads in (1, 1000, None):
        OnnxEngine(path, threads=threads)
    cores = onnx_engine.available_threads()
    assert asked == [1, cores, cores]
