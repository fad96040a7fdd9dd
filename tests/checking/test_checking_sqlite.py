"""What can still be read from a damaged database."""

import random

import pytest

from cnnviz.checking.sqlite import change, remains, structure_problem
from cnnviz.recording.store import Entry

PAGE = 4096
STEPS = range(0, 20_000, 7)


def fill(transaction):
    for step in STEPS:
        transaction.metrics(step, {"a": step / 2, "b": -float(step)}, replace=True)
        transaction.entry(Entry(step, step + 1, f"{step:032x}"))
    transaction.state({"status": "finished", "detail": "well"})
    transaction.examples({0: b"zero", 1: b"one" * 3000}, 17)


@pytest.fixture
def fresh(tmp_path):
    path = tmp_path / "fresh.db"
    change(path, lambda transaction: None)
    return path


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "run.db"
    change(path, fill)
    return path


def break_page(path, number):
    data = bytearray(path.read_bytes())
    data[(number - 1) * PAGE : number * PAGE] = b"\xa5" * PAGE
    path.write_bytes(data)


def read(path, fresh):
    with remains(path, fresh) as rest:
        return list(rest.metrics()), rest.entries(), rest.state(), rest.examples()


def everything():
    metrics = [("a", step, step / 2) for step in STEPS] + [("b", step, -float(step)) for step in STEPS]
    state = {"status": "finished", "detail": "well", "examples_step": "17"}
    return (
        metrics,
        [Entry(step, step + 1, f"{step:032x}") for step in STEPS],
        state,
        {0: b"zero", 1: b"one" * 3000},
    )


def test_of_a_whole_one_all_is_read(database, fresh):
    assert structure_problem(database) == ""
    assert read(database, fresh) == everything()


def test_without_its_first_page_all_is_read(database, fresh):
    break_page(database, 1)
    assert read(database, fresh) == everything()


def test_a_broken_leaf_costs_its_rows_only(database, fresh):
    pages = database.stat().st_size // PAGE
    metrics, entries, *rest = everything()
    lost = []
    chance = random.Random(0)
    whole = database.read_bytes()
    for page in chance.sample(range(9, pages + 1), 20):
        database.write_bytes(whole)
        break_page(database, page)
        found = read(database, fresh)
        assert set(found[0]) <= set(metrics)
        assert set(found[1]) <= set(entries)
        lost.append(len(metrics) - len(found[0]) + len(entries) - len(found[1]))
        assert found[2] == rest[0]
    # A leaf has room for some 4096 / 13 rows; those that cost none hold the large pass.
    assert all(count < 700 for count in lost)
    assert sum(count > 0 for count in lost) > 10


def test_names_are_read_from_their_index_where_their_table_is_broken(database, fresh):
    break_page(database, 2)
    assert read(database, fresh)[0] == everything()[0]


def test_metrics_without_names_are_kept_under_others(database, fresh):
    break_page(database, 2)
    break_page(database, 3)
    found = read(database, fresh)[0]
    assert {name for name, _, _ in found} == {"lost/1", "lost/2"}
    assert [row[1:] for row in found] == [row[1:] for row in everything()[0]]


def test_of_tables_whose_root_is_broken_nothing_is_read_and_of_others_all(database, fresh):
    break_page(database, 5)
    found = read(database, fresh)
    assert found[1] == []
    assert (found[0], *found[2:]) == (everything()[0], *everything()[2:])


def test_random_bytes_and_nothing_at_all(tmp_path, fresh):
    path = tmp_path / "garbage.db"
    path.write_bytes(random.Random(1).randbytes(10 * PAGE))
    assert read(path, fresh)[1:3] == ([], {})
    path.write_bytes(b"")
    assert read(path, fresh) == ([], [], {}, {})


def test_tables_that_lead_in_circles_end(database, fresh):
    # Let every child of the metrics' root be the root itself.
    data = bytearray(database.read_bytes())
    root = memoryview(data)[3 * PAGE : 4 * PAGE]
    cells = int.from_bytes(root[3:5], "big")
    root[8:12] = (4).to_bytes(4, "big")
    for cell in range(cells):
        at = int.from_bytes(root[12 + 2 * cell : 14 + 2 * cell], "big")
        root[at : at + 4] = (4).to_bytes(4, "big")
    database.write_bytes(data)
    found = read(database, fresh)
    assert found[1:] == everything()[1:]
    assert structure_problem(database) != ""


def test_a_table_that_is_none_is_not_read(tmp_path, fresh):
    import sqlite3

    path = tmp_path / "hostile.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE VIEW metrics AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT 1 AS name, x AS step, 1.0 AS value FROM n"
    )
    connection.commit()
    connection.close()
    assert read(path, fresh) == ([], [], {}, {})
