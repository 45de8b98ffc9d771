"""The experiment jain-seung on tiny pictures, with stand-ins for the networks of the paper."""

from __future__ import annotations

import hashlib
import json
import math
import statistics

import numpy as np
import pytest

from degrain import files
from degrain.bench import clock, figures, jain_seung, kernels, paired
from degrain.bench.experiments import EXPERIMENTS, find_experiment
from degrain.bench.methods import open_method
from degrain.bench.randomize import randomized
from degrain.bench.run import read_rows, run_suite
from degrain.bench.suites import make_suite
from degrain.cli import main
from degrain.errors import MissingPackageError, ModelError, PictureError, UsageError
from degrain.picture import Picture
from degrain.zoo.card import ModelCard, write_card
from degrain.zoo.store import load_model

NAMES = (
    *(f"jain-seung-{net}-{sigma}" for net in ("cn1", "cn2") for sigma in (25, 50, 100)),
    "jain-seung-cnblind",
)
MAPS, SEEN, SIDE = 6, 2, 5


def sparse_graph(seed):
    """Two hidden layers and an output like the paper's: sparse kernels, −1 around, logistic."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    weights = {
        "head.weight": rng.normal(0, 0.4, (MAPS, 1, SIDE, SIDE)),
        "inner.0.weight": rng.normal(0, 0.3, (MAPS, SEEN, SIDE, SIDE)),
        "tail.weight": rng.normal(0, 0.1, (1, MAPS, SIDE, SIDE)),
        "head.bias": np.zeros(MAPS),
        "inner.0.bias": rng.normal(0, 0.1, MAPS),
        "tail.bias": rng.normal(0, 0.1, 1),
        "outside": np.array(-1.0),
        "zeros": np.zeros((MAPS, MAPS, SIDE, SIDE)),
    }
    seen = np.stack([rng.permutation(MAPS)[:SEEN] for _ in range(MAPS)])
    places = np.broadcast_to(seen[:, :, None, None], (MAPS, SEEN, SIDE, SIDE))
    pads = np.array([0, 0, 6, 6, 0, 0, 6, 6])
    node = helper.make_node
    nodes = [
        node("Pad", ["noisy", "pads", "outside"], ["padded"]),
        node("Conv", ["padded", "head.weight", "head.bias"], ["a"]),
        node("Sigmoid", ["a"], ["b"]),
        node("ScatterElements", ["zeros", "places", "inner.0.weight"], ["dense"], axis=1),
        node("Conv", ["b", "dense", "inner.0.bias"], ["c"]),
        node("Sigmoid", ["c"], ["d"]),
        node("Conv", ["d", "tail.weight", "tail.bias"], ["e"]),
        node("Sigmoid", ["e"], ["clean"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"])
        for name in ("noisy", "clean")
    ]
    stored = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    stored += [numpy_helper.from_array(places.copy(), "places")]
    stored += [numpy_helper.from_array(pads, "pads")]
    graph = helper.make_graph(nodes, "sparse", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def save_sparse(folder, seed):
    import onnx

    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(sparse_graph(seed), str(path))
    card = ModelCard(
        name=folder.name,
        summary="a stand-in",
        channels=1,
        halo=6,
        multiple_of=1,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        license="Apache-2.0",
        path=path,
    )
    write_card(card, folder / "card.toml")


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jain-seung")
    for seed, name in enumerate(NAMES):
        save_sparse(folder / name, seed)
    return folder


@pytest.fixture
def zoo(zoo_folder, monkeypatch):
    monkeypatch.setenv("DEGRAIN_MODELS", str(zoo_folder))
    return zoo_folder


def save_pictures(folder, count):
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(count):
        pixels = rng.integers(40, 220, (40, 56, 3), dtype=np.uint8)
        pixels[:, :, 1:] //= 2  # averaging and luma differ
        files.write(Picture(pages=(pixels,)), folder / f"p{number}.png")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "clean", 3)


@pytest.fixture(scope="session")
def results(zoo_folder, data, tmp_path_factory):
    """One whole run; the reference is one of the networks, so that no package is needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEGRAIN_MODELS", str(zoo_folder))
        patch.setattr(clock, "FFT_SIDE", 64)
        patch.setattr(jain_seung, "CLOCK_SIDE_PX", 64)
        folder = tmp_path_factory.mktemp("results")
        words = ["bench", "jain-seung", "--data", str(data), "-o", str(folder), "--quick"]
        assert main([*words, "--quiet", "--threads", "1", "--method", "jain-seung-cnblind"]) == 0
    return folder


