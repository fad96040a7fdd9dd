"""Plots: named functions that turn a Run into a Film and a Snapshot into a Chart.

A module here holds a family of plots and must not be called like one of them, because `plots.<name>` is the plot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnviz.plots.plot import Plot


def __getattr__(name: str) -> Plot:
    if name.startswith("__"):  # what tools ask every module for; answered without importing torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnnviz.plots.plot import PLOTS

    if name not in PLOTS:
        raise AttributeError(f"cnnviz has no plot {name!r}; it has {', '.join(PLOTS.names())}")
    return PLOTS.get(name)


def __dir__() -> list[str]:
    from cnnviz.plots.plot import PLOTS

    return PLOTS.names()
