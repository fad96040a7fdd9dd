"""A run's SQLite database: metrics, the index of snapshots, and the run's status."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_SCHEMA = """
CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS metrics (
    name INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, PRIMARY KEY (name, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
    step INTEGER PRIMARY KEY, file TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_REPLACE = "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)"
_KEEP = "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?)"


class Entry(NamedTuple):
    """One row of the snapshot index."""

    step: int
    file: str
    bytes: int
    digest: str


class Writer:
    """The one connection that writes."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        # The training loop may call the recorder from another thread than the one that made it.
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.executescript(_SCHEMA)
            names = self._connection.execute("SELECT name, id FROM names")
            self._names: dict[str, int] = dict(names)
        except sqlite3.Error as error:
            self._connection.close()
            raise RunError(f"{path} can't be written: {error}") from error

    def write(self, step: int, metrics: Mapping[str, float], entry: Entry | None, *, replace: bool) -> None:
        """Write the metrics of `step` and the index row of its snapshot, all or nothing.

        Args:
            step: The step.
            metrics: Names to values.
            entry: The row of the snapshot, if there is one.
            replace: Whether new values take the place of old ones of the same step and name, or the old ones stay.

        Raises:
            RunError: If the database can't be written, as on a full disk.
        """
        try:
            self._write(step, metrics, entry, _REPLACE if replace else _KEEP)
        except sqlite3.Error as error:
            raise RunError(f"{self._path} can't be written: {error}") from error

    def _write(self, step: int, metrics: Mapping[str, float], entry: Entry | None, insert: str) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            rows = [(self._name_id(name), step, value) for name, value in metrics.items()]
            self._connection.executemany(insert, rows)
            if entry is not None:
                execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", entry)
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            self._names = dict(execute("SELECT name, id FROM names"))
            raise

    def set_state(self, **values: str) -> None:
        """Write what the run as a whole is at now, as text."""
        try:
            self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
        except sqlite3.Error as error:
            raise RunError(f"{self._path} can't be written: {error}") from error

    def close(self) -> None:
        """Fold the write-ahead log into the one file, so that the run can be read from read-only media."""
        try:
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # a reader is in there; the log stays beside the database, and both are right
        finally:
            self._connection.close()

    def _name_id(self, name: str) -> int:
        if name not in self._names:
            cursor = self._connection.execute("INSERT INTO names (name) VALUES (?)", (name,))
            self._names[name] = int(cursor.lastrowid or 0)
        return self._names[name]


@dataclass(frozen=True)
class Reader:
    """Reads the database at `path`, also while it is written; every call opens it anew, so threads may share it."""

    path: Path

    def state(self) -> dict[str, str]:
        """Return what the run as a whole is at."""
        return {str(key): str(value) for key, value in self._query("SELECT key, value FROM state")}

    def entries(self, after: int) -> list[Entry]:
        """Return the index rows of the snapshots behind step `after`, in order."""
        sql = "SELECT step, file, bytes, digest FROM snapshots WHERE step > ? ORDER BY step"
        return [Entry(*row) for row in self._query(sql, after)]

    def metric_names(self) -> list[str]:
        """Return the names of all recorded metrics, sorted."""
        return [str(name) for (name,) in self._query("SELECT name FROM names ORDER BY name")]

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return steps (n,) and values (n,) of one metric; a value that was NaN comes back as NaN."""
        sql = (
            "SELECT step, value FROM metrics WHERE name = (SELECT id FROM names WHERE name = ?) ORDER BY step"
        )
        rows = self._query(sql, name)
        steps = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        values = np.fromiter((np.nan if row[1] is None else row[1] for row in rows), np.float64, len(rows))
        return steps, values

    def last_step(self) -> int:
        """Return the last step with a metric or a snapshot; -1 if there is none."""
        sql = "SELECT coalesce(max(step), -1) FROM (SELECT step FROM snapshots UNION ALL SELECT step FROM metrics)"
        ((step,),) = self._query(sql)
        return int(step)

    def _query(self, sql: str, *arguments: str | int) -> list[tuple[Any, ...]]:
        try:
            connection = self._connect()
            try:
                return connection.execute(sql, arguments).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise RunError(f"{self.path} can't be read: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=10)
        try:
            connection.execute("SELECT 1 FROM state LIMIT 1")
        except sqlite3.OperationalError:
            connection.close()
            # On read-only media a database that was left in WAL mode opens only as one that nobody changes.
            if self.path.with_name(self.path.name + "-wal").exists():
                raise
            connection = sqlite3.connect(f"{uri}?immutable=1", uri=True)
        return connection
