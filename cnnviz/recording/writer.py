"""Writing a run, step by step: whole states and numbers, from whatever training they come."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cnnviz.errors import RunError
from cnnviz.recording.beginning import begin, delete_begun
from cnnviz.recording.database import LOG_BYTES, Transaction, Writer
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import read_note
from cnnviz.recording.manifest import Manifest, now, write_manifest
from cnnviz.recording.outage import Outage
from cnnviz.recording.retention import Retention
from cnnviz.recording.samples import describe_samples, write_samples
from cnnviz.recording.snapshot_writer import SnapshotWriter
from cnnviz.recording.store import Entry, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    from torch import Tensor

    from cnnviz.recording.snapshot_writer import Written
    from cnnviz.recording.thinning import Axis

Ending = Literal["finished", "stopped", "diverged", "failed"]

# How many steps wait in memory for a disk that can't take their metrics; the oldest go first.
_MOST_WAITING = 100_000
# Of a limited size the write-ahead log may take this part, but enough for some transactions.
_LOG_PART = 16
_LEAST_LOG_BYTES = 1 << 17


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
        manifest: What the run says of itself from now on, if that changed.
    """

    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Tensor] | None = None
    examples: Mapping[int, bytes] = field(default_factory=dict)
    examples_step: int = -1
    replace: bool = True
    manifest: Manifest | None = None


class Limit(NamedTuple):
    """The size in bytes that a run's folder shall not exceed, and how far apart its snapshots lie, see `Thinner`."""

    bytes: int
    axis: Axis | None = None


