"""Tiles side by side: when, how many at a time, in order, and stopped when told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from degrain import Denoiser, load_model, tiling
from degrain.abreast import ALONE, Formation, fastest
from degrain.denoise import LIBRARY_MB, MEGABYTE
from degrain.engines.onnx import OnnxEngine
from degrain.versions import Versions

MEMORY_MB = 350


def tiles(count: int, side: int = 100, halo: int = 0) -> list[tiling.Tile]:
    """A row of square tiles."""
    return tiling.plan(side, side * count, side, halo)


@pytest.mark.parametrize(("threads", "abreast"), [(1, 1), (2, 2), (8, 2)])
def test_equal_tiles_go_side_by_side_where_there_are_threads(threads: int, abreast: int) -> None:
    possible = [Formation(tiles(8), 1), Formation(tiles(8), 2)]
    assert fastest(possible, threads).abreast == abreast


def test_a_tile_without_company_is_better_alone() -> None:
    possible = [Formation(tiles(1), 1), Formation(tiles(1), 2)]
    assert fastest(possible, 2).abreast == 1


def test_too_much_halo_is_not_worth_it() -> None:
    few, many = tiles(2, 1000, 60), tiling.plan(1000, 2000, 200, 60)
    assert fastest([Formation(few, 1), Formation(many, 2)], 2).abreast == 1


def test_durations_are_those_of_the_threads_at_work() -> None:
    assert Formation(tiles(4)).duration(1) == pytest.approx(4e4)
    assert Formation(tiles(4)).duration(2) == pytest.approx(4e4 * (ALONE + (1 - ALONE) / 2))
    assert Formation(tiles(4), 2).duration(2) == pytest.approx(4e4 / 2)
    # Of five tiles one has no company: as long as six.
    assert Formation(tiles(5), 2).duration(2) == pytest.approx(6e4 / 2)


def test_two_are_at_work_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def work(tile: tiling.Tile) -> int:
        both.wait(timeout=30)  # raises if nobody else comes
        return tile.inner.left

    assert list(Formation(tiles(6), 2).each(work)) == [0, 100, 200, 300, 400, 500]


def test_one_at_a_time_stays_in_its_thread() -> None:
    own = threading.get_ident()
    seen = list(Formation(tiles(3)).each(lambda _: threading.get_ident()))
    assert seen == [own] * 3


def noting(begun: list[tiling.Tile]) -> Callable[[tiling.Tile], int]:
    """Work that takes a little and notes what it was given."""

    def work(tile: tiling.Tile) -> int:
        begun.append(tile)
        time.sleep(0.02)
        return 1

    return work


@pytest.mark.parametrize("abreast", [1, 2])
def test_an_error_comes_out_and_the_rest_is_left(abreast: int) -> None:
    begun: list[tiling.Tile] = []

    def fail(tile: tiling.Tile) -> int:
        noting(begun)(tile)
        raise MemoryError

    with pytest.raises(MemoryError):
        list(Formation(tiles(40), abreast).each(fail))
    assert len(begun) < 20


@pytest.mark.parametrize("abreast", [1, 2])
def test_what_is_closed_early_ends_early(abreast: int) -> None:
    begun: list[tiling.Tile] = []
    with closing(Formation(tiles(40), abreast).each(noting(begun))) as done:
        next(done)
    at_end = len(begun)
    assert at_end < 20
    time.sleep(0.1)
    assert len(begun) == at_end


def side_by_side(memory_mb: int) -> Denoiser:
    """A denoiser that counts on two cores, also where there is one."""
    denoiser = Denoiser("degrain-gray-fast", memory_mb=memory_mb)
    denoiser._threads = 2
    return denoiser


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return np.random.default_rng(0).random((1000, 3200, 1), np.float32)


def test_side_by_side_equals_the_whole(noisy: np.ndarray) -> None:
    denoiser = side_by_side(memory_mb=MEMORY_MB)
    formation = denoiser._formation(noisy, denoiser.card(1))
    assert formation.abreast == 2
    assert len(formation.tiles) >= 4
    whole = Denoiser("degrain-gray-fast", threads=1)(noisy)
    np.testing.assert_allclose(denoiser(noisy), whole, rtol=0, atol=2e-6)
    assert [opened.threads for opened in denoiser._versions._engines.values()] == [1]


def test_two_tiles_keep_the_budget_of_one(noisy: np.ndarray) -> None:
    denoiser = side_by_side(memory_mb=MEMORY_MB)
    card = denoiser.card(1)
    formation = denoiser._formation(noisy, card)
    assert formation.abreast == 2
    largest = max(tile.read.pixels for tile in formation.tiles)
    left = (MEMORY_MB - LIBRARY_MB) * MEGABYTE - noisy.nbytes
    assert 2 * largest * card.memory_bytes_per_pixel < left


def test_an_engine_of_the_callers_own_gets_one_tile_at_a_time(noisy: np.ndarray) -> None:
    card = load_model("degrain-gray-fast")
    denoiser = Denoiser.from_engine(card, OnnxEngine(card.path), memory_mb=MEMORY_MB)
    assert denoiser._formation(noisy, card).abreast == 1


@pytest.mark.parametrize(
    ("abreast", "threads", "each"), [(1, 8, 8), (2, 8, 7), (2, 2, 1), (2, 1, 1)]
)
def test_callers_and_the_threads_of_an_engine_are_as_many_as_wanted(
    abreast: int, threads: int, each: int
) -> None:
    assert Formation(tiles(4), abreast).engine_threads(threads) == each


def test_one_engine_at_a_time_keeps_memory(noisy: np.ndarray) -> None:
    versions = Versions("degrain-gray-fast", precision="float")
    choice = versions.choose(noisy, None, None)
    first = versions.engine(choice, 1)
    assert versions.engine(choice, 1) is first
    assert versions.engine(choice, 2) is not first
    assert len(versions._engines) == 1


def test_ctrl_c_while_two_are_at_work_stops_them(noisy: np.ndarray) -> None:
    calls = []

    def stop(fraction: float) -> None:
        calls.append(fraction)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(memory_mb=MEMORY_MB)(noisy, on_progress=stop)
    assert len(calls) == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("tile")]


def test_progress_is_told_in_the_thread_of_the_caller(noisy: np.ndarray) -> None:
    own, seen = threading.get_ident(), []
    side_by_side(memory_mb=MEMORY_MB)(
        noisy, on_progress=lambda _: seen.append(threading.get_ident())
    )
    assert len(seen) >= 4
    assert set(seen) == {own}
