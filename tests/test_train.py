"""Training: reproducible, resumable to the bit, and honest about what goes wrong."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from degrain.cli import main
from degrain.errors import TrainingError, UsageError
from degrain.metrics import psnr
from degrain.noise import parse_noise
from degrain.shots import Shot
from degrain.train import checkpoint, fit, losses, recipes
from degrain.train.averaging import follow
from degrain.train.camera import photograph, through_filters
from degrain.train.data import CropSource, Pack, load, pack, read_pairs, split
from degrain.train.degrade import degrade
from degrain.train.devices import compile_for, cpu_has_bfloat16, exact
from degrain.train.enlarge import enlarge, flatten
from degrain.train.muon import orthogonalize
from degrain.train.onnx_file import read_weights
from degrain.train.setup import train
from degrain.train_verbs import export_model
from degrain.zoo.store import load_model


def picture(seed: int, shape: tuple[int, ...] = (56, 64, 3)) -> np.ndarray:
    """Smooth shapes with edges: something a net can learn to clean."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = sum(
        np.sin(rng.uniform(0.05, 0.3) * x + rng.uniform(0.05, 0.3) * y + k) for k in range(3)
    )
    levels = 127 + 40 * waves + 50 * (x > rng.integers(shape[1]))
    return np.repeat(np.clip(levels, 0, 255).astype(np.uint8)[..., None], shape[2], axis=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "clean", count=6)


def write_pictures(folder: Path, count: int, noise: float = 0.0) -> Path:
    import pyvips

    folder.mkdir()
    for k in range(count):
        rng = np.random.default_rng(100 + k)
        pixels = picture(k) + noise * rng.standard_normal((56, 64, 3))
        image = pyvips.Image.new_from_array(np.clip(pixels, 0, 255).astype(np.uint8))
        image.write_to_file(str(folder / f"{k:02}.png"))
    return folder


def run(folder: Path, target: Path, **options: Any) -> fit.State:
    return train("tiny-gray", data=[folder], run=target, quiet=True, device="cpu", **options)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_same_seed_same_weights_other_seed_others(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "a", steps=6, seed=3)
    second = run(folder, tmp_path / "b", steps=6, seed=3)
    third = run(folder, tmp_path / "c", steps=6, seed=4)
    assert same_weights(first.net, second.net)
    assert not same_weights(first.net, third.net)


PHOTOGRAPHS = {"fast": True, "noise": "camera", "enlarge": 2.0, "leaves": 0.5, "crop": 16}
"""Crops are drawn twice as large."""


DRAWN = {"leaves": 0.5}
UNEVEN = {"uneven": 0.5}


@pytest.mark.parametrize("options", [{}, PHOTOGRAPHS, DRAWN, UNEVEN])
def test_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole = run(folder, tmp_path / "whole", steps=10, **options)
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    stop_at(monkeypatch, step=4)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "broken", steps=10, **options)
    monkeypatch.undo()
    resumed = run(folder, tmp_path / "broken", resume=True)
    assert resumed.step == 10
    assert same_weights(whole.net, resumed.net)
    assert same_weights(whole.average, resumed.average)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="bfloat16 is emulated here")
def test_bfloat16_on_a_cpu_trains_nearly_the_same(folder: Path, tmp_path: Path) -> None:
    plain = run(folder, tmp_path / "plain", steps=20)
    fast = run(folder, tmp_path / "fast", steps=20, fast=True)
    assert not same_weights(plain.net, fast.net)
    pairs = zip(plain.net.parameters(), fast.net.parameters(), strict=True)
    assert all((a - b).norm() < 0.1 * a.norm() for a, b in pairs)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    draw = fit.draw_batch

    def interrupted(*args: Any, **named: Any) -> Any:
        if args[3] == step:
            raise KeyboardInterrupt
        return draw(*args, **named)

    monkeypatch.setattr(fit, "draw_batch", interrupted)


