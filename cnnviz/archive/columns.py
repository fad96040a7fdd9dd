"""Tensors over time as arrays of plain bits: unsigned integers, which no library rounds, and whose zero is one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnviz.errors import RunError
from cnnviz.recording.encoding import raw_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# By the names that safetensors gives to types.
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_MOST_BYTES = 2**40


@dataclass(frozen=True)
class Column:
    """One tensor of a network over the snapshots of a run.

    Attributes:
        name: Its name.
        dtype: Its type, as safetensors calls it.
        shape: Its shape at one step.
        spans: Which snapshots have it: the number of the first, and of that behind the last, of each stretch.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def unit_bytes(self) -> int:
        """The bytes of a unit: a number, or half a complex one."""
        return min(_TYPES[self.dtype].itemsize, 4) if self.dtype == "C64" else _TYPES[self.dtype].itemsize

    @property
    def units(self) -> int:
        """How many units the tensor has at one step."""
        return math.prod(self.shape) * _TYPES[self.dtype].itemsize // self.unit_bytes

    @property
    def bits(self) -> np.dtype[Any]:
        """The type of the units."""
        return np.dtype(f"<u{self.unit_bytes}")

    @property
    def count(self) -> int:
        """At how many snapshots there is one."""
        return sum(stop - first for first, stop in self.spans)

    def rows(self, snapshots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in time of the snapshots of these numbers; -1 where they don't have the tensor."""
        found = np.full(len(snapshots), -1)
        before = 0
        for first, stop in self.spans:
            inside = (snapshots >= first) & (snapshots < stop)
            found[inside] = snapshots[inside] - first + before
            before += stop - first
        return found

    def numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the snapshots that have it, rising."""
        return np.concatenate([np.arange(*span) for span in self.spans])

    def typed(self, stack: Tensor) -> bool:
        """Say whether a tensor is of this type."""
        return stack.dtype == _TYPES[self.dtype]

    def to_bits(self, stack: Tensor) -> NDArray[Any]:
        """Return a tensor with a leading axis over steps as (steps, units)."""
        data = np.frombuffer(raw_tensor(self.name, stack).data, self.bits)
        return data.reshape(len(stack), self.units)

    def from_bits(self, bits: NDArray[Any]) -> Tensor:
        """Return (steps, units) as a tensor with a leading axis over steps."""
        flat = torch.from_numpy(bits.reshape(-1).view(np.uint8))
        return flat.view(_TYPES[self.dtype]).reshape(len(bits), *self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"name": self.name, "dtype": self.dtype, "shape": self.shape, "spans": self.spans}


def column_of(name: str, stack: Tensor, spans: tuple[tuple[int, int], ...]) -> Column:
    """Return the column of a tensor, from some of its steps.

    Raises:
        ModelError: If it is of a type that can't be recorded.
    """
    return Column(name, raw_tensor(name, stack[:0]).dtype, tuple(stack.shape[1:]), spans)


def read_column(content: Any, snapshots: int, where: str) -> Column:
    """Return the column that an archive of so many snapshots tells of.

    Raises:
        RunError: If it is damaged.
    """
    try:
        name, dtype = content["name"], content["dtype"]
        shape = tuple(content["shape"])
        spans = tuple((first, stop) for first, stop in content["spans"])
        numbers = [*shape, *(n for span in spans for n in span)]
        if not isinstance(name, str) or dtype not in _TYPES or not all(type(n) is int for n in numbers):
            raise ValueError(f"{name!r} is of type {dtype!r} and shape {shape}")
        edges = [0, *(n for span in spans for n in span), snapshots]
        if min(shape, default=0) < 0 or edges != sorted(edges) or any(a == b for a, b in spans) or not spans:
            raise ValueError(f"{name!r} is of shape {shape} at {spans}")
        if math.prod(shape) * _TYPES[dtype].itemsize > _MOST_BYTES:
            raise ValueError(f"{name!r} is of shape {shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{where} is damaged: a tensor has {error!r}") from error
    return Column(name, dtype, shape, spans)
