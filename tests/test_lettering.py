from itertools import combinations

import numpy as np
import pytest

from degrain.lettering import STROKES, _cells, _render, text_coverage


def draw(size=10, height=60, width=90, seed=0):
    return text_coverage(height, width, size, np.random.default_rng(seed))


@pytest.mark.parametrize("size", [5, 10, 41])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (100, 80)])
def test_text_has_the_picture_s_size_and_follows_its_seed(size, shape):
    page = draw(size, *shape)
    assert page.shape == shape
    assert page.dtype == np.float32
    assert page.min() >= 0
    assert page.max() <= 1
    assert np.array_equal(page, draw(size, *shape))
    assert shape == (1, 1) or not np.array_equal(page, draw(size, *shape, seed=1))


@pytest.mark.parametrize("size", [6, 12, 30])
def test_capitals_are_as_high_as_the_size_says(size):
    for glyph in "AHMZ8":
        rows = np.flatnonzero((_render(STROKES[glyph], size) > 0.5).any(axis=1))
        assert rows[-1] - rows[0] + 1 == pytest.approx(size, abs=1)


def test_glyphs_differ_and_do_not_touch():
    cells = _cells(14)
    assert (cells[:, -5:, :] == 0).all()
    assert (cells[:, :, -2:] == 0).all()
    for a, b in combinations(range(len(STROKES)), 2):
        assert np.abs(cells[a] - cells[b]).sum() > 5, (list(STROKES)[a], list(STROKES)[b])


def test_stroke_area_is_length_times_width():
    """The letter I at 70 pixels: a stem of 60 and two serifs of 20, all 10 wide."""
    covered = _render(STROKES["I"], 70).sum()
    caps = np.pi * 5**2  # round ends: two at each serif, whose halves stick out
    assert covered == pytest.approx(50 * 10 + 2 * 20 * 10 + 2 * caps, rel=0.05)
