"""Growing a net layer by layer, and choosing pictures by a list."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from degrain.cli import main
from degrain.errors import ModelError, TrainingError, UsageError
from degrain.nets.jain_seung_2008 import OUTSIDE
from degrain.noise import parse_noise
from degrain.train import checkpoint, fit, lists, recipes
from degrain.train.data import CropSource, Pack, pack
from degrain.train.devices import Processes
from degrain.train.export import export_run
from degrain.train.layerwise import hidden_layers, stage
from degrain.train.onnx_file import read_weights
from degrain.train.setup import train
from degrain.zoo.card import ModelCard
from degrain.zoo.store import load_model

TINY = {"channels": 1, "maps": 4, "fan_in": 2, "kernel": 3}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped recipes with fewer maps, so that a step takes a millisecond."""
    for name in ("jain-seung", "jain-seung-layerwise", "jain-seung-faithful"):
        recipe = recipes.RECIPES[name]()
        small = dataclasses.replace(
            recipe,
            options={**recipe.options, **TINY},
            crop=min(recipe.crop, 12),
            validate_every=1000,
            validation_noise=("gaussian:25",),
        )
        monkeypatch.setitem(recipes.RECIPES, name, lambda small=small: small)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight pictures in one pack file; no file needs decoding twice."""
    import pyvips

    folder = tmp_path / "clean"
    folder.mkdir()
    for k in range(8):
        y, x = np.mgrid[:30, :34]
        levels = 127 + 60 * np.sin(0.2 * x + 0.1 * k * y + k) + 30 * (x > 3 * k)
        image = pyvips.Image.new_from_array(levels.clip(0, 255).astype(np.uint8)[..., None])
        image.write_to_file(str(folder / f"{100 + k}.png"))
    pack([folder], tmp_path / "clean.npz")
    return tmp_path / "clean.npz"


def run(name: str, data: Path, target: Path, **options: Any) -> fit.State:
    return train(name, data=[data], run=target, quiet=True, device="cpu", **options)


def rows(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (target / "metrics.jsonl").read_text().splitlines()]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_shares_make_up_the_whole_budget() -> None:
    recipe = dataclasses.replace(recipes.jain_seung_faithful(), minutes=None, steps=1001)
    stages = [stage(recipe, hidden) for hidden in (1, 2, 3, 4)]
    assert sum(part.steps or 0 for part in stages) == 1001
    assert [part.options["hidden"] for part in stages] == [1, 2, 3, 4]
    minutes = dataclasses.replace(recipe, steps=None, minutes=40.0)
    assert sum(stage(minutes, hidden).minutes or 0 for hidden in (1, 2, 3, 4)) == pytest.approx(40)


def test_the_net_grows_and_the_log_says_so(data: Path, tmp_path: Path) -> None:
    state = run("jain-seung-faithful", data, tmp_path / "run", steps=20)
    assert hidden_layers(state) == 4
    told = [(row["hidden"], row["step"]) for row in rows(tmp_path / "run")]
    assert told == [(1, 2), (2, 5), (3, 10), (4, 20)]
    pixels = [row["pixels"] for row in rows(tmp_path / "run")]
    assert pixels == [step * 6 * 36 for _, step in told]


def test_a_deeper_net_begins_with_the_layers_of_the_one_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a step length of zero from the second net on, they must stay as they were."""
    seen: list[dict[str, torch.Tensor]] = []
    original = fit.fit

    def spy(recipe: recipes.Recipe, state: fit.State, *rest: Any) -> fit.State:
        before = {name: tensor.clone() for name, tensor in state.net.state_dict().items()}
        result = original(recipe, state, *rest)
        after = {name: tensor.clone() for name, tensor in state.average.state_dict().items()}
        seen.append({f"before.{k}": v for k, v in before.items()} | after)
        return result

    monkeypatch.setattr("degrain.train.layerwise.fit", spy)
    run("jain-seung-layerwise", data, tmp_path / "run", steps=20)
    for shallow, deep in itertools.pairwise(seen):
        kept = [n for n in shallow if not n.startswith(("before.", "tail."))]
        assert "head.weight" in kept
        assert all(torch.equal(shallow[name], deep[f"before.{name}"]) for name in kept)
        assert not torch.equal(shallow["tail.weight"], deep["before.tail.weight"])


