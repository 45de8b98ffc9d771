"""The page: names, tables, plots and windows to look at."""

import json
import re

import pytest

from degrain.bench import cost
from degrain.bench.crops import RULE
from degrain.bench.datasets import DATA_SETS
from degrain.bench.page import page
from degrain.bench.rows import FORMAT, read_rows
from degrain.bench.run import run_suite
from degrain.bench.suites import make_suite
from degrain.bench.tables import short_names, spec_name
from degrain.zoo.store import load_model
from pictures import write_random

pytest.importorskip("matplotlib")
from degrain.bench.plots import log_ticks, pareto, plain

LEVELS = {"noisy": 20.0, "fair": 28.0, "good": 30.0}


def make_rows(levels=LEVELS, **changes):
    """A row per method, on two pictures and at two noise levels."""
    return [
        {
            "rules": "R; x",
            "method": method,
            "version": "",
            "picture": picture,
            "noise": noise,
            "status": "ok",
            "psnr": level + number,
            "ssim": 0.8,
            "seconds": 0.1 * level,
            "megapixels": 0.1,
            "sigma": "told",
            "data": "unknown",
            "gray": True,
            "protocol": "float",
            **changes,
        }
        for method, level in levels.items()
        for number, picture in enumerate("ab")
        for noise in ("gaussian:15", "gaussian:25")
    ]


def page_of(tmp_path, rows):
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return page(file)


def tables_of(text):
    """Cells of all tables as text: table, row, cell."""
    return [
        [
            [re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?</t[hd]>", row)]
            for row in re.findall("<tr>.*?</tr>", table)
        ]
        for table in re.findall("<table>.*?</table>", text, re.DOTALL)
    ]


def test_names_are_as_short_as_they_may_be():
    one, two, other = ("onnx:x/net.onnx", "1a"), ("onnx:x/net.onnx", "2b"), ("bm3d", "4.0")
    assert short_names([one, other]) == {one: "net.onnx", other: "bm3d"}
    assert short_names([one, two, other]) == {
        one: "net.onnx (1a)",
        two: "net.onnx (2b)",
        other: "bm3d",
    }
    copies = [("onnx:x/net.onnx", "1a"), ("onnx:y/net.onnx", "1a"), ("net.onnx", "1a")]
    assert len(set(short_names(copies).values())) == 3


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("gaussian:15", "σ 15"),
        ("gaussian:0-55", "σ 0–55"),
        ("poisson:4", "poisson:4"),
        ("real", "real noise"),
    ],
)
def test_names_of_noise_levels(spec, name):
    assert spec_name(spec) == name


def test_tables_say_noise_levels_and_hide_versions(tmp_path):
    rows = make_rows({"good": 30.0, "onnx:some/net_a.onnx": 29.0}, version="0c567b068fb6")
    text = page_of(tmp_path, rows)
    first, gaps = tables_of(text)
    assert first[1] == ["method", "noise level", "σ 15", "σ 25", "s / megapixel"]
    assert first[3][:2] == ["net_a.onnx", "told"]
    assert "n = 2" in first[0][1]
    assert "n = " not in first[2][2]
    assert gaps[1][0] == "net_a.onnx"
    assert gaps[1][1].startswith("−1.00")
    assert 'title="onnx:net_a.onnx (0c567b068fb6)"' in text
    assert "0c567b068fb6" not in re.sub('title="[^"]*"', "", text)
    assert "gaussian:" not in text


def test_counts_that_differ_are_said_in_each_cell(tmp_path):
    rows = make_rows()[:-1]
    rows[0] |= {"status": "failed"}
    first = tables_of(page_of(tmp_path, rows))[0]
    assert first[1][-1] == "failed"
    assert "n = " not in first[0][1]
    assert [row[2][-5:] for row in first[2:]] == ["n = 1", "n = 2", "n = 2"]
    assert [row[-1] for row in first[2:]] == ["1", "", ""]


def test_equal_means_are_both_the_best(tmp_path):
    text = page_of(tmp_path, make_rows({"a": 30.0, "b": 30.001, "c": 29.0}))
    assert text.count('<b class="best">30.50</b>') == 4


