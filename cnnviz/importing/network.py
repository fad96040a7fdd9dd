"""The network that checkpoints are of, its arguments guessed from the shapes of the weights."""

from __future__ import annotations

import contextlib
from math import isqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from cnnviz.errors import ModelError
from cnnviz.importing.fitting import check_shapes, fit_names
from cnnviz.models import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.importing.fitting import Shape

# Tried in this order where nothing tells the image size.
_SIZES = (224, 28, 32, 64, 96, 128, 256, 299, 384, 512)
_START = {"channels": 3, "classes": 10}
# Two values of an argument: where it is a shape's, the shape differs.
_OTHER = 13


class Network(NamedTuple):
    """A network and how it is built.

    Attributes:
        model: The network; on the meta device, without values, if cnnviz knows it by name.
        name: What its user calls it.
        arguments: What it was built with.
    """

    model: nn.Module
    name: str
    arguments: dict[str, Any]

    @property
    def known(self) -> bool:
        """Whether cnnviz knows it by name."""
        return bool(self.arguments) and ":" not in self.name

    def shapes(self) -> dict[str, Shape]:
        """Return the names and shapes of its parameters and buffers."""
        return _shapes(self.model)


def given_network(model: nn.Module) -> Network:
    """Return what there is to say of a network that its user made."""
    name, arguments = getattr(model, "cnnviz_recipe", (type(model).__qualname__, {}))
    return Network(model, name, dict(arguments))


def find_network(
    name: str, tensors: Mapping[str, Tensor], given: Mapping[str, Any], size: int | None, where: str
) -> Network:
    """Return the network `name` with the arguments that make it fit the weights.

    Args:
        name: A name of the registry, or `package.module:factory`.
        tensors: The weights of one checkpoint.
        given: Arguments that are not to be guessed.
        size: Height and width of an image in pixels; None tries the usual ones.
        where: What messages call the checkpoint.

    Raises:
        UnknownNameError: If there is no such network.
        ModelError: If it can't be built, or the weights don't fit; the message names layers.
    """
    size = given.get("image_size", size)
    sizes = _SIZES if size is None else (size,)
    own = _of_convnet(tensors, where) if name == "convnet" else {}
    if size is not None:
        own.pop("image_size", None)
    start, arguments = _first(name, {**_START, **own, **given}, sizes)
    names = fit_names(tensors, start, where).names
    found = {new: tensors[old] for new, old in names.items()}
    arguments |= _guessed(name, arguments, start, found, [key for key in _START if key not in given])
    error: ModelError | None = None
    for image_size in dict.fromkeys([arguments["image_size"], *sizes]):
        arguments["image_size"] = image_size
        try:
            model = _build(name, arguments)
            check_shapes(found, _shapes(model), where, f"the model {name!r}")
        except ModelError as reason:
            error = error or reason
            if "image_size" in own or ":" in name:
                break
            continue
        return Network(model, name, arguments)
    raise error or ModelError(f"the model {name!r} can't be built")


def _first(
    name: str, arguments: dict[str, Any], sizes: tuple[int, ...]
) -> tuple[dict[str, Shape], dict[str, Any]]:
    """Return the shapes of the network at the first image size that it can be built for, and its arguments."""
    error: ModelError | None = None
    for image_size in (arguments["image_size"],) if "image_size" in arguments else sizes:
        whole = {**arguments, "image_size": image_size}
        try:
            return _shapes(_build(name, whole)), whole
        except ModelError as reason:
            error = error or reason
    raise error or ModelError(f"the model {name!r} can't be built")


def _guessed(
    name: str,
    arguments: Mapping[str, Any],
    start: Mapping[str, Shape],
    found: Mapping[str, Tensor],
    wanted: list[str],
) -> dict[str, int]:
    """Return the arguments that the weights' shapes tell: where a shape changes with an argument, it is that."""
    guessed = {}
    for key in wanted:
        try:
            other = _shapes(_build(name, {**arguments, key: _OTHER}))
        except ModelError:
            continue
        for tensor, shape in start.items():
            pairs = zip(shape, other.get(tensor, ()), strict=False)
            axes = [axis for axis, pair in enumerate(pairs) if pair == (arguments[key], _OTHER)]
            if axes and found[tensor].ndim == len(shape):
                guessed[key] = int(found[tensor].shape[axes[0]])
                break
    return guessed


def _of_convnet(tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """Return the arguments of cnnviz's own small network, all of which its weights tell."""
    try:
        names = fit_names(
            tensors, [f"{n}.{p}" for n in ("conv1", "conv2", "fc1", "fc2") for p in ("weight", "bias")], where
        ).names
        conv1, conv2, fc1 = (tensors[names[f"{n}.weight"]].shape for n in ("conv1", "conv2", "fc1"))
        return {
            "depth": [int(conv1[0]), int(conv2[0])],
            "kernel_size": int(conv1[2]),
            "hidden": int(fc1[0]),
            "image_size": 4 * isqrt(int(fc1[1]) // int(conv2[0])),
        }
    except (ModelError, IndexError, ZeroDivisionError):
        return {}  # it doesn't fit, which is told where all networks are fitted


def _build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network; of one that cnnviz knows the shapes only, which takes no memory, wherever that can be."""
    with torch.random.fork_rng(devices=[]):
        if ":" not in name:
            with contextlib.suppress(ModelError, NotImplementedError), torch.device("meta"):
                return build(name, **arguments)
        return build(name, **arguments)  # some compute with tensors while they are built, as RegNet does


def _shapes(model: nn.Module) -> dict[str, Shape]:
    state = model.state_dict()
    return {name: tuple(t.shape) for name, t in state.items() if isinstance(t, torch.Tensor)}
