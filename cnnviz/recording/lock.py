"""The lock that a run's writer holds, which also tells readers whether the writer still lives."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from cnnviz.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: no advisory locks of this kind; a dead writer's run then stays "running"
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

if TYPE_CHECKING:
    from pathlib import Path

# A reader that asks whether the writer lives holds the lock for some microseconds.
_ATTEMPTS = 10


class WriterLock:
    """Held from construction to `release`; the system frees it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: If another process writes this run.
        """
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if _HAS_LOCKS:
            try:
                self._take()
            except OSError as error:
                os.close(self._handle)
                raise RunError(f"{path.parent} is being written by another process") from error

    def _take(self) -> None:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(OSError):
                return fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.01)
        return fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the lock back."""
        with contextlib.suppress(OSError):
            os.close(self._handle)


def writer_lives(path: Path) -> bool:
    """Say whether some process holds the lock at `path`; where that can't be known, say yes."""
    if not _HAS_LOCKS:
        return True
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
