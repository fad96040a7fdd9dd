"""What the manifest of an imported run says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnviz.errors import ConfigError
from cnnviz.importing.layers import count_parameters, layers_from_names, layers_of
from cnnviz.recording.manifest import Description, Manifest, new_id, now, software_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.data.split import Data
    from cnnviz.importing.fitting import Shape
    from cnnviz.importing.network import Network
    from cnnviz.importing.states import State

NOT_NAMED = "unnamed network"
"""What a network is called of which only the weights are known."""


def describe(network: Network | None, first: State, data: Data | None, facts: Mapping[str, Any]) -> Manifest:
    """Return the manifest.

    Args:
        network: The network, if it is known.
        first: The first state.
        data: The data set whose images travel with the run, if any.
        facts: What else to remember of the import.

    Raises:
        ConfigError: If the data are not what the network takes.
    """
    unwrapped = [*first.levels, *first.fit.taken_off]
    left_out = [*facts["left_out"], *first.fit.left_out]
    config = {**facts, "unwrapped": unwrapped, "left_out": left_out}
    if network is None:
        found = layers_from_names(first.tensors)
        parameters, class_name = count_parameters(first.tensors), NOT_NAMED
    else:
        found = layers_of(network.model, _image(network, data))
        parameters = sum(parameter.numel() for parameter in network.model.parameters())
        class_name = type(network.model).__qualname__
        config["model"] = network.name
    return Manifest(
        id=new_id(),
        created=now(),
        class_name=class_name,
        parameters=parameters,
        layers=found.layers,
        layers_from=found.source,
        shapes=found.shapes,
        software=software_versions(),
        description=Description(
            model=network.name if network is not None and network.known else None,
            arguments=network.arguments if network is not None else {},
            data=data.name if data is not None else None,
            classes=data.classes if data is not None else (),
            config=config,
        ),
    )


def _image(network: Network, data: Data | None) -> Shape | None:
    """Return the shape (c, h, w) of an image; None if nothing tells."""
    arguments = network.arguments
    if data is not None:
        told = {"channels": data.channels, "classes": len(data.classes)}
        for key, value in told.items():
            if arguments.get(key, value) != value:
                raise ConfigError(
                    f"the images of {data.name} are not this network's: they have {value} {key}, "
                    f"the network has {arguments[key]}"
                )
        return data.shape
    if {"channels", "image_size"} <= arguments.keys():
        return arguments["channels"], arguments["image_size"], arguments["image_size"]
    return None
