"""The told teacher: which crops it answers, what it is told, and what is learned of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from degrain.cli import main
from degrain.errors import ModelError, UsageError
from degrain.train import fit, recipes, told
from degrain.train.camera import photograph
from degrain.train.repeat import command
from degrain.train.setup import train
from degrain.train.start import stored_weights
from degrain.train.teacher import Teachers
from pictures import write_random

SHAPE = (1, 3, 48, 48)


class Hears(nn.Module):
    """Answers gray, and keeps what it was asked about."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked = x
        return torch.full_like(x, 0.5)


def source() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def white(sigma_255: float) -> torch.Tensor:
    return sigma_255 / 255 * torch.randn(SHAPE, generator=source())


def shared(sigma_255: float) -> torch.Tensor:
    """Noise in blocks of 2×2 pixels."""
    small = torch.randn(1, 3, 24, 24, generator=source())
    return sigma_255 / 255 * small.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_the_level_of_shared_noise_is_its_standard_deviation() -> None:
    noise = shared(4)
    assert told.shared_level(noise).item() == pytest.approx(noise.std().item(), rel=0.02)


@pytest.mark.parametrize(
    "noise",
    [white(4), shared(0.3), shared(20), torch.zeros(SHAPE), torch.full(SHAPE, 4 / 255)],
    ids=["white", "faint", "strong", "none", "another brightness"],
)
def test_other_noise_is_left_to_the_first_teacher(noise: torch.Tensor) -> None:
    assert told.shared_level(noise).item() == 0
    clean, blind = torch.full(SHAPE, 0.4), torch.rand(SHAPE)
    assert torch.equal(told.soften(blind, clean + noise, clean, Hears(), 0.6, source()), blind)


def test_only_crops_with_shared_noise_move_and_by_the_share() -> None:
    clean = torch.full((2, 3, 48, 48), 0.4)
    noise = torch.cat([white(4), shared(4)])
    blind = torch.zeros_like(clean)
    learned = told.soften(blind, clean + noise, clean, Hears(), 0.6, source())
    assert torch.equal(learned[0], blind[0])
    torch.testing.assert_close(learned[1], torch.full_like(learned[1], 0.6 * 0.5))


@pytest.mark.parametrize(("sigma", "level"), [(2, 2 * told.TIMES), (10, told.MOST_255)])
def test_it_is_told_several_times_the_level_in_noise_of_both_signs(
    sigma: float, level: float
) -> None:
    clean, noise, net = torch.full(SHAPE, 0.4), shared(sigma), Hears()
    told.soften(clean, clean + noise, clean, net, 0.6, source())
    added, taken = net.asked - (clean + noise)
    torch.testing.assert_close(added, -taken, atol=1e-6, rtol=0)
    assert 255 * added.std().item() == pytest.approx(level, rel=0.05)


def test_both_signs_cancel_in_a_network_that_changes_nothing() -> None:
    x = torch.rand(SHAPE)
    answer = told.answer_when_told(nn.Identity(), x, torch.tensor([0.1]), source())
    torch.testing.assert_close(answer, x, atol=1e-6, rtol=0)


def test_without_a_told_one_the_first_teacher_alone_counts() -> None:
    noisy = torch.full(SHAPE, 0.4) + shared(4)
    answers = Teachers(nn.Identity()).answer(noisy, torch.full(SHAPE, 0.4), source())
    assert torch.equal(answers, noisy)


