"""Which tensors a run's snapshots hold, and at which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.archive.columns import column_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnviz.archive.columns import Column
    from cnnviz.recording.store import Store


def find_columns(store: Store, steps: NDArray[np.int64]) -> tuple[Column, ...]:
    """Return the tensors of the snapshots at `steps`, sorted by name.

    Raises:
        RunError: If a snapshot can't be read.
    """
    spans: dict[str, list[list[int]]] = {}
    for number, step in enumerate(steps.tolist()):
        for name in store.tensor_names(step):
            found = spans.setdefault(name, [])
            if found and found[-1][1] == number:
                found[-1][1] = number + 1
            else:
                found.append([number, number + 1])
    by_first: dict[int, list[str]] = {}
    for name, stretches in spans.items():
        by_first.setdefault(stretches[0][0], []).append(name)
    columns = []
    for first, names in by_first.items():
        stacks = store.stacked(steps[first : first + 1], names)
        columns += [column_of(name, stacks[name], tuple((a, b) for a, b in spans[name])) for name in names]
    return tuple(sorted(columns, key=lambda column: column.name))
