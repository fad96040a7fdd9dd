"""Reading snapshots from files: each its own, and the files that several share."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from cnnviz.errors import RunError, SnapshotError
from cnnviz.recording.layout import require_folder
from cnnviz.recording.tensors import IN_NUMPY, opened, read_tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from safetensors import safe_open
    from torch import Tensor

    from cnnviz.recording.layout import Layout

ELSEWHERE = "cnnviz.elsewhere"
"""The metadata of a snapshot's file that says, as JSON, where its other tensors lie: file to name to name there."""

# Numpy's limit is 64, and was 32; one axis more is that of the steps.
_MOST_AXES = 32

Place = tuple[str, str]
"""A file inside the run, and the name of a tensor in it."""


def places_text(places: Mapping[str, Place]) -> dict[str, str]:
    """Return the metadata that says where tensors lie; none if all are in the snapshot's own file."""
    by_file: dict[str, dict[str, str]] = {}
    for name, (file, stored) in places.items():
        by_file.setdefault(file, {})[name] = stored
    return {ELSEWHERE: json.dumps(by_file, separators=(",", ":"))} if by_file else {}


def read_places(file: safe_open, path: Path | str) -> dict[str, Place]:
    """Return where the tensors of the snapshot at `path` lie that are not in its own file.

    Raises:
        RunError: If its metadata are damaged.
    """
    text = (file.metadata() or {}).get(ELSEWHERE, "{}")
    try:
        content = json.loads(text)
        return {
            _text(name): (_text(part), _text(stored))
            for part, names in content.items()
            for name, stored in names.items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    value.encode()  # JSON can hold what is no text
    return value


class _AnotherError(RunError):
    """A whole snapshot that doesn't hold what was asked for."""


@contextmanager
def _telling(step: int) -> Iterator[None]:
    """Say of a damaged file which snapshot it costs."""
    try:
        yield
    except _AnotherError:
        raise
    except RunError as error:
        raise SnapshotError(str(error), [step]) from error


class SnapshotFiles:
    """Reads the tensors of the snapshots in one run's folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def names(self, step: int) -> list[str]:
        """Return the names of the tensors of the snapshot at `step`."""
        path = self._layout.snapshot(step)
        with _telling(step), opened(path) as file:
            return list(dict.fromkeys([*file.keys(), *read_places(file, path)]))

    def shapes(self, step: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors of the snapshot at `step`, by name, without reading their values."""
        path = self._layout.snapshot(step)
        with _telling(step):
            with opened(path) as file:
                names = file.keys()  # the library's file is no mapping
                found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
                places = read_places(file, path)
            for name, (part, stored) in places.items():
                with opened(self._layout.part(part)) as file:
                    found[name] = tuple(file.get_slice(stored).get_shape())
        return found

    def places(self, step: int) -> dict[str, Place]:
        """Return where those tensors of a snapshot lie that are not in its own file."""
        path = self._layout.snapshot(step)
        with _telling(step), opened(path) as file:
            return read_places(file, path)

    def read(self, step: int, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the named tensors of the snapshot at `step`, or all of them.

        Raises:
            SnapshotError: If a file is absent or damaged.
            RunError: If there is no such tensor.
        """
        with _telling(step):
            return self._read(step, names)

    def _read(self, step: int, names: Iterable[str] | None) -> dict[str, Tensor]:
        path = self._layout.snapshot(step)
        with opened(path) as file:
            own = dict.fromkeys(file.keys())
            places = (
                read_places(file, path)
                if names is None or not own.keys() >= set(names := list(names))
                else {}
            )
            wanted = list(own | dict.fromkeys(places)) if names is None else list(names)
            unknown = [name for name in wanted if name not in own and name not in places]
            if unknown:
                known = ", ".join([*own, *places])
                raise _AnotherError(f"{path} holds no tensor {unknown[0]!r}; it holds {known}")
            found = {name: read_tensor(file, name, path) for name in wanted if name in own}
        found |= self._read_elsewhere({name: places[name] for name in wanted if name not in own})
        return {name: found[name] for name in wanted}

    def stack(self, steps: Sequence[int], names: Sequence[str]) -> dict[str, Tensor]:
        """Return each named tensor at all `steps`, with a leading axis over them.

        Raises:
            SnapshotError: If files are absent or damaged; it tells all the steps that can't be read.
            RunError: If a tensor isn't there, or is of another shape or type than at the first step.
        """
        damaged: set[int] = set()
        problem = ""
        stacks = None
        if steps:
            require_folder(self._layout.snapshots)
        shared: dict[Place, Tensor | RunError] = {}
        for row, step in enumerate(steps):
            if step in damaged:
                continue
            try:
                stacks = stacks or self._begin_stacks(step, names, len(steps))
                self._put_row(stacks, row, step, names, shared)
            except _AnotherError:
                raise
            except RunError as error:
                # An index may name any number of files that are not there: they are not tried one by one.
                damaged |= {step} if damaged else {step, *self.absent(steps)}
                problem = problem or str(error)
        if stacks is None or damaged:
            more = f"; nor can {len(damaged) - 1} more snapshots" if len(damaged) > 1 else ""
            raise SnapshotError(problem + more, damaged)
        return stacks.tensors

    def absent(self, steps: Sequence[int]) -> list[int]:
        """Return those of `steps` whose files are not there."""
        try:
            with os.scandir(self._layout.snapshots) as entries:
                found = {entry.name for entry in entries}
        except OSError:
            return list(steps)
        return [step for step in steps if self._layout.snapshot_name(step) not in found]

    def _begin_stacks(self, step: int, names: Sequence[str], count: int) -> _Stacks:
        """Return stacks for tensors like those at `step`."""
        try:
            return _Stacks(self.read(step, names), count)
        except (RuntimeError, MemoryError) as error:  # too large, as a whole or along an axis
            raise _AnotherError(
                f"{self._layout.root}: {', '.join(names)} can't be stacked: {error}"
            ) from error

    def _put_row(
        self,
        stacks: _Stacks,
        row: int,
        step: int,
        names: Sequence[str],
        shared: dict[Place, Tensor | RunError],
    ) -> None:
        path = self._layout.snapshot_text(step)
        absent = []
        with opened(path, stacks.framework) as file:
            own = set(file.keys())
            for name in names:
                if name in own:
                    stacks.put(row, name, file.get_tensor(name), path)
                else:
                    absent.append(name)
            places = read_places(file, path) if absent else {}
        for name in absent:
            if name not in places:
                raise _AnotherError(f"{path} holds no tensor {name!r}")
            stacks.put_tensor(row, name, self._shared(places[name], shared), path)

    def _shared(self, place: Place, known: dict[Place, Tensor | RunError]) -> Tensor:
        """Return the tensor at `place`, read once, however many snapshots share it."""
        if place not in known:
            try:
                known[place] = self._read_elsewhere({place[1]: place})[place[1]]
            except RunError as error:
                known[place] = error
        found = known[place]
        if isinstance(found, RunError):
            raise found
        return found

    def _read_elsewhere(self, places: Mapping[str, Place]) -> dict[str, Tensor]:
        found = {}
        for part in {part for part, _ in places.values()}:
            path = self._layout.part(part)
            with opened(path) as file:
                for name, (where, stored) in places.items():
                    if where == part:
                        found[name] = read_tensor(file, stored, path)
        return found


class _Stacks:
    """Tensors with a leading axis over steps, filled row by row."""

    def __init__(self, first: Mapping[str, Tensor], count: int) -> None:
        # The library's numpy reader takes a third of the time of its torch reader, but numpy lacks some types.
        in_numpy = all(t.dtype in IN_NUMPY and t.ndim < _MOST_AXES for t in first.values())
        self.framework = "np" if in_numpy else "pt"
        self.tensors = {name: torch.empty((count, *t.shape), dtype=t.dtype) for name, t in first.items()}
        self._targets: dict[str, Any] = (
            {name: stack.numpy() for name, stack in self.tensors.items()}
            if self.framework == "np"
            else self.tensors
        )

    def put(self, row: int, name: str, value: Any, path: str) -> None:
        """Fill one row with what the reader gave, an array or a tensor."""
        target = self._targets[name]
        if value.shape != target.shape[1:] or value.dtype != target.dtype:
            raise _another(name, path)
        target[row] = value

    def put_tensor(self, row: int, name: str, value: Tensor, path: str) -> None:
        """Fill one row with a tensor."""
        if value.shape != self.tensors[name].shape[1:]:  # numpy may not even know such a shape
            raise _another(name, path)
        self.put(row, name, value.numpy() if self.framework == "np" else value, path)


def _another(name: str, path: str) -> _AnotherError:
    return _AnotherError(f"{path}: {name!r} has another shape or type than at the first step")
