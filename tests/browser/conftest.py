"""A dashboard in a thread, one Chromium for all tests, and pages that fail a test when they misbehave."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import waitress
from find_browser import system_browser

import cnnviz
from cnnviz.charts.theme import Scale, colour_table
from cnnviz_dashboards import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
_COMPLETE = """() => {
  const films = [...document.querySelectorAll('[data-film]')];
  return films.length && films.every((film) => 'complete' in film.dataset && film.querySelector('.cv-panel'));
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    path = system_browser()
    with api.sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except api.Error as error:
            reason = f"the browser tests need Chromium (Debian: apt install chromium): {error}"
            # Where the project checks itself, a skipped browser test is a failure.
            (pytest.fail if os.environ.get("CNNVIZ_REQUIRE_BROWSER") else pytest.skip)(reason)
        yield started
        started.close()


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs; "first" is a real one of 41 snapshots."""
    folder = tmp_path_factory.mktemp("browser") / "runs"
    config = cnnviz.TrainConfig(data="mnist-mini", epochs=1, batch_size=150, lr=0.05, every=1, device="cpu")
    cnnviz.fit(config, folder / "first")
    return folder


@pytest.fixture(scope="session")
def run(root: Path) -> cnnviz.Run:
    return cnnviz.open_run(root / "first")


@pytest.fixture(scope="session")
def base(root: Path) -> str:
    """The address of a dashboard of `root`."""
    server = waitress.create_server(create_app(root).server, host="127.0.0.1", port=0, threads=8, ident=None)
    threading.Thread(target=server.run, daemon=True).start()
    return f"http://127.0.0.1:{server.effective_port}"


@dataclass
class Tab:
    """A page of the browser, and what a user would see and do on it."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(10_000)
        self.page.on("request", self._requested)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.problems.append(said.text))

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:", "file:", "about:")):
            self.elsewhere.append(request.url)

    def go(self, path: str) -> Tab:
        """Open a page, and wait until its films are whole."""
        self.page.goto(self.base + path)
        return self.settled()

    def settled(self) -> Tab:
        self.page.wait_for_function(_COMPLETE)
        return self

    @property
    def slider(self) -> Locator:
        return self.page.get_by_role("slider", name="Training step")

    @property
    def step(self) -> int:
        """The step of the timeline, once every panel on the page shows it."""
        now = self.slider.get_attribute("aria-valuenow")
        shown = self.page.eval_on_selector_all(
            "[data-film] .cv-panel", "all => all.map((p) => p.dataset.step)"
        )
        assert shown
        assert set(shown) == {now}
        return int(now or "")

    def wait_step(self, step: int, seconds: float = 5) -> None:
        self.page.wait_for_function(
            "step => document.querySelector('[role=slider]').getAttribute('aria-valuenow') === String(step)",
            arg=step,
            timeout=seconds * 1000,
        )
        assert self.step == step

    def wait_address(self, *parts: str) -> None:
        """Wait until the address holds these parts of its path and query, each whole."""
        script = "parts => parts.every((p) => `${location.href}&`.includes(p.startsWith('/') ? p : `${p}&`))"
        self.page.wait_for_function(script, arg=list(parts))

    def choose(self, label: str, option: str) -> None:
        """Choose from a select by the text of its option."""
        self.page.get_by_role("combobox", name=label).or_(self.page.get_by_label(label)).first.click()
        self.page.get_by_role("option", name=option, exact=True).click()


@pytest.fixture(scope="session")
def shared(browser: Browser) -> BrowserContext:
    """The browser's state that most tests share, so that it loads the scripts once."""
    return browser.new_context(viewport={"width": 1280, "height": 800})


@pytest.fixture
def new_tab(browser: Browser, shared: BrowserContext, base: str) -> Iterator[Callable[..., Tab]]:
    """Makes pages, with options in a state of their own; they must ask no other host, and meet no error."""
    tabs: list[Tab] = []

    def make(**options: Any) -> Tab:
        sized = {"viewport": {"width": 1280, "height": 800}} | options
        context = browser.new_context(**sized) if options else shared
        tabs.append(Tab(context.new_page(), base))
        return tabs[-1]

    yield make
    for tab in tabs:
        if tab.page.context is shared:
            tab.page.close()
        else:
            tab.page.context.close()
    assert [tab.elsewhere for tab in tabs if tab.elsewhere] == []
    assert [tab.problems for tab in tabs if tab.problems] == []


@pytest.fixture
def tab(new_tab: Callable[..., Tab]) -> Tab:
    return new_tab()


def place_of_cell(canvas: tuple[int, int], shape: tuple[int, int, int], pixel: tuple[int, int, int]) -> Any:
    """Return where on a mosaic's canvas a pixel (cell, row, column) of cells (n, h, w) is, in its middle."""
    count, height, width = shape
    gap, label = (6, 16) if count <= 64 else (2, 0)
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        cell_width = (canvas[0] + gap) / columns - gap
        cell_height = (canvas[1] + gap) / rows - gap - label
        zoom = cell_width / width
        if zoom > 0 and abs(zoom * height - cell_height) < 0.01 and zoom == int(zoom):
            cell, row, column = pixel
            x = (cell % columns) * (cell_width + gap) + (column + 0.5) * zoom
            y = (cell // columns) * (cell_height + gap + label) + (row + 0.5) * zoom
            return int(x), int(y)
    raise AssertionError(f"no arrangement of {shape} fits a canvas of {canvas}")


@pytest.fixture(scope="session")
def find_cell() -> Callable[..., tuple[int, int]]:
    """Finds a pixel (cell, row, column) of the page's mosaic on its canvas."""

    def find(page: Any, shape: tuple[int, ...], pixel: tuple[int, int, int]) -> tuple[int, int]:
        size = page.eval_on_selector(".cv-mosaic canvas", "canvas => [canvas.width, canvas.height]")
        return place_of_cell(tuple(size), shape, pixel)  # type: ignore[arg-type]

    return find


@pytest.fixture(scope="session")
def assert_colour(find_cell: Callable[..., tuple[int, int]]) -> Callable[..., None]:
    """Asserts that a pixel of the page's mosaic has the colour of its value, within two of 256 levels."""

    def check(page: Any, cells: np.ndarray, scale: Scale, pixel: tuple[int, int, int]) -> None:
        x, y = find_cell(page, cells.shape, pixel)
        script = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
        *colour, alpha = page.eval_on_selector(".cv-mosaic canvas", script, [x, y])
        level = int(np.rint(scale.normalize(cells[pixel]) * 255))
        near = colour_table(scale.kind)[max(0, level - 2) : level + 3].tolist()
        assert alpha == 255
        assert colour in near, (colour, near)

    return check