def test_killed_run_leaves_a_good_checkpoint(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from degrain.train import fit; from degrain.train.setup import train\n"
        "fit.SECONDS_BETWEEN_CHECKPOINTS = 0.0\n"
        "train('tiny-gray', data=[Path(sys.argv[1])], run=Path(sys.argv[2]), steps=100000,"
        " quiet=True, device='cpu')\n"
    )
    target = tmp_path / "run"
    arguments = [sys.executable, "-c", code, str(folder), str(target)]
    process = subprocess.Popen(
        arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 60
    while not (target / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = checkpoint.load(target / "checkpoint.pt")
    resumed = run(folder, target, resume=True, steps=saved["step"] + 2)
    assert resumed.step == saved["step"] + 2


def test_training_lowers_the_error(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", steps=300, noise="gaussian:25")
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    psnr = json.loads(rows[-1])["psnr"]
    assert psnr["gaussian:25"] > 22.0  # the noisy pictures have 20.2 dB


def test_trains_on_pairs(tmp_path: Path) -> None:
    clean = write_pictures(tmp_path / "clean", count=4)
    noisy = write_pictures(tmp_path / "noisy", count=4, noise=20)
    state = train(
        "tiny-gray", pairs=(noisy, clean), run=tmp_path / "run", steps=4, quiet=True, device="cpu"
    )
    assert state.step == 4
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["pairs"] == ["noisy", "clean"]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save({"step": 1}, path)

    def full(_state: object, file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"checkpoint .*checkpoint\.pt cannot be written"):
        checkpoint.save({"step": 2}, path)
    assert checkpoint.load(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_what_is_said_of_a_run_is_about_its_own_noise_and_name(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures", count=4)
    chosen = {"steps": 2, "quiet": True, "device": "cpu"}
    train("tiny-gray", data=[pictures], run=tmp_path / "run", noise="gaussian:30", **chosen)
    train("tiny-gray", pairs=(pictures, pictures), run=tmp_path / "pairs", **chosen)
    assert export_model([tmp_path / "run"], tmp_path / "cells.onnx") == 0
    (tmp_path / "grains").mkdir()
    assert export_model([tmp_path / "pairs"], tmp_path / "grains" / "model.onnx") == 0
    ((title, figures),) = load_model(tmp_path / "cells.onnx").quality.items()
    assert ("float noise" in title, set(figures)) == (True, {"gaussian:30"})
    ((title, figures),) = load_model(tmp_path / "grains" / "model.onnx").quality.items()
    assert ("the pairs" in title, set(figures)) == (True, {"pairs"})
    assert load_model(tmp_path / "cells.onnx").name == "cells"
    assert load_model(tmp_path / "grains" / "model.onnx").name == "grains"


def test_crops_are_drawn_over_whatever_the_noise(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    draw_over = fit.draw_over

    def watched(pictures: Tensor, share: float, *sources: Any) -> tuple[Tensor, list[int]]:
        shares.append(share)
        return draw_over(pictures, share, *sources)

    monkeypatch.setattr(fit, "draw_over", watched)
    plain = run(folder, tmp_path / "plain", steps=3)
    assert not shares, "a recipe that does not say so takes pictures as they are"
    drawn = run(folder, tmp_path / "drawn", steps=3, leaves=0.75)
    assert shares == [0.75] * 3
    assert not same_weights(plain.net, drawn.net)


def test_drawing_wants_a_share_and_clean_pictures(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0 to 1, not 1\.5"):
        run(folder, tmp_path / "run", steps=1, leaves=1.5)
    with pytest.raises(UsageError, match="leave --drawn out"):
        train("tiny-gray", pairs=(folder, folder), run=tmp_path / "run", steps=1, leaves=0.5)


def test_uneven_noise_is_made_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    plain = run(folder, tmp_path / "plain", steps=3)
    uneven = run(folder, tmp_path / "uneven", steps=3, uneven=0.75)
    assert not same_weights(plain.net, uneven.net)
    none = run(folder, tmp_path / "none", steps=3, uneven=0.0)
    assert same_weights(plain.net, none.net)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uneven": 1.5}, r"0 to 1, not 1\.5"),
        ({"uneven": 0.5, "noise": "poisson:30"}, "for gaussian noise"),
    ],
)
def test_uneven_noise_wants_a_share_and_gaussian_noise(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(folder, tmp_path / "run", steps=1, **options)


def test_pairs_have_their_own_noise(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave --uneven out"):
        train("tiny-gray", pairs=(folder, folder), run=tmp_path / "run", steps=1, uneven=0.5)


def test_export_in_half_precision_by_the_command(folder: Path, tmp_path: Path) -> None:
    trained = run(folder, tmp_path / "run", steps=1)
    for name, options in (("whole", []), ("half", ["--half"])):
        path = tmp_path / f"{name}.onnx"
        assert main(["export", str(tmp_path / "run"), "-o", str(path), *options]) == 0
        stored = read_weights(path)
        for key, weight in trained.average.state_dict().items():
            expected = weight.half().float() if options else weight
            assert torch.equal(stored[key], expected)


def test_pairs_must_match(tmp_path: Path) -> None:
    clean = write_pictures(tmp_path / "clean", count=3)
    noisy = write_pictures(tmp_path / "noisy", count=4)
    with pytest.raises(TrainingError, match="no partner"):
        read_pairs(noisy, clean)


def test_pairs_belong_together_by_their_path(tmp_path: Path) -> None:
    for side in ("clean", "noisy"):
        for part in ("s1", "s2"):
            (tmp_path / side).mkdir(exist_ok=True)
            write_pictures(tmp_path / side / part, count=2, noise=20 if side == "noisy" else 0)
    # Sorted by full names x.png would lie behind x.b.png on one side only.
    for side, suffix in (("noisy", ".png"), ("clean", ".webp")):
        for name, level in (("x", 50), ("x.b", 200)):
            write_level(tmp_path / side / f"{name}{suffix}", level)
    noisy, clean = read_pairs(tmp_path / "noisy", tmp_path / "clean")
    assert noisy.names == clean.names == ("s1/00", "s1/01", "s2/00", "s2/01", "x", "x.b")
    for parts in (split(noisy, 2), split(clean, 2)):
        assert parts[1].names == ("s1/00", "s2/00", "x")
    assert [int(p[0, 0, 0]) for p in (*noisy.pictures[4:], *clean.pictures[4:])] == [50, 200] * 2
    write_level(tmp_path / "noisy" / "x.tif", 50)
    with pytest.raises(TrainingError, match="two pictures named x;"):
        read_pairs(tmp_path / "noisy", tmp_path / "clean")


def write_level(path: Path, level: int) -> None:
    import pyvips

    pixels = np.full((30, 30, 3), level, np.uint8)
    options = {"lossless": True} if path.suffix == ".webp" else {}
    pyvips.Image.new_from_array(pixels).write_to_file(str(path), **options)


@pytest.mark.parametrize("content", ["nothing", "array", "wrong sizes", "cut"])
def test_damaged_packs_are_one_sentence(folder: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "pack.npz"
    pack([folder], path)
    if content == "nothing":
        path.write_bytes(b"")
    elif content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        with np.load(path) as whole:
            arrays = dict(whole)
        np.savez(path, **{**arrays, "sizes": arrays["sizes"] * 2})
    with pytest.raises(TrainingError, match="is no pack of pictures"):
        load([path])


def test_weights_that_are_no_numbers_do_not_replace_a_good_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    draw = fit.draw_batch

    def poisoned(*given: Any, **more: Any) -> Any:
        noisy, clean = draw(*given, **more)
        return noisy * (float("nan") if given[3] == 5 else 1.0), clean

    monkeypatch.setattr(fit, "draw_batch", poisoned)
    with pytest.raises(TrainingError, match=r"A weight is no longer a number at step 6"):
        run(folder, tmp_path / "run", steps=20)
    saved = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert saved["step"] == 5
    assert all(weight.isfinite().all() for weight in saved["net"].values())


def test_a_resumed_run_has_every_row_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, step=5)
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    changes: dict[str, Any] = {"steps": 8, "validate_every": 2}
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "run", **changes)
    monkeypatch.undo()
    journal = tmp_path / "run" / "metrics.jsonl"
    late = {**json.loads(journal.read_text().splitlines()[-1]), "step": 6}
    with journal.open("a") as file:  # written after the checkpoint, and a row that was cut short
        file.write(json.dumps(late) + '\n{"step": 8, "pi')
    run(folder, tmp_path / "run", resume=True)
    steps = [json.loads(line)["step"] for line in journal.read_text().splitlines()]
    assert steps == [2, 4, 6, 8]


@pytest.mark.parametrize("crop", [15, 16])
def test_photographs_of_odd_and_even_crops(folder: Path, tmp_path: Path, crop: int) -> None:
    assert run(folder, tmp_path / "run", steps=3, **{**PHOTOGRAPHS, "crop": crop}).step == 3


def test_a_step_of_distinct_pictures_needs_as_many(folder: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"data": [folder], "run": tmp_path / "run", "quiet": True}
    with pytest.raises(TrainingError, match=r"takes 9 different pictures, but only 5"):
        train("jain-seung-faithful", steps=2, batch=9, device="cpu", **given)


def test_two_processes_train_one_net(folder: Path, tmp_path: Path) -> None:
    """`torchrun` starts two; gradients are averaged, and the first one writes the run."""
    target = tmp_path / "run"
    arguments = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    arguments += ["--standalone", "-m", "degrain", "train", "tiny-gray", "--data", str(folder)]
    arguments += ["-o", str(target), "--steps", "4", "--batch", "4", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    rows = (target / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [4]
    assert checkpoint.load(target / "checkpoint.pt")["step"] == 4


def test_nan_loss_stops_with_advice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.OF_ERROR, "rms", lambda error: error.mean() * float("nan"))
    with pytest.raises(TrainingError, match=r"The loss is no longer a number.*--lr"):
        run(folder, tmp_path / "run", steps=50)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_pack_round_trip(folder: Path, tmp_path: Path) -> None:
    pack([folder], tmp_path / "p.npz")
    packed, direct = load([tmp_path / "p.npz"]), load([folder])
    assert packed.names == direct.names
    for a, b in zip(packed.pictures, direct.pictures, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_from_a_pack_equals_training_from_its_folder(folder: Path, tmp_path: Path) -> None:
    pack([folder], tmp_path / "p.npz")
    first = run(folder, tmp_path / "a", steps=3)
    second = run(tmp_path / "p.npz", tmp_path / "b", steps=3)
    assert same_weights(first.net, second.net)


def test_training_from_a_pack_needs_torch_and_numpy_only(folder: Path, tmp_path: Path) -> None:
    """As on a bare rented machine: every other package is made impossible to import."""
    pack([folder], tmp_path / "p.npz")
    code = (
        "import sys; from pathlib import Path\n"
        "for name in ('pyvips', 'onnx', 'onnxruntime', 'onnxscript', 'tyro', 'tqdm',"
        " 'tensorboard', 'skimage'): sys.modules[name] = None\n"
        "from degrain.train.setup import train\n"
        "train('tiny-gray', data=[Path(sys.argv[1])], run=Path(sys.argv[2]), steps=2,"
        " quiet=True, device='cpu')\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "p.npz"), str(tmp_path / "run")]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_pictures_get_smaller_by_the_mean_of_their_pixels(folder: Path, tmp_path: Path) -> None:
    small, whole = pack([folder], tmp_path / "p.npz", shrink=3), load([folder])
    assert load([tmp_path / "p.npz"]).pictures[0].shape == (18, 21, 3)
    for a, b in zip(small.pictures, whole.pictures, strict=True):
        assert a.dtype == np.uint8
        assert abs(int(a[1, 2, 0]) - b[3:6, 6:9, 0].mean()) <= 0.5
    with pytest.raises(TrainingError, match="64×56 cannot get 57 times smaller"):
        pack([folder], tmp_path / "q.npz", shrink=57)
    assert not (tmp_path / "q.npz").exists()
    arguments = ["pack", str(folder), "-o", str(tmp_path / "q.npz"), "--shrink", "0"]
    assert main(arguments) == 2


def test_damaged_pack_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(b"no zip file")
    with pytest.raises(TrainingError, match="no pack"):
        load([path])


def test_crops_come_from_the_pictures_in_all_orientations() -> None:
    values = np.arange(20 * 30, dtype=np.float32).reshape(20, 30, 1)
    source = CropSource(Pack(("a",), (0,), (values,)), channels=1, crop=5)
    (crops,) = source.draw(200, torch.Generator().manual_seed(0))
    steps = {(float(c[0, 0, 1] - c[0, 0, 0]), float(c[0, 1, 0] - c[0, 0, 0])) for c in crops}
    assert steps == {(a, b) for a in (1, -1) for b in (30, -30)} | {
        (b, a) for a in (1, -1) for b in (30, -30)
    }


def test_sources_are_drawn_equally_often() -> None:
    pictures = tuple(np.full((8, 8, 1), k > 0, dtype=np.float32) for k in range(10))
    source = CropSource(Pack(("x",) * 10, (0,) + (1,) * 9, pictures), channels=1, crop=4)
    (crops,) = source.draw(4000, torch.Generator().manual_seed(0))
    assert 0.46 < float(crops[:, 0, 0, 0].mean()) < 0.54


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(TrainingError, match="64×64"):
        CropSource(Pack(("a",), (0,), (picture(0),)), channels=1, crop=64)


def test_split_holds_out_every_twentieth() -> None:
    names = tuple(f"{k:03}" for k in range(40))
    packed = Pack(names, (0,) * 40, tuple(picture(0) for _ in names))
    kept, held_out = split(packed)
    assert held_out.names == ("000", "020")
    assert set(kept.names) == set(names) - set(held_out.names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1, "minutes": 1.0}, "not both"),
        ({"steps": 0}, "positive"),
        ({"lr": -0.1}, "--lr -0.1 makes no sense"),
        ({"lr": math.nan}, "--lr nan makes no sense"),
        ({"batch": 0}, "--batch 0 makes no sense"),
        ({"loss": "lpips"}, "Unknown loss 'lpips'; use charbonnier"),
        ({"noise": "gauss"}, "Unknown noise"),
        ({"device": "nowhere"}, "cannot be used"),
    ],
)
def test_contradictions_are_usage_errors(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train("tiny-gray", **{"data": [folder], "run": tmp_path / "r", "quiet": True, **options})


def test_a_run_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", steps=1)
    with pytest.raises(UsageError, match="--resume"):
        run(folder, tmp_path / "run", steps=1)


def test_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="degrain-gray"):
        recipes.find_recipe("degrain-grey")


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 20, 50), (2, 50, 20)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape), 5))
        assert values.min() > 0.5
        assert values.max() < 1.3


@pytest.mark.parametrize("optimizer", ["adamw", "soap", "sgd", "muon"])
def test_every_optimizer_moves_a_net_without_biases(
    folder: Path, tmp_path: Path, optimizer: str
) -> None:
    state = run(folder, tmp_path / "run", steps=30, optimizer=optimizer)
    fresh = fit.build_net(recipes.find_recipe("tiny-gray"))
    pairs = zip(state.net.parameters(), fresh.parameters(), strict=True)
    assert all(not torch.equal(after, before) for after, before in pairs)


def test_orthogonalizing_by_the_gram_matrix_is_the_plain_iteration() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(2, 16, 90)
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True)
    for _ in range(4):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonalize(matrices, 4), x, atol=1e-4)


