"""Sizes in bytes as people write them, and other whole numbers that users give."""

from __future__ import annotations

import math
import operator
import re
from fractions import Fraction
from typing import Any

from cnnviz.errors import ConfigError

_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTP", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", 1)},
}
_SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([KMGTP]i?B|B|)\s*", re.IGNORECASE)


def whole_number(number: Any, least: int, problem: str) -> int:
    """Return `number` as an int.

    Raises:
        ConfigError: Saying `problem`, if it is no whole number of at least `least`.
    """
    try:
        whole = -1 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        whole = -1
    if whole < least:
        raise ConfigError(problem)
    return whole


def bytes_of(size: int | str) -> int:
    """Return a size in bytes, given as such or as text such as "500 MB", "1.5GB" (decimal) or "2 GiB" (binary).

    Raises:
        ConfigError: If it is none.
    """
    problem = f'within({shortened(size)}): a size is 1 byte or more, as a number or as text such as "500 MB" or "2 GiB"'
    if not isinstance(size, str):
        return whole_number(size, 1, problem)
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ConfigError(problem)
    unit = {name.upper(): value for name, value in _UNITS.items()}[match[2].upper() or "B"]
    return whole_number(math.floor(Fraction(match[1]) * unit), 1, problem)


def size_text(size: int) -> str:
    """Return `size` in the unit that says it exactly with the smallest number."""
    number, unit = min((size // value, unit) for unit, value in _UNITS.items() if size % value == 0)
    return str(size) if unit == "B" else f"'{number} {unit}'"


def shortened(text: object, *, quote: bool = True) -> str:
    """Return what a user gave as an error shows it."""
    shown = repr(text) if quote else str(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
