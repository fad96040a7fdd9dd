"""Keeping a run within a size: old snapshots are thinned out, and shared files that no snapshot needs any more."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError, RecordingWarning, RunError
from cnnviz.recording.snapshot_files import SnapshotFiles
from cnnviz.recording.thinning import Thinner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cnnviz.recording.layout import Layout
    from cnnviz.recording.snapshot_writer import Slimmed, Written
    from cnnviz.recording.thinning import Axis

# File systems give room in blocks, and so does du count.
_BLOCK = 4096
# Once a run is too large, it is made smaller by this part of the limit: so there is room for metrics for a while, and
# the index is not changed at every step.
_SLACK = 1 / 32
# Kept free for what no look at the folder sees: how the run stands, which is written after it, and where on the disk
# the pieces of a growing file lie, which file systems note in blocks of their own.
_SPARE = 4 * _BLOCK


class Retention:
    """Says which snapshots must go so that the run's folder stays within a limit, and takes them away.

    What counts is the room that the files take on the disk, in blocks of 4 KiB, with all that lies in the folder.
    """

    def __init__(self, layout: Layout, limit: int, axis: Axis | None) -> None:
        """Begin with no snapshots.

        Args:
            layout: The run's folder.
            limit: Its size in bytes.
            axis: How far apart snapshots lie, see `Thinner`.
        """
        self._layout = layout
        self._limit = limit
        self._axis = axis
        self._thinner = Thinner(axis=axis)
        self._parts: dict[int, frozenset[str]] = {}
        self._users: Counter[str] = Counter()
        self._part_sizes: dict[str, int] = {}
        self._doomed: list[Path] = []
        self._added = 0
        self._size = 0
        self._warned = False

    def restore(self, steps: Sequence[int]) -> None:
        """Take up the snapshots that are there, and delete shared files that none of them needs.

        Raises:
            ConfigError: If the limit has no room for the first and the last of them.
        """
        files = SnapshotFiles(self._layout)
        self._thinner = Thinner(
            steps, [_on_disk(self._layout.snapshot(step)) for step in steps], axis=self._axis
        )
        folders = [folder for folder in (self._layout.shared, self._layout.linked) if folder.is_dir()]
        for step in steps if folders else ():
            with contextlib.suppress(RunError):  # a damaged snapshot needs nothing
                self._take_up(step, {part for part, _ in files.places(step).values()})
        needed = {self._layout.part(part) for part in self._users}
        for folder in folders:
            for path in folder.iterdir():
                if path not in needed:
                    path.unlink(missing_ok=True)
        self._added = len(steps)
        self._check_ends({steps[0], steps[-1]} if steps else set())

    def add(self, written: Written) -> None:
        """Take up a new snapshot."""
        self._thinner.add(written.step, _on_disk(self._layout.snapshot(written.step)))
        self._take_up(written.step, written.parts)
        self._added += 1

    def resize(self, slimmed: Slimmed) -> None:
        """Take up that a snapshot has less of its own now."""
        self._thinner.resize(slimmed.step, _on_disk(self._layout.snapshot(slimmed.step)))
        self._take_up(slimmed.step, slimmed.parts)

    def choose(self) -> list[int]:
        """Return the steps of the snapshots that must go now, which is none if the folder is small enough."""
        others = self._others()
        self._size = others + self._kept()
        gone: list[int] = []
        while self._size > self._limit * (1 - _SLACK if gone else 1):
            dropped = self._thinner.thin(self._thinner.total - 1)  # one; and more if they take nothing
            if not dropped:
                break
            gone += dropped
            self._let_go(dropped)
            self._size = others + self._kept()
        return gone

    def check(self) -> None:
        """Look whether all could go that had to.

        Raises:
            ConfigError: If the limit has no room for the first and the last snapshot.
        """
        if self._size <= self._limit:
            return
        if self._added <= 2:
            raise ConfigError(self._problem(self._size))
        if not self._warned:  # metrics have grown since: no reason to end a training
            self._warned = True
            warnings.warn(self._problem(self._size), RecordingWarning, stacklevel=2)

    def remove(self) -> None:
        """Delete the files of those that went; the index must have forgotten them before.

        Raises:
            OSError: If the disk can't do it.
        """
        while self._doomed:
            self._doomed[-1].unlink(missing_ok=True)
            self._doomed.pop()

    def _take_up(self, step: int, parts: Iterable[str]) -> None:
        known = self._parts.get(step, frozenset())
        for part in parts:
            if part not in known:
                self._users[part] += 1
                if part not in self._part_sizes:
                    self._part_sizes[part] = _on_disk(self._layout.part(part))
        self._parts[step] = known | frozenset(parts)

    def _let_go(self, steps: Iterable[int]) -> None:
        for step in steps:
            for part in self._parts.pop(step, ()):
                self._users[part] -= 1
                if not self._users[part]:
                    del self._users[part], self._part_sizes[part]
                    self._doomed.append(self._layout.part(part))
            self._doomed.append(self._layout.snapshot(step))

    def _check_ends(self, ends: set[int]) -> None:
        """Raise if the limit is too small, before anything is deleted for it."""
        parts = {part for step in ends for part in self._parts.get(step, ())}
        least = self._others() + sum(_on_disk(self._layout.snapshot(step)) for step in ends)
        least += sum(self._part_sizes[part] for part in parts)
        if least > self._limit:
            raise ConfigError(self._problem(least))

    def _problem(self, size: int) -> str:
        if not self._added:
            taken = f"the run's files take {size:,} bytes before its first snapshot"
        elif self._added == 1:
            two = size + self._thinner.total
            taken = f"the run's first snapshot and its other files take {size:,} bytes, with a second some {two:,}"
        else:
            taken = f"the run's first and last snapshot and its other files take {size:,} bytes"
        return f"within({self._limit}): {taken}; allow more"

    def _kept(self) -> int:
        return self._thinner.total + sum(self._part_sizes.values())

    def _others(self) -> int:
        """Return the room that everything else takes: database, samples, checkpoint, folders, and what is spare."""
        layout = self._layout
        folders = (layout.snapshots, layout.shared, layout.linked)
        total = _SPARE + sum(_on_disk(folder) for folder in (layout.root, *folders))
        with os.scandir(layout.root) as entries:
            return total + sum(_on_disk(entry) for entry in entries if not entry.is_dir())


def _on_disk(path: Path | os.DirEntry[str]) -> int:
    """Return the bytes that a file takes on the disk; 0 if it is gone."""
    try:
        size = path.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
    return -(-size // _BLOCK) * _BLOCK
