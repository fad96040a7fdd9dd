"""What lies beside the snapshots, and what is wrong with it: run.json, the database, checkpoint, note."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnviz.checking.sqlite import is_passing, structure_problem
from cnnviz.errors import CnnvizError, RunError
from cnnviz.recording.checkpoint import read_checkpoint
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.folder_store import FolderStore
from cnnviz.recording.lock import read_note
from cnnviz.recording.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnviz.recording.layout import Layout
    from cnnviz.recording.store import Entry


class Index(NamedTuple):
    """What the database gave.

    Attributes:
        entries: The index of snapshots.
        metrics: How many values of metrics there are.
        last: The last step with anything.
        problem: What is wrong with it; "" if nothing.
    """

    entries: list[Entry]
    metrics: int = 0
    last: int = -1
    problem: str = ""


def read_index(layout: Layout) -> Index:
    """Read the whole database.

    Raises:
        RunError: If it can't be read for what is no damage: another program has locked it, or it may not be read.
    """
    reader = Reader(layout.database)
    entries: list[Entry] = []
    metrics, last, problem = 0, -1, ""
    try:
        reader.state()
        problem = structure_problem(layout.database)
        problem = f"{layout.database} is damaged: {problem}" if problem else ""
        entries = reader.entries(reader.steps(np.empty(0, np.int64), "")[0])
        metrics = sum(len(reader.metric(name)[0]) for name in reader.metric_names())
        last = reader.last_step()
        FolderStore(layout.root).examples()
    except RunError as error:
        if is_passing(error):
            raise
        text = str(error)
        problem = problem or (text if str(layout.database) in text else f"{layout.database}: {text}")
    return Index(entries, metrics, last, problem)


def manifest_problem(layout: Layout) -> str:
    """Return what is wrong with run.json; "" if nothing."""
    return _problem(lambda: read_manifest(layout.manifest))


def checkpoint_problem(layout: Layout) -> str:
    """Return what is wrong with the checkpoint; "" if nothing, or there is none."""
    return _problem(lambda: read_checkpoint(layout.root)) if os.path.lexists(layout.checkpoint) else ""


def note_problem(layout: Layout) -> str:
    """Return what is wrong with the note of what is missing; "" if nothing, or there is none."""
    return _problem(lambda: read_note(layout.lock))


def _problem(read: Callable[[], object]) -> str:
    try:
        read()
    except CnnvizError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deeply"
    return ""
