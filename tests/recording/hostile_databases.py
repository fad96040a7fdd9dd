"""Ways to damage a run's database, or to make it hostile; each is like those in mutations.py."""

import os
import sqlite3

from cnnviz.recording.database import TABLES


def pages(run, rng):
    """Change the structure of a database's page: its header, its pointers, the starts of its cells."""
    path = run / "run.db"
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    for _ in range(rng.choice([1, 1, 3])):
        page = rng.randrange(len(content) // size) * size
        header = page + (100 if page == 0 else 0)
        cells = int.from_bytes(content[header + 3 : header + 5], "big") % 100
        spots = [rng.randrange(100), header + rng.randrange(12), header + 8 + rng.randrange(2 * cells + 2)]
        pointer = header + 8 + 2 * rng.randrange(cells + 1)
        spots += [
            page + (int.from_bytes(content[pointer : pointer + 2], "big") + rng.randrange(12)) % size
        ] * 2
        spot = rng.choice(spots)
        content[spot] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 5, 13, 2, 10, rng.randrange(256)])
    path.write_bytes(content)
    return "run.db", "pages"


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c) SELECT"
SCHEMAS = [
    f"DROP TABLE metrics; CREATE VIEW metrics AS {ENDLESS} 1 AS name, x AS step, 0.5 AS value FROM c",
    f"DROP TABLE snapshots; CREATE VIEW snapshots AS {ENDLESS} x AS step, 1 AS bytes, 'd' AS digest FROM c",
    f"DROP TABLE state; CREATE VIEW state AS {ENDLESS} 'status' AS key, 'finished' AS value FROM c",
    f"DROP TABLE names; CREATE VIEW names AS {ENDLESS} x AS id, zeroblob(1000000) AS name FROM c",
    "DROP TABLE names; CREATE VIEW names AS SELECT 1 AS id, load_extension('/tmp/x') AS name",
    "CREATE TRIGGER t AFTER INSERT ON state BEGIN DELETE FROM snapshots; END",
    "CREATE INDEX i ON metrics (value)",
    "CREATE TABLE extra (a)",
    "ALTER TABLE snapshots ADD COLUMN more GENERATED ALWAYS AS (randomblob(1000000000)) VIRTUAL",
    "ALTER TABLE metrics RENAME TO other",
    "DROP TABLE examples",
    "DROP TABLE snapshots; CREATE VIRTUAL TABLE snapshots USING fts5(step, bytes, digest)",
    "DROP TABLE snapshots; CREATE TABLE snapshots (step, bytes, digest)",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 1 + random() % 7",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'INTEGER', 'TEXT')",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 3 WHERE type = 'table'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET type = 'view' WHERE name = 'names'",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE sql IS NULL",
    "PRAGMA writable_schema = ON; INSERT INTO sqlite_master SELECT * FROM sqlite_master",
    "PRAGMA user_version = -1; PRAGMA application_id = 99; VACUUM",
    "PRAGMA page_size = 65536; VACUUM",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA auto_vacuum = 1; VACUUM",
    "CREATE TABLE x (a); ANALYZE; INSERT INTO x VALUES (1); ANALYZE; DROP TABLE x",
]
_VALUES = [
    "NULL", "-1", "0", "9223372036854775807", "-9223372036854775808", "1e308", "-1e308", "1e999", "'text'", "''", "'0'",
    "'1.5'", "x'ff'", "x'00'", "CAST(x'edA080' AS TEXT)", "CAST(x'ff' AS TEXT)", "char(0)", "0.5", "zeroblob(300000)",
    "printf('%.100000c', 'x')", "'<script>'", "char(10) || 'Set-Cookie: x'", "9007199254740993",
]  # fmt: skip
_COLUMNS = [
    ("names", "id"), ("names", "name"), ("metrics", "name"), ("metrics", "step"), ("metrics", "value"),
    ("snapshots", "step"), ("snapshots", "bytes"), ("snapshots", "digest"), ("state", "key"), ("state", "value"),
    ("examples", "pass"), ("examples", "codes"),
]  # fmt: skip


def schema(run, rng):
    """Let the database hold other tables, views, triggers."""
    statement = rng.choice(SCHEMAS)
    _execute(run, statement)
    return "run.db", statement


def rows(run, rng):
    """Let the database hold other values, more rows, or fewer."""
    table, column = rng.choice(_COLUMNS)
    statement = rng.choice(
        [f"UPDATE OR REPLACE {table} SET {column} = {rng.choice(_VALUES)}"] * 3
        + [f"UPDATE OR IGNORE {table} SET {column} = {rng.choice(_VALUES)}"] * 3
        + [
            f"DELETE FROM {table}",
            f"DELETE FROM {table} WHERE rowid % 2"
            if table != "metrics"
            else "DELETE FROM metrics WHERE step % 2",
            f"UPDATE OR REPLACE {table} SET {column} = -{column}",
            f"UPDATE OR REPLACE {table} SET {column} = random()",
            "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c LIMIT 20000) "
            "INSERT OR IGNORE INTO metrics SELECT 1, x, x FROM c",
            "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c LIMIT 20000) "
            "INSERT OR IGNORE INTO snapshots SELECT x, 1, hex(randomblob(16)) FROM c",
            "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c LIMIT 2000) "
            "INSERT OR IGNORE INTO examples SELECT x, x'00' FROM c",
            "INSERT OR REPLACE INTO state VALUES ('thinned', '7')",
            "INSERT OR REPLACE INTO state VALUES ('status', 'running')",
        ]
    )
    _execute(run, statement)
    return "run.db", statement


