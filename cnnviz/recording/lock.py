"""The lock that a run's writer holds, which tells readers whether it still lives, with room for a last word.

The file is made with all the room that it will ever need, so that a note can be left in it on a full disk, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from cnnviz.errors import RunError
from cnnviz.recording.layout import require_regular
from cnnviz.recording.store import Missing

try:
    import fcntl
except ImportError:  # Windows: no advisory locks of this kind; a dead writer's run then stays "running"
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A reader that asks whether the writer lives holds the lock for some microseconds.
_ATTEMPTS = 10
_ROOM = 4096
_MOST_SPANS = 60


class WriterLock:
    """Held from construction to `release`; the system frees it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: If another process writes this run, or its folder can't be written.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._handle = os.open(path, flags, 0o644)
        except OSError as error:
            raise RunError(f"{path} can't be written: {error}") from error
        if _HAS_LOCKS:
            try:
                self._take()
            except OSError as error:
                os.close(self._handle)
                raise RunError(f"{path.parent} is being written by another process") from error
        if os.fstat(self._handle).st_size < _ROOM:
            os.pwrite(self._handle, b" " * _ROOM, 0)

    def leave_note(self, missing: Missing, ending: Mapping[str, str]) -> None:
        """Write what is missing from the run, and how it ended if its database can't tell; never raises."""
        spans = list(missing.spans)
        while len(spans) > _MOST_SPANS:  # the oldest are told exactly, the latest together
            (first, _, some), (_, last, more) = spans[-2:]
            spans[-2:] = [(first, last, some + more)]
        note = {"missing": spans, "reason": missing.reason[:500], "ending": _shortened(ending)}
        text = json.dumps(note).encode() if missing or ending else b""
        with contextlib.suppress(OSError):
            os.pwrite(self._handle, text.ljust(_ROOM), 0)

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


def _shortened(ending: Mapping[str, str]) -> dict[str, str]:
    return {key: value[:200] for key, value in ending.items()}


def read_note(path: Path) -> tuple[Missing, dict[str, str]]:
    """Return what is missing from the run whose lock is at `path`, and the ending that stands there.

    Raises:
        RunError: If the file is damaged.
    """
    if not os.path.lexists(path):  # a run that was copied without it
        return Missing(), {}
    require_regular(path)
    try:
        with path.open("rb") as file:
            text = file.read(_ROOM).strip(b" \0")
        if not text:
            return Missing(), {}
        content: Any = json.loads(text)
        spans = tuple((int(first), int(last), int(count)) for first, last, count in content["missing"])
        ending = {str(key): str(value) for key, value in content["ending"].items()}
        return Missing(spans, str(content["reason"])), ending
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def writer_lives(path: Path) -> bool:
    """Say whether some process holds the lock at `path`; where that can't be known, say yes."""
    if not _HAS_LOCKS:
        return True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
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
