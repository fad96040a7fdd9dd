"""What all panels share in matplotlib: fonts, inks, and settings that hold only while a figure is made or drawn."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from cnnviz.charts import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

INK, SOFT, GRID = "#1f2933", "#5b6770", "#e6eaee"

# The first that has a glyph draws it; the others are the usual Chinese fonts of Linux, macOS and Windows.
_FONTS = (
    "DejaVu Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Noto Sans CJK SC", "Source Han Sans SC",
    "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei",
)  # fmt: skip
_SETTINGS: dict[Any, Any] = {
    "font.weight": "normal", "text.color": INK, "text.usetex": False, "text.parse_math": False,
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.linewidth": 0.8, "axes.edgecolor": SOFT,
    "axes.titleweight": "normal", "axes.titlecolor": INK, "axes.labelweight": "normal",
    "svg.hashsalt": "cnnviz", "svg.fonttype": "path",
}  # fmt: skip
# Whatever the user's style says of these, a chart looks the same.
_OURS = (
    "axes.", "figure.", "font.", "grid.", "image.", "legend.", "lines.", "markers.", "patch.", "path.", "scatter.",
    "svg.", "pdf.", "text.", "xaxis.", "xtick.", "yaxis.", "ytick.",
)  # fmt: skip
# Matplotlib's settings and Python's warning filters belong to the whole process, whatever the thread.
_ONE_AT_A_TIME = threading.RLock()


class Live(NamedTuple):
    """What changes of a panel from step to step.

    Attributes:
        artists: The artists that change, in drawing order.
        show: Sets them to another still of the same panel.
    """

    artists: tuple[Artist, ...]
    show: Callable[[Any], None]


class StyledFigure(Figure):
    """A figure that draws itself with our fonts and settings, whatever the user's style."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw everything with `renderer`."""
        with settings():
            super().draw(renderer)


@contextmanager
def settings() -> Iterator[None]:
    """Hold matplotlib to our settings, silent about glyphs that no font has and fonts that come in one weight."""
    log = logging.getLogger(font_manager.__name__)

    def quiet(record: logging.LogRecord) -> bool:
        return "Failed to find font weight" not in str(record.msg)

    with (
        _ONE_AT_A_TIME,
        mpl.rc_context({**_defaults(), "font.family": families()}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        log.addFilter(quiet)
        try:
            yield
        finally:
            log.removeFilter(quiet)


@lru_cache(maxsize=1)
def _defaults() -> dict[Any, Any]:
    """Return matplotlib's own settings of how things look, with ours over them."""
    looks = {key: value for key, value in mpl.rcParamsDefault.items() if key.startswith(_OURS)}
    return {**looks, **_SETTINGS}


@lru_cache(maxsize=1)
def families() -> list[str]:
    """Return those of the fonts that this machine has; naming others makes matplotlib complain."""
    here = set(font_manager.get_font_names())
    return [font for font in _FONTS if font in here]


def style(axes: Axes, title: str, size: layout.Size) -> None:
    """Give axes their title, wrapped to the panel's width, and quiet ticks and spines."""
    lines = layout.wrapped(title, size.width + size.right - 0.1, layout.TITLE_POINTS)
    axes.set_title("\n".join(lines), loc="left", fontsize=layout.TITLE_POINTS, pad=6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, labelcolor=SOFT, color=SOFT, length=3, labelfontfamily=families())


def bare(axes: Axes) -> None:
    """Take ticks and frame away, for images."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
