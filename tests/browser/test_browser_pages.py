"""The dashboard in a real browser: what a user sees and does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import cnnviz

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.browser

PAGES = {"errors": "", "filters": "?layer=conv1", "feature-maps": "?layer=relu2&image=3"}


def test_the_runs_page_leads_to_a_run(tab: Any) -> None:
    tab.page.goto(tab.base)
    row = tab.page.get_by_role("row").filter(has=tab.page.get_by_role("link", name="first", exact=True))
    assert "convnet" in row.inner_text()
    assert row.get_by_text("finished").is_visible()
    assert not tab.slider.is_visible()
    row.get_by_role("link", name="first").click()
    assert tab.settled().step == 40
    assert tab.page.url.startswith(f"{tab.base}/run/first/errors")
    tab.page.get_by_role("link", name="cnnviz").click()
    tab.page.get_by_role("heading", name="Runs").wait_for()
    assert not tab.slider.is_visible()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_the_timelines_step(tab: Any, page: str) -> None:
    assert tab.go(f"/run/first/{page}{PAGES[page]}").step == 40
    assert tab.slider.get_attribute("aria-valuemin") == "0"
    assert tab.slider.get_attribute("aria-valuemax") == "40"
    assert tab.slider.get_attribute("aria-valuetext") == "step 40, snapshot 41 of 41"
    assert tab.page.locator(".cd-tab-current").get_attribute("aria-current") == "page"
    assert tab.page.get_by_text("finished").is_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for canvas in tab.page.locator("canvas[role=img]").all():
        assert canvas.get_attribute("aria-label")


@pytest.mark.parametrize("page", PAGES)
def test_the_keyboard_drives_every_panel(tab: Any, page: str) -> None:
    tab.go(f"/run/first/{page}{PAGES[page]}")
    tab.slider.focus()
    for key, step in [
        ("ArrowLeft", 39),
        ("ArrowDown", 38),
        ("ArrowRight", 39),
        ("ArrowUp", 40),
        ("ArrowRight", 40),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("PageUp", 4),
        ("PageUp", 8),
        ("PageDown", 4),
        ("End", 40),
    ]:
        tab.page.keyboard.press(key)
        assert tab.step == step, key


def test_arrows_work_before_anything_has_the_focus(tab: Any) -> None:
    tab.go("/run/first/filters?step=10")
    tab.page.keyboard.press("ArrowRight")
    assert tab.step == 11
    tab.page.get_by_label("Layer").first.focus()
    tab.page.keyboard.press("ArrowRight")
    assert tab.step == 11


def test_drag_wheel_and_click(tab: Any) -> None:
    tab.go("/run/first/filters")
    box = tab.slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.page.mouse.move(box["x"] + box["width"] - 1, middle)
    tab.page.mouse.down()
    seen = []
    for step in range(40, -1, -4):
        tab.page.mouse.move(box["x"] + box["width"] * step / 40, middle - 30)  # also a little beside it
        seen.append(tab.step)
    assert seen == list(range(40, -1, -4))
    tab.page.mouse.move(box["x"] - 500, middle)
    assert tab.step == 0
    tab.page.mouse.up()
    tab.page.mouse.move(box["x"] + box["width"] / 2, middle)
    assert tab.step == 0  # it was let go
    tab.page.mouse.down()
    tab.page.mouse.up()
    assert tab.step == 20
    tab.page.mouse.wheel(0, 100)
    tab.wait_step(21)
    tab.page.mouse.wheel(0, -100)
    tab.wait_step(20)


def test_play_goes_to_the_end_and_pauses(tab: Any) -> None:
    tab.go("/run/first/feature-maps?step=37")
    tab.page.get_by_role("button", name="Play").click()
    tab.page.get_by_role("button", name="Pause").wait_for()
    tab.wait_step(40)
    tab.page.get_by_role("button", name="Play").wait_for()
    tab.slider.focus()
    tab.page.keyboard.press("Space")  # from the start again
    tab.wait_step(1)
    tab.page.keyboard.press("Space")
    tab.page.get_by_role("button", name="Play").wait_for()
    held = tab.step
    tab.page.wait_for_timeout(400)
    assert tab.step == held


@pytest.mark.parametrize(("layer", "channel", "pixel"), [("conv1", 0, (3, 4, 0)), ("conv2", 2, (5, 1, 3))])
def test_filters_have_their_colours_at_every_step(
    tab: Any, run: cnnviz.Run, assert_colour: Any, layer: str, channel: int, pixel: tuple[int, int, int]
) -> None:
    panel = cnnviz.plots.filters(run, layer=layer, channel=channel).panels[0]
    tab.go(f"/run/first/filters?layer={layer}&channel={channel}")
    tab.slider.focus()
    for key, step in (("End", 40), ("PageDown", 36), ("Home", 0), ("ArrowRight", 1)):
        tab.page.keyboard.press(key)
        assert tab.step == step
        assert_colour(tab.page, panel.cells[step], panel.scale, pixel)
        assert_colour(tab.page, panel.cells[step], panel.scale, (0, 0, 0))


@pytest.mark.parametrize(("layer", "pixel"), [("relu1", (2, 14, 10)), ("conv2", (6, 7, 3))])
def test_feature_maps_and_probabilities_are_the_plots(
    tab: Any, run: cnnviz.Run, assert_colour: Any, layer: str, pixel: tuple[int, int, int]
) -> None:
    panel = cnnviz.plots.feature_maps(run, layer=layer, image=5).panels[1]
    bars = cnnviz.plots.probabilities(run, image=5).panels[0]
    tab.go(f"/run/first/feature-maps?layer={layer}&image=5")
    tab.slider.focus()
    for key, step in (("End", 40), ("PageDown", 36), ("Home", 0)):
        tab.page.keyboard.press(key)
        assert tab.step == step
        assert_colour(tab.page, panel.cells[step], panel.scale, pixel)
        texts = tab.page.locator(".cv-bar-value").all_inner_texts()
        shown = [float(text.removesuffix(" %")) / 100 for text in texts]
        np.testing.assert_allclose(shown, bars.values[step], atol=5.1e-4)
        best = int(bars.values[step].argmax())
        answer = tab.page.locator(".cv-answer").inner_text()
        verdict = "right" if best == bars.truth else f"wrong: it is {bars.labels[bars.truth]}"
        assert answer == f"predicts {bars.labels[best]} · {verdict}"
    legend = tab.page.locator(".cv-legend-ticks").inner_text()
    assert f"{panel.scale.high:.4g}" in legend


def test_a_layer_of_many_units_paints(tab: Any, run: cnnviz.Run) -> None:
    tab.go("/run/first/feature-maps?layer=fc1&image=0")
    units = cnnviz.plots.feature_maps(run, layer="fc1").panels[1].cells.shape[1]
    assert units >= 500
    assert f"{units} × 1 × 1" in tab.page.locator(".cv-panel-mosaic h3").inner_text()
    colours = tab.page.eval_on_selector(
        ".cv-mosaic canvas",
        """canvas => {
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(new Uint32Array(data.buffer)).size;
        }""",
    )
    assert colours > 50
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_errors_show_their_values_and_go_where_one_clicks(tab: Any, run: cnnviz.Run) -> None:
    tab.go("/run/first/errors?step=7")
    steps, values = run.metric("validation/error")
    key = tab.page.locator(".cv-key", has_text="validation")
    known = values[steps <= 7][-1]
    assert float(key.locator(".cv-key-value").inner_text().removesuffix(" %")) / 100 == pytest.approx(
        known, abs=5.1e-4
    )
    box = tab.page.locator("canvas.cv-curves").bounding_box()
    left, right = 58, 18  # the axes
    tab.page.mouse.click(box["x"] + left + (box["width"] - left - right) / 2, box["y"] + 100)
    assert tab.step == 20
    tab.page.get_by_role("button", name="log scale").click()
    assert tab.page.get_by_role("button", name="log scale").get_attribute("aria-pressed") == "true"
    assert tab.step == 20


def test_the_address_holds_the_state_and_restores_it(tab: Any, new_tab: Callable[..., Any]) -> None:
    tab.go("/run/first/feature-maps")
    tab.choose("Layer", "relu2 · ReLU")
    tab.page.get_by_role("radio", name="sample 4 ·").click()
    tab.wait_address("layer=relu2", "image=4")
    tab.settled()
    tab.slider.focus()
    tab.page.keyboard.press("Home")
    tab.page.keyboard.press("PageUp")
    tab.wait_address("layer=relu2", "image=4", "step=4")
    address = tab.page.url.removeprefix(tab.base)
    other = new_tab().go(address)
    assert other.step == 4
    assert other.page.get_by_role("radio", checked=True).get_attribute("aria-label").startswith("sample 4 ·")
    picture = "canvas => canvas.toDataURL()"
    for place in (".cv-mosaic canvas", ".cv-picture"):
        assert other.page.eval_on_selector(place, picture) == tab.page.eval_on_selector(place, picture)
    other.page.wait_for_timeout(300)
    assert other.page.url.removeprefix(tab.base) == address
    other.page.reload()
    assert other.settled().step == 4


def test_any_step_in_the_address(tab: Any) -> None:
    for step, shown in [("12.4", 12), ("-5", 0), ("1e9", 40), ("x", 40), ("", 40), ("1e999", 40)]:
        assert tab.go(f"/run/first/errors?step={step}").step == shown
        tab.wait_address(f"step={shown}")


def test_going_from_page_to_page_keeps_the_step_and_back_returns(tab: Any) -> None:
    tab.go("/run/first/filters?layer=conv2&channel=1&step=9")
    tab.page.get_by_role("link", name="Feature maps").click()
    tab.page.get_by_role("heading", name="Feature maps", level=1).wait_for()
    tab.settled()
    assert tab.step == 9
    tab.wait_address("/feature-maps", "step=9")
    tab.slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.get_by_role("link", name="Errors").click()  # at once: the address must not mix the pages up
    tab.page.get_by_role("heading", name="Errors", level=1).wait_for()
    assert tab.settled().step == 10
    tab.page.wait_for_timeout(300)
    assert tab.page.url == f"{tab.base}/run/first/errors?step=10"
    tab.page.go_back()
    tab.page.get_by_role("heading", name="Feature maps", level=1).wait_for()
    tab.settled()
    tab.page.go_back()
    tab.page.get_by_role("heading", name="Filters", level=1).wait_for()
    assert tab.settled().step == 9
    tab.wait_address("/filters", "layer=conv2", "channel=1", "step=9")
    assert "input channel 1 of 4" in tab.page.locator(".cv-panel-mosaic h3").inner_text()
    tab.page.go_forward()
    tab.page.get_by_role("heading", name="Feature maps", level=1).wait_for()
    tab.settled()


def test_an_address_is_never_mixed_of_two_pages(tab: Any) -> None:
    tab.go("/run/first/filters?layer=conv2&step=9")
    held: list[Any] = []
    slow = True

    def hold(route: Any) -> None:
        if slow:
            held.append(route)
        else:
            route.continue_()

    tab.page.route(re.compile("_dash-update-component"), hold)
    tab.page.evaluate(
        """() => {
          const press = new KeyboardEvent('keydown', { key: 'ArrowRight' });
          document.querySelector('[role=slider]').dispatchEvent(press);
          document.querySelector('a[href="/run/first/errors"]').click();
        }"""
    )
    tab.page.wait_for_timeout(300)
    assert tab.page.url == f"{tab.base}/run/first/errors"
    assert held
    slow = False
    for route in held:
        route.continue_()
    tab.wait_address("/run/first/errors?step=10")


def test_controls_change_the_film(tab: Any, run: cnnviz.Run, assert_colour: Any) -> None:
    tab.go("/run/first/filters?step=5")
    assert not tab.page.get_by_text("Input channel", exact=True).is_visible()  # there is but one
    tab.choose("Layer", "conv2 · Conv2d")
    tab.wait_address("layer=conv2", "channel=0", "step=5")
    tab.settled()
    tab.page.get_by_text("Input channel", exact=True).wait_for()
    tab.choose("Input channel", "3")
    tab.wait_address("layer=conv2", "channel=3", "step=5")
    tab.settled()
    assert tab.step == 5
    panel = cnnviz.plots.filters(run, layer="conv2", channel=3).panels[0]
    assert_colour(tab.page, panel.cells[5], panel.scale, (2, 2, 2))
    tab.choose("Layer", "conv1 · Conv2d")
    tab.wait_address("layer=conv1", "channel=0")
    tab.settled()
    panel = cnnviz.plots.filters(run, layer="conv1", channel=0).panels[0]
    assert_colour(tab.page, panel.cells[5], panel.scale, (2, 2, 2))


def test_another_image_by_mouse_and_by_keyboard(tab: Any, run: cnnviz.Run) -> None:
    tab.go("/run/first/feature-maps?layer=relu1&step=40")
    tab.page.get_by_role("radio", name="sample 6 ·").click()
    tab.wait_address("image=6")
    tab.settled()
    want = int(run.samples[6].label)
    assert f"sample 6 · {want}" in tab.page.get_by_role("radio", checked=True).get_attribute("aria-label")
    truth = tab.page.locator(".cv-bar", has_text="true class").locator(".cv-bar-label").inner_text()
    assert truth == str(want)
    tab.page.keyboard.press("ArrowRight")
    tab.wait_address("image=7")
    assert tab.settled().step == 40  # the arrow moved the image, not the timeline


def test_hovering_tells_the_exact_value(tab: Any, run: cnnviz.Run, find_cell: Any) -> None:
    tab.go("/run/first/filters?layer=conv2&channel=1&step=3")
    weights = run.at(3).state["conv2.weight"][:, 1].numpy()
    canvas = tab.page.locator(".cv-mosaic canvas")
    tip = tab.page.locator(".cv-tooltip")
    for pixel in ((0, 0, 0), (6, 4, 2)):
        x, y = find_cell(tab.page, weights.shape, pixel)
        canvas.hover(position={"x": x, "y": y})
        value = tip.locator("strong", has_not_text="≈").inner_text()
        assert float(value) == pytest.approx(float(weights[pixel]), rel=6e-4)
        assert tip.inner_text().endswith(f"filter {pixel[0]} · row {pixel[1]}, column {pixel[2]}")
    tab.page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_what_is_chosen_and_what_is_said_are_inside_the_window(new_tab: Callable[..., Any]) -> None:
    tab = new_tab(viewport={"width": 820, "height": 1180}).go("/run/first/feature-maps?layer=fc1&image=60")
    strip = tab.page.locator(".cd-strip").bounding_box()
    chosen = tab.page.get_by_role("radio", checked=True).bounding_box()
    assert strip["x"] <= chosen["x"] <= strip["x"] + strip["width"] - chosen["width"]
    tab.go("/run/first/filters?layer=conv2")
    box = tab.page.locator(".cv-mosaic canvas").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 10)
    tip = tab.page.locator(".cv-tooltip")
    tip.wait_for()
    edges = tip.bounding_box()
    assert edges["x"] >= 0
    assert edges["x"] + edges["width"] <= 820


def test_a_pointer_over_a_film_in_motion_asks_the_server_for_nothing(tab: Any, find_cell: Any) -> None:
    tab.go("/run/first/filters?layer=conv1&step=0")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.slider.focus()
    x, y = find_cell(tab.page, (4, 5, 5), (1, 1, 1))
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": x, "y": y})
    for _ in range(30):
        tab.page.keyboard.press("ArrowRight")
    tab.page.wait_for_timeout(300)
    # Waiting a moment at a step is no motion: a slow machine may see two of them.
    assert len([url for url in asked if "/exact/" in url]) <= 3
    assert tab.page.locator(".cv-tooltip strong", has_not_text="≈").is_visible()


def _label_colour(page: Any) -> tuple[int, int, int]:
    """The colour of the labels under the first row of cells: that of the most opaque pixel there."""
    script = """canvas => {
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let best = [0, 0, 0, 0];
      for (let y = canvas.height - 14; y < canvas.height; y += 1)
        for (let x = 0; x < canvas.width; x += 1) {
          const at = (y * canvas.width + x) * 4;
          if (data[at + 3] > best[3]) best = [...data.slice(at, at + 4)];
        }
      return best.slice(0, 3);
    }"""
    return tuple(page.eval_on_selector(".cv-mosaic canvas", script))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(new_tab: Callable[..., Any], scheme: str) -> None:
    tab = new_tab(color_scheme=scheme)
    tab.go("/run/first/filters?layer=conv1")
    other = {"light": "dark", "dark": "light"}[scheme]
    colours = {"light": (0x5D, 0x67, 0x73), "dark": (0x9A, 0xA4, 0xB0)}
    shown = "document.documentElement.dataset.mantineColorScheme"
    assert tab.page.evaluate(shown) == scheme
    np.testing.assert_allclose(_label_colour(tab.page), colours[scheme], atol=6)
    tab.page.get_by_role("button", name="Light or dark").click()
    tab.page.wait_for_function(f"{shown} === '{other}'")
    np.testing.assert_allclose(_label_colour(tab.page), colours[other], atol=6)
    tab.page.reload()
    tab.settled()
    assert tab.page.evaluate(shown) == other


def test_nothing_is_wider_than_a_tablet(new_tab: Callable[..., Any]) -> None:
    tab = new_tab(viewport={"width": 820, "height": 1180})
    for page, query in PAGES.items():
        tab.go(f"/run/first/{page}{query}")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        box = tab.slider.bounding_box()
        assert box["y"] + box["height"] <= 1180


@pytest.mark.parametrize("page", ["errors", "filters", "feature-maps"])
def test_an_unknown_run_has_a_way_out(tab: Any, page: str) -> None:
    tab.page.goto(f"{tab.base}/run/nowhere/{page}?step=3")
    alert = tab.page.get_by_role("alert")
    alert.wait_for()
    assert "nowhere can't be shown" in alert.inner_text()
    assert not tab.slider.is_visible()
    alert.get_by_role("link", name="All runs").click()
    tab.page.get_by_role("link", name="first", exact=True).wait_for()


def test_a_page_outlives_its_server(tab: Any) -> None:
    tab.go("/run/first/filters?layer=conv1&step=10")
    tab.page.route("**/*", lambda route: route.abort("connectionrefused"))
    tab.slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator(".cv-mosaic canvas").hover(position={"x": 20, "y": 20})
    assert tab.page.locator(".cv-tooltip").is_visible()
    tab.page.keyboard.press("Home")
    assert tab.step == 0
    tab.page.evaluate("document.querySelector('[data-film]').dataset.film += '&again=1'")
    told = tab.page.get_by_role("alert")
    told.wait_for()
    assert re.search(r"server doesn't answer.*reload", told.inner_text())
    tab.page.keyboard.press("End")
    assert tab.slider.get_attribute("aria-valuenow") == "40"
    assert all("ERR_CONNECTION_REFUSED" in problem or "fetch" in problem for problem in tab.problems)
    tab.problems.clear()


def test_a_refused_film_says_why(tab: Any) -> None:
    tab.go("/run/first/filters?layer=conv1")
    tab.page.evaluate(
        "document.querySelector('[data-film]').dataset.film = '/api/film/first/filters?layer=nope'"
    )
    told = tab.page.get_by_role("alert")
    told.wait_for()
    assert "layer 'nope' is not in the network" in told.inner_text()
    tab.problems.clear()  # the browser itself logs the 404
