"""The bytes of a safetensors file, as views of the tensors' own memory.

The library copies every tensor twice on its way to the disk; with a snapshot at every step that is a third of what
recording costs, and there would be no bytes to take a digest of. Reading is left to the library.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import torch

from cnnviz.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
TYPES = frozenset(_NAMES)
"""The types of tensors that can be recorded."""
_WIDTHS = {name: dtype.itemsize for dtype, name in _NAMES.items()}


class Raw(NamedTuple):
    """A tensor as it is written: its type's name in the format, its shape and its memory in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def raw_tensor(name: str, tensor: Tensor) -> Raw:
    """Return the memory of a tensor; a view of it where it is contiguous and on the CPU.

    Args:
        name: What an error shall call it.
        tensor: A dense tensor on any device.

    Raises:
        ModelError: If it is of a type that the format doesn't know.
    """
    dtype = _NAMES.get(tensor.dtype)
    if dtype is None or tensor.layout != torch.strided:
        raise ModelError(f"{name!r} can't be recorded: it is a tensor of {tensor.dtype}, {tensor.layout}")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return Raw(dtype, tuple(tensor.shape), flat.view(torch.uint8).numpy().data)


def encode_tensors(raws: Mapping[str, Raw], metadata: Mapping[str, str] | None = None) -> list[memoryview]:
    """Return the parts of a safetensors file: the header, then the memory of each tensor.

    Args:
        raws: The tensors by name.
        metadata: Text to store beside them.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    parts = []
    offset = 0
    # The widest types first, so that every tensor starts at a multiple of its element's size.
    for name, raw in sorted(raws.items(), key=lambda item: -_WIDTHS[item[1].dtype]):
        end = offset + len(raw.data)
        header[name] = {"dtype": raw.dtype, "shape": list(raw.shape), "data_offsets": [offset, end]}
        parts.append(raw.data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *parts]
