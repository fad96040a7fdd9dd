"""How large the panels of a still are on paper, and which stand side by side; what is shown where not all fits."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.charts.chart import Bars, Curves, Mosaic, Panel, Picture
from cnnviz.charts.tiles import Tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnviz.charts.theme import Scale

TITLE_POINTS = 10.5  # size of a panel's title
PAPER_WIDTH = 14.0  # inches: what is wider goes to the next row
LABEL_POINTS = 7.5  # size of the labels over cells
MOST_LABELS = 64  # cells; the labels of more could not be read
MOST_BARS = 20  # of more, the highest are shown
HIGHEST_BARS = 10
_CELL = 1.3  # inches a cell is wide at most
_GAP = 0.1  # of a cell lie between cells at most
_MOSAIC = (6.4, 5.2)  # inches a mosaic is wide and high at most


@dataclass(frozen=True)
class Size:
    """What a panel needs on paper, in inches.

    Attributes:
        width: Of the drawn area itself.
        height: Of the drawn area itself.
        left: For labels left of it.
        right: For labels and the distance to the next panel.
        top: For the title and what else stands above.
        bottom: For labels below and the distance to the next row.
    """

    width: float
    height: float
    left: float = 0.0
    right: float = 0.25
    top: float = 0.3
    bottom: float = 0.15

    @property
    def full_width(self) -> float:
        """The width with labels."""
        return self.left + self.width + self.right


@dataclass(frozen=True)
class MosaicLayout:
    """How a mosaic is laid out on paper.

    Attributes:
        cell: Width and height of a cell, in inches.
        gap: Between cells, in inches.
        strip: Above each cell for its label, in inches.
        labels: What stands over the cells; empty if there is no room.
        grid: Rows and columns.
    """

    cell: tuple[float, float]
    gap: float
    strip: float
    labels: tuple[str, ...]
    grid: tuple[int, int]

    @property
    def area(self) -> tuple[float, float]:
        """Width and height of the whole grid, in inches."""
        rows, columns = self.grid
        width = columns * (self.cell[0] + self.gap) - self.gap
        return width, rows * (self.strip + self.cell[1] + self.gap) - self.gap


def mosaic_layout(panel: Mosaic) -> MosaicLayout:
    """Return how a still's mosaic is laid out on paper."""
    rows, columns = panel.grid
    _, height, width = panel.cells.shape
    ratio = height / width
    widest = min(_MOSAIC[0] / columns, _MOSAIC[1] / rows / ratio)
    cell = min(_CELL, widest / (1 + _GAP))
    labels = _cell_labels(panel.labels, cell)
    return MosaicLayout(
        cell=(cell, cell * ratio),
        gap=min(0.07, _GAP * min(cell, cell * ratio)),
        strip=LABEL_POINTS * 1.5 / 72 if labels else 0.0,
        labels=labels,
        grid=(rows, columns),
    )


def mosaic_tiles(panel: Mosaic, dpi: float = 130) -> Tiles:
    """Return the tiles of a still's mosaic, at `dpi` pixels an inch or the values' own, if these are finer."""
    on_paper = mosaic_layout(panel)
    count, height, width = panel.cells.shape
    zoom = max(1, round(dpi * on_paper.cell[0] / width))
    dense = zoom * width / on_paper.cell[0]
    gap = max(1, round(on_paper.gap * dense))
    return Tiles((count, height, width), on_paper.grid, zoom, gap, round(on_paper.strip * dense))


def size(panel: Panel) -> Size:
    """Return the size of a still's panel on paper, with room for its title."""
    needed = _SIZES[type(panel)](panel)
    lines = len(wrapped(panel.title, needed.width + needed.right - 0.1, TITLE_POINTS)) if panel.title else 0
    return replace(needed, top=needed.top + (TITLE_POINTS * 1.25 / 72) * (lines - 1))


def place(panels: Sequence[Panel]) -> tuple[list[tuple[float, float, Size]], float, float]:
    """Return where the panels stand: side by side as long as they fit, their areas aligned at the top.

    Returns:
        For each panel the left and upper end of its area, and its size; then the width and height of all. In
        inches from the left and upper end.
    """
    sizes = [size(panel) for panel in panels]
    rows: list[list[Size]] = []
    for needed in sizes:
        if not rows or sum(other.full_width for other in rows[-1]) + needed.full_width > PAPER_WIDTH:
            rows.append([])
        rows[-1].append(needed)
    places, widest, y = [], 0.0, 0.0
    for row in rows:
        x, top = 0.0, max(needed.top for needed in row)
        for needed in row:
            places.append((x + needed.left, y + top, needed))
            x += needed.full_width
        widest = max(widest, x)
        y += top + max(needed.height + needed.bottom for needed in row)
    return places, widest, y


def wrapped(text: str, inches: float, points: float) -> list[str]:
    """Return `text` in lines that are at most about `inches` wide."""
    widest = max(text_width(text, points) / max(1, len(text)), 0.01)
    return textwrap.wrap(text, max(8, int(inches / widest))) or [""]


def text_width(text: str, points: float) -> float:
    """Return about how wide `text` is, in inches; Chinese and other wide characters count double."""
    return sum(_letter_width(letter) for letter in text) * points / 72


