"""Checking a run: reading all of it, changing nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.checking.contents import (
    Index,
    checkpoint_problem,
    manifest_problem,
    note_problem,
    read_index,
)
from cnnviz.checking.ending import ENDING_LOST
from cnnviz.checking.folder import Survey, layout_of, survey
from cnnviz.checking.judging import Judgement, judge
from cnnviz.checking.report import Finding, Kind, Progress, Report, span
from cnnviz.checking.samples import samples_problem, samples_way_out
from cnnviz.errors import RunError
from cnnviz.recording.database import THINNED
from cnnviz.recording.folder_store import FolderStore
from cnnviz.recording.lock import writer_lives
from cnnviz.recording.store import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from cnnviz.recording.layout import Layout

_TAKEN = "a repair moves it to damaged/"


def check_run(path: str | PathLike[str], progress: Progress | None = None) -> Report:
    """Read all of a run and say what is wrong; nothing is changed, and it may be written meanwhile.

    Args:
        path: The run's folder.
        progress: Is told how many snapshots are read, and how many there are.

    Raises:
        RunError: If there is no run, or an archive, or it is of a later format; and if its database can't be read
            for what is no damage, as another program has locked it.
    """
    layout = layout_of(path)
    lives = writer_lives(layout.lock)
    report = _check(layout, lives=lives, progress=progress)
    if not lives and writer_lives(layout.lock):  # it was resumed meanwhile: what was on its way is no damage
        report = _check(layout, lives=True, progress=progress)
    return report


def _check(layout: Layout, *, lives: bool, progress: Progress | None) -> Report:
    begins = lives and not os.path.lexists(layout.manifest)
    files = survey(layout)
    if files.forbidden:
        return Report(str(layout.root), _forbidden(files), (), 0, 0, 0)
    index = Index([]) if begins else read_index(layout)
    found = judge(layout, index.entries, files, lives=lives, progress=progress)
    telling = _Telling(layout, index, found, [], [])
    if not begins:
        telling.contents()
    telling.snapshots()
    if not lives:
        telling.orphans()
        telling.leftovers(files)
    telling.names(files)
    telling.circumstances()
    return Report(
        str(layout.root),
        tuple(telling.findings),
        tuple(telling.notes),
        len(found.whole),
        index.metrics,
        found.bytes,
    )


@dataclass
class _Telling:
    """Puts what was found into words."""

    layout: Layout
    index: Index
    found: Judgement
    findings: list[Finding]
    notes: list[Finding]

    def contents(self) -> None:
        """Tell of what lies beside the snapshots."""
        layout = self.layout
        self._problem(
            "manifest", layout.manifest, manifest_problem(layout), "a repair makes it anew from the rest"
        )
        self._problem("database", layout.database, self.index.problem, self._database_way_out())
        self._problem("lock", layout.lock, note_problem(layout), "a repair empties it")
        self._problem("samples", layout.samples, samples_problem(layout), samples_way_out(layout))
        self._problem("checkpoint", layout.checkpoint, checkpoint_problem(layout), _TAKEN)

    def _database_way_out(self) -> str:
        if not os.path.lexists(self.layout.database):
            return "put it back if you have it; a repair makes its index anew, but the metrics are gone"
        return "a repair keeps what of it can be read, and makes the index anew from the snapshots"

    def snapshots(self) -> None:
        """Tell of snapshots in the index that are not whole."""
        found, layout = self.found, self.layout
        for part, (problem, steps) in sorted(found.parts.items()):
            words = f"{problem}: {span(steps)} can't be read"
            self._wrong("part", layout.part(part), words, "a repair moves it and them to damaged/")
        for step, problem in found.damaged.items():
            self._wrong("snapshot", layout.snapshot(step), f"{problem}; only {span([step])} is lost", _TAKEN)
        if found.absent:
            words = f"{layout.snapshot(found.absent[0])} {_more(len(found.absent))} not there: {span(found.absent)}"
            words += " can't be read"
            way_out = "put the files back if you have them; a repair takes them out of the index"
            self._wrong("absent", layout.snapshot(found.absent[0]), words, way_out)
        for step in found.misindexed:
            words = f"{layout.database} holds a damaged digest of {span([step])}, which is whole"
            self._wrong("index", layout.snapshot(step), words, "a repair writes the digest anew")

    def orphans(self) -> None:
        """Tell of snapshots that are not in the index; the last of a writer that died is no damage."""
        for step, problem in self.found.torn.items():
            words = problem if self.index.problem else f"{problem}; it is not in the index, either"
            self._wrong("orphan", self.layout.snapshot(step), words, _TAKEN)
        if self.index.problem:  # what is not in an index that can't be read may well have been
            return
        state = self._state()
        died = state.get("status") == "interrupted"
        for step in self.found.orphans:
            path = self.layout.snapshot(step)
            words = f"{path} is whole, but {span([step])} is not in the index"
            finding = Finding("orphan", path, words, "a repair puts it into the index")
            left = died and (step >= self.index.last or THINNED in state)
            (self.notes if left else self.findings).append(finding)

    def leftovers(self, files: Survey) -> None:
        """Tell of what a writer that died left behind, which is no damage."""
        for path in files.temporaries:
            words = f"{path} was being written when its writer died"
            self.notes.append(Finding("temporary", path, words, "a repair removes it"))
        for part in self.found.unneeded:
            path = self.layout.part(part)
            words = f"{path} is needed by no snapshot that can be read"
            self.notes.append(Finding("unneeded", path, words, _TAKEN))

    def names(self, files: Survey) -> None:
        """Tell of links and of files that are none of cnnviz's."""
        told = {finding.path for finding in self.findings}
        for path in files.wrong:
            if path not in told:
                self._wrong(
                    "link", path, f"{path} is a link, or no plain file or folder: it is not read", _TAKEN
                )
        for path in files.misplaced:
            self._wrong("foreign", path, f"{path} is none of cnnviz's files", _TAKEN)
        for path in files.strangers:
            self.notes.append(
                Finding("foreign", path, f"{path} is none of cnnviz's files", "it is left alone")
            )

    def circumstances(self) -> None:
        """Tell of what is missing, how the run stands, and of earlier repairs."""
        layout = self.layout
        missing = self._missing()
        for first, last, count in missing.spans:
            steps = f"step {first}" if count == 1 else f"steps {first} to {last} ({count})"
            words = f"snapshots at {steps} could not be written: {missing.reason}"
            self.notes.append(Finding("missing", layout.snapshots, words, "nothing can bring them back"))
        state = self._state()
        if state.get("status") == "interrupted":
            words = f"{layout.root} was interrupted after step {self.index.last}, which damages nothing"
            if state.get("detail") == ENDING_LOST:
                words = f"{layout.root} counts as interrupted after step {self.index.last}: {ENDING_LOST}"
            self.notes.append(Finding("interrupted", layout.root, words, "its training may go on from there"))
        if layout.damaged.is_dir() and not layout.damaged.is_symlink() and any(layout.damaged.iterdir()):
            words = f"{layout.damaged} holds what earlier repairs took away"
            self.notes.append(Finding("damaged", layout.damaged, words, "delete it once you don't need it"))

    def _state(self) -> Mapping[str, str]:
        try:
            return FolderStore(self.layout.root).state()
        except RunError:  # told above
            return {}

    def _missing(self) -> Missing:
        try:
            return FolderStore(self.layout.root).missing()
        except RunError:  # told above
            return Missing()

    def _problem(self, kind: Kind, path: Path, problem: str, way_out: str) -> None:
        if problem:
            self._wrong(kind, path, problem, way_out)

    def _wrong(self, kind: Kind, path: Path, words: str, way_out: str) -> None:
        self.findings.append(Finding(kind, path, words, way_out))


def _forbidden(files: Survey) -> tuple[Finding, ...]:
    """Return a finding for each file that may not be read; nothing is told of the others until they may."""
    return tuple(
        Finding("forbidden", path, f"{path} may not be read by this user", f"allow it: chmod u+r {path}")
        for path in files.forbidden
    )


def _more(count: int) -> str:
    return "is" if count == 1 else f"and {count - 1} more are"
