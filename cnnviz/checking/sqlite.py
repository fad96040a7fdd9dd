"""Looking into the database itself: is it whole, and what can still be read from one that is not."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cnnviz.errors import RunError
from cnnviz.recording.database import TABLES, Writer
from cnnviz.recording.store import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cnnviz.recording.database import Transaction

# What SQLite says where not the database is to blame, but the machine or another program.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
}
_MOST_PROBLEMS = 3
_NAMELESS = "SELECT 1 FROM metrics WHERE name NOT IN (SELECT id FROM names) LIMIT 1"
_DIGEST = re.compile("[0-9a-f]{32}")
_PAGE = 4096
# How many numbers of metrics are tried where the table of their names can't be read.
_BLIND = 1000
# A table of n bytes is read within some n operations; one that leads in circles is not.
_LEAST_OPERATIONS = 20_000_000
_OPERATIONS_A_BYTE = 40
_LOOK_EVERY = 100_000


def is_passing(error: BaseException) -> bool:
    """Say whether an error in reading the database is no damage: it is locked, or may not be read."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _PASSING
    return isinstance(cause, MemoryError | PermissionError)


def structure_problem(path: Path) -> str:
    """Return what is wrong with the pages and indexes of a database that can be read; "" if nothing.

    Raises:
        RunError: If it can't be read.
    """
    try:
        connection = _connect_to_read(path)
        try:
            rows = connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall()
            problems = [str(text).replace("\n", " ") for (text,) in rows if text != "ok"]
            if not problems and connection.execute(_NAMELESS).fetchone():
                problems = ["a metric has lost its name"]
            return "; ".join(problems)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise RunError(f"{path} can't be read: {error}") from error


def change(path: Path, fill: Callable[[Transaction], None]) -> None:
    """Let `fill` change the database, all or nothing.

    Raises:
        RunError: If it can't be written.
    """
    try:
        writer = Writer(path, durable=True)
        try:
            writer.write(fill)
        finally:
            writer.close()
    except sqlite3.Error as error:
        raise RunError(f"{path} can't be written: {error}") from error


class Remains:
    """What can still be read from a damaged database; each method skips what can't."""

    def __init__(self, connection: sqlite3.Connection, tables: set[str]) -> None:
        self._connection = connection
        self._tables = tables

    def names(self) -> dict[int, str]:
        """Return the names of metrics by their numbers, from the table or the index over it."""
        if "names" not in self._tables:
            return {}
        found: dict[int, str] = {}
        try:
            query = "SELECT id, name FROM names INDEXED BY sqlite_autoindex_names_1 ORDER BY name"
            found |= dict(self._connection.execute(query).fetchall())
        except sqlite3.Error:
            pass
        found |= dict(self._rows("names", "id", "id, name"))
        return {number: name for number, name in found.items() if type(number) is int and type(name) is str}

    def metrics(self) -> Iterator[tuple[str, int, float]]:
        """Yield name, step and value of each; a name that is lost becomes lost/1, lost/2 and so on."""
        if "metrics" not in self._tables:
            return
        names = self.names()
        for number in sorted({*names, *range(1, max(names, default=0) + _BLIND)}):
            name = names.get(number, f"lost/{number}")
            where = f"name = {number}"
            for step, value in self._rows("metrics", "step", "step, value", where):
                if step >= 0 and (value is None or isinstance(value, int | float)):
                    yield name, step, float("nan") if value is None else float(value)

    def entries(self) -> list[Entry]:
        """Return the entries of the index; those without a well-formed digest are left out."""
        rows = self._rows("snapshots", "step", "step, bytes, digest")
        return [
            Entry(step, size, digest)
            for step, size, digest in rows
            if min(step, _number(size)) >= 0 and type(digest) is str and _DIGEST.fullmatch(digest)
        ]

    def examples(self) -> dict[int, bytes]:
        """Return the passes over the examples."""
        rows = self._rows("examples", "pass", "pass, codes")
        return {number: codes for number, codes in rows if type(codes) is bytes}

    def state(self) -> dict[str, str]:
        """Return what the run as a whole was at."""
        rows = self._rows("state", "rowid", "rowid, key, value")
        return {key: value for _, key, value in rows if type(key) is str and type(value) is str}

    def _rows(self, table: str, key: str, columns: str, where: str = "1") -> Iterator[tuple[Any, ...]]:
        """Yield rows in the order of their key, an integer; behind a damaged page go on where it can be read again."""
        if table not in self._tables:
            return
        start: int | None = -(2**63)
        while start is not None:
            query = f"SELECT {columns} FROM {table} WHERE {where} AND {key} >= ? ORDER BY {key}"  # noqa: S608 - names of ours
            try:
                for row in self._connection.execute(query, [start]):
                    if type(row[0]) is not int or row[0] < start:
                        raise sqlite3.DatabaseError("it leads in circles")
                    yield row
                    start = row[0] + 1
                return
            except (sqlite3.Error, OverflowError):
                first = f"SELECT {key} FROM {table} WHERE {where} AND {key} >= ? ORDER BY {key} LIMIT 1"  # noqa: S608 - as above
                start = self._next_readable(first, start)

    def _next_readable(self, query: str, start: int) -> int | None:
        """Return the least key from which on rows can be read again; None if there is none."""
        gap = 1
        low = max(start, -1)  # no key of ours is negative
        while self._first(query, low + gap) is None:
            gap *= 2
            if low + gap >= 2**63:
                return None
        unreadable, readable = low + gap // 2, low + gap
        while readable - unreadable > 1:
            middle = (unreadable + readable) // 2
            if self._first(query, middle) is None:
                unreadable = middle
            else:
                readable = middle
        return readable

    def _first(self, query: str, start: int) -> list[Any] | None:
        try:
            return self._connection.execute(query, [start]).fetchall()
        except (sqlite3.Error, OverflowError):
            return None


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


