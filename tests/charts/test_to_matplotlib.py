from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from cnnviz.charts import to_matplotlib
from cnnviz.charts.chart import Bars, Chart, Curve, Curves, Film, Mosaic, Picture
from cnnviz.charts.layout import mosaic_tiles
from cnnviz.charts.theme import LINE_COLOURS, Scale
from cnnviz.charts.to_matplotlib import Animator, style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def _axes(panel: Any, step: int | None = None) -> Axes:
    return to_matplotlib.figure(Chart("title", (panel,), step)).axes[0]


def _rendered(film: Film, index: int) -> np.ndarray[Any, Any]:
    return Animator(film.frame(index), 100).pixels(film.frame(index)).copy()


def test_every_kind_of_panel_is_drawn(film: Film, tmp_path: Path) -> None:
    to_matplotlib.save(film.frame(1), tmp_path / "x.png", "png", 50)
    figure = film.frame(1).matplotlib()
    assert [text.get_text() for text in figure.texts] == ["A film", "step 200"]
    assert figure.axes[0].get_title("left") == film.panels[0].title


def test_a_mosaic_is_one_image_in_the_scales_colours() -> None:
    cells = np.array([[[-1.0, 0.0]], [[1.0, np.nan]]])
    panel = Mosaic("m", cells, ("a", "b"), Scale(-1, 1, "signed", "weight"))
    axes = _axes(panel)
    (image,) = axes.images
    shown = np.asarray(image.get_array())
    tiles = mosaic_tiles(panel)
    for cell in range(2):
        top, left = tiles.corner(cell)
        for x in range(2):
            middle = shown[top + tiles.zoom // 2, left + x * tiles.zoom + tiles.zoom // 2]
            assert tuple(middle) == (*panel.scale.colours(cells[cell, 0, x]), 255)
    assert shown[tiles.corner(0)[0] - 1, 0, 3] == 0  # the label's strip is transparent
    assert [text.get_text() for text in axes.texts] == ["a", "b"]


def test_a_mosaics_colour_bar_tells_ends_and_unit() -> None:
    axes = _axes(Mosaic("m", np.zeros((4, 2, 2)), tuple("abcd"), Scale(-0.25, 0.25, "signed", "weight")))
    (bar,) = axes.child_axes
    assert [label.get_text() for label in bar.get_yticklabels()] == ["-0.25", "0", "0.25"]
    assert bar.get_ylabel() == "weight"


def test_pixels_on_paper_have_the_scales_colours() -> None:
    cells = np.random.default_rng(0).normal(size=(1, 4, 3, 5))
    panel = Mosaic("m", cells, tuple("abcd"), Scale(-2, 2, "signed"))
    film = Film("f", (panel,), np.array([1]))
    animator = Animator(film.frame(0), 100)
    pixels = animator.pixels(film.frame(0))
    axes = animator._figure.axes[0]
    still = film.frame(0).panels[0]
    assert isinstance(still, Mosaic)
    tiles = mosaic_tiles(still)
    for cell, y, x in np.ndindex(4, 3, 5):
        top, left = tiles.corner(cell)
        place = (left + (x + 0.5) * tiles.zoom - 0.5, top + (y + 0.5) * tiles.zoom - 0.5)
        across, up = axes.transData.transform(place)
        painted = pixels[int(pixels.shape[0] - up), int(across), :3]
        np.testing.assert_array_equal(painted, panel.scale.colours(cells[0, cell, y, x]))


def test_a_map_finer_than_the_paper_is_smoothed() -> None:
    fine = Mosaic("m", np.zeros((4, 300, 300)), tuple("abcd"), Scale(0, 1, "magnitude"))
    assert _axes(fine).images[0].get_interpolation() == "auto"


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3), (400, 300)])
def test_a_picture_shows_its_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).random(shape)
    pixels[0, 0] = np.nan
    image = _axes(Picture("p", pixels)).images[0]
    np.testing.assert_array_equal(image.get_array(), np.nan_to_num(pixels))
    assert image.get_clim() == (0, 1)


def test_bars_mark_the_highest_and_the_truth() -> None:
    axes = _axes(Bars("b", np.array([0.25, 0.7, 0.0001]), ("cat", "dog", "fox"), "probability", truth=2))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "fox (true class)"]
    assert [text.get_text() for text in axes.texts] == ["25.0%", "70.0%", "<0.1%"]
    assert [text.get_fontweight() for text in axes.texts] == ["normal", "bold", "normal"]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.25, 0.7, 0.0001])  # type: ignore[attr-defined]
    assert to_hex(axes.patches[1].get_facecolor()) == LINE_COLOURS[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0%", "50%", "100%"]
    assert axes.get_ylim() == (2.5, -0.5)  # the first on top


def test_bars_of_another_unit_run_both_ways() -> None:
    axes = _axes(Bars("b", np.array([-4.0, 8.0, np.nan]), ("a", "b", "c"), "logit", limits=(-10.0, 10.0)))
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(-4, 4), (0, 8), (0, 0)]  # type: ignore[attr-defined]
    assert [text.get_text() for text in axes.texts] == ["-4", "8", "–"]


