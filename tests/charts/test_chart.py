from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cnnviz.charts.chart import Bars, Chart, Curves, Film, Mosaic, Panel, Picture
from cnnviz.charts.theme import Scale
from cnnviz.errors import ConfigError, StepError


def _mosaic(shape: tuple[int, ...], columns: int | None = None) -> Mosaic:
    labels = tuple(str(i) for i in range(shape[-3]))
    return Mosaic("m", np.zeros(shape), labels, Scale(0, 1, "magnitude"), columns)


@pytest.mark.parametrize(
    "shape", [(1, 5, 5), (4, 5, 5), (7, 2, 2), (8, 14, 14), (64, 3, 3), (512, 1, 1), (3, 1, 9)]
)
def test_grid_holds_all_cells(shape: tuple[int, int, int]) -> None:
    rows, columns = _mosaic(shape).grid
    assert rows * columns >= shape[0]
    assert (rows - 1) * columns < shape[0]
    assert _mosaic((9, *shape)).grid == (rows, columns)  # also in a film


def test_grid_takes_the_chosen_columns() -> None:
    assert _mosaic((7, 2, 2), columns=3).grid == (3, 3)


def test_film_gives_the_still_at_a_step(whole_film: Film) -> None:
    still = whole_film.at(200)
    mosaic, picture, bars, curves = still.panels
    assert (still.title, still.step) == ("A film", 200)
    assert isinstance(mosaic, Mosaic)
    assert isinstance(bars, Bars)
    assert isinstance(curves, Curves)
    np.testing.assert_array_equal(mosaic.cells, whole_film.panels[0].cells[1])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(bars.values, [0.3, 0.3, 0.4])
    assert curves.cursor == 200
    assert picture is whole_film.panels[1]


def test_film_counts_frames_from_both_ends(whole_film: Film) -> None:
    assert len(whole_film) == 3
    assert [whole_film.frame(i).step for i in (0, -1)] == [100, 1200]


def test_film_names_the_nearest_steps(whole_film: Film) -> None:
    with pytest.raises(StepError, match="no snapshot at step 300; the nearest are 200 and 1200"):
        whole_film.at(300)


@pytest.mark.parametrize("length", [0, 2, 4])
def test_film_refuses_a_panel_of_another_length(length: int) -> None:
    with pytest.raises(ConfigError, match="panel 'm' has not one frame for each of the 3 steps"):
        Film("f", (_mosaic((length, 4, 2, 2)),), np.arange(3))


def test_step_fields_are_fields() -> None:
    for kind in Panel.__subclasses__():
        assert kind.step_field is None or kind.step_field in kind.__dataclass_fields__


def test_charts_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Chart("t", (Picture("p", np.zeros((2, 2))),)).title = "other"  # type: ignore[misc]
