from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz.charts.chart import Bars, Film, Mosaic
from cnnviz.charts.pooling import pooled
from cnnviz.charts.theme import Scale


def _film(cells: np.ndarray) -> Film:
    labels = tuple(f"filter {i}" for i in range(cells.shape[1]))
    mosaic = Mosaic("kernels", cells, labels, Scale(-9, 9, "signed", "weight"))
    return Film("A film", (mosaic,), np.arange(len(cells)))


def _pooled_cells(cells: np.ndarray, pixels: int) -> np.ndarray:
    (panel,) = pooled(_film(cells), pixels).panels
    assert isinstance(panel, Mosaic)
    return panel.cells


def _slow(cells: np.ndarray, size: int) -> np.ndarray:
    """Means over squares, one by one."""
    steps, count, height, width = cells.shape
    rows, columns = -(-height // size), -(-width // size)
    result = np.empty((steps, count, rows, columns), cells.dtype)
    for row in range(rows):
        for column in range(columns):
            block = cells[..., row * size : (row + 1) * size, column * size : (column + 1) * size]
            result[..., row, column] = block.mean((-2, -1))
    return result


def test_squares_are_averaged() -> None:
    cells = np.arange(16.0).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(_pooled_cells(cells, 4), [[[[2.5, 4.5], [10.5, 12.5]]]])


def test_the_last_squares_may_be_smaller() -> None:
    cells = np.arange(15.0).reshape(1, 1, 3, 5)
    np.testing.assert_array_equal(_pooled_cells(cells, 6), [[[[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]]])


def test_what_fits_stays_the_same_object() -> None:
    film = _film(np.zeros((2, 3, 4, 5)))
    assert pooled(film, 60).panels[0] is film.panels[0]
    assert pooled(film, 59).panels[0] is not film.panels[0]


def test_single_pixels_cannot_be_averaged() -> None:
    film = _film(np.zeros((2, 1000, 1, 1)))
    assert pooled(film, 10).panels[0] is film.panels[0]


def test_only_mosaics_are_averaged_and_the_title_says_so() -> None:
    mosaic = _film(np.zeros((1, 1, 10, 10))).panels[0]
    bars = Bars("classes", np.full((1, 200), 0.5), tuple(map(str, range(200))), "probability")
    film = pooled(Film("A film", (bars, mosaic), np.array([7])), 25)
    assert film.panels[0] is bars
    assert film.panels[1].title == "kernels · each pixel the mean of 2 × 2"
    assert film.steps.tolist() == [7]


def test_what_is_not_a_number_stays_in_its_square() -> None:
    cells = np.ones((1, 1, 4, 4), np.float32)
    cells[0, 0, 0, 0] = np.nan
    result = _pooled_cells(cells, 4)
    assert np.isnan(result).tolist() == [[[[True, False], [False, False]]]]


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17)),
    pixels=st.integers(1, 600),
)
def test_as_the_slow_twin(shape: tuple[int, int, int, int], pixels: int) -> None:
    cells = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    result = _pooled_cells(cells, pixels)
    factor = 1 if shape[2] * shape[3] == 1 else math.ceil(math.sqrt(math.prod(shape[1:]) / pixels))
    np.testing.assert_allclose(result, _slow(cells, max(1, factor)), rtol=1e-5, atol=1e-6)
    assert result.dtype == np.float32


@pytest.mark.parametrize("pixels", [1, 5, 1000])
def test_pooled_cells_have_the_same_mean_where_squares_fit(pixels: int) -> None:
    cells = np.random.default_rng(1).normal(size=(2, 1, 8, 8))
    assert _pooled_cells(cells, 16).mean() == pytest.approx(cells.mean())
    assert np.isfinite(_pooled_cells(cells, pixels)).all()
