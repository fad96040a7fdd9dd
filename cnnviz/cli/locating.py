"""Finding the run, or the folder of runs, that the command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.archives import is_archive
from cnnviz.recording.layout import is_run

if TYPE_CHECKING:
    from cnnviz.recording.rebuild import ModelSource
    from cnnviz.recording.run import Run

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
    folder = path if path.is_dir() else RUNS
    known = ", ".join(run.name for run in run_paths(folder)) if folder.is_dir() else ""
    hint = f"the runs under {folder} are {known}" if known else "train one with: cnnviz train"
    problem = (
        f"{path} is not a run" if path.exists() else f"there is no run {text!r}, at that path or under {RUNS}"
    )
    raise RunError(f"{problem}; {hint}")


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