def table(results, name):
    """Cells of a block's table: first cell -> the others."""
    text = (results / "report.md").read_text("utf-8")
    block = text.split(f"<!-- block {name} -->")[1].split(f"<!-- end {name} -->")[0]
    lines = [line.strip("| ").split(" | ") for line in block.splitlines() if line[:1] == "|"]
    return {cells[0]: cells[1:] for cells in lines[2:]}


def psnr(results, method, sigma):
    return {
        row["picture"]: row["psnr"]
        for row in read_rows(results / "results.jsonl")
        if row["method"] == method and row["noise"] == f"gaussian:{sigma}"
    }


def test_rows_are_the_papers_protocol(results):
    rows = read_rows(results / "results.jsonl")
    assert {row["noise"] for row in rows} == {"gaussian:25", "gaussian:50", "gaussian:100"}
    assert len({row["rules"] for row in rows}) == 1
    assert "gray (average); noisy picture as floats, not clipped" in rows[0]["rules"]
    # noisy, CN1, CN2, CNBlind at each noise; two parts at random with two draws
    assert len(rows) == 3 * (3 * 4 + 4)
    used = {row["method"] for row in rows if row["noise"] == "gaussian:100"}
    assert used == {"noisy", NAMES[2], NAMES[5], NAMES[6]}


def test_tables_agree_with_the_rows(results):
    found = table(results, "fig2")
    for column, sigma in enumerate((25, 50, 100)):
        values = list(psnr(results, f"jain-seung-cn2-{sigma}", sigma).values())
        error = statistics.stdev(values) / math.sqrt(3)
        assert found["CN2"][column] == f"{statistics.fmean(values):.2f} ± {error:.2f} (3)"
        base = psnr(results, "jain-seung-cnblind", sigma)
        own = psnr(results, f"jain-seung-cn1-{sigma}", sigma)
        mean = statistics.fmean(own[name] - base[name] for name in own)
        assert table(results, "fig2-paired")["CN1"][column].startswith(f"{mean:+.2f} ± ")
    noisy = statistics.fmean(psnr(results, "noisy", 50).values())
    assert found["noisy"][1].startswith(f"{noisy:.2f} ")
    assert noisy == pytest.approx(14.15, abs=0.3)


def test_random_layers_in_the_report(results):
    found = table(results, "random")
    trained = statistics.fmean(psnr(results, "jain-seung-cn2-50", 50).values())
    assert found["jain-seung-cn2-50, as trained"][1] == f"{trained:.2f}"
    names = [f"jain-seung-cn2-50, last layer random, draw {draw}" for draw in (0, 1)]
    means = [statistics.fmean(psnr(results, name, 50).values()) for name in names]
    expected = f"{statistics.fmean(means):.2f} ({min(means):.2f} … {max(means):.2f})"
    assert found["last layer random (2 draws)"][1] == expected


def test_times_in_the_report(results):
    stored = json.loads((results / "clock.json").read_text())["times"]
    assert stored[0]["method"] == clock.REFERENCE
    assert {(row["method"], row["threads"]) for row in stored[1:]} >= {
        (NAMES[0], 1),
        (NAMES[0], 2),
        ("degrain-gray", 1),
    }
    assert all(row["fastest"] <= row["seconds"] <= row["slowest"] for row in stored)
    assert f"| {stored[1]['seconds']:.3f} |" in (results / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "channels"), [("fig2", 3), ("fig2-paired", 3), ("fig3", 1), ("fig4", 3)]
)
def test_figures_are_there(results, name, channels):
    path = results / f"{name}.png"
    page = files.read(path).pages[0]
    assert page.shape[2] == channels
    assert 600 < page.shape[1] < 1100
    assert 100 < page.shape[0] < 1100
    assert path.stat().st_size < 150_000
    assert page.std() > 5
    assert (page == 255).all(axis=2).mean() > 0.1


