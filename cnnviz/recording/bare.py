"""The network inside its wrappers: what torch.compile, DataParallel and DDP put around it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnviz.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_COMPILED = "_orig_mod"


def bare_module(model: nn.Module) -> nn.Module:
    """Return the module that is compiled, or run in parallel, as `model`; the module itself if it is bare."""
    while (inner := _inner(model)) is not None:
        model = inner
    return model


def bare_name(name: str) -> str:
    """Return the name of a layer or tensor without what compiled modules put in between."""
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of `model` by their bare names, as they are now, sharing their memory.

    Raises:
        ModelError: If its state holds something that is no tensor, or that has no values yet.
    """
    bare = bare_module(model)
    state = bare.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"the state of {type(bare).__name__} holds {name!r}, which is no tensor")
    wrapped = [path for path, module in bare.named_modules() if path and _is_parallel(module)]
    for path in wrapped:
        prefix = f"{path}.module."
        state = {_without(name, prefix, path): tensor for name, tensor in state.items()}
    return {bare_name(name) if _COMPILED in name else name: tensor for name, tensor in state.items()}


def is_built(model: nn.Module) -> bool:
    """Say whether every parameter has values; those of lazy layers have none before the first forward pass."""
    return not any(nn.parameter.is_lazy(t) for t in [*model.parameters(), *model.buffers()])


def records_here() -> bool:
    """Say whether this process is the one of a distributed training that records: rank 0, or the only one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    # torchrun names the rank before the process group is there; other launchers use RANK for other things.
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def trains_elsewhere(model: nn.Module) -> bool:
    """Say whether waiting for the disk would hold up an accelerator, or other processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size() > 1
    return any(parameter.device.type not in ("cpu", "meta") for parameter in model.parameters())


def _inner(model: nn.Module) -> nn.Module | None:
    name = _COMPILED if _COMPILED in model._modules else "module" if _is_parallel(model) else None
    return model._modules[name] if name is not None else None


def _is_parallel(module: nn.Module) -> bool:
    return isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)


def _without(name: str, prefix: str, path: str) -> str:
    return f"{path}.{name.removeprefix(prefix)}" if name.startswith(prefix) else name
