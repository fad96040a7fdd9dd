"""Taking the folder of a run: a new one, one to go on with, or one whose writer died before it was a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.lock import WriterLock
from cnnviz.recording.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.layout import Layout


def begin(layout: Layout, *, resume: bool) -> WriterLock:
    """Make a run's folder, or look that there is one, and take its lock.

    Args:
        layout: The run.
        resume: Go on with the run that is there; otherwise there must be none.

    Raises:
        RunError: If there is a run already, or none to go on with; if another process writes it; if the disk can't
            take it.
    """
    root = layout.root
    exists = RunError(f"{root} exists already: choose another name, or go on with it (resume)")
    if resume:
        read_manifest(layout.manifest)
        for folder in (layout.snapshots, layout.shared, layout.linked):
            if folder.is_symlink():
                raise RunError(f"{folder} is damaged: it is a link, which could lead anywhere")
    elif root.exists() and not _is_free(layout):
        raise exists
    try:
        layout.snapshots.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root} can't be made: {error}") from error
    lock = _lock(layout, keep=resume)
    if not resume:
        if not _is_free(layout):  # another process was quicker, and is done
            lock.release()
            raise exists
        _delete_files(layout)
    return lock


def delete_begun(layout: Layout) -> None:
    """Delete what was made for a run that did not begin, but nothing else."""
    _delete_files(layout)
    layout.lock.unlink(missing_ok=True)
    layout.snapshots.rmdir()
    with contextlib.suppress(OSError):  # there may be something else
        layout.root.rmdir()


def _lock(layout: Layout, *, keep: bool) -> WriterLock:
    try:
        return WriterLock(layout.lock)
    except RunError:
        if not keep and not layout.lock.exists():  # it could not be made; else it is another process's
            with contextlib.suppress(OSError):
                layout.snapshots.rmdir()
        raise


def _is_free(layout: Layout) -> bool:
    """Say whether a folder holds nothing, or only what a writer made that died before there was a run."""
    if not layout.root.is_dir():
        return False
    found = set(layout.root.iterdir())
    if not found <= {layout.snapshots, layout.lock, *_begun_files(layout)}:
        return False
    if layout.snapshots in found and (layout.snapshots.is_symlink() or any(layout.snapshots.iterdir())):
        return False
    try:
        # A run that lost its run.json has something in its database; `check --repair` saves it.
        return layout.database not in found or Reader(layout.database).is_blank()
    except RunError:  # what can't be read could be something
        return False


def _begun_files(layout: Layout) -> list[Path]:
    """Return what may lie there before run.json, which is written last, makes a run of the folder."""
    return [
        layout.samples,
        *layout.database_files,
        *(path.with_name(f"{path.name}.tmp") for path in (layout.samples, layout.manifest)),
    ]


def _delete_files(layout: Layout) -> None:
    for path in (layout.manifest, *_begun_files(layout)):
        path.unlink(missing_ok=True)
