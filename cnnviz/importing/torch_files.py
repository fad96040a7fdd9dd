"""Checkpoints that torch.save wrote, Lightning's among them: the one place that calls torch.load, weights only.

What a pickle holds beyond tensors, containers, numbers and text is never made, so nothing in a file is executed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor

from cnnviz.errors import DataError
from cnnviz.importing.checkpoint import Weights, counters_among
from cnnviz.importing.refusals import refusal
from cnnviz.importing.unwrapping import open_levels

if TYPE_CHECKING:
    from pathlib import Path

_ZIP = b"PK\x03\x04"
# Unpickling takes as long as a third of its writing, so what was looked at is kept until it is read; the values of
# mapped files take no memory, but their names and shapes do.
_MOST_KEPT = 200
_keeping: WeakSet[TorchCheckpoint] = WeakSet()


@dataclass(frozen=True)
class TorchCheckpoint:
    """One state in files of torch.save."""

    path: Path
    stem: str
    files: tuple[Path, ...]
    linkable: bool = False
    _kept: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def counters(self) -> dict[str, int]:
        """Return what stands beside the weights; see `Checkpoint`."""
        contents = self._kept[0] if self._kept else _load(self.files[0])
        if not self._kept and len(_keeping) < _MOST_KEPT and _is_mapped(self.files[0]):
            self._kept.append(contents)
            _keeping.add(self)
        return counters_among(contents) if isinstance(contents, Mapping) else {}

    def read(self) -> Weights:
        """Return the weights, mapped from the files; see `Checkpoint`."""
        tensors: dict[str, Tensor] = {}
        levels: tuple[str, ...] = ()
        for file in self.files:
            kept = self._kept.pop() if self._kept else None  # of the first file
            part, levels = open_levels(_load(file) if kept is None else kept, str(file))
            tensors |= part
        _keeping.discard(self)
        return Weights(tensors, levels)


def _load(path: Path) -> Any:
    """Return what `path` holds; its tensors are read when they are used.

    Raises:
        DataError: If it is damaged, or holds anything that would have to be executed.
    """
    try:
        mapped = _is_mapped(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of archives of TorchScript, which it then refuses
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, MemoryError) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(refusal(path, error)) from error


def _is_mapped(path: Path) -> bool:
    """Say whether the values stay in the file until they are used: not before PyTorch 1.6, when it was no archive."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP
