"""Keeping a run within a size: old snapshots are thinned out, and shared files that no snapshot needs any more."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError, RecordingWarning, RunError
from cnnviz.recording.snapshot_files import SnapshotFiles
from cnnviz.recording.thinning import to_drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnviz.recording.layout import Layout
    from cnnviz.recording.snapshot_writer import SnapshotWriter
    from cnnviz.recording.store import Entry


class Retention:
    """Says which snapshots must go so that the run's folder stays within a limit, and takes them away."""

    def __init__(self, layout: Layout, snapshots: SnapshotWriter, limit: int | None) -> None:
        self._layout = layout
        self._snapshots = snapshots
        self._limit = limit
        self._sizes: dict[int, int] = {}
        self._users: Counter[str] = Counter()
        self._snapshots_seen = 0
        self._warned = False

    def restore(self, entries: Sequence[Entry]) -> None:
        """Take up the snapshots that are there."""
        if self._limit is None:
            return
        files = SnapshotFiles(self._layout)
        for entry in entries:
            self._sizes[entry.step] = entry.bytes
            if self._layout.shared.is_dir() or self._layout.linked.is_dir():
                with contextlib.suppress(RunError):  # a damaged snapshot needs nothing
                    self._users.update({part for part, _ in files.places(entry.step).values()})

    def add(self, entry: Entry, slimmed: tuple[int, int] | None) -> list[int]:
        """Take up a new snapshot, and return the steps of those that must go now.

        Args:
            entry: The new snapshot.
            slimmed: The step of the one before and its new size, if it shares tensors with it from now on.

        Raises:
            ConfigError: If the limit has no room for the first and the last snapshot.
        """
        if self._limit is None:
            return []
        self._sizes[entry.step] = entry.bytes
        parts = self._snapshots.parts
        self._users.update(parts)
        if slimmed is not None:
            self._sizes[slimmed[0]] = slimmed[1]
            self._users.update({self._layout.shared_part(entry.step)} & parts)
        room = self._limit - self._other_bytes()
        steps, sizes = list(self._sizes), list(self._sizes.values())
        gone = to_drop(steps, sizes, room)
        for step in gone:
            del self._sizes[step]
        self._check_room(room)
        self._snapshots_seen += 1
        return gone

    def remove(self, steps: Sequence[int]) -> None:
        """Delete the files of snapshots that are in the index no more, and shared files that only they needed."""
        files = SnapshotFiles(self._layout)
        for step in steps:
            with contextlib.suppress(RunError):
                parts = {part for part, _ in files.places(step).values()}
                self._users.subtract(parts)
                for part in parts:
                    if self._users[part] <= 0:
                        self._layout.part(part).unlink(missing_ok=True)
            self._layout.snapshot(step).unlink(missing_ok=True)

    def _check_room(self, room: int) -> None:
        need = sum(self._sizes.values())
        if need <= room:
            return
        problem = (
            f"within({self._limit}): the first and the last snapshot and the run's other files take "
            f"{need + self._other_bytes():,} bytes; allow more"
        )
        if self._snapshots_seen < 2:
            raise ConfigError(problem)
        if not self._warned:  # metrics have grown since: no reason to end a training
            self._warned = True
            warnings.warn(problem, RecordingWarning, stacklevel=2)

    def _other_bytes(self) -> int:
        tops = sum(path.stat().st_size for path in self._layout.root.iterdir() if path.is_file())
        return tops + self._snapshots.shared_bytes