def test_one_published_table_per_set_and_one_column_per_level(tmp_path):
    (gray,) = DATA_SETS["set12"].hashes
    (both,) = DATA_SETS["bsd68"].hashes
    rows = make_rows({"wnnm": 30.0, "good": 31.0}, data=gray)
    rows += make_rows({"good": 31.0}, data=both, rules="other")
    text = page_of(tmp_path, rows)
    first = tables_of(text)[0]
    assert first[1] == ["method", "noise level", *["σ 15", "σ 25"] * 2, "s / megapixel"]
    assert first[2][4:6] == ["32.70", "30.28"]
    known = tables_of(text.split('id="published"')[1])
    assert re.findall("<h3>(.*?)</h3>", text.split('id="published"')[1]) == [
        "Set12, gray",
        "BSD68, gray",
    ]
    levels = ["σ 15", "σ 25", "σ 35", "σ 50", "σ 75"]
    assert known[1][0] == ["method", "noise level", *levels, "source"]
    at_25 = [float(row[3]) for row in known[1][1:]]
    assert at_25 == sorted(at_25, reverse=True)
    assert ["MLP", "told", "", "28.96", "", "26.03", ""] in [row[:7] for row in known[1]]
    clipped = [{**row, "protocol": "clip8"} for row in rows]
    assert 'id="published"' not in page_of(tmp_path, clipped)


def test_links_only_between_several_comparisons(tmp_path):
    assert "<nav>" not in page_of(tmp_path, make_rows())
    rows = make_rows() + make_rows(rules="R; y")
    text = page_of(tmp_path, rows)
    links = re.findall('<a href="#(.*?)">(.*?)</a>', text)
    assert links == [("c0", "2 gray pictures, x"), ("c1", "2 gray pictures, y")]
    assert all(f'id="{target}"' in text for target, _ in links)


def test_round_ticks_in_plain_numbers():
    assert [plain(x) for x in log_ticks(0.3, 12)] == ["0.5", "1", "2", "5", "10"]
    assert log_ticks(0.003, 2e5) == [0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5]
    assert [plain(x) for x in (0.05, 1000, 5000, 2e4, 1.5e6, 2e9)] == [
        *("0.05", "1000", "5000", "20 k", "1.5 M", "2 G"),
    ]


@pytest.mark.parametrize("costs", [(1.0, 1.01), (0.02, 90.0), (72720.0, 5.5e5)])
def test_the_cost_axis_has_plain_ticks(costs):
    svg = pareto({"a": (costs[0], 20.0), "b": (costs[1], 21.0)}, "cost")
    texts = re.findall(r"<text [^>]*>(.*?)</text>", svg)
    low, high = min(costs) / 3.5, max(costs) * 3.5
    ticks = [plain(x) for x in log_ticks(low, high)]
    assert len([text for text in texts if text in ticks]) >= 2
    assert "mathdefault" not in svg
    assert {"a", "b"} <= set(texts)


def test_crowded_names_give_way_but_dots_tell_theirs():
    points = {f"a rather long name {i}": (1 + i / 1000, 20.0) for i in range(20)}
    svg = pareto(points, "cost")
    named = re.findall(r"<text [^>]*>(a rather long name \d+)</text>", svg)
    assert "a rather long name 0" in named  # the front's
    assert len(named) < 10
    assert len(re.findall(r"<title>a rather long name \d+: 20.00 dB at 1", svg)) == 20


def test_plots_follow_the_color_scheme_of_the_page():
    svg = pareto({"a": (1.0, 20.0), "b": (2.0, 21.0)}, "cost")
    assert "#333333" not in re.sub(r"var\(--ink, #333333\)", "", svg)
    assert 'role="img" aria-label="PSNR against cost. a: 20.00 dB at 1; ' in svg
    assert ' id="axes_1"' not in svg
    assert "http" not in re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)


def test_noisy_pictures_stay_out_of_the_plots(tmp_path):
    text = page_of(tmp_path, make_rows())
    drawn = "".join(re.findall("<svg.*?</svg>", text, re.DOTALL))
    assert "noisy" not in drawn
    assert ">good<" in drawn
    assert text.count("Not shown: the noisy pictures.") == 2
    assert "Not shown" not in page_of(tmp_path, make_rows({"fair": 28.0, "good": 30.0}))
    assert "<svg" not in page_of(tmp_path, make_rows({"noisy": 20.0}))


