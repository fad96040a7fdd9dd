"""Which snapshots go when a run must stay within a size: never the first or last, and evenly.

Evenly means: the inner snapshot goes whose two neighbours lie closest together, the oldest of several; that is, whose
going leaves the smallest gap. So no gap that is made is larger than twice the mean gap of then; and while a run grows
and the number of its snapshots does not, the mean gap does.

How far apart two snapshots lie is counted in steps; or in snapshots that the schedule wanted between them, see
`axis_of`. Only so do log-spaced snapshots stay log-spaced: counted in steps, the beginning would go first.
"""

from __future__ import annotations

import heapq
import math
import operator
from bisect import bisect_left
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import either, epochs, every, log_spaced, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnviz.recording.schedule import Schedule

    Axis = Callable[[int], float]


def to_drop(steps: Sequence[int], sizes: Sequence[int], limit: int, axis: Axis | None = None) -> list[int]:
    """Return which steps to drop, rising, so that the others' sizes sum to `limit` at most.

    Args:
        steps: The steps of all snapshots, strictly rising.
        sizes: Their sizes in bytes.
        limit: Bytes. If the first and the last alone are larger, all between them go.
        axis: See `Thinner`.

    Raises:
        ConfigError: If steps don't rise, or there are not as many sizes.
    """
    if len(steps) == len(sizes) and sum(sizes) <= limit:
        return []
    return sorted(Thinner(steps, sizes, axis=axis).thin(limit))


class Thinner:
    """The snapshots that a run has, and which of them go next; each goes in logarithmic time."""

    def __init__(
        self, steps: Sequence[int] = (), sizes: Sequence[int] = (), *, axis: Axis | None = None
    ) -> None:
        """Take up the snapshots that are there.

        Args:
            steps: Their steps, strictly rising.
            sizes: Their sizes in bytes.
            axis: A function of the step, never falling, whose differences say how far apart snapshots lie; None
                counts steps.

        Raises:
            ConfigError: If steps don't rise, or there are not as many sizes.
        """
        if len(steps) != len(sizes):
            raise ConfigError(f"{len(steps)} snapshots can't have {len(sizes)} sizes")
        if not all(map(operator.lt, steps, steps[1:])):
            raise ConfigError("the steps of snapshots must rise")
        self._axis = axis
        # Snapshots by their number; a size of None is one that went. Neighbours are those still there.
        self._steps = list(steps)
        self._sizes: list[int | None] = list(sizes)
        self._places: list[float] = list(steps) if axis is None else [axis(step) for step in steps]
        self._before = list(range(-1, len(steps) - 1))
        self._after = list(range(1, len(steps) + 1))
        # One entry for each inner snapshot: its neighbours' distance, which may have grown since, and its number.
        distances = map(operator.sub, self._places[2:], self._places)
        self._heap: list[tuple[float, int]] = list(zip(distances, range(1, len(steps) - 1), strict=True))
        heapq.heapify(self._heap)
        self.total = sum(sizes)
        """The size of those that are there, in bytes."""

    @property
    def steps(self) -> list[int]:
        """The steps of those that are there, rising."""
        return [step for step, size in zip(self._steps, self._sizes, strict=True) if size is not None]

    def add(self, step: int, size: int) -> None:
        """Take up a new snapshot, which is the last from now on.

        Raises:
            ConfigError: If `step` is not behind all others.
        """
        number = len(self._steps)
        if number and step <= self._steps[-1]:
            raise ConfigError(f"a snapshot at step {step} can't follow one at step {self._steps[-1]}")
        self._steps.append(step)
        self._sizes.append(size)
        self._places.append(step if self._axis is None else self._axis(step))
        self._before.append(number - 1)
        self._after.append(number + 1)
        self.total += size
        if number > 1:
            self._push(number - 1)

    def resize(self, step: int, size: int) -> None:
        """Take up that the snapshot at `step` has another size by now; nothing happens if it went.

        Raises:
            ConfigError: If there was never one.
        """
        number = bisect_left(self._steps, step)
        if number == len(self._steps) or self._steps[number] != step:
            raise ConfigError(f"there is no snapshot at step {step}")
        before = self._sizes[number]
        if before is not None:
            self._sizes[number] = size
            self.total += size - before

    def thin(self, limit: int) -> list[int]:
        """Drop snapshots until the others' sizes sum to `limit` at most, and return their steps as they went."""
        gone = []
        while self.total > limit and self._heap:
            distance, number = heapq.heappop(self._heap)
            # Distances only grow, so what is at the top by its distance of now is the closest of all.
            if distance == self._distance(number):
                gone.append(self._drop(number))
            else:
                self._push(number)
        return gone

    def _distance(self, number: int) -> float:
        return self._places[self._after[number]] - self._places[self._before[number]]

    def _push(self, number: int) -> None:
        heapq.heappush(self._heap, (self._distance(number), number))

    def _drop(self, number: int) -> int:
        before, after = self._before[number], self._after[number]
        self._after[before], self._before[after] = after, before
        self.total -= self._sizes[number] or 0
        self._sizes[number] = None
        return self._steps[number]


def axis_of(schedule: Schedule) -> Axis | None:
    """Return the axis along which the snapshots of `schedule` are thinned out evenly; None counts steps.

    The axis says about how many snapshots the regular parts of the schedule (every, epochs, log_spaced) want up to
    a step: where a union of them wants many, many stay.
    """
    axes = _axes(schedule)
    if all(
        isinstance(part, every | epochs) for part in axes
    ):  # the same as counting steps, but for roundings
        return None
    return lambda step: sum(_wanted(part, step) for part in axes)


def _axes(schedule: Schedule) -> list[every | epochs | log_spaced]:
    if isinstance(schedule, either):
        return [axis for part in schedule.parts for axis in _axes(part)]
    if isinstance(schedule, within):
        return _axes(schedule.schedule)
    return [schedule] if isinstance(schedule, every | epochs | log_spaced) else []


def _wanted(schedule: every | epochs | log_spaced, step: int) -> float:
    """Return about how many snapshots a schedule wants from step 0 up to `step`."""
    if isinstance(schedule, epochs):
        return step / (schedule.n * (schedule.steps_per_epoch or 1))
    if isinstance(schedule, every):
        length = schedule.per_epoch or schedule.n
        return step * -(-length // schedule.n) / length
    dense = schedule.per_decade / math.log(10)  # up to here it wants every step
    return step if step <= dense else dense + schedule.per_decade * math.log10(step / dense)