@contextmanager
def remains(copy: Path, fresh: Path) -> Iterator[Remains]:
    """Open what is left of a damaged database.

    Args:
        copy: A copy of it, with what SQLite keeps beside it; it is changed.
        fresh: An empty database, whose first page tells where tables lie where the damaged one's can't.
    """
    connection, tables = _opened(copy)
    try:
        roots = _roots(fresh)
        if len(tables) < len(TABLES) and all(roots[name] == root for name, root in tables.items()):
            connection.close()
            _transplant(fresh, copy)
            connection, tables = _opened(copy)
        yield Remains(connection, set(tables))
    finally:
        connection.close()


def _opened(path: Path) -> tuple[sqlite3.Connection, dict[str, int]]:
    """Return a connection, and the first page of each table that is as cnnviz makes it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    left = [_LEAST_OPERATIONS + _OPERATIONS_A_BYTE * path.stat().st_size]

    def count() -> bool:
        left[0] -= _LOOK_EVERY
        return left[0] < 0

    connection.set_progress_handler(count, _LOOK_EVERY)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        rows = connection.execute(
            "SELECT name, sql, rootpage FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
    except sqlite3.Error:
        return connection, {}
    return connection, {name: root for name, sql, root in rows if TABLES.get(name) == sql}


def _roots(fresh: Path) -> dict[str, int]:
    connection, tables = _opened(fresh)
    connection.close()
    return tables


def _transplant(fresh: Path, damaged: Path) -> None:
    """Put the first page of an empty database in place of a damaged one's."""
    page = bytearray(fresh.read_bytes()[:_PAGE])
    count = max(1, damaged.stat().st_size // _PAGE)
    page[28:32] = count.to_bytes(4, "big")
    page[32:40] = bytes(8)  # no free pages
    page[92:96] = page[24:28]  # the count is valid
    log = damaged.with_name(damaged.name + "-wal")
    page[18:20] = b"\2\2" if log.exists() and log.stat().st_size else b"\1\1"
    with damaged.open("r+b") as file:
        file.write(page)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=10)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    except sqlite3.OperationalError:
        connection.close()
        # On read-only media a database that was left in WAL mode opens only as one that nobody changes.
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True)
    return connection
