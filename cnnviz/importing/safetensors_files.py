"""Checkpoints in safetensors files: one file, or the shards of one."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.errors import DataError, RunError
from cnnviz.importing.checkpoint import Weights, counters_among
from cnnviz.recording.tensors import read_metadata, read_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class SafetensorsCheckpoint:
    """One state in safetensors files."""

    path: Path
    stem: str
    files: tuple[Path, ...]
    linkable: bool = True

    def counters(self) -> dict[str, int]:
        """Return what the text beside the tensors tells; see `Checkpoint`."""
        try:
            return counters_among(read_metadata(self.files[0]))
        except RunError as error:
            raise _unreadable(self.files[0], error) from error

    def read(self) -> Weights:
        """Return the tensors of all files; see `Checkpoint`."""
        tensors: dict[str, Tensor] = {}
        homes: dict[str, int] = {}
        for number, file in enumerate(self.files):
            try:
                part = read_tensors(file)
            except RunError as error:
                raise _unreadable(file, error) from error
            if twice := sorted(tensors.keys() & part):
                raise DataError(f"{file} holds {twice[0]!r}, which another shard of {self.path} holds, too")
            tensors |= part
            homes |= dict.fromkeys(part, number)
        if not tensors:
            raise DataError(f"{self.path} holds no tensors")
        # The format sorts them by size and name, so the order of the network is gone: 2 before 10 comes nearest.
        return Weights({name: tensors[name] for name in sorted(tensors, key=_natural)}, homes=homes)


def _unreadable(file: Path, error: RunError) -> DataError:
    """Return the error over a file that `read_tensors` can't read: of an empty one the library speaks of its header."""
    with suppress(OSError):
        if file.stat().st_size == 0:
            return DataError(f"{file} can't be read: it is empty")
    return DataError(str(error))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
