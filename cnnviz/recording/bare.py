"""The network inside its wrappers: what torch.compile, DataParallel and DDP put around it, or around parts of it."""

from __future__ import annotations

import copy
import os
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnviz.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_COMPILED = "_orig_mod"
_PARALLEL = "module"


def bare_module(model: nn.Module) -> nn.Module:
    """Return the module that is compiled, or run in parallel, as `model`; the module itself if it is bare."""
    while (name := _inner_name(model)) is not None:
        inner = model._modules[name]
        if inner is None:
            break
        model = inner
    return model


def bare_names(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of layers or tensors of `model` without what the wrappers of its parts put into them.

    Args:
        model: The bare network; parts of it may be wrapped.
        names: Such as "features._orig_mod.0.weight", which is "features.0.weight".
    """
    names = list(names)
    # A look at the names is quicker than one at the modules, and most networks have nothing of the kind.
    together = " ".join(names)
    if _COMPILED not in together and _PARALLEL not in together:
        return names
    # What is shared has several names, and each must be found; the innermost first, as the others lead there.
    for path, module in reversed(list(model.named_modules(remove_duplicate=False))):
        inner = _inner_name(module)
        if path and inner is not None:
            names = [_without(name, path, f"{path}.{inner}") for name in names]
    return names


def unwrapped(model: nn.Module) -> nn.Module:
    """Return `model` if neither it nor a part of it is wrapped; else a copy of the bare network of bare parts."""
    bare = bare_module(model)
    wrappers = [module for module in bare.modules() if _inner_name(module) is not None]
    if not wrappers:
        return bare
    copies: dict[int, object] = {}
    # The innermost first: one that holds another, wherever else that is used, too, has more modules.
    for module in sorted(wrappers, key=lambda module: sum(1 for _ in module.modules())):
        copies[id(module)] = copy.deepcopy(bare_module(module), copies)
    return copy.deepcopy(bare, copies)


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of `model` by their bare names, as they are now, sharing their memory.

    Raises:
        ModelError: If its state holds something that is no tensor, or is one on the meta device, without values.
    """
    bare = bare_module(model)
    state = bare.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"the state of {type(bare).__name__} holds {name!r}, which is no tensor")
        if value.device.type == "meta":
            raise ModelError(
                f"the state of {type(bare).__name__} holds {name!r}, which has no values: it is on the meta device"
            )
    return dict(zip(bare_names(bare, state), state.values(), strict=True))


def is_built(tensors: Iterable[Tensor]) -> bool:
    """Say whether all these tensors have values; those of lazy layers have none before the first forward pass."""
    return not any(nn.parameter.is_lazy(tensor) for tensor in tensors)


def records_here() -> bool:
    """Say whether this process is the one of a distributed training that records: rank 0, or the only one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    # torchrun names the rank before the process group is there; other launchers use RANK for other things.
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def trains_elsewhere(model: nn.Module) -> bool:
    """Say whether waiting for the disk would hold up an accelerator, or other processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size() > 1 or _on_accelerator(model.parameters())
    return _on_accelerator(model.parameters())


def _on_accelerator(tensors: Iterable[Tensor]) -> bool:
    return any(tensor.device.type not in ("cpu", "meta") for tensor in tensors)


def _inner_name(module: nn.Module) -> str | None:
    """Return the name of the module that `module` merely wraps; None if it is no wrapper, or has a state of its own."""
    if len(module._modules) != 1 or module._parameters or module._buffers:
        return None
    if _COMPILED in module._modules:
        return _COMPILED if _is_compiled(module) else None
    parallel = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return _PARALLEL if parallel else None


def _is_compiled(module: nn.Module) -> bool:
    # Not imported, which takes a second: where nobody has done so, nothing is compiled.
    wrapper = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", ())
    return isinstance(module, wrapper)


def _without(name: str, path: str, inner: str) -> str:
    return path + name[len(inner) :] if name == inner or name.startswith(f"{inner}.") else name
