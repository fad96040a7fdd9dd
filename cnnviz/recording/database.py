"""A run's SQLite database: metrics, the index of snapshots, what examples did, and the run's status."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cnnviz.recording.store import Entry

TABLES = {
    "names": "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "metrics": (
        "CREATE TABLE metrics (name INTEGER NOT NULL, step INTEGER NOT NULL, value REAL, "
        "PRIMARY KEY (name, step)) WITHOUT ROWID"
    ),
    "snapshots": (
        "CREATE TABLE snapshots (step INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, digest TEXT NOT NULL)"
    ),
    "examples": "CREATE TABLE examples (pass INTEGER PRIMARY KEY, codes BLOB NOT NULL)",
    "state": "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
}
"""What the database holds, and nothing else: a reader refuses one with other tables, views or triggers."""

LOG_BYTES = 4 << 20
"""How large the write-ahead log grows, about, before it is folded into the database."""

EXAMPLES_STEP = "examples_step"
THINNED = "thinned"

_PAGE = 4096
_REPLACE = "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)"
_KEEP = "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?)"
_SET = "INSERT OR REPLACE INTO state VALUES (?, ?)"


class Transaction:
    """What is written together, all or nothing."""

    def __init__(self, connection: sqlite3.Connection, names: dict[str, int]) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self._names = names

    def metrics(self, step: int, metrics: Mapping[str, float], *, replace: bool) -> None:
        """Write metrics; new values take the place of old ones of the same step and name, or the old ones stay."""
        rows = [(self._name_id(name), step, value) for name, value in metrics.items()]
        self._many(_REPLACE if replace else _KEEP, rows)

    def entry(self, entry: Entry) -> None:
        """Write the index row of a snapshot."""
        self._execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", entry)

    def resize(self, step: int, size: int) -> None:
        """Write how many bytes a snapshot takes now."""
        self._execute("UPDATE snapshots SET bytes = ? WHERE step = ?", (size, step))

    def drop(self, steps: list[int]) -> None:
        """Take snapshots out of the index, and tell readers to look at it anew."""
        self._many("DELETE FROM snapshots WHERE step = ?", [(step,) for step in steps])
        self._execute(
            "INSERT INTO state VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1", (THINNED,)
        )

    def examples(self, codes: Mapping[int, bytes], last_step: int) -> None:
        """Write the passes over the examples that changed, known up to `last_step`."""
        self._many("INSERT OR REPLACE INTO examples VALUES (?, ?)", list(codes.items()))
        self.state({EXAMPLES_STEP: str(last_step)})

    def state(self, values: Mapping[str, str]) -> None:
        """Write what the run as a whole is at now, as text."""
        self._many(_SET, list(values.items()))

    def _name_id(self, name: str) -> int:
        if name not in self._names:
            cursor = self._execute("INSERT INTO names (name) VALUES (?)", (name,))
            self._names[name] = int(cursor.lastrowid or 0)
        return self._names[name]


class Writer:
    """The one connection that writes."""

    def __init__(self, path: Path, *, durable: bool, log_bytes: int = LOG_BYTES) -> None:
        """Open or make the database.

        Args:
            path: The file.
            durable: Whether to force every transaction to the disk, against a loss of power.
            log_bytes: How large the write-ahead log beside the file shall grow, about.

        Raises:
            RunError: If the database can't be written.
        """
        self._path = path
        self._durable = durable
        self._log_bytes = log_bytes
        self._connection: sqlite3.Connection | None = None
        self._names: dict[str, int] = {}
        try:
            self._connect("rwc")
        except sqlite3.Error as error:
            self._disconnect()
            raise RunError(f"{path} can't be written: {error}") from error

    def write(self, fill: Callable[[Transaction], None]) -> None:
        """Write what `fill` writes into a transaction, all or nothing.

        Raises:
            sqlite3.Error: If the database can't be written, as on a full disk.
        """
        connection = self._connection or self._connect("rw")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                fill(Transaction(connection, self._names))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # on some errors SQLite has rolled back already
                    connection.execute("ROLLBACK")
                self._names = {}
                self._names = dict(connection.execute("SELECT name, id FROM names"))
                raise
        except sqlite3.OperationalError as error:
            # A disk that was lost and is back needs a new connection. On a full one that we have must be kept: there
            # would be no room for what a new one needs.
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL:
                self._disconnect()
            raise

    def close(self) -> None:
        """Fold the write-ahead log into the one file, so that the run can be read from read-only media."""
        if self._connection is None:
            return
        try:
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error:
            pass  # a reader is in there, or the disk is full; the log stays beside the database, and both are right
        finally:
            self._disconnect()

    def _connect(self, mode: str) -> sqlite3.Connection:
        # The training loop may call the recorder from another thread than the one that made it.
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint={self._log_bytes // _PAGE}")
            connection.execute(f"PRAGMA journal_size_limit={2 * self._log_bytes}")
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if missing := [sql for name, sql in TABLES.items() if name not in known]:
                connection.execute("BEGIN IMMEDIATE")  # all or none, should we be killed here
                for sql in missing:
                    connection.execute(sql)
                connection.execute("COMMIT")
            self._names = dict(connection.execute("SELECT name, id FROM names"))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def text_of(value: Any) -> str:
    """Return a text that the database holds.

    Raises:
        TypeError: If it holds something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
