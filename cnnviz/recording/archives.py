"""Runs that were packed into archives: told from folders here, read by `cnnviz.archive`, which needs more libraries."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import os

    from cnnviz.recording.store import Store

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_ROOT = "zarr.json"
# By name, as recording stands left of archive, and most runs need neither it nor its libraries.
_ARCHIVE = "cnnviz.archive"


def is_archive(location: str | os.PathLike[str]) -> bool:
    """Say whether `location` is that of a packed run: a folder that holds a Zarr store, or a URL."""
    if _URL.match(str(location)):
        return True
    if not (Path(location) / _ROOT).is_file():
        return False
    return bool(importlib.import_module(_ARCHIVE).is_archive(location))


def open_archive(location: str | os.PathLike[str]) -> Store:
    """Return what reads the packed run at `location`.

    Raises:
        RunError: If there is none, or it is damaged.
        ConfigError: If the libraries for it are not installed.
    """
    return cast("Store", importlib.import_module(_ARCHIVE).open_archive(location))