def test_plot_of_multiplications_needs_two_methods(tmp_path):
    rows = make_rows()
    axis = "multiply-accumulates per pixel (less is better)"
    for row in rows:
        row["macs_per_pixel"] = 20000 if row["method"] == "good" else None
    assert axis not in page_of(tmp_path, rows)
    for row in rows:
        row["macs_per_pixel"] = {"good": 20000, "fair": 500.0}.get(row["method"])
    text = page_of(tmp_path, rows)
    assert axis in text
    assert "good: 30.50 dB at 20 k" in text
    # Rows of before: what the card of that very model says.
    card = load_model("degrain-gray")
    for row in rows:
        del row["macs_per_pixel"]
        if row["method"] == "fair":
            row |= {"method": card.name, "version": card.sha256[:12]}
        if row["method"] == "good":
            row |= {"method": "jain-seung-cn1-25"}
            row["version"] = load_model(row["method"]).sha256[:12]
    assert axis in page_of(tmp_path, rows)
    old = [{**row, "version": "0" * 12} for row in rows]
    assert axis not in page_of(tmp_path, old)


@pytest.fixture
def suite(tmp_path):
    data = write_random(tmp_path / "clean", "ab", shape=(24, 32))
    return make_suite(data, noise=["gaussian:15", "gaussian:25"], gray=True)


def test_rows_say_multiplications(tmp_path, suite, make_model):
    pytest.importorskip("onnx")
    card, shipped = make_model(channels=1, stride=4), load_model("degrain-gray")
    file = tmp_path / "r.jsonl"
    methods = ["noisy", f"onnx:{card.path}", "degrain-gray"]
    assert run_suite(suite, methods, file, quiet=True, threads=1) == 0
    found = {row["method"]: row["macs_per_pixel"] for row in read_rows(file)}
    counted = cost.count_macs(card.path)
    assert found == dict(
        zip(methods, [None, round(counted, 1), shipped.macs_per_pixel], strict=True)
    )
    assert FORMAT == 2  # older readers understand all the rest
    card.path.write_bytes(b"no model")
    assert cost.macs_for_rows(f"onnx:{card.path}", "") is None
    assert cost.macs_for_rows("degrain-gray, all layers random", "1") is None


def test_what_is_done_already_is_not_counted(tmp_path, suite, monkeypatch):
    file = tmp_path / "r.jsonl"
    run_suite(suite, ["noisy"], file, quiet=True)
    asked = []
    monkeypatch.setattr("degrain.bench.run.macs_for_rows", lambda *words: asked.append(words))
    run_suite(suite, ["noisy"], file, quiet=True)
    assert not asked
    run_suite(suite, ["noisy", "tv"], file, quiet=True)
    assert [name for name, _ in asked] == ["tv"]


def figures_of(text, picture):
    """Captions under the heading of a picture, by noise level."""
    part = re.split("<h[34]", text.split(f"<h4>{picture}</h4>")[1])[0]
    return {
        re.search("<b>(.*?)</b>", level).group(1): re.findall("<figcaption>(.*?)<", level)
        for level in part.split('<div class="crops">')[1:]
    }


def test_windows_begin_with_clean_and_noisy(tmp_path, suite):
    code = "def denoise(noisy, sigma):\n    return {}\n"
    for name, result in {"worse": "noisy * 0", "better": "noisy * 0.99"}.items():
        (tmp_path / f"{name}.py").write_text(code.format(result))
    methods = [f"python:{tmp_path}/{name}.py" for name in ("worse", "better")]
    run_suite(suite, ["noisy", *methods], tmp_path / "r.jsonl", quiet=True, crops=True)
    rows = read_rows(tmp_path / "r.jsonl")
    noisy = {(r["picture"], r["noise"]): r["psnr"] for r in rows if r["method"] == "noisy"}
    assert all(row["noisy_psnr"] == noisy[row["picture"], row["noise"]] for row in rows)
    assert len({row["crop_clean"] for row in rows}) == 2
    assert len({row["crop_noisy"] for row in rows}) == 4
    text = page(tmp_path / "r.jsonl")
    shown = figures_of(text, "a.png")
    assert list(shown) == ["σ 15", "σ 25"]
    assert shown["σ 25"] == ["clean", "noisy", "better.py", "worse.py"]
    assert RULE in text
    assert f"noisy<br>{noisy['a.png', 'gaussian:25']:.2f} dB" in text
    assert f'alt="b.png at σ 15: noisy, {noisy["b.png", "gaussian:15"]:.2f} dB"' in text
    fields = ("crop_clean", "crop_noisy", "noisy_psnr", "macs_per_pixel")
    old = [{key: row[key] for key in row if key not in fields} for row in rows]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in old))
    shown = figures_of(page(tmp_path / "r.jsonl"), "b.png")
    assert shown["σ 15"] == ["noisy", "better.py", "worse.py"]
