"""Shrinking films to what can be seen: mosaics with more pixels than a screen are averaged before they are sent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnviz.charts.chart import Film, Mosaic, Panel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pooled(film: Film, pixels: int) -> Film:
    """Return `film` with every mosaic averaged over squares, as small as lets it fit into `pixels` pixels.

    Args:
        film: The film.
        pixels: How many pixels the cells of one mosaic may have together; mosaics within that stay as they are.
    """
    return replace(film, panels=tuple(_pooled_panel(panel, pixels) for panel in film.panels))


def _pooled_panel(panel: Panel, pixels: int) -> Panel:
    if not isinstance(panel, Mosaic):
        return panel
    count, height, width = panel.cells.shape[-3:]
    factor = math.ceil(math.sqrt(count * height * width / pixels))
    if factor <= 1 or height * width == 1:
        return panel
    cells = _block_means(_block_means(panel.cells, factor, -2), factor, -1)
    return replace(panel, cells=cells, title=f"{panel.title} · each pixel the mean of {factor} × {factor}")


def _block_means(values: NDArray[np.floating], size: int, axis: int) -> NDArray[np.floating]:
    """Return the means of blocks of `size` along `axis`; the last block may be smaller."""
    length = values.shape[axis]
    starts = np.arange(0, length, size)
    counts = np.diff(np.append(starts, length)).astype(values.dtype)
    sums = np.add.reduceat(values, starts, axis=axis)
    return sums / (counts if axis == -1 else counts[:, None])