@pytest.mark.parametrize("name", ["jain-seung-faithful", "jain-seung-layerwise"])
@pytest.mark.parametrize("step", [3, 5, 14])
def test_resumed_inside_and_between_layers_equals_uninterrupted(
    name: str, step: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 steps the nets take 2, 3, 5 and 10: step 5 is the first of the third net."""
    whole = run(name, data, tmp_path / "whole", steps=20)
    draw = fit.draw_batch

    def interrupted(*args: Any, **named: Any) -> Any:
        if args[3] == step:
            raise KeyboardInterrupt
        return draw(*args, **named)

    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(fit, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(name, data, tmp_path / "broken", steps=20)
    monkeypatch.setattr(fit, "draw_batch", draw)
    resumed = run(name, data, tmp_path / "broken", resume=True)
    assert (resumed.step, resumed.pixels) == (whole.step, whole.pixels)
    assert same(whole.net, resumed.net)
    assert same(whole.average, resumed.average)


def test_an_unfinished_run_exports_the_net_it_has(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 64)
    draw = fit.draw_batch

    def interrupted(*args: Any, **named: Any) -> Any:
        if args[3] == 6:
            raise KeyboardInterrupt
        return draw(*args, **named)

    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(fit, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("jain-seung-layerwise", data, tmp_path / "run", steps=20)
    card = export_run(tmp_path / "run", tmp_path / "three.onnx")
    assert card.parameters == (9 * 4 + 4) + 2 * (9 * 2 * 4 + 4) + (9 * 4 + 1)


def test_plain_descent_has_the_papers_step_lengths() -> None:
    recipe = recipes.jain_seung_faithful()
    for hidden, last in ((1, 0.1), (2, 0.001), (4, 0.001)):
        part = stage(recipe, hidden)
        net = fit.build_net(part)
        (optimizer,) = fit.make_optimizers(part, net)
        lengths = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
        assert len(lengths) == len(list(net.parameters()))
        for name, param in net.named_parameters():
            assert lengths[id(param)] == (last if name.startswith("tail") else 0.1)
        assert fit.rate(0.9, 0, part) == 1.0


def test_patches_of_one_update_come_from_different_pictures() -> None:
    pictures = tuple(np.full((9, 9, 1), k, dtype=np.uint8) for k in range(6))
    packed = Pack(tuple("abcdef"), (0,) * 6, pictures)
    source = CropSource(packed, channels=1, crop=6, distinct=True)
    for seed in range(5):
        (crops,) = source.draw(6, torch.Generator().manual_seed(seed))
        assert (crops[:, 0, 0, 0] * 255).round().sort().values.tolist() == [0, 1, 2, 3, 4, 5]


def test_crops_are_surrounded_by_the_picture_and_beyond_it_by_minus_one() -> None:
    """A picture little larger than the crop, in all eight orientations."""
    picture = np.arange(1, 64, dtype=np.float32).reshape(7, 9, 1) / 64
    source = CropSource(Pack(("a",), (0,), (picture,)), channels=1, crop=5)
    recipe = dataclasses.replace(recipes.jain_seung(), batch=64)
    noise = parse_noise("gaussian:0")
    noisy, clean = fit.draw_batch(source, noise, recipe, 0, Processes(), 3)
    assert noisy.shape == (64, 1, 11, 11)
    assert torch.equal(noisy[..., 3:-3, 3:-3], clean)
    framed = np.pad(picture[..., 0], 3, constant_values=OUTSIDE)
    for crop in noisy[:, 0].numpy():
        corners = [(y, x) for y in range(framed.shape[0]) for x in range(framed.shape[1])]
        windows = [framed[y : y + 11, x : x + 11] for y, x in corners]
        turned = [np.rot90(c, k) for c in (crop, crop.T) for k in range(4)]
        assert any(w.shape == t.shape and np.array_equal(w, t) for w in windows for t in turned)


def test_the_shipped_lists_can_be_drawn_again() -> None:
    pool = lists.read_list("bsds300-train")
    assert len(set(pool)) == 200
    first, second = lists.draw(pool, (40, 100))
    assert tuple(first) == lists.read_list("jain-seung-cn1")
    assert tuple(second) == lists.read_list("jain-seung-cn2")
    assert set(first) < set(second) < set(pool)
    assert lists.draw(pool, (40,), seed=1)[0] != first


def packed(names: str, sources: str) -> Pack:
    pictures = tuple(np.zeros((4, 4, 1), np.uint8) for _ in names)
    return Pack(tuple(f"{n}.jpg" for n in names), tuple(map(int, sources)), pictures)


def test_validation_never_takes_from_a_folder_without_listed_pictures() -> None:
    chosen, rest = lists.select(packed("abcdxyz", "0000111"), ["b", "d"])
    assert chosen.names == ("b.jpg", "d.jpg")
    assert rest.names == ("a.jpg", "c.jpg")


def test_validation_takes_listed_pictures_where_there_are_no_others() -> None:
    chosen, rest = lists.select(packed("abxyz", "00111"), ["a", "b"])
    assert (chosen.names, rest.names) == (("b.jpg",), ("a.jpg",))


def test_missing_pictures_are_named() -> None:
    with pytest.raises(TrainingError, match=r"lacks 1 of 2 listed pictures \(q"):
        lists.select(packed("ab", "00"), ["a", "q"])


@pytest.mark.parametrize("content", [None, "# nothing\n\n"])
def test_useless_lists_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "list").write_text(content)
    with pytest.raises(UsageError, match="list"):
        lists.read_list(str(tmp_path / "list"))


def test_a_listed_run_started_from_another_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card tells the list, the noise and the start; a resumed run keeps all three."""
    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 64)
    (tmp_path / "few.txt").write_text("101 # an id\n103.png\n106\n")
    listed = str(tmp_path / "few.txt")
    first = run("jain-seung", data, tmp_path / "first", steps=3)
    run("jain-seung", data, tmp_path / "second", steps=1, start=str(tmp_path / "first"),
        ids=listed, noise="gaussian:50")  # fmt: skip
    run("jain-seung", data, tmp_path / "second", resume=True, steps=2)
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert (config["start"], config["pictures"]) == ("first", 3)
    card: ModelCard = export_run(tmp_path / "second", tmp_path / "net.onnx", name="net")
    assert card.training_data == "3 pictures from clean.npz (list few)"
    assert card.recipe == (
        "degrain train jain-seung --data DIR --ids few --noise gaussian:50 -o RUN --steps 2"
        " --start first"
    )
    assert (card.gray, card.noise) == ("average", "gaussian:50")
    assert card.summary == "Denoiser for gray pictures with noise gaussian:50."
    still = run("jain-seung", data, tmp_path / "third", steps=1, start=str(tmp_path / "first"))
    assert (still.net.head.weight - first.average.head.weight).abs().max() < 1e-3


