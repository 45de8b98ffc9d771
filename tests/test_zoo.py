"""Cards come back as written, damaged models are noticed, shipped models keep their promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degrain import tiling
from degrain.engines.measure import measure
from degrain.engines.onnx import OnnxEngine
from degrain.errors import ModelError, UsageError
from degrain.zoo.card import ModelCard, read_card, write_card
from degrain.zoo.store import SHIPPED, has_model, list_models, load_model

SHIPPED_MODELS = sorted(path.parent.name for path in SHIPPED.glob("*/card.toml"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PSNR = st.floats(allow_nan=False, allow_infinity=False)


@given(
    summary=TEXT,
    noise=TEXT,
    halo=st.integers(0, 1000),
    parameters=st.integers(0, 10**10),
    quality=st.dictionaries(TEXT, st.dictionaries(TEXT, PSNR, max_size=3), max_size=3),
)
def test_cards_survive_writing(tmp_path_factory, summary, noise, halo, parameters, quality):
    path = tmp_path_factory.getbasetemp() / "card.toml"
    card = ModelCard(
        "x", summary, 3, halo, 8, "ab", "MIT", parameters, noise=noise, quality=quality
    )
    write_card(card, path)
    again = read_card(path)
    assert again == card
    assert again.path == path.with_name("model.onnx")


@pytest.mark.parametrize(
    ("field", "value"),
    [("channels", "2"), ("halo", "-1"), ("halo", '"8"'), ("multiple_of", "0"), ("summary", "3")],
)
def test_impossible_cards(tmp_path, field, value):
    facts = {"channels": "1", "halo": "8", "multiple_of": "4"}
    facts |= dict.fromkeys(("name", "summary", "sha256", "license"), '"x"') | {field: value}
    path = tmp_path / "card.toml"
    path.write_text("".join(f"{key} = {text}\n" for key, text in facts.items()))
    with pytest.raises(ModelError, match=field):
        read_card(path)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b'name = "only"', None])
def test_unreadable_cards(tmp_path, content):
    if content is not None:
        (tmp_path / "card.toml").write_bytes(content)
    with pytest.raises(ModelError, match=r"card"):
        read_card(tmp_path / "card.toml")


def test_models_are_found_by_name(tiny_zoo):
    assert {"degrain-gray", "degrain-color", "plain-gray"} <= {c.name for c in list_models()}
    card = load_model("plain-gray")
    assert card.path == tiny_zoo / "plain-gray" / "model.onnx"
    assert has_model("plain-gray")
    assert not has_model("../zoo/plain-gray")


@pytest.mark.parametrize("name", ["plain-grey", "palin-gray", "plain"])
def test_unknown_names_get_the_nearest(tiny_zoo, name):
    with pytest.raises(UsageError, match=rf"'{name}'; did you mean .*plain-gray"):
        load_model(name)


@pytest.mark.parametrize("name", ["", "..", "."])
def test_odd_names(tiny_zoo, name):
    with pytest.raises(UsageError, match="no model named"):
        load_model(name)


def test_a_damaged_model_is_noticed(make_model, monkeypatch):
    path = make_model("dented").path
    monkeypatch.setenv("DEGRAIN_MODELS", str(path.parent.parent))
    load_model("dented")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_model("dented")
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model("dented")


def test_a_file_with_its_card(make_model, tmp_path):
    card = make_model("mine", channels=3)
    assert load_model(card.path) == card
    moved = card.path.rename(tmp_path / "other.onnx")
    write_card(replace(card, halo=99), tmp_path / "other.toml")
    assert load_model(str(moved)).halo == 99
    assert load_model(moved).path == moved


def test_a_file_without_a_card_is_measured(make_model, tmp_path):
    card = make_model("stranger", channels=3, stride=4)
    path = card.path.rename(tmp_path / "stranger.onnx")
    found = load_model(path)
    assert (found.name, found.channels, found.path) == ("stranger", 3, path)
    assert (found.halo, found.multiple_of) == (card.halo, card.multiple_of)
    assert found.sha256 == card.sha256
    assert load_model(path) is found


def test_a_card_of_another_model_is_not_believed(make_model, tmp_path):
    make_model("one", stride=1)
    two = make_model("two", stride=4, seed=2)
    path = two.path.rename(tmp_path / "models" / "one" / "two.onnx")
    assert load_model(path).multiple_of == 4


def test_missing_files(tmp_path):
    with pytest.raises(UsageError, match="There is no model file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(UsageError, match="There is no model file"):
        load_model("somewhere/none.onnx")


def test_text_named_onnx(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_text("hello")
    with pytest.raises(ModelError, match="no readable ONNX model"):
        load_model(path)


def test_models_are_shipped():
    assert {"degrain-gray", "degrain-color"} <= set(SHIPPED_MODELS)


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_halo_and_stride_are_true(name):
    card = load_model(name)
    halo, multiple_of = measure(OnnxEngine(card.path))
    assert card.halo >= halo
    assert card.multiple_of == multiple_of


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_tiled_equals_whole(name):
    card = load_model(name)
    engine = OnnxEngine(card.path)
    x = np.random.default_rng(0).random((1, card.channels, 203, 187), dtype=np.float32)
    whole = engine.run(x)
    for tile in tiling.plan(203, 187, (96, 88), card.halo, card.multiple_of):
        crop = np.ascontiguousarray(x[:, :, *tile.read.slices])
        difference = engine.run(crop)[:, :, *tile.kept] - whole[:, :, *tile.inner.slices]
        assert np.abs(difference).max() <= 2e-6


def test_a_folder_of_nobody_is_no_defect(monkeypatch):
    monkeypatch.setenv("DEGRAIN_MODELS", "~nobody-of-this-name/models")
    assert [card.name for card in list_models()]


def test_a_card_whose_losses_are_no_table(tmp_path):
    path = tmp_path / "card.toml"
    write_card(ModelCard("x", "", 3, 4, 1, "ab", "MIT"), path)
    path.write_text("int8_loss = [1]\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ModelError, match="int8_loss is no table"):
        read_card(path)
