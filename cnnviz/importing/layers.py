"""The layers of a network for the manifest: as they run, or as the names of its weights tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from cnnviz.probe import find_layers
from cnnviz.recording.manifest import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cnnviz.importing.fitting import Shape

TREE = "module tree"
"""The source of layers of a network that could not be run."""

_BY_AXES = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Layers(NamedTuple):
    """The layers of a network.

    Attributes:
        layers: Their names and kinds.
        shapes: Name to the shape of the output for one image, where known.
        source: How they were found; see `Manifest`.
        image: The shape (c, h, w) of the image that they were found with, if any.
        reason: Why the network could not be run, as an end of "because ..."; "" where it was, or is not known.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, Shape]
    source: str
    image: Shape | None = None
    reason: str = ""


def layers_of(model: nn.Module, image: Shape) -> Layers:
    """Return the layers in the order in which they run, and the shapes of what they put out.

    Args:
        model: The network, which may be on the meta device.
        image: The shape (c, h, w) of an image. If it can't be taken, the layers come in the order of the module tree,
            without shapes.
    """
    first = next(model.parameters(), None)
    device = first.device if first is not None else "cpu"
    found = find_layers(model, torch.zeros(1, *image, device=device))
    layers = tuple(Layer(name, kind) for name, kind, _ in found.layers)
    shapes = {name: shape for name, _, shape in found.layers if shape}
    ran = found.source != TREE
    return Layers(layers, shapes, found.source, image if ran else None, "" if ran else found.reason)


def layers_from_names(tensors: Mapping[str, Tensor]) -> Layers:
    """Return the layers that hold the tensors, their kinds guessed from the axes of their weights."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        parts.setdefault(layer or name, {})[part] = tensor
    return Layers(tuple(Layer(layer, _kind(held)) for layer, held in parts.items()), {}, "names of weights")


def count_parameters(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers are trained, as far as names tell: buffers of normalizations are not."""
    return sum(t.numel() for name, t in tensors.items() if name.rpartition(".")[2] not in _BUFFERS)


def _kind(held: Mapping[str, Tensor]) -> str:
    if "running_mean" in held:
        return "BatchNorm"
    weight = held.get("weight")
    return _BY_AXES.get(weight.ndim, "Norm") if weight is not None else "Parameter"
