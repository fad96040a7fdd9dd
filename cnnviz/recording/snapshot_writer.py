"""Storing once what does not change: frozen tensors lie in files that many snapshots share.

The first snapshot's file holds all of it. When a later one finds tensors that did not change since the last, these
go into a file of their own, which both then name: so a damaged snapshot never costs another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnnviz.recording.digest import raw_digest, state_digest
from cnnviz.recording.encoding import encode_tensors, raw_tensor
from cnnviz.recording.layout import write_whole
from cnnviz.recording.snapshot_files import Place, SnapshotFiles, places_text, read_places
from cnnviz.recording.tensors import opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from cnnviz.recording.encoding import Raw
    from cnnviz.recording.layout import Layout

# Less than this is not worth a file of its own, nor the reading of one.
_LEAST_BYTES = 4096


class Written(NamedTuple):
    """A snapshot that lies on the disk, but is in no index yet."""

    step: int
    bytes: int
    digest: str


class SnapshotWriter:
    """Writes the snapshots of one run, one after the other."""

    def __init__(self, layout: Layout, *, durable: bool) -> None:
        self._layout = layout
        self._durable = durable
        self._step = -1
        self._digests: dict[str, bytes] = {}
        self._places: dict[str, Place] = {}
        self._to_slim: tuple[int, dict[str, Place]] | None = None
        self.shared_bytes = 0

    @property
    def parts(self) -> set[str]:
        """The files, beside its own, in which tensors of the last snapshot lie."""
        return {part for part, _ in self._places.values()}

    def restore(self, step: int) -> None:
        """Go on after the snapshot at `step`, which lies there already.

        Raises:
            RunError: If it is damaged.
        """
        files = SnapshotFiles(self._layout)
        self._digests = {name: raw_digest(raw_tensor(name, t)) for name, t in files.read(step).items()}
        self._places = files.places(step)
        self._step = step
        shared = self._layout.shared
        self.shared_bytes = sum(path.stat().st_size for path in shared.iterdir()) if shared.is_dir() else 0

    def write(self, step: int, state: Mapping[str, Tensor]) -> Written:
        """Write the snapshot of `step`.

        Raises:
            ModelError: If it holds a tensor that can't be recorded.
            OSError: If the disk can't take it.
        """
        raws = {name: raw_tensor(name, tensor) for name, tensor in state.items()}
        digests = {name: raw_digest(raw) for name, raw in raws.items()}
        same = {name for name, digest in digests.items() if self._digests.get(name) == digest}
        places = {name: self._places[name] for name in same if name in self._places}
        fresh = self._share(step, {name: raws[name] for name in same if name not in places})
        places |= fresh
        own = {name: raw for name, raw in raws.items() if name not in places}
        size = self._write(self._layout.snapshot(step), own, places)
        if fresh:
            self._to_slim = (self._step, fresh)
        self._step, self._digests, self._places = step, digests, places
        return Written(step, size, state_digest(digests))

    def slim(self) -> tuple[int, int] | None:
        """Take what became shared out of the snapshot before; to be called once the new one is in the index.

        Returns:
            Its step and its new size in bytes; None if there is nothing to do.

        Raises:
            OSError: If the disk can't take it.
            RunError: If that snapshot is damaged or gone.
        """
        if self._to_slim is None:
            return None
        (step, fresh), self._to_slim = self._to_slim, None
        path = self._layout.snapshot(step)
        with opened(path) as file:
            own = [name for name in list(file.keys()) if name not in fresh]
            kept = {name: raw_tensor(name, file.get_tensor(name)) for name in own}
            places = read_places(file, path) | fresh
        return step, self._write(path, kept, places)

    def link(self, step: int, files: list[Path], names: Mapping[str, tuple[int, str]]) -> Written:
        """Make a snapshot of tensors in safetensors files that lie elsewhere, as hard links.

        Raises:
            OSError: If no such link can be made, as to another file system.
            RunError: If a file is damaged.
        """
        self._layout.linked.mkdir(exist_ok=True)
        parts = [self._layout.linked_part(step, number) for number in range(len(files))]
        for part, file in zip(parts, files, strict=True):
            target = self._layout.part(part)
            target.unlink(missing_ok=True)
            target.hardlink_to(file)
        places = {name: (parts[number], stored) for name, (number, stored) in names.items()}
        path = self._layout.snapshot(step)
        size = self._write(path, {}, places) + sum(file.stat().st_size for file in files)
        state = SnapshotFiles(self._layout).read(step)
        self._step, self._places = step, places
        self._digests = {name: raw_digest(raw_tensor(name, tensor)) for name, tensor in state.items()}
        return Written(step, size, state_digest(self._digests))

    def _share(self, step: int, raws: Mapping[str, Raw]) -> dict[str, Place]:
        """Write tensors that did not change since the last snapshot into a file to share; return where they lie."""
        if sum(len(raw.data) for raw in raws.values()) < _LEAST_BYTES:
            return {}
        part = self._layout.shared_part(step)
        self._layout.shared.mkdir(exist_ok=True)
        self.shared_bytes += self._write(self._layout.part(part), raws, {})
        return {name: (part, name) for name in raws}

    def _write(self, path: Path, raws: Mapping[str, Raw], places: Mapping[str, Place]) -> int:
        parts = encode_tensors(raws, places_text(places))
        write_whole(path, parts, durable=self._durable)
        return sum(len(part) for part in parts)
