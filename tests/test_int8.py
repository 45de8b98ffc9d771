"""8-bit versions: made right, named on the card, chosen where they gain, close to the floats."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, load, numpy_helper, save  # noqa: TID253

from degrain import Denoiser, files, list_models, load_model
from degrain.cli import main
from degrain.denoise import LIBRARY_MB
from degrain.engines import precision
from degrain.engines.gain import LEAST
from degrain.engines.onnx import OnnxEngine, open_session
from degrain.engines.precision import choose_precision, good_levels, has_byte_products
from degrain.errors import ModelError, TrainingError, UsageError
from degrain.picture import Picture
from degrain.train.aware import EightBits, Lessons, fine_tune, head_gains
from degrain.train.body import Body, read_body
from degrain.train.data import Pack
from degrain.train.qdq import Numbers, write_qdq
from degrain.train.quantize import (
    LEAST_ERROR,
    LEVELS_255,
    SUITS_255,
    Probe,
    _lessons,
    _samples,
    quantize,
)
from degrain.train.ranges import even_out, kernel_scales, tensor_scale
from degrain.zoo.card import ModelCard, read_card, write_card
from degrain.zoo.store import int8_partner

WITH_INT8 = [card.name for card in list_models() if card.int8_model]
LOSS = {"gaussian:5": 0.2, "gaussian:15": 0.04, "gaussian:25": 0.03, "gaussian:75": 0.4}


def grainy(sigma: float, shape: tuple[int, ...] = (96, 90)) -> np.ndarray:
    rng = np.random.default_rng(0)
    clean = np.full(shape, 0.3, np.float32)
    clean[:, shape[1] // 2 :] = 0.7
    return clean + np.float32(sigma / 255) * rng.standard_normal(shape, np.float32)


def as_bytes(x: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        page = as_bytes(grainy(3 + k, (72, 64, 3)))
        files.write(Picture(pages=(page,)), folder / f"{k}.png")
    return folder


def unet_graph(channels: int) -> Any:
    """A U-Net with two scales as the exporter writes it, for even sizes; far from the identity."""
    rng = np.random.default_rng(channels)
    kernels: list[Any] = []
    nodes: list[Any] = []

    def convolve(name: str, source: str, shape: tuple[int, ...], kind: str = "Conv") -> str:
        values = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
        kernels.append(numpy_helper.from_array(values, f"{name}.weight"))
        facts = {"pads": [1, 1, 1, 1]} if shape[2] == 3 else {"strides": [2, 2]}
        nodes.append(helper.make_node(kind, [source, f"{name}.weight"], [name], **facts))
        return name

    def join(kind: str, name: str, *sources: str) -> str:
        nodes.append(helper.make_node(kind, sources, [name]))
        return name

    def block(name: str, source: str, width: int) -> str:
        middle = convolve(f"{name}.conv0", source, (width, width, 3, 3))
        active = join("Relu", f"{name}.relu", middle)
        return join("Add", name, source, convolve(f"{name}.conv1", active, (width, width, 3, 3)))

    skip = block("first", convolve("head", "noisy", (8, channels, 3, 3)), 8)
    deep = block("middle", convolve("down", skip, (12, 8, 2, 2)), 12)
    up = convolve("up", deep, (12, 8, 2, 2), "ConvTranspose")
    last = block("last", join("Add", "joined", up, skip), 8)
    join("Sub", "clean", "noisy", convolve("tail", last, (channels, 8, 3, 3)))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name in ("noisy", "clean")
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], kernels)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ModelCard]:
    """A gray and a color network with their 8-bit versions, by channels."""
    folder = tmp_path_factory.mktemp("int8")
    pictures = write_pictures(folder / "pictures", 3)
    cards = {}
    for channels in (1, 3):
        home = folder / f"small{channels}"
        home.mkdir()
        path = home / "model.onnx"
        save(unet_graph(channels), str(path))
        card = ModelCard(
            name=home.name,
            summary="a small net for tests",
            channels=channels,
            halo=24,
            multiple_of=2,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            license="Apache-2.0",
            noise="gaussian:0-55",
            path=path,
        )
        write_card(card, home / "card.toml")
        cards[channels] = quantize(str(card.path), [pictures], steps=20)
    return cards


adds_up_bytes = pytest.mark.skipif(
    has_byte_products() is False, reason="sums of byte products can overflow on this processor"
)


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any processor counts as one that gains by 8 bits."""
    monkeypatch.setattr(precision, "has_byte_products", lambda: True)


