"""Curves over steps in matplotlib, and the cursor that runs over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cnnviz.charts import layout
from cnnviz.charts.theme import LINE_COLOURS
from cnnviz.charts.to_matplotlib.style import GRID, INK, SOFT, Live

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from cnnviz.charts.chart import Curves


def curves(axes: Axes, panel: Curves) -> Live:
    """Draw the lines, their names above the axes, and the cursor."""
    for i, curve in enumerate(panel.curves):
        values = _finite(curve.values)
        axes.plot(
            curve.steps, values, color=_line_colour(i), linestyle=("-", "--", ":")[i // 6 % 3], linewidth=1.8,
            label=curve.name, marker="o", markersize=4, markevery=_alone(values),
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, percent=panel.percent)))
    axes.set_xlabel("step", fontsize=9, color=SOFT)
    axes.set_ylabel(panel.unit, fontsize=9, color=SOFT)
    axes.grid(color=GRID, linewidth=0.8)
    _span(axes, panel)
    _legend(axes, panel)
    return _cursor(axes, panel)


def _cursor(axes: Axes, panel: Curves) -> Live:
    """Draw the line at the current step, a dot on each curve and the values there."""
    line = axes.axvline(0, color=INK, linewidth=0.9, zorder=3)
    colours = [_line_colour(i) for i in range(len(panel.curves))]
    dots = axes.scatter(
        np.zeros(len(colours)), np.zeros(len(colours)), 26, colours, edgecolors="white", zorder=4
    )
    note = axes.annotate(
        "", (0, 1), (6, -4), xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8.5,
        va="top", linespacing=1.35, zorder=5, bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 2},
    )  # fmt: skip
    note.set_in_layout(False)

    def show(still: Curves) -> None:
        left, right = axes.get_xlim()
        step = still.cursor
        shown = step is not None and left <= step <= right and any(len(curve.steps) for curve in still.curves)
        for artist in (line, dots, note):
            artist.set_visible(shown)
        if step is None or not shown:
            return
        values = [layout.value_at(curve.steps, _finite(curve.values), step) for curve in still.curves]
        line.set_xdata([step, step])
        dots.set_offsets(np.column_stack([np.full(len(values), step), values]))
        note.set_text(_reading(still, values))
        rightwards = step < (left + right) / 2
        note.xy = (step, 1)
        note.set(x=6 if rightwards else -6, ha="left" if rightwards else "right")

    show(panel)
    return Live((line, dots, note), show)


def _reading(panel: Curves, values: list[float]) -> str:
    """Return the values at the cursor, one curve a line; a curve that has not begun is left out."""
    named = zip(panel.curves, values, strict=True)
    return "\n".join(
        f"{layout.shortened(curve.name, 2.2, 8.5)}  {layout.number(value, percent=panel.percent)}"
        for curve, value in named
        if len(curve.steps)
    )


def _span(axes: Axes, panel: Curves) -> None:
    """Set the limits: steps from 0 where that wastes little, values from 0 if none is negative."""
    steps = np.concatenate([np.zeros(0), *(curve.steps for curve in panel.curves)])
    values = np.concatenate([np.zeros(0), *(_finite(curve.values) for curve in panel.curves)])
    values = values[np.isfinite(values)]
    if not steps.size or not values.size:
        axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", va="center", color=SOFT)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    first, last = (float(steps.min()), float(steps.max())) if steps.size else (0.0, 1.0)
    first = 0.0 if 0 < first < last / 4 else first
    room = 0.02 * (last - first) or 1.0
    axes.set_xlim(first - room, last + room)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    low = 0.0 if 0 < low < high / 2 else low
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.01
    axes.set_ylim(low if low == 0 and high > 0 else low - room, high + room)


def _legend(axes: Axes, panel: Curves) -> None:
    """Write the curves' names above the axes, where they hide no curve, and the title above them."""
    columns, lines = layout.legend_columns(panel)
    if not columns:
        return
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=columns, frameon=False, fontsize=9, borderaxespad=0.1,
        handlelength=1.5, columnspacing=1.6,
    )  # fmt: skip
    for handle in legend.legend_handles:
        handle.set(marker="")  # type: ignore[union-attr] # handles of curves are lines
    axes.set_title(axes.get_title("left"), loc="left", fontsize=layout.TITLE_POINTS, pad=8 + 14.4 * lines)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _alone(values: NDArray[np.float64]) -> list[int]:
    """Return the positions of values without a finite neighbour: a line would not show them."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return [int(i) for i in np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])]


def _tick(value: float, *, percent: bool) -> str:
    return f"{100 * value:.4g}%" if percent else f"{value:.4g}"


def _line_colour(position: int) -> str:
    return LINE_COLOURS[position % len(LINE_COLOURS)]