def test_without_a_blind_one_clean_crops_are_learned_beside_the_told_ones_answers() -> None:
    clean = torch.full((2, 3, 48, 48), 0.4)
    noise = torch.cat([white(4), shared(4)])
    learned = Teachers(told=Hears(), share=0.6).answer(clean + noise, clean, source())
    assert torch.equal(learned[0], clean[0])
    torch.testing.assert_close(learned[1], torch.full_like(learned[1], 0.4 * 0.4 + 0.6 * 0.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("told"), "abcdef", (70, 64))


OPTIONS = {"quiet": True, "device": "cpu", "crop": 16, "batch": 8, "schedule": "constant"}
TAUGHT = {**OPTIONS, "teacher": "degrain-photo-fast", "told_teacher": "degrain-color-fast"}


def test_a_resumed_run_hears_the_same(folder: Path, tmp_path: Path) -> None:
    whole = train("degrain-photo-fast", data=[folder], run=tmp_path / "whole", steps=4, **TAUGHT)
    train("degrain-photo-fast", data=[folder], run=tmp_path / "halves", steps=2, **TAUGHT)
    halves = train(
        "degrain-photo-fast", run=tmp_path / "halves", data=[folder], resume=True, steps=4
    )
    for a, b in zip(whole.net.parameters(), halves.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_step_tells_with_noise_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same noise at every step would be learned; that of the crops would be told by itself."""
    told_from, drawn_from = [], []

    def answer(_: Teachers, noisy: torch.Tensor, __: torch.Tensor, own: torch.Generator):
        told_from.append(own.initial_seed())
        return noisy

    def draw(clean: torch.Tensor, _: float, generator: torch.Generator, __: float):
        drawn_from.append(generator.initial_seed())
        return photograph(clean, 1.0, generator)

    monkeypatch.setattr(Teachers, "answer", answer)
    monkeypatch.setattr(fit, "photograph", draw)
    train("degrain-photo-fast", data=[folder], run=tmp_path / "run", steps=3, **TAUGHT)
    assert len(set(told_from)) == len(told_from) == 3
    assert not set(told_from) & set(drawn_from)
    assert len(drawn_from) >= 3


def tails(folder: Path, tmp_path: Path, **options: object) -> list[torch.Tensor]:
    """Last kernels, two steps after the shipped ones, without a told teacher and with one."""
    start = {**OPTIONS, "start": "degrain-photo-fast", "steps": 2, **options}
    teachers = (None, "degrain-color-fast")
    runs = [
        train(
            "degrain-photo-fast",
            data=[folder],
            run=tmp_path / str(told),
            told_teacher=told,
            **start,
        )
        for told in teachers
    ]
    return [state.net.tail.weight for state in runs]


def test_a_told_teacher_alone_teaches(folder: Path, tmp_path: Path) -> None:
    assert not torch.equal(*tails(folder, tmp_path))


def test_a_net_that_is_its_own_teacher_moves_towards_the_told_one(
    folder: Path, tmp_path: Path
) -> None:
    before = stored_weights("degrain-photo-fast")["tail.weight"]
    # Not to the bit: products in bfloat16 and those of the teacher round otherwise.
    after = tails(folder, tmp_path, teacher="degrain-photo-fast")
    apart = [(tail - before).abs().max() for tail in after]
    assert apart[1] > 2 * apart[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"teacher": None, "loss": "l1"}, "With a teacher the loss must be one of rms"),
        ({"told_teacher": "degrain-gray"}, "degrain-gray is not for color pictures"),
        ({"told_teacher": "divakar-babu"}, "divakar-babu is no U-Net"),
        ({"told_teacher": None, "told_share": 0.5}, "name it with --told-teacher"),
        ({"told_share": 1.5}, "--told-share must be 0 to 1, not 1.5"),
    ],
)
def test_what_cannot_be_told(
    options: dict[str, str | None], sentence: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, ModelError), match=sentence):
        train(
            "degrain-photo-fast",
            data=[folder],
            run=tmp_path / "run",
            steps=1,
            **{**TAUGHT, **options},
        )


@pytest.mark.parametrize("option", [("--told-teacher", "degrain-color"), ("--told-share", "0")])
def test_three_phases_have_no_teachers(
    option: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "divakar-babu", "--data", str(tmp_path), "-o", str(tmp_path / "run")]
    assert main([*command, *option]) == 2
    assert "no teachers" in capsys.readouterr().err


def test_the_command_of_a_run_names_both_teachers_and_the_share_of_drawn_crops() -> None:
    recipe = dataclasses.replace(
        recipes.find_recipe("degrain-photo"),
        teacher="degrain-photo",
        told_teacher="somewhere/white.onnx",
        told_share=0.8,
        leaves=0.3,
    )
    fields = dataclasses.asdict(recipe)
    line = command({"name": "degrain-photo", "recipe": fields, "pairs": []})
    assert "--teacher degrain-photo --told-teacher white.onnx --told-share 0.8 --drawn 0.3" in line
