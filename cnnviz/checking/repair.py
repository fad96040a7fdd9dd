"""Repairing a run: what is whole stays and is found again, what is not goes aside, and nothing is thrown away."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cnnviz.checking.aside import Aside
from cnnviz.checking.contents import (
    checkpoint_problem,
    manifest_problem,
    note_problem,
    read_index,
)
from cnnviz.checking.folder import layout_of, survey
from cnnviz.checking.judging import Judgement, judge
from cnnviz.checking.manifests import rebuild_manifest
from cnnviz.checking.rebuilding import rebuild_database
from cnnviz.checking.report import Repair, span
from cnnviz.checking.samples import forget_samples, samples_problem
from cnnviz.checking.sqlite import change
from cnnviz.errors import RunError
from cnnviz.recording.lock import WriterLock, writer_lives
from cnnviz.recording.snapshot_files import SnapshotFiles
from cnnviz.recording.store import Entry, Missing

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from cnnviz.checking.manifests import Guess
    from cnnviz.checking.report import Progress
    from cnnviz.checking.states import Reading
    from cnnviz.recording.database import Transaction
    from cnnviz.recording.layout import Layout


def repair_run(
    path: str | PathLike[str], progress: Progress | None = None, guess: Guess = lambda state, size: None
) -> Repair:
    """Make a damaged run whole again: what was damaged lies in its folder damaged/ then.

    Args:
        path: The run's folder.
        progress: Is told how many snapshots are read, and how many there are.
        guess: Is asked what network the weights are of, where run.json does not tell it any more.

    Raises:
        RunError: If there is no run, or it is an archive or of a later format; if a writer lives; and if something
            may not be read or written.
    """
    layout = layout_of(path)
    aside = Aside(layout)
    try:
        note = _save_note(layout, aside)
        lock = WriterLock(layout.lock)
        try:
            if note:
                lock.leave_note(Missing(), {})
                aside.did(
                    f"Emptied {layout.lock.name}, which tells what is missing, as {_short(note, layout)}"
                )
            _Repairing(layout, aside, guess).run(progress)
        finally:
            lock.release()
    except OSError as error:
        raise RunError(f"{layout.root} can't be repaired: {error}") from error
    return Repair(str(layout.root), tuple(aside.actions), aside.folder)


class _Repairing:
    """One repair of a run whose lock is held."""

    def __init__(self, layout: Layout, aside: Aside, guess: Guess) -> None:
        self._layout = layout
        self._aside = aside
        self._guess = guess

    def run(self, progress: Progress | None) -> None:
        """Repair all of it; what was done before an error stays done, and the rest can be done later."""
        self._tidy()
        index = read_index(self._layout)
        if index.problem:
            words = rebuild_database(self._layout, self._aside)
            self._aside.did(
                f"Made {self._layout.database.name} anew, as {self._short(index.problem)}; {words}"
            )
            index = read_index(self._layout)
        entries = {entry.step: entry for entry in index.entries}
        found = judge(self._layout, index.entries, survey(self._layout), lives=False, progress=progress)
        self._move_snapshots(found, entries)
        self._mend_index(found)
        self._move_parts(found)
        self._mend_contents(found)

    def _tidy(self) -> None:
        """Take away what has the wrong name or kind, and what was being written when a writer died."""
        layout = self._layout
        files = survey(layout)
        if files.forbidden:
            raise RunError(f"{files.forbidden[0]} may not be read by this user: allow it (chmod u+r) first")
        for path in files.wrong:
            if path != layout.damaged:
                self._take(path, "it is a link, or no plain file or folder")
        if layout.damaged in files.wrong:
            self._aside.make_room()
            self._aside.did(f"Moved what had the name {layout.damaged.name} into a folder of that name")
        for path in files.misplaced:
            self._take(path, "it is none of cnnviz's files")
        for path in files.temporaries:
            path.unlink()
            self._aside.did(f"Removed {self._name(path)}, which was being written when its writer died")
        layout.snapshots.mkdir(exist_ok=True)

    def _move_snapshots(self, found: Judgement, entries: dict[int, Entry]) -> None:
        # Before their entries go: an altered snapshot without one would look like a whole one that was forgotten.
        reasons = found.damaged | found.torn | dict.fromkeys(found.absent, "")
        for problem, steps in found.parts.values():
            reasons |= dict.fromkeys(steps, problem)
        for step, problem in sorted(reasons.items()):
            path = self._layout.snapshot(step)
            detail = (
                f"recorded: {entries[step].bytes} bytes, digest {entries[step].digest}"
                if step in entries
                else ""
            )
            if os.path.lexists(path):
                self._take(path, problem, detail)
            else:
                self._aside.did(f"Took snapshot {step} out of the index: its file is not there", detail)

    def _mend_index(self, found: Judgement) -> None:
        lost, again = found.lost, found.misindexed | found.orphans
        if not lost and not again:
            return

        def fill(transaction: Transaction) -> None:
            for reading in again.values():
                transaction.entry(_entry(reading))
            transaction.drop(lost)

        change(self._layout.database, fill)
        if found.orphans:
            self._aside.did(f"Put {span(sorted(found.orphans))} into the index")
        if found.misindexed:
            self._aside.did(f"Wrote the digest of {span(sorted(found.misindexed))} anew")

    def _move_parts(self, found: Judgement) -> None:
        needed = {part for reading in found.kept.values() for part, _ in reading.places}
        for part in survey(self._layout).parts:
            if part not in needed:
                reason = found.parts[part][0] if part in found.parts else "no snapshot needs it"
                self._take(self._layout.part(part), reason)

    def _mend_contents(self, found: Judgement) -> None:
        layout = self._layout
        if problem := manifest_problem(layout):
            self._rebuild_manifest(problem, next(iter(found.kept), None))
        if problem := samples_problem(layout):
            if os.path.lexists(layout.samples):
                self._take(layout.samples, problem)
            forget_samples(layout, self._aside)
        if problem := checkpoint_problem(layout):
            self._take(layout.checkpoint, problem)

    def _rebuild_manifest(self, problem: str, step: int | None) -> None:
        layout = self._layout
        if layout.manifest.exists():
            self._aside.copy(layout.manifest)
        state = {} if step is None else SnapshotFiles(layout).read(step)
        rebuilt = rebuild_manifest(layout, state, self._guess)
        made = f"Made {layout.manifest.name} anew from the snapshots, as {self._short(problem)}"
        for action in rebuilt.actions(made, layout):
            self._aside.did(action)

    def _take(self, path: Path, reason: str, detail: str = "") -> None:
        _take(path, reason, self._layout, self._aside, detail)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._layout.root))

    def _short(self, problem: str) -> str:
        return _short(problem, self._layout)


def _save_note(layout: Layout, aside: Aside) -> str:
    """Keep a damaged note, which taking the lock may overwrite; return what is wrong with it, "" if nothing."""
    if writer_lives(layout.lock):  # then the lock can't be taken, either
        return ""
    if os.path.lexists(layout.lock) and not stat.S_ISREG(layout.lock.lstat().st_mode):
        _take(layout.lock, "it is a link, or no plain file", layout, aside)
    problem = note_problem(layout)
    if problem:
        aside.copy(layout.lock)
    return problem


def _take(path: Path, reason: str, layout: Layout, aside: Aside, detail: str = "") -> None:
    aside.take(path)
    where = aside.folder.relative_to(layout.root) if aside.folder else layout.damaged.name
    name = str(path.relative_to(layout.root))
    aside.did(f"Moved {name} to {where}: {_short(reason, layout).removeprefix(f'{name} ')}", detail)


def _short(problem: str, layout: Layout) -> str:
    """Return a problem with paths as they are named inside the run."""
    return problem.replace(f"{layout.root}{os.sep}", "")


def _entry(reading: Reading) -> Entry:
    return Entry(reading.step, reading.bytes, reading.digest)
