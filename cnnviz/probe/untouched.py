"""Running a network without leaving a trace in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

_TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def untouched(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Put `model` into eval mode without gradients, and leave it and the random state as they were.

    So it stays also where a forward pass counts in a buffer or an attribute, or makes layers when it first runs.

    Args:
        model: The network; its layers must have their parameters.
        images: What it is given; they tell which device's random state may change.
    """
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [dict(vars(module)) for module in modules]
    tables = [{name: dict(vars(module)[name]) for name in _TABLES} for module in modules]
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers() if _counted(buffer)]
    devices = [images.device] if images.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            model.eval()
            yield
    finally:
        for module, before, table in zip(modules, attributes, tables, strict=True):
            _put_back(vars(module), before)
            for name in _TABLES:
                _put_back(vars(module)[name], table[name])
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, version, value in buffers:
                if buffer._version != version:
                    buffer.copy_(value)


def _counted(tensor: Tensor) -> bool:
    return not tensor.is_inference()  # those count no versions, and can't be written over here


def _put_back(table: dict[str, Any], before: dict[str, Any]) -> None:
    for name in set(table) - set(before):
        del table[name]
    table.update(before)
