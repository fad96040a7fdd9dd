"""Reading a run's database, also while it is written, and whoever made it."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.errors import RunError
from cnnviz.recording.database import EXAMPLES_STEP, TABLES, THINNED, text_of
from cnnviz.recording.layout import require_regular
from cnnviz.recording.store import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# A database of n bytes answers any of our questions within some n of SQLite's operations, with no more rows and no
# more text than n; one that was made to loop does not.
_OPERATIONS_A_BYTE = 40
_LEAST_ROOM = 2**16
_LOOK_EVERY = 100_000
_AT_ONCE = 500
_ROWS_AT_ONCE = 1000
_LONGEST_NUMBER = 1000

# It took too long, or somebody holds it: that opening it in another way would not mend.
_PASSING = (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_DIGEST = re.compile(r"[0-9a-f]{32}")
_METRIC = "SELECT step, value FROM metrics WHERE name = (SELECT id FROM names WHERE name = ?) ORDER BY step"
_LAST = "SELECT coalesce(max(step), -1) FROM (SELECT step FROM snapshots UNION ALL SELECT step FROM metrics)"


@dataclass(frozen=True)
class Reader:
    """Reads the database at `path`; every call opens it anew, so threads may share it.

    Every method raises RunError where the database is absent or damaged.
    """

    path: Path

    def state(self) -> dict[str, str]:
        """Return what the run as a whole is at."""
        with self._open() as look:
            return {key: value for key, value in look.texts("SELECT key, value FROM state")}  # noqa: C416 - typed

    def steps(self, known: NDArray[np.int64], thinned: str) -> tuple[NDArray[np.int64], str]:
        """Return the steps (T,) of the snapshots, rising, reading only what is new.

        Args:
            known: What the last call gave.
            thinned: What the last call gave with it; "" at first.

        Returns:
            The steps, and a text that changes when snapshots were taken away.
        """
        with self._open() as look:
            now = look.texts("SELECT value FROM state WHERE key = ?", [THINNED])
            mark = now[0][0] if now else "0"
            if mark != thinned:
                known = known[:0]
            last = int(known[-1]) if len(known) else -1
            new, _ = look.numbers("SELECT step, NULL FROM snapshots WHERE step > ? ORDER BY step", [last])
            return np.concatenate([known, new]) if len(new) else known, mark

    def entries(self, steps: NDArray[np.int64]) -> list[Entry]:
        """Return the index rows of these steps, in order; those that are gone are left out."""
        found: list[Entry] = []
        with self._open() as look:
            for start in range(0, len(steps), _AT_ONCE):
                some = [int(step) for step in steps[start : start + _AT_ONCE]]
                marks = ",".join("?" * len(some))
                query = f"SELECT step, bytes, digest FROM snapshots WHERE step IN ({marks}) ORDER BY step"  # noqa: S608 - marks only
                found += [_entry(*row) for row in look.rows(query, some)]
            return found

    def metric_names(self) -> list[str]:
        """Return the names of all recorded metrics, sorted."""
        with (
            self._open() as look
        ):  # sorted here: SQLite would first lay all there is aside, however much it claims
            return sorted(name for (name,) in look.texts("SELECT name FROM names"))

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return steps (n,) and values (n,) of one metric; a value that was NaN comes back as NaN."""
        with self._open() as look:
            return look.numbers(_METRIC, [name])

    def examples(self) -> tuple[dict[int, bytes], int]:
        """Return the codes of each pass over the examples, and the last step that they tell of; -1 if none."""
        with self._open() as look:
            rows = look.rows("SELECT pass, codes FROM examples ORDER BY pass")
            last = look.texts("SELECT value FROM state WHERE key = ?", [EXAMPLES_STEP])
            if not all(isinstance(codes, bytes) for _, codes in rows):
                raise TypeError("the codes of the examples are no bytes")
            return dict(rows), int(last[0][0]) if last else -1

    def last_step(self) -> int:
        """Return the last step with a metric or a snapshot; -1 if there is none."""
        with self._open() as look:
            ((step,),) = look.rows(_LAST)
            return int(step)

    def is_blank(self) -> bool:
        """Say whether nothing was recorded yet, though there may be no tables, either."""
        with self._open() as look:
            if not look.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
                return True
            return not look.rows("SELECT 1 FROM examples LIMIT 1") and look.rows(_LAST) == [(-1,)]

    @contextmanager
    def _open(self) -> Iterator[_Look]:
        require_regular(self.path)
        for suffix in ("-wal", "-shm", "-journal"):  # SQLite opens these, too, unasked
            beside = self.path.with_name(self.path.name + suffix)
            if os.path.lexists(beside):
                require_regular(beside)
        try:
            look = self._connect()
            try:
                look.check_schema()
                yield look
            finally:
                look.connection.close()
        except (sqlite3.Error, OSError, TypeError, ValueError, OverflowError, MemoryError) as error:
            raise RunError(f"{self.path} can't be read: {error}") from error

    def _connect(self) -> _Look:
        uri = self.path.absolute().as_uri()
        log = self.path.with_name(self.path.name + "-wal")
        has_log = log.exists()
        size = self.path.stat().st_size + (log.stat().st_size if has_log else 0)
        try:
            return _Look(sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=10), size)
        except sqlite3.OperationalError as error:
            # On read-only media a database that was left in WAL mode opens only as one that nobody changes.
            if has_log or error.sqlite_errorcode & 0xFF in _PASSING:
                raise
            return _Look(sqlite3.connect(f"{uri}?immutable=1", uri=True), size)


