"""Where the cells of a mosaic lie: every renderer draws a mosaic as one image, made by one look-up a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnviz.charts.theme import Scale

_NOTHING = np.zeros(4, np.uint8)


@dataclass(frozen=True)
class Tiles:
    """The grid of a mosaic, in pixels of the one image that shows it.

    Attributes:
        cells: The shape (n, h, w) of the values.
        grid: Rows and columns.
        zoom: Pixels of the image a value, each way.
        gap: Pixels between cells.
        strip: Pixels left free above each cell, for its label.
    """

    cells: tuple[int, int, int]
    grid: tuple[int, int]
    zoom: int = 1
    gap: int = 1
    strip: int = 0

    def corner(self, cell: int) -> tuple[int, int]:
        """Return the image row and column of a cell's first value."""
        _, height, width = self.cells
        row, column = divmod(cell, self.grid[1])
        return (
            row * (self.strip + height * self.zoom + self.gap) + self.strip,
            column * (width * self.zoom + self.gap),
        )

    @cached_property
    def index(self) -> NDArray[np.intp]:
        """For each pixel of the image (H, W), the position of its value in the flattened cells; -1 for none."""
        count, height, width = self.cells
        row, y = self._along(self.grid[0], height, self.strip)
        column, x = self._along(self.grid[1], width, 0)
        cell = row[:, None] * self.grid[1] + column
        outside = (y < 0)[:, None] | (x < 0) | (cell >= count)
        return np.where(outside, -1, (cell * height + y[:, None]) * width + x)

    def place(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the image (H, W) of the values (n, h, w), with NaN between the cells."""
        return np.append(np.asarray(values, np.float64).ravel(), np.nan)[self.index]

    def paint(self, values: NDArray[np.floating], scale: Scale) -> NDArray[np.uint8]:
        """Return the image (H, W, 4) of the values' colours, transparent between the cells."""
        colours = np.empty((values.size + 1, 4), np.uint8)
        colours[:-1, :3] = scale.colours(values).reshape(-1, 3)
        colours[:-1, 3] = 255
        colours[-1] = _NOTHING
        # One look-up of whole pixels: this runs for every frame of a film.
        painted = colours.view(np.uint32)[:, 0].take(self.index)
        return painted.view(np.uint8).reshape(*self.index.shape, 4)

    def _along(self, count: int, size: int, strip: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the cell and the value (-1 outside) at each pixel along one axis."""
        pixels = size * self.zoom
        block = np.concatenate([np.full(strip, -1), np.arange(pixels) // self.zoom, np.full(self.gap, -1)])
        length = count * len(block) - self.gap
        return np.repeat(np.arange(count), len(block))[:length], np.tile(block, count)[:length]
