from __future__ import annotations

import numpy as np

from cnnviz.charts.theme import Scale
from cnnviz.charts.tiles import Tiles


def test_place_puts_cells_in_reading_order_with_gaps() -> None:
    cells = np.arange(12.0).reshape(3, 2, 2)
    nan = np.nan
    np.testing.assert_array_equal(
        Tiles((3, 2, 2), (2, 2)).place(cells),
        [
            [0, 1, nan, 4, 5],
            [2, 3, nan, 6, 7],
            [nan, nan, nan, nan, nan],
            [8, 9, nan, nan, nan],
            [10, 11, nan, nan, nan],
        ],
    )


def test_paint_equals_a_slow_paste_of_every_cell() -> None:
    cells = np.random.default_rng(0).normal(size=(5, 2, 3))
    cells[1, 0, 0] = np.nan
    scale = Scale(-1, 1, "signed")
    tiles = Tiles((5, 2, 3), (2, 3), zoom=3, gap=2, strip=4)
    expected = np.zeros((2 * (4 + 6) + 2, 3 * 9 + 2 * 2, 4), np.uint8)[: 2 * 12 - 2]
    expected = np.zeros((2 * (4 + 6 + 2) - 2, 3 * (9 + 2) - 2, 4), np.uint8)
    for cell in range(5):
        top, left = tiles.corner(cell)
        colours = scale.colours(cells[cell]).repeat(3, 0).repeat(3, 1)
        expected[top : top + 6, left : left + 9] = np.dstack([colours, np.full((6, 9), 255, np.uint8)])
    np.testing.assert_array_equal(tiles.paint(cells, scale), expected)
    assert tiles.corner(4) == (16, 11)
