"""Reading a run's folder, also while it is written."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cnnviz.errors import RunError, StepError
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.examples import Examples, decode_examples
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import read_note, writer_lives
from cnnviz.recording.manifest import Manifest, read_manifest
from cnnviz.recording.samples import Samples, read_samples
from cnnviz.recording.snapshot_files import SnapshotFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.recording.store import Entry, Missing


class FolderStore:
    """Reads the run in a folder; see `Store`."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._layout = Layout(path)
        self.location = str(self._layout.root)
        self._reader = Reader(self._layout.database)
        self._files = SnapshotFiles(self._layout)
        self._lock = threading.Lock()
        self._known: tuple[NDArray[np.int64], str] = (np.empty(0, np.int64), "")

    def manifest(self) -> Manifest:
        """Return what run.json holds."""
        return read_manifest(self._layout.manifest)

    def state(self) -> Mapping[str, str]:
        """Return how the run stands; a run whose writer died is interrupted."""
        state = self._state()
        if state.get("status") == "running" and not writer_lives(self._layout.lock):
            state = self._state()  # anew, as the writer may have ended well between the two looks
            if state.get("status") == "running":
                return {**state, "status": "interrupted"}
        return state

    def missing(self) -> Missing:
        """Return what could not be written."""
        return read_note(self._layout.lock)[0]

    def steps(self) -> NDArray[np.int64]:
        """Return the steps (T,) of the snapshots there are by now, rising."""
        with self._lock:
            known = self._known
        fresh = self._reader.steps(*known)
        if fresh[0] is not known[0] or fresh[1] != known[1]:
            fresh[0].flags.writeable = False
            with self._lock:
                # Of two threads that looked at once, the one that knows more stays.
                if self._known is known or len(fresh[0]) >= len(self._known[0]):
                    self._known = fresh
        return fresh[0]

    def entries(self, steps: NDArray[np.int64]) -> list[Entry]:
        """Return the index's entries of these steps."""
        return self._reader.entries(steps)

    def metric_names(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        return self._reader.metric_names()

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps (n,) and values (n,) of a metric."""
        return self._reader.metric(name)

    def tensor_names(self, step: int) -> list[str]:
        """Return the names of the tensors of a snapshot."""
        with self._thinned_out([step]):
            return self._files.names(step)

    def tensors(self, step: int, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the named tensors of a snapshot, or all of them."""
        with self._thinned_out([step]):
            return self._files.read(step, names)

    def stacked(self, steps: NDArray[np.int64], names: Sequence[str]) -> dict[str, Tensor]:
        """Return each named tensor at all of these steps, (len(steps), *shape)."""
        with self._thinned_out(steps.tolist()):
            return self._files.stack(steps.tolist(), names)

    def absent(self, steps: NDArray[np.int64]) -> list[int]:
        """Return those of these steps whose snapshots are not there, though the index has them."""
        return self._files.absent(steps.tolist())

    def samples(self) -> Samples:
        """Return the images and labels that travel with the run."""
        return read_samples(self._layout.samples)

    def examples(self) -> Examples:
        """Return what each training example did."""
        codes, _ = self._reader.examples()
        if list(codes) != list(range(len(codes))):
            raise RunError(f"{self._layout.database} is damaged: a pass over the examples is missing")
        try:
            return decode_examples(list(codes.values()))
        except RunError as error:
            raise RunError(f"{self._layout.database} is damaged: {error}") from error

    @contextmanager
    def _thinned_out(self, steps: Sequence[int]) -> Iterator[None]:
        """Say of a snapshot that can't be read that it was thinned out meanwhile, where the index knows it no more."""
        try:
            yield
        except RunError as error:
            known = set(self.steps().tolist())
            gone = next((step for step in steps if step not in known), None)
            if gone is None:
                raise
            raise StepError(
                f"the snapshot at step {gone} of {self.location} is gone: it was thinned out"
            ) from error

    def _state(self) -> dict[str, str]:
        state = self._reader.state()
        state.setdefault("status", "running")
        if state["status"] == "running":  # a full disk kept the database from learning how it ended
            state |= read_note(self._layout.lock)[1]
        return state
