"""Finding the run, or the folder of runs, that the command line names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.archives import is_archive
from cnnviz.recording.layout import Layout, is_run

if TYPE_CHECKING:
    import os

    from cnnviz.recording.rebuild import ModelSource
    from cnnviz.recording.run import Run

# What stands behind the path of a part of a run that can't be read.
_DAMAGED = (" is not there", " can't be read", " is damaged", " does not hold what was recorded")

RUNS = Path("runs")
"""Where runs lie unless the user says otherwise."""


def find_run(text: str, model: ModelSource = None) -> Run:
    """Open the run, packed or not, at the path or URL `text`, or of that name under ./runs.

    Raises:
        RunError: If there is none; the message lists those there are.
    """
    from cnnviz.recording.run import open_run, run_paths

    path = Path(text).expanduser()
    places = [text] if "://" in text else [path, RUNS / text, RUNS / f"{text}.zarr"]
    for candidate in places:
        if is_archive(candidate) or is_run(Path(candidate)):
            return open_run(candidate, model)
    for candidate in (path, RUNS / text):
        if problem := lost_manifest(candidate):
            raise RunError(problem)
    folder = path if path.is_dir() else RUNS
    known = ", ".join(run.name for run in run_paths(folder)) if folder.is_dir() else ""
    hint = f"the runs under {folder} are {known}" if known else "train one with: cnnviz train"
    problem = (
        f"{path} is not a run" if path.exists() else f"there is no run {text!r}, at that path or under {RUNS}"
    )
    raise RunError(f"{problem}; {hint}")


def lost_manifest(path: Path) -> str:
    """Return that and why `path` can't be opened, though it holds a run's database or snapshots; "" if neither."""
    from cnnviz.recording.lock import writer_lives

    layout = Layout(path)
    if is_run(path) or not (layout.database.is_file() or _holds_snapshots(layout)):
        return ""
    if is_archive(path) or writer_lives(layout.lock):  # a recording that just begins has none yet
        return ""
    return f"{layout.manifest} is missing; mend it with: {repair_command(path)}"


def damaged_part(message: str) -> Path | None:
    """Return the folder of the run that an error's message tells damage of; None if it does not."""
    from cnnviz.checking.folder import looks_like_run

    for words in _DAMAGED:
        head, found, _ = message.partition(words)
        path = Path(head)
        if not found:
            continue
        for root in (path, path.parent, path.parent.parent):
            if looks_like_run(root):
                return root
    return None


def repair_command(run: str | os.PathLike[str]) -> str:
    """Return the command that mends the run at a path."""
    return f"cnnviz check {shlex.quote(str(run))} --repair"


def _holds_snapshots(layout: Layout) -> bool:
    try:
        return any(layout.step_of(path) is not None for path in layout.snapshots.iterdir())
    except OSError:
        return False


def find_root(path: Path) -> Path:
    """Return the folder of runs at `path`; of a single run, the folder that it lies in.

    Raises:
        RunError: If there is no folder.
    """
    path = path.expanduser()
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise RunError(
            f"{path} {problem}; train first (cnnviz train), or name the folder that holds your runs"
        )
    if not is_run(path):
        return path
    return path.parent if path.name not in ("", "..") else path.resolve().parent
