from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnviz.charts import to_plotly
from cnnviz.charts.chart import Bars, Chart, Curve, Curves, Film, Mosaic, Panel, Picture
from cnnviz.charts.theme import LINE_COLOURS, Scale, colour_table


def _figure(panel: Panel, step: int | None = None) -> Any:
    return to_plotly.figure(Chart("title", (panel,), step))


def _mosaic(cells: Any, labels: tuple[str, ...]) -> Mosaic:
    return Mosaic("m", np.array(cells), labels, Scale(-1, 1, "signed", "weight"), columns=2)


def test_every_kind_of_panel_is_drawn(film: Film) -> None:
    figure = film.frame(2).plotly()
    assert figure.layout.title.text == "A film"
    assert figure.layout.title.subtitle.text == "step 1,200"
    assert film.panels[0].title in [note.text for note in figure.layout.annotations]
    figure.to_json()


def test_a_mosaic_is_one_heatmap_of_exact_values() -> None:
    figure = _figure(_mosaic([[[-1.0, 0.5]], [[0.25, 1.0]]], ("a", "b")))
    heatmap, labels = figure.data
    np.testing.assert_array_equal(heatmap.z, [[np.nan] * 5, [-1, 0.5, np.nan, 0.25, 1]])
    assert isinstance(heatmap.z, np.ndarray)
    assert list(heatmap.text[1]) == ["a", "a", "", "b", "b"]
    assert heatmap.customdata[1, 4].tolist() == [0, 1]
    assert (heatmap.zmin, heatmap.zmax, heatmap.hoverongaps) == (-1, 1, False)
    assert "%{text}<br>row %{customdata[0]}, column %{customdata[1]}<br>weight %{z}" in heatmap.hovertemplate
    assert list(labels.text) == ["a", "b"]
    assert len(heatmap.x) == 6  # the ends of five columns
    assert len(heatmap.y) == 3


def test_gaps_are_narrower_than_values() -> None:
    heatmap = _figure(_mosaic(np.zeros((2, 2, 2)), ("a", "b"))).data[0]
    widths = np.diff(heatmap.x)
    assert widths[2] < widths[0] / 4
    np.testing.assert_allclose(widths[[1, 3, 4]], widths[0])


def test_the_heatmap_has_the_themes_colours_and_unit() -> None:
    heatmap = _figure(_mosaic(np.zeros((2, 2, 2)), ("a", "b"))).data[0]
    table = colour_table("signed")
    for i in (0, 100, 255):
        assert heatmap.colorscale[i] == (i / 255, "rgb({},{},{})".format(*table[i]))
    assert heatmap.colorbar.title.text == "weight"
    assert list(heatmap.colorbar.ticktext) == ["-1", "0", "1"]


def test_a_mosaic_is_square_and_from_the_top() -> None:
    layout = _figure(_mosaic(np.zeros((2, 2, 2)), ("a", "b"))).layout
    assert layout.yaxis.scaleanchor == "x"
    assert layout.yaxis.range[0] > layout.yaxis.range[1]


def test_values_that_are_not_finite_are_gray_unlike_gaps() -> None:
    broken = _figure(_mosaic([[[np.nan, 0.5]], [[0.25, np.inf]]], ("a", "b"))).data[1]
    np.testing.assert_array_equal(np.isfinite(broken.z[1]), [True, False, False, False, True])
    assert broken.colorscale[0][1] == "#808080"


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3)])
def test_a_picture_is_an_image(shape: tuple[int, ...]) -> None:
    pixels = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    image = _figure(Picture("p", pixels)).data[0]
    assert image.z.shape == (3, 4, 3)
    assert image.z.dtype == np.uint8
    assert image.z[-1, -1, 0] == round(255 * pixels.reshape(3, 4, -1)[-1, -1, 0])


def test_bars_mark_the_highest_and_the_truth() -> None:
    figure = _figure(Bars("b", np.array([0.25, 0.75]), ("cat", "<dog>"), "probability", truth=0))
    (bars,) = figure.data
    np.testing.assert_array_equal(bars.x, [0.25, 0.75])
    assert list(figure.layout.yaxis.ticktext) == ["cat (true class)", "&lt;dog&gt;"]
    assert list(bars.text) == ["25.0%", "<b>75.0%</b>"]
    assert bars.marker.color[1] == LINE_COLOURS[0] != bars.marker.color[0]
    assert figure.layout.xaxis.tickformat == ".0%"
    assert figure.layout.yaxis.range == (1.5, -0.5)


def test_curves_keep_gaps_and_mark_the_cursor() -> None:
    steps = np.array([0, 10, 20])
    curves = (Curve("a", steps, np.array([0.5, np.inf, 0.25])), Curve("b", steps, np.array([0.5, 0.4, 0.3])))
    figure = _figure(Curves("c", curves, "error rate", cursor=20, percent=True))
    np.testing.assert_array_equal(figure.data[0].y, [0.5, np.nan, 0.25])
    assert not figure.data[0].connectgaps
    assert [line.line.color for line in figure.data] == list(LINE_COLOURS[:2])
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (20, 20)
    assert "a  25.0%<br>b  30.0%" in [note.text for note in figure.layout.annotations]
    assert (figure.layout.xaxis.tickformat, figure.layout.yaxis.title.text) == (",d", "error rate")
    assert figure.layout.hovermode == "x unified"


@pytest.mark.parametrize("values", [[], [0.5], [np.nan]], ids=str)
def test_curves_of_little_are_drawn(values: list[float]) -> None:
    curve = Curve("a", np.arange(len(values)), np.array(values))
    assert _figure(Curves("c", (curve,), "loss", cursor=0)).data[0].mode == "lines+markers"


def test_panels_stand_apart(whole_film: Film) -> None:
    figure = whole_film.frame(0).plotly()
    boxes = []
    for number in ("", 2, 3, 4):
        x, y = figure.layout[f"xaxis{number}"], figure.layout[f"yaxis{number}"]
        assert (x.anchor, y.anchor) == (f"y{number}", f"x{number}")
        boxes.append((*x.domain, *y.domain))
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]


def test_titles_are_not_read_as_html() -> None:
    figure = to_plotly.figure(Chart("a < b & <i>c</i>", ()))
    assert figure.layout.title.text == "a &lt; b &amp; &lt;i&gt;c&lt;/i&gt;"
