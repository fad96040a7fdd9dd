"""How numbers and times are written in the terminal."""

from __future__ import annotations

import math
from datetime import datetime


def percent(value: float | None) -> str:
    """Return a rate in [0, 1] in per cent; a dash if there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2%}"


def number(value: float | None) -> str:
    """Return a number to four digits; a dash if there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.4g}"


def duration(seconds: float) -> str:
    """Return seconds as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: int) -> str:
    """Return bytes as B, kB, MB, GB or TB."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def local_time(moment: str) -> str:
    """Return an ISO 8601 time as local date and time, to the minute."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
