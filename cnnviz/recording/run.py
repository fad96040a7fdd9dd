"""A run: what one training left behind, opened for reading, also while it is still written."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from cnnviz.errors import ConfigError, RunError, StepError
from cnnviz.recording.card import card_html
from cnnviz.recording.database import Entry, Reader
from cnnviz.recording.layout import Layout, is_run
from cnnviz.recording.lock import writer_lives
from cnnviz.recording.manifest import Layer, Manifest, read_manifest
from cnnviz.recording.rebuild import ModelSource, fill, rebuild
from cnnviz.recording.samples import Samples, read_samples
from cnnviz.recording.snapshot import Snapshot
from cnnviz.recording.tensors import stack_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray
    from torch import Tensor, nn


class Run:
    """A recorded training: a sequence of snapshots in the order of their steps, with its metrics.

    `run[-1]` is a snapshot and `run[::10]` a run of every tenth snapshot, which no longer grows. A whole run that
    is still being written grows by itself: every look at `steps` sees the newest.
    """

    def __init__(self, path: str | PathLike[str], model: ModelSource = None) -> None:
        """Open the run at `path`; see `open_run`."""
        self.path = Path(path)
        self._layout = Layout(path)
        self._reader = Reader(self._layout.database)
        self._source = model
        self._entries: list[Entry] = []
        self._fixed = False
        self.manifest: Manifest = read_manifest(self._layout.manifest)

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.path.resolve().name

    @property
    def status(self) -> str:
        """How it stands: running, finished, stopped, diverged, failed, or interrupted (its writer died)."""
        status = self._status()
        if status == "running" and not writer_lives(self._layout.lock):
            status = self._status()  # anew, as the writer may have ended well between the two looks
            return "interrupted" if status == "running" else status
        return status

    @property
    def detail(self) -> str:
        """More on how the run ended, for people; empty if there is nothing to say."""
        return self._reader.state().get("detail", "")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Names and kinds of the layers, in the order in which they run."""
        return self.manifest.layers

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Layer name to the shape of its output for one image, where known."""
        return self.manifest.shapes

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs; empty if nobody gave them."""
        return self.manifest.description.classes

    @property
    def metrics(self) -> list[str]:
        """The names of the recorded metrics, sorted."""
        return self._reader.metric_names()

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps (T,) at which there are snapshots, rising."""
        return np.fromiter((entry.step for entry in self._index()), np.int64)

    @property
    def digests(self) -> list[str]:
        """The digests of the snapshots, in the order of their steps."""
        return [entry.digest for entry in self._index()]

    @cached_property
    def samples(self) -> Samples:
        """The fixed validation images and labels that travel with the run."""
        return read_samples(self._layout.samples)

    @property
    def first(self) -> Snapshot:
        """The first snapshot."""
        return self[0]

    @property
    def last(self) -> Snapshot:
        """The last snapshot so far."""
        return self[-1]

    def at(self, step: int) -> Snapshot:
        """Return the snapshot at `step`.

        Raises:
            StepError: If there is none; the message names the nearest.
        """
        entries = self._index()
        steps = [entry.step for entry in entries]
        place = int(np.searchsorted(steps, step))
        if place == len(steps) or steps[place] != step:
            raise StepError.missing(str(self.path), step, steps)
        return Snapshot(self, entries[place])

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps (n,) and values (n,) of a metric.

        Raises:
            RunError: If nothing was recorded under that name; the message lists the names.
        """
        steps, values = self._reader.metric(name)
        if not len(steps) and name not in self.metrics:
            raise RunError(f"{self.path} has no metric {name!r}; it has {', '.join(self.metrics) or 'none'}")
        return steps, values

    def series(self, name: str) -> Tensor:
        """Return one parameter or buffer at every step, (T, *shape).

        Raises:
            RunError: If there is no such tensor; the message lists the names.
        """
        return self.stacked([name])[name]

    def stacked(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return several parameters or buffers at every step, each (T, *shape), opening each snapshot once."""
        entries = self._index()
        if not entries:
            raise StepError(f"{self.path} holds no snapshots yet")
        return stack_tensors([self._layout.snapshot(entry.step) for entry in entries], names)

    def load(self, snapshot: Snapshot, into: nn.Module | None = None) -> nn.Module:
        """Return the network with the weights of `snapshot`, in eval mode; `into` is filled instead of a new one."""
        model = into if into is not None else rebuild(self.manifest, self._source)
        return fill(model, snapshot.state, f"{self.path} at step {snapshot.step}")

    def only(self, entries: list[Entry]) -> Run:
        """Return the run of these snapshots alone, which no longer grows."""
        view = object.__new__(Run)
        view.__dict__.update(self.__dict__)
        view._entries, view._fixed = entries, True
        return view

    def __len__(self) -> int:
        return len(self._index())

    def __iter__(self) -> Iterator[Snapshot]:
        return (Snapshot(self, entry) for entry in list(self._index()))

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...
    @overload
    def __getitem__(self, index: slice) -> Run: ...
    def __getitem__(self, index: int | slice) -> Snapshot | Run:
        entries = self._index()
        if isinstance(index, slice):
            if index.step is not None and index.step < 0:
                raise ConfigError("a run can't be reversed: its steps rise")
            return self.only(entries[index])
        if not -len(entries) <= index < len(entries):
            raise StepError(f"{self.path} has no snapshot number {index}; it holds {len(entries)}")
        return Snapshot(self, entries[index])

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.manifest.network}, {self.status}, {len(self)} snapshots)"

    def _repr_html_(self) -> str:
        return card_html(self)

    def _index(self) -> list[Entry]:
        if not self._fixed:
            # A new list made of one look at the old: other threads may walk that one, or add to it, too.
            known = self._entries
            if new := self._reader.entries(known[-1].step if known else -1):
                self._entries = known = [*known, *new]
            return known
        return self._entries

    def _status(self) -> str:
        return self._reader.state().get("status", "running")


def open_run(path: str | PathLike[str], model: ModelSource = None) -> Run:
    """Open a run for reading, also while it is being written.

    Args:
        path: The run's folder.
        model: For a network of your own: a module, a class or function that makes one without arguments, or
            "package.module:factory". Networks that cnnviz knows by name need none.

    Raises:
        RunError: If there is no run, or it is damaged or of a later format.
    """
    path = Path(path)
    if not is_run(path):
        known = ", ".join(run.name for run in list_runs(path)) if path.is_dir() else ""
        hint = (
            f"; the runs in it are {known}"
            if known
            else "; cnnviz.list_runs(root) lists those under a folder"
        )
        raise RunError(f"{path} is not a run{hint}")
    return Run(path, model)


def list_runs(root: str | PathLike[str] = "runs") -> list[Run]:
    """Return the runs that lie directly under `root`, the newest first; what can't be opened is left out.

    Raises:
        RunError: If `root` is no folder.
    """
    found = []
    for path in run_paths(root):
        try:
            found.append(Run(path))
        except RunError:
            continue
    return sorted(found, key=lambda run: run.manifest.created, reverse=True)


def run_paths(root: str | PathLike[str]) -> list[Path]:
    """Return the folders under `root` that are runs, readable or not, by name.

    Raises:
        RunError: If `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise RunError(
            f"{root} is not a folder; train first (cnnviz train), or name the folder that holds your runs"
        )
    return sorted(path for path in root.iterdir() if is_run(path))