@pytest.mark.parametrize("channels", [1, 3])
def test_rewriting_changes_nothing(quantized, channels: int) -> None:
    path = quantized[channels].path
    body = read_body(path)
    x = np.random.default_rng(0).random((1, channels, 34, 46), dtype=np.float32)
    (rewritten,) = open_session(body.model.SerializeToString(), path, 1).run(None, {"noisy": x})
    np.testing.assert_allclose(rewritten, OnnxEngine(path, threads=1).run(x), atol=1e-5)
    kinds = {node.op_type for node in body.model.graph.node}
    assert "ConvTranspose" not in kinds


@adds_up_bytes
@pytest.mark.parametrize("channels", [1, 3])
def test_the_answer_stays_close(quantized, channels: int) -> None:
    """A wrong scale, gain or shuffle would be far off: the net is far from the identity."""
    card = quantized[channels]
    x = grainy(25, (76, 62, channels))
    whole, eight = (
        Denoiser(card.path, threads=1, precision=p)(x).reshape(x.shape) for p in ("float", "int8")
    )
    change = np.abs(whole - x).mean()
    assert 0 < np.abs(eight - whole).mean() < 0.04 * change


@pytest.mark.parametrize("channels", [1, 3])
def test_kernels_are_bytes(quantized, channels: int) -> None:
    path = int8_partner(quantized[channels])
    stored = {i.name: i for i in load(str(path)).graph.initializer}
    kernels = read_body(quantized[channels].path).weights
    inner = [name for name in kernels if f"{name}/bytes" in stored]
    assert len(kernels) - len(inner) == 2  # the first and the last
    assert all(stored[f"{name}/bytes"].data_type == TensorProto.INT8 for name in inner)


def test_bytes_are_moved_in_runs(quantized) -> None:
    """What ONNX Runtime would do byte by byte is not left to it, see `degrain.train.qdq`."""
    nodes = load(str(int8_partner(quantized[3]))).graph.node
    makers = {node.output[0]: node for node in nodes}
    assert not [node for node in nodes if node.op_type == "DepthToSpace"]
    assert len([node for node in nodes if node.op_type == "Transpose"]) == 3  # of the one shuffle
    updates = read_body(quantized[3].path).updates
    assert updates
    for name in updates:
        (rows,) = (node for node in nodes if node.output[0] == f"{name}/rows/floats")
        assert makers[rows.input[0]].op_type == "Reshape"


def test_another_kind_of_shuffle_is_refused(quantized, tmp_path: Path) -> None:
    path = quantized[1].path
    model = read_body(path).model
    (shuffle, *_) = (node for node in model.graph.node if node.op_type == "DepthToSpace")
    mode = next(item for item in shuffle.attribute if item.name == "mode")
    mode.s = b"CRD"
    save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(ModelError, match="cannot be put into 8 bits"):
        read_body(tmp_path / "other.onnx")


