"""Reading the state of each snapshot whole, for its digest; files that many share are read once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cnnviz.errors import CnnvizError
from cnnviz.recording.digest import state_digest, tensor_digest
from cnnviz.recording.snapshot_files import read_places
from cnnviz.recording.tensors import opened

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.recording.layout import Layout
    from cnnviz.recording.snapshot_files import Place


class Reading(NamedTuple):
    """What a snapshot's files gave.

    Attributes:
        step: The step.
        digest: The digest of its state; "" if it can't be read.
        places: Where those of its tensors lie that are not in its own file.
        bytes: What its own file and those that it links take.
        problem: Why it can't be read; "" if it can.
        absent: Whether that is because its own file is not there.
        part: The file that is to blame, where it is not its own.
    """

    step: int
    digest: str = ""
    places: frozenset[Place] = frozenset()
    bytes: int = 0
    problem: str = ""
    absent: bool = False
    part: str = ""


class States:
    """Reads the snapshots of one run.

    Attributes:
        bytes: How many bytes of tensors were read.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._parts: dict[str, dict[str, bytes] | str] = {}
        self._used: dict[frozenset[Place], frozenset[Place]] = {}
        self.bytes = 0

    def forget(self) -> None:
        """Read shared files anew from now on, as the writer may have changed them."""
        self._parts.clear()

    def read(self, step: int) -> Reading:
        """Return what the files of the snapshot at `step` give; never raises for what is wrong with them."""
        path = self._layout.snapshot(step)
        try:
            own, places = self._own(path)
        except CnnvizError as error:
            absent = path.parent.is_symlink() or not os.path.lexists(path)
            return Reading(step, problem=str(error), absent=absent)
        digests = {}
        used = frozenset(places.values())
        used = self._used.setdefault(used, used)  # most snapshots share the same: kept once
        for name, (part, stored) in places.items():
            content = self._part(part)
            if content is None:
                return Reading(step, problem=f"{path} is damaged: it names the file {part!r}")
            if isinstance(content, str):
                return Reading(step, places=used, problem=content, part=part)
            if stored not in content:
                problem = f"{path} is damaged: it names the tensor {stored!r} in {part}, which isn't there"
                return Reading(step, places=used, problem=problem)
            digests[name] = content[stored]
        return Reading(step, state_digest(digests | own), used, self._bytes(path, used))

    def _own(self, path: Path) -> tuple[dict[str, bytes], dict[str, Place]]:
        digests = {}
        with opened(path) as file:
            for name in list(file.keys()):
                tensor = file.get_tensor(name)
                self.bytes += tensor.nbytes
                digests[name] = tensor_digest(tensor)
            return digests, read_places(file, path)

    def _part(self, name: str) -> dict[str, bytes] | str | None:
        """Return digests by name of what is in a shared file; why it can't be read; None for a name of no such file."""
        if name not in self._parts:
            try:
                path = self._layout.part(name)
            except CnnvizError:
                return None
            try:
                self._parts[name] = self._own(path)[0]
            except CnnvizError as error:
                self._parts[name] = str(error)
        return self._parts[name]

    def _bytes(self, path: Path, places: frozenset[Place]) -> int:
        linked = {self._layout.part(part) for part, _ in places}
        files = [path, *(part for part in linked if part.parent == self._layout.linked)]
        try:
            return sum(file.stat().st_size for file in files)
        except OSError:  # thinned out since
            return 0
