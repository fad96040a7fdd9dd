"""Taking a network's weights out of what training scripts wrap around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import DataError

# In the order of trust: the weights as they were trained come before their running mean.
_LEVELS = (
    "state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net", "network", "module",
    "weights", "params", "ema_state_dict", "model_ema", "ema",
)  # fmt: skip
# What lies beside the weights and holds tensors of its own.
_BESIDE = ("optim", "sched", "scaler", "rng", "random", "callback", "loop", "hyper", "ema", "amp", "history")
_DEEPEST = 5
# A few bytes can be said to stand for any number of values; written out they would fill the memory.
_LARGEST_REPEATED = 1 << 30

_COMPILED = "_orig_mod."
_PARALLEL = "module."


def open_levels(contents: Any, where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of the network within `contents`, and the keys that were opened on the way.

    Args:
        contents: What a file holds.
        where: What messages call it.

    Raises:
        DataError: If there are none, or it is not clear which they are.
    """
    levels: list[str] = []
    while isinstance(contents, Mapping):
        inner = next((key for key in _LEVELS if _holds_tensors(contents.get(key))), None)
        if inner is None:
            return _tensors(contents, where), tuple(levels)
        levels.append(inner)
        contents = contents[inner]
    raise DataError(f"{where} holds a {type(contents).__name__}, not weights by name; save a state_dict()")


def plain_names(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the names without what torch.compile and DataParallel put before them, and what that was.

    Returns:
        Plain name to the given one, in the order given, and the prefixes that were taken off.
    """
    given = list(names)
    plain = [name.replace(_COMPILED, "") for name in given]
    taken = [_COMPILED] if plain != given else []
    while plain and all(name.startswith(_PARALLEL) for name in plain):
        plain = [name.removeprefix(_PARALLEL) for name in plain]
        taken.append(_PARALLEL)
    if len(set(plain)) < len(plain):  # two networks, one compiled: their names must stay apart
        return dict(zip(given, given, strict=True)), ()
    return dict(zip(plain, given, strict=True)), tuple(dict.fromkeys(taken))


def _tensors(contents: Mapping[Any, Any], where: str) -> dict[str, Tensor]:
    found = {
        key: value.detach()
        for key, value in contents.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    parts = [str(key) for key, value in contents.items() if not _is_beside(key) and _holds_tensors(value)]
    if parts or not any(tensor.ndim for tensor in found.values()):
        keys = ", ".join(str(key) for key in list(contents)[:10]) or "nothing"
        which = f"the weights may be in {' or '.join(parts)}" if parts else "there are no weights among it"
        raise DataError(f"{where} holds {keys}: {which}; save the network's state_dict() alone")
    for name, tensor in found.items():
        if tensor.is_meta or tensor.layout != torch.strided:
            raise DataError(f"{where}: {name!r} is no dense tensor with values ({tensor.layout})")
        if tensor.nbytes > _LARGEST_REPEATED and tensor.nbytes > tensor.untyped_storage().nbytes():
            raise DataError(
                f"{where}: {name!r} of shape {tuple(tensor.shape)} repeats a few values that often"
            )
    return found


def _is_beside(key: object) -> bool:
    return any(word in str(key).lower() for word in _BESIDE)


def _holds_tensors(value: object, depth: int = 0) -> bool:
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return False
    return any(isinstance(v, torch.Tensor) or _holds_tensors(v, depth + 1) for v in value.values())