def test_curves_have_names_units_and_thousands() -> None:
    steps = np.arange(0, 20001, 100)
    curves = (
        Curve("train", steps, np.linspace(0.9, 0.02, 201)),
        Curve("validation", steps, np.full(201, 0.1)),
    )
    axes = _axes(Curves("errors", curves, "error rate", percent=True, cursor=5000))
    axes.get_figure().draw_without_rendering()  # type: ignore[union-attr]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "error rate")
    assert "12,000" in [label.get_text() for label in axes.get_xticklabels()]
    assert "60%" in [label.get_text() for label in axes.get_yticklabels()]
    assert [line.get_color() for line in axes.lines[:2]] == list(LINE_COLOURS[:2])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curves[0].values)
    assert axes.get_ylim()[0] == 0


def test_the_cursor_reads_the_values() -> None:
    curves = (
        Curve("a", np.array([0, 10, 20]), np.array([0.5, 0.25, np.nan])),
        Curve("b", np.array([15]), np.array([0.125])),
    )
    panel = Curves("c", curves, "error rate", percent=True)
    readings = []
    for cursor in (None, 0, 10, 17, 20, 99):
        note = _axes(replace(panel, cursor=cursor)).texts[-1]
        readings.append(note.get_text() if note.get_visible() else None)
    assert readings == [
        None,
        "a  50.0%\nb  –",
        "a  25.0%\nb  –",
        "a  25.0%\nb  12.5%",
        "a  –\nb  12.5%",
        None,
    ]


@pytest.mark.parametrize(
    "values",
    [[], [0.5], [np.nan, np.nan, np.nan], [0.5, np.nan, 0.25, np.inf], [0.0, 0.0], [-1.0, -2.0]],
    ids=str,
)
def test_curves_of_little_are_drawn(values: list[float], tmp_path: Path) -> None:
    curve = Curve("a", np.arange(len(values)), np.array(values))
    for cursor in (None, 0):
        chart = Chart("c", (Curves("c", (curve,), "loss", cursor=cursor),))
        to_matplotlib.save(chart, tmp_path / "x.png", "png", 40)
    nothing = not np.isfinite(values).any()
    assert ("no values yet" in [text.get_text() for text in _axes(chart.panels[0]).texts]) == nothing


def test_a_value_between_gaps_is_a_dot() -> None:
    axes = _axes(Curves("c", (Curve("a", np.arange(5), np.array([1, np.nan, 2, np.nan, 3.0])),), "loss"))
    assert axes.lines[0].get_markevery() == [0, 2, 4]


def test_curves_without_curves(tmp_path: Path) -> None:
    to_matplotlib.save(Chart("c", (Curves("c", (), "loss", cursor=3),)), tmp_path / "x.png", "png", 40)


def test_a_chart_without_panels_or_step(tmp_path: Path) -> None:
    to_matplotlib.save(Chart("", ()), tmp_path / "x.png", "png", 40)


def test_text_is_never_read_as_mathematics(tmp_path: Path) -> None:
    chart = Chart("cost in $ and $x", (Bars("b", np.array([1.0]), ("$a$_{",), "probability"),))
    to_matplotlib.save(chart, tmp_path / "x.png", "png", 40)


@pytest.mark.parametrize("fonts", [None, ["DejaVu Sans"]], ids=["all fonts", "no Chinese font"])
def test_chinese_text_is_drawn_silently(
    fonts: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if fonts:
        monkeypatch.setattr(style, "families", lambda: fonts)
    chart = Chart("特征图", (Bars("类别", np.array([0.2, 0.8]), ("猫", "狗"), "probability", truth=1),))
    with caplog.at_level(logging.WARNING):
        to_matplotlib.save(chart, tmp_path / "x.png", "png", 60)
        chart.matplotlib().savefig(tmp_path / "y.png")
    assert not caplog.records


def test_nothing_global_is_touched(whole_film: Film) -> None:
    before = dict(mpl.rcParams)
    whole_film.frame(0).matplotlib().draw_without_rendering()
    assert dict(mpl.rcParams) == before


def test_pyplot_is_not_imported() -> None:
    code = "from cnnviz.charts.chart import Chart; Chart('t', ()).matplotlib(); "
    code += "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_users_style_does_not_change_the_picture(whole_film: Film, tmp_path: Path) -> None:
    to_matplotlib.save(whole_film.frame(0), tmp_path / "a.png", "png", 60)
    with mpl.rc_context({"axes.facecolor": "black", "text.color": "red", "font.size": 30, "axes.grid": True}):
        to_matplotlib.save(whole_film.frame(0), tmp_path / "b.png", "png", 60)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_moved_frame_equals_a_fresh_one(film: Film) -> None:
    animator = Animator(film.frame(0), 100)
    for index in (2, 0, 1):
        np.testing.assert_array_equal(animator.pixels(film.frame(index)), _rendered(film, index))


def test_frames_have_even_sizes(film: Film) -> None:
    for dpi in (77, 100, 131):
        animator = Animator(film.frame(0), dpi)
        width, height = animator.size
        assert width % 2 == height % 2 == 0
        assert animator.pixels(film.frame(1)).shape == (height, width, 4)


def test_of_many_bars_other_names_come_up() -> None:
    values = np.eye(30)[[3, 25]] + np.linspace(0, 0.1, 30)
    film = Film(
        "f", (Bars("b", values, tuple(f"class {i}" for i in range(30)), "probability"),), np.array([1, 2])
    )
    animator = Animator(film.frame(0), 60)
    animator.pixels(film.frame(1))
    assert animator._figure.axes[0].get_yticklabels()[0].get_text() == "class 25"
    np.testing.assert_array_equal(
        animator.pixels(film.frame(1)), Animator(film.frame(1), 60).pixels(film.frame(1))
    )
