"""Going through the tensors of a run some at a time: whole files of the archive, and never more than fits in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnnviz.archive.plan import READ_BYTES, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cnnviz.archive.columns import Column


class Slab(NamedTuple):
    """Some tensors at some successive steps.

    Attributes:
        columns: The numbers of the tensors; all are there at the same snapshots.
        first: The number of the first of these snapshots, among those that have the tensors.
        snapshots: The numbers of the snapshots.
        bytes: What they take in memory together.
    """

    columns: tuple[int, ...]
    first: int
    snapshots: NDArray[np.int64]
    bytes: int


def slabs_of(columns: Sequence[Column]) -> Iterator[Slab]:
    """Yield all tensors at all steps, tensors first."""
    for some, long in _batches(columns):
        numbers = columns[some[0]].numbers()
        size = sum(columns[c].units * columns[c].unit_bytes for c in some)
        for first in range(0, len(numbers), long):
            snapshots = numbers[first : first + long]
            yield Slab(some, first, snapshots, size * len(snapshots))


def samples_of(columns: Sequence[Column]) -> Iterator[Slab]:
    """Yield all tensors at some steps in the middle of the run."""
    for some, long in _batches(columns):
        numbers = columns[some[0]].numbers()
        period = min(_period(columns[c]) for c in some)
        first = max(0, (len(numbers) - period) // 2)
        yield Slab(some, first, numbers[first : first + min(period, long)], 0)


def _period(column: Column) -> int:
    return plan(column.units, column.count, column.unit_bytes).period if column.units else 1


def _batches(columns: Sequence[Column]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield tensors that can be read together, and how many steps of them at once."""
    groups: dict[tuple[tuple[tuple[int, int], ...], int], list[int]] = {}
    for number, column in enumerate(columns):
        # What is empty takes no room, but its shape is looked at, too.
        long = plan(column.units, column.count, column.unit_bytes).shard[1] if column.units else column.count
        groups.setdefault((column.spans, long), []).append(number)
    for (_, long), numbers in groups.items():
        batch: list[int] = []
        size = 0
        for number in numbers:
            more = columns[number].units * columns[number].unit_bytes * min(long, columns[number].count)
            if batch and size + more > READ_BYTES:
                yield tuple(batch), long
                batch, size = [], 0
            batch.append(number)
            size += more
        yield tuple(batch), long
