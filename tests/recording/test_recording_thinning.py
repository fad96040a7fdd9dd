"""Thinning: which snapshots go when a run must stay within a size."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import at, either, epochs, every, log_spaced, never, within
from cnnviz.recording.thinning import Thinner, axis_of, to_drop

snapshots = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=40).map(
    lambda pairs: (np.cumsum([gap for gap, _ in pairs]).tolist(), [size for _, size in pairs])
)


def slow(steps, sizes, limit, axis=lambda step: step):
    """Return what goes, in order, looking at all snapshots before each."""
    kept, gone = list(zip(steps, sizes, strict=True)), []
    while sum(size for _, size in kept) > limit and len(kept) > 2:
        gaps = [axis(kept[i + 1][0]) - axis(kept[i - 1][0]) for i in range(1, len(kept) - 1)]
        gone.append(kept.pop(1 + gaps.index(min(gaps)))[0])
    return gone


def stream(steps, room, axis=None):
    """Return the steps that are there after each snapshot of a run with room for so many."""
    thinner, seen = Thinner(axis=axis), []
    for step in steps:
        thinner.add(step, 1)
        thinner.thin(room)
        seen.append(thinner.steps)
    return seen


def test_the_oldest_of_the_closest_goes_first():
    assert to_drop([0, 1, 2, 3, 4], [1] * 5, 5) == []
    assert to_drop([0, 1, 2, 3, 4], [1] * 5, 4) == [1]
    assert to_drop([0, 1, 2, 3, 4], [1] * 5, 3) == [1, 3]  # 0-2, 3, 4: 3 lies between 2 and 4
    assert to_drop([0, 10, 11, 20], [1] * 4, 3) == [11]  # leaves 10 and 9, not 11
    assert to_drop([0, 100, 101, 103, 200], [5, 1, 1, 1, 5], 12) == [101]


def test_the_first_and_the_last_stay_whatever_they_take():
    assert to_drop([3, 5, 7, 9], [100, 1, 1, 100], 50) == [5, 7]
    assert to_drop([3, 5, 7, 9], [1, 1, 1, 1], -50) == [5, 7]
    assert to_drop([3, 5], [100, 100], 50) == []
    assert to_drop([3], [100], 50) == []
    assert to_drop([], [], 0) == to_drop([], [], -1) == []


def test_what_takes_nothing_may_go_on_the_way():
    assert to_drop([0, 1, 2, 9], [1, 0, 5, 1], 2) == [1, 2]


@given(snapshots, st.integers(-1, 200))
def test_dropping_against_the_slow_twin(taken, limit):
    steps, sizes = taken
    assert to_drop(steps, sizes, limit) == sorted(slow(steps, sizes, limit))
    assert Thinner(steps, sizes).thin(limit) == slow(steps, sizes, limit)
    assert Thinner(steps, sizes, axis=math.sqrt).thin(limit) == slow(steps, sizes, limit, math.sqrt)


@given(snapshots, st.integers(0, 60), st.integers(0, 40), st.data())
def test_a_run_against_the_slow_twin(taken, limit, restored, data):
    kept, thinner = {}, Thinner()
    for number, (step, size) in enumerate(zip(*taken, strict=True)):
        if number == restored:
            thinner = Thinner(list(kept), list(kept.values()))
        if kept and data.draw(st.booleans()):
            changed = data.draw(st.sampled_from(list(kept)))
            kept[changed] = data.draw(st.integers(0, 9))
            thinner.resize(changed, kept[changed])
        kept[step] = size
        thinner.add(step, size)
        expected = slow(list(kept), list(kept.values()), limit)
        assert thinner.thin(limit) == expected
        for gone in expected:
            del kept[gone]
        assert thinner.steps == list(kept)
        assert thinner.total == sum(kept.values())


def test_a_thousand_snapshots_where_twenty_have_room():
    kept = stream(range(1000), 20)[-1]
    gaps = np.diff(kept)
    assert (kept[0], kept[-1], len(kept)) == (0, 999, 20)
    assert gaps.max() / gaps.mean() < 1.5  # measured: 1.41
    assert gaps[:-1].min() / gaps.mean() > 0.6


@pytest.mark.parametrize("room", [3, 4, 5, 20, 21, 64])
def test_no_gap_is_ever_larger_than_twice_the_mean(room):
    for last, kept in enumerate(stream(range(500), room)):
        gaps = np.diff([*kept])
        assert len(kept) == min(last + 1, room)
        assert (kept[0], kept[-1]) == (0, last)
        assert last < room or gaps.max() <= 2 * gaps.mean()


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=80), st.integers(3, 12))
def test_no_gap_that_is_made_is_larger_than_twice_the_mean(given_gaps, room):
    kept = stream(np.cumsum(given_gaps).tolist(), room)[-1]
    gaps = np.diff(kept)
    assert gaps.max() <= max(2 * gaps.mean(), *given_gaps)


def test_log_spaced_snapshots_stay_log_spaced():
    schedule = within("1 MB", log_spaced(20))
    steps = [step for step in range(100_001) if schedule(step)]
    kept = stream(steps, 20, axis_of(schedule))[-1]
    assert (kept[0], kept[-1], len(kept)) == (0, 100_000, 20)
    decades = np.histogram(np.log10(kept[1:]), bins=[0, 1, 2, 3, 4, 5])[0]
    assert decades.tolist() == [2, 4, 4, 4, 5]  # the first decade has 9 steps in all, the others 20 and more
    in_steps = stream(steps, 20)[-1]
    assert in_steps[1] > 1000  # what it would be without: no beginning left


def test_a_union_keeps_the_beginning_and_the_even_rest():
    schedule = log_spaced(20) | every(1000)
    steps = [step for step in range(100_001) if schedule(step)]
    kept = np.array(stream(steps, 40, axis_of(schedule))[-1])
    assert ((kept > 0) & (kept < 1000)).sum() >= 8
    assert np.diff(kept).max() <= 10_000


def test_regular_schedules_count_steps():
    for schedule in (every(7), never, at(1, 9), epochs(2, 50), every(9) | at(3), within(9, every(3)), bool):
        assert axis_of(schedule) is None


@pytest.mark.parametrize(
    ("schedule", "error"),
    [
        (log_spaced(1), 1),
        (log_spaced(10), 3),
        (log_spaced(40), 9),
        (log_spaced(10) | every(100), 15),
        (log_spaced(10) | every(30, per_epoch=100) | every(40, per_epoch=7), 5),
        (within(9, log_spaced(5) | epochs(3, 25) | at(1, 2, 3)), 6),
    ],
)
def test_the_axis_counts_about_what_the_schedule_wants(schedule, error):
    axis = axis_of(schedule)
    parts = (
        schedule.schedule.parts if isinstance(schedule, within) else getattr(schedule, "parts", [schedule])
    )
    regular = [part for part in parts if not isinstance(part, at)]
    wanted = np.cumsum([sum(part(step) for part in regular) for step in range(2000)]) - 1
    places = np.array([axis(step) for step in range(2000)])
    assert np.abs(wanted - places).max() <= error
    assert (np.diff(places) > 0).all()
    assert axis_of(either((schedule, never)))(777) == axis(777)


def test_what_is_no_run():
    for steps, sizes in (([1, 2], [1]), ([], [1])):
        with pytest.raises(ConfigError, match=f"{len(steps)} snapshots can't have 1 sizes"):
            to_drop(steps, sizes, 0)
    for steps in ([1, 1], [2, 1], [0, 5, 4, 9]):
        with pytest.raises(ConfigError, match="must rise"):
            to_drop(steps, [1] * len(steps), 0)
    thinner = Thinner([1, 5], [1, 1])
    for step in (5, 3):
        with pytest.raises(ConfigError, match=f"at step {step} can't follow one at step 5"):
            thinner.add(step, 1)
    for step in (0, 3, 6):
        with pytest.raises(ConfigError, match=f"no snapshot at step {step}"):
            thinner.resize(step, 1)


def test_a_size_that_changes_after_it_went_changes_nothing():
    thinner = Thinner([0, 1, 2], [5, 5, 5])
    assert thinner.thin(10) == [1]
    thinner.resize(1, 99)
    assert thinner.total == 10
