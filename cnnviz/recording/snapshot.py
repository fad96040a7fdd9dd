"""A snapshot: the network's whole state at one step of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from cnnviz.recording.layout import Layout
from cnnviz.recording.tensors import read_tensor, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cnnviz.recording.database import Entry
    from cnnviz.recording.run import Run


class State(Mapping[str, Tensor]):
    """The tensors of a snapshot by name; looking one up reads that tensor alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, name: str) -> Tensor:
        return read_tensor(self._path, name)

    def __contains__(self, name: object) -> bool:
        return name in tensor_names(self._path)

    def __iter__(self) -> Iterator[str]:
        return iter(tensor_names(self._path))

    def __len__(self) -> int:
        return len(tensor_names(self._path))

    def __repr__(self) -> str:
        return f"State({', '.join(self)})"


class Snapshot:
    """The network's parameters and buffers at one step.

    Attributes:
        run: The run that it belongs to.
        step: The number of updates before it was taken.
        state: Its tensors by name, read when they are looked up.
        digest: A digest of its file; equal digests hold equal states.
        bytes: The size of its file.
    """

    def __init__(self, run: Run, entry: Entry) -> None:
        self.run = run
        self._entry = entry
        self.step = entry.step
        self.digest = entry.digest
        self.bytes = entry.bytes
        self.path = Layout(run.path).snapshot(entry.step)
        self.state = State(self.path)

    def alone(self) -> Run:
        """Return the run that holds this snapshot only."""
        return self.run.only([self._entry])

    def model(self) -> nn.Module:
        """Return the network as it was at this step, on the CPU, in eval mode.

        Raises:
            ModelError: If the run's network can't be rebuilt, or its weights don't fit.
            RunError: If the snapshot's file is absent or damaged.
        """
        return self.run.load(self)

    def __repr__(self) -> str:
        return f"Snapshot(step={self.step}, run={str(self.run.path)!r})"
