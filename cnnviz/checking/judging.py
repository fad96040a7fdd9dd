"""The index against the files: which snapshots are whole, and what is to blame where one is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cnnviz.checking.states import Reading, States
from cnnviz.errors import RunError
from cnnviz.recording.database_reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnviz.checking.folder import Survey
    from cnnviz.checking.report import Progress
    from cnnviz.recording.layout import Layout
    from cnnviz.recording.snapshot_files import Place
    from cnnviz.recording.store import Entry

# Digests of different states agree in 2 of 32 digits; more than half can only be one digest that was damaged.
_ALIKE = 16
# How often a snapshot is looked at again that a living writer may have changed in between.
_ATTEMPTS = 3


@dataclass
class Judgement:
    """The snapshots of a run by what became of them.

    Attributes:
        whole: Those that hold what was recorded.
        misindexed: Those that are whole, though the digest in the index is damaged.
        absent: Those in the index whose file isn't there.
        damaged: Step to what is wrong with the snapshot's own file.
        parts: Name of a damaged shared file to what is wrong with it and the steps that it costs.
        orphans: Snapshots that are not in the index, but whole as far as can be known.
        torn: Step of a snapshot that is not in the index and can't be read, to the problem.
        unneeded: Shared files that no snapshot needs that can be read.
        bytes: How many bytes were read.
    """

    whole: dict[int, Reading] = field(default_factory=dict)
    misindexed: dict[int, Reading] = field(default_factory=dict)
    absent: list[int] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, list[int]]] = field(default_factory=dict)
    orphans: dict[int, Reading] = field(default_factory=dict)
    torn: dict[int, str] = field(default_factory=dict)
    unneeded: list[str] = field(default_factory=list)
    bytes: int = 0

    @property
    def kept(self) -> dict[int, Reading]:
        """All snapshots that can be read and hold what was recorded, by step."""
        return dict(sorted((self.whole | self.misindexed | self.orphans).items()))

    @property
    def lost(self) -> list[int]:
        """The steps of all snapshots in the index that are none any more, rising."""
        by_parts = [step for _, steps in self.parts.values() for step in steps]
        return sorted([*self.absent, *self.damaged, *by_parts])


def judge(
    layout: Layout, entries: Sequence[Entry], files: Survey, *, lives: bool, progress: Progress | None = None
) -> Judgement:
    """Read all snapshots and compare them with the index.

    Args:
        layout: The run.
        entries: The index.
        files: What lies there.
        lives: Whether a writer is at it: then what isn't in the index is not looked at, as it may be on its way.
        progress: Is told how far it is.
    """
    states = States(layout)
    found = Judgement()
    indexed = {entry.step for entry in entries}
    others = [] if lives else [step for step in files.steps if step not in indexed]
    total = len(entries) + len(others)
    tell = progress or (lambda done, total: None)
    altered = []
    for number, entry in enumerate(entries):
        tell(number, total)
        pair = _read_anew(entry, states, layout) if lives else (entry, states.read(entry.step))
        if pair is not None and not _sort_indexed(*pair, found):
            altered.append(pair[1])
    for number, step in enumerate(others, len(entries)):
        tell(number, total)
        _sort_orphan(states.read(step), found)
    tell(total, total)
    _blame(altered, found, layout)
    if not lives:
        needed = {part for reading in [*found.kept.values(), *altered] for part, _ in reading.places}
        found.unneeded = [part for part in files.parts if part not in needed | found.parts.keys()]
    found.bytes = states.bytes
    return found


def _read_anew(entry: Entry, states: States, layout: Layout) -> tuple[Entry, Reading] | None:
    """Read a snapshot that its writer may change; None if it was thinned out."""
    reader = Reader(layout.database)
    reading = states.read(entry.step)
    for _ in range(_ATTEMPTS):
        if reading.digest == entry.digest:
            break
        try:
            again = reader.entries(np.array([entry.step]))
        except RunError:  # told where the database is looked at
            break
        if not again:
            return None
        entry = again[0]
        states.forget()
        reading = states.read(entry.step)
    return entry, reading


def _sort_indexed(entry: Entry, reading: Reading, found: Judgement) -> bool:
    """Sort a snapshot in; return False if it can be read, but holds something else than was recorded."""
    step = entry.step
    if reading.absent:
        found.absent.append(step)
    elif reading.part:
        found.parts.setdefault(reading.part, (reading.problem, []))[1].append(step)
    elif reading.problem:
        found.damaged[step] = reading.problem
    elif reading.digest == entry.digest:
        found.whole[step] = reading
    elif is_slip(entry.digest, reading.digest):
        found.misindexed[step] = reading
    else:
        return False
    return True


def _sort_orphan(reading: Reading, found: Judgement) -> None:
    if reading.absent:  # went since the folder was listed
        return
    if reading.problem:
        found.torn[reading.step] = reading.problem
    else:
        found.orphans[reading.step] = reading


def is_slip(recorded: str, computed: str) -> bool:
    """Say whether a recorded digest that is not the computed one was damaged itself."""
    return sum(a == b for a, b in zip(recorded, computed, strict=True)) > _ALIKE


def _blame(altered: Sequence[Reading], found: Judgement, layout: Layout) -> None:
    """Say for snapshots that hold something else than was recorded whether a shared file is to blame.

    That is a file with a tensor that several of them name, and no snapshot that is whole.
    """
    good: set[Place] = {place for reading in found.kept.values() for place in reading.places}
    uses = Counter(place for reading in altered for place in reading.places - good)
    for reading in altered:
        parts = sorted({part for part, stored in reading.places if uses[part, stored] > 1})
        if parts:
            problem = f"{layout.part(parts[0])} does not hold what was recorded"
            found.parts.setdefault(parts[0], (problem, []))[1].append(reading.step)
        else:
            path = layout.snapshot(reading.step)
            found.damaged[reading.step] = f"{path} does not hold what was recorded: its digest is another"
