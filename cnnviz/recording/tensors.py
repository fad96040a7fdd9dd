"""Named tensors in safetensors files: written whole, read one at a time, never unpickled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import xxhash
from safetensors import SafetensorError, safe_open

from cnnviz.errors import ModelError, RunError
from cnnviz.recording.encoding import encode_tensors
from cnnviz.recording.layout import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn


_IN_NUMPY = {
    torch.float16, torch.float32, torch.float64, torch.complex64, torch.bool,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of `model` by name, as they are now, sharing their memory.

    Raises:
        ModelError: If its state holds something that is no tensor.
    """
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"the state of {type(model).__name__} holds {name!r}, which is no tensor")
    return dict(state)


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: dict[str, str] | None = None,
    durable: bool = False,
) -> tuple[int, str]:
    """Write `tensors` to one file, whole or not at all.

    Returns:
        The size of the file in bytes, and its digest (XXH3, 128 bits, in hex).
    """
    parts = encode_tensors(tensors, metadata)
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    write_whole(path, parts, durable=durable)
    return sum(len(part) for part in parts), digest.hexdigest()


def read_tensor(path: Path, name: str) -> Tensor:
    """Return one tensor of a file, reading nothing else of it.

    Raises:
        RunError: If the file is absent or damaged, or holds no such tensor.
    """
    return read_tensors(path, [name])[name]


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Return the named tensors of a file, or all of them.

    Raises:
        RunError: If the file is absent or damaged, or holds no such tensor.
    """
    try:
        with safe_open(path, "pt") as file:
            known = file.keys()
            return {name: _known(file, name, known, path) for name in (known if names is None else names)}
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} can't be read: {error}") from error


def tensor_names(path: Path) -> list[str]:
    """Return the names of the tensors in a file.

    Raises:
        RunError: If the file is absent or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} can't be read: {error}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text that was written beside the tensors of a file.

    Raises:
        RunError: If the file is absent or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} can't be read: {error}") from error


def stack_tensors(paths: Sequence[Path], names: Sequence[str]) -> dict[str, Tensor]:
    """Return each named tensor of all files at once, with a leading axis over the files.

    Raises:
        RunError: If a file is absent or damaged, or a tensor isn't there or is of another shape or type than in
            the first.
    """
    first = read_tensors(paths[0], names)
    # The library's numpy reader takes a third of the time of its torch reader, but numpy lacks some types.
    framework = "np" if all(t.dtype in _IN_NUMPY for t in first.values()) else "pt"
    stacks = {
        name: torch.empty((len(paths), *tensor.shape), dtype=tensor.dtype) for name, tensor in first.items()
    }
    targets = {name: stack if framework == "pt" else stack.numpy() for name, stack in stacks.items()}
    for row, path in enumerate(paths):
        try:
            with safe_open(path, framework) as file:
                for name, target in targets.items():
                    value = file.get_tensor(name)
                    if value.shape != target.shape[1:] or value.dtype != target.dtype:
                        raise RunError(f"{path}: {name!r} has another shape or type than at the first step")
                    target[row] = value
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} can't be read: {error}") from error
    return stacks


def _known(file: safe_open, name: str, known: list[str], path: Path) -> Tensor:
    if name not in known:
        raise RunError(f"{path} holds no tensor {name!r}; it holds {', '.join(known)}")
    tensor: Tensor = file.get_tensor(name)
    return tensor
