"""The folder of runs that a dashboard shows; nothing outside it can be reached by a name."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.run import Run, open_run, run_paths

if TYPE_CHECKING:
    from os import PathLike

    from cnnviz.recording.rebuild import ModelSource


class RunFolder:
    """Opens the runs that lie directly under one folder, each once."""

    def __init__(self, root: str | PathLike[str], model: ModelSource = None) -> None:
        """Look at the runs under `root`.

        Args:
            root: The folder that holds the runs.
            model: What makes the network of those runs whose network is a class of the user's own.
        """
        self.root = Path(root)
        self._model = model
        self._lock = threading.Lock()
        self._open: dict[str, Run] = {}

    def paths(self) -> list[Path]:
        """Return the folders of the runs, also of those that can't be opened, by name."""
        return [path for path in run_paths(self.root) if self._is_inside(path)]

    def open(self, name: str) -> Run:
        """Return the run called `name`; the same object as before, unless another run took its name.

        Raises:
            RunError: If there is no such run here, or it can't be opened.
        """
        if name in ("", ".", "..") or Path(name).name != name:
            raise RunError(f"there is no run {name!r} here")
        path = self.root / name
        if not self._is_inside(path):
            raise RunError(f"there is no run {name!r} here; the start page lists those that there are")
        fresh = open_run(path)
        with self._lock:
            known = self._open.get(name)
            if known is None or known.manifest.id != fresh.manifest.id:
                own = fresh.manifest.description.model is None
                self._open[name] = known = open_run(path, self._model) if own else fresh
            return known

    def _is_inside(self, path: Path) -> bool:
        """Say whether `path` is a folder directly under the root, also where it is a link."""
        try:
            return path.is_dir() and path.resolve().parent == self.root.resolve()
        except (OSError, ValueError):  # a name that no file can have
            return False
