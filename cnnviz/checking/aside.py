"""Taking things out of a run without losing them: each repair has a folder of its own (damaged/1, damaged/2)."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.layout import Layout


class Aside:
    """Where one repair puts what it takes away, and writes down what it did.

    Attributes:
        folder: The folder; None until something lies in it.
        actions: What was done so far, a sentence each.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.folder: Path | None = None
        self.actions: list[str] = []

    def take(self, path: Path) -> None:
        """Move what lies at `path`, be it a link or a folder."""
        shutil.move(path, self._free(path))

    def copy(self, path: Path) -> None:
        """Copy the file at `path`."""
        shutil.copy2(path, self._free(path))

    def did(self, action: str, detail: str = "") -> None:
        """Write down what was done.

        Args:
            action: A sentence, for people.
            detail: What only the file beside the things shall tell, and must not be lost.
        """
        self.actions.append(action)
        if detail:
            self._made()
        if self.folder is not None:
            with (self.folder / "repair.txt").open("a", encoding="utf-8") as file:
                file.write(f"{action}\n{detail}\n" if detail else f"{action}\n")

    def make_room(self) -> None:
        """Put what has the name of the folder for damaged things, but is none, into one."""
        path = self._layout.damaged
        if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink()):
            return
        other = path.with_name(f"{path.name}~")
        while os.path.lexists(other):
            other = other.with_name(f"{other.name}~")
        path.rename(other)
        path.mkdir()
        other.rename(path / path.name)

    def _free(self, path: Path) -> Path:
        """Return where what lies at `path` shall go: its place in the run, inside our folder."""
        target = self._made() / path.relative_to(self._layout.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        while os.path.lexists(target):
            target = target.with_name(f"{target.name}~")
        return target

    def _made(self) -> Path:
        if self.folder is None:
            self.make_room()
            damaged = self._layout.damaged
            damaged.mkdir(exist_ok=True)
            number = 1
            while os.path.lexists(damaged / str(number)):
                number += 1
            self.folder = damaged / str(number)
            self.folder.mkdir()
        return self.folder