def test_an_enlarged_ramp_is_a_gentler_one_from_inside_its_crop() -> None:
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32)
    enlarged = enlarge(ramp, 4.0, torch.Generator().manual_seed(0))
    inner = enlarged[..., 2:-2, 2:-2]
    slopes = inner.diff(dim=-1).mean((1, 2, 3)) * 31
    assert ((slopes > 0.24) & (slopes < 0.68)).all(), "1.5 to 4 times"
    assert slopes.min() < 0.3
    assert slopes.max() > 0.6
    assert (inner.diff(dim=-2).abs() < 1e-5).all()
    assert inner.mean((1, 2, 3)).std() > 0.1, "parts come from different places"


def test_the_filters_of_a_camera_act_on_the_picture_too() -> None:
    shots = [Shot(gain=0.01), Shot(gain=0.01, luma_px=1.0, chroma_px=2.0), Shot(gain=0.01, scale=2)]
    sharp = 0.5 + 0.1 * torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same, smooth, small = through_filters(sharp, shots)
    assert torch.allclose(same, sharp[0], atol=1e-5)
    for picture, original in ((smooth, sharp[1]), (small, sharp[2])):
        assert picture.diff(dim=-1).std() < 0.5 * original.diff(dim=-1).std()
    ramp = torch.linspace(0, 1, 64).expand(3, 3, 64, 64)
    assert torch.allclose(through_filters(ramp, shots)[..., 8:-8], ramp[..., 8:-8], atol=2e-3), (
        "nothing is moved"
    )
    # A shot made smaller keeps its picture, whatever else is in the batch.
    kept = through_filters(sharp, [Shot(gain=0.01, scale=0.6), shots[2], shots[2]])[0]
    assert torch.allclose(kept, sharp[0], atol=1e-5)
    wider = through_filters(sharp, [replace(shots[1], chroma_px=4.0)] * 3)
    assert torch.equal(wider[1], smooth), "what smooths color noise spares the color of the picture"
    gray = through_filters(sharp[:, :1], shots)
    assert gray.shape == (3, 1, 64, 64)