def test_a_second_run_measures_nothing_and_draws_the_same(results, data, zoo, monkeypatch, capsys):
    monkeypatch.setattr(clock, "FFT_SIDE", 64)
    monkeypatch.setattr(jain_seung, "CLOCK_SIDE_PX", 64)
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    words = ["bench", "jain-seung", "--data", str(data), "-o", str(results), "--quick", "--quiet"]
    assert main([*words, "--threads", "1", "--method", "jain-seung-cnblind"]) == 0
    assert capsys.readouterr().out.strip() == str(results / "report.md")
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def test_without_the_optional_package(data, zoo, tmp_path, monkeypatch, capsys):
    """BM3D missing and CN2 missing: both are said, the rest is done."""

    def missing(name, **wishes):
        if name == "bm3d":
            msg = "This method needs the package bm3d; pip install bm3d."
            raise MissingPackageError(msg)
        return open_method(name, **wishes)

    monkeypatch.setattr(jain_seung, "open_method", missing)
    monkeypatch.setattr(clock, "FFT_SIDE", 64)
    monkeypatch.setattr(jain_seung, "CLOCK_SIDE_PX", 64)
    monkeypatch.setattr(
        jain_seung, "has_model", lambda name: "cn2" not in name and name.startswith("jain")
    )
    words = ["bench", "jain-seung", "--data", str(data), "-o", str(tmp_path / "r"), "--quick"]
    assert main([*words, "--quiet", "--threads", "1", "--limit", "1"]) == 0
    said = capsys.readouterr().err
    assert "BM3D is left out" in said
    assert "jain-seung-cn2-25, jain-seung-cn2-50" in said or "jain-seung-cn2-100" in said
    text = (tmp_path / "r" / "report.md").read_text("utf-8")
    assert "BM3D is left out" in text
    assert "no paired differences" in text
    assert "| CN2 |" not in text
    assert not (tmp_path / "r" / "fig2-paired.png").exists()
    assert (tmp_path / "r" / "fig3.png").exists()


def test_bad_wishes(data, zoo, tmp_path, capsys, monkeypatch):
    def said(*words):
        code = main(["bench", *words, "--data", str(data), "-o", str(tmp_path / "r"), "--quiet"])
        return code, capsys.readouterr().err

    assert said("jain-sung")[0] == 2
    assert "did you mean jain-seung" in said("jain-sung")[1]
    assert (
        "leave out --noise and --protocol"
        in (said("jain-seung", "--noise", "gaussian:9", "--protocol", "clip8")[1])
    )
    assert said("jain-seung", "--method", "nothing")[0] == 2
    assert "--limit 0 makes no sense" in said("jain-seung", "--limit", "0", "--method", "noisy")[1]
    assert "--limit 0 makes no sense" in said("gray", "--limit", "0")[1]
    (tmp_path / "r").write_text("")
    assert "give a folder" in said("jain-seung")[1]
    monkeypatch.setattr(jain_seung, "has_model", lambda name: False)
    monkeypatch.setattr(jain_seung, "_check", lambda wishes: None)
    assert "None of the networks" in said("jain-seung")[1]


def test_nothing_could_be_denoised(zoo, tmp_path, capsys):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    words = ["bench", "jain-seung", "--data", str(folder), "-o", str(tmp_path / "r"), "--quiet"]
    assert main([*words, "--quick", "--method", "noisy"]) == 1
    rows = read_rows(tmp_path / "r" / "results.jsonl")
    assert {row["status"] for row in rows} == {"failed"}
    assert "No picture could be denoised" in capsys.readouterr().err
    assert not (tmp_path / "r" / "report.md").exists()


def test_experiments_are_found_by_name():
    assert find_experiment("jain-seung") is EXPERIMENTS["jain-seung"]
    with pytest.raises(UsageError, match="did you mean gray"):
        find_experiment("grey")


def test_processes_measure_the_same(data, zoo, tmp_path):
    suite = make_suite(data, gray=True, noise=["gaussian:25", "gaussian:50"])
    names = ["noisy", NAMES[0]]
    alone, together = tmp_path / "alone.jsonl", tmp_path / "together.jsonl"
    assert run_suite(suite, names, alone, threads=1, quiet=True) == 0
    assert run_suite(suite, names, together, threads=1, processes=2, quiet=True) == 0

    def quality(file):
        rows = read_rows(file)
        return {(r["method"], r["picture"], r["noise"]): r["psnr"] for r in rows}

    assert len(quality(alone)) == 12
    assert quality(alone) == quality(together)
    assert run_suite(suite, names, together, threads=1, processes=2, quiet=True) == 0
    assert len(read_rows(together)) == 12