class _Part(NamedTuple):
    """What waits to be written into the database: of which step, if it is no mere bookkeeping; of a snapshot, too."""

    fill: Callable[[Transaction], None]
    step: int | None = None
    has_entry: bool = False


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
        limit: Limit | int | None = None,
    ) -> None:
        """Take the run's lock and open what is there.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            durable: Whether to force every snapshot to the disk, against a loss of power.
            resume: Go on with the run at `path`.
            limit: The size in bytes that the run's folder shall not exceed: old snapshots are thinned out for it.

        Raises:
            RunError: If there is a run already, or none to go on with, or another process writes it.
            ConfigError: If the limit has no room for the first and the last snapshot that are there.
        """
        self.layout = Layout(path)
        self._durable = durable
        self._resumed = resume
        self._closed = False
        self._lost_metrics = 0
        self._waiting: deque[_Part] = deque()
        self._manifest: Manifest | None = None
        self._before: dict[str, str] = {}
        limit = Limit(limit) if isinstance(limit, int) else limit
        self._lock = begin(self.layout, resume=resume)
        try:
            self._outage = Outage(str(self.layout.root), read_note(self.layout.lock)[0])
            self._database = Writer(self.layout.database, durable=durable, log_bytes=_log_bytes(limit))
        except BaseException:
            self._give_up()
            raise
        self.reader = Reader(self.layout.database)
        self._snapshots = SnapshotWriter(self.layout, durable=durable)
        self._retention = Retention(self.layout, *limit) if limit is not None else None
        try:
            self.recorded = self.reader.last_step()
            self.last_snapshot = self._go_on()
            self._before = self.reader.state()
            self._set_state({"status": "running", "detail": ""})
            self._lock.leave_note(self._outage.missing, {})
        except BaseException:
            self.release()
            raise

    @property
    def missing(self) -> Missing:
        """What could not be written."""
        return self._outage.missing

    def describe(self, manifest: Manifest, samples: tuple[Tensor, Tensor] | None) -> Manifest:
        """Write what a run says of itself; a folder with run.json is a run, so this comes last at its beginning.

        Returns:
            The manifest as it was written: it tells of the samples, too.

        Raises:
            ConfigError: If the description holds something that JSON can't hold.
            RunError: If the disk can't take it.
        """
        try:
            if samples is not None:
                write_samples(self.layout.samples, samples, durable=self._durable)
                manifest = replace(manifest, samples=describe_samples(samples))
            write_manifest(self.layout.manifest, manifest, durable=self._durable)
        except OSError as error:
            raise RunError(f"{self.layout.root} can't be written: {error}") from error
        return manifest

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
            ConfigError: If the limit has no room for the first and the last snapshot.
            RunError: If the run is closed, or the step is to have a snapshot and is not behind all that have one.
        """
        self._check(record.step, snapshot=record.state is not None)
        written = None
        if record.state is not None:
            state = record.state
            written = self._try_snapshot(record.step, lambda: self._snapshots.write(record.step, state))
        self._keep(record, written)

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
            RunError: If a file is damaged, the run is closed, or the step is not behind all that have a snapshot.
        """
        self._check(step, snapshot=True)
        written = self._snapshots.link(step, list(files), names)
        self._took(written)
        self._keep(Record(step, metrics), written)

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
            self._snapshots.remove_unwanted()
            if self._retention is not None:
                self._retention.remove()
            self._set_state(self._with_losses(ending))
            if not self.layout.database.exists():  # writing into what was deleted is no error
                raise FileNotFoundError(f"{self.layout.root} is not there any more")
        except (RunError, OSError, sqlite3.Error) as error:
            for part in self._waiting:
                self._lose(part)
            self._waiting.clear()
            self._outage.failed(error, 0)
            self._lock.leave_note(self._outage.missing, self._with_losses(ending))
        finally:
            self._database.close()
            self._lock.release()

    def release(self) -> None:
        """Give up a run that could not be begun; what was made for a new one is deleted, and another is as it was."""
        self._closed = True
        if self._resumed and "status" in self._before:
            with contextlib.suppress(RunError):
                self._set_state({"detail": "", **self._before})
        self._database.close()
        self._give_up()

    def _go_on(self) -> int:
        """Take up what is there, and return the last step with a snapshot."""
        steps = self.reader.steps(np.empty(0, np.int64), "")[0].tolist()
        last = steps[-1] if steps else -1
        try:
            if self._resumed:
                self._snapshots.clear(set(steps), last)
            if steps:
                self._snapshots.restore(last)
            if self._retention is not None:
                self._retention.restore(steps)
                self._make_room(self._retention)
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"{self.layout.root} can't be written: {error}") from error
        return last

    def _check(self, step: int, *, snapshot: bool) -> None:
        if self._closed:
            raise RunError(f"{self.layout.root} is closed; nothing more can be recorded")
        if snapshot and step <= self.last_snapshot:
            raise RunError(
                f"{self.layout.root} has a snapshot at step {self.last_snapshot}: one at step {step} can't follow it"
            )

    def _keep(self, record: Record, written: Written | None) -> None:
        entry = Entry(written.step, written.bytes, written.digest) if written is not None else None

        def fill(transaction: Transaction) -> None:
            transaction.metrics(record.step, record.metrics, replace=record.replace)
            if record.examples:
                transaction.examples(record.examples, record.examples_step)
            if entry is not None:
                transaction.entry(entry)

        self._manifest = record.manifest or self._manifest
        if record.metrics or record.examples or entry is not None:
            self._wait(_Part(fill, record.step, entry is not None))
        if not self._outage.may_try():
            return
        started = time.perf_counter()
        try:
            self._commit()
            self._settle()
        except (OSError, sqlite3.Error) as error:
            self._fail(error, started)

    def _wait(self, part: _Part) -> None:
        self._waiting.append(part)
        if len(self._waiting) > _MOST_WAITING:
            self._lose(self._waiting.popleft())

    def _commit(self) -> None:
        """Write all that waits, in one transaction."""
        if self._manifest is not None:  # before the snapshot that it tells of
            write_manifest(self.layout.manifest, self._manifest, durable=self._durable)
            self._manifest = None
        if not self._waiting:
            return
        self._database.write(self._fill)
        self._waiting.clear()

    def _fill(self, transaction: Transaction) -> None:
        for part in self._waiting:
            part.fill(transaction)

    def _settle(self) -> None:
        """Do what follows when all is in the index: store once what a snapshot shares, and keep within the size."""
        slimmed = self._snapshots.slim()
        if slimmed is not None:
            step, size, _ = slimmed
            self._waiting.append(_Part(lambda transaction: transaction.resize(step, size)))
            if self._retention is not None:
                self._retention.resize(slimmed)
            self._commit()
        if self._retention is not None:
            self._make_room(self._retention)

    def _make_room(self, retention: Retention) -> None:
        retention.remove()  # what could not be deleted the last time
        while gone := retention.choose():
            self._drop(gone)
            # Only now: no reader finds a step in the index whose file is gone.
            retention.remove()
        retention.check()

    def _drop(self, gone: list[int]) -> None:
        self._waiting.append(_Part(lambda transaction: transaction.drop(gone)))
        self._commit()

    def _try_snapshot(self, step: int, write: Callable[[], Written]) -> Written | None:
        started = time.perf_counter()
        if self._outage.may_try():
            try:
                written = write()
            except OSError as error:
                self._fail(error, started)
            else:
                self._outage.over()
                self._took(written)
                return written
        self._outage.lost(step)
        self._lock.leave_note(self._outage.missing, {})
        return None

    def _took(self, written: Written) -> None:
        self.last_snapshot = written.step
        if self._retention is not None:
            self._retention.add(written)

    def _lose(self, part: _Part) -> None:
        if part.step is not None:
            self._lost_metrics += 1
            if part.has_entry:
                self._outage.lost(part.step)

    def _fail(self, error: Exception, started: float) -> None:
        self._outage.failed(error, time.perf_counter() - started)
        self._lock.leave_note(self._outage.missing, {})

    def _give_up(self) -> None:
        if not self._resumed:
            with contextlib.suppress(OSError):
                delete_begun(self.layout)
        self._lock.release()

    def _with_losses(self, ending: Mapping[str, str]) -> dict[str, str]:
        lost = self._lost_metrics
        if not lost:
            return dict(ending)
        records = "1 record of metrics is" if lost == 1 else f"{lost:,} records of metrics are"
        loss = f"{records} missing: {self._outage.missing.reason}"
        return {**ending, "detail": "; ".join(filter(None, (ending["detail"], loss)))}

    def _set_state(self, values: Mapping[str, str]) -> None:
        try:
            self._database.write(lambda transaction: transaction.state(values))
        except sqlite3.Error as error:
            raise RunError(f"{self.layout.database} can't be written: {error}") from error


def _log_bytes(limit: Limit | None) -> int:
    return LOG_BYTES if limit is None else min(LOG_BYTES, max(limit.bytes // _LOG_PART, _LEAST_LOG_BYTES))
