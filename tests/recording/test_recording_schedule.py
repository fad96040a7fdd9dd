"""Schedules: functions of the step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz import every
from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import never


def on(schedule, stop):
    return [step for step in range(stop) if schedule(step)]


def test_every():
    assert on(every(1), 4) == [0, 1, 2, 3]
    assert on(every(100), 301) == [0, 100, 200, 300]
    assert on(never, 99) == []


def test_the_notebooks_ten_records_an_epoch():
    steps = on(every(100, per_epoch=938), 2 * 938 + 1)
    assert steps == [
        0, 100, 200, 300, 400, 500, 600, 700, 800, 900,
        938, 1038, 1138, 1238, 1338, 1438, 1538, 1638, 1738, 1838, 1876,
    ]  # fmt: skip
    assert len(on(every(100, per_epoch=938), 20 * 938 + 1)) == 201  # 200 records, and the untrained network


@given(st.integers(1, 50), st.integers(1, 60), st.integers(1, 5))
def test_every_of_an_epoch_against_the_slow_twin(n, length, epochs):
    expected = {epoch * length + batch for epoch in range(epochs) for batch in range(0, length, n)}
    assert set(on(every(n, per_epoch=length), epochs * length)) == expected
    assert every(n, per_epoch=length)(epochs * length)  # the end of every epoch


def test_schedules_are_values():
    assert every(3) == every(3)
    assert every(3) != every(3, per_epoch=9)
    with pytest.raises(AttributeError):
        every(3).n = 4


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, 0), (5, -2)])
def test_impossible_schedules(arguments):
    with pytest.raises(ConfigError, match="1 step or more"):
        every(*arguments)
