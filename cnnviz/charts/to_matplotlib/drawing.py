"""Whole charts in matplotlib: a figure, a file, or the frames of a film."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cnnviz.charts import layout
from cnnviz.charts.chart import Bars, Chart, Curves, Mosaic, Panel, Picture
from cnnviz.charts.to_matplotlib.bars import bars
from cnnviz.charts.to_matplotlib.cells import mosaic, picture
from cnnviz.charts.to_matplotlib.curves import curves
from cnnviz.charts.to_matplotlib.style import SOFT, Live, StyledFigure, settings, style

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from numpy.typing import NDArray

_MARGIN = 0.12  # inches left and right of everything
_HEADER = 0.62  # inches above the panels for the chart's title and step

_DRAW: dict[type[Panel], Callable[[Axes, Any], Live]] = {
    Mosaic: mosaic,
    Picture: picture,
    Bars: bars,
    Curves: curves,
}


def figure(chart: Chart) -> Figure:
    """Return a chart as a matplotlib figure."""
    with settings():
        return _draw(chart)[0]


def save(chart: Chart, path: Path, kind: str, dpi: int = 180) -> None:
    """Write a chart to a file.

    Args:
        chart: What to draw.
        path: Where to write, whatever its suffix.
        kind: "png", "svg" or "pdf".
        dpi: Pixels an inch, also of the images within SVG and PDF.
    """
    # Without the date and with fixed names inside, the same chart is the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with settings():
        _draw(chart)[0].savefig(path, format=kind, dpi=dpi, metadata=metadata)


class Animator:
    """Draws the stills of one film fast: what stays is drawn once, what changes is painted over it.

    Args:
        chart: The first still; it decides the layout of all.
        dpi: Pixels an inch.
    """

    def __init__(self, chart: Chart, dpi: int) -> None:
        with settings():
            self._figure, self._lives, self._step = _draw(chart)
            self._figure.set_dpi(dpi)
            # Video needs even numbers of pixels.
            inches = self._figure.get_size_inches()
            self._figure.set_size_inches(*(2 * np.ceil(inches * dpi / 2) / dpi))
            self._canvas = FigureCanvasAgg(self._figure)
            self._moving = [self._step, *(artist for live in self._lives for artist in live.artists)]
            for artist in self._moving:
                artist.set_animated(True)
            self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(self._figure.bbox)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame in pixels, both even."""
        return self._canvas.get_width_height()

    def pixels(self, chart: Chart) -> NDArray[np.uint8]:
        """Return a still of the film as pixels (h, w, 4); they are overwritten by the next call."""
        with settings():
            self._canvas.restore_region(self._still)
            self._step.set_text(_step_text(chart))
            for live, panel in zip(self._lives, chart.panels, strict=True):
                live.show(panel)
            for artist in self._moving:
                self._figure.draw_artist(artist)
        return np.asarray(self._canvas.buffer_rgba())


def _draw(chart: Chart) -> tuple[Figure, list[Live], Text]:
    """Return the figure of a chart, what moves in each of its panels, and the text that tells the step."""
    # A panel that only repeats the chart's title needs none of its own.
    panels = [replace(panel, title="") if panel.title == chart.title else panel for panel in chart.panels]
    places, width, height = layout.place(panels)
    width = min(max(width, layout.text_width(chart.title, 14), 3.0), layout.PAPER_WIDTH) + _MARGIN
    title = layout.wrapped(chart.title, width - 2 * _MARGIN, 14)
    # Without a step there is no second line.
    header = _HEADER + 0.24 * (len(title) - 1 - (chart.step is None))
    height += header
    drawn = StyledFigure(figsize=(width, height))
    x = _MARGIN / width
    drawn.text(x, 1 - 0.12 / height, "\n".join(title), fontsize=14, va="top")
    step = drawn.text(
        x, 1 - (header - 0.04) / height, _step_text(chart), fontsize=10, color=SOFT, va="bottom"
    )
    lives = []
    for panel, (left, top, size) in zip(panels, places, strict=True):
        corner = ((_MARGIN + left) / width, 1 - (header + top + size.height) / height)
        axes = drawn.add_axes((*corner, size.width / width, size.height / height))
        style(axes, panel.title, size)
        lives.append(_DRAW[type(panel)](axes, panel))
    return drawn, lives, step


def _step_text(chart: Chart) -> str:
    return "" if chart.step is None else f"step {chart.step:,}"
