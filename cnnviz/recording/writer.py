"""Writing a run, step by step: whole states and numbers, from whatever training they come."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnviz.errors import RunError
from cnnviz.recording.database import Transaction, Writer
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import WriterLock, read_note
from cnnviz.recording.manifest import Manifest, now, read_manifest, write_manifest
from cnnviz.recording.outage import Outage
from cnnviz.recording.retention import Retention
from cnnviz.recording.samples import write_samples
from cnnviz.recording.snapshot_writer import SnapshotWriter
from cnnviz.recording.store import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    from torch import Tensor

Ending = Literal["finished", "stopped", "diverged", "failed"]

# How many steps' metrics wait in memory for a disk that can't take them; the oldest go first.
_MOST_WAITING = 100_000


@dataclass(frozen=True)
class Record:
    """What is known at one step.

    Attributes:
        step: The step.
        metrics: Names to values.
        state: The network's tensors by name, if there shall be a snapshot.
        examples: Passes over the training examples that changed, as `recording.examples` packs them.
        examples_step: The last step that they tell of.
        replace: Whether new metrics take the place of old ones of the same step and name, or the old ones stay.
    """

    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Tensor] | None = None
    examples: Mapping[int, bytes] = field(default_factory=dict)
    examples_step: int = -1
    replace: bool = True


class RunWriter:
    """The only writer of a run; one thread at a time may call it.

    On a full or lost disk it goes on: metrics wait in memory for room, snapshots are missing and counted.

    Attributes:
        last_snapshot: The last step with a snapshot when it was opened, and since; -1 if there is none.
        recorded: The last step with anything when it was opened; -1 if there was none.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        durable: bool = False,
        resume: bool = False,
        limit: int | None = None,
    ) -> None:
        """Take the run's lock and open what is there.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            durable: Whether to force every snapshot to the disk, against a loss of power.
            resume: Go on with the run at `path`.
            limit: The size in bytes that the run's folder shall not exceed: old snapshots are thinned out for it.

        Raises:
            RunError: If there is a run already, or none to go on with, or another process writes it.
        """
        self.layout = Layout(path)
        self._durable = durable
        self._closed = False
        _begin(self.layout, resume=resume)
        self._lock = WriterLock(self.layout.lock)
        try:
            self._outage = Outage(str(self.layout.root), read_note(self.layout.lock)[0])
            self._lock.leave_note(self._outage.missing, {})
            self._database = Writer(self.layout.database, durable=durable)
            self.reader = Reader(self.layout.database)
            self._snapshots = SnapshotWriter(self.layout, durable=durable)
            self._retention = Retention(self.layout, self._snapshots, limit)
            self._waiting: deque[Callable[[Transaction], None]] = deque(maxlen=_MOST_WAITING)
            self.recorded = self.reader.last_step()
            self.last_snapshot = self._go_on()
            self._set_state({"status": "running", "detail": ""})
        except BaseException:
            self._lock.release()
            raise

    def describe(self, manifest: Manifest, samples: tuple[Tensor, Tensor] | None) -> None:
        """Write what a run says of itself; a folder with run.json is a run, so this comes last at its beginning."""
        if samples is not None:
            write_samples(self.layout.samples, samples, durable=self._durable)
        write_manifest(self.layout.manifest, manifest, durable=self._durable)

    def write(
        self,
        step: int,
        metrics: Mapping[str, float],
        state: Mapping[str, Tensor] | None = None,
        *,
        replace: bool = True,
    ) -> None:
        """Write what is known at `step`; readers see it whole or not at all. See `put`."""
        self.put(Record(step, metrics, state, replace=replace))

    def put(self, record: Record) -> None:
        """Write what is known at a step; it and its snapshot appear to readers together.

        Raises:
            ModelError: If the state holds something that can't be recorded; nothing of the step is kept then.
        """
        entry = None
        if record.state is not None:
            state = record.state
            entry = self._try_snapshot(record.step, lambda: Entry(*self._snapshots.write(record.step, state)))
        self._keep(record, entry)

    def link(
        self,
        step: int,
        metrics: Mapping[str, float],
        files: Sequence[Path],
        names: Mapping[str, tuple[int, str]],
    ) -> None:
        """Make the snapshot of `step` of tensors in safetensors files that lie elsewhere, as hard links.

        Args:
            step: The step.
            metrics: Names to values.
            files: The files.
            names: The name of each tensor to the number of its file and its name there.

        Raises:
            OSError: If no hard link can be made, as to another file system.
            RunError: If a file is damaged.
        """
        entry = Entry(*self._snapshots.link(step, list(files), names))
        self._keep(Record(step, metrics), entry)

    def close(self, status: Ending = "finished", detail: str = "") -> None:
        """End the run; closing twice does nothing.

        Args:
            status: How it ended.
            detail: More on that, for people.
        """
        if self._closed:
            return
        self._closed = True
        ending = {"status": status, "detail": detail, "ended": now()}
        try:
            self._commit()
            self._set_state(ending)
        except (RunError, OSError, sqlite3.Error) as error:
            self._outage.failed(error, 0)
            self._lock.leave_note(self._outage.missing, ending)
        self._database.close()
        self._lock.release()

    def release(self) -> None:
        """Give up a run that could not be begun."""
        self._closed = True
        self._database.close()
        self._lock.release()

    def _keep(self, record: Record, entry: Entry | None) -> None:
        def fill(transaction: Transaction) -> None:
            transaction.metrics(record.step, record.metrics, replace=record.replace)
            if record.examples:
                transaction.examples(record.examples, record.examples_step)
            if entry is not None:
                transaction.entry(entry)

        self._waiting.append(fill)
        if not self._outage.may_try():
            return
        started = time.perf_counter()
        try:
            self._commit()
            self._settle(entry)
        except (OSError, sqlite3.Error) as error:
            self._fail(error, started)

    def _commit(self) -> None:
        """Write all that waits, in one transaction."""
        if not self._waiting:
            return
        waiting = list(self._waiting)

        def fill(transaction: Transaction) -> None:
            for part in waiting:
                part(transaction)

        self._database.write(fill)
        self._waiting.clear()

    def _settle(self, entry: Entry | None) -> None:
        """Do what follows a snapshot that is in the index: store once what it shares, and keep within the size."""
        if entry is None:
            return
        slimmed = self._snapshots.slim()
        if slimmed is not None:
            self._waiting.append(lambda t: t.resize(*slimmed))
        gone = self._retention.add(entry, slimmed)
        if gone:
            self._waiting.append(lambda t: t.drop(gone))
        self._commit()
        self._retention.remove(gone)  # last: no reader finds a step in the index whose file is gone for long

    def _try_snapshot(self, step: int, write: Callable[[], Entry]) -> Entry | None:
        started = time.perf_counter()
        if self._outage.may_try():
            try:
                entry = write()
            except OSError as error:
                self._fail(error, started)
            else:
                self._outage.over()
                self.last_snapshot = step
                return entry
        self._outage.lost(step)
        self._lock.leave_note(self._outage.missing, {})
        return None

    def _fail(self, error: Exception, started: float) -> None:
        self._outage.failed(error, time.perf_counter() - started)
        self._lock.leave_note(self._outage.missing, {})

    def _go_on(self) -> int:
        """Take up what is there, and return the last step with a snapshot."""
        steps, _ = self.reader.steps(np.empty(0, np.int64), "")
        if not len(steps):
            return -1
        self._snapshots.restore(int(steps[-1]))
        self._retention.restore(self.reader.entries(steps))
        return int(steps[-1])

    def _set_state(self, values: Mapping[str, str]) -> None:
        try:
            self._database.write(lambda transaction: transaction.state(values))
        except sqlite3.Error as error:
            raise RunError(f"{self.layout.database} can't be written: {error}") from error


def _begin(layout: Layout, *, resume: bool) -> None:
    root = layout.root
    if resume:
        read_manifest(layout.manifest)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise RunError(f"{root} exists already: choose another name, or go on with it (resume)")
    try:
        layout.snapshots.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root} can't be made: {error}") from error
