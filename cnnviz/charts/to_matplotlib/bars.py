"""Bars in matplotlib, one a class, from the top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.charts import layout
from cnnviz.charts.theme import LINE_COLOURS
from cnnviz.charts.to_matplotlib.style import GRID, INK, SOFT, Live

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cnnviz.charts.chart import Bars


_BAR, _HIGHEST = "#b9cbdc", LINE_COLOURS[0]


def bars(axes: Axes, panel: Bars) -> Live:
    """Draw a bar a class: the highest emphasised, the truth in words, every value printed."""
    shown = layout.shown_bars(panel)
    low, high = panel.limits
    places = np.arange(len(shown))
    patches = axes.barh(places, np.zeros(len(shown)), height=0.72).patches
    texts = [axes.text(0, float(place), "", va="center", fontsize=8.5) for place in places]
    axes.set(xlim=(low, high + 0.2 * (high - low)), ylim=(max(0.5, len(shown) - 0.5), -0.5), yticks=places)
    axes.set_xticks(np.linspace(low, high, 3))
    percent = panel.unit == "probability"
    axes.set_xticklabels([f"{tick:.0%}" if percent else f"{tick:.3g}" for tick in np.linspace(low, high, 3)])
    axes.set_xlabel(panel.unit, fontsize=9, color=SOFT, x=0.5 / 1.2)  # centred below the limits
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelcolor=INK)

    def show(still: Bars) -> None:
        chosen = layout.shown_bars(still)
        axes.set_yticklabels([layout.bar_label(still, bar) for bar in chosen])
        for patch, text, bar in zip(patches, texts, chosen, strict=True):
            _show_bar(patch, text, still, bar)

    show(panel)
    # Of many bars other ones are shown at other steps.
    moving = (axes.yaxis,) if len(panel.labels) > len(shown) else ()
    return Live((*patches, *texts, *moving), show)


def _show_bar(patch: Any, text: Any, panel: Bars, bar: int) -> None:
    """Set one bar and the value at its end; the highest one is dark and bold."""
    low, high = panel.limits
    base = min(max(0.0, low), high)
    value = float(np.clip(np.nan_to_num(panel.values[bar], nan=base), low, high))
    highest = bar == layout.highest_bar(panel)
    patch.set(x=min(base, value), width=abs(value - base), facecolor=_HIGHEST if highest else _BAR)
    text.set_text(layout.bar_value(panel, bar))
    text.set(
        x=max(base, value) + 0.015 * (high - low),
        fontweight="bold" if highest else "normal",
        color=INK if highest else SOFT,
        fontfamily="DejaVu Sans",  # the Chinese fonts have no bold
    )