@pytest.mark.parametrize("channels", [1, 3])
def test_an_exported_net_keeps_its_head(channels: int, small_exports, tmp_path: Path) -> None:
    """Its file computes two kernels of one; both must follow when channels are evened out."""
    pictures = write_pictures(tmp_path / "pictures", 3)
    path = tmp_path / "net.onnx"
    shutil.copy(small_exports[channels][1], path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    card = ModelCard("net", "", channels, 48, 4, checksum, "MIT", noise="gaussian:20", path=path)
    write_card(card, path.with_suffix(".toml"))
    assert read_body(path).head == "head.weight"
    card = quantize(str(path), [pictures], steps=5)
    engines = OnnxEngine(path, threads=1), OnnxEngine(int8_partner(card), threads=1, fused=False)
    x = np.moveaxis(grainy(25, (76, 62, channels)), 2, 0)[None]
    whole, eight = (engine.run(x) for engine in engines)
    assert 0 < np.abs(eight - whole).mean() < 0.04 * np.abs(whole - x).mean()


def numbers_of(body: Body, samples: dict[str, np.ndarray]) -> Numbers:
    weights, even, gains = even_out(body, samples)
    scales = {name: tensor_scale(even[name], signed=s) for name, s in body.signed.items()}
    kernels = {name: kernel_scales(weights[name]) for name in body.inner}
    return Numbers(weights, kernels, scales, gains)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_fine_tuned_is_the_network_in_the_file(
    quantized, channels: int, tmp_path: Path
) -> None:
    """PyTorch's answers, rounding included, are the file's, before and after; learning helps."""
    path = quantized[channels].path
    body = read_body(path)
    head, last = str(body.nodes[0].output[0]), str(body.nodes[-1].output[0])
    names = [head, last, *body.signed]
    x = np.stack([np.moveaxis(grainy(s, (48, 40, channels)), 2, 0) for s in (10, 20, 30, 40)])
    found = dict(zip(names, run_for(body.model, names, x), strict=True))

    def rounding_error(numbers: Numbers) -> float:
        net = EightBits(body, numbers)
        heads = torch.from_numpy(found[head] * head_gains(body, numbers))
        with torch.no_grad():
            mine, exact = net(heads).numpy(), net.exact(heads).numpy()
        if numbers is first:
            np.testing.assert_allclose(exact, found[last], atol=1e-4)
        write_qdq(read_body(path), numbers, tmp_path / "eight.onnx")
        (stored,) = run_for(load(str(tmp_path / "eight.onnx")), [last], x)
        error = float(np.square(stored - found[last]).mean())
        # a value between two bytes may go either way, now and then
        assert np.square(mine - stored).mean() < 0.05 * error
        return error

    first = numbers_of(body, {name: by_channel(found[name]) for name in body.signed})
    lessons = Lessons(found[head], np.full(len(x), 1e-4, np.float32))
    tuned = fine_tune(body, first, lessons, steps=100)
    for part in ("weights", "kernel_scales", "scales", "gains"):
        before, after = getattr(first, part), getattr(tuned, part)
        assert all(not np.allclose(after[name], before[name], rtol=1e-4) for name in before), part
    assert rounding_error(tuned) < 0.95 * rounding_error(first)


def test_a_relu_that_never_fires_is_found(quantized, tmp_path: Path) -> None:
    """benchmarks/live_units.py, on a network with and without a block that is dead."""
    card = quantized[1]
    script = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "live_units.py"))
    pictures = tuple(as_bytes(grainy(20, (40, 48, 1))) for _ in range(2))
    alive = script["firing"](str(card.path), pictures, "gaussian:20")
    assert [len(shares) for shares in alive.values()] == [8, 12, 8]
    assert all(0.1 < shares.mean() < 0.9 for shares in alive.values())

    model = load(str(card.path))
    kernel = next(i for i in model.graph.initializer if i.name == "middle.conv0.weight")
    kernel.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(kernel), kernel.name))
    path = tmp_path / "dead.onnx"
    save(model, str(path))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    dead = replace(card, sha256=checksum, int8_model="", int8_sha256="", int8_loss={}, path=path)
    write_card(dead, path.with_suffix(".toml"))
    shares = list(script["firing"](str(path), pictures, "gaussian:20").values())
    assert [bool(s.any()) for s in shares] == [True, False, True]


def by_channel(values_nchw: np.ndarray) -> np.ndarray:
    return np.swapaxes(values_nchw, 0, 1).reshape(values_nchw.shape[1], -1)


def run_for(model: Any, names: list[str], x: np.ndarray) -> list[np.ndarray]:
    """Tensors inside of a model, nothing fused."""
    copy = type(model).FromString(model.SerializeToString())
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = open_session(copy.SerializeToString(), Path("model.onnx"), 1, fused=False)
    answers: list[np.ndarray] = session.run(names, {session.get_inputs()[0].name: x})
    return answers


