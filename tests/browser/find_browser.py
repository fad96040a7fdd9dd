"""Finds a Chromium for the browser tests; as a script it says whether there is one, and fails if not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def system_browser() -> str | None:
    """Return the path of the machine's Chromium: $CNNVIZ_CHROMIUM, one on the path, or an application of macOS."""
    given = os.environ.get("CNNVIZ_CHROMIUM")
    found = [given, *map(shutil.which, NAMES), *(place for place in PLACES if Path(place).exists())]
    return next(filter(None, found), None)


def playwright_browser() -> str | None:
    """Return the path of the Chromium that playwright has installed for itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


if __name__ == "__main__":
    path = system_browser() or playwright_browser()
    print(f"browser: {path}" if path else "no Chromium is installed")
    sys.exit(path is None)