def test_paired_differences():
    first = {"a": 30.0, "b": 28.0, "c": 31.0, "only here": 99.0}
    second = {"a": 29.0, "b": 28.5, "c": 29.0}
    found = paired.paired(first, second)
    assert found.values == {"a": 1.0, "b": -0.5, "c": 2.0}
    assert found.mean.value == pytest.approx(2.5 / 3)
    assert found.mean.error == pytest.approx(statistics.stdev([1, -0.5, 2]) / math.sqrt(3))
    assert found.low == pytest.approx(-0.5)  # of 27 resamples one is the worst thrice: 3.7 %
    assert found.high == pytest.approx(2.0)
    assert math.isnan(paired.paired({"a": 1.0}, {"a": 0.0}).low)


def test_bootstrap_interval_covers_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        values = {str(i): v for i, v in enumerate(rng.normal(1.0, 1.0, 20))}
        found = paired.paired(values, dict.fromkeys(values, 0.0))
        hits += found.low <= 1.0 <= found.high
    assert 50 <= hits <= 59


def test_kernels_of_sparse_layers(zoo):
    card = load_model(NAMES[0])
    layers = kernels.read_layers(card.path)
    assert [layer.name for layer in layers] == ["head.weight", "inner.0.weight", "tail.weight"]
    assert [layer.count for layer in layers] == [MAPS, MAPS * SEEN, MAPS]
    picture, text = kernels.mosaic(layers[1])
    assert picture.shape == (SEEN * 6 - 1, MAPS * 6 - 1)
    assert text == "6 maps, 12 filters of 5×5"
    assert np.isnan(picture[5]).all()
    assert np.nanmax(np.abs(picture[:, :5])) == pytest.approx(1)
    strongest = np.abs(layers[1].filters[0]).max()
    assert picture[:5, :5] == pytest.approx(layers[1].filters[0][0] / strongest)


def test_dense_kernels_leave_out_what_is_zero_and_show_the_strongest():
    weights = np.zeros((30, 20, 3, 3), np.float32)
    weights[:, :12, 1, 1] = np.arange(1, 13)
    layer = kernels.Layer("w", tuple(of_map[of_map.any(axis=(1, 2))] for of_map in weights))
    assert layer.count == 360
    picture, text = kernels.mosaic(layer)
    assert picture.shape == (8 * 4 - 1, 24 * 4 - 1)
    assert picture[1, 1] == pytest.approx(5 / 12)  # the weakest of the strongest eight
    assert "the strongest 8 of each of the first 24 maps" in text


def test_filters_of_any_model(tmp_path, zoo, capsys):
    for name in (NAMES[6], "degrain-gray", "degrain-color"):
        target = tmp_path / f"{name}.png"
        assert main(["bench", "filters", name, "-o", str(target)]) == 0
        assert files.read(target).pages[0].std() > 5
        assert str(target) in capsys.readouterr().out
    assert main(["bench", "filters", NAMES[0], "-o", str(tmp_path / "x.jpg")]) == 2
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="no readable"):
        kernels.read_layers(tmp_path / "no.onnx")


def test_random_layers_change_what_they_should(zoo):
    import onnx
    from onnx import numpy_helper

    from degrain.bench import randomize

    card = load_model(NAMES[4])

    def tensors(data):
        graph = onnx.load_from_string(data).graph
        return {item.name: numpy_helper.to_array(item) for item in graph.initializer}

    before = tensors(card.path.read_bytes())
    last = tensors(randomize._random_model(card.path, "last", 0))
    every = tensors(randomize._random_model(card.path, "all", 0))
    changed = {name for name in before if not np.array_equal(before[name], last[name])}
    assert changed == {"tail.weight", "tail.bias"}
    changed = {name for name in before if not np.array_equal(before[name], every[name])}
    # a bias of zeros has no size to draw from
    assert changed == {n for n in before if n.endswith((".weight", ".bias"))} - {"head.bias"}
    trained, drawn = before["inner.0.weight"], every["inner.0.weight"]
    assert drawn.std() == pytest.approx(trained.std(), rel=0.2)

    noisy = np.random.default_rng(0).random((24, 20), np.float32)
    results = [randomized(card, "last", draw, threads=1).denoise(noisy, 0) for draw in (0, 0, 1)]
    assert np.array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-3


