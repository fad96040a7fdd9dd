"""Schedules: functions of the step that say when to take a snapshot.

Any callable from a step to a bool is a schedule. Those here are values that read like words, are joined with `|`,
and turn into text and back: see `schedule_text`.

    every(100) | at(1, 2, 5)            every 100 steps, and at three more
    log_spaced(10)                      many at the beginning, ever fewer later
    epochs(2)                           at the beginning of every second epoch
    within("500 MB", every(10))         every 10 steps; when the run grows too large, old ones are thinned out
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cnnviz.errors import ConfigError
from cnnviz.recording.sizes import bytes_of, size_text, whole_number

Schedule = Callable[[int], bool]


def _checked(schedule: Schedule) -> Schedule:
    if isinstance(schedule, type) or not callable(schedule):
        raise ConfigError(
            f"{schedule!r} is no schedule: write one such as every(100), or a function of the step"
        )
    return schedule


class _Joined:
    """What our schedules share: `|`, showing as their text, and a check of their numbers."""

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        raise NotImplementedError

    def __or__(self, other: Schedule) -> either:
        return either((self, other))

    def __ror__(self, other: Schedule) -> either:
        return either((other, self))

    def __repr__(self) -> str:
        return str(self)

    def _check(self, name: str, problem: str) -> None:
        """Make the attribute `name` an int, or raise if it is not 1 or more."""
        value = getattr(self, name)
        problem = f"{type(self).__name__}({name}={value!r}): {problem}"
        object.__setattr__(self, name, whole_number(value, 1, problem))


@dataclass(frozen=True, repr=False)
class every(_Joined):  # noqa: N801 - read as a word in a call: snapshots=every(100)
    """Every n-th step, counted from 0; with `per_epoch`, counted anew in each epoch, so that epochs begin one.

    Attributes:
        n: The distance in steps, 1 or more.
        per_epoch: How many steps an epoch has; None counts through.
    """

    n: int
    per_epoch: int | None = None

    def __post_init__(self) -> None:
        self._check("n", "the distance must be 1 step or more")
        if self.per_epoch is not None:
            self._check("per_epoch", "an epoch has 1 step or more")

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        return (step if self.per_epoch is None else step % self.per_epoch) % self.n == 0

    def __str__(self) -> str:
        known = "" if self.per_epoch is None else f", per_epoch={self.per_epoch}"
        return f"every({self.n}{known})"


@dataclass(frozen=True, repr=False, init=False)
class at(_Joined):  # noqa: N801 - as every
    """These steps: `at(5, 10, 20)`, or one iterable of them.

    Attributes:
        steps: The steps, 0 or more, rising, each once.
    """

    steps: tuple[int, ...]

    def __init__(self, *steps: int | Iterable[int]) -> None:
        several = steps[0] if len(steps) == 1 and isinstance(steps[0], Iterable) else steps
        problem = "at({!r}): steps are whole numbers, 0 or more, as in at(5, 10, 20)"
        whole = {whole_number(step, 0, problem.format(step)) for step in several}
        object.__setattr__(self, "steps", tuple(sorted(whole)))

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        place = bisect_left(self.steps, step)
        return place < len(self.steps) and self.steps[place] == step

    def __str__(self) -> str:
        return f"at({', '.join(map(str, self.steps))})"


@dataclass(frozen=True, repr=False)
class log_spaced(_Joined):  # noqa: N801 - as every
    """Step 0 and the steps round(10^(k / per_decade)), k = 0, 1, 2, ...: equally far apart on a logarithmic axis.

    Attributes:
        per_decade: How many there are from 10 to 100 and so on, 1 or more; fewer where they would fall on one step.
    """

    per_decade: int = 10

    def __post_init__(self) -> None:
        self._check("per_decade", "there must be 1 step or more a decade")

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        if step < 1:
            return step == 0
        # If any k rounds to the step, one beside its logarithm does; one further, as logarithms are rounded, too.
        k = math.floor(self.per_decade * math.log10(step))
        return any(round(10 ** (i / self.per_decade)) == step for i in range(max(0, k - 1), k + 3))

    def __str__(self) -> str:
        return f"log_spaced({self.per_decade})"


@dataclass(frozen=True, repr=False)
class epochs(_Joined):  # noqa: N801 - as every
    """The beginning of every n-th epoch, the first included; the end of one is the beginning of the next.

    Attributes:
        n: The distance in epochs, 1 or more.
        steps_per_epoch: How many steps an epoch has; None leaves that to be told with `bind`.
    """

    n: int = 1
    steps_per_epoch: int | None = None

    def __post_init__(self) -> None:
        self._check("n", "the distance must be 1 epoch or more")
        if self.steps_per_epoch is not None:
            self._check("steps_per_epoch", "an epoch has 1 step or more")

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule.

        Raises:
            ConfigError: If nobody has said how many steps an epoch has.
        """
        return step % (self.n * _epoch_of(self)) == 0

    def __str__(self) -> str:
        known = "" if self.steps_per_epoch is None else f", steps_per_epoch={self.steps_per_epoch}"
        return f"epochs({self.n}{known})"


