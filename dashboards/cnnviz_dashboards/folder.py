"""The folder of runs that a dashboard shows; nothing outside it can be reached by a name."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.run import Run, open_run, run_paths

if TYPE_CHECKING:
    from os import PathLike


class RunFolder:
    """Opens the runs that lie directly under one folder, each once."""

    def __init__(self, root: str | PathLike[str]) -> None:
        self.root = Path(root)
        self._lock = threading.Lock()
        self._open: dict[str, Run] = {}

    def paths(self) -> list[Path]:
        """Return the folders of the runs, also of those that can't be opened, by name."""
        return run_paths(self.root)

    def open(self, name: str) -> Run:
        """Return the run called `name`; the same object as before, unless another run took its name.

        Raises:
            RunError: If there is no such run here, or it can't be opened.
        """
        if name in ("", ".", "..") or Path(name).name != name:
            raise RunError(f"there is no run {name!r} here")
        path = self.root / name
        if not path.is_dir() or path.resolve().parent != self.root.resolve():
            raise RunError(f"there is no run {name!r} here; the start page lists those that there are")
        fresh = open_run(path)
        with self._lock:
            known = self._open.get(name)
            if known is None or known.manifest.id != fresh.manifest.id:
                self._open[name] = known = fresh
            return known
