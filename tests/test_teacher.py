"""Learning from a teacher: whose answers, which loss, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from degrain.engines.onnx import OnnxEngine
from degrain.errors import ModelError, UsageError
from degrain.train import recipes
from degrain.train.fit import State
from degrain.train.losses import OF_ERROR, loss
from degrain.train.repeat import command
from degrain.train.setup import train
from degrain.train.start import stored_weights
from degrain.train.teacher import load_teacher, unet_of
from degrain.zoo.store import load_model
from pictures import write_random

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("teacher"), "abcdef", (56, 64))


def taught(folder: Path, run: Path, **options: Any) -> State:
    chosen = {"teacher": "degrain-gray-fast", "steps": 6, **options}
    return train("tiny-gray", data=[folder], run=run, quiet=True, device="cpu", **chosen)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_teacher_has_the_shape_that_its_weights_tell(channels: int, small_exports) -> None:
    net, path = small_exports[channels]
    teacher = load_teacher(str(path), channels, CPU)
    x = torch.rand(1, channels, 21, 30)
    with torch.no_grad():
        assert torch.equal(teacher(x), net(x))
    assert not any(weight.requires_grad for weight in teacher.parameters())


@pytest.mark.parametrize("name", ["degrain-gray", "degrain-gray-fast"])
def test_shipped_networks_teach_what_they_answer(name: str) -> None:
    x = torch.rand(1, 1, 40, 48)
    answered = OnnxEngine(load_model(name).path).run(x.numpy())
    with torch.no_grad():
        given = load_teacher(name, 1, CPU)(x)
    torch.testing.assert_close(given, torch.from_numpy(answered), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(OF_ERROR))
def test_a_teacher_who_knows_the_clean_picture_changes_no_loss(name: str) -> None:
    output, clean = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    assert loss(name, output, clean, clean).item() == pytest.approx(
        loss(name, output, clean).item()
    )


def test_a_net_that_answers_like_its_teacher_has_nothing_to_learn() -> None:
    """The noise of the sample, in which teacher and net differ from the clean crop, is left out."""
    output = torch.rand(2, 1, 8, 8, requires_grad=True)
    with_teacher = loss("rms", output, torch.rand(2, 1, 8, 8), output.detach())
    (gradient,) = torch.autograd.grad(with_teacher, output)
    assert not gradient.any()


def test_gradients_agree_in_the_mean_with_those_without_a_teacher() -> None:
    """Where the teacher is the mean of all clean pictures, over very many of them."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(1, 1, 4, 4, generator=generator)
    output = (mean + 0.1).expand(40_000, 1, 4, 4).clone().requires_grad_()
    clean = mean + 0.2 * torch.randn(40_000, 1, 4, 4, generator=generator)

    def gradients(teacher: torch.Tensor | None) -> torch.Tensor:
        return torch.autograd.grad(loss("mse", output, clean, teacher), output)[0]

    plain, learned = gradients(None), gradients(mean.expand_as(clean))
    torch.testing.assert_close(learned.mean(0), plain.mean(0), rtol=0.05, atol=0)
    assert learned.std(0).max() < 0.01 * plain.std(0).min()


def test_a_net_that_is_its_own_teacher_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    """Both answer alike, so there is nothing to learn; without a teacher there is."""
    first = tmp_path / "first"
    taught(folder, first, teacher=None, steps=2)
    before = stored_weights(str(first))["tail.weight"]
    own = taught(folder, tmp_path / "own", start=str(first), teacher=str(first), steps=2)
    alone = taught(folder, tmp_path / "alone", start=str(first), teacher=None, steps=2)
    assert torch.equal(own.net.tail.weight, before)
    assert not torch.equal(alone.net.tail.weight, before)


def test_a_resumed_run_keeps_its_teacher(folder: Path, tmp_path: Path) -> None:
    whole = taught(folder, tmp_path / "whole", steps=6, schedule="constant")
    taught(folder, tmp_path / "halves", steps=3, schedule="constant")
    halves = train(
        "tiny-gray", data=[folder], run=tmp_path / "halves", resume=True, steps=6, quiet=True
    )
    for a, b in zip(whole.net.parameters(), halves.net.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "l1"}, r"With a teacher the loss must be one of rms"),
        ({"teacher": "degrain-color"}, "degrain-color is not for gray pictures"),
        ({"teacher": "jain-seung-cnblind"}, "jain-seung-cnblind is no U-Net"),
        ({"teacher": "divakar-babu"}, "divakar-babu is no U-Net"),
        ({"teacher": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_teach(
    options: dict[str, str], sentence: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, ModelError), match=sentence):
        taught(folder, tmp_path / "run", **options)


def test_networks_that_see_around_their_crops_have_no_teacher(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have no teachers"):
        train("jain-seung", data=[folder], run=tmp_path / "run", teacher="degrain-gray", steps=1)


def test_damaged_weights_are_no_teacher() -> None:
    weights = dict(stored_weights("degrain-gray-fast"))
    weights["up.0.weight"] = weights["up.0.weight"][:1]
    with pytest.raises(ModelError, match="is no U-Net"):
        unet_of(weights, "damaged")


def test_the_command_of_a_taught_run_names_its_teacher_without_folders() -> None:
    recipe = recipes.find_recipe("tiny-gray")
    fields = {**dataclasses.asdict(recipe), "teacher": "somewhere/large.onnx"}
    told = command({"name": "tiny-gray", "recipe": fields, "pairs": []})
    assert "--teacher large.onnx" in told
    assert "somewhere" not in told


def test_a_shorter_step_shortens_that_of_the_ends(folder: Path, tmp_path: Path) -> None:
    usual = recipes.find_recipe("tiny-gray")
    state = taught(folder, tmp_path / "run", lr=usual.lr / 4, steps=1)
    _, ends = state.optimizers
    assert ends.param_groups[0]["initial_lr"] == pytest.approx(usual.lr_ends / 4)
