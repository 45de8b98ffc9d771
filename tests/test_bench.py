import json

import numpy as np
import pytest

from degrain.bench.methods import open_method
from degrain.bench.report import report
from degrain.bench.run import read_rows, run
from degrain.bench.suites import make_suite, to_gray
from degrain.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    import pyvips

    data = tmp_path / "clean"
    data.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = rng.integers(60, 200, (24, 32, 3), dtype=np.uint8)
        picture = pyvips.Image.new_from_memory(pixels.tobytes(), 32, 24, 3, "uchar")
        picture.copy(interpretation="srgb").write_to_file(str(data / f"{name}.png"))
    return data


def bench(folder, **wishes):
    defaults = {
        "noise": ["gaussian:25", "gaussian:50"],
        "methods": ["noisy"],
        "results": folder.parent / "results",
        "gray": True,
        "quiet": True,
    }
    return run(folder, **{**defaults, **wishes})


def rows(folder):
    return read_rows(folder.parent / "results" / "results.jsonl")


def test_rows_and_report(folder):
    progress = []
    assert bench(folder, on_progress=progress.append) == 0
    found = rows(folder)
    assert len(found) == 6
    assert progress == pytest.approx([n / 6 for n in range(1, 7)])
    quality = np.mean([row["psnr"] for row in found if row["noise"] == "gaussian:25"])
    assert quality == pytest.approx(20.17, abs=0.3)
    text = report(folder.parent / "results")
    assert f"{quality:.2f} ± " in text
    assert "(3)" in text
    assert "seed 0" in text
    assert "**Published** on BSD68" in text
    assert "29.16" in text


def test_what_is_there_is_not_measured_again(folder):
    bench(folder, noise=["gaussian:25"])
    before = rows(folder)
    bench(folder)
    assert rows(folder)[: len(before)] == before
    assert len(rows(folder)) == 6
    bench(folder)
    assert len(rows(folder)) == 6


def test_goes_on_after_a_crash_within_a_line(folder):
    bench(folder)
    file = folder.parent / "results" / "results.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-40])
    bench(folder)
    again = rows(folder)
    assert len(again) == 6
    assert [row["psnr"] for row in again] == [
        json.loads(line)["psnr"] for line in whole.splitlines()
    ]


def test_failed_picture_is_marked_and_tried_again(folder):
    (folder / "b.png").write_bytes(b"no picture")
    assert bench(folder) == 2
    failed = [row for row in rows(folder) if row["status"] == "failed"]
    assert {row["picture"] for row in failed} == {"b.png"}
    assert len(rows(folder)) == 6
    measured = report(folder.parent / "results").split("**Published**")[0].splitlines()
    line = next(line for line in measured if line.startswith("| noisy |"))
    assert line.count("(2)") == 2
    assert line.endswith("| 2 |")
    assert bench(folder) == 2
    assert len(rows(folder)) == 8


def test_rules_are_never_mixed(folder):
    bench(folder)
    bench(folder, protocol="clip8")
    bench(folder, seed=1)
    bench(folder, conversion="average")
    bench(folder, gray=False)
    assert len(rows(folder)) == 30
    assert len({row["rules"] for row in rows(folder)}) == 5
    assert report(folder.parent / "results").count("**Measured**") == 5


def test_noise_depends_on_the_picture_and_not_on_the_company(folder):
    bench(folder)
    all_rows = {(r["picture"], r["noise"]): r["psnr"] for r in rows(folder)}
    listed = folder.parent / "ids.txt"
    listed.write_text("# chosen\nc second.png\na\n")
    bench(folder, ids=listed, results=folder.parent / "fewer.jsonl")
    fewer = read_rows(folder.parent / "fewer.jsonl")
    assert {row["picture"] for row in fewer} == {"a.png", "c.png"}
    assert all(all_rows[r["picture"], r["noise"]] == r["psnr"] for r in fewer)
    assert len(set(all_rows.values())) == 6


def test_clip8_noise_is_eight_bit(folder):
    suite = make_suite(folder, gray=True, protocol="clip8", noise=["gaussian:50"])
    noisy = suite.noisy(suite.clean("a.png"), "a.png", "gaussian:50") * 255
    assert np.abs(noisy - np.rint(noisy)).max() < 1e-3
    assert noisy.min() >= 0
    assert noisy.max() <= 255


def test_changed_data_change_the_hash(folder):
    before = make_suite(folder, gray=True).data
    assert make_suite(folder, gray=True).data == before
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    assert make_suite(folder, gray=True).data != before


def test_gray_conversions():
    pixels = np.array([[[1.0, 0.5, 0.0]]], np.float32)
    assert to_gray(pixels, "luma")[0, 0] == pytest.approx(round(255 * 0.5925) / 255)
    assert to_gray(pixels, "average")[0, 0] == pytest.approx(0.5)
    assert to_gray(pixels[:, :, :1], "luma")[0, 0] == 1


def test_onnx_file_is_judged_and_told_the_noise(folder, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"])
        for name in ("noisy", "clean")
    ]
    sigma = helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Add", ["noisy", "sigma"], ["clean"])], "g", [ends[0], sigma], [ends[1]]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file = tmp_path / "add.onnx"
    onnx.save(model, file)
    method = open_method(f"onnx:{file}", gray=True, threads=1)
    clean, known = method.run(np.zeros((8, 9), np.float32), "gaussian:51")
    assert known == "told"
    assert clean == pytest.approx(np.full((8, 9), 0.2))
    assert method.run(np.zeros((8, 9), np.float32), "gaussian:0-51")[1] == "estimated"
    with pytest.raises(UsageError, match="gray"):
        open_method(f"onnx:{file}", gray=False)
    assert bench(folder, methods=["noisy", f"onnx:{file}"], threads=1) == 0
    assert len(rows(folder)) == 12


@pytest.mark.parametrize(
    "wishes",
    [
        {"noise": ["gausian:25"]},
        {"protocol": "rounded"},
        {"conversion": "red"},
        {"methods": ["no-such-model"]},
        {"limit": 0},
    ],
)
def test_senseless_wishes(folder, wishes):
    with pytest.raises(UsageError):
        bench(folder, **wishes)


def test_missing_folder_list_and_results(folder, tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        bench(tmp_path / "nowhere", results=tmp_path / "r")
    with pytest.raises(UsageError, match="cannot be read"):
        bench(folder, ids=tmp_path / "nowhere.txt")
    (tmp_path / "ids.txt").write_text("z\n")
    with pytest.raises(UsageError, match="not there"):
        bench(folder, ids=tmp_path / "ids.txt")
    with pytest.raises(UsageError, match="run the bench first"):
        report(tmp_path / "nowhere")
