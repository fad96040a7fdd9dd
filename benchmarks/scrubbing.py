"""Scrubbing in Chromium: slider event to painted frame, and how many frames a drag paints, on a 1,000-snapshot run.

Compared to what a page does without a film: a server callback that draws each step as a plotly figure.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import waitress
from playwright.sync_api import Page, sync_playwright
from thousand import record_every_step

from cnnviz_dashboards import create_app

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
]
PAGES = {"filters": "?layer=conv1", "feature-maps": "?layer=relu2&image=3", "errors": ""}

# Counts, for each painted frame of the browser, which step the first panel shows; and for each event the time
# until the frame after which its step is on the screen.
_WATCH = """() => {
  const panel = document.querySelector('.cv-panel-mosaic, .cv-panel-curves');
  const slider = document.querySelector('[role=slider]');
  const seen = { events: [], frames: [] };
  slider.addEventListener('pointermove', () => {
    const begun = performance.now();
    const channel = new MessageChannel();
    requestAnimationFrame(() => {
      channel.port1.onmessage = () => seen.events.push([begun, performance.now(), panel.dataset.step]);
      channel.port2.postMessage(0);
    });
  }, true);
  let last = null;
  const frame = () => {
    if (panel.dataset.step !== last) seen.frames.push([performance.now(), last = panel.dataset.step]);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.seen = seen;
}"""


def drag(page: Page, events: int = 120, seconds: float = 2.0) -> dict[str, list]:
    """Drag the slider from its left end to its right, and return what the page saw."""
    box = page.locator("[role=slider]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, middle)
    page.mouse.down()
    page.evaluate(_WATCH)
    started = time.perf_counter()
    for number in range(1, events + 1):
        page.mouse.move(box["x"] + 2 + (box["width"] - 4) * number / events, middle)
        left = started + seconds * number / events - time.perf_counter()
        if left > 0:
            time.sleep(left)
    page.mouse.up()
    page.wait_for_timeout(200)
    return page.evaluate("window.seen")


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure_page(page: Page, address: str) -> tuple[float, float, dict[str, list]]:
    """Return milliseconds to the first paint of a panel and to the whole film, and what a drag showed."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".cv-panel[data-step]")
    first = (time.perf_counter() - started) * 1e3
    page.wait_for_function(
        "[...document.querySelectorAll('[data-film]')].every((f) => 'complete' in f.dataset)"
    )
    whole = (time.perf_counter() - started) * 1e3
    drag(page, 30, 0.5)  # the first pass compiles
    return first, whole, drag(page)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="a recorded run; by default one is made")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    path = options.run or Path(tempfile.mkdtemp()) / "thousand"
    if not path.exists():
        record_every_step(path)
    server = waitress.create_server(create_app(path.parent).server, host="127.0.0.1", port=0, threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    base = f"http://127.0.0.1:{server.effective_port}/run/{path.name}"
    print(
        f"{'page':14} {'first paint':>12} {'whole film':>11} {'event to paint p50':>19} {'p95':>9} {'frames of 120':>14}"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        for name, query in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            first, whole, seen = measure_page(page, f"{base}/{name}{query}")
            waits = [painted - begun for begun, painted, _ in seen["events"]]
            frames = len({step for _, step in seen["frames"]})
            print(
                f"{name:14} {first:9.0f} ms {whole:8.0f} ms {statistics.median(waits):16.1f} ms "
                f"{percentile(waits, 0.95):6.1f} ms {frames:14d}"
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
