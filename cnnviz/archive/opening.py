"""Finding and opening archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.archive.header import read_root
from cnnviz.archive.places import is_url, local_path, place_of, url_of
from cnnviz.archive.store import ArchiveStore
from cnnviz.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path


def is_archive(location: str | Path) -> bool:
    """Say whether `location` is a folder with a packed run, whole or damaged, or a URL, which is not asked."""
    path = local_path(location)
    if path is None:
        return is_url(location)
    try:
        return read_root(place_of(location)) is not None
    except RunError:  # opening it says what is wrong
        return (path / "zarr.json").is_file()


def archive_bytes(location: str | Path) -> int:
    """Return how many bytes an archive takes.

    Raises:
        RunError: If it can't be reached.
    """
    path = local_path(location)
    if path is not None:
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    from cnnviz.archive.object_store import stored_bytes

    return stored_bytes(url_of(location))


def open_archive(location: str | Path) -> ArchiveStore:
    """Return what reads the packed run at a path or URL (s3:, gs:, az:, https:, http:, file:, memory:).

    Raises:
        RunError: If there is none, or it is damaged or of a later format.
        ConfigError: If the URL can't be used, or the libraries for it are not installed.
    """
    return ArchiveStore(place_of(location))
