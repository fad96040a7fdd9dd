"""Reading a run from an archive, as `cnnviz.recording.store.Store` says."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnviz.archive.chunked import ChunkedArray
from cnnviz.archive.header import read_header
from cnnviz.archive.recent import Recent
from cnnviz.archive.series import Series
from cnnviz.errors import RunError, StepError
from cnnviz.recording.samples import Samples
from cnnviz.recording.store import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.archive.header import Header
    from cnnviz.archive.places import Place
    from cnnviz.recording.examples import Examples
    from cnnviz.recording.manifest import Manifest
    from cnnviz.recording.store import Missing

# Indices of files and chunks of the steps looked at last: a film that is scrubbed asks for one step after the other.
_RECENT_BYTES = 128 * 2**20
_MOST_THREADS = 8


class ArchiveStore:
    """Reads the run in an archive; see `Store`."""

    def __init__(self, place: Place, header: Header | None = None) -> None:
        """Open the archive at `place`.

        Args:
            place: Where it lies.
            header: What its root tells; None reads it.

        Raises:
            RunError: If there is none, or it is damaged or of a later format.
            ConfigError: If the libraries for it are not installed.
        """
        self.location = place.location
        self._place = place
        self._header = read_header(place) if header is None else header
        self._numbers = {column.name: number for number, column in enumerate(self._header.tensors)}
        self._recent = Recent(_RECENT_BYTES)
        self._series: dict[int, Series] = {}
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "archive")
        self._steps = self._rows("steps", np.int64, (self._header.snapshots,))
        if np.any(np.diff(self._steps) <= 0) or np.any(self._steps < 0):
            raise RunError(f"{self.location}/steps is damaged: steps rise from 0 on")
        self._steps.flags.writeable = False

    def __reduce__(self) -> tuple[type[ArchiveStore], tuple[Place]]:
        return ArchiveStore, (self._place,)

    def manifest(self) -> Manifest:
        """Return what was said of the run at its beginning."""
        return self._header.manifest

    def state(self) -> Mapping[str, str]:
        """Return how the run ended."""
        return dict(self._header.state)

    def missing(self) -> Missing:
        """Return what could not be written while the run was recorded."""
        return self._header.missing

    def steps(self) -> NDArray[np.int64]:
        """Return the steps (T,) of the snapshots, rising."""
        return self._steps

    def entries(self, steps: NDArray[np.int64]) -> list[Entry]:
        """Return the index's entries of these steps; those that are not there are left out."""
        sizes, digests = self._entries
        numbers = np.flatnonzero(np.isin(self._steps, steps)).tolist()
        return [Entry(int(self._steps[n]), int(sizes[n]), digests[n].tobytes().hex()) for n in numbers]

    def metric_names(self) -> list[str]:
        """Return the names of the metrics, sorted."""
        return sorted(self._header.metrics)

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps (n,) and values (n,) of a metric, both empty where there is none of that name."""
        first, stop = self._header.metrics.get(name, (0, 0))
        if first == stop:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        count = (self._header.measured,)
        steps = self._rows("metrics/steps", np.int64, count, (first, stop))
        return steps, self._rows("metrics/values", np.float64, count, (first, stop))

    def tensor_names(self, step: int) -> list[str]:
        """Return the names of the tensors of a snapshot."""
        number = self._numbers_of(np.array([step]))
        return [column.name for column in self._header.tensors if column.rows(number)[0] >= 0]

    def tensors(self, step: int, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the named tensors of a snapshot, or all of them."""
        wanted = self.tensor_names(step) if names is None else list(names)
        return {name: stack[0] for name, stack in self.stacked(np.array([step]), wanted).items()}

    def stacked(self, steps: NDArray[np.int64], names: Sequence[str]) -> dict[str, Tensor]:
        """Return each named tensor at all of these steps, (len(steps), *shape)."""
        snapshots = self._numbers_of(np.asarray(steps, np.int64))
        return {name: self._stack(name, snapshots) for name in names}

    def absent(self, _: NDArray[np.int64]) -> list[int]:
        """Return none: an archive is whole or damaged."""
        return []

    def samples(self) -> Samples:
        """Return the images and labels that travel with the run; none if it recorded none."""
        count = self._header.samples
        if not count:
            return Samples(torch.empty(0, 0, 0, 0), torch.empty(0, dtype=torch.int64))
        stored = ChunkedArray(self._place, "samples/images", self._recent)
        if len(stored.form.shape) != 4 or stored.form.shape[0] != count:
            raise RunError(f"{stored.where} is damaged: {stored.form.shape} are no {count} images")
        images = torch.from_numpy(stored.rows())
        labels = torch.from_numpy(self._rows("samples/labels", np.int64, (count,)))
        return Samples(images / 255 if images.dtype == torch.uint8 else images.float(), labels)

    def examples(self) -> Examples:
        """Return what each training example did; empty if nothing was recorded."""
        from cnnviz.recording.examples import Examples

        shape = self._header.examples
        if not all(shape):
            return Examples(np.empty(shape, np.int8), np.empty(shape, np.float32))
        correct = self._rows("examples/correct", np.int8, shape)
        return Examples(correct, self._rows("examples/loss", np.float32, shape))

    @cached_property
    def _entries(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the bytes (T,) and the digests (T, 16) of the snapshots."""
        count = self._header.snapshots
        return self._rows("bytes", np.int64, (count,)), self._rows("digests", np.uint8, (count, 16))

    def _rows(
        self, name: str, dtype: Any, shape: tuple[int, ...], span: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        if not shape[0]:
            return np.empty(shape, dtype)
        array = ChunkedArray(self._place, name, self._recent)
        if array.form.shape != shape or array.form.dtype != np.dtype(dtype):
            raise RunError(
                f"{array.where} is damaged: it should be {shape} of {np.dtype(dtype)}, "
                f"and is {array.form.shape} of {array.form.dtype}"
            )
        return array.rows(*(span or ()))

    def _numbers_of(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the snapshots at these steps."""
        numbers = np.searchsorted(self._steps, steps)
        for step, number in zip(steps.tolist(), numbers.tolist(), strict=True):
            if number == len(self._steps) or self._steps[number] != step:
                raise StepError.missing(self.location, step, self._steps.tolist())
        return numbers

    def _stack(self, name: str, snapshots: NDArray[np.int64]) -> Tensor:
        number = self._numbers.get(name)
        if number is None:
            known = ", ".join(self._numbers)
            raise RunError(f"{self.location} holds no tensor {name!r}; it holds {known}")
        column = self._header.tensors[number]
        rows = column.rows(snapshots)
        if np.any(rows < 0):
            step = self._steps[snapshots[rows < 0][0]]
            raise RunError(f"{self.location} holds no tensor {name!r} at step {step}")
        if not column.units:
            return column.from_bits(np.empty((len(rows), 0), column.bits))
        return column.from_bits(self._one_series(number).read(rows, self._executor))

    def _one_series(self, number: int) -> Series:
        with self._lock:
            known = self._series.get(number)
        if known is None:
            known = Series(self._place, f"state/{number}", self._header.tensors[number], self._recent)
            with self._lock:
                self._series[number] = known
        return known
