"""What a check found, and what a repair did, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Progress = Callable[[int, int], None]
"""Is told how many snapshots are read, and how many there are."""

Kind = Literal[
    "manifest",  # run.json is absent or damaged
    "database",  # run.db is
    "lock",  # the note in writer.lock is
    "samples",
    "checkpoint",
    "snapshot",  # a snapshot's file is damaged, or holds something else than was recorded
    "absent",  # files of snapshots are not there
    "part",  # a file that snapshots share is absent or damaged
    "index",  # a snapshot is whole, but its entry in the index is damaged
    "orphan",  # a snapshot that is not in the index
    "unneeded",  # a shared file that no snapshot needs
    "temporary",  # what was being written when the writer died
    "link",  # a link, or something else than a plain file or folder, under a name of cnnviz
    "foreign",  # a file under a name that is none of cnnviz's
    "forbidden",  # a file that this user may not read
    "missing",  # what could not be recorded, as on a full disk
    "interrupted",  # the writer died
    "damaged",  # what earlier repairs took away
]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        kind: What kind of thing.
        path: The file or folder, or one of them.
        words: What is the matter, and what it costs.
        way_out: What can be done.
    """

    kind: Kind
    path: Path
    words: str
    way_out: str


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        location: The run's folder.
        findings: What is wrong.
        notes: What is good to know, but no damage: what an interruption left behind, what could not be recorded,
            files of others.
        snapshots: How many snapshots are whole.
        metrics: How many values of metrics there are.
        bytes: How many bytes of snapshots were read.
    """

    location: str
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    snapshots: int
    metrics: int
    bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        location: The run's folder.
        actions: What was done, a sentence each; empty if there was nothing to do.
        aside: The folder that holds what was taken away; None if nothing was.
    """

    location: str
    actions: tuple[str, ...]
    aside: Path | None


def counted(count: int, thing: str) -> str:
    """Return a number of things in words: "1 snapshot", or "1,200 snapshots"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def span(steps: Sequence[int]) -> str:
    """Return rising steps in words: "snapshot 100", or "snapshots 100 to 900 (9)"."""
    if len(steps) == 1:
        return f"snapshot {steps[0]}"
    return f"snapshots {steps[0]} to {steps[-1]} ({len(steps)})"