class _Look:
    """Runs queries within one look at the database, and gives up on one that was made to keep us busy."""

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        """Begin; `size` is that of the database and its log, in bytes."""
        self.connection = connection
        # A row takes some bytes: more rows than that come from pages that are counted again and again.
        self._room = max(size, _LEAST_ROOM)
        self._operations_left = _OPERATIONS_A_BYTE * self._room
        try:
            # Before all else: with its first statement SQLite reads the schema, which may loop, too.
            connection.set_progress_handler(self._count, _LOOK_EVERY)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except BaseException:
            connection.close()
            raise

    def rows(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows, which may hold anything.

        Raises:
            ValueError: If it claims to hold more than it has room for.
        """
        room = self._room
        found = []
        for row in self.connection.execute(sql, arguments):  # one by one: each may be as long as the file
            room -= 1 + sum(len(value) for value in row if isinstance(value, str | bytes))
            if room < 0:
                raise ValueError("it claims to hold more than it has room for")
            found.append(row)
        return found

    def texts(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[str, ...]]:
        """Return all rows, which hold texts only."""
        return [tuple(map(text_of, row)) for row in self.rows(sql, arguments)]

    def numbers(self, sql: str, arguments: Sequence[object]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the two columns of all rows: steps (n,), rising, and numbers (n,), NaN where there is none."""
        steps, values = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
        count = 0
        self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_NUMBER)
        cursor = self.connection.execute(sql, arguments)
        while block := cursor.fetchmany(_ROWS_AT_ONCE):
            count += len(block)
            some, numbers = zip(*block, strict=True)
            if count > self._room or {*map(type, some)} != {int} or {*map(type, numbers)} - {float, NoneType}:
                raise ValueError("it holds something else than steps and numbers")
            steps.append(np.array(some, np.int64))
            values.append(np.array(numbers, np.float64))  # None, as NaN is stored, becomes NaN
        found = np.concatenate(steps)
        if len(found) and (found[0] < 0 or (found[1:] <= found[:-1]).any()):
            raise ValueError("its steps don't rise")
        return found, np.concatenate(values)

    def check_schema(self) -> None:
        """Raise ValueError if it holds what cnnviz never puts there, as a view that runs for ever."""
        for kind, name, sql in self.rows("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
            if kind != "table" or TABLES.get(name) != sql:
                raise ValueError(f"it holds a {kind} {name!r} that cnnviz doesn't make")

    def _count(self) -> int:
        self._operations_left -= _LOOK_EVERY
        return self._operations_left < 0


def _entry(step: Any, size: Any, digest: Any) -> Entry:
    if type(step) is not int or type(size) is not int or size < 0 or not _DIGEST.fullmatch(text_of(digest)):
        raise ValueError(f"the entry of step {step} is damaged")
    return Entry(step, size, digest)