def test_only_camera_shots_get_softer() -> None:
    crops = torch.rand(400, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noisy, clean = photograph(crops, 4.0, torch.Generator().manual_seed(1))
    middle = crops[..., 8:-8, 8:-8]
    assert noisy.shape == clean.shape == middle.shape
    soft = (clean != middle).flatten(1).any(1)
    assert 0.65 < soft.float().mean() < 0.77, "all camera shots, seven in ten"
    steps = clean[soft].diff(dim=-1).abs().mean() / crops.diff(dim=-1).abs().mean()
    assert 0.03 < steps < 0.3
    beyond = ((noisy < 0) | (noisy > 1)).flatten(1).any(1)
    assert beyond.sum() > 20, "white noise, which is not clipped"
    gray = (clean[:, 0] - clean[:, 2]).abs().flatten(1).amax(1) < 1e-5
    assert 0.02 < gray.float().mean() < 0.09, "half of those with gray grain"
    assert not (beyond & soft & ~gray).any()


def test_camera_shots_lose_the_grain_that_a_picture_has_of_its_own() -> None:
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = ((rows + columns) % 2).float().expand(60, 3, 64, 64)
    _, clean = photograph(board, 1.0, torch.Generator().manual_seed(2))
    spread = clean.flatten(1).std(1)
    assert ((spread < 0.03) | (spread > 0.49)).all(), "a camera's is flat, the others as they were"
    assert 0.5 < (spread < 0.03).float().mean() < 0.85


def test_the_noise_of_a_shot_does_not_move_the_local_mean() -> None:
    """Near black a camera's noise is cut off on one side, so it lifts the picture."""
    dark = torch.full((60, 3, 128, 128), 0.01)
    noisy, clean = photograph(dark, 4.0, torch.Generator().manual_seed(3))
    shots = (clean != 0.01).flatten(1).any(1)
    assert shots.float().mean() > 0.5
    lifted = (noisy - 0.01)[shots].mean((1, 2, 3))
    assert lifted.max() > 0.01
    assert (noisy - clean)[shots].mean((1, 2, 3)).abs().max() < 0.1 * lifted.max()


def test_flattened_crops_keep_their_mean() -> None:
    crops = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    flat = flatten(crops, torch.Generator().manual_seed(1))
    assert torch.allclose(flat.mean((1, 2, 3)), crops.mean((1, 2, 3)), atol=1e-6)
    contrast = flat.std((1, 2, 3)) / crops.std((1, 2, 3))
    assert ((contrast > 0.149) & (contrast < 1.001)).all()
    assert contrast.min() < 0.2
    assert contrast.max() > 0.9


def test_the_psnr_loss_is_minus_the_psnr() -> None:
    clean = torch.rand(2, 1, 16, 16)
    noisy = clean + torch.tensor([0.02, 0.2]).view(2, 1, 1, 1) * torch.randn(2, 1, 16, 16)
    decibels = [psnr(a.numpy(), b.numpy()) for a, b in zip(clean[:, 0], noisy[:, 0], strict=True)]
    expected = -sum(decibels) / 2 * math.log(10) / 20
    assert float(losses.loss("psnr", noisy, clean)) == pytest.approx(expected, abs=0.01)
    assert float(losses.loss("psnr", clean, clean)) == pytest.approx(math.log(0.5 / 255), rel=1e-4)


def test_the_average_moves_its_share_towards_the_net() -> None:
    average, net = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = 0.75 * average.weight + 0.25 * net.weight
    follow(average, net, 0.75)
    torch.testing.assert_close(average.weight, wanted)
    follow(average, net, 0.0)
    torch.testing.assert_close(average.bias, net.bias)


@pytest.mark.parametrize(("device", "compiled"), [("cpu", 0), ("cuda", 1)])
def test_a_net_is_compiled_for_a_gpu_only(
    device: str, compiled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **given: calls.append(given))
    monkeypatch.setattr("degrain.train.devices.has_triton", lambda: True)
    with torch._dynamo.config.patch(suppress_errors=False):
        compile_for(torch.nn.Linear(1, 1), torch.device(device))
    assert calls == [{"dynamic": False}] * compiled


def test_noise_for_a_gpu_is_made_exactly_and_the_net_s_settings_come_back() -> None:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn

    def settings() -> tuple[bool, ...]:
        return products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark

    before = settings()
    products.allow_tf32 = convolutions.allow_tf32 = convolutions.benchmark = True
    try:
        with exact(torch.device("cuda")):
            assert settings() == (False, False, False)
        assert settings() == (True, True, True)
        with exact(torch.device("cpu")):
            assert settings() == (True, True, True)
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark = before


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian:25",
        "poisson:30",
        "poisson-gaussian:0.01,0.02",
        "jpeg:60",
        "mask:0.5",
        "text:12",
        "camera",
    ],
)
def test_noise_that_is_made_by_products_is_made_exactly(spec: str) -> None:
    noise, products = parse_noise(spec), Products()
    with products:
        degrade(torch.full((8, 3, 32, 32), 0.5), noise, torch.Generator().manual_seed(0))
    held = fit.exact_for(noise, torch.device("cuda"))
    assert products.found == (not isinstance(held, contextlib.nullcontext))


class Products(TorchDispatchMode):
    """Notices matrix products and convolutions, whose precision a GPU may cut."""

    found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found |= func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "convolution")
        return func(*args, **(kwargs or {}))
