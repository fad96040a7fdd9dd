"""What the manifest of an imported run says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnviz.importing.images import layers_with
from cnnviz.importing.layers import count_parameters, layers_from_names
from cnnviz.recording.describing import count_parameters as trained
from cnnviz.recording.manifest import Description, Manifest, new_id, now, software_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.data.split import Data
    from cnnviz.importing.layers import Layers
    from cnnviz.importing.network import Network
    from cnnviz.importing.states import State

NOT_NAMED = "unnamed network"
"""What a network is called of which only the weights are known."""


def describe(
    network: Network | None, first: State, data: Data | None, size: int | None, facts: Mapping[str, Any]
) -> Manifest:
    """Return the manifest.

    Args:
        network: The network, if it is known.
        first: The first state.
        data: The data set whose images travel with the run, if any.
        size: Height and width of an image in pixels, if its user told it.
        facts: What else to remember of the import.

    Raises:
        ConfigError: If the data are not what the network takes.
    """
    unwrapped = [*first.levels, *first.fit.taken_off]
    left_out = [*facts["left_out"], *first.fit.left_out]
    config = {**facts, "unwrapped": unwrapped, "left_out": left_out}
    arguments: dict[str, Any] = {}
    if network is None:
        found = layers_from_names(first.tensors)
        parameters, class_name = count_parameters(first.tensors), NOT_NAMED
    else:
        found = layers_with(network, data, size)
        parameters = trained(network.model)
        class_name = type(network.model).__qualname__
        arguments = _arguments(network, found)
        config |= {"model": network.name, "image": found.image, "not_run": found.reason}
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
            arguments=arguments,
            data=data.name if data is not None else None,
            classes=data.classes if data is not None else (),
            config=config,
        ),
    )


def _arguments(network: Network, found: Layers) -> dict[str, Any]:
    """Return what the network was built with; the image size is the one that it runs with, if it is not asked for."""
    if not network.arguments or found.image is None or "image_size" in network.takes:
        return network.arguments
    return {**network.arguments, "image_size": max(found.image[1:])}
