"""Frameworks are optional: what to install where one is missing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def extra(name: str, library: str) -> Iterator[None]:
    """Import `library` inside this context.

    Args:
        name: The extra of cnnviz that installs it.
        library: The name under which it is imported.

    Raises:
        ConfigError: If it isn't installed. That it is broken is left to its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise ConfigError(f"{library} isn't installed: pip install 'cnnviz[{name}]'") from error
