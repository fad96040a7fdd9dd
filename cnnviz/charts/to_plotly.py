"""Charts as plotly figures, for notebooks: zoom, and the exact value under the pointer.

A mosaic is one heatmap, never a subplot a cell: 64 of these take seven times as long to draw. Values go as numpy
arrays, which plotly sends as bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from cnnviz.charts import layout
from cnnviz.charts.chart import Bars, Chart, Curves, Mosaic, Panel, Picture
from cnnviz.charts.theme import LINE_COLOURS, colour_table
from cnnviz.charts.tiles import Tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_DOTS = 96  # pixels an inch
_MARGIN = 16  # pixels around everything
_HEADER = 64  # pixels above the panels for the chart's title and step
_INK, _SOFT, _GRID = "#1f2933", "#5b6770", "#e6eaee"
_BAR, _HIGHEST = "#b9cbdc", LINE_COLOURS[0]
_FONT = "DejaVu Sans, Segoe UI, Noto Sans CJK SC, PingFang SC, Microsoft YaHei, WenQuanYi Zen Hei, sans-serif"


class _Place(NamedTuple):
    """Where a panel stands: its axes' number, its ends in fractions of the figure, and its size in inches."""

    number: int
    left: float
    right: float
    bottom: float
    top: float
    size: layout.Size

    @property
    def axes(self) -> dict[str, str]:
        """The names of the axes, as traces give them."""
        number = "" if self.number == 1 else self.number
        return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def figure(chart: Chart) -> go.Figure:
    """Return a chart as a plotly figure; it asks nothing of the network."""
    places, width, height = layout.place(chart.panels)
    width = max(width, layout.text_width(chart.title, 14) + 0.3)
    drawn = go.Figure()
    drawn.update_layout(
        width=round(width * _DOTS) + 2 * _MARGIN,
        height=round(height * _DOTS) + _HEADER + _MARGIN,
        margin={"l": _MARGIN, "r": _MARGIN, "t": _HEADER, "b": _MARGIN, "autoexpand": False},
        template="none",
        font={"family": _FONT, "size": 12, "color": _INK},
        title=_title(chart),
        # All curves at a step at once; where there are images, too, what is under the pointer alone.
        hovermode="x unified" if all(isinstance(panel, Curves) for panel in chart.panels) else "closest",
        showlegend=any(isinstance(panel, Curves) for panel in chart.panels),
    )
    for number, (panel, (x, y, size)) in enumerate(zip(chart.panels, places, strict=True), 1):
        place = _Place(
            number, x / width, (x + size.width) / width, 1 - (y + size.height) / height, 1 - y / height, size
        )
        _DRAW[type(panel)](drawn, panel, place)
        if panel.title != chart.title:
            _panel_title(drawn, panel, place)
    return drawn


def _title(chart: Chart) -> dict[str, Any]:
    step = "" if chart.step is None else f"step {chart.step:,}"
    return {
        "text": _plain(chart.title),
        "subtitle": {"text": step, "font": {"size": 13, "color": _SOFT}},
        "font": {"size": 18},
        "x": 0,
        "xref": "paper",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 12},
    }


def _panel_title(drawn: go.Figure, panel: Panel, place: _Place) -> None:
    lines = layout.wrapped(panel.title, place.size.width + place.size.right - 0.1, layout.TITLE_POINTS)
    above = 26 if isinstance(panel, Curves) else 4
    drawn.add_annotation(
        text="<br>".join(_plain(line) for line in lines), font={"size": 14}, showarrow=False, align="left",
        x=place.left, y=place.top, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=above,
        borderpad=0, borderwidth=0,
    )  # fmt: skip


