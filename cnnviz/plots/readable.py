"""Doing with a run what can be done although some of its snapshots can't be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cnnviz.errors import SnapshotError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnviz.recording.run import Run

Result = TypeVar("Result")


def from_what_can_be_read(run: Run, compute: Callable[[Run], Result]) -> tuple[Result, tuple[int, ...]]:
    """Return what `compute` makes of a run without its damaged snapshots, and their steps.

    Snapshots that were thinned out since the run was sliced are left out, too, but not told.

    Args:
        run: The run, or a slice of one.
        compute: A function of a run; it is called anew with a smaller one where it meets what can't be read.

    Raises:
        SnapshotError: If no snapshot that is needed can be read.
        CnnvizError: What else `compute` raises.
    """
    damaged: set[int] = set()
    while True:
        try:
            return compute(run), tuple(sorted(damaged))
        except SnapshotError as error:
            # Once for all that are gone, as a computation over chunks of the run would meet them one after another.
            gone = set(error.steps) | (set() if damaged else set(run.store.absent(run.steps)))
            damaged |= gone
            rest = _without(run, gone)
            if rest is None:
                raise SnapshotError(str(error), damaged) from error
        except StepError:
            rest = _without(run, set(run.steps.tolist()) - set(run.store.steps().tolist()))
            if rest is None:
                raise
        run = rest


def _without(run: Run, gone: set[int]) -> Run | None:
    """Return the run without some steps; None if nothing is left, or nothing changes."""
    steps = run.steps
    kept = steps[~np.isin(steps, list(gone))]
    return run.only(kept) if 0 < len(kept) < len(steps) else None
