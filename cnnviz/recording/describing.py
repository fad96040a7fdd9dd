"""What a run can say of a network: its layers, its size and how to build it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnviz.probe import find_layers
from cnnviz.recording.bare import bare_name, is_built
from cnnviz.recording.manifest import Description, Layer, Manifest, new_id, now, software_versions

if TYPE_CHECKING:
    from torch import Tensor, nn


def make_manifest(
    model: nn.Module, samples: tuple[Tensor, Tensor] | None, description: Description
) -> Manifest:
    """Return the manifest of a recording that begins now.

    Args:
        model: The bare network.
        samples: Images and labels; the layers are found by running the first image.
        description: What the training loop says.
    """
    found = find_layers(model, _image(model, samples))
    bare = {}  # a compiled module and the one inside it are one layer
    for name, kind, shape in found.layers:
        bare.setdefault(bare_name(name), (bare_name(name), kind, shape))
    layers = list(bare.values())
    parameters = sum(p.numel() for p in model.parameters()) if is_built(model) else 0
    return Manifest(
        id=new_id(),
        created=now(),
        class_name=type(model).__qualname__,
        parameters=parameters,
        layers=tuple(Layer(name, kind) for name, kind, _ in layers),
        layers_from=found.source,
        shapes={name: shape for name, _, shape in layers if shape},
        software=software_versions(),
        description=description,
    )


def describe_built(model: nn.Module) -> Description:
    """Return the recipe that a network of the registry carries, so that its snapshots can be rebuilt."""
    recipe = getattr(model, "cnnviz_recipe", None)
    return Description(model=recipe[0], arguments=recipe[1]) if recipe else Description()


def _image(model: nn.Module, samples: tuple[Tensor, Tensor] | None) -> Tensor | None:
    """Return the first sample as the network takes it; None if there is none."""
    if samples is None or not len(samples[0]):
        return None
    image = samples[0][:1]
    image = image / 255 if image.dtype == torch.uint8 else image.float()
    first = next(model.parameters(), None)
    if first is None or not is_built(model):
        return image
    return image.to(device=first.device, dtype=first.dtype)
