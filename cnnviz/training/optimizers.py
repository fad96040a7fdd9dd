"""Optimizers by name, and their state as plain tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import optim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cnnviz.training.config import TrainConfig

_PREFIX = "optimizer"


def make_optimizer(model: nn.Module, config: TrainConfig) -> optim.Optimizer:
    """Return the optimizer that `config` names, over all parameters of `model`."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    common: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    match config.optimizer:
        case "adam":
            return optim.Adam(parameters, **common)
        case "adamw":
            return optim.AdamW(parameters, **common)
        case "rmsprop":
            return optim.RMSprop(parameters, momentum=config.momentum, **common)
        case _:
            return optim.SGD(parameters, momentum=config.momentum, **common)


def optimizer_tensors(optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors, "optimizer/<parameter's number>/<what>"."""
    return {
        f"{_PREFIX}/{number}/{key}": torch.as_tensor(value)
        for number, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_PREFIX + "/"):
            _, number, key = name.split("/")
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
