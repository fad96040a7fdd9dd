"""What a run is read from: a folder, also while it is written, or an archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.recording.examples import Examples
    from cnnviz.recording.manifest import Manifest
    from cnnviz.recording.samples import Samples


class Entry(NamedTuple):
    """What the index knows of one snapshot.

    Attributes:
        step: The step.
        bytes: How many bytes were written for it.
        digest: The digest of its state, see `cnnviz.recording.digest`: the same state has the same digest, in
            whatever files it lies.
    """

    step: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Missing:
    """What could not be written while the training went on, as on a full disk.

    Attributes:
        spans: First step, last step and number of the snapshots that are missing, a span at a time.
        reason: What the system said.
    """

    spans: tuple[tuple[int, int, int], ...] = ()
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __str__(self) -> str:
        """Say it in words, as "3 snapshots of steps 300 to 500: No space left on device"."""
        spans = [
            f"{count:,} snapshot{'s' if count > 1 else ''} of step{'s' if count > 1 else ''} "
            + (f"{first:,}" if first == last else f"{first:,} to {last:,}")
            for first, last, count in self.spans
        ]
        return f"{', '.join(spans)}: {self.reason}" if spans else ""


class Store(Protocol):
    """Reads one run. All of it may be called from several threads at once.

    Every method raises RunError, naming the file, where what it should read is absent or damaged.
    """

    location: str
    """Where the run is: a path, or a URL."""

    def manifest(self) -> Manifest:
        """Return what was said of the run at its beginning."""

    def state(self) -> Mapping[str, str]:
        """Return how the run stands: its "status", a "detail" for people, and when it "ended"."""

    def missing(self) -> Missing:
        """Return what could not be written."""

    def steps(self) -> NDArray[np.int64]:
        """Return the steps (T,) of the snapshots there are by now, rising."""

    def entries(self, steps: NDArray[np.int64]) -> list[Entry]:
        """Return the index's entries of these steps; those that are gone by now are left out."""

    def metric_names(self) -> list[str]:
        """Return the names of the metrics, sorted."""

    def metric(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the steps (n,) and values (n,) of a metric, both empty where there is none of that name."""

    def tensor_names(self, step: int) -> list[str]:
        """Return the names of the tensors of a snapshot."""

    def tensors(self, step: int, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the named tensors of a snapshot, or all of them."""

    def stacked(self, steps: NDArray[np.int64], names: Sequence[str]) -> dict[str, Tensor]:
        """Return each named tensor at all of these steps, (len(steps), *shape)."""

    def absent(self, steps: NDArray[np.int64]) -> list[int]:
        """Return those of these steps whose snapshots are not there, though the index has them."""

    def samples(self) -> Samples:
        """Return the images and labels that travel with the run; none if it recorded none."""

    def examples(self) -> Examples:
        """Return what each training example did; empty if nothing was recorded."""
