"""The experiment: tables and ablation from measured rows, the seeded list, what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from degrain.bench import divakar_babu
from degrain.bench.divakar_babu import draw_list, run_divakar_babu
from degrain.errors import UsageError
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
    code = run_divakar_babu(
        data,
        results,
        reference="other",
        variants=[variant],
        voc=voc,
        voc_ids=chosen,
        quiet=True,
    )
    assert code == 0
    report = (results / "report.md").read_text()
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    assert titles == [
        "## bsds, float",
        "## Ablation",
        "## bsds, clip8",
        "## voc, float",
        "## voc, clip8",
    ]
    # Phase 3 of this model and the reference are the same network.
    assert cells(report, "phase 3 − other, dB") == [["+0.00 (± 0.00)"] * 4] * 4
    phase_2 = [float(cell.split()[0]) for cell in cells(report, "phase 2 − other, dB")[0]]
    assert all(phase_2)
    assert cells(report, "phase 2 − BM3D, published")[0] == ["-1.01", "-0.41", "-0.16", "-0.43"]
    variant_change = [
        float(c.split()[0]) for c in cells(report, "model.detail.onnx, difference")[0]
    ]
    assert variant_change == pytest.approx([-x for x in phase_2], abs=0.011)
    rows = (results / "results.jsonl").read_text().count("\n")
    assert rows == 4 * 4 * 2 * 4  # suites, noises, pictures, methods
    again = run_divakar_babu(data, results, reference="other", quiet=True)
    assert again == 0
    assert (results / "results.jsonl").read_text().count("\n") == rows


def test_a_model_without_phase_3_has_table_1_only(two_ends: ModelCard, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    run_divakar_babu(data, tmp_path / "out", model="other", reference="noisy", quiet=True)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "phase 2" in report
    assert "phase 3" not in report


def test_the_list_is_drawn_by_its_seed(tmp_path: Path) -> None:
    voc = write_pictures(tmp_path / "voc", 9)
    first = draw_list(voc, tmp_path / "a.txt", 0, count=4).read_text()
    assert first == draw_list(voc, tmp_path / "b.txt", 0, count=4).read_text()
    assert first != draw_list(voc, tmp_path / "c.txt", 1, count=4).read_text()
    assert len(first.splitlines()) == 5


def test_too_small_a_voc_folder(two_ends: ModelCard, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "bsds", 1)
    with pytest.raises(UsageError, match="holds 1 pictures, not 200"):
        run_divakar_babu(data, tmp_path / "out", voc=data, quiet=True)


def test_color_models_are_refused(
    make_model: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = make_model("colorful", channels=3)
    monkeypatch.setenv("DEGRAIN_MODELS", str(card.path.parents[1]))
    with pytest.raises(UsageError, match="for color"):
        run_divakar_babu(tmp_path, tmp_path / "out", model="colorful", quiet=True)


def test_published_margins_belong_to_the_noise_levels() -> None:
    assert all(len(v) == len(divakar_babu.NOISE) for v in divakar_babu.PUBLISHED.values())
