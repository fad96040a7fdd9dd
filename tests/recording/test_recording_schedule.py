"""Schedules: functions of the step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz import every
from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import (
    at,
    bind,
    either,
    epochs,
    limit_of,
    log_spaced,
    never,
    within,
)
from cnnviz.recording.schedule_text import parse_schedule

counts = st.integers(1, 3000)
leaves = st.one_of(
    st.just(never),
    st.builds(every, counts, st.none() | counts),
    st.builds(at, st.lists(st.integers(0, 10**12), max_size=5)),
    st.builds(log_spaced, counts),
    st.builds(epochs, counts, st.none() | counts),
)
sizes = st.integers(1, 2**50) | st.builds(
    lambda n, base, power: n * base**power,
    st.integers(1, 99),
    st.sampled_from([1000, 1024]),
    st.integers(0, 5),
)
schedules = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda a, b: a | b, inner, inner) | st.builds(lambda n, s: within(n, s), sizes, inner)
    ),
    max_leaves=6,
)


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
def test_every_of_an_epoch_against_the_slow_twin(n, length, count):
    expected = {epoch * length + batch for epoch in range(count) for batch in range(0, length, n)}
    assert set(on(every(n, per_epoch=length), count * length)) == expected
    assert every(n, per_epoch=length)(count * length)  # the end of every epoch


def test_at():
    assert on(at(20, 5, 10, 5), 100) == [5, 10, 20]
    assert at(20, 5, 10, 5) == at([5, 10, 20]) == at(np.array([5, 10, 20])) == at(s for s in (20, 10, 5))
    assert on(at(3), 9) == on(at([3]), 9) == on(at(np.int64(3)), 9) == [3]
    assert on(at(), 9) == on(at([]), 9) == []


@given(st.sets(st.integers(0, 200)))
def test_at_against_the_slow_twin(steps):
    assert on(at(steps), 202) == sorted(steps)


def test_log_spaced():
    assert on(log_spaced(1), 20_000) == [0, 1, 10, 100, 1000, 10000]
    assert on(log_spaced(3), 1000) == [0, 1, 2, 5, 10, 22, 46, 100, 215, 464]
    assert on(log_spaced(), 101) == [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100]
    assert not log_spaced(10)(-1)
    assert log_spaced(10)(10**15)


@pytest.mark.parametrize("per_decade", [1, 2, 3, 7, 10, 33, 100, 1000, 9999])
def test_log_spaced_against_the_slow_twin(per_decade):
    expected = {0}
    k = 0
    while (step := round(10 ** (k / per_decade))) <= 100_000:
        expected.add(step)
        k += 1
    assert set(on(log_spaced(per_decade), 100_001)) == expected


@given(st.integers(1, 300), st.integers(0, 3000))
def test_log_spaced_far_away_has_no_gap(per_decade, k):
    step = round(10 ** min(k / per_decade, 15))
    if k / per_decade <= 15:
        assert log_spaced(per_decade)(step)


@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 7))
def test_epochs_against_the_slow_twin(n, length, count):
    expected = [epoch * length for epoch in range(count + 1) if epoch % n == 0]
    assert on(epochs(n, length), count * length + 1) == expected
    assert on(bind(epochs(n), length), count * length + 1) == expected


def test_epochs_want_to_know_how_long_one_is():
    for use in (
        lambda: epochs(3)(0),
        lambda: (every(1) | epochs(3))(0),  # also where the other part says yes
        lambda: within(9, epochs(3))(0),
        lambda: bind(epochs(3), None),
        lambda: bind(every(1) | within(9, epochs(3)), None),
    ):
        with pytest.raises(
            ConfigError, match=r"write epochs\(3, steps_per_epoch=\.\.\.\), or give .* Recorder"
        ):
            use()


def test_bind():
    def mine(step):
        return step == 1

    both = every(3) | epochs(2) | within("1 kB", epochs() | mine) | at(1) | epochs(1, steps_per_epoch=5)
    bound = bind(both, 7)
    assert bound == (
        every(3) | epochs(2, 7) | within(1000, epochs(1, 7) | mine) | at(1) | epochs(1, steps_per_epoch=5)
    )
    assert bind(bound, None) == bind(bound, 99) == bound
    assert bind(mine, 7) is mine
    assert bind(every(3), 7) == every(3)  # it counts through
    with pytest.raises(ConfigError, match="an epoch has 1 step or more"):
        bind(both, 0)


@given(st.lists(leaves, min_size=2, max_size=5), counts)
def test_a_union_against_the_slow_twin(parts, length):
    parts = [bind(part, length) for part in parts]
    union = parts[0]
    for part in parts[1:]:
        union = union | part
    expected = set().union(*(on(part, 300) for part in parts))
    assert set(on(union, 300)) == expected
    nested = parts[-1]
    for part in reversed(parts[:-1]):
        nested = part | nested
    assert union == nested == either(tuple(parts))


def test_a_union_with_a_plain_function():
    def odd(step):
        return step % 2 == 1

    assert on(at(4) | odd, 6) == on(odd | at(4), 6) == [1, 3, 4, 5]
    assert on(within(10, odd) | never, 6) == on(never | within(10, odd), 6) == [1, 3, 5]
    asked = []
    on(at(0) | (lambda step: asked.append(step)), 3)  # one that counts, say
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("nothing", [5, None, "every(3)", [1, 2], every, at])
def test_only_schedules_are_joined(nothing):
    for use in (lambda: at(1) | nothing, lambda: nothing | at(1), lambda: within(5, nothing)):
        with pytest.raises(ConfigError, match="is no schedule: write one such as every"):
            use()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1, 1),
        (np.int64(2**40), 2**40),
        ("500 MB", 500_000_000),
        ("500MB", 500_000_000),
        (" 500  mb ", 500_000_000),
        ("2 GiB", 2 * 1024**3),
        ("1.5GB", 1_500_000_000),
        ("0.1 kB", 100),
        ("1.0005 kB", 1000),
        ("3 KiB", 3072),
        ("1 TB", 10**12),
        ("1 PiB", 2**50),
        ("12", 12),
        ("12 B", 12),
        ("0.3 GiB", 322122547),
    ],
)
def test_sizes(text, size):
    assert within(text).limit == limit_of(within(text)) == size
    assert within(text) == within(size, every(100))


@pytest.mark.parametrize(
    "text",
    [
        0, -1, 1.5, True, None, "", "MB", "0 MB", "-1 MB", "0.0001 kB", "5 M", "5 G", "1e3 MB", "1,000 MB",
        "5 bytes", "5 iB", "1.MB", ".5 MB", "\N{ARABIC-INDIC DIGIT ONE} MB", "9" * 5000, "inf GB",
    ],
)  # fmt: skip
def test_impossible_sizes(text):
    with pytest.raises(ConfigError, match=r'a size is 1 byte or more, .* such as "500 MB" or "2 GiB"'):
        within(text)


def test_within_asks_its_schedule():
    assert on(within("1 MB", every(4)), 9) == [0, 4, 8]
    assert on(within("1 MB"), 201) == [0, 100, 200]
    assert on(within("1 MB", lambda step: step == 2), 9) == [2]


def test_the_smallest_limit_holds():
    assert limit_of(every(3)) is None
    assert limit_of(lambda step: True) is None
    assert limit_of(every(3) | at(5)) is None
    assert limit_of(every(3) | within(9, every(2)) | within(7, at(1)) | within(8)) == 7
    assert limit_of(within(9, within(7, every(2)))) == limit_of(within(7, within(9, every(2)))) == 7
    assert limit_of(within(9, every(1) | within(7))) == 7


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (every(10) | at(3, 1, 2), "every(10) | at(1, 2, 3)"),
        (every(100, per_epoch=938), "every(100, per_epoch=938)"),
        (log_spaced(), "log_spaced(10)"),
        (epochs() | never, "epochs(1) | never"),
        (epochs(2, 938), "epochs(2, steps_per_epoch=938)"),
        (at(), "at()"),
        (within("1.5 GB", every(10) | epochs(2)), "within('1500 MB', every(10) | epochs(2))"),
        (within(2**31), "within('2 GiB', every(100))"),
        (within(1234), "within(1234, every(100))"),
        (within("1 MB", every(2)) | at(1), "within('1 MB', every(2)) | at(1)"),
    ],
)
def test_a_schedule_as_text(schedule, text):
    assert str(schedule) == repr(schedule) == text
    assert parse_schedule(text) == schedule


@given(schedules)
def test_text_and_back(schedule):
    assert parse_schedule(str(schedule)) == schedule
    hash(schedule)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (" every( 10 )|at([1,2 ,3])", every(10) | at(1, 2, 3)),
        ("every(n=10, per_epoch=None)", every(10)),
        ("(every(3) | at(1)) | (never | epochs())", every(3) | at(1) | never | epochs(1)),
        ('within("2 GiB")', within(2**31)),
        ("within(limit=5_000, schedule=never)", within(5000, never)),
        ("every(0x10)\n", every(16)),
    ],
)
def test_text_in_other_ways(text, schedule):
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ""),
        ("every(", ""),
        ("every(1) at(2)", ""),
        ("\0", ""),
        ("(" * 1000, ""),
        ("-" * 100_000 + "1", ""),
        ("every(" + "9" * 5000 + ")", ""),
        ("|".join(["every(1)"] * 30_000), ""),
        ("every", ": every needs brackets"),
        ("100", ": 100 is not known"),
        ("sometimes(3)", ": sometimes(3) is not known"),
        ("__import__('os').system('true')", ": __import__"),
        ("[].append(every(1))", ": [].append"),
        ("never()", ": never() is not known"),
        ("every(1) & at(2)", ": every(1) & at(2) is not known"),
        ("every(1) | 3", ": 3 is not known"),
        ("every(*[1])", ": *[1] is not known"),
        ("every(**{'n': 1})", ": {'n': 1} is not known"),
        ("every(**at(1))", ": every doesn't take"),
        ("every()", ": every doesn't take"),
        ("every(1, 2, 3)", ": every doesn't take"),
        ("every(n=1, n=2)", ": every doesn't take"),
        ("every(0)", ": every(n=0): the distance must be 1 step or more"),
        ("every(1.5)", ": every(n=1.5): the distance"),
        ("every(True)", ": every(n=True): the distance"),
        ("every('3')", ": every(n='3'): the distance"),
        ("log_spaced(0)", ": log_spaced(per_decade=0): there must be 1 step or more"),
        ("at(-1)", ": -1 is no whole number"),
        ("at(1, 'x')", ": at('x'): steps are whole numbers"),
        ("at(at(1))", ": at(at(1)): steps are whole numbers"),
        ("epochs(1, 0)", ": epochs(steps_per_epoch=0): an epoch has 1 step or more"),
        ("within('5 G', every(1))", ": within('5 G'): a size is"),
        ("within(5, every)", ": every needs brackets"),
        ("within(5, 6)", ": 6 is no schedule"),
    ],
)
def test_text_that_says_no_schedule(text, why):
    with pytest.raises(ConfigError) as caught:
        parse_schedule(text)
    message = str(caught.value)
    assert f"is no schedule{why}" in message
    assert "There are every(n), at(step, ...), log_spaced(per_decade), epochs(n), within(" in message
    assert len(message) < 500


@given(st.text() | st.text("everyat(),|1 '\"n=[]*"))
def test_any_text_is_a_schedule_or_a_config_error(text):
    try:
        schedule = parse_schedule(text)
    except ConfigError:
        return
    assert parse_schedule(str(schedule)) == schedule


def test_schedules_are_values():
    assert every(3) == every(3)
    assert every(3) != every(3, per_epoch=9)
    assert (
        len({every(3), every(np.int64(3)), at(1) | never, at([1]) | never, within("1 kB"), within(1000)}) == 3
    )
    for schedule, name in ((every(3), "n"), (at(3), "steps"), (within(9), "limit"), (at(1) | at(2), "parts")):
        with pytest.raises(AttributeError):
            setattr(schedule, name, 4)


@pytest.mark.parametrize(
    "arguments", [(0,), (-1,), (1, 0), (5, -2), (1.5,), ("1",), (None,), (True,), (1, 2.0)]
)
def test_impossible_schedules(arguments):
    with pytest.raises(ConfigError, match="1 step or more"):
        every(*arguments)
    with pytest.raises(ConfigError, match=r"1 (step|epoch) or more"):
        epochs(*arguments)


@pytest.mark.parametrize("steps", [(-1,), (1, 2.5), ("12",), (None,), ([1], [2]), (True,), (math.nan,)])
def test_impossible_steps(steps):
    with pytest.raises(ConfigError, match="steps are whole numbers, 0 or more"):
        at(*steps)
