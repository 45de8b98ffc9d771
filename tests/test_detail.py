"""--detail: two ends of one model, mixed exactly, and clear errors for models with one end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from degrain.cli import main
from degrain.denoise import Denoiser
from degrain.errors import ModelError, UsageError
from degrain.zoo.card import ModelCard, read_card, write_card
from partners import give_partner


@pytest.fixture
def two_ends(make_model: Callable[..., ModelCard], monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """A tiny model whose card names a partner with other weights."""
    first, second = make_model("tiny", seed=0), make_model("other", seed=1)
    monkeypatch.setenv("DEGRAIN_MODELS", str(first.path.parents[1]))
    return give_partner(first, second)


def noisy(side: int = 40) -> np.ndarray:
    return 0.3 + 0.4 * np.random.default_rng(0).random((side, side), dtype=np.float32)


def test_the_card_keeps_the_partner(two_ends: ModelCard) -> None:
    assert read_card(two_ends.path.with_name("card.toml")) == two_ends


def test_the_ends_are_the_two_models_and_the_middle_is_between(two_ends: ModelCard) -> None:
    x = noisy()
    first, second = Denoiser("tiny")(x), Denoiser("other")(x)
    assert not np.allclose(first, second, atol=1e-3)
    np.testing.assert_array_equal(Denoiser("tiny", detail=0.0)(x), first)
    np.testing.assert_array_equal(Denoiser("tiny", detail=1.0)(x), second)
    mixed = Denoiser("tiny", detail=0.25)(x)
    np.testing.assert_allclose(mixed, 0.75 * first + 0.25 * second, atol=1e-6)


def test_mixed_tiles_equal_the_whole(two_ends: ModelCard) -> None:
    x = noisy(400)
    whole = Denoiser("tiny", detail=0.5)(x)
    tiled = Denoiser("tiny", detail=0.5, memory_mb=160)
    page = x[..., None]
    assert len(tiled._formation(page, tiled.card(1)).tiles) > 4
    np.testing.assert_allclose(tiled(x), whole, atol=1e-6)


@pytest.mark.parametrize("detail", [-0.1, 1.5, float("nan")])
def test_detail_outside_its_range(detail: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        Denoiser("tiny", detail=detail)


def test_a_model_with_one_end_says_so_and_names_one_with_two(two_ends: ModelCard) -> None:
    with pytest.raises(UsageError, match=r"other has one end only.*tiny"):
        Denoiser("other", detail=0.5)(noisy())


def test_a_damaged_partner_is_found(two_ends: ModelCard) -> None:
    partner = two_ends.path.with_name(two_ends.detail_model)
    partner.write_bytes(partner.read_bytes() + b"x")
    with pytest.raises(ModelError, match="missing or damaged"):
        Denoiser("tiny", detail=0.5)(noisy())
    assert Denoiser("tiny")(noisy()).shape == (40, 40)


def test_the_partner_must_lie_beside_the_model(two_ends: ModelCard) -> None:
    path = two_ends.path.with_name("card.toml")
    write_card(replace(two_ends, detail_model="../model.onnx"), path)
    with pytest.raises(ModelError, match="instead of a file name"):
        read_card(path)


def test_the_command_takes_detail(
    two_ends: ModelCard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyvips

    source = tmp_path / "in.png"
    pixels = np.rint(noisy() * 255).astype(np.uint8)
    pyvips.Image.new_from_array(pixels).write_to_file(str(source))
    words = ["denoise", str(source), "--model", "tiny", "--quiet", "-o"]
    for detail in ("0", "0.5", "1"):
        assert main([*words, str(tmp_path / f"{detail}.png"), "--detail", detail]) == 0
    pictures = [
        pyvips.Image.new_from_file(str(tmp_path / f"{name}.png")).numpy().astype(int)
        for name in ("0", "0.5", "1")
    ]
    assert abs(2 * pictures[1] - pictures[0] - pictures[2]).max() <= 2
    assert (pictures[0] != pictures[2]).any()
    words[3] = "other"
    assert main([*words, str(tmp_path / "no.png"), "--detail", "0.5"]) == 2
    assert "one end only" in capsys.readouterr().err
