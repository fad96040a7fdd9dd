"""Films and charts in files of their own: opened from the disk, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import cnnviz
from cnnviz.charts.chart import Chart, Film, Mosaic
from cnnviz.charts.theme import Scale, signed_scale
from cnnviz.charts.to_player import notebook_html, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.browser


@pytest.fixture
def show(new_tab: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Opens HTML from a file in a browser without a network."""

    def open_file(text: str, **options: Any) -> Any:
        file = tmp_path / "a film #1.html"
        file.write_text(text, encoding="utf-8")
        tab = new_tab(offline=True, **options)
        tab.page.goto(file.as_uri())
        return tab

    return open_file


def _shown(tab: Any) -> set[str]:
    return set(tab.page.eval_on_selector_all(".cv-panel", "all => all.map((p) => p.dataset.step)"))


def test_a_film_in_a_file(show: Callable[..., Any], run: cnnviz.Run, assert_colour: Any) -> None:
    film = cnnviz.plots.filters(run, layer="conv2", channel=1)
    panel = film.panels[0]
    tab = show(page(film))
    tab.page.wait_for_selector("#film [data-complete]")
    assert tab.page.title() == film.title
    for key, step in (("End", 40), ("Home", 0), ("PageUp", 4), ("ArrowLeft", 3)):
        tab.slider.press(key)
        assert tab.slider.get_attribute("aria-valuenow") == str(step)
        assert _shown(tab) == {str(step)}
        assert_colour(tab.page, panel.cells[step], panel.scale, (4, 2, 1))
    box = tab.slider.bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    assert _shown(tab) == {"20"}
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": 5, "y": 5})
    tip = tab.page.locator(".cv-tooltip strong")
    assert float(tip.inner_text()) == pytest.approx(float(panel.cells[20, 0, 0, 0]), rel=6e-4)


@pytest.mark.parametrize("plot", ["errors", "feature_maps", "probabilities"])
def test_every_plot_in_a_file(show: Callable[..., Any], run: cnnviz.Run, plot: str) -> None:
    drawn = getattr(cnnviz.plots, plot)(run)
    tab = show(page(drawn))
    tab.page.wait_for_selector("#film [data-complete]")
    assert tab.page.get_by_role("heading", name=drawn.title).is_visible()
    if isinstance(drawn, Film):
        tab.slider.press("Home")
        assert _shown(tab) == {"0"}
    else:
        assert not tab.slider.is_visible()


def test_a_still_in_a_file(show: Callable[..., Any], run: cnnviz.Run, assert_colour: Any) -> None:
    still = cnnviz.plots.filters(run.at(3))
    tab = show(page(still))
    tab.page.wait_for_selector("#film [data-complete]")
    assert _shown(tab) == {"3"}
    assert not tab.slider.is_visible()
    assert_colour(tab.page, still.panels[0].cells, still.panels[0].scale, (2, 3, 3))


def test_a_large_film_in_a_file_is_bytes(show: Callable[..., Any], assert_colour: Any) -> None:
    cells = np.random.default_rng(0).normal(size=(30, 4, 60, 60)).astype(np.float32)
    cells[29, 1, 2, 3] = np.nan
    scale = signed_scale([cells], "weight")
    mosaic = Mosaic("kernels", cells, ("a", "b", "c", "d"), scale)
    tab = show(page(Film("large", (mosaic,), np.arange(30))))
    tab.page.wait_for_selector("#film [data-complete]")
    assert_colour(tab.page, cells[29], scale, (3, 59, 59))
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": 1, "y": 1})
    assert tab.page.locator(".cv-tooltip strong").inner_text().startswith("≈")


def test_what_is_not_a_number_is_gray(show: Callable[..., Any]) -> None:
    cells = np.array([[[np.nan, 1.0]]])
    tab = show(page(Chart("odd", (Mosaic("", cells, ("cell",), Scale(0, 1, "magnitude")),))))
    tab.page.wait_for_selector("#film [data-complete]")
    script = "canvas => [...canvas.getContext('2d').getImageData(5, 5, 1, 1).data]"
    assert tab.page.eval_on_selector(".cv-mosaic canvas", script) == [128, 128, 128, 255]
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": 5, "y": 5})
    assert tab.page.locator(".cv-tooltip strong").inner_text() == "not a number"


def test_text_that_would_break_out(show: Callable[..., Any]) -> None:
    nasty = "</script><script>document.title='broken'</script>\"'&<b>"
    cells = np.eye(3)[None, None]
    tab = show(
        page(Film(nasty, (Mosaic(nasty, cells, (nasty,), Scale(0, 1, "magnitude", nasty)),), np.array([0])))
    )
    tab.page.wait_for_selector("#film [data-complete]")
    assert tab.page.title() == nasty
    assert tab.page.locator(".cv-title").inner_text() == nasty
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": 5, "y": 5})
    assert nasty in tab.page.locator(".cv-tooltip").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_frame_of_a_notebook(show: Callable[..., Any], run: cnnviz.Run, scheme: str) -> None:
    film = cnnviz.plots.feature_maps(run, layer="relu1", image=2)
    tab = show(
        f"<!doctype html><style>canvas {{ display: none }}</style>{notebook_html(film)}", color_scheme=scheme
    )
    frame = tab.page.frame_locator("iframe")
    slider = frame.get_by_role("slider")
    slider.press("Home")
    assert frame.locator(".cv-panel-mosaic").get_attribute("data-step") == "0"
    assert frame.locator(".cv-mosaic canvas").is_visible()  # the notebook's styles stay outside
    box, outer = slider.bounding_box(), tab.page.locator("iframe").bounding_box()
    assert box["y"] + box["height"] <= outer["y"] + outer["height"]
    background = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 28)"}[scheme]
