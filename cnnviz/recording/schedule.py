"""Schedules: functions of the step that say when to take a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cnnviz.errors import ConfigError

Schedule = Callable[[int], bool]


@dataclass(frozen=True)
class every:  # noqa: N801 - read as a word in a call: snapshots=every(100)
    """Every n-th step, counted from 0; with `per_epoch`, counted anew in each epoch, so that epochs begin one.

    Attributes:
        n: The distance in steps, 1 or more.
        per_epoch: How many steps an epoch has; None counts through.
    """

    n: int
    per_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"every({self.n}): the distance must be 1 step or more")
        if self.per_epoch is not None and self.per_epoch < 1:
            raise ConfigError(f"every({self.n}, per_epoch={self.per_epoch}): an epoch has 1 step or more")

    def __call__(self, step: int) -> bool:
        """Say whether `step` is on the schedule."""
        return (step if self.per_epoch is None else step % self.per_epoch) % self.n == 0


def never(step: int) -> bool:
    """Say no at every step: for runs that keep metrics only, or snapshots only on demand."""
    return False