def test_typical_picture_is_the_median():
    rows = [
        {"picture": name, "noise": "gaussian:50", "status": "ok", "method": "m", "psnr": value}
        for name, value in {"a": 20.0, "b": 30.0, "c": 25.0}.items()
    ]
    findings = jain_seung.Findings(None, {"CN2": {50: "m"}}, (), rows, ())
    assert jain_seung.typical_picture(findings) == "c"
    with pytest.raises(PictureError, match="failed rows"):
        jain_seung.typical_picture(jain_seung.Findings(None, {"CN2": {50: "m"}}, (), [], ()))


def test_busiest_box():
    clean = np.zeros((64, 80), np.float32)
    clean[40:56, 16:32] = np.repeat(np.random.default_rng(0).random((16, 4)), 4, axis=1)
    clean[40:56, 16:32].sort(axis=0)
    clean[:16, :16] = np.indices((16, 16)).sum(0) % 2  # fine texture, gone after averaging
    top, left, side = figures.busiest_box(clean, 20)
    assert side == 20
    assert 36 <= top <= 40
    assert 12 <= left <= 16
    assert figures.busiest_box(clean[:10, :9], 16) == (0, 0, 9)


def test_square_picture_mirrors_and_cuts():
    clean = np.arange(12, dtype=np.float32).reshape(3, 4)
    square = clock.square_picture(clean, 5)
    assert square.shape == (5, 5)
    assert np.array_equal(square[:3, :4], clean)
    assert np.array_equal(square[3, :4], clean[2])
    assert np.array_equal(clock.square_picture(clean, 2), clean[:2, :2])


def test_bm3d_where_it_is_installed(data):
    pytest.importorskip("bm3d")
    suite = make_suite(data, gray=True, conversion="average", noise=["gaussian:25"])
    flat = np.full((24, 24), 0.5, np.float32)
    noisy = suite.noisy(flat, "flat", "gaussian:25")
    method = open_method("bm3d", gray=True)
    clean, known = method.run(noisy, "gaussian:25")
    assert known == "told"
    assert clean.dtype == np.float32
    assert np.abs(clean - flat).mean() < 0.25 * np.abs(noisy - flat).mean()
    assert np.array_equal(clean, method.run(noisy, "gaussian:25")[0])


def test_slow_methods_are_timed_less_often(zoo, monkeypatch):
    monkeypatch.setattr(clock, "FFT_SIDE", 16)
    noisy = np.zeros((16, 16), np.float32)
    asked = {"threads": (1,), "runs": 4}
    rows = clock.clock(noisy, "gaussian:25", ["noisy", NAMES[0]], **asked)
    assert [(row["method"], row["runs"]) for row in rows] == [
        (clock.REFERENCE, 4),
        ("noisy", 4),
        (NAMES[0], 4),
    ]
    assert rows[0]["ratio"] == 1
    assert rows[2]["ratio"] > rows[1]["ratio"]
    monkeypatch.setattr(clock, "SLOW_SECONDS", -1.0)
    assert clock.clock(noisy, "gaussian:25", ["noisy"], **asked)[1]["runs"] == 2


def test_page_is_filled_from_the_results(results, tmp_path):
    import runpy
    from pathlib import Path

    root = Path(__file__).parent.parent
    page = tmp_path / "docs" / "explanation" / "jain-seung-2008.md"
    page.parent.mkdir(parents=True)
    page.write_text((root / "docs/explanation/jain-seung-2008.md").read_text("utf-8"), "utf-8")
    fill = runpy.run_path(str(root / "benchmarks" / "fill_page.py"))["fill"]
    text, missing = fill(page, [results])
    assert missing == ["mean-field"]
    other = tmp_path / "other"
    other.mkdir()
    block = "<!-- block mean-field -->\nall of them\n<!-- end mean-field -->\n"
    (other / "report.md").write_text(block, "utf-8")
    text, missing = fill(page, [results, other])
    assert missing == []
    assert "\nall of them\n" in text
    assert f"| CN2 | {' | '.join(table(results, 'fig2')['CN2'])} |" in text
    for name in ("fig2", "fig2-paired", "fig3", "fig4"):
        assert f"](../images/jain-seung-2008/{name}.png)" in text
        assert (page.parent / f"../images/jain-seung-2008/{name}.png").is_file()
    page.write_text(text, "utf-8")
    assert fill(page, [results, other]) == (text, [])
