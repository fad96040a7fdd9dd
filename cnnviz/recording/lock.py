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
_MOST_SPANS = 100


class WriterLock:
    """Held from construction to `release`; the system frees it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: If another process writes this run, or its folder can't be written.
        """
        self._path = path
        try:
            self._handle = self._open(os.O_CREAT)
        except OSError as error:
            raise RunError(f"{path} can't be written: {error}") from error
        try:
            self._take()
        except OSError as error:
            os.close(self._handle)
            raise RunError(f"{path.parent} is being written by another process") from error
        try:
            if os.fstat(self._handle).st_size < _ROOM:
                self._write(b"")
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(self._handle)
            raise RunError(f"{path} can't be written: {error}") from error

    def leave_note(self, missing: Missing, ending: Mapping[str, str]) -> None:
        """Write what is missing from the run, and how it ended if its database can't tell; never raises."""
        text = _note(missing, ending)
        with contextlib.suppress(OSError):
            try:
                self._write(text)
            except OSError:  # as of a network disk that was lost and is back: what was open there stays lost
                self._open_anew()
                self._write(text)

    def release(self) -> None:
        """Give the lock back."""
        with contextlib.suppress(OSError):
            os.close(self._handle)

    def _open(self, more_flags: int = 0) -> int:
        return os.open(self._path, os.O_RDWR | more_flags | getattr(os, "O_NOFOLLOW", 0), 0o644)

    def _write(self, text: bytes) -> None:
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, text.ljust(_ROOM))

    def _open_anew(self) -> None:
        fresh = self._open()
        with contextlib.suppress(OSError):
            os.close(self._handle)
        self._handle = fresh
        self._take()

    def _take(self) -> None:
        if not _HAS_LOCKS:
            return None
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(OSError):
                return fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.01)
        return fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _note(missing: Missing, ending: Mapping[str, str]) -> bytes:
    """Return the note, shortened until there is room for it."""
    if not missing and not ending:
        return b""
    spans, most, letters = list(missing.spans), _MOST_SPANS, 500
    while True:
        while len(spans) > most:  # the oldest are told exactly, the latest together
            (first, _, some), (_, last, more) = spans[-2:]
            spans[-2:] = [(first, last, some + more)]
        shortened = {key: value[:letters] for key, value in ending.items()}
        note = {"missing": spans, "reason": missing.reason[:letters], "ending": shortened}
        text = json.dumps(note, separators=(",", ":")).encode()
        if len(text) <= _ROOM:
            return text
        most, letters = max(1, most // 2), letters // 2


def read_note(path: Path) -> tuple[Missing, dict[str, str]]:
    """Return what is missing from the run whose lock is at `path`, and the ending that stands there.

    Raises:
        RunError: If the file is damaged.
    """
    if not os.path.lexists(path):  # a run that was copied without it
        return Missing(), {}
    require_regular(path)
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            with path.open("rb") as file:
                return _parsed(file.read(_ROOM).strip(b" \0"))
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            if attempt == 0:
                raise RunError(f"{path} is damaged: {error!r}") from error
            time.sleep(0.001)  # it may have been in the middle of being written
    raise AssertionError


def _parsed(text: bytes) -> tuple[Missing, dict[str, str]]:
    if not text:
        return Missing(), {}
    content: Any = json.loads(text)
    spans = tuple((int(first), int(last), int(count)) for first, last, count in content["missing"])
    ending = {str(key): str(value) for key, value in content["ending"].items()}
    return Missing(spans, str(content["reason"])), ending


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
