"""A run: what one training left behind, opened for reading, also while it is still written."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, overload

import numpy as np

from cnnviz.errors import ConfigError, RunError, StepError
from cnnviz.recording.archives import is_archive, open_archive
from cnnviz.recording.card import card_html
from cnnviz.recording.folder_store import FolderStore
from cnnviz.recording.layout import is_run
from cnnviz.recording.rebuild import ModelSource, fill, rebuild
from cnnviz.recording.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from cnnviz.recording.examples import Examples
    from cnnviz.recording.manifest import Layer, Manifest
    from cnnviz.recording.samples import Samples
    from cnnviz.recording.store import Entry, Missing, Store


class Run:
    """A recorded training: a sequence of snapshots in the order of their steps, with its metrics.

    `run[-1]` is a snapshot and `run[::10]` a run of every tenth snapshot, which no longer grows. A whole run that
    is still being written grows by itself: every look at `steps` sees the newest.
    """

    def __init__(self, store: Store, model: ModelSource = None) -> None:
        """Read the run in `store`; see `open_run`."""
        self.store = store
        self._source = model
        self._fixed: NDArray[np.int64] | None = None
        self.manifest: Manifest = store.manifest()

    @property
    def location(self) -> str:
        """Where the run lies: a path, or the URL of an archive."""
        return self.store.location

    @property
    def path(self) -> Path:
        """The run's folder, or that of its archive.

        Raises:
            RunError: If it is an archive in an object store.
        """
        if "://" in self.location:
            raise RunError(f"{self.location} lies in an object store: it has no path")
        return Path(self.location)

    @property
    def name(self) -> str:
        """The name of the run's folder, or of its archive, as flip.zarr: no two under one folder have the same."""
        return PurePosixPath(self.location).name if "://" in self.location else self.path.resolve().name

    @property
    def status(self) -> str:
        """How it stands: running, finished, stopped, diverged, failed, or interrupted (its writer died)."""
        return self.store.state().get("status", "running")

    @property
    def detail(self) -> str:
        """More on how the run ended, for people; empty if there is nothing to say."""
        return self.store.state().get("detail", "")

    @property
    def missing(self) -> Missing:
        """The snapshots that could not be written, as on a full disk; false if there are none."""
        return self.store.missing()

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
        return self.store.metric_names()

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps (T,) at which there are snapshots, rising."""
        return self._steps().copy()

    @property
    def digests(self) -> list[str]:
        """The digests of the snapshots, in the order of their steps."""
        return [entry.digest for entry in self.entries()]

    @cached_property
    def samples(self) -> Samples:
        """The fixed validation images and labels that travel with the run."""
        return self.store.samples()

    @property
    def examples(self) -> Examples:
        """What each training example did at each pass; empty if nothing was recorded of them."""
        return self.store.examples()

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
        steps = self._steps()
        place = int(np.searchsorted(steps, step))
        if place == len(steps) or steps[place] != step:
            raise StepError.missing(self.location, step, steps)
        return Snapshot(self, int(steps[place]))

    def entries(self) -> list[Entry]:
        """Return size and digest of every snapshot, in the order of their steps."""
        return self.store.entries(self._steps())

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps (n,) and values (n,) of a metric.

        Raises:
            RunError: If nothing was recorded under that name; the message lists the names.
        """
        steps, values = self.store.metric(name)
        if not len(steps) and name not in self.metrics:
            raise RunError(
                f"{self.location} has no metric {name!r}; it has {', '.join(self.metrics) or 'none'}"
            )
        return steps, values

    def series(self, name: str) -> Tensor:
        """Return one parameter or buffer at every step, (T, *shape).

        Raises:
            RunError: If there is no such tensor; the message lists the names.
        """
        return self.stacked([name])[name]

    def stacked(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return several parameters or buffers at every step, each (T, *shape), opening each snapshot once."""
        steps = self._steps()
        if not len(steps):
            raise StepError(f"{self.location} holds no snapshots yet")
        return self.store.stacked(steps, names)

    def load(self, snapshot: Snapshot, into: nn.Module | None = None) -> nn.Module:
        """Return the network with the weights of `snapshot`, in eval mode; `into` is filled instead of a new one."""
        state = snapshot.state.read()
        model = into if into is not None else rebuild(self.manifest, self._source, state)
        return fill(model, state, f"{self.location} at step {snapshot.step}")

    def only(self, steps: NDArray[np.int64]) -> Run:
        """Return the run of the snapshots at these steps alone, which no longer grows."""
        view = object.__new__(Run)
        view.__dict__.update(self.__dict__)
        view._fixed = steps
        return view

    def __len__(self) -> int:
        return len(self._steps())

    def __iter__(self) -> Iterator[Snapshot]:
        return (Snapshot(self, step) for step in self._steps().tolist())

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...
    @overload
    def __getitem__(self, index: slice) -> Run: ...
    def __getitem__(self, index: int | slice) -> Snapshot | Run:
        steps = self._steps()
        if isinstance(index, slice):
            if index.step is not None and index.step < 0:
                raise ConfigError("a run can't be reversed: its steps rise")
            return self.only(steps[index])
        if not -len(steps) <= index < len(steps):
            raise StepError(f"{self.location} has no snapshot number {index}; it holds {len(steps)}")
        return Snapshot(self, int(steps[index]))

    def __repr__(self) -> str:
        return f"Run({self.location!r}, {self.manifest.network}, {self.status}, {len(self)} snapshots)"

    def _repr_html_(self) -> str:
        return card_html(self)

    def _steps(self) -> NDArray[np.int64]:
        return self._fixed if self._fixed is not None else self.store.steps()


def open_run(path: str | PathLike[str], model: ModelSource = None) -> Run:
    """Open a run for reading, also while it is being written.

    Args:
        path: The run's folder; or a packed run, an archive: its folder or its URL, as s3://bucket/name.
        model: For a network of your own: a module, a class or function that makes one without arguments, or
            "package.module:factory". Networks that cnnviz knows by name need none.

    Raises:
        RunError: If there is no run, or it is damaged or of a later format.
    """
    if is_archive(path):
        return Run(open_archive(path), model)
    path = Path(path)
    if not is_run(path):
        known = ", ".join(run.name for run in list_runs(path)) if path.is_dir() else ""
        hint = (
            f"; the runs in it are {known}"
            if known
            else "; cnnviz.list_runs(root) lists those under a folder"
        )
        raise RunError(f"{path} is not a run{hint}")
    return Run(FolderStore(path), model)


def list_runs(root: str | PathLike[str] = "runs") -> list[Run]:
    """Return the runs that lie directly under `root`, the newest first; what can't be opened is left out.

    Raises:
        RunError: If `root` is no folder.
    """
    found = []
    for path in run_paths(root):
        try:
            found.append(open_run(path))
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
    return sorted(path for path in root.iterdir() if is_run(path) or is_archive(path))
