"""The experiment: tables and ablation from measured rows, the seeded list, what goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from degrain.bench.divakar_babu import Request, _parts, _rows, draw_list, run_divakar_babu
from degrain.bench.divakar_babu_report import NOISE, PUBLISHED, write_report
from degrain.bench.methods import open_method
from degrain.errors import UsageError
from degrain.files import read
from degrain.zoo.card import ModelCard
from partners import give_partner


@pytest.fixture
def two_ends(make_model: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    first, second = make_model("divakar-babu", seed=0), make_model("other", seed=1)
    monkeypatch.setenv("DEGRAIN_MODELS", str(first.path.parents[1]))
    return give_partner(first, second)


def write_pictures(folder: Path, count: int) -> Path:
    import pyvips

    folder.mkdir()
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 256, (24, 20), dtype=np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(folder / f"p{k}.png"))
    return folder


def cells(report: str, label: str) -> list[list[str]]:
    lines = [line for line in report.splitlines() if line.startswith(f"| {label}")]
    return [[cell.strip() for cell in line.strip("| ").split("|")][1:] for line in lines]


def test_tables_and_ablation(two_ends: ModelCard, tmp_path: Path) -> None:
    data, voc = write_pictures(tmp_path / "bsds", 2), write_pictures(tmp_path / "voc", 4)
    chosen = tmp_path / "list.txt"
    chosen.write_text("p1\np3\n")
    variant = f"onnx:{two_ends.path.with_name('model.detail.onnx')}"
    results = tmp_path / "out"
    request = Request(
        data,
        results,
        reference="other",
        variants=["divakar-babu", variant],
        voc=voc,
        voc_ids=chosen,
        quiet=True,
    )
    code = run_divakar_babu(request)
    assert code == 0
    report = (results / "report.md").read_text()
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    assert titles == [
        "## bsds, float",
        "## bsds, clip8",
        "## voc, float",
        "## voc, clip8",
        "## Ablation",
    ]
    # Phase 3 of this model and the reference are the same network.
    assert cells(report, "phase 3 − other, dB") == [["+0.00 (± 0.00)"] * 4] * 4
    phase_2 = [float(cell.split()[0]) for cell in cells(report, "phase 2 − other, dB")[0]]
    assert all(phase_2)
    assert cells(report, "phase 2 − BM3D, published")[0] == ["-1.01", "-0.41", "-0.16", "-0.43"]
    variant_change = [
        float(c.split()[0]) for c in cells(report, "model.detail.onnx − divakar-babu, dB")[0]
    ]
    assert variant_change == pytest.approx([-x for x in phase_2], abs=0.011)
    rows = (results / "results.jsonl").read_text().count("\n")
    in_tables, in_ablation = 4 * 4 * 2 * 4, 4 * 2 * 1  # suites, noises, pictures, new methods
    assert rows == in_tables + in_ablation
    again = run_divakar_babu(Request(data, results, reference="other", quiet=True))
    assert again == 0
    assert (results / "results.jsonl").read_text().count("\n") == rows


def test_only_common_pictures_count(two_ends: ModelCard, tmp_path: Path) -> None:
    data, out = write_pictures(tmp_path / "bsds", 2), tmp_path / "out"
    request = Request(data, out, reference="other", quiet=True)
    run_divakar_babu(request)
    file = out / "results.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    lost = ("p1.png", "gaussian:15", "other")
    for row in rows:
        if (row["picture"], row["noise"], row["method"]) == lost and row["protocol"] == "float":
            row["status"] = "failed"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    parts = [replace(part, rows=_rows(out, part.suite)) for part in _parts(request)]
    write_report(out / "report.md", "divakar-babu", parts, {})
    report = (out / "report.md").read_text()
    assert cells(report, "pictures that every method has") == [["2", "1", "2", "2"]]
    alone = [r["psnr"] for r in rows if r["picture"] == "p0.png" and r["method"] == "noisy"]
    shown = [float(cell.split()[0]) for cell in cells(report, "noisy, dB")[0]]
    assert shown[1] == pytest.approx(alone[1], abs=0.006)


def test_a_model_without_phase_3_has_table_1_only(two_ends: ModelCard, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    out = tmp_path / "out"
    run_divakar_babu(Request(data, out, model="other", reference="noisy", quiet=True))
    report = (tmp_path / "out" / "report.md").read_text()
    assert "phase 2" in report
    assert "phase 3" not in report


def test_the_list_is_drawn_by_its_seed(tmp_path: Path) -> None:
    voc = write_pictures(tmp_path / "voc", 9)
    first = draw_list(voc, tmp_path / "a.txt", 0, count=4).read_text()
    assert first == draw_list(voc, tmp_path / "b.txt", 0, count=4).read_text()
    assert first != draw_list(voc, tmp_path / "c.txt", 1, count=4).read_text()
    assert len(first.splitlines()) == 5


def test_what_is_missing_is_said_before_any_work(
    two_ends: ModelCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="matplotlib"):
        run_divakar_babu(Request(data, out, reference="other", quiet=True))
    assert not out.exists()
    monkeypatch.undo()
    out.write_text("a file")
    with pytest.raises(UsageError, match="give a folder"):
        run_divakar_babu(Request(data, out, reference="other", quiet=True))


def test_too_small_a_voc_folder(two_ends: ModelCard, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    with pytest.raises(UsageError, match="holds 1 pictures, not 200"):
        run_divakar_babu(Request(data, tmp_path / "out", voc=data, quiet=True))


def test_color_models_are_refused(
    make_model: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = make_model("colorful", channels=3)
    monkeypatch.setenv("DEGRAIN_MODELS", str(card.path.parents[1]))
    with pytest.raises(UsageError, match="for color"):
        run_divakar_babu(Request(tmp_path, tmp_path / "out", model="colorful", quiet=True))


def test_the_other_end_of_a_model_without_one(two_ends: ModelCard) -> None:
    with pytest.raises(UsageError, match="other has one end only"):
        open_method("detail:other", gray=True)


def test_published_margins_belong_to_the_noise_levels() -> None:
    assert all(len(v) == len(NOISE) for v in PUBLISHED.values())


def write_run(folder: Path, psnr: float) -> Path:
    """What `degrain train` leaves behind, as far as the experiment reads it."""
    layer = {"connections": 5, "of": 8, "maps": 2, "of_maps": 4}
    row = {
        "phase": "2",
        "step": 3,
        "iteration": 5,
        "psnr": dict.fromkeys(NOISE, psnr),
        "survivors": {"layer 5": layer, "layer 6": {**layer, "connections": 7}},
    }
    judged = {**row, "phase": "3", "iteration": 9, "discriminator_accuracy": 0.9}
    folder.mkdir()
    text = "".join(json.dumps(line) + "\n" for line in (row, judged))
    (folder / "metrics.jsonl").write_text(text)
    (folder / "phase-2.pt").touch()
    return folder


def test_runs_give_figures_and_a_table(two_ends: ModelCard, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    runs = [write_run(tmp_path / "mine", 30.0), write_run(tmp_path / "no-lp", 29.5)]
    out = tmp_path / "out"
    run_divakar_babu(Request(data, out, reference="other", runs=runs, quiet=True))
    report = (out / "report.md").read_text()
    assert cells(report, "mine") == [["3", "5 of 8, 7 of 8", "2 of 4, 2 of 4", *["30.00"] * 4]]
    assert cells(report, "no-lp")[0][-1] == "29.50"
    assert "<!-- block runs -->" in report
    for figure in ("fig5", "fig6", "fig7"):
        assert read(out / f"{figure}.png").pages[0].std() > 0


def test_a_run_that_has_not_ended_phase_2(two_ends: ModelCard, tmp_path: Path) -> None:
    data, run = write_pictures(tmp_path / "bsds", 1), write_run(tmp_path / "mine", 30.0)
    (run / "phase-2.pt").unlink()
    with pytest.raises(UsageError, match="mine holds no run"):
        run_divakar_babu(Request(data, tmp_path / "out", runs=[run], quiet=True))
