"""Tiled equals whole, whatever the picture, the tile and the budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from degrain import tiling
from degrain.engines.onnx import OnnxEngine
from degrain.errors import UsageError
from degrain.zoo.card import read_card

SIDES = st.integers(1, 150)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def stitch(engine: OnnxEngine, x_nchw: np.ndarray, tiles: list[tiling.Tile]) -> np.ndarray:
    out = np.full_like(x_nchw, np.nan)
    for tile in tiles:
        crop = np.ascontiguousarray(x_nchw[:, :, *tile.read.slices])
        out[:, :, *tile.inner.slices] = engine.run(crop)[:, :, *tile.kept]
    return out


@pytest.fixture(scope="module", params=["degrain-gray", "plain-gray", "degrain-color"])
def net(request, tiny_zoo_folder: Path):
    card = read_card(tiny_zoo_folder / request.param / "card.toml")
    return card, OnnxEngine(card.path, threads=1)


@QUICK
@given(
    height=SIDES, width=SIDES, tile=st.tuples(SIDES, SIDES), more=st.integers(0, 9), data=st.data()
)
def test_tiled_equals_whole(net, height, width, tile, more, data):
    card, engine = net
    multiple_of = card.multiple_of * data.draw(st.sampled_from([1, 2, 3]))
    x = np.random.default_rng(height * 997 + width).random((1, card.channels, height, width))
    x = x.astype(np.float32)
    tiles = tiling.plan(height, width, tile, card.halo + more, multiple_of)
    np.testing.assert_allclose(stitch(engine, x, tiles), engine.run(x), rtol=0, atol=2e-6)


def test_a_smaller_halo_is_visible(tiny_zoo_folder):
    card = read_card(tiny_zoo_folder / "degrain-gray" / "card.toml")
    engine = OnnxEngine(card.path, threads=1)
    x = np.random.default_rng(1).random((1, 1, 96, 96), dtype=np.float32)
    tiles = tiling.plan(96, 96, 32, card.halo - card.multiple_of, card.multiple_of)
    assert np.abs(stitch(engine, x, tiles) - engine.run(x)).max() > 1e-3


def test_unaligned_tiles_are_visible(tiny_zoo_folder):
    card = read_card(tiny_zoo_folder / "degrain-gray" / "card.toml")
    engine = OnnxEngine(card.path, threads=1)
    x = np.random.default_rng(1).random((1, 1, 96, 96), dtype=np.float32)
    tiles = tiling.plan(96, 96, 30, card.halo, 1)
    assert np.abs(stitch(engine, x, tiles) - engine.run(x)).max() > 1e-3


@QUICK
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    halo=st.integers(0, 80),
    multiple_of=st.sampled_from([1, 2, 3, 4, 8, 16]),
    max_pixels=st.integers(1, 4_000_000),
    abreast=st.sampled_from([1, 2, 3]),
)
def test_chosen_tiles_keep_the_budget_and_cover_once(
    height, width, halo, multiple_of, max_pixels, abreast
):
    tile = tiling.tile_for_pixels(height, width, halo, multiple_of, max_pixels, abreast=abreast)
    halo_up = -(-halo // multiple_of) * multiple_of
    smallest = -(-tiling.MINIMUM_TILE_PX // multiple_of) * multiple_of + 2 * halo_up
    if tile is None:
        # Only a budget below the smallest tile may be refused.
        assert max_pixels < min(height, smallest) * min(width, smallest)
        return
    tiles = tiling.plan(height, width, tile, halo, multiple_of)
    assert max(t.read.pixels for t in tiles) <= max_pixels
    count = np.zeros((height, width), np.uint8)
    for t in tiles:
        count[t.inner.slices] += 1
        assert t.read.left % multiple_of == t.read.top % multiple_of == 0
        assert t.inner.left % multiple_of == t.inner.top % multiple_of == 0
        for far, end in ((t.read.right, width), (t.read.bottom, height)):
            assert far == end or far % multiple_of == 0
    assert (count == 1).all()


def test_a_picture_within_the_budget_is_one_tile():
    tile = tiling.tile_for_pixels(300, 400, 64, 8, 300 * 400)
    assert len(tiling.plan(300, 400, tile, 64, 8)) == 1


def test_least_work_is_chosen():
    # By hand: 2×2 tiles of (1000+32)² fit; two strips of 2000×(1000+32) do not.
    assert tiling.tile_for_pixels(2000, 2000, 32, 8, 1032 * 1032) == (1000, 1000)
    # Two strips fit as well as four squares and have one seam less.
    assert sorted(tiling.tile_for_pixels(2000, 2000, 32, 8, 2000 * 1032)) == [1000, 2000]
    # A 1×5000 line is cut along its length only.
    assert tiling.tile_for_pixels(1, 5000, 32, 8, 2600)[0] >= 1
    assert len(tiling.plan(1, 5000, tiling.tile_for_pixels(1, 5000, 32, 8, 2600), 32, 8)) == 2


def test_tiles_that_go_in_pairs_are_even_in_number():
    # Three strips would do, with the last one alone.
    assert tiling.tile_for_pixels(1000, 3000, 32, 8, 1000 * 1064) == (1000, 1000)
    tile = tiling.tile_for_pixels(1000, 3000, 32, 8, 1000 * 1064, abreast=2)
    assert len(tiling.plan(1000, 3000, tile, 32, 8)) == 4


def test_two_at_a_time_share_the_memory():
    one, two = (
        tiling.tile_for_memory(
            2000, 2000, 32, 8, memory_bytes=50_000_000, bytes_per_pixel=20, abreast=abreast
        )
        for abreast in (1, 2)
    )
    assert one[0] * one[1] > two[0] * two[1]
    assert (two[0] + 64) * (two[1] + 64) * 20 <= 25_000_000


def test_too_small_a_budget_says_how_much_is_needed():
    with pytest.raises(UsageError, match="give 16777216 or more"):
        tiling.tile_for_memory(
            1000, 1000, 32, 8, memory_bytes=3_900_000, bytes_per_pixel=1024
        )  # 128² · 1024


@pytest.mark.parametrize("missing", [0, 1])
def test_the_budget_named_in_the_error_is_enough(missing):
    def choose(memory_bytes):
        return tiling.tile_for_memory(
            1000, 1000, 32, 8, memory_bytes=memory_bytes, bytes_per_pixel=1024
        )

    if missing:
        with pytest.raises(UsageError):
            choose(128 * 128 * 1024 - 1)
    else:
        assert choose(128 * 128 * 1024) == (64, 64)
