"""Packing a run into an archive, and looking whether every bit of it came through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnviz.archive.finding import find_columns
from cnnviz.archive.header import Header
from cnnviz.archive.places import check_writable, local_path, place_of, url_of
from cnnviz.archive.slabs import samples_of, slabs_of
from cnnviz.archive.store import ArchiveStore
from cnnviz.archive.targets import new_place, new_url
from cnnviz.archive.writing import ArchiveWriter
from cnnviz.errors import RunError
from cnnviz.recording.digest import state_digest, tensor_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.archive.columns import Column
    from cnnviz.recording.run import Run
    from cnnviz.recording.store import Entry, Store

    Tell = Callable[[float], None]


def pack(run: Run, target: str | Path, *, verify: bool = True, tell: Tell | None = None) -> str:
    """Write a run into an archive: one Zarr v3 store, which `cnnviz.open_run` reads like the run.

    An archive appears whole or not at all, also when the process is killed.

    Args:
        run: The run, or some of its snapshots, as `run[::10]`; it must not be running any more.
        target: A folder that is not there yet, or a URL (s3:, gs:, az:, file:, memory:) at which nothing lies.
        verify: Whether to read every snapshot back and compare its digest with the recorded one.
        tell: Is called with how much is done, from 0 to 1.

    Returns:
        The path or URL of the archive.

    Raises:
        RunError: If the run is running or damaged, something lies at the target, it can't be written, or what was
            written differs.
        ConfigError: If the URL can't be used, or the libraries for it are not installed.
    """
    check_writable(target)
    if run.status == "running":
        raise RunError(f"{run.location} is still being written; pack it when its training has ended")
    path = local_path(target)
    with new_place(path) if path is not None else new_url(url_of(target)) as location:
        _Packing(run, location, tell or (lambda _: None)).write(verify=verify)
    return str(path) if path is not None else url_of(target)


class _Packing:
    """One run on its way into one empty place."""

    def __init__(self, run: Run, location: str | Path, tell: Tell) -> None:
        self._store: Store = run.store
        self._location = location
        self._tell = tell
        self._writer = ArchiveWriter(location)
        self._steps = run.steps
        self._entries: list[Entry] = self._store.entries(self._steps)
        if len(self._entries) != len(self._steps):
            raise RunError(f"{run.location} has lost snapshots meanwhile; pack it again")
        self._columns = find_columns(self._store, self._steps)
        size = sum(slab.bytes for slab in slabs_of(self._columns))
        self._total, self._done = size, 0

    def write(self, *, verify: bool) -> None:
        """Write all of it; the root last."""
        self._total *= 2 if verify else 1
        self._write_index()
        metrics = self._write_metrics()
        header = Header(
            manifest=self._store.manifest(),
            state=self._store.state(),
            missing=self._store.missing(),
            snapshots=len(self._steps),
            tensors=self._columns,
            metrics=metrics,
            samples=self._write_samples(),
            examples=self._write_examples(),
        )
        self._write_columns()
        if verify:
            self._verify(header)
        self._writer.finish(header.to_json())

    def _write_index(self) -> None:
        try:
            digests = np.array([list(bytes.fromhex(e.digest)) for e in self._entries], np.uint8).reshape(
                -1, 16
            )
        except ValueError as error:
            raise RunError(f"{self._store.location} is damaged: its index holds no digests") from error
        self._writer.write_rows("steps", self._steps)
        self._writer.write_rows("bytes", np.array([e.bytes for e in self._entries], np.int64))
        self._writer.write_rows("digests", digests)

    def _write_metrics(self) -> dict[str, tuple[int, int]]:
        names = self._store.metric_names()
        found = [self._store.metric(name) for name in names]
        if found:
            self._writer.write_rows("metrics/steps", np.concatenate([steps for steps, _ in found]))
            self._writer.write_rows("metrics/values", np.concatenate([values for _, values in found]))
        edges = [0, *np.cumsum([len(steps) for steps, _ in found]).tolist()]
        return {name: (edges[n], edges[n + 1]) for n, name in enumerate(names)}

    def _write_samples(self) -> int:
        samples = self._store.samples()
        self._writer.write_rows("samples/images", _as_recorded(samples.images).numpy())
        self._writer.write_rows("samples/labels", samples.labels.numpy())
        return len(samples)

    def _write_examples(self) -> tuple[int, int]:
        examples = self._store.examples()
        self._writer.write_rows("examples/correct", np.asarray(examples.correct, np.int8))
        self._writer.write_rows("examples/loss", np.asarray(examples.loss, np.float32))
        passes, count = examples.correct.shape
        return passes, count

    def _write_columns(self) -> None:
        writers = {}
        for slab in samples_of(self._columns):
            for number, bits in self._read(slab.columns, slab.snapshots):
                column = self._columns[number]
                if column.units:
                    writers[number] = self._writer.begin_column(f"state/{number}", column, bits)
                del bits
        for slab in slabs_of(self._columns):
            for number, bits in self._read(slab.columns, slab.snapshots):
                if number in writers:
                    writers[number].write(slab.first, bits)
                del bits  # or else it stays while the next is read, and memory holds two
            self._advance(slab.bytes)

    def _read(
        self, numbers: tuple[int, ...], snapshots: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the bits of some tensors of the run at some snapshots, (snapshots, units)."""
        columns = [self._columns[number] for number in numbers]
        stacks = self._store.stacked(self._steps[snapshots], [column.name for column in columns])
        for number, column in zip(numbers, columns, strict=True):
            self._check_alike(column, stacks[column.name], snapshots)
            yield number, column.to_bits(stacks.pop(column.name))

    def _check_alike(self, column: Column, stack: Tensor, snapshots: NDArray[np.int64]) -> None:
        if tuple(stack.shape[1:]) != column.shape or not column.typed(stack):
            raise RunError(
                f"{self._store.location} can't be packed: from step {self._steps[snapshots[0]]} on {column.name!r} "
                f"is {tuple(stack.shape[1:])} of {stack.dtype}, and was {column.shape} of {column.dtype} before"
            )

    def _verify(self, header: Header) -> None:
        """Raise unless each state in the archive has the digest that was recorded."""
        archive = ArchiveStore(place_of(self._location), header)
        digests = np.zeros((len(self._steps), len(self._columns), 16), np.uint8)
        for slab in slabs_of(self._columns):
            for number in slab.columns:
                digests[slab.snapshots, number] = self._digests(archive, number, slab.snapshots)
            self._advance(slab.bytes)
        present = [column.rows(np.arange(len(self._steps))) >= 0 for column in self._columns]
        for snapshot, entry in enumerate(archive.entries(self._steps)):
            state = {
                column.name: digests[snapshot, number].tobytes()
                for number, column in enumerate(self._columns)
                if present[number][snapshot]
            }
            if state_digest(state) != entry.digest:
                raise RunError(
                    f"{self._store.location} at step {entry.step} is not what was recorded there: its digest is "
                    f"another than the index tells; nothing was packed"
                )

    def _digests(self, archive: ArchiveStore, number: int, snapshots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the digests (snapshots, 16) of a tensor, read from the archive."""
        name = self._columns[number].name
        stack = archive.stacked(self._steps[snapshots], [name])[name]
        return np.array([list(tensor_digest(tensor)) for tensor in stack], np.uint8)

    def _advance(self, size: int) -> None:
        self._done += size
        self._tell(self._done / max(self._total, 1))


def _as_recorded(images: Tensor) -> Tensor:
    """Return images as bytes if they were recorded as such, so that reading divides them by 255 again."""
    rounded = (images * 255).round()
    if bool(((rounded >= 0) & (rounded <= 255)).all()):
        small = rounded.to(torch.uint8)
        if torch.equal(small / 255, images) and not bool(torch.signbit(images).any()):
            return small
    return images
