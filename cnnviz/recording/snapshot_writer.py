"""Storing once what does not change: frozen tensors lie in files that many snapshots share.

The first snapshot's file holds all of it. When a later one finds tensors that did not change since the last, these
go into a file of their own, which both then name: so a damaged snapshot never costs another one.

Whenever the writer is killed, what the index names is whole: first comes the shared file, then the new snapshot, then
its row in the index, and only then is taken out of the one before what is shared now.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from cnnviz.errors import RunError
from cnnviz.recording.digest import raw_digest, state_digest
from cnnviz.recording.encoding import encode_tensors, raw_tensor
from cnnviz.recording.layout import sync_folder, write_whole
from cnnviz.recording.snapshot_files import Place, SnapshotFiles, places_text, read_places
from cnnviz.recording.tensors import opened

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from cnnviz.recording.encoding import Raw
    from cnnviz.recording.layout import Layout

# Less than this is not worth a file of its own, nor the reading of one.
_LEAST_BYTES = 4096
_HALF = ".tmp"


class Written(NamedTuple):
    """A snapshot that lies on the disk, but is in no index yet.

    Attributes:
        step: Its step.
        bytes: How many bytes were written for it alone.
        digest: The digest of its state.
        parts: The files, beside its own, in which tensors of it lie.
    """

    step: int
    bytes: int
    digest: str
    parts: frozenset[str]


class Slimmed(NamedTuple):
    """A snapshot out of which was taken what it shares now; its parts and bytes are new."""

    step: int
    bytes: int
    parts: frozenset[str]


class SnapshotWriter:
    """Writes the snapshots of one run, one after the other."""

    def __init__(self, layout: Layout, *, durable: bool) -> None:
        self._layout = layout
        self._durable = durable
        self._step = -1
        self._digests: dict[str, bytes] = {}
        self._places: dict[str, Place] = {}
        self._to_slim: tuple[int, dict[str, Place]] | None = None
        self._unwanted: set[Path] = set()

    def restore(self, step: int) -> None:
        """Go on after the snapshot at `step`, which lies there already; if it is damaged, share nothing with it."""
        files = SnapshotFiles(self._layout)
        with contextlib.suppress(RunError):
            places = files.places(step)
            self._digests = {name: raw_digest(raw_tensor(name, t)) for name, t in files.read(step).items()}
            self._places, self._step = places, step

    def clear(self, known: Container[int], last: int) -> None:
        """Delete what a writer left that was killed: half files, and what never came into the index.

        Args:
            known: The steps in the index.
            last: The last of them.
        """
        layout = self._layout
        half = (
            path.with_name(path.name + _HALF) for path in (layout.manifest, layout.samples, layout.checkpoint)
        )
        left = [path for path in half if path.exists()]
        for path in _files(layout.snapshots):
            step = layout.step_of(path)
            if path.suffix == _HALF or (step is not None and step not in known):
                left.append(path)
        for folder in (layout.shared, layout.linked):
            # What later snapshots need is named for the step of the first of them, whether that is still there or not.
            left += [path for path in _files(folder) if path.suffix == _HALF or _first_step(path) > last]
        for path in left:
            path.unlink(missing_ok=True)

    def write(self, step: int, state: Mapping[str, Tensor]) -> Written:
        """Write the snapshot of `step`, which is later than all others.

        Raises:
            ModelError: If it holds a tensor that can't be recorded.
            OSError: If the disk can't take it; nothing of it stays then.
        """
        raws = {name: raw_tensor(name, tensor) for name, tensor in state.items()}
        digests = {name: raw_digest(raw) for name, raw in raws.items()}
        before = self._digests
        same = [name for name, digest in digests.items() if before.get(name) == digest]
        places = {name: self._places[name] for name in same if name in self._places}
        fresh = self._share(step, {name: raws[name] for name in same if name not in places})
        places |= fresh
        own = {name: raw for name, raw in raws.items() if name not in places} if places else raws
        try:
            size = self._write(self._layout.snapshot(step), own, places)
        except BaseException:
            self._unwanted.update(self._layout.part(part) for part in _parts(fresh))
            self.remove_unwanted()
            raise
        if fresh:
            self._to_slim = (self._step, fresh)
        self._step, self._digests, self._places = step, digests, places
        return Written(step, size, state_digest(digests), _parts(places))

    def slim(self) -> Slimmed | None:
        """Take what became shared out of the snapshot before; to be called once the new one is in the index.

        Returns:
            What became of it; None if there is nothing to do, or that snapshot is damaged or gone.

        Raises:
            OSError: If the disk can't take it.
        """
        if self._to_slim is None:
            return None
        (step, fresh), self._to_slim = self._to_slim, None
        path = self._layout.snapshot(step)
        try:
            with opened(path) as file:
                own = [name for name in list(file.keys()) if name not in fresh]
                kept = {name: raw_tensor(name, file.get_tensor(name)) for name in own}
                places = read_places(file, path) | fresh
        except RunError:
            return None
        return Slimmed(step, self._write(path, kept, places), _parts(places))

    def link(self, step: int, files: Sequence[Path], names: Mapping[str, tuple[int, str]]) -> Written:
        """Make a snapshot of tensors in safetensors files that lie elsewhere, as hard links.

        Raises:
            OSError: If no such link can be made, as to another file system; nothing of it stays then.
            RunError: If a file is damaged; nothing of it stays then.
        """
        self._make(self._layout.linked)
        parts = [self._layout.linked_part(step, number) for number in range(len(files))]
        places = {name: (parts[number], stored) for name, (number, stored) in names.items()}
        path = self._layout.snapshot(step)
        try:
            for part, file in zip(parts, files, strict=True):
                target = self._layout.part(part)
                target.unlink(missing_ok=True)
                target.hardlink_to(file)
            size = self._write(path, {}, places) + sum(file.stat().st_size for file in files)
            state = SnapshotFiles(self._layout).read(step)
            digests = {name: raw_digest(raw_tensor(name, tensor)) for name, tensor in state.items()}
        except BaseException:
            self._unwanted.update([path, *(self._layout.part(part) for part in parts)])
            self.remove_unwanted()
            raise
        self._step, self._digests, self._places = step, digests, places
        return Written(step, size, state_digest(digests), frozenset(parts))

    def remove_unwanted(self) -> None:
        """Delete what was written in vain, and could not be deleted then."""
        with contextlib.suppress(OSError):  # then the next time
            for path in list(self._unwanted):
                path.unlink(missing_ok=True)
                self._unwanted.discard(path)

    def _share(self, step: int, raws: Mapping[str, Raw]) -> dict[str, Place]:
        """Write tensors that did not change since the last snapshot into a file to share; return where they lie."""
        if sum(len(raw.data) for raw in raws.values()) < _LEAST_BYTES:
            return {}
        part = self._layout.shared_part(step)
        self._make(self._layout.shared)
        self._write(self._layout.part(part), raws, {})
        return {name: (part, name) for name in raws}

    def _make(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        if self._durable:
            sync_folder(folder.parent)

    def _write(self, path: Path, raws: Mapping[str, Raw], places: Mapping[str, Place]) -> int:
        if self._unwanted:
            self.remove_unwanted()
        parts = encode_tensors(raws, places_text(places))
        write_whole(path, parts, durable=self._durable)
        self._unwanted.discard(path)
        return sum(len(part) for part in parts)


def _parts(places: Mapping[str, Place]) -> frozenset[str]:
    return frozenset(part for part, _ in places.values())


def _files(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _first_step(part: Path) -> int:
    number = part.name.partition(".")[0].partition("-")[0]
    return int(number) if number.isdecimal() else -1
