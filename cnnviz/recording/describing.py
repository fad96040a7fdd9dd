"""What a run can say of a network: its layers, its size and how to build it again."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from cnnviz.probe import find_layers
from cnnviz.recording.bare import bare_names, is_built
from cnnviz.recording.manifest import Description, Layer, Manifest, new_id, now, software_versions

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from cnnviz.probe import FoundLayer


def make_manifest(
    model: nn.Module, samples: tuple[Tensor, Tensor] | None, description: Description
) -> Manifest:
    """Return the manifest of a recording that begins now.

    Args:
        model: The bare network.
        samples: Images and labels; the layers are found by running the first image.
        description: What the training loop says.
    """
    with _uncompiled():
        found = find_layers(model, _image(model, samples))
    names = bare_names(model, [layer.name for layer in found.layers])
    layers: dict[str, FoundLayer] = {}
    for name, layer in zip(names, found.layers, strict=True):
        layers.setdefault(
            name, layer
        )  # a wrapper and the module inside it, which finishes first, are one layer
    return Manifest(
        id=new_id(),
        created=now(),
        class_name=type(model).__qualname__,
        parameters=count_parameters(model),
        layers=tuple(Layer(name, layer.kind) for name, layer in layers.items()),
        layers_from=found.source,
        shapes={name: layer.shape for name, layer in layers.items() if layer.shape},
        software=software_versions(),
        description=description,
    )


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers are trained; those of lazy layers that never ran are not known, and not counted."""
    return sum(parameter.numel() for parameter in model.parameters() if is_built([parameter]))


def describe_built(model: nn.Module) -> Description:
    """Return the recipe that a network of the registry carries, so that its snapshots can be rebuilt."""
    recipe = getattr(model, "cnnviz_recipe", None)
    return Description(model=recipe[0], arguments=recipe[1]) if recipe else Description()


def _uncompiled() -> AbstractContextManager[object]:
    """Return a context in which nothing is compiled, which would not be worth it for one image."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; importing it takes a second
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _image(model: nn.Module, samples: tuple[Tensor, Tensor] | None) -> Tensor | None:
    """Return the first sample as the network takes it; None if there is none, or it must not run yet."""
    if samples is None or not len(samples[0]) or not is_built([*model.parameters(), *model.buffers()]):
        return None
    image = samples[0][:1]
    image = image / 255 if image.dtype == torch.uint8 else image.float()
    first = next(model.parameters(), None)
    return image if first is None else image.to(device=first.device, dtype=first.dtype)