def test_the_mean_of_runs_is_exported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("degrain.train.describe.measure_memory", lambda *_: 64)
    run("jain-seung", data, tmp_path / "first", steps=2)
    run("jain-seung", data, tmp_path / "second", steps=2, start=str(tmp_path / "first"))
    mean = export_run(tmp_path / "first", tmp_path / "mean.onnx", tmp_path / "second")
    heads = [checkpoint.load(tmp_path / name / "checkpoint.pt")["average"]["head.weight"]
             for name in ("first", "second")]  # fmt: skip
    torch.testing.assert_close(read_weights(mean.path)["head.weight"], sum(heads) / 2)
    assert (mean.quality, mean.recipe.count("degrain train")) == ({}, 2)
    again = tmp_path / "again.onnx"
    assert main(["export", str(tmp_path / "second"), str(mean.path), "-o", str(again)]) == 0
    torch.testing.assert_close(read_weights(again)["head.weight"], heads[0] / 4 + heads[1] * 3 / 4)
    assert load_model(str(again)).recipe.endswith(
        f"jain-seung (its weights of version {mean.sha256[:12]})"
    )
    with pytest.raises(UsageError, match="nowhere"):
        export_run(tmp_path / "first", tmp_path / "mean.onnx", Path("nowhere"))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(TrainingError, match="no checkpoint"):
        export_run(tmp_path / "first", tmp_path / "mean.onnx", other)
    larger = checkpoint.load(tmp_path / "second" / "checkpoint.pt")
    larger["average"]["more.weight"] = torch.zeros(1)
    torch.save(larger, other / "checkpoint.pt")
    with pytest.raises(UsageError, match="another network"):
        export_run(tmp_path / "first", tmp_path / "mean.onnx", other)
    run("tiny-gray", data, tmp_path / "unlike", steps=1, crop=12)
    with pytest.raises(UsageError, match="another network"):
        export_run(tmp_path / "first", tmp_path / "mean.onnx", tmp_path / "unlike")


def test_contradictions_are_refused(data: Path, tmp_path: Path) -> None:
    run("jain-seung", data, tmp_path / "run", steps=1)
    with pytest.raises(UsageError, match="layer by layer"):
        run("jain-seung-faithful", data, tmp_path / "other", start=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="keeps the run's own ids"):
        run("jain-seung", data, tmp_path / "run", resume=True, ids="jain-seung-cn1")
    with pytest.raises(ModelError, match="another architecture"):
        train("tiny-gray", data=[data], run=tmp_path / "unet", quiet=True, device="cpu", steps=1,
              crop=16, start=str(tmp_path / "run"))  # fmt: skip


def test_time_left_starts_anew_with_each_net(tmp_path, monkeypatch, capsys) -> None:
    from types import SimpleNamespace

    from degrain.train import watch

    now = [0.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now[0])
    seen = watch.Watch(tmp_path)
    for seconds, share in ((0, 0.25), (80, 0.75), (100, 0.25), (110, 0.5)):
        now[0] = seconds
        seen.step(SimpleNamespace(step=1000, pixels=0), 0.1, share)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["0:00:40 left", "0:00:20 left"]
