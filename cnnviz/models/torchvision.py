"""Every classification network of torchvision by its own name, fitted to the data's channels and classes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torchvision import models

from cnnviz.errors import ModelError
from cnnviz.models import model

if TYPE_CHECKING:
    from collections.abc import Callable

# What the data decide, or what cnnviz does: not for the user to give.
_DECIDED = {"num_classes", "image_size", "input_size", "aux_logits", "init_weights", "transform_input"}
# Without its auxiliary heads a network returns one tensor of logits in training, too.
_NO_HEADS = {"aux_logits": False, "init_weights": True}
_ALWAYS: dict[str, dict[str, Any]] = {"googlenet": _NO_HEADS, "inception_v3": _NO_HEADS}


def _factory(name: str) -> Callable[..., nn.Module]:
    """Return the factory of torchvision's network `name`, whose signature tells what that network accepts."""
    builder = models.get_model_builder(name)

    def build(*, channels: int, classes: int, image_size: int, **arguments: Any) -> nn.Module:
        given = _ALWAYS.get(name, {}) | _size(name, image_size) | arguments
        try:
            network: nn.Module = builder(weights=None, num_classes=classes, **given)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise _unfit(name, (channels, image_size), error) from error
        _fit_channels(network, channels)
        _work_out_of_place(network)
        _check_takes(name, network, channels, image_size)
        return network

    build.__name__ = build.__qualname__ = name
    build.__signature__ = _signature(build, builder)  # type: ignore[attr-defined] # a function may have one
    return build


def _signature(build: Callable[..., nn.Module], builder: Callable[..., nn.Module]) -> inspect.Signature:
    """Return the signature of `build` with the network's own arguments in place of **arguments.

    A class's arguments without a default are those that the builder of one of its variants sets.
    """
    network = inspect.signature(builder).return_annotation
    own = [
        p.replace(kind=p.KEYWORD_ONLY)
        for p in inspect.signature(network).parameters.values()
        if p.default is not p.empty and p.kind is not p.VAR_KEYWORD and p.name not in _DECIDED
    ]
    fitting = [p for p in inspect.signature(build).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return inspect.Signature([*fitting, *own])


def _size(name: str, image_size: int) -> dict[str, Any]:
    """Return the argument that tells a network of a fixed image size what that size is."""
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit"):
        return {"input_size": (image_size, image_size)}
    return {}


def _fit_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by one that takes `channels`, with PyTorch's default initialization."""
    name, old = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if old.in_channels == channels:
        return
    new = nn.Conv2d(
        channels,
        old.out_channels,
        # torch declares these as tuples of any length
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        dilation=old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)


def _work_out_of_place(network: nn.Module) -> None:
    """Stop activations from overwriting their input: a hook on the layer before would record the output."""
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 (to the type checker an attribute is a module)


def _check_takes(name: str, network: nn.Module, channels: int, image_size: int) -> None:
    """Raise unless images of this size pass; on the meta device, which follows shapes and computes nothing."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    image = torch.zeros(1, channels, image_size, image_size, device="meta")
    network.eval()
    try:
        with torch.no_grad():
            torch.func.functional_call(network, {k: t.to("meta") for k, t in tensors}, (image,))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise _unfit(name, (channels, image_size), error) from error
    network.train()


def _unfit(name: str, shape: tuple[int, int], error: Exception) -> ModelError:
    channels, size = shape
    reason = str(error).partition("\n")[0]
    return ModelError(
        f"torchvision's {name} can't be built for {channels}x{size}x{size} images: {reason}; if the image size "
        f"is the reason, choose another: torchvision's networks are made for 224 and some need a multiple of 32"
    )


for _name in models.list_models(module=models):
    model(_name)(_factory(_name))
