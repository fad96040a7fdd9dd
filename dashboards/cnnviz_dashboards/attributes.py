"""Attributes of HTML elements whose names are no Python names."""

from __future__ import annotations

from typing import Any


def attribute(name: str, value: str) -> dict[str, Any]:
    """Return a data or aria attribute as keyword arguments for a Dash element."""
    return {name: value}
