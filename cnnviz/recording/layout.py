"""The names of everything inside a run's folder; no other module knows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
"""The version of the layout; a reader refuses a run of a later one."""


class Layout:
    """The paths inside one run's folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.manifest = self.root / "run.json"
        self.database = self.root / "run.db"
        self.samples = self.root / "samples.safetensors"
        self.snapshots = self.root / "snapshots"
        self.checkpoint = self.root / "resume.safetensors"
        self.lock = self.root / "writer.lock"

    def snapshot(self, step: int) -> Path:
        """Return where the snapshot of `step` lies."""
        return self.snapshots / f"{step:08d}.safetensors"


def is_run(path: Path) -> bool:
    """Say whether `path` is the folder of a run."""
    return Layout(path).manifest.is_file()


def write_whole(path: Path, parts: Iterable[bytes | memoryview], *, durable: bool) -> None:
    """Write `parts` so that `path` never exists in part: under a temporary name, closed, then renamed.

    Args:
        path: Where the data shall lie.
        parts: The data, piece by piece.
        durable: Whether to force it to the disk before returning, against a loss of power.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.writelines(parts)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
