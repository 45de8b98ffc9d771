"""The three phases: who learns when, exact resume, one sentence for what goes wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from degrain.errors import TrainingError, UsageError
from degrain.train import checkpoint, curves, phases, stages
from degrain.train.stages import Training
from degrain.train.three_phase import parse_phases, read_phase, read_run, train_three_phase
from degrain.train.three_phase_recipes import THREE_PHASE, from_json


def write_pictures(folder: Path, count: int, side: int = 48) -> Path:
    import pyvips

    folder.mkdir()
    y, x = np.mgrid[:side, :side]
    for k in range(count):
        rng = np.random.default_rng(k)
        waves = np.sin(rng.uniform(0.05, 0.4) * x + rng.uniform(0.05, 0.4) * y)
        levels = np.clip(127 + 60 * waves + 40 * (x > rng.integers(side)), 0, 255)
        image = pyvips.Image.new_from_array(levels.astype(np.uint8))
        image.write_to_file(str(folder / f"{k:02}.png"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "clean", 12)


def run(folder: Path, target: Path, **options: Any) -> Training:
    given = {"steps": 30, **options}
    if options.get("resume"):
        given = options
    return train_three_phase(
        "tiny-divakar-babu", data=[folder], run=target, quiet=True, device="cpu", **given
    )


def weights(training: Training) -> dict[str, torch.Tensor]:
    judge = training.players.discriminator
    found = {f"net.{k}": v for k, v in training.players.net.state_dict().items()}
    found |= {f"average.{k}": v for k, v in training.players.average.state_dict().items()}
    if judge is not None:
        found |= {f"judge.{k}": v for k, v in judge.state_dict().items()}
    return {name: tensor.clone() for name, tensor in found.items()}


def assert_same(first: Training, second: Training) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def interrupt(monkeypatch: pytest.MonkeyPatch, stage: str, step: int) -> None:
    draw = stages._draw

    def interrupted(training: Training, noise: Any) -> Any:
        if (training.progress.stage, training.progress.step) == (stage, step):
            raise KeyboardInterrupt
        return draw(training, noise)

    monkeypatch.setattr(stages, "_draw", interrupted)
    monkeypatch.setattr(stages, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """All three phases without interruption: 3, 15, 3 and 9 steps."""
    return run(folder, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize(("stage", "step"), [("1", 2), ("2", 0), ("2", 7), ("cold", 1), ("3", 4)])
def test_resumed_equals_uninterrupted(
    folder: Path,
    tmp_path: Path,
    whole: Training,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    step: int,
) -> None:
    interrupt(monkeypatch, stage, step)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run")
    monkeypatch.undo()
    resumed = run(folder, tmp_path / "run", resume=True)
    assert resumed.progress.done == whole.progress.done == ("1", "2", "cold", "3")
    assert resumed.progress.iteration == whole.progress.iteration == 33
    assert_same(whole, resumed)
    names = [(row["phase"], row["step"]) for row in rows(tmp_path / "run")]
    assert len(names) == len(set(names))


def test_phases_in_two_calls_equal_one_call(folder: Path, tmp_path: Path, whole: Training) -> None:
    run(folder, tmp_path / "run", steps=18, phases_wanted="1,2")
    later = run(folder, tmp_path / "run", resume=True, phases_wanted="3", steps=12)
    assert_same(whole, later)


def rows(run_folder: Path) -> list[dict[str, Any]]:
    lines = (run_folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_phase_writes_what_belongs_to_it(whole: Training) -> None:
    by_phase = {row["phase"]: row for row in rows(whole.journal.run)}
    assert set(by_phase) == {"1", "2", "cold", "3"}
    assert set(by_phase["1"]["psnr"]) == {"gaussian:0"}
    levels = {"gaussian:10", "gaussian:15", "gaussian:20", "gaussian:25"}
    assert set(by_phase["2"]["psnr"]) == set(by_phase["3"]["psnr"]) == levels
    assert by_phase["2"]["survivors"]["layer 5"]["of"] == 12 * 8
    assert 0 <= by_phase["cold"]["discriminator_accuracy"] <= 1
    assert by_phase["3"]["adversarial_loss"] > 0
    for phase in ("1", "2", "3"):
        kept = checkpoint.load(whole.journal.run / f"phase-{phase}.pt")
        assert set(kept["net"]) == set(whole.players.net.state_dict())


def changed(folder: Path, target: Path, **options: Any) -> set[str]:
    """Which layers a run moves away from their first weights."""
    training = run(folder, target, **options)
    torch.manual_seed(training.recipe.seed)
    from degrain.train.three_phase import build

    first = build(training.recipe).state_dict()
    now = training.players.net.state_dict()
    return {name.split(".")[0] for name in now if not torch.equal(now[name], first[name])}


def test_phase_1_leaves_the_damping_alone(folder: Path, tmp_path: Path) -> None:
    moved = changed(folder, tmp_path / "run", phases_wanted="1", steps=3)
    assert moved == {"features", "reconstruction"}


def test_phase_2_leaves_the_features_alone(folder: Path, tmp_path: Path) -> None:
    training = run(folder, tmp_path / "run", phases_wanted="1,2", steps=6)
    before = checkpoint.load(tmp_path / "run" / "phase-1.pt")["net"]
    after = training.players.net.state_dict()
    moved = {k.split(".")[0] for k in after if not torch.equal(after[k], before[k])}
    assert moved == {"damping", "reconstruction"}


def test_without_phase_1_the_features_learn_in_phase_2(folder: Path, tmp_path: Path) -> None:
    moved = changed(folder, tmp_path / "run", phases_wanted="2", steps=3)
    assert moved == {"features", "damping", "reconstruction"}


def test_a_run_begins_with_another_ones_weights(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "first", phases_wanted="2", steps=20)
    options: dict[str, Any] = {"phases_wanted": "2", "noise": "gaussian:25"}
    start = str(tmp_path / "first")
    # a step length of zero holds for the biases too
    second = run(folder, tmp_path / "second", start=start, steps=1, lr=0.0, **options)
    for net in (second.players.net, second.players.average):
        for name, tensor in net.state_dict().items():
            torch.testing.assert_close(tensor, first.players.average.state_dict()[name])
    run(folder, tmp_path / "second", resume=True, steps=2)
    assert read_run(tmp_path / "second")[0]["start"] == "first"
    with pytest.raises(UsageError, match="keeps the run's own start"):
        run(folder, tmp_path / "second", resume=True, start=start)


def test_training_takes_noise_out(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", phases_wanted="2", steps=300, noise="gaussian:25")
    last = rows(tmp_path / "run")[-1]
    assert last["psnr"]["gaussian:25"] > 24.0  # the noisy pictures have 20.2 dB


def test_nan_keeps_the_last_good_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    loss, calls = phases.rms_loss, []

    def breaks(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return loss(a, b) * (float("nan") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(phases, "rms_loss", breaks)
    with pytest.raises(TrainingError, match=r"no longer a number in stage 2.*--lp-weight"):
        run(folder, tmp_path / "run", phases_wanted="1,2", steps=18)
    saved = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert all(tensor.isfinite().all() for tensor in saved["net"].values())
    assert (saved["progress"]["stage"], saved["progress"]["step"]) == ("2", 4)


@pytest.mark.parametrize(
    ("count", "side", "options"), [(9, 48, {}), (12, 30, {}), (12, 48, {"crop": 64})]
)
def test_too_few_usable_pictures(
    tmp_path: Path, count: int, side: int, options: dict[str, Any]
) -> None:
    pictures = write_pictures(tmp_path / "clean", count, side)
    with pytest.raises(TrainingError, match=r"Only \d+ of \d+ training pictures"):
        run(pictures, tmp_path / "run", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phases_wanted": "4"}, "names no phases"),
        ({"phases_wanted": "3"}, "goes on from phase 2"),
        ({"phases_wanted": "1,3"}, "goes on from phase 2"),
        ({"minutes": 1.0}, "not both"),
        ({"discriminator": "judge"}, "no discriminator"),
        ({"lp_power": 0.0}, "lp_power"),
        ({"crop": 40}, "multiple of 32"),
    ],
    ids=str,
)
def test_contradictions_are_usage_errors(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(folder, tmp_path / "run", **options)


def test_a_run_is_not_overwritten_and_a_resumed_one_keeps_its_recipe(
    folder: Path, whole: Training
) -> None:
    with pytest.raises(UsageError, match="--resume"):
        run(folder, whole.journal.run)
    with pytest.raises(UsageError, match="keeps the run's own seed"):
        run(folder, whole.journal.run, resume=True, seed=3)


def test_phase_3_waits_for_the_end_of_phase_2(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, "2", 3)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="stopped in phase 2, which must end first"):
        run(folder, tmp_path / "run", resume=True, phases_wanted="3")
    assert run(folder, tmp_path / "run", resume=True).progress.done[-1] == "3"


def test_phases_are_read_in_any_order() -> None:
    assert parse_phases("2, 1") == ("1", "2")


def test_the_recipe_survives_the_run_folder(whole: Training) -> None:
    config, recipe = read_run(whole.journal.run)
    assert config["name"] == "tiny-divakar-babu"
    assert recipe == from_json(config["recipe"])
    # JSON knows no tuples, which the net does not mind.
    assert dataclasses.replace(recipe, options=whole.recipe.options) == whole.recipe


def test_a_phase_that_has_not_ended_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    training = run(folder, tmp_path / "run", phases_wanted="1", steps=2)
    with pytest.raises(TrainingError, match="Phase 2"):
        read_phase(tmp_path / "run", "2", training.recipe)


@pytest.mark.parametrize("name", THREE_PHASE)
def test_every_recipe_builds_its_net(name: str) -> None:
    from degrain.nets import NETS

    recipe = THREE_PHASE[name]()
    with torch.device("meta"):
        net = NETS[recipe.net](**recipe.options)
    assert net.reconstruction[-1].out_channels == recipe.channels


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x = torch.ones(1, 1, 200, 200)
    y = phases.drop(x, 0.7, torch.Generator().manual_seed(0))
    assert float((y == 0).float().mean()) == pytest.approx(0.7, abs=0.02)
    assert float(y.mean()) == pytest.approx(1.0, abs=0.05)


def test_the_adversarial_weight_rises_from_almost_nothing_to_s() -> None:
    values = [phases.adversarial_weight(t, 1000, 0.99) for t in (0, 500, 999)]
    assert values == pytest.approx([0.001, 0.496, 0.99], abs=1e-3)


def test_the_figures_are_drawn_from_the_run(whole: Training) -> None:
    pytest.importorskip("matplotlib")
    names = {Path(line).name for line in curves.draw_run(whole)}
    assert names == {"figure-5-psnr.png", "figure-6-adversarial.png", "sheet.png"}
    for name in names:
        assert (whole.journal.run / name).stat().st_size > 5000


def test_export_writes_one_model_with_two_ends(
    whole: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from degrain.denoise import Denoiser
    from degrain.train import export
    from degrain.zoo.store import load_model

    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 512)
    card = export.export_run(whole.journal.run, tmp_path / "net.onnx")
    assert card == load_model(tmp_path / "net.onnx")
    assert (card.name, card.halo, card.detail_model) == ("tiny-divakar-babu", 2, "net.detail.onnx")
    assert len(card.quality) == 2
    assert card.recipe == (
        "degrain train tiny-divakar-babu --data DIR -o RUN --phases 1,2,3 --steps 30"
    )
    with pytest.raises(UsageError, match="cannot be averaged"):
        export.export_run(whole.journal.run, tmp_path / "mean.onnx", whole.journal.run)
    with pytest.raises(UsageError, match="without --half"):
        export.export_run(whole.journal.run, tmp_path / "half.onnx", half=True)
    x = np.random.default_rng(0).random((20, 23), dtype=np.float32)
    for detail, phase in ((0.0, "2"), (1.0, "3")):
        net = read_phase(whole.journal.run, phase, whole.recipe)
        with torch.no_grad():
            wanted = net(torch.from_numpy(x)[None, None])[0, 0].numpy()
        answer = Denoiser(tmp_path / "net.onnx", detail=detail)(x)
        np.testing.assert_allclose(answer, wanted, atol=1e-5)


def test_the_card_of_a_changed_run_tells_its_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from degrain.train import export

    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 512)
    run(folder, tmp_path / "first", phases_wanted="2", steps=1)
    changes: dict[str, Any] = {"noise": "gaussian:25", "lp_weight": 0.0, "start": "first"}
    monkeypatch.chdir(tmp_path)
    run(folder, tmp_path / "run", phases_wanted="2", steps=1, **changes)
    assert export.export_run(tmp_path / "run", tmp_path / "net.onnx").recipe == (
        "degrain train tiny-divakar-babu --data DIR --noise gaussian:25 --lp-weight 0.0 -o RUN "
        "--phases 2 --steps 1 --start first"
    )


def test_the_card_of_a_run_in_two_calls_tells_both(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from degrain.train import export

    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 512)
    run(folder, tmp_path / "run", steps=18, phases_wanted="1,2")
    run(folder, tmp_path / "run", resume=True)
    run(folder, tmp_path / "run", resume=True, phases_wanted="3", steps=12)
    run(folder, tmp_path / "run", resume=True)
    assert export.export_run(tmp_path / "run", tmp_path / "net.onnx").recipe == (
        "degrain train tiny-divakar-babu --data DIR -o RUN --phases 1,2 --steps 18, "
        "then --resume --phases 3 --steps 12"
    )


def test_a_phase_that_was_begun_must_be_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, "cold", 1)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="stopped in phase 3, which must end first"):
        run(folder, tmp_path / "run", resume=True, phases_wanted="2")


def test_a_phase_is_kept_before_it_counts_as_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = stages.save

    def killed(training: Training) -> None:
        if training.progress.done:
            raise KeyboardInterrupt
        save(training)

    monkeypatch.setattr(stages, "save", killed)
    monkeypatch.setattr(stages, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run", phases_wanted="2", steps=4)
    assert (tmp_path / "run" / "phase-2.pt").is_file()


def test_the_command_trains_and_refuses_what_does_not_belong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from degrain.cli import main

    words = ["train", "tiny-divakar-babu", "--data", str(folder), "-o", str(tmp_path / "run")]
    assert main([*words, "--steps", "6", "--phases", "1,2", "--device", "cpu"]) == 0
    assert read_run(tmp_path / "run")[0]["phases"] == ["1", "2"]
    assert main([*words[:4], "-o", str(tmp_path / "x"), "--pairs", "a", "b"]) == 2
    assert "--pairs" in capsys.readouterr().err
    assert main([*words[:4], "-o", str(tmp_path / "x"), "--loss", "l1"]) == 2
    assert "no --loss" in capsys.readouterr().err
    words[1] = "tiny-gray"
    assert main([*words[:4], "-o", str(tmp_path / "y"), "--phases", "1"]) == 2
    assert "--phases is for the divakar-babu recipes" in capsys.readouterr().err