def encoding(run, rng):
    """Let the database hold its text as UTF-16."""
    path = run / "run.db"
    rest = sqlite3.connect(path)
    text = [line for line in rest.iterdump() if "sqlite_" not in line]
    rest.close()
    path.unlink()
    (run / "run.db-wal").unlink(missing_ok=True)
    fresh = sqlite3.connect(path)
    kind = rng.choice(["UTF-16le", "UTF-16be"])
    fresh.execute(f"PRAGMA encoding = '{kind}'")
    fresh.executescript("\n".join(text))
    fresh.close()
    return "run.db", kind


def _execute(run, script):
    connection = sqlite3.connect(run / "run.db", isolation_level=None)
    try:
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, False) if hasattr(
            connection, "setconfig"
        ) else None
        for statement in script.split("; "):
            try:
                connection.execute(statement)
            except sqlite3.Error:
                continue
    finally:
        connection.close()


def bomb(run, rng):
    """Let all pages of a tree point to the same pages below them, so that it has rows without end."""
    depth, table = rng.choice([2, 3, 6, 18]), rng.choice(TREES)
    write_bomb(run / "run.db", depth, table)
    (run / "run.db-wal").unlink(missing_ok=True)
    return "run.db", f"bomb of {depth} levels in {table}"


def write_bomb(path, depth, table, text="d"):
    """Write a database of few pages in which the one row of a table, or the schema, is found 500**depth times.

    Args:
        path: Where to write it.
        depth: How many levels of pages there are, each page pointing to the next only, some hundred times.
        table: The name of the table.
        text: What its row holds.
    """
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in TABLES.values():
        connection.execute(statement)
    rows = {
        "names": (1, text),
        "snapshots": (1, 1, text),
        "examples": (0, text.encode()),
        "state": (text, text),
    }
    for name, row in rows.items():
        connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
    connection.execute("INSERT INTO metrics VALUES (1, 1, 0.5)")
    place = 1
    if table != "sqlite_master":
        ((place,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table])
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    content = bytearray(path.read_bytes())
    start, top = (place - 1) * size, 100 if place == 1 else 0
    leaf = bytearray(content[start : start + size])
    if top:  # a leaf of the schema is a page like others, without the file's header
        leaf[: size // 2 - top] = leaf[top : size // 2]
    first = len(content) // size + 1
    for level in range(depth):
        content += _interior(leaf, first + level + 1, size)
    content += leaf
    content[start + top : start + size] = _interior(leaf, first, size, top)[top:]
    content[28:32] = (len(content) // size).to_bytes(4, "big")
    path.write_bytes(content)


def _interior(leaf, child, size, offset=0):
    """Return the page above `leaf`, of the same kind of tree, all whose pointers lead to the page `child`."""
    pointer = child.to_bytes(4, "big")
    if leaf[0] == 13:  # a table's, whose keys are numbers
        kind, cell = b"\x05", pointer + b"\x7f"
    else:  # an index's, whose keys are rows, too
        place = int.from_bytes(leaf[8:10], "big")
        kind, cell = b"\x02", pointer + leaf[place : place + 1 + leaf[place]]
    count = (size - offset - 12) // (len(cell) + 2)
    page = bytearray(size)
    start = size - len(cell) * count
    page[offset : offset + 12] = (
        kind + b"\0\0" + count.to_bytes(2, "big") + start.to_bytes(2, "big") + b"\0" + pointer
    )
    for number in range(count):
        place = start + number * len(cell)
        page[offset + 12 + 2 * number : offset + 14 + 2 * number] = place.to_bytes(2, "big")
        page[place : place + len(cell)] = cell
    return bytes(page)


TREES = ["sqlite_master", *TABLES, "sqlite_autoindex_names_1", "sqlite_autoindex_state_1"]
"""The trees of a database, in which rows lie."""


def sidecars(run, rng):
    """Lay a log or a journal beside the database, or damage the one that is there."""
    name = rng.choice(["run.db-wal", "run.db-journal", "run.db-shm"])
    path = run / name
    database = (run / "run.db").read_bytes()
    magic = {
        "run.db-wal": "377f0682002de21800001000",
        "run.db-journal": "d9d505f920a163d7ffffffff",
        "run.db-shm": "",
    }
    head = bytes.fromhex(magic[name])
    how = rng.choice(["random", "zero", "database", "head", "link", "fifo", "folder", "self"])
    path.unlink(missing_ok=True)
    if how == "link":
        path.symlink_to(
            rng.choice(["/etc/passwd", "../sibling/run.db", "/dev/zero", "nowhere", "writer.lock"])
        )
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "self":
        path.symlink_to(name)
    else:
        contents = {
            "random": rng.randbytes(9000),
            "zero": bytes(rng.choice([0, 1, 40_000])),
            "database": database,
            "head": head + rng.randbytes(20) + database,
        }
        path.write_bytes(contents[how])
    return "run.db-", f"{name} {how}"
