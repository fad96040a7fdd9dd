"""The bytes of a safetensors file, as views of the tensors' own memory.

The library copies every tensor twice on its way to the disk; with a snapshot at every step that is a third of what
recording costs, and there would be no bytes to take a digest of. Reading is left to the library.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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


def encode_tensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> list[memoryview]:
    """Return the parts of a safetensors file that holds `tensors`.

    Args:
        tensors: Dense tensors by name, on any device.
        metadata: Text to store beside them.

    Returns:
        The header, then the memory of each tensor; views of the tensors where those are contiguous on the CPU.

    Raises:
        ModelError: If a tensor is of a type that the format doesn't know.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    parts = []
    offset = 0
    # The widest types first, so that every tensor starts at a multiple of its element's size.
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        data = _memory(name, tensor)
        end = offset + len(data)
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        parts.append(data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *parts]


def _memory(name: str, tensor: Tensor) -> memoryview:
    if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
        raise ModelError(f"{name!r} can't be recorded: it is a tensor of {tensor.dtype}, {tensor.layout}")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
