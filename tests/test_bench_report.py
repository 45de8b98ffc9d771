"""Tables, CSV, the page, plots, and what methods cost."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from degrain.bench import cost, paired, provenance
from degrain.bench.datasets import DATA_SETS, title_of
from degrain.bench.report import report, report_csv
from degrain.bench.rows import KEY
from degrain.bench.tables import published_for, read_comparisons
from degrain.cli import main
from degrain.errors import ModelError, UsageError

LEVELS = {"good": 30.0, "fair": 29.0}


def make_rows(**changes):
    """Two methods on four pictures, the slow one on two of them."""
    rows = []
    for method, level in LEVELS.items():
        for number, picture in enumerate("abcd"):
            if method == "good" and picture in "cd":
                continue
            rows.append(
                {
                    "rules": "R <1>",
                    "method": method,
                    "version": "",
                    "picture": picture,
                    "noise": "gaussian:25",
                    "status": "ok",
                    "psnr": level + number + 0.1 * (number == 1) * (method == "good"),
                    "ssim": 0.8,
                    "seconds": 0.1 if method == "fair" else 2.0,
                    "megapixels": 0.1,
                    "sigma": "told",
                    "data": "unknown",
                    "gray": True,
                    "protocol": "float",
                    **changes,
                }
            )
    return rows


def write_rows(tmp_path, rows):
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_tables_mark_subsets_and_compare_on_common_pictures(tmp_path):
    text = report(write_rows(tmp_path, make_rows()))
    measured = text.split("**Published**")[0]
    assert "| fair | told | 30.50 ± 0.65 / 0.8000 (4) | 1 | 0 |" in measured
    assert "on the pictures that all methods have at a noise level" in measured
    assert "| fair | 29.50 ± 0.50 / 0.8000 (2) |" in measured
    assert "**Minus good**" in measured
    assert "| fair | -1.05 [-1.10, -1.00] (2) |" in measured
    assert "**Minus fair**" in report(tmp_path, against="fair")
    with pytest.raises(UsageError, match=r"no results of nobody; compare with one of fair, good"):
        report(tmp_path, against="nobody")


@pytest.mark.parametrize(("part", "title"), [("", True), ("central 256×256 pixels; ", False)])
def test_parts_of_pictures_have_no_title_and_no_published_numbers(tmp_path, part, title):
    rows = make_rows(data="7e9bc2b62039", rules=f"gray (luma rounded); {part}noise")
    assert ("**Measured** on Set12" in report(write_rows(tmp_path, rows))) is title


def test_versions_of_a_model_do_not_mix():
    rows = [
        {"method": "m", "version": version, "picture": p, "noise": "n", "status": s, "psnr": psnr}
        for version, p, s, psnr in (
            ("1", "a", "ok", 20.0),
            ("1", "b", "ok", 21.0),
            ("2", "a", "ok", 30.0),
            ("2", "b", "failed", None),
        )
    ]
    assert paired.psnr_by_picture(rows, "m", "n") == {"a": 30.0}


def test_seconds_of_several_machines_are_told_apart(tmp_path):
    rows = make_rows(machine="old, 2 cores")
    assert "[1]" not in report(write_rows(tmp_path, rows))
    for row in rows:
        if row["method"] == "good":
            row["machine"] = "new, 2 cores"
    text = report(write_rows(tmp_path, rows))
    assert "| 20 [1] |" in text
    assert "| 1 [2] |" in text
    assert "same machine: [1] new, 2 cores; [2] old, 2 cores." in text


def test_machines_are_named_with_their_vectors(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Maker\nflags\t\t: fpu avx2 avx512f\n\nmodel name : Other\n")
    monkeypatch.setattr(provenance, "CPU_INFO", info)
    assert provenance.machine() == "Maker (AVX-512)"
    info.write_text("model name\t: Maker\nflags\t\t: fpu\n")
    assert provenance.machine() == "Maker"


def test_failed_rows_and_identical_pictures(tmp_path):
    rows = make_rows()
    rows[0] |= {"psnr": None}
    rows[-1] = {name: rows[-1][name] for name in KEY} | {"status": "failed", "problem": "x"}
    rows[-1] |= {"data": "unknown", "gray": True, "protocol": "float"}
    text = report(write_rows(tmp_path, rows))
    assert "| good | told | inf / 0.8000 (2) | 20 | 0 |" in text
    assert "(3) | 1 | 1 |" in text
    assert "[-1.10, -1.10]" not in text  # one finite pair has no interval


def test_published_numbers_stand_in_columns_of_their_own(tmp_path):
    (data,) = DATA_SETS["bsd68"].hashes
    rows = make_rows(data=data)
    for row in rows:
        row["method"] = {"good": "wnnm", "fair": "onnx:x/ffdnet_gray.onnx"}[row["method"]]
    text = report(write_rows(tmp_path, rows))
    measured = text.split("**Published**")[0]
    assert "**Measured** on BSD68: R <1>." in measured
    assert "| published gaussian:25 dB |" in measured
    assert "| wnnm | told | 30.55 ± 0.55 / 0.8000 (2) | 28.83 | 20 | 0 |" in measured
    assert "| 29.19 | 1 | 0 |" in measured
    assert "Set12" not in text
    (known,) = read_comparisons(tmp_path)
    assert published_for(known, "wnnm", "gaussian:99") is None
    write_rows(tmp_path, [{**row, "protocol": "clip8"} for row in rows])
    assert "published" not in report(tmp_path)


def test_csv_holds_the_same_means(tmp_path):
    write_rows(tmp_path, make_rows())
    lines = list(csv.DictReader(io.StringIO(report_csv(tmp_path))))
    assert [line["method"] for line in lines] == ["good", "fair"]
    assert float(lines[1]["psnr_db"]) == pytest.approx(30.5)
    assert float(lines[1]["psnr_standard_error"]) == pytest.approx(np.std([0, 1, 2, 3], ddof=1) / 2)
    assert lines[1]["pictures"] == "4"
    assert lines[1]["peak_mb"] == ""


def test_common_pictures_are_found_at_each_noise_level(tmp_path):
    """A slow method that skips a level, or most of its pictures there, costs the others none."""
    more = [row | {"noise": "gaussian:50"} for row in make_rows()]
    few = [row for row in more if row["method"] == "fair" or row["picture"] == "a"]
    none = [row | {"noise": "gaussian:75"} for row in make_rows() if row["method"] == "fair"]
    (whole,) = read_comparisons(write_rows(tmp_path, [*make_rows(), *few, *none]))
    same = whole.common()
    counts = {(c[0], s): len(same.good(c, s)) for c in same.competitors for s in same.specs}
    assert counts == {
        ("good", "gaussian:25"): 2,
        ("fair", "gaussian:25"): 2,
        ("good", "gaussian:50"): 1,
        ("fair", "gaussian:50"): 1,
        ("good", "gaussian:75"): 0,
        ("fair", "gaussian:75"): 4,
    }


def test_a_difference_on_one_picture_has_no_interval(tmp_path):
    text = report(write_rows(tmp_path, [row for row in make_rows() if row["picture"] == "b"]))
    assert "| fair | -1.10 (1) |" in text
    assert "nan" not in text


def test_a_part_of_the_pictures_is_a_comparison_of_its_own(tmp_path):
    rows = make_rows()
    chosen = sorted({Path(row["picture"]).stem for row in rows})[:2]
    ids = tmp_path / "some.txt"
    ids.write_text("# two of them\n" + "\n".join(chosen) + "\n", encoding="utf-8")
    file = write_rows(tmp_path, rows)
    (whole,), (part,) = read_comparisons(file), read_comparisons(file, ids)
    assert {Path(row["picture"]).stem for row in part.rows} == set(chosen)
    assert len(part.rows) < len(whole.rows)
    assert part.rules == f"{whole.rules}; of these the 2 in the list some.txt"
    assert "of these the 2 in the list" in report(file, ids=ids)
    ids.write_text("nobody\n", encoding="utf-8")
    with pytest.raises(UsageError, match="None of the pictures"):
        read_comparisons(file, ids)


def test_bsd68_is_known_as_a_part_of_the_berkeley_100():
    (data,) = DATA_SETS["berkeley100"].hashes
    ((whole, part),) = DATA_SETS["bsd68"].parts
    assert whole == data
    assert title_of(data, gray=True) == "Berkeley 100"
    assert title_of(data, gray=True, part=part) == "BSD68"
    assert title_of(data, gray=True, part="another") is None


def test_rows_of_the_project_stay_readable():
    """The stored results were written before rows had a format number."""
    folder = Path(__file__).parent.parent / "benchmarks" / "results"
    titles = set()
    for file in sorted(folder.glob("bsd68-*.jsonl")):
        (comparison,) = read_comparisons(file)
        titles.add(comparison.title)
        assert f"**Measured** on {comparison.title}" in report(file)
    assert titles == {"BSD68", "CBSD68"}


def test_the_page_is_whole(tmp_path):
    pytest.importorskip("matplotlib")
    import pyvips

    rows = make_rows()
    rows[0]["crop"] = rows[2]["crop"] = "c.png"
    rows[1]["method"] = rows[0]["method"] = "<b>good</b>"
    write_rows(tmp_path, rows)
    (tmp_path / "results.crops").mkdir()
    pyvips.Image.black(96, 96).pngsave(str(tmp_path / "results.crops" / "c.png"))
    output = tmp_path / "page.html"
    assert main(["bench", "report", str(tmp_path), "--html", str(output)]) == 0
    text = output.read_text()
    assert text.count("<svg") == text.count("</svg>") == 2
    assert text.count("data:image/png;base64,") == 2
    assert "<b>good</b>" not in text
    assert "R &lt;1&gt;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert not re.search(r"<script|<link|@import|url\((?!#)", text)
    assert text.count('<svg role="img" aria-label="P') == 2
    assert all(re.search(' alt="[^"]+: ', image) for image in re.findall("<img [^>]*>", text))
    assert "30.50 <small>± 0.65</small>" in text
    before = output.read_bytes()
    assert main(["bench", "report", str(tmp_path), "--html", str(output)]) == 0
    assert output.read_bytes() == before


def test_report_files_that_cannot_be_written(tmp_path, capsys):
    write_rows(tmp_path, make_rows())
    (tmp_path / "file").write_text("")
    assert main(["bench", "report", str(tmp_path), "--csv", str(tmp_path / "file" / "x.csv")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_pareto_front():
    pytest.importorskip("matplotlib")
    from degrain.bench.plots import pareto_front

    points = {"a": (1.0, 20.0), "b": (2.0, 19.0), "c": (3.0, 25.0), "d": (3.0, 24.0)}
    assert pareto_front(points) == ["a", "c"]


def test_multiplications_are_counted_in_the_graph(make_model):
    pytest.importorskip("onnx")
    card = make_model(channels=1, stride=4)
    # 3×3 to 6 maps at full size; 4×4 of 6×6, then 3×3 of 6×6 at a quarter, then 4×4 back
    expected = 9 * 6 + (16 * 36 + 9 * 36 + 16 * 6) / 16
    assert cost.count_macs(card.path) == pytest.approx(expected)
    assert cost.macs_per_pixel(f"onnx:{card.path}") == pytest.approx(expected)
    assert cost.macs_per_pixel("wnnm") is None
    assert cost.macs_per_pixel("onnx:nowhere.onnx") is None
    card.path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot be counted"):
        cost.count_macs(card.path)


def test_counting_agrees_with_the_cards():
    pytest.importorskip("onnx")
    from degrain.zoo.store import list_models

    for card in list_models():
        assert cost.count_macs(card.path) == pytest.approx(card.macs_per_pixel, rel=0.02)


def test_cost_on_color_pictures(tmp_path):
    method = tmp_path / "color.py"
    method.write_text(
        "def denoise(noisy, sigma):\n    assert noisy.shape == (32, 32, 3)\n    return noisy\n"
    )
    output = tmp_path / "cost.json"
    words = ["bench", "cost", "--method", f"python:{method}", "--sides", "32", "--threads", "1"]
    assert main([*words, "--runs", "1", "--color", "-o", str(output)]) == 0
    found = json.loads(output.read_text())
    assert (found["gray"], found["time"][1]["pixels"]) == (False, 32 * 32)


def test_cost_of_a_method(tmp_path, capsys):
    hungry = tmp_path / "hungry.py"
    hungry.write_text(
        "import numpy as np\n"
        "def denoise(noisy, sigma):\n"
        "    waste = np.ones(10_000_000)\n"
        "    return noisy * waste.mean()\n"
    )
    output = tmp_path / "cost.json"
    words = ["bench", "cost", "--method", f"python:{hungry}", "--sides", "32", "--threads", "1"]
    assert main([*words, "--runs", "1", "-o", str(output)]) == 0
    found = json.loads(output.read_text())
    (memory,) = found["memory"]
    assert 60 < memory["added_mb"] < 200
    assert {row["side_px"] for row in found["time"]} == {32}
    assert all(row["ratio"] > 0 for row in found["time"])
    assert "python:hungry.py | 32×32 | 1 |" in capsys.readouterr().out
    assert found["gray"]
    assert main([*words, "--runs", "0", "-o", str(output)]) == 2
    assert math.isfinite(found["time"][0]["seconds"])
