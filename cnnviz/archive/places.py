"""Where an archive lies: a local folder, or an object store behind a URL."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from cnnviz.errors import ConfigError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMES = ("s3", "gs", "az", "http", "https", "memory", "file")
"""What the URL of an archive begins with."""

WRITABLE = ("s3", "gs", "az", "file", "memory")
"""Those of them under which archives can be written."""

# A path object has swallowed one of the two slashes.
_URL = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


class Place(Protocol):
    """Reads the files of one archive. All of it may be called from several threads at once."""

    location: str

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes; None if it is not there."""

    def read(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes from start to end (exclusive) of each range; RunError if they are not all there."""


def is_url(location: str | Path) -> bool:
    """Say whether `location` is a URL that an archive can lie at."""
    return _URL.match(str(location)) is not None


def local_path(location: str | Path) -> Path | None:
    """Return the path that `location` is, as a path or a file:// URL; None if it is at an object store."""
    match = _URL.match(str(location))
    if match is None:
        return Path(location).expanduser()
    return Path(unquote(urlsplit(url_of(location)).path)) if match[1] == "file" else None


def url_of(location: str | Path) -> str:
    """Return a URL with the slashes that a path object took from it, and none at its end."""
    match = _URL.match(str(location))
    if match is None:
        raise ValueError(f"{location} is no URL")
    return f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}".rstrip("/")


def check_writable(location: str | Path) -> None:
    """Raise unless an archive can be written at `location`.

    Raises:
        ConfigError: If it is a URL at which none can.
    """
    match = _URL.match(str(location)) or _SCHEME.match(str(location))
    if match is not None and match[1] not in WRITABLE:
        read = "read over {}, but not written" if match[1] in SCHEMES else "neither read nor written under {}"
        known = ", ".join(f"{scheme}://" for scheme in WRITABLE if scheme != "memory")
        raise ConfigError(
            f"{location} can't be written: archives can be {read.format(match[1])}; name a folder, or a URL of {known}"
        )


def place_of(location: str | Path) -> Place:
    """Return what reads at `location`, which need not exist.

    Raises:
        ConfigError: If it is a URL that can't be used, or obstore is not installed.
    """
    path = local_path(location)
    if path is not None:
        return LocalPlace(path)
    from cnnviz.archive.object_store import RemotePlace

    return RemotePlace(url_of(location))


class LocalPlace:
    """Reads in a folder."""

    def __init__(self, root: Path) -> None:
        self.location = str(root)
        self._root = root

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes; None if it is not there."""
        try:
            with self._opened(key) as file:
                return os.fstat(file).st_size
        except FileNotFoundError:
            return None

    def read(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range."""
        try:
            with self._opened(key) as file:
                parts = [_pread(file, start, end) for start, end in ranges]
        except FileNotFoundError as error:
            raise RunError(f"{self.location}/{key} is not there") from error
        if any(len(part) != end - start for part, (start, end) in zip(parts, ranges, strict=True)):
            raise RunError(f"{self.location}/{key} is damaged: it ends too early")
        return parts

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        # No link is followed, and no pipe waited for: an archive may come from anybody.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            file = os.open(self._root / key, flags | getattr(os, "O_BINARY", 0))
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise RunError(f"{self.location}/{key} is damaged: it is no plain file")
                yield file
            finally:
                os.close(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunError(f"{self.location}/{key} can't be read: {error.strerror}") from error


def _pread(file: int, start: int, end: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, end - start, start)
    os.lseek(file, start, os.SEEK_SET)  # the descriptor is this call's own
    return os.read(file, end - start)