def shortened(text: str, inches: float, points: float) -> str:
    """Return `text`, or as much of its beginning as fits in `inches`, with an ellipsis."""
    if text_width(text, points) <= inches:
        return text
    end = len(text)
    while end > 1 and text_width(text[:end] + "…", points) > inches:
        end -= 1
    return text[:end].rstrip() + "…"


def shown_bars(panel: Bars) -> list[int]:
    """Return which bars of a still are shown, from the top: all, or of many the highest and the truth."""
    if len(panel.labels) <= MOST_BARS:
        return list(range(len(panel.labels)))
    known = np.where(np.isfinite(panel.values), panel.values, -np.inf)
    order = [int(bar) for bar in np.argsort(-known, kind="stable")]
    # Always as many rows: with the truth among the highest, one more of the others.
    if panel.truth is None or panel.truth in order[: HIGHEST_BARS + 1]:
        return order[: HIGHEST_BARS + (panel.truth is not None)]
    return [*order[:HIGHEST_BARS], panel.truth]


def bar_label(panel: Bars, bar: int) -> str:
    """Return the name that stands at a bar; the right answer is marked in words."""
    name = shortened(panel.labels[bar], 2.3, 9)
    return f"{name} (true class)" if bar == panel.truth else name


def highest_bar(panel: Bars) -> int | None:
    """Return the highest bar of a still, which is what the network predicts; None if no value is finite."""
    finite = np.isfinite(panel.values)
    return int(np.argmax(np.where(finite, panel.values, -np.inf))) if finite.any() else None


def bar_value(panel: Bars, bar: int) -> str:
    """Return the value that is printed at a bar."""
    return number(float(panel.values[bar]), percent=panel.unit == "probability")


def number(value: float, *, percent: bool = False) -> str:
    """Return `value` for a reader: with three digits, or in per cent with one decimal; a dash if not finite."""
    if not np.isfinite(value):
        return "–"
    if percent:
        return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def scale_ticks(scale: Scale) -> list[float]:
    """Return the values that are marked at a colour bar: both ends and the middle."""
    return [scale.low, (scale.low + scale.high) / 2, scale.high]


def legend_columns(panel: Curves) -> tuple[int, int]:
    """Return in how many columns and lines the names of the curves stand above them."""
    if not panel.curves:
        return 0, 0
    widest = max(text_width(curve.name, 9) for curve in panel.curves) + 0.45
    columns = int(np.clip(6.6 // widest, 1, len(panel.curves)))
    return columns, -(-len(panel.curves) // columns)


def value_at(steps: Sequence[int] | Any, values: Sequence[float] | Any, step: int) -> float:
    """Return the last of `values` (n,) recorded at or before `step`; NaN if there is none."""
    before = int(np.searchsorted(steps, step, side="right")) - 1
    return float(values[before]) if before >= 0 else float("nan")


def _letter_width(letter: str) -> float:
    if letter in " iljtfrI.,:;'|!()[]":
        return 0.38
    if ord(letter) >= 0x2E80:  # Chinese, Japanese, Korean
        return 1.05
    return 0.8 if letter.isupper() or letter in "mw%…" else 0.63


def _cell_labels(labels: tuple[str, ...], inches: float) -> tuple[str, ...]:
    """Return the labels if they fit over cells so wide; else the part in which they differ, else none."""
    if len(labels) > MOST_LABELS:
        return ()
    # The common beginning, of all labels: that of the first and last in order.
    first, last = min(labels, default=""), max(labels, default="")
    same = re.sub(
        r"[\d\W]*$",
        "",
        first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)],
    )
    for shown in (labels, tuple(label[len(same) :].strip() for label in labels)):
        if all(text_width(label, LABEL_POINTS) <= inches for label in shown):
            return shown
    return ()


def _mosaic_size(panel: Mosaic) -> Size:
    width, height = mosaic_layout(panel).area
    ticks = max(text_width(number(tick), 8) for tick in scale_ticks(panel.scale))
    return Size(width, height, right=0.35 + ticks + (0.55 if panel.scale.unit else 0.3))


def _picture_size(panel: Picture) -> Size:
    height, width = panel.pixels.shape[:2]
    longest = 1.9 if max(height, width) <= 64 else 2.4
    return Size(longest * width / max(height, width), longest * height / max(height, width))


def _bars_size(panel: Bars) -> Size:
    names = [bar_label(panel, bar) for bar in range(len(panel.labels))]
    count = len(names) if len(names) <= MOST_BARS else HIGHEST_BARS + (panel.truth is not None)
    widest = max((text_width(name, 9) for name in names), default=0.0)
    return Size(2.7, max(0.4, 0.27 * count), left=widest + 0.1, bottom=0.6)


def _curves_size(panel: Curves) -> Size:
    return Size(6.6, 3.3, left=0.8, right=0.35, top=0.4 + 0.2 * legend_columns(panel)[1], bottom=0.6)


_SIZES: dict[type[Panel], Callable[[Any], Size]] = {
    Mosaic: _mosaic_size,
    Picture: _picture_size,
    Bars: _bars_size,
    Curves: _curves_size,
}
