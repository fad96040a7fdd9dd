"""Building networks to look at their shapes, and what their factories take."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.importing.fitting import Shape

FITTING = ("channels", "classes", "image_size")
"""What fits a network to the data; a factory of the user's own need not take them."""


def taken_by(name: str) -> tuple[str, ...]:
    """Return which of `FITTING` the factory of a network takes.

    Raises:
        UnknownNameError: If there is no such network.
        ModelError: If it can't be called.
    """
    factory = MODELS.get(name)
    if ":" not in name:
        return FITTING
    if getattr(factory, "__init__", None) is nn.Module.__init__:
        return ()  # it names **kwargs and takes none
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError) as error:
        raise ModelError(f"the model {name!r} can't be called: {error}") from error
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return tuple(key for key in FITTING if takes_all or key in parameters)


def built(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network; of one that cnnviz knows the shapes only, which takes no memory, wherever that can be.

    Raises:
        ModelError: If it can't be built.
    """
    with torch.random.fork_rng(devices=[]):
        if ":" not in name:
            with contextlib.suppress(ModelError, NotImplementedError), torch.device("meta"):
                return build(name, **arguments)
        return build(name, **arguments)  # some compute with tensors while they are built, as RegNet does


def shapes_of(model: nn.Module) -> dict[str, Shape | None]:
    """Return the names and shapes of its parameters and buffers; None for those of lazy layers, which have none yet."""
    state = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, torch.Tensor)}
    return {name: None if is_lazy(tensor) else tuple(tensor.shape) for name, tensor in state.items()}


def settle(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give lazy layers, if there are any, their shapes: those of the weights that the others were seen to fit."""
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        model.load_state_dict(dict(weights))


def channels_of(model: nn.Module) -> int | None:
    """Return how many channels the images have, as far as the first convolution tells; None without one."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d) and not is_lazy(m.weight)), None)
    return int(first.weight.shape[1]) * first.groups if first is not None else None


def classes_of(model: nn.Module) -> int | None:
    """Return how many numbers the network puts out, as far as the last weights tell; None without any."""
    weights = [w for w in model.parameters() if not is_lazy(w) and w.ndim > 1]
    return int(weights[-1].shape[0]) if weights else None
