"""The names of everything inside a run's folder; no other module knows them."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
"""The version of the layout; a reader refuses a run of a later one."""

_PART = re.compile(r"(shared|linked)/[0-9]{8,19}(-[0-9]{1,6})?\.safetensors")
_SNAPSHOT = re.compile(r"([0-9]{8,19})\.safetensors")


class Layout:
    """The paths inside one run's folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.manifest = self.root / "run.json"
        self.database = self.root / "run.db"
        self.samples = self.root / "samples.safetensors"
        self.snapshots = self.root / "snapshots"
        self._snapshots = f"{self.snapshots}{os.sep}"
        self.shared = self.root / "shared"
        self.linked = self.root / "linked"
        self.checkpoint = self.root / "resume.safetensors"
        self.lock = self.root / "writer.lock"

    def snapshot(self, step: int) -> Path:
        """Return where the snapshot of `step` lies."""
        return self.snapshots / self.snapshot_name(step)

    def snapshot_text(self, step: int) -> str:
        """Return `snapshot` as text: making many paths takes longer than opening the files."""
        return self._snapshots + self.snapshot_name(step)

    def snapshot_name(self, step: int) -> str:
        """Return the name of the file of the snapshot of `step`, without its folder."""
        return f"{step:08d}.safetensors"

    def step_of(self, path: Path) -> int | None:
        """Return the step whose snapshot `path` is; None if it is none."""
        match = _SNAPSHOT.fullmatch(path.name)
        step = int(match[1]) if match else None
        return step if step is not None and self.snapshot(step).name == path.name else None

    def shared_part(self, step: int) -> str:
        """Return the name of the file for tensors that snapshots from `step` on share."""
        return f"shared/{step:08d}.safetensors"

    def linked_part(self, step: int, number: int) -> str:
        """Return the name of an imported file of the snapshot at `step`."""
        return f"linked/{step:08d}-{number}.safetensors"

    def part(self, name: str) -> Path:
        """Return where a file lies that a snapshot names.

        Raises:
            RunError: If it is no name that cnnviz gives: it could lead out of the folder.
        """
        if not _PART.fullmatch(name):
            raise RunError(f"{self.root} is damaged: a snapshot names the file {name!r}")
        return self.root / name

    def part_name(self, path: Path) -> str | None:
        """Return the name by which snapshots know the file `path`; None if it is no part of snapshots."""
        name = f"{path.parent.name}/{path.name}"
        return name if path.parent.parent == self.root and _PART.fullmatch(name) else None

    @property
    def damaged(self) -> Path:
        """Where repairs put what they take away."""
        return self.root / "damaged"

    @property
    def database_files(self) -> tuple[Path, ...]:
        """The database, and what SQLite keeps beside it."""
        ends = ("", "-wal", "-shm", "-journal")
        return tuple(self.database.with_name(self.database.name + end) for end in ends)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that may lie directly in the folder."""
        return (self.manifest, self.samples, self.checkpoint, self.lock, *self.database_files)

    def is_temporary(self, path: Path) -> bool:
        """Say whether `path` is what `write_whole` writes before it renames it."""
        whole = path.with_name(path.name.removesuffix(".tmp"))
        if whole == path:
            return False
        in_snapshots = path.parent == self.snapshots and self.step_of(whole) is not None
        return whole in self.files or in_snapshots or self.part_name(whole) is not None


def is_run(path: Path) -> bool:
    """Say whether `path` is the folder of a run."""
    return Layout(path).manifest.is_file()


def require_regular(path: Path) -> None:
    """Raise unless `path` is a plain file in a real folder: reading must never follow a run's links, or wait.

    Raises:
        RunError: If it is absent, a link, a pipe or the like.
    """
    require_file(path)
    if path.parent.name in ("snapshots", "shared", "linked"):
        require_folder(path.parent)


def require_file(path: Path | str) -> None:
    """Raise unless `path` is a plain file, in whatever folder.

    Raises:
        RunError: If it is absent, a link, a pipe or the like.
    """
    if not stat.S_ISREG(_mode(path)):
        raise RunError(f"{path} is damaged: it is a link, or no plain file")


def require_folder(path: Path) -> None:
    """Raise if a folder of a run is a link.

    Raises:
        RunError: If it is one, or absent.
    """
    if stat.S_ISLNK(_mode(path)):
        raise RunError(f"{path} is damaged: it is a link, which could lead anywhere")


def _mode(path: Path | str) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read: {error}") from error


def write_whole(path: Path, parts: Iterable[bytes | memoryview], *, durable: bool) -> None:
    """Write `parts` so that `path` never exists in part: under a temporary name, closed, then renamed.

    Args:
        path: Where the data shall lie.
        parts: The data, piece by piece.
        durable: Whether to force it to the disk before returning, against a loss of power.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C, too
        with contextlib.suppress(OSError):  # a full disk has no room for half a file
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
