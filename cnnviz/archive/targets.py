"""Places for new archives: they become archives whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def new_place(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` to write in, which becomes `path` when all went well."""
    if path.exists() or path.is_symlink():
        raise RunError(f"{path} exists already: choose another name, or delete it")
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        beside.mkdir(parents=True)
        yield beside
        beside.rename(path)
    except OSError as error:
        raise RunError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def new_url(url: str) -> Iterator[str]:
    """Give an empty place at an object store; what was written there goes away unless all went well."""
    from cnnviz.archive.object_store import check_empty, first_line, remove_all, told

    check_empty(url)
    try:
        with told(url):
            yield url
    except BaseException as error:
        with contextlib.suppress(RunError, FileNotFoundError):
            remove_all(url)
        if isinstance(error, FileNotFoundError):
            raise RunError(f"{url} can't be written: {first_line(error)}") from error
        raise
