"""Named tensors in safetensors files: written whole, read one at a time, never unpickled."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from cnnviz.errors import RunError
from cnnviz.recording.encoding import TYPES, encode_tensors, raw_tensor
from cnnviz.recording.layout import require_file, require_regular, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

# What the library and torch raise over a damaged file; a shape that overflows is a RuntimeError.
DAMAGE = (SafetensorError, OSError, RuntimeError, ValueError, OverflowError, TypeError, AttributeError)


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: dict[str, str] | None = None,
    durable: bool = False,
) -> None:
    """Write `tensors` to one file, whole or not at all.

    Raises:
        ModelError: If a tensor is of a type that the format doesn't know.
    """
    raws = {name: raw_tensor(name, tensor) for name, tensor in tensors.items()}
    write_whole(path, encode_tensors(raws, metadata), durable=durable)


@contextmanager
def opened(path: Path | str, framework: str = "pt") -> Iterator[safe_open]:
    """Open a plain file for reading.

    Args:
        path: The file; as text, if the caller has seen that its folder is no link.
        framework: What the tensors shall be: "pt" or "np".

    Raises:
        RunError: If it is absent, no plain file or damaged, also where what is done inside finds the damage.
    """
    if isinstance(path, str):
        require_file(path)
    else:
        require_regular(path)
    try:
        with safe_open(path, framework) as file:
            yield file
    except DAMAGE as error:
        raise RunError(f"{path} can't be read: {error}") from error


def read_tensor(file: safe_open, name: str, path: Path) -> Tensor:
    """Return a tensor of the file that was opened at `path`.

    Raises:
        RunError: If it is of a type that is never recorded, and that torch can hardly compute with.
    """
    tensor: Tensor = file.get_tensor(name)
    if tensor.dtype not in TYPES:
        raise RunError(f"{path} is damaged: {name!r} is of {tensor.dtype}, which is never recorded")
    return tensor


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Return the named tensors of a file, or all of them.

    Raises:
        RunError: If the file is absent or damaged, or holds no such tensor.
    """
    with opened(path) as file:
        known = file.keys()
        return {name: _known(file, name, known, path) for name in (known if names is None else names)}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text that was written beside the tensors of a file.

    Raises:
        RunError: If the file is absent or damaged.
    """
    with opened(path) as file:
        return dict(file.metadata() or {})


def _known(file: safe_open, name: str, known: list[str], path: Path) -> Tensor:
    if name not in known:
        raise RunError(f"{path} holds no tensor {name!r}; it holds {', '.join(known)}")
    return read_tensor(file, name, path)


IN_NUMPY = frozenset(
    {
        torch.float16, torch.float32, torch.float64, torch.complex64, torch.bool,
        torch.uint8, torch.uint16, torch.uint32, torch.uint64,
        torch.int8, torch.int16, torch.int32, torch.int64,
    }
)  # fmt: skip
"""The types that numpy knows, too."""