@dataclass(frozen=True, repr=False, init=False)
class within(_Joined):  # noqa: N801 - as every
    """Another schedule, and a size: a run that outgrows it has old snapshots thinned out, never the first or last.

    Attributes:
        limit: The size of the whole run in bytes; of several limits in one schedule the smallest holds.
        schedule: Says at which steps to take a snapshot.
    """

    limit: int
    schedule: Schedule

    def __init__(self, limit: int | str, schedule: Schedule = every(100)) -> None:
        """Take the limit in bytes, or as text such as "500 MB", "1.5GB" (decimal) or "2 GiB" (binary)."""
        object.__setattr__(self, "limit", bytes_of(limit))
        object.__setattr__(self, "schedule", _checked(schedule))

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        return bool(self.schedule(step))

    def __str__(self) -> str:
        return f"within({size_text(self.limit)}, {self.schedule})"


@dataclass(frozen=True, repr=False)
class either(_Joined):  # noqa: N801 - as every
    """Several schedules together: a step is on it if it is on one of them. Written `a | b`.

    Attributes:
        parts: The schedules, those of unions among them taken apart.
    """

    parts: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        flat: list[Schedule] = []
        for part in self.parts:
            flat.extend(part.parts if isinstance(part, either) else (_checked(part),))
        object.__setattr__(self, "parts", tuple(flat))

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        # Each part is asked at every step: one of a user's may count, and one that can't answer says so at once.
        return any([part(step) for part in self.parts])  # noqa: C419 - see above

    def __str__(self) -> str:
        return " | ".join(map(str, self.parts))


@dataclass(frozen=True, repr=False)
class _Never(_Joined):
    """No step at all."""

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        return False

    def __str__(self) -> str:
        return "never"


never = _Never()
"""Says no at every step: for runs that keep metrics only, or snapshots only on demand."""


def bind(schedule: Schedule, steps_per_epoch: int | None) -> Schedule:
    """Return `schedule` knowing how many steps an epoch has; where it was told before, that stays.

    Raises:
        ConfigError: If it must know, and it is None; or it is less than 1, or `schedule` is none.
    """
    if isinstance(schedule, either):
        return either(tuple(bind(part, steps_per_epoch) for part in schedule.parts))
    if isinstance(schedule, within):
        return within(schedule.limit, bind(schedule.schedule, steps_per_epoch))
    if isinstance(schedule, epochs):
        known = steps_per_epoch if schedule.steps_per_epoch is None else schedule.steps_per_epoch
        bound = replace(schedule, steps_per_epoch=known)
        _epoch_of(bound)
        return bound
    return _checked(schedule)


def hopes(schedule: Schedule) -> bool:
    """Say whether a schedule is written as one of those above, but not `never`; of a function nobody can tell."""
    return isinstance(schedule, _Joined) and not isinstance(schedule, _Never)


def limit_of(schedule: Schedule) -> int | None:
    """Return the smallest size in bytes that a `within` anywhere in `schedule` gives; None without one."""
    if isinstance(schedule, either):
        return min((limit for part in schedule.parts if (limit := limit_of(part)) is not None), default=None)
    if isinstance(schedule, within):
        inner = limit_of(schedule.schedule)
        return schedule.limit if inner is None else min(schedule.limit, inner)
    return None


def _epoch_of(schedule: epochs) -> int:
    if schedule.steps_per_epoch is None:
        raise ConfigError(
            f"{schedule} doesn't know how many steps an epoch has: write epochs({schedule.n}, steps_per_epoch=...), "
            "or give steps_per_epoch to the Recorder"
        )
    return schedule.steps_per_epoch
