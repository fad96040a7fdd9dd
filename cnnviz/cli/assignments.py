"""KEY=VALUE on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable


def split_assignments(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return KEY=VALUE texts as a dict.

    Raises:
        typer.BadParameter: If a text is no such pair, or a key comes twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
        if key in pairs:
            raise typer.BadParameter(f"{key} is given twice", param_hint=option)
        pairs[key] = value
    return pairs


def json_or_text(value: str) -> Any:
    """Return what `value` means as JSON, else the text itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value
