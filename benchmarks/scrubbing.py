"""Scrubbing in Chromium: slider event to painted frame, and how many frames a drag paints, on a 1,000-snapshot run.

Compared to the usual page: a Dash slider whose server callback sends each step anew as one plotly image.

Asked: 33 ms at the 95th percentile, at least 110 of the 120 events of a two-second drag painted, first paint in 2.5 s.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import waitress
from dash import Dash, Input, Output, dcc, html
from playwright.sync_api import Page, sync_playwright

import cnnviz
from cnnviz_dashboards import create_app
from thousand import record_every_step

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
]
LAST = 999  # the last step of the run
PAGES = {"filters": "?layer=conv1", "feature-maps": "?layer=relu2&image=3", "errors": ""}

# Notes when each pointer event comes and where it is, and after which frame each step is on the screen.
_WATCH = """(shown) => {
  const step = new Function('return ' + shown);
  const seen = { events: [], frames: [] };
  addEventListener('pointermove', (event) => seen.events.push([performance.now(), event.clientX]), true);
  const channel = new MessageChannel();
  channel.port1.onmessage = (message) => seen.frames.push([performance.now(), message.data]);
  let last = step();
  const frame = () => {
    if (step() !== last) channel.port2.postMessage((last = step()));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.seen = seen;
}"""

# What the page shows, in its own words.
_PANEL = "document.querySelector('.cv-panel-mosaic, .cv-panel-curves').dataset.step"
_TITLE = "document.querySelector('.gtitle')?.textContent.replace('step ', '')"


def drag(page: Page, shown: str, events: int = 120, seconds: float = 2.0) -> tuple[list[float], int]:
    """Drag the slider from its left end to its right.

    Returns:
        For each event the milliseconds until its step, or a later one, was on the screen; and how many steps were.
    """
    box = page.locator(".cv-slider, .dash-slider-root").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, middle)
    page.mouse.down()
    page.evaluate(_WATCH, shown)
    started = time.perf_counter()
    for number in range(1, events + 1):
        page.mouse.move(box["x"] + 2 + (box["width"] - 4) * number / events, middle)
        left = started + seconds * number / events - time.perf_counter()
        if left > 0:
            time.sleep(left)
    page.mouse.up()
    page.wait_for_timeout(1500)  # what is late still counts as painted
    seen = page.evaluate("window.seen")
    return [_wait(event, seen["frames"], box) for event in seen["events"]], len(
        {step for _, step in seen["frames"]}
    )


def _wait(event: tuple[float, float], frames: list[tuple[float, str]], box: dict[str, float]) -> float:
    begun, x = event
    wanted = (
        LAST * (x - box["x"]) / box["width"] - LAST / 100
    )  # a slider's ends may lie a little inside its box
    later = [painted for painted, step in frames if painted >= begun and int(step) >= wanted]
    return min(later, default=begun + math.inf) - begun


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure_page(page: Page, address: str) -> tuple[float, float, tuple[list[float], int]]:
    """Return milliseconds to the first paint of a panel and to the whole film, and what a drag showed."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".cv-panel[data-step]")
    first = (time.perf_counter() - started) * 1e3
    page.wait_for_function(
        "[...document.querySelectorAll('[data-film]')].every((f) => 'complete' in f.dataset)"
    )
    whole = (time.perf_counter() - started) * 1e3
    drag(page, _PANEL, 30, 0.5)  # the first pass compiles
    return first, whole, drag(page, _PANEL)


def usual_app(run: cnnviz.Run) -> Dash:
    """Return the usual page: a slider, a callback, and a figure drawn anew by the server at each step."""
    film = cnnviz.plots.filters(run, layer="conv1")
    app = Dash("usual")
    slider = dcc.Slider(0, len(film) - 1, 1, value=0, id="at", updatemode="drag", marks=None)
    app.layout = html.Div([dcc.Graph(id="figure"), slider])

    @app.callback(Output("figure", "figure"), Input("at", "value"))
    def draw(at: int) -> object:
        return film.frame(at).plotly().update_layout(title=f"step {at}")

    return app


def serve(application: object) -> str:
    """Serve in a thread, and return the address."""
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    return f"http://127.0.0.1:{server.effective_port}"


def report(name: str, first: float, whole: float, seen: tuple[list[float], int]) -> None:
    """Print a row of the table."""
    waits, frames = seen
    middle, late = (
        f"{wait:.1f} ms" if math.isfinite(wait) else "never"
        for wait in (statistics.median(waits), percentile(waits, 0.95))
    )
    print(f"{name:28} {first:9.0f} ms {whole:8.0f} ms {middle:>13} {late:>9} {frames:8d}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="a recorded run; by default one is made")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    path = options.run or Path(tempfile.mkdtemp()) / "thousand"
    if not path.exists():
        record_every_step(path)
    base = f"{serve(create_app(path.parent).server)}/run/{path.name}"
    usual = serve(usual_app(cnnviz.open_run(path)).server)
    print(f"{'page':28} {'first paint':>12} {'whole film':>11} {'event p50':>13} {'p95':>9} {'of 120':>8}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        for name, query in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            report(name, *measure_page(page, f"{base}/{name}{query}"))
            page.close()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        started = time.perf_counter()
        page.goto(usual)
        page.wait_for_function(_TITLE)
        first = (time.perf_counter() - started) * 1e3
        drag(page, _TITLE, 30, 0.5)
        report("usual: callback and plotly", first, first, drag(page, _TITLE))
        browser.close()


if __name__ == "__main__":
    main()