def test_the_card_names_it(quantized, able) -> None:
    card = quantized[1]
    assert read_card(card.path.with_name("card.toml")) == card
    assert set(card.int8_loss) == {f"gaussian:{level}" for level in LEVELS_255}
    own = load_model(card.path.with_name(card.int8_model))
    assert (own.name, own.halo, own.path.name) == ("small1-int8", card.halo, card.int8_model)
    x = grainy(20)
    np.testing.assert_array_equal(
        Denoiser(own.path, threads=1)(x), Denoiser(card.path, threads=1, precision="int8")(x)
    )


def test_a_damaged_file_is_noticed(quantized, able, tmp_path: Path) -> None:
    card = quantized[1]
    for name in ("model.onnx", "card.toml"):
        (tmp_path / name).write_bytes(card.path.with_name(name).read_bytes())
    (tmp_path / card.int8_model).write_bytes(b"bytes")
    with pytest.raises(ModelError, match=r"8-bit work.*damaged"):
        Denoiser(tmp_path / "model.onnx", precision="int8")(grainy(20))
    Denoiser(tmp_path / "model.onnx", precision="float")(grainy(20))


def test_what_cannot_be_quantized(quantized, tmp_path: Path, capsys) -> None:
    card = quantized[1]
    pictures = write_pictures(tmp_path / "pictures", 2)
    with pytest.raises(UsageError, match="8 bits already"):
        quantize(str(card.path.with_name(card.int8_model)), [pictures])
    with pytest.raises(UsageError, match="--data"):
        quantize(str(card.path), [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="No pictures in"):
        quantize(str(card.path), [tmp_path / "empty"])
    with pytest.raises(TrainingError, match="too few"):
        quantize(str(card.path), [write_pictures(tmp_path / "one", 1)])
    with pytest.raises(ModelError, match="cannot be put into 8 bits"):
        quantize("jain-seung-cnblind", [pictures])
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(card.path.read_bytes())
    with pytest.raises(UsageError, match="has no card"):
        quantize(str(bare), [pictures])
    write_card(replace(card, noise="the pairs it was trained on"), bare.with_suffix(".toml"))
    with pytest.raises(UsageError, match="--noise"):
        quantize(str(bare), [pictures])
    with pytest.raises(UsageError, match="--steps -1"):
        quantize(str(card.path), [pictures], steps=-1)
    with pytest.raises(UsageError, match="Unknown noise 'rain'"):
        quantize(str(card.path), [pictures], noise=["rain"])
    assert main(["quantize", str(card.path)]) == 2
    assert "--data" in capsys.readouterr().err


def test_the_command(quantized, tmp_path: Path, capsys) -> None:
    for name in ("model.onnx", "card.toml"):
        (tmp_path / name).write_bytes(quantized[3].path.with_name(name).read_bytes())
    pictures = write_pictures(tmp_path / "pictures", 2)
    words = ["quantize", str(tmp_path / "model.onnx"), "--data", str(pictures)]
    assert main([*words, "--noise", "poisson:30"]) == 0
    said = capsys.readouterr()
    assert "poisson:30" in said.out
    assert not said.err  # bars are for terminals
    card = read_card(tmp_path / "card.toml")
    assert int8_partner(card).name == "model.int8.onnx"
    assert "poisson:30" in card.int8_loss


def test_the_old_version_stays_until_the_new_one_is_measured(
    quantized, tmp_path: Path, monkeypatch
) -> None:
    for name in ("model.onnx", "card.toml", "model.int8.onnx"):
        (tmp_path / name).write_bytes(quantized[1].path.with_name(name).read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    pictures = write_pictures(tmp_path / "pictures", 2)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("degrain.train.quantize.measure_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantize(str(tmp_path / "model.onnx"), [pictures], noise=["poisson:30"], steps=0)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


def test_one_small_picture_does_not_make_all_lessons_small(quantized) -> None:
    packed = Pack(
        ("small", "large"),
        (0, 0),
        (np.full((8, 8, 1), 90, np.uint8), as_bytes(grainy(9))[..., None]),
    )
    card = quantized[1]
    body = read_body(card.path)
    lessons = _lessons(Probe(body, card), packed, ["gaussian:25"], 3)
    assert lessons.heads.shape[2] > 8 // 2


@pytest.mark.parametrize(("steps", "crops"), [(1, 4), (5, 5), (100, 6)])
def test_there_are_as_many_lessons_as_steps_within_bounds(
    quantized, monkeypatch: pytest.MonkeyPatch, steps: int, crops: int
) -> None:
    monkeypatch.setattr("degrain.train.quantize.CROPS", 4)
    monkeypatch.setattr("degrain.train.quantize.MOST_CROPS", 6)
    packed = Pack(("one",), (0,), (as_bytes(grainy(9))[..., None],))
    probe = Probe(read_body(quantized[1].path), quantized[1])
    assert len(_lessons(probe, packed, ["gaussian:25"], steps).heads) == crops


def test_noises_take_turns(quantized, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("degrain.train.quantize.CROPS", 4)
    monkeypatch.setattr("degrain.train.quantize.SUITS_255", 0.0)  # the contrast stays
    packed = Pack(("even",), (0,), (np.full((80, 80, 1), 128, np.uint8),))
    probe = Probe(read_body(quantized[1].path), quantized[1])
    lessons = _lessons(probe, packed, ["gaussian:2", "gaussian:60"], 4)
    strengths = lessons.heads.std((2, 3)).max(1)
    assert min(strengths[1::2]) > 2 * max(strengths[::2])
    # a nearly clean crop does not count a thousand times as much as a noisy one
    assert lessons.errors.min() >= LEAST_ERROR


def test_gains_of_channels_change_nothing_but_the_rounding(quantized) -> None:
    """Learned ones are built into kernels and scales; in floats the network stays what it was."""
    body = read_body(quantized[1].path)
    samples = Probe(body, quantized[1]).ask(grainy(20, (48, 40, 1)), list(body.signed))
    first = numbers_of(body, {n: by_channel(x) for n, x in zip(body.signed, samples, strict=True)})
    net = EightBits(body, first)
    with torch.no_grad():
        for k, gain in enumerate(net.gains):
            gain += 0.5 * torch.randn(gain.shape, generator=torch.Generator().manual_seed(k))
    changed = EightBits(body, net.numbers())
    heads = torch.randn(1, body.channels[str(body.nodes[0].output[0])], 16, 24) / 10
    with torch.no_grad():
        wanted, rounded = net.exact(heads), net(heads)
        heads *= torch.from_numpy(head_gains(body, net.numbers()) / head_gains(body, first))
        torch.testing.assert_close(changed.exact(heads), wanted, rtol=1e-4, atol=1e-6)
        # the same steps for the same values
        torch.testing.assert_close(changed(heads), rounded, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(EightBits(body, first)(heads), rounded, rtol=1e-3, atol=1e-4)


def test_lessons_and_ranges_see_the_contrast_that_the_network_will(
    quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("degrain.train.quantize.CROPS", 4)
    packed = Pack(("one",), (0,), (as_bytes(grainy(9))[..., None],))
    body = read_body(quantized[1].path)
    probe = Probe(body, quantized[1])
    found = {}
    for suits in (0.0, SUITS_255):  # 0: as it is
        monkeypatch.setattr("degrain.train.quantize.SUITS_255", suits)
        lessons = _lessons(probe, packed, ["gaussian:100"], 1)
        samples = _samples(body, probe, packed, ["gaussian:100"])
        found[suits] = [
            lessons.heads.std(),
            lessons.errors.mean() ** 0.5,
            *map(np.std, samples.values()),
        ]
    ratios = np.divide(found[SUITS_255], found[0.0])
    np.testing.assert_allclose(ratios, LEAST, rtol=0.02)


@pytest.mark.parametrize(
    ("loss", "levels"),
    [
        (LOSS, (14.375, 27.7027)),
        (LOSS | {"gaussian:15": 0.3}, (24.2593, 27.7027)),
        (LOSS | {"gaussian:5": 0.05}, (5, 27.7027)),
        ({"gaussian:25": 0.03, "gaussian:15": 0.01}, (15, 25)),
        ({"gaussian:25": 0.03}, (25, 25)),
        (dict.fromkeys(LOSS, 1.0), None),
        ({"camera": 0.0}, None),
        ({}, None),
    ],
)
def test_levels_at_which_little_is_lost(loss, levels) -> None:
    card = ModelCard("x", "", 1, 1, 1, "", "MIT", int8_model="y.onnx", int8_loss=loss)
    assert good_levels(card) == (levels and pytest.approx(levels, rel=1e-4))
    assert good_levels(replace(card, int8_model="")) is None


def test_auto_needs_noise_bytes_and_a_processor(monkeypatch) -> None:
    card = ModelCard("x", "", 1, 1, 1, "", "MIT", int8_model="y.onnx", int8_loss=LOSS)
    pages = {sigma: as_bytes(grainy(sigma))[..., None] for sigma in (0, 5, 20, 60)}
    monkeypatch.setattr(precision, "has_byte_products", lambda: True)
    assert {s: choose_precision(card, page, s) for s, page in pages.items()} == {
        0: "float",
        5: "float",
        20: "int8",
        60: "float",
    }
    assert choose_precision(card, 257 * pages[20].astype(np.uint16), 20) == "float"
    assert choose_precision(card, grainy(20)[..., None], 20) == "float"
    for answer in (False, None):
        monkeypatch.setattr(precision, "has_byte_products", lambda answer=answer: answer)
        assert choose_precision(card, pages[20], 20) == "float"


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", "processor : 0\nflags\t: fpu avx512_vnni sse\n", True),
        ("x86_64", "flags : avx_vnni\n", True),
        ("x86_64", "flags : fpu avx512f\nbugs : avx_vnni\n", False),
        ("x86_64", None, None),
        ("arm64", "flags : avx_vnni\n", None),
    ],
)
def test_processors(tmp_path: Path, monkeypatch, machine, text, expected) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    assert has_byte_products.__wrapped__() is expected


def test_impossible_precisions(able, monkeypatch) -> None:
    with pytest.raises(UsageError, match="auto, float or int8"):
        Denoiser(precision="half")
    with pytest.raises(UsageError, match="no 8-bit version"):
        Denoiser("jain-seung-cnblind", precision="int8")(grainy(20))
    monkeypatch.setattr(precision, "has_byte_products", lambda: False)
    with pytest.raises(UsageError, match="VNNI"):
        Denoiser(precision="int8")


def test_the_8_bit_version_can_be_told_the_noise(quantized, able) -> None:
    x = as_bytes(grainy(20))
    model = quantized[1].path
    told, exact = (Denoiser(model, precision=p)(x, sigma=30) for p in ("int8", "float"))
    blind = Denoiser(model, precision="int8")(x)
    near, far = (np.abs(told.astype(float) - other).mean() for other in (exact, blind))
    assert near < far


def test_the_command_says_which_one_ran(
    quantized, able, tmp_path: Path, capsys, monkeypatch
) -> None:
    loss = {"gaussian:15": 0.01, "gaussian:50": 0.01}
    for name in ("model.onnx", "model.int8.onnx"):
        (tmp_path / name).write_bytes(quantized[1].path.with_name(name).read_bytes())
    write_card(replace(quantized[1], int8_loss=loss), tmp_path / "card.toml")
    source = tmp_path / "in.png"
    files.write(Picture(pages=(as_bytes(grainy(25))[..., None],)), source)
    words = ["denoise", str(source), "--model", str(tmp_path / "model.onnx"), "--overwrite"]
    made = {}
    for wanted, ran in (("auto", "int8"), ("int8", "int8"), ("float", "float")):
        assert main([*words, "--json", "--precision", wanted]) == 0
        assert json.loads(capsys.readouterr().out)["precision"] == ran
        made[wanted] = files.read(tmp_path / "in.denoised.png").pages[0]
    np.testing.assert_array_equal(made["auto"], made["int8"])
    assert (made["int8"] != made["float"]).any()
    # The command estimates the noise itself, once; that is enough for the choice.
    monkeypatch.setattr("degrain.versions.noise_level_255", None)
    assert main(words) == 0
    assert "(int8)" in capsys.readouterr().out
    words[words.index("--model") + 1] = "degrain-gray"
    # Told less than it has, the network still sees all of its noise.
    for level, ran in (("25", "int8"), ("1", "int8"), ("70", "float")):
        assert main([*words, "--json", "--sigma", level]) == 0
        assert json.loads(capsys.readouterr().out)["precision"] == ran


def test_scales_have_the_least_error() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(4000).astype(np.float32)
    values[0] = 40
    for signed, high in ((True, 127), (False, 255)):
        sign = values if signed else np.abs(values)
        scale = tensor_scale(sign, signed=signed)

        def error(s: float, sign=sign, signed=signed) -> float:
            low, top = (-128, 127) if signed else (0, 255)
            return float(np.square(np.clip(np.rint(sign / s), low, top) * s - sign).mean())

        assert error(scale) <= min(error(scale * 0.8), error(scale * 1.25), error(40 / high))
    kernel = rng.standard_normal((3, 2, 3, 3)).astype(np.float32) * np.float32([[[[1]]]])
    kernel[1] *= 100
    scales = kernel_scales(kernel)
    assert scales[1] > 30 * max(scales[0], scales[2])
    assert np.isfinite(kernel_scales(np.zeros((2, 2, 3, 3), np.float32))).all()


def test_the_shipped_nets_have_an_8_bit_version() -> None:
    kinds = ("gray", "color", "photo", "gray-fast", "color-fast", "photo-fast")
    assert {f"degrain-{kind}" for kind in kinds} == set(WITH_INT8)


@pytest.mark.parametrize("name", WITH_INT8)
def test_shipped_8_bit_versions_keep_their_promise(name: str) -> None:
    """As docs/how-to/twice-as-fast.md has it."""
    card = load_model(name)
    assert int8_partner(card).stat().st_size < 1.2 * card.parameters
    assert all(card.int8_loss[f"gaussian:{level}"] <= 0.05 for level in (15, 25, 50))
    levels = good_levels(card)
    assert levels is not None
    assert levels[0] <= 15
    assert levels[1] >= 50


@adds_up_bytes
@pytest.mark.parametrize("name", WITH_INT8)
class TestShipped:
    def test_close_to_the_golden_vector(self, name: str) -> None:
        from test_golden import GOLDEN, load_maker

        channels = load_model(name).channels
        with np.load(GOLDEN / f"{name}.npz") as stored:
            expected = stored["answer"]
        given = load_maker().fixed_picture(channels)
        fresh = Denoiser(name, precision="int8", threads=1)(given)
        assert 0 < np.sqrt(np.square(fresh - expected).mean()) < 0.005

    def test_tiles_equal_the_whole(self, name: str) -> None:
        """Scales are fixed, so tiles differ by single steps of single values at most."""
        card = load_model(name)
        x = grainy(20, (400, 420, card.channels))
        steps: list[float] = []
        whole = Denoiser(name, threads=1, precision="int8")(x)
        little = LIBRARY_MB + card.memory_bytes_per_pixel // 9
        tiled = Denoiser(name, threads=1, precision="int8", memory_mb=little)(
            x, on_progress=steps.append
        )
        assert len(steps) > 3
        moved = np.abs(tiled - whole)
        assert moved.max() < 1 / 255
        assert (moved > 1e-5).mean() < 1e-3

    def test_the_halo_holds(self, name: str) -> None:
        card = load_model(name)
        engine = OnnxEngine(int8_partner(card), threads=1)
        rng = np.random.default_rng(0)
        strip = rng.random((1, card.channels, 32, 288), dtype=np.float32)
        other = strip.copy()
        other[..., 160:] += 1e3 * rng.standard_normal(other[..., 160:].shape, np.float32)
        changed = (engine.run(strip) != engine.run(other)).any(axis=(0, 1, 2))
        assert 160 - card.halo <= np.flatnonzero(changed)[0] < 160
