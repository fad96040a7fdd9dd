"""What lies in a run's folder, told apart by name and kind; nothing is opened here, and no link is followed."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.archives import is_archive
from cnnviz.recording.layout import FORMAT, Layout

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path


@dataclass
class Survey:
    """What lies in a run's folder.

    Attributes:
        steps: The steps of the snapshots' files, rising.
        parts: The names of the files that snapshots share or link, sorted.
        wrong: What has a name of cnnviz, but is a link, a folder, a pipe or the like.
        temporaries: Files that were being written when their writer died, or are written now.
        misplaced: What lies among snapshots or shared files under a name that is none of cnnviz's.
        strangers: What lies in the folder itself under a name that is none of cnnviz's.
        forbidden: Files that this user may not read.
    """

    steps: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    wrong: list[Path] = field(default_factory=list)
    temporaries: list[Path] = field(default_factory=list)
    misplaced: list[Path] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)
    forbidden: list[Path] = field(default_factory=list)


def looks_like_run(path: Path) -> bool:
    """Say whether `path` is the folder of a run, be it without its run.json."""
    layout = Layout(path)
    return path.is_dir() and any(
        os.path.lexists(part) for part in (layout.manifest, layout.database, layout.snapshots)
    )


def layout_of(path: str | PathLike[str]) -> Layout:
    """Return the layout of the run at `path`, which may be damaged.

    Raises:
        RunError: If it is no run, an archive, or of a later format than this cnnviz knows.
    """
    if is_archive(path):
        raise RunError(
            f"{path} is a packed run: its snapshots were compared with their digests when it was packed, "
            "and every chunk is compared with its checksum when it is read; check is for folders"
        )
    layout = Layout(path)
    if not looks_like_run(layout.root):
        raise RunError(f"{path} is not a run; cnnviz runs lists those under a folder")
    if _format(layout.manifest) > FORMAT:
        raise RunError(
            f"{layout.manifest} was written in format {_format(layout.manifest)}, but this cnnviz knows formats "
            f"up to {FORMAT}: install a newer cnnviz to check it"
        )
    return layout


def survey(layout: Layout) -> Survey:
    """Return what lies in a run's folder.

    Raises:
        RunError: If a folder can't be read.
    """
    found = Survey()
    for path in _listed(layout.root):
        if path in layout.files:
            _sort(path, found)
        elif path in (layout.snapshots, layout.shared, layout.linked, layout.damaged):
            if not stat.S_ISDIR(path.lstat().st_mode):
                found.wrong.append(path)
        elif layout.is_temporary(path) and _sort(path, found):
            found.temporaries.append(path)
        elif path not in found.wrong:
            found.strangers.append(path)
    for folder in (layout.snapshots, layout.shared, layout.linked):
        if folder not in found.wrong and folder.exists():
            for path in _listed(folder):
                _sort_inner(path, layout, found)
    found.steps.sort()
    return found


def _sort_inner(path: Path, layout: Layout, found: Survey) -> None:
    step = layout.step_of(path) if path.parent == layout.snapshots else None
    part = layout.part_name(path)
    temporary = layout.is_temporary(path)
    if step is None and part is None and not temporary:
        found.misplaced.append(path)
    elif _sort(path, found):
        if temporary:
            found.temporaries.append(path)
        elif step is not None:
            found.steps.append(step)
        elif part is not None:
            found.parts.append(part)


def _sort(path: Path, found: Survey) -> bool:
    """Say whether a file under a name of cnnviz is a plain one; note what is wrong with it."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:  # thinned out, or renamed by its writer, since it was listed
        return False
    if not stat.S_ISREG(mode):
        found.wrong.append(path)
        return False
    if not os.access(path, os.R_OK):
        found.forbidden.append(path)
    return True


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder} can't be read: {error}") from error


def _format(manifest: Path) -> int:
    """Return the format that a run.json tells, 0 if it tells none."""
    try:
        if manifest.is_symlink() or not manifest.is_file():
            return 0
        return int(json.loads(manifest.read_bytes())["format"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return 0