def _mosaic(drawn: go.Figure, panel: Mosaic, place: _Place) -> None:
    on_paper = layout.mosaic_layout(panel)
    count, height, width = panel.cells.shape
    tiles = Tiles((count, height, width), on_paper.grid, strip=1 if on_paper.labels else 0)
    # The pixels between cells are as narrow as on paper: a heatmap may be told where each row and column ends.
    x = _ends(on_paper.grid[1], width, on_paper.cell[0] / width, (0, on_paper.gap))
    y = _ends(on_paper.grid[0], height, on_paper.cell[1] / height, (on_paper.strip, on_paper.gap))
    inside = tiles.index >= 0
    names = np.array([*(_plain(label) for label in panel.labels), ""], object)
    within = np.stack([tiles.index // width % height, tiles.index % width], axis=-1)
    drawn.add_heatmap(
        z=tiles.place(panel.cells), x=x, y=y, zmin=panel.scale.low, zmax=panel.scale.high,
        colorscale=_colours(panel), colorbar=_colour_bar(panel, place), hoverongaps=False,
        text=names[np.where(inside, tiles.index // (height * width), count)],
        customdata=np.where(inside[..., None], within, -1).astype(np.int32),
        hovertemplate="%{text}<br>row %{customdata[0]}, column %{customdata[1]}<br>"
        f"{_plain(panel.scale.unit) or 'value'} %{{z}}<extra></extra>",
        **place.axes,
    )  # fmt: skip
    _not_finite(drawn, tiles.place(panel.cells), (x, y), inside, place)
    if on_paper.labels:
        _cell_labels(drawn, on_paper, place)
    bare: dict[str, Any] = {"visible": False, "fixedrange": False}
    _axes(
        drawn,
        place,
        {**bare, "range": [0, x[-1]]},
        {**bare, "range": [y[-1], 0], "scaleanchor": place.axes["xaxis"]},
    )


def _not_finite(
    drawn: go.Figure,
    values: NDArray[np.float64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    inside: NDArray[np.bool_],
    place: _Place,
) -> None:
    """Paint cells' values that are not finite gray: plotly leaves them out, as it does what lies between cells."""
    broken = inside & ~np.isfinite(values)
    if broken.any():
        drawn.add_heatmap(
            z=np.where(broken, 0.0, np.nan), x=ends[0], y=ends[1], colorscale=[[0, "#808080"], [1, "#808080"]],
            showscale=False, hoverongaps=False, hovertemplate="not finite<extra></extra>", **place.axes,
        )  # fmt: skip


def _cell_labels(drawn: go.Figure, on_paper: layout.MosaicLayout, place: _Place) -> None:
    """Write the labels over the cells, as one trace."""
    rows, columns = np.divmod(np.arange(len(on_paper.labels)), on_paper.grid[1])
    drawn.add_scatter(
        x=columns * (on_paper.cell[0] + on_paper.gap),
        y=rows * (on_paper.strip + on_paper.cell[1] + on_paper.gap) + on_paper.strip,
        text=[_plain(label) for label in on_paper.labels],
        mode="text", textposition="top right", textfont={"size": 10, "color": _SOFT}, hoverinfo="skip",
        cliponaxis=False, showlegend=False, **place.axes,
    )  # fmt: skip


def _colour_bar(panel: Mosaic, place: _Place) -> dict[str, Any]:
    ticks = layout.scale_ticks(panel.scale)
    return {
        "x": place.right, "xanchor": "left", "xpad": 10, "y": place.top, "yanchor": "top", "ypad": 0,
        "len": min(1.0, 2.6 / place.size.height) * (place.top - place.bottom), "thickness": 12, "outlinewidth": 0,
        "tickvals": ticks, "ticktext": [layout.number(tick) for tick in ticks],
        "tickfont": {"size": 11, "color": _SOFT},
        "title": {"text": _plain(panel.scale.unit), "side": "right", "font": {"size": 11, "color": _SOFT}},
    }  # fmt: skip


def _picture(drawn: go.Figure, panel: Picture, place: _Place) -> None:
    pixels = np.rint(np.clip(np.nan_to_num(panel.pixels), 0, 1) * 255).astype(np.uint8)
    colour = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    shown = (
        "%{customdata:.3f}"
        if pixels.ndim == 2
        else "(%{customdata[0]:.3f}, %{customdata[1]:.3f}, %{customdata[2]:.3f})"
    )
    drawn.add_image(
        z=colour, customdata=np.asarray(panel.pixels, np.float32),
        hovertemplate=f"row %{{y}}, column %{{x}}<br>value {shown}<extra></extra>", **place.axes,
    )  # fmt: skip
    height, width = pixels.shape[:2]
    bare: dict[str, Any] = {"visible": False, "constrain": "domain"}
    _axes(
        drawn, place, {**bare, "range": [-0.5, width - 0.5]},
        {**bare, "range": [height - 0.5, -0.5], "scaleanchor": place.axes["xaxis"]},
    )  # fmt: skip


def _bars(drawn: go.Figure, panel: Bars, place: _Place) -> None:
    shown = layout.shown_bars(panel)
    highest = layout.highest_bar(panel)
    values = [layout.bar_value(panel, bar) for bar in shown]
    drawn.add_bar(
        x=np.asarray(panel.values, np.float64)[shown], y=np.arange(len(shown)), orientation="h", width=0.72,
        marker={"color": [_HIGHEST if bar == highest else _BAR for bar in shown]},
        text=[f"<b>{value}</b>" if bar == highest else _plain(value) for bar, value in zip(shown, values, strict=True)],
        textposition="outside", cliponaxis=False, showlegend=False,
        hovertext=[_plain(panel.labels[bar]) + (" (true class)" if bar == panel.truth else "") for bar in shown],
        hovertemplate=f"%{{hovertext}}<br>{_plain(panel.unit)} %{{x}}<extra></extra>", **place.axes,
    )  # fmt: skip
    low, high = panel.limits
    _axes(
        drawn, place,
        {
            "range": [low, high + 0.2 * (high - low)], "tickvals": [low, (low + high) / 2, high], "gridcolor": _GRID,
            "tickformat": ".0%" if panel.unit == "probability" else "", "zeroline": False,
            "tickfont": {"color": _SOFT}, "title": _axis_title(panel.unit),
        },
        {
            "range": [max(0.5, len(shown) - 0.5), -0.5], "tickvals": list(range(len(shown))), "zeroline": False,
            "ticktext": [_plain(layout.bar_label(panel, bar)) for bar in shown], "showgrid": False,
        },
    )  # fmt: skip


def _curves(drawn: go.Figure, panel: Curves, place: _Place) -> None:
    legend = "legend" if place.number == 1 else f"legend{place.number}"
    for i, curve in enumerate(panel.curves):
        drawn.add_scatter(
            x=curve.steps, y=np.where(np.isfinite(curve.values), curve.values, np.nan), name=_plain(curve.name),
            mode="lines+markers" if np.isfinite(curve.values).sum() < 2 else "lines", connectgaps=False,
            line={"color": LINE_COLOURS[i % 6], "width": 2, "dash": ("solid", "dash", "dot")[i // 6 % 3]},
            hovertemplate="%{y:.2%}" if panel.percent else "%{y:.4g}", legend=legend, showlegend=True, **place.axes,
        )  # fmt: skip
    drawn.update_layout(
        {
            legend: {
                "orientation": "h", "x": place.left, "xanchor": "left", "y": place.top, "yanchor": "bottom",
                "bgcolor": "rgba(0,0,0,0)",
            }
        }
    )  # fmt: skip
    _axes(
        drawn, place,
        {"tickformat": ",d", "title": _axis_title("step"), "gridcolor": _GRID, "zeroline": False},
        {
            "tickformat": ".3~%" if panel.percent else ".4~g", "title": _axis_title(panel.unit), "gridcolor": _GRID,
            "zeroline": False, "rangemode": "tozero",
        },
    )  # fmt: skip
    if panel.cursor is not None:
        _cursor(drawn, panel, panel.cursor, place)


def _cursor(drawn: go.Figure, panel: Curves, step: int, place: _Place) -> None:
    """Draw the line at the current step and the values there."""
    axes = place.axes
    x, top = axes["xaxis"], f"{axes['yaxis']} domain"
    drawn.add_shape(
        type="line", x0=step, x1=step, y0=0, y1=1, xref=x, yref=top, line={"color": _INK, "width": 1}
    )
    ends = [
        int(end) for curve in panel.curves if len(curve.steps) for end in (curve.steps[0], curve.steps[-1])
    ]
    rightwards = not ends or step < (min(ends) + max(ends)) / 2
    values = [layout.value_at(curve.steps, curve.values, step) for curve in panel.curves]
    drawn.add_annotation(
        text="<br>".join(
            f"{_plain(curve.name)}  {_plain(layout.number(value, percent=panel.percent))}"
            for curve, value in zip(panel.curves, values, strict=True)
        ),
        x=step, y=1, xref=x, yref=top, showarrow=False, xanchor="left" if rightwards else "right", yanchor="top",
        align="left" if rightwards else "right", xshift=6 if rightwards else -6, bgcolor="rgba(255,255,255,0.85)",
    )  # fmt: skip


def _axes(drawn: go.Figure, place: _Place, x: dict[str, Any], y: dict[str, Any]) -> None:
    names = place.axes
    apart = {"ticks": "outside", "ticklen": 4, "tickcolor": "rgba(0,0,0,0)"}  # labels a little off the axes
    drawn.update_layout(
        {
            names["xaxis"].replace("x", "xaxis"): {
                **apart, **x, "domain": [max(0.0, place.left), min(1.0, place.right)], "anchor": names["yaxis"],
            },
            names["yaxis"].replace("y", "yaxis"): {
                **apart, **y, "domain": [max(0.0, place.bottom), min(1.0, place.top)], "anchor": names["xaxis"],
            },
        }
    )  # fmt: skip


def _axis_title(text: str) -> dict[str, Any]:
    return {"text": _plain(text), "font": {"size": 12, "color": _SOFT}, "standoff": 8}


def _ends(count: int, values: int, step: float, around: tuple[float, float]) -> NDArray[np.float64]:
    """Return where the pixels of a mosaic end along one axis, in inches, beginning with 0."""
    before, after = around
    block = [*([before] if before else []), *[step] * values, after]
    return np.concatenate([[0.0], np.cumsum(np.tile(block, count)[:-1])])


def _colours(panel: Mosaic) -> list[tuple[float, str]]:
    """Return the 256 colours of the panel's scale, as plotly writes them."""
    table = colour_table(panel.scale.kind)
    return [(i / 255, f"rgb({r},{g},{b})") for i, (r, g, b) in enumerate(table)]


def _plain(text: str) -> str:
    """Return `text` so that plotly shows it as it is, though it reads some HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_DRAW: dict[type[Panel], Callable[[go.Figure, Any, _Place], None]] = {
    Mosaic: _mosaic,
    Picture: _picture,
    Bars: _bars,
    Curves: _curves,
}
