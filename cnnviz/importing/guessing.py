"""Guessing what a network was built with from the shapes of its weights."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError
from cnnviz.importing.building import built, shapes_of
from cnnviz.importing.fitting import fit_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from cnnviz.importing.fitting import Shape

# Two values of an argument: where it is a shape's, the shape differs.
_OTHER = 13


def guessed(
    name: str,
    arguments: Mapping[str, Any],
    start: Mapping[str, Shape | None],
    found: Mapping[str, Tensor],
    wanted: Iterable[str],
) -> dict[str, int]:
    """Return the arguments that the weights' shapes tell: where a shape changes with an argument, it is that.

    Args:
        name: The network.
        arguments: What it can be built with.
        start: Its shapes then.
        found: The weights, under its names.
        wanted: Which arguments are to be guessed.
    """
    told = {}
    for key in wanted:
        try:
            other = shapes_of(built(name, {**arguments, key: _OTHER}))
        except ModelError:
            continue
        for tensor, shape in start.items():
            if shape is None:
                continue
            pairs = zip(shape, other.get(tensor) or (), strict=False)
            axes = [axis for axis, pair in enumerate(pairs) if pair == (arguments[key], _OTHER)]
            if axes and found[tensor].ndim == len(shape):
                told[key] = int(found[tensor].shape[axes[0]])
                break
    return told


def convnet_arguments(tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
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
