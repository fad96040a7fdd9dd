"""A snapshot: the network's whole state at one step of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from cnnviz.errors import StepError

if TYPE_CHECKING:
    from torch import nn

    from cnnviz.recording.run import Run
    from cnnviz.recording.store import Entry, Store


class State(Mapping[str, Tensor]):
    """The tensors of a snapshot by name; looking one up reads that tensor alone."""

    def __init__(self, store: Store, step: int) -> None:
        self._store = store
        self._step = step

    def __getitem__(self, name: str) -> Tensor:
        return self._store.tensors(self._step, [name])[name]

    def __contains__(self, name: object) -> bool:
        return name in self._store.tensor_names(self._step)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.tensor_names(self._step))

    def __len__(self) -> int:
        return len(self._store.tensor_names(self._step))

    def read(self) -> dict[str, Tensor]:
        """Return all tensors by name, reading them at once."""
        return self._store.tensors(self._step)

    def __repr__(self) -> str:
        return f"State({', '.join(self)})"


class Snapshot:
    """The network's parameters and buffers at one step.

    Attributes:
        run: The run that it belongs to.
        step: The number of updates before it was taken.
        state: Its tensors by name, read when they are looked up.
    """

    def __init__(self, run: Run, step: int) -> None:
        self.run = run
        self.step = step
        self.state = State(run.store, step)

    @property
    def digest(self) -> str:
        """A digest of its state: equal digests mean equal states, also in different runs."""
        return self._entry().digest

    @property
    def bytes(self) -> int:
        """How many bytes were written for it."""
        return self._entry().bytes

    def alone(self) -> Run:
        """Return the run that holds this snapshot only."""
        return self.run.only(np.array([self.step], np.int64))

    def model(self) -> nn.Module:
        """Return the network as it was at this step, on the CPU, in eval mode.

        Raises:
            ModelError: If the run's network can't be rebuilt, or its weights don't fit.
            RunError: If the snapshot's file is absent or damaged.
        """
        return self.run.load(self)

    def _entry(self) -> Entry:
        entries = self.run.store.entries(np.array([self.step], np.int64))
        if not entries:
            raise StepError(
                f"the snapshot at step {self.step} of {self.run.location} is gone: it was thinned out"
            )
        return entries[0]

    def __repr__(self) -> str:
        return f"Snapshot(step={self.step}, run={self.run.location!r})"
