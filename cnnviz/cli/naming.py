"""What a new run is called, and taking its folder before another training does."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import typer


def default_name(model: str, data: str) -> str:
    """Return "<model>-<data>"; of `folder:PATH` and `package.module:factory` the last part only."""
    return f"{_last_part(model) or 'model'}-{_last_part(data) or 'data'}"


def check_name(name: str) -> str:
    """Return `name` if it can be the name of one folder.

    Raises:
        typer.BadParameter: If it can't.
    """
    if not name.strip() or name.startswith(".") or re.search(r"[/\\\0]", name):
        raise typer.BadParameter(f"{name!r} is not the name of one folder", param_hint="--name")
    return name


def claim_folder(root: Path, name: str) -> Path:
    """Make a new, empty folder `name` under `root`, with -2, -3 and so on behind it where it is taken; return it."""
    root.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError  # the count never ends


def _last_part(text: str) -> str:
    last = Path(text.rpartition(":")[2]).expanduser().resolve().name
    return re.sub(r"[^\w.-]+", "-", last).strip("-.")
