"""The terminal that tables are printed to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STATUS_STYLES = {
    "finished": "green",
    "running": "cyan",
    "stopped": "yellow",
    "interrupted": "yellow",
    "diverged": "red",
    "failed": "red",
    "unreadable": "red",
}


def stdout_console() -> Console:
    """Return the console for stdout: as wide as the terminal, or without an end in a pipe, so that nothing is cut."""
    from rich.console import Console

    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=1000 if free else None, markup=False, emoji=False, highlight=False)


def new_table() -> Table:
    """Return an empty table in the style of all tables here."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def status_style(status: str) -> str:
    """Return the style in which a run's status is printed."""
    return _STATUS_STYLES.get(status, "")
